//! What an MPD says, as it says it: nothing inherited, nothing computed. Elements and attributes that naming segments does not
//! need are not here.

use std::sync::Arc;

/// The document.
#[derive(Debug, Default)]
pub(super) struct Mpd {
    pub(super) is_dynamic: bool,
    pub(super) duration_ms: Option<u64>,
    pub(super) availability_start_ms: Option<u64>,
    pub(super) availability_end_ms: Option<u64>,
    pub(super) publish_ms: Option<u64>,
    pub(super) minimum_update_ms: Option<u64>,
    pub(super) time_shift_ms: Option<u64>,
    pub(super) suggested_delay_ms: Option<u64>,
    pub(super) bases: Vec<Base>,
    pub(super) locations: Vec<String>,
    /// URL and `@ttl` in ms.
    pub(super) patches: Vec<(String, Option<u64>)>,
    /// Scheme and value of each UTCTiming.
    pub(super) clocks: Vec<(String, String)>,
    pub(super) steering: Option<Steering>,
    pub(super) periods: Vec<Period>,
}

/// A BaseURL.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) url: String,
    pub(super) service_location: Option<String>,
    pub(super) availability_offset_ms: Option<u64>,
}

/// A ContentSteering.
#[derive(Debug)]
pub(super) struct Steering {
    pub(super) url: String,
    pub(super) default_service_location: Option<String>,
    pub(super) query_before_start: bool,
}

#[derive(Debug, Default)]
pub(super) struct Period {
    pub(super) id: Option<String>,
    pub(super) start_ms: Option<u64>,
    pub(super) duration_ms: Option<u64>,
    pub(super) bases: Vec<Base>,
    pub(super) addressing: Addressing,
    pub(super) sets: Vec<Set>,
}

#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) common: Common,
    pub(super) bases: Vec<Base>,
    pub(super) addressing: Addressing,
    pub(super) roles: Vec<String>,
    pub(super) representations: Vec<Representation>,
}

#[derive(Debug, Default)]
pub(super) struct Representation {
    pub(super) id: String,
    pub(super) bandwidth: u64,
    pub(super) common: Common,
    pub(super) bases: Vec<Base>,
    pub(super) addressing: Addressing,
}

/// What a set may say for all of its representations.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) content: Option<String>,
    pub(super) mime: Option<String>,
    pub(super) codecs: Option<String>,
    pub(super) language: Option<String>,
    pub(super) width: Option<u64>,
    pub(super) height: Option<u64>,
    pub(super) is_trick: bool,
}

/// At most one of each on a level.
#[derive(Debug, Default)]
pub(super) struct Addressing {
    pub(super) template: Option<Segments>,
    pub(super) list: Option<Segments>,
    pub(super) base: Option<Segments>,
}

/// SegmentTemplate, SegmentList or SegmentBase.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) timescale: Option<u32>,
    /// Units of the timescale. The schema has it unsigned, packagers have not.
    pub(super) presentation_offset: Option<i64>,
    /// `u64::MAX` for `INF`.
    pub(super) availability_offset_ms: Option<u64>,
    /// Thousandths of units of the timescale.
    pub(super) duration_milli: Option<u64>,
    pub(super) start_number: Option<u64>,
    pub(super) end_number: Option<u64>,
    pub(super) timeline: Option<Vec<Entry>>,
    pub(super) media: Option<String>,
    pub(super) initialization: Option<String>,
    pub(super) init: Option<Part>,
    pub(super) index_range: Option<String>,
    pub(super) index: Option<Part>,
    /// Shared by all representations that inherit it.
    pub(super) urls: Option<Arc<Vec<Part>>>,
}

/// `S` of a SegmentTimeline.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) time: Option<u64>,
    pub(super) number: Option<u64>,
    pub(super) duration: u64,
    pub(super) repeats: i64,
    /// Segments of a sequence, named with `$SubNumber$`.
    pub(super) parts: u64,
}

/// A URL, a byte range, or both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) url: Option<String>,
    pub(super) range: Option<String>,
}
