//! From what an MPD says to what there is: periods in time, places, inherited attributes, segments.

use url::Url;

use super::addressing::{Addressing, take};
use super::live::{Live, Window};
use super::names::Names;
use super::places::{self, Place};
use super::raw::{self, Mpd, Set};
use super::{Clock, Kind, ManifestError, Period, Presentation, Representation, Steering, index};
use crate::limits::{NAMES_BYTES_MAX, SEGMENTS_MAX, TEXT_BYTES_MAX};

/// Properties of codecs that tell kinds apart where the media type does not (RFC 6381; ISO/IEC 14496-30).
const TEXT_CODECS: [&str; 2] = ["stpp", "wvtt"];

/// What a period lends to its representations.
struct Lent<'a> {
    number: usize,
    period: &'a raw::Period,
    start_ms: u64,
    duration_ms: Option<u64>,
    now_ms: u64,
}

impl Presentation {
    pub(super) fn of(mpd: &Mpd, manifest: &Url, now_ms: u64) -> Result<Self, ManifestError> {
        let places = places::inside(&places::root(manifest), &mpd.bases)?;
        let mut listed = Self {
            duration_ms: mpd.duration_ms,
            periods: periods(mpd),
            representations: Vec::new(),
            live: Live::of(mpd),
            clocks: mpd
                .clocks
                .iter()
                .map(|(scheme, value)| Clock { scheme: scheme.clone(), value: value.clone() })
                .collect(),
            steering: mpd.steering.as_ref().map(|steering| Steering {
                url: steering.url.clone(),
                default_service_location: steering.default_service_location.clone(),
                query_before_start: steering.query_before_start,
            }),
        };
        let mut names = NAMES_BYTES_MAX;
        for (number, period) in mpd.periods.iter().enumerate() {
            let Period { start_ms, duration_ms, .. } = listed.periods[number];
            // A live period that nothing places in time is announced only.
            if let Some(start_ms) = start_ms.or(listed.live.is_none().then_some(0)) {
                listed.add_period(&Lent { number, period, start_ms, duration_ms, now_ms }, &places, &mut names)?;
            }
        }
        Ok(listed)
    }

    /// Lists a period; `names` is what is left of [`NAMES_BYTES_MAX`].
    fn add_period(&mut self, lent: &Lent<'_>, places: &[Place], names: &mut usize) -> Result<(), ManifestError> {
        let places = places::inside(places, &lent.period.bases)?;
        for (number, set) in lent.period.sets.iter().enumerate() {
            let places = places::inside(&places, &set.bases)?;
            for raw in &set.representations {
                let places = places::inside(&places, &raw.bases)?;
                take(names, places.iter().map(|place| place.url.as_str().len()).sum())?;
                let addressing = Addressing::of([&raw.addressing, &set.addressing, &lent.period.addressing]);
                let offset = addressing.availability_offset_ms().saturating_add(places[0].availability_offset_ms);
                let window = match &self.live {
                    None => None,
                    Some(live) => match Window::of(live, lent.now_ms, lent.start_ms, offset) {
                        None => continue,
                        window => window,
                    },
                };
                let mut representation = describe((lent.number, number), set, raw, places)?;
                addressing.list(lent.duration_ms, window, names, &mut representation)?;
                self.add(representation)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, representation: Representation) -> Result<(), ManifestError> {
        let segments = |known: &Representation| known.segments.len();
        let of_others: usize = self.representations.iter().map(segments).sum();
        if of_others + segments(&representation) > SEGMENTS_MAX {
            return Err(ManifestError::TooMany("segments"));
        }
        self.representations.push(representation);
        Ok(())
    }
}

fn describe(
    (period, number): (usize, usize),
    set: &Set,
    raw: &raw::Representation,
    places: Vec<Place>,
) -> Result<Representation, ManifestError> {
    let (own, of_set) = (&raw.common, &set.common);
    let text =
        |own: &Option<String>, of_set: &Option<String>| own.as_ref().or(of_set.as_ref()).cloned().unwrap_or_default();
    let too_long = |text: &String| text.len() > TEXT_BYTES_MAX;
    for inherited in
        [Some(&raw.id), own.codecs.as_ref(), of_set.codecs.as_ref(), own.language.as_ref(), of_set.language.as_ref()]
    {
        if inherited.is_some_and(too_long) {
            return Err(ManifestError::TooMany("bytes in an id, a language or codecs"));
        }
    }
    if set.roles.iter().any(too_long) {
        return Err(ManifestError::TooMany("bytes in a role"));
    }
    let of = |common: &raw::Common| kind(common.mime.as_deref(), common.content.as_deref(), common.codecs.as_deref());
    Ok(Representation {
        id: raw.id.clone(),
        period,
        set: number,
        kind: of(own).or_else(|| of(of_set)).unwrap_or(Kind::Other),
        is_trick: own.is_trick || of_set.is_trick,
        bandwidth: raw.bandwidth,
        codecs: text(&own.codecs, &of_set.codecs),
        language: text(&own.language, &of_set.language),
        roles: set.roles.clone(),
        width: own.width.or(of_set.width),
        height: own.height.or(of_set.height),
        timescale: 1,
        places,
        init: None,
        segments: Vec::new(),
        index: None,
        index_walk: index::Walk::default(),
        names: Names::default(),
    })
}

/// What media type, content type and codecs of one level say, if anything.
fn kind(mime: Option<&str>, content: Option<&str>, codecs: Option<&str>) -> Option<Kind> {
    let of_type = |name: &str| match name.split('/').next() {
        Some("video") => Some(Kind::Video),
        Some("audio") => Some(Kind::Audio),
        Some("text") => Some(Kind::Text),
        Some("image") => Some(Kind::Image),
        _ => None,
    };
    let is_text = |codecs: &str| TEXT_CODECS.iter().any(|codec| codecs.trim_start().starts_with(codec));
    mime.and_then(of_type)
        .or_else(|| content.and_then(of_type))
        .or_else(|| codecs.filter(|codecs| is_text(codecs)).map(|_| Kind::Text))
        .or_else(|| (mime? == "application/ttml+xml").then_some(Kind::Text))
}

/// When each period starts and how long it lasts (ISO/IEC 23009-1 §5.3.2.1). It starts at `@start`, or where the one before it
/// ends, or at 0 when it is the first; it lasts for `@duration`, or until the next one starts, or until the end of the presentation.
fn periods(mpd: &Mpd) -> Vec<Period> {
    let mut before_ends = (!mpd.is_dynamic).then_some(0);
    let mut periods: Vec<Period> = Vec::with_capacity(mpd.periods.len());
    for period in &mpd.periods {
        let start_ms = period.start_ms.or(before_ends);
        before_ends = start_ms.zip(period.duration_ms).map(|(start, duration)| start.saturating_add(duration));
        periods.push(Period { id: period.id.clone().unwrap_or_default(), start_ms, duration_ms: period.duration_ms });
    }
    for at in 0..periods.len() {
        let end = if at + 1 == periods.len() { mpd.duration_ms } else { periods[at + 1].start_ms };
        let until_end = periods[at].start_ms.zip(end).map(|(start, end)| end.saturating_sub(start));
        periods[at].duration_ms = periods[at].duration_ms.or(until_end);
    }
    periods
}
