//! Reads the text of an MPD, element by element, into [`super::raw`].
//!
//! An element counts as one of DASH when it has the prefix of the document element; any other is skipped with all it holds.
//! Whether what is said makes sense is judged later.
//!
//! Invariant: recursion is as deep as the grammar of what is read, not as the text; a document type definition is refused, so
//! that no entity is ever expanded.

use std::borrow::Cow;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::raw::{Base, Mpd, Steering};
use super::times::{date_time_ms, duration_ms};
use super::{ManifestError, shortened};
use crate::limits::{LOCATIONS_MAX, PERIODS_MAX, SETS_MAX};

mod addressing;
mod period;

/// Reads a document.
///
/// # Errors
/// See [`ManifestError`].
pub(super) fn read(text: &str) -> Result<Mpd, ManifestError> {
    let mut source = Source { reader: Reader::from_str(text), prefix: String::new(), sets: 0, representations: 0 };
    let root = source.root()?;
    let mpd = source.mpd(&root)?;
    source.finish()?;
    Ok(mpd)
}

/// A start tag, and whether it is an end tag too.
struct Element<'a> {
    start: BytesStart<'a>,
    is_empty: bool,
}

struct Source<'a> {
    reader: Reader<&'a [u8]>,
    /// That of the document element.
    prefix: String,
    /// Read so far.
    sets: usize,
    representations: usize,
}

impl<'a> Source<'a> {
    fn event(&mut self) -> Result<Event<'a>, ManifestError> {
        match self.reader.read_event().map_err(malformed)? {
            Event::DocType(_) => Err(ManifestError::Malformed("it has a document type definition".into())),
            event => Ok(event),
        }
    }

    fn root(&mut self) -> Result<Element<'a>, ManifestError> {
        let root = loop {
            match self.event()? {
                Event::Start(start) => break Element { start, is_empty: false },
                Event::Empty(start) => break Element { start, is_empty: true },
                Event::Eof => return Err(ManifestError::Malformed("it has no element".into())),
                _ => {}
            }
        };
        self.prefix = root.start.name().prefix().map_or("", |prefix| prefix.into_inner()).to_owned();
        match root.start.local_name().into_inner() {
            "MPD" => Ok(root),
            "Patch" => Err(ManifestError::Malformed("it is an MPD patch (RFC 5261); fetch the whole MPD".into())),
            other => Err(ManifestError::Malformed(format!("its document element is {:?}", shortened(other)))),
        }
    }

    fn finish(&mut self) -> Result<(), ManifestError> {
        loop {
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::Start(_) | Event::Empty(_) => {
                    return Err(ManifestError::Malformed("it has more than one document element".into()));
                }
                _ => {}
            }
        }
    }

    /// The next child of an element; `None` at its end. The caller reads it to its end.
    fn child(&mut self, of: &Element<'_>) -> Result<Option<Element<'a>>, ManifestError> {
        if of.is_empty {
            return Ok(None);
        }
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Some(Element { start, is_empty: false })),
                Event::Empty(start) => return Ok(Some(Element { start, is_empty: true })),
                Event::End(_) => return Ok(None),
                Event::Eof => return Err(ManifestError::Malformed("it ends in the middle of an element".into())),
                Event::GeneralRef(reference) => {
                    character(&reference)?;
                }
                _ => {}
            }
        }
    }

    /// The name of an element of DASH; empty for any other.
    fn name<'e>(&self, element: &'e Element<'_>) -> &'e str {
        let (local, prefix) = element.start.name().decompose();
        let is_ours = prefix.map_or("", |prefix| prefix.into_inner()) == self.prefix;
        if is_ours { local.into_inner() } else { "" }
    }

    fn skip(&mut self, element: &Element<'_>) -> Result<(), ManifestError> {
        let mut depth = usize::from(!element.is_empty);
        while depth > 0 {
            match self.event()? {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(ManifestError::Malformed("it ends in the middle of an element".into())),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text of an element, elements in it left out, without white space around it.
    fn text(&mut self, element: &Element<'_>) -> Result<String, ManifestError> {
        let (mut text, mut depth) = (String::new(), usize::from(!element.is_empty));
        while depth > 0 {
            match self.event()? {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Text(found) if depth == 1 => text.push_str(&found.xml10_content()),
                Event::CData(found) if depth == 1 => text.push_str(&found.xml10_content()),
                Event::GeneralRef(reference) => text.push(character(&reference)?),
                Event::Eof => return Err(ManifestError::Malformed("it ends in the middle of an element".into())),
                _ => {}
            }
        }
        Ok(text.trim().to_owned())
    }

    fn mpd(&mut self, root: &Element<'_>) -> Result<Mpd, ManifestError> {
        let mut mpd = Mpd::default();
        attributes(root, |name, value| {
            match name {
                "type" => mpd.is_dynamic = value == "dynamic",
                "mediaPresentationDuration" => mpd.duration_ms = Some(duration_ms(&value)?),
                "minimumUpdatePeriod" => mpd.minimum_update_ms = Some(duration_ms(&value)?),
                "timeShiftBufferDepth" => mpd.time_shift_ms = Some(duration_ms(&value)?),
                "suggestedPresentationDelay" => mpd.suggested_delay_ms = Some(duration_ms(&value)?),
                "availabilityStartTime" => mpd.availability_start_ms = Some(instant(&value)?),
                "availabilityEndTime" => mpd.availability_end_ms = Some(instant(&value)?),
                "publishTime" => mpd.publish_ms = Some(instant(&value)?),
                _ => {}
            }
            Ok(())
        })?;
        while let Some(child) = self.child(root)? {
            match self.name(&child) {
                "BaseURL" => self.base(&child, &mut mpd.bases)?,
                "Location" => {
                    let location = self.text(&child)?;
                    push(&mut mpd.locations, location, LOCATIONS_MAX, "Locations")?;
                }
                "PatchLocation" => {
                    let mut ttl_ms = None;
                    attributes(&child, |name, value| {
                        ttl_ms = if name == "ttl" { seconds_ms(&value) } else { ttl_ms };
                        Ok(())
                    })?;
                    let location = self.text(&child)?;
                    push(&mut mpd.patches, (location, ttl_ms), LOCATIONS_MAX, "PatchLocations")?;
                }
                "UTCTiming" => {
                    let [scheme, value] = pair(&child, ["schemeIdUri", "value"])?;
                    self.skip(&child)?;
                    push(&mut mpd.clocks, (scheme, value), LOCATIONS_MAX, "UTCTimings")?;
                }
                "ContentSteering" => mpd.steering = Some(self.steering(&child)?),
                "Period" => {
                    let period = self.period(&child)?;
                    push(&mut mpd.periods, period, PERIODS_MAX, "periods")?;
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(mpd)
    }

    fn base(&mut self, element: &Element<'_>, into: &mut Vec<Base>) -> Result<(), ManifestError> {
        let mut base = Base { url: String::new(), service_location: None, availability_offset_ms: None };
        attributes(element, |name, value| {
            match name {
                "serviceLocation" => base.service_location = Some(value.into_owned()),
                "availabilityTimeOffset" => base.availability_offset_ms = seconds_ms(&value),
                _ => {}
            }
            Ok(())
        })?;
        base.url = self.text(element)?;
        push(into, base, LOCATIONS_MAX, "BaseURLs of one element")
    }

    fn steering(&mut self, element: &Element<'_>) -> Result<Steering, ManifestError> {
        let mut steering = Steering { url: String::new(), default_service_location: None, query_before_start: false };
        attributes(element, |name, value| {
            match name {
                "defaultServiceLocation" => steering.default_service_location = Some(value.into_owned()),
                "queryBeforeStart" => steering.query_before_start = matches!(&*value, "true" | "1"),
                _ => {}
            }
            Ok(())
        })?;
        steering.url = self.text(element)?;
        Ok(steering)
    }

    /// Notes one more adaptation set.
    fn count_set(&mut self) -> Result<(), ManifestError> {
        self.sets += 1;
        if self.sets > SETS_MAX { Err(ManifestError::TooMany("adaptation sets")) } else { Ok(()) }
    }
}

/// Hands every attribute to `each`: its whole name, and its value with white space and references resolved.
fn attributes(
    element: &Element<'_>,
    mut each: impl FnMut(&str, Cow<'_, str>) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    for attribute in element.start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| malformed(error.into()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?;
        each(attribute.key.into_inner(), value)?;
    }
    Ok(())
}

/// Two attributes, empty where they are missing.
fn pair(element: &Element<'_>, names: [&str; 2]) -> Result<[String; 2], ManifestError> {
    let mut values = [String::new(), String::new()];
    attributes(element, |name, value| {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            values[at] = value.into_owned();
        }
        Ok(())
    })?;
    Ok(values)
}

/// Adds one more of something that is bounded.
fn push<T>(into: &mut Vec<T>, one: T, most: usize, what: &'static str) -> Result<(), ManifestError> {
    if into.len() >= most {
        return Err(ManifestError::TooMany(what));
    }
    into.push(one);
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, ManifestError> {
    let problem = |_| ManifestError::Malformed(format!("{name}={:?} is no number it can have", shortened(value)));
    value.trim().parse().map_err(problem)
}

fn instant(value: &str) -> Result<u64, ManifestError> {
    let problem =
        || ManifestError::Malformed(format!("{:?} is no instant, such as 2026-01-01T00:00:00Z", shortened(value)));
    date_time_ms(value).ok_or_else(problem)
}

/// Seconds as a decimal number, or `INF`, in ms; `None` for anything else, also negative.
fn seconds_ms(value: &str) -> Option<u64> {
    let value = value.trim();
    if value == "INF" {
        return Some(u64::MAX);
    }
    value.parse::<f64>().ok().filter(|seconds| (0.0..1e12).contains(seconds)).map(|seconds| (seconds * 1000.0) as u64)
}

fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, ManifestError> {
    if let Some(found) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(found);
    }
    let name = reference.xml10_content();
    let found = resolve_predefined_entity(&name).and_then(|text| text.chars().next());
    found.ok_or_else(|| ManifestError::Malformed(format!("it has an unknown entity {:?}", shortened(&name))))
}

fn malformed(error: quick_xml::Error) -> ManifestError {
    ManifestError::Malformed(shortened(&error.to_string()))
}
