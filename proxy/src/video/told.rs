//! What a player tells of itself with a request (CMCD, CTA-5004 and CTA-5004-B): read from the header fields or the query, in numbers
//! with bounds, and kept out of the cache key.
//!
//! The grammar is `littoral_manifests::cmcd`'s; here is what the node makes of it. Invariant: whatever a player says, a [`Told`] is of one
//! size, and its text can neither end a line nor close a quote.

use std::borrow::Cow;
use std::io::Write;

use littoral_manifests::cmcd::{self, Cmcd, CmcdError, Field, Key};

/// Most a rate may be, in kbit/s: 10 Gbit/s. What is said beyond counts as this.
pub const KBPS_MAX: u32 = 10_000_000;
/// Most a time may be, in ms: an hour. What is said beyond counts as this.
pub const MS_MAX: u32 = 3_600_000;
/// Bytes of a session's name that are kept; CTA-5004 has 64 at most.
const SESSION_BYTES_MAX: usize = 64;

/// What a player told, as far as this node uses it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it is version 2.
    pub is_v2: bool,
    /// `ot`: what the object is.
    pub object: Option<Object>,
    /// `br`: rate the object is encoded at, kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// `bl`: buffer length, ms.
    pub buffer_ms: Option<u32>,
    /// `dl`: until when the first byte is needed, ms.
    pub deadline_ms: Option<u32>,
    /// `ltc`: behind live, ms.
    pub latency_ms: Option<u32>,
    /// `mtp`: measured throughput, kbit/s.
    pub throughput_kbps: Option<u32>,
    /// `rtp`: throughput that suffices, kbit/s.
    pub wanted_kbps: Option<u32>,
    /// `bs`: the buffer ran empty since the last request.
    pub stalled: bool,
    /// `su`: the object is needed urgently.
    pub urgent: bool,
    /// `sid`: the session.
    pub session: Option<Session>,
}

/// The name of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Of its whole name.
    pub hash: u64,
    text: [u8; SESSION_BYTES_MAX],
    length: u8,
}

/// What an object is (`ot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object(usize);

impl Object {
    /// What there is, as labels.
    pub const LABELS: [&'static str; 9] =
        ["manifest", "audio", "video", "muxed", "init", "caption", "text", "key", "other"];
    const TOKENS: [&'static str; 9] = ["m", "a", "v", "av", "i", "c", "tt", "k", "o"];

    fn of(token: &str) -> Option<Self> {
        Self::TOKENS.iter().position(|known| *known == token).map(Self)
    }

    /// Whether it is video, or has video in it.
    pub fn has_video(self) -> bool {
        matches!(Self::TOKENS[self.0], "v" | "av")
    }

    /// Its place in [`Self::LABELS`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// How something was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// As an argument of the query.
    Query,
    /// In header fields.
    Fields,
    /// In a report of its own.
    Report,
}

/// What was heard of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// What it told.
    pub told: Told,
    /// How.
    pub carrier: Carrier,
    /// Pairs that say nothing this node knows.
    pub ignored: usize,
}

impl Told {
    /// What is known of one reading.
    pub fn of(cmcd: &Cmcd<'_>) -> Self {
        let object = cmcd.text(Key::Ot);
        // A list of version 2 has a number for each type of object.
        let number = |key: Key, most: u32| {
            let number = object.map_or_else(|| cmcd.number(key), |object| cmcd.number_for(key, object))?;
            u32::try_from(number).ok().map(|number| number.min(most)).or((number > 0).then_some(most))
        };
        let (kbps, ms) = (|key| number(key, KBPS_MAX), |key| number(key, MS_MAX));
        Self {
            is_v2: cmcd.version() == 2,
            object: object.and_then(Object::of),
            bitrate_kbps: kbps(Key::Br),
            buffer_ms: ms(Key::Bl),
            deadline_ms: ms(Key::Dl),
            latency_ms: ms(Key::Ltc),
            throughput_kbps: kbps(Key::Mtp),
            wanted_kbps: kbps(Key::Rtp),
            stalled: cmcd.flag(Key::Bs),
            urgent: cmcd.flag(Key::Su),
            session: cmcd.text(Key::Sid).map(Session::of),
        }
    }

    /// Appends it as CMCD, its keys in alphabetical order: with nothing but letters, digits and punctuation, no quote and no backslash.
    pub fn write(&self, out: &mut Vec<u8>) {
        let begun = out.len();
        let mut member = |text: std::fmt::Arguments<'_>| {
            // Writing to a `Vec` cannot fail.
            let _ = if out.len() > begun { write!(out, ",{text}") } else { out.write_fmt(text) };
        };
        let number = |name: &'static str, value: Option<u32>, member: &mut dyn FnMut(std::fmt::Arguments<'_>)| {
            if let Some(value) = value {
                member(format_args!("{name}={value}"));
            }
        };
        number("bl", self.buffer_ms, &mut member);
        number("br", self.bitrate_kbps, &mut member);
        if self.stalled {
            member(format_args!("bs"));
        }
        number("dl", self.deadline_ms, &mut member);
        number("ltc", self.latency_ms, &mut member);
        number("mtp", self.throughput_kbps, &mut member);
        if let Some(object) = self.object {
            member(format_args!("ot={}", Object::TOKENS[object.0]));
        }
        number("rtp", self.wanted_kbps, &mut member);
        if let Some(session) = &self.session {
            member(format_args!("sid={}", session.as_str()));
        }
        if self.urgent {
            member(format_args!("su"));
        }
        if self.is_v2 {
            member(format_args!("v=2"));
        }
    }
}

impl Session {
    fn of(name: &str) -> Self {
        let hash = littoral_cache::key::hash_bytes(name.as_bytes()) as u64;
        let mut session = Self { hash, text: [0; SESSION_BYTES_MAX], length: 0 };
        for (place, byte) in session.text.iter_mut().zip(name.bytes()) {
            let is_plain = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',');
            *place = if is_plain { byte } else { b'_' };
            session.length += 1;
        }
        session
    }

    /// Its name, as far as it is kept; what is no plain character of it is `_`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Reads the four fields, by name, and the `CMCD` argument of `query`, and has `then` see it. `None`: nothing was told.
///
/// # Errors
/// See [`CmcdError`]; nothing of it counts then.
pub fn read<'a, T>(
    field: impl Fn(&'static str) -> Option<&'a [u8]>,
    query: Option<&str>,
    then: impl FnOnce(&Cmcd<'_>, Carrier) -> T,
) -> Option<Result<T, CmcdError>> {
    let mut buffer = Vec::new();
    let argument = match query.filter(|query| query.contains("CMCD=")).map(|query| cmcd::query(query, &mut buffer)) {
        Some(Err(error)) => return Some(Err(error)),
        Some(Ok(argument)) => argument,
        None => None,
    };
    let mut cmcd = Cmcd::default();
    let carrier = if argument.is_some() { Carrier::Query } else { Carrier::Fields };
    let fields = [Field::Object, Field::Request, Field::Session, Field::Status].map(|name| field(name.as_str()));
    if argument.is_none() && fields.iter().all(Option::is_none) {
        return None;
    }
    let mut texts = fields.into_iter().flatten().map(|text| std::str::from_utf8(text).map_err(|_| CmcdError::Encoding));
    let said = texts.try_for_each(|text| cmcd.read(text?));
    let said = said.and_then(|()| argument.map_or(Ok(()), |text| cmcd.read(text)));
    Some(said.map(|()| then(&cmcd, carrier)))
}

/// What was told with a request.
///
/// # Errors
/// See [`read`].
pub fn hear<'a>(
    field: impl Fn(&'static str) -> Option<&'a [u8]>,
    query: Option<&str>,
) -> Option<Result<Heard, CmcdError>> {
    read(field, query, |cmcd, carrier| Heard { told: Told::of(cmcd), carrier, ignored: cmcd.ignored() })
}

/// `path_and_query` without its `CMCD` arguments.
pub fn without_query(path_and_query: &str) -> Cow<'_, str> {
    let Some((path, query)) = path_and_query.split_once('?').filter(|(_, query)| query.contains("CMCD=")) else {
        return Cow::Borrowed(path_and_query);
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("CMCD=")).collect();
    Cow::Owned(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Option<Result<Heard, CmcdError>> {
        hear(|_| None, Some(query))
    }

    #[test]
    fn the_same_is_read_from_fields_and_query() {
        let fields = |name: &str| match name {
            "cmcd-request" => Some(&b"bl=4200,mtp=2500,su"[..]),
            "cmcd-status" => Some(&b"bs,rtp=9000"[..]),
            "cmcd-session" => Some(&b"sid=\"abc\""[..]),
            _ => None,
        };
        let from_fields = hear(fields, Some("x=1")).unwrap().unwrap();
        let text = "x=1&CMCD=bl%3D4200%2Cmtp%3D2500%2Csu%2Cbs%2Crtp%3D9000%2Csid%3D%22abc%22";
        let from_query = of_query(text).unwrap().unwrap();
        assert_eq!(from_fields.told, from_query.told);
        assert_eq!((from_fields.carrier, from_query.carrier), (Carrier::Fields, Carrier::Query));
        let mut written = Vec::new();
        from_query.told.write(&mut written);
        assert_eq!(written, b"bl=4200,bs,mtp=2500,rtp=9000,sid=abc,su");
    }

    #[test]
    fn version_2_tells_numbers_by_type_of_object() {
        let heard = of_query("CMCD=ot=v,bl=(900;a%204000;v),br=(3000;v),v=2").unwrap().unwrap();
        assert_eq!((heard.told.buffer_ms, heard.told.bitrate_kbps, heard.told.is_v2), (Some(4000), Some(3000), true));
    }

    #[test]
    fn what_is_nonsense_or_beyond_bounds_has_no_effect_beyond_them() {
        assert_eq!(of_query("x=1"), None);
        let nonsense = of_query("CMCD=mtp%3Dfast%2Cbl%2C%3D").unwrap().unwrap();
        assert_eq!((nonsense.told, nonsense.ignored > 0), (Told::default(), true));
        let huge = of_query("CMCD=mtp=999999999999,bl=-5").unwrap().unwrap().told;
        assert_eq!((huge.throughput_kbps, huge.buffer_ms), (Some(KBPS_MAX), None));
        assert_eq!(of_query(&format!("CMCD={}", "x".repeat(64 << 10))), Some(Err(CmcdError::TooLarge)));
        let long = vec![b'x'; 64 << 10];
        assert_eq!(hear(|_| Some(&long), None), Some(Err(CmcdError::TooLarge)));
        assert_eq!(hear(|_| Some(&b"\xff"[..]), None), Some(Err(CmcdError::Encoding)));
    }

    #[test]
    fn the_name_of_a_session_cannot_forge_anything() {
        let told = of_query("CMCD=sid=%22a%0Ab%5C%5C,c%22").unwrap().unwrap().told;
        let mut written = Vec::new();
        told.write(&mut written);
        assert!(written.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte)), "{written:?}");
        let long = Session::of(&"x".repeat(999));
        assert_eq!(long.as_str().len(), SESSION_BYTES_MAX);
        assert_ne!(long.hash, Session::of(&"x".repeat(998)).hash);
    }

    #[test]
    fn the_argument_is_kept_out_of_the_key() {
        for (path, expected) in [("/a?CMCD=x", "/a"), ("/a?b=1&CMCD=x&c", "/a?b=1&c"), ("/a?b", "/a?b"), ("/a", "/a")] {
            assert_eq!(without_query(path), expected);
        }
    }
}
