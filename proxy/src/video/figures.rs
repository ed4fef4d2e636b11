//! What is counted of one site's players: by what they tell (CMCD). Names and exposition are `observe`'s.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_cache::histogram::{Histogram, Scale};
use littoral_manifests::cmcd::CmcdError;

use super::told::{Carrier, Heard, Object, Told};

/// Recorded and told in kbit/s: 100 kbit/s to 1 Gbit/s.
#[derive(Debug)]
pub struct Kbps;

impl Scale for Kbps {
    const BOUNDS: &'static [u64] = &[
        100, 250, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_500, 6_000, 8_000, 12_000, 18_000, 25_000, 50_000, 100_000,
        250_000, 1_000_000,
    ];
    const PER_UNIT: f64 = 1.0;
}

/// Recorded in milliseconds, told in seconds: of media, not of work. 0 s is a bound of its own.
#[derive(Debug)]
pub struct MediaSeconds;

impl Scale for MediaSeconds {
    const BOUNDS: &'static [u64] = &[
        0, 250, 500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000,
        120_000, 240_000,
    ];
    const PER_UNIT: f64 = 1e3;
}

/// The figures of a site; they outlive a reload.
#[derive(Debug, Default)]
pub struct Figures {
    /// What was told, by [`Figures::CARRIERS`].
    pub told: [AtomicU64; 3],
    /// What could not be read, by [`Figures::REFUSALS`].
    pub refused: [AtomicU64; 5],
    /// Pairs that say nothing this node knows.
    pub ignored: AtomicU64,
    /// Objects by [`Object::LABELS`].
    pub objects: [AtomicU64; Object::LABELS.len()],
    /// Times a player said that its buffer ran empty.
    pub stalls: AtomicU64,
    /// Objects that were needed urgently.
    pub urgent: AtomicU64,
    /// Manifests answered, by [`Figures::MANIFESTS`].
    pub manifests: [AtomicU64; 3],
    /// Objects that began to be fetched ahead, by [`Figures::SOURCES`].
    pub prefetch_begun: [AtomicU64; 2],
    /// Those that were not, by [`Figures::UNFETCHED`].
    pub prefetch_unfetched: [AtomicU64; 7],
    /// What became of them, by [`Figures::ENDS`].
    pub prefetch_ended: [AtomicU64; 3],
    /// Bytes of them that were not here yet.
    pub prefetch_bytes: AtomicU64,
    /// Buffer lengths.
    pub buffer: Histogram<MediaSeconds>,
    /// How far behind live.
    pub latency: Histogram<MediaSeconds>,
    /// Throughput that players measured.
    pub throughput: Histogram<Kbps>,
    /// Throughput that suffices them.
    pub wanted: Histogram<Kbps>,
    /// Rates of what they asked for.
    pub bitrate: Histogram<Kbps>,
}

impl Figures {
    /// How something is told.
    pub const CARRIERS: [&'static str; 3] = ["query", "fields", "report"];
    /// What became of manifests.
    pub const MANIFESTS: [&'static str; 3] = ["rewritten", "verbatim", "passed"];
    /// Who says what to fetch ahead.
    pub const SOURCES: [&'static str; 2] = ["cmcd", "manifest"];
    /// Why something is not fetched ahead.
    pub const UNFETCHED: [&'static str; 7] = ["foreign", "present", "load", "at_once", "session", "budget", "early"];
    /// What became of what was fetched ahead.
    pub const ENDS: [&'static str; 3] = ["useful", "wasted", "failed"];
    /// Why something could not be read; `size`: a report of too many bytes or lines.
    pub const REFUSALS: [&'static str; 5] = ["large", "keys", "json", "encoding", "size"];

    /// A player told something, or tried to.
    pub fn heard(&self, heard: &Result<Heard, CmcdError>) {
        match heard {
            Ok(heard) => {
                self.told[match heard.carrier {
                    Carrier::Query => 0,
                    Carrier::Fields => 1,
                    Carrier::Report => 2,
                }]
                .fetch_add(1, Relaxed);
                self.ignored.fetch_add(heard.ignored as u64, Relaxed);
                self.note(&heard.told);
            }
            Err(error) => self.refused(match error {
                CmcdError::TooLarge => 0,
                CmcdError::TooMany => 1,
                CmcdError::Json => 2,
                CmcdError::Encoding => 3,
            }),
        }
    }

    /// A whole report was refused for its size.
    pub fn report_refused(&self) {
        self.refused(4);
    }

    fn refused(&self, why: usize) {
        self.refused[why].fetch_add(1, Relaxed);
    }

    fn note(&self, told: &Told) {
        self.stalls.fetch_add(told.stalled.into(), Relaxed);
        self.urgent.fetch_add(told.urgent.into(), Relaxed);
        if let Some(object) = told.object {
            self.objects[object.index()].fetch_add(1, Relaxed);
        }
        told.buffer_ms.into_iter().for_each(|ms| self.buffer.record(ms.into()));
        told.latency_ms.into_iter().for_each(|ms| self.latency.record(ms.into()));
        told.throughput_kbps.into_iter().for_each(|kbps| self.throughput.record(kbps.into()));
        told.wanted_kbps.into_iter().for_each(|kbps| self.wanted.record(kbps.into()));
        told.bitrate_kbps.into_iter().for_each(|kbps| self.bitrate.record(kbps.into()));
    }
}
