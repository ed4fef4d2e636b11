//! Common Media Client Data (CTA-5004 version 1, CTA-5004-B version 2): what a player tells of itself, and its units.
//!
//! Four header fields, one query argument, lines of an event report and JSON all come down to one text of `key=value` pairs,
//! structured fields (RFC 9651) in kind. [`Cmcd`] reads it without copying; [`query`] and [`json`] make that text in a buffer of the
//! caller's. Keys it does not know, custom ones among them, and what is malformed are passed over and counted.
//!
//! Invariant: nothing is read beyond [`CMCD_BYTES_MAX`] and [`CMCD_PAIRS_MAX`]; no text makes it panic.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::limits::{CMCD_BYTES_MAX, CMCD_PAIRS_MAX};

mod carriers;
mod key;
mod value;

pub use carriers::{json, query};
pub use key::{Field, Key, Unit};
pub use value::{Item, Value};

/// Why CMCD cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CmcdError {
    /// More than [`CMCD_BYTES_MAX`].
    #[error("the CMCD has more than {CMCD_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`CMCD_PAIRS_MAX`].
    #[error("the CMCD has more than {CMCD_PAIRS_MAX} keys")]
    TooMany,
    /// No JSON object.
    #[error("the CMCD is no JSON object of numbers, strings, booleans and lists of them")]
    Json,
    /// No UTF-8 once percent-decoded.
    #[error("the CMCD is no UTF-8")]
    Encoding,
}

/// What a player said with one request, or of one event. The last of several values of a key counts.
///
/// ```
/// use littoral_manifests::cmcd::{Cmcd, Key};
///
/// let mut cmcd = Cmcd::default();
/// cmcd.read("bl=4200,mtp=25400,su").unwrap();
/// cmcd.read(r#"sid="6e2f""#).unwrap();
/// assert_eq!((cmcd.number(Key::Bl), cmcd.flag(Key::Su), cmcd.text(Key::Sid)), (Some(4200), true, Some("6e2f")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmcd<'a> {
    values: [Option<Value<'a>>; Key::COUNT],
    pairs: usize,
    ignored: usize,
}

impl Default for Cmcd<'_> {
    fn default() -> Self {
        Self { values: [None; Key::COUNT], pairs: 0, ignored: 0 }
    }
}

impl<'a> Cmcd<'a> {
    /// Reads a field, a decoded query argument or a line of a report, beside what was read before.
    ///
    /// # Errors
    /// [`CmcdError::TooLarge`] before anything of it is read; [`CmcdError::TooMany`] with what was read so far kept.
    pub fn read(&mut self, text: &'a str) -> Result<(), CmcdError> {
        if text.len() > CMCD_BYTES_MAX {
            return Err(CmcdError::TooLarge);
        }
        let mut at = 0;
        while let Some(pair) = value::next_pair(text, at) {
            self.pairs += 1;
            if self.pairs > CMCD_PAIRS_MAX {
                return Err(CmcdError::TooMany);
            }
            match (pair.key, pair.value) {
                (Some(key), Some(value)) if key.takes(value) => self.values[key as usize] = Some(value),
                _ => self.ignored += 1,
            }
            at = pair.end;
        }
        Ok(())
    }

    /// Pairs that were malformed, of the wrong type, or of a key that is not known.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The version of what was said; 1 when it was not.
    pub fn version(&self) -> i64 {
        self.number(Key::V).unwrap_or(1)
    }

    /// Whether nothing was said that is known.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// A value as it was said.
    pub fn get(&self, key: Key) -> Option<Value<'a>> {
        self.values[key as usize]
    }

    /// All that was said, in the order of [`Key`].
    pub fn iter(&self) -> impl Iterator<Item = (Key, Value<'a>)> + '_ {
        Key::ALL.iter().filter_map(|key| Some((*key, self.get(*key)?)))
    }

    /// A whole number in the unit of its key; of a list (version 2) its first, of a decimal its whole part.
    pub fn number(&self, key: Key) -> Option<i64> {
        match self.get(key)? {
            Value::List(_) => self.get(key)?.items().find_map(|item| item.value.whole()),
            value => value.whole(),
        }
    }

    /// A number of a list (version 2) for one object type, such as `v`; else as [`Self::number`].
    pub fn number_for(&self, key: Key, object_type: &str) -> Option<i64> {
        let mut items = self.get(key)?.items();
        items.find(|item| item.has(object_type)).and_then(|item| item.value.whole()).or_else(|| self.number(key))
    }

    /// A number in thousandths, such as a playback rate.
    pub fn thousandths(&self, key: Key) -> Option<i64> {
        match self.get(key)? {
            Value::Decimal(thousandths) => Some(thousandths),
            value => value.whole()?.checked_mul(1000),
        }
    }

    /// Whether something is said to be so.
    pub fn flag(&self, key: Key) -> bool {
        matches!(self.get(key), Some(Value::Flag(true)))
    }

    /// A string or a token; backslashes in a string are as they were sent.
    pub fn text(&self, key: Key) -> Option<&'a str> {
        match self.get(key)? {
            Value::Text(text) | Value::Token(text) => Some(text),
            _ => None,
        }
    }

    /// What the player asks for next (`nor`, `nrr`): URLs relative to that of the request, percent-decoded, each with a byte range
    /// such as `0-999`.
    pub fn next_objects(&self) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a str>)> {
        let decoded = |text: &'a str| percent_decode_str(text).decode_utf8().ok();
        let listed = self.get(Key::Nor).into_iter().flat_map(|value| value.items());
        let range = self.text(Key::Nrr);
        listed.filter_map(move |item| match item.value {
            Value::Text(text) => Some((decoded(text)?, item.parameter("r").or(range))),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
