//! CMCD out of a query and out of JSON, as the text [`super::Cmcd::read`] takes.

use std::fmt::Write;

use percent_encoding::percent_decode_str;
use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};

use super::CmcdError;
use crate::limits::CMCD_BYTES_MAX;

/// The decoded value of the first argument `CMCD` of a query, in `buffer`; `None` when it has none.
///
/// # Errors
/// [`CmcdError::TooLarge`] when the argument, encoded, has more than three times the bytes that are read;
/// [`CmcdError::Encoding`] when it is no UTF-8.
pub fn query<'b>(query: &str, buffer: &'b mut Vec<u8>) -> Result<Option<&'b str>, CmcdError> {
    let Some(encoded) = query.split('&').find_map(|argument| argument.strip_prefix("CMCD=")) else {
        return Ok(None);
    };
    if encoded.len() > 3 * CMCD_BYTES_MAX {
        return Err(CmcdError::TooLarge);
    }
    buffer.clear();
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
        buffer.extend_from_slice(&rest.as_bytes()[..at]);
        let end = (at + 3).min(rest.len());
        // Cut in the middle of a character it is no escape.
        let end = if rest.is_char_boundary(end) { end } else { at + 1 };
        buffer.extend(percent_decode_str(&rest[at..end]));
        rest = &rest[end..];
    }
    buffer.extend_from_slice(rest.as_bytes());
    std::str::from_utf8(buffer).map(Some).map_err(|_| CmcdError::Encoding)
}

/// One JSON object of keys and values, as pairs, in `buffer`.
///
/// # Errors
/// [`CmcdError::TooLarge`] before it is read; [`CmcdError::Json`] when it is no such object.
pub fn json<'b>(text: &str, buffer: &'b mut String) -> Result<&'b str, CmcdError> {
    if text.len() > CMCD_BYTES_MAX {
        return Err(CmcdError::TooLarge);
    }
    buffer.clear();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json.deserialize_map(Pairs(buffer)).and_then(|()| json.end());
    read.map(|()| buffer.as_str()).map_err(|_| CmcdError::Json)
}

/// Writes an object as pairs.
struct Pairs<'b>(&'b mut String);

impl<'de> Visitor<'de> for Pairs<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte);
            if key.is_empty() || !key.bytes().all(is_key) {
                return Err(M::Error::custom("no key"));
            }
            if !self.0.is_empty() {
                self.0.push(',');
            }
            self.0.push_str(&key);
            self.0.push('=');
            map.next_value_seed(Written { into: self.0, is_inner: false })?;
        }
        Ok(())
    }
}

/// Writes a value as a structured field.
struct Written<'b> {
    into: &'b mut String,
    /// Lists have no lists.
    is_inner: bool,
}

impl<'de> serde::de::DeserializeSeed<'de> for Written<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Written<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, a string, a boolean or a list of them")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.into.push_str(if value { "?1" } else { "?0" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        write!(self.into, "{value}").map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        write!(self.into, "{value}").map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        write!(self.into, "{value:.3}").map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        crate::cmsd::quoted(value, self.into);
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        if self.is_inner {
            return Err(S::Error::custom("a list in a list"));
        }
        self.into.push('(');
        let begun = self.into.len();
        while list.next_element_seed(Written { into: self.into, is_inner: true })?.is_some() {
            self.into.push(' ');
        }
        if self.into.len() > begun {
            self.into.pop();
        }
        self.into.push(')');
        Ok(())
    }
}
