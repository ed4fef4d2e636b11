//! Comma-separated values. A first line of names says which column is what; without one they are time in seconds, object, bytes.
//! Columns that are not known are skipped.

use littoral_evict::Place;

use super::{Line, Request, number, number_or_hash};

/// Columns of a line that are looked at.
const COLUMNS_MAX: usize = 64;

/// Which column is what.
#[derive(Debug)]
pub(super) struct Columns {
    time: Option<usize>,
    time_unit_ms: u64,
    id: usize,
    bytes: usize,
    title: Option<usize>,
    rung: Option<usize>,
    segment: Option<usize>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { time: Some(0), time_unit_ms: 1000, id: 1, bytes: 2, title: None, rung: None, segment: None }
    }
}

impl Columns {
    /// A line; the first one may be names.
    pub(super) fn parse(&mut self, line: &[u8], first: bool) -> Result<Line, String> {
        let mut values = [&b""[..]; COLUMNS_MAX];
        let mut count = 0;
        for (place, value) in values.iter_mut().zip(line.split(|byte| *byte == b',')) {
            *place = value.trim_ascii();
            count += 1;
        }
        let values = &values[..count];
        if first && values.iter().all(|value| value.first().is_some_and(u8::is_ascii_alphabetic)) {
            *self = Self::named(values)?;
            return Ok(Line::Other);
        }
        let text = |at: usize| values.get(at).copied().unwrap_or_default();
        let wrong = |what: &str, at: usize| {
            let text = String::from_utf8_lossy(&text(at)[..text(at).len().min(40)]).into_owned();
            format!("{what} in column {} is no number: {text:?}", at + 1)
        };
        let time = self.time.map_or(Ok(0), |at| number(text(at)).ok_or_else(|| wrong("the time", at)))?;
        let bytes = number(text(self.bytes)).ok_or_else(|| wrong("the size", self.bytes))?;
        if text(self.id).is_empty() {
            return Err(format!("column {} names no object", self.id + 1));
        }
        let place = self.title.filter(|at| !text(*at).is_empty()).map(|title| Place {
            title: number_or_hash(text(title)) as u32,
            rung: self.rung.and_then(|at| number(text(at))).map_or(Place::NONE, |rung| rung as u16),
            segment: self.segment.and_then(|at| number(text(at))).map_or(Place::HEAD, |segment| segment as u32),
        });
        let (now_ms, id) = (time.saturating_mul(self.time_unit_ms), number_or_hash(text(self.id)));
        Ok(Line::Request(Request { now_ms, id, bytes, next: None, place }))
    }

    fn named(names: &[&[u8]]) -> Result<Self, String> {
        let find = |wanted: &[&str]| {
            names.iter().position(|name| wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes())))
        };
        let needed = |what: &str, wanted: &[&str]| {
            find(wanted).ok_or_else(|| format!("no column is the {what}: name one {}", wanted.join(" or ")))
        };
        let in_ms = find(&["time_ms"]);
        Ok(Self {
            time: in_ms.or(find(&["time_s", "time", "timestamp", "ts"])),
            time_unit_ms: if in_ms.is_some() { 1 } else { 1000 },
            id: needed("object", &["obj_id", "id", "key", "object", "url"])?,
            bytes: needed("size", &["size", "bytes", "obj_size"])?,
            title: find(&["title"]),
            rung: find(&["rung", "representation"]),
            segment: find(&["seg", "segment"]),
        })
    }
}
