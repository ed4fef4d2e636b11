//! Values of structured fields (RFC 9651), as far as CMCD has them, borrowed from the text.

use super::Key;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Whole words, which are copied faster than the bytes of a smaller tag.
#[repr(u64)]
pub enum Value<'a> {
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A decimal number, in thousandths.
    Decimal(i64),
    /// What is between the quotes of a string.
    Text(&'a str),
    /// A word.
    Token(&'a str),
    /// What is between the parentheses of an inner list; [`Value::items`] reads it.
    List(&'a str),
}

/// One of a list, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub value: Value<'a>,
    parameters: &'a str,
}

impl<'a> Value<'a> {
    /// The whole number it is, or the whole part of a decimal.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Decimal(thousandths) => Some(thousandths / 1000),
            _ => None,
        }
    }

    /// What a list holds; anything else as a list of itself. What is malformed ends it.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let (mut rest, mut single) = match self {
            Self::List(inner) => (*inner, None),
            value => ("", Some(Item { value: *value, parameters: "" })),
        };
        std::iter::from_fn(move || {
            if single.is_some() {
                return single.take();
            }
            rest = rest.trim_start_matches(' ');
            let (value, at) = value(rest, 0)?;
            let end = at + unquoted(&rest.as_bytes()[at..], |byte| byte == b' ');
            let item = Item { value, parameters: rest.get(at..end)? };
            rest = rest.get(end..)?;
            Some(item)
        })
    }
}

impl<'a> Item<'a> {
    /// Whether it has a parameter without a value, such as `v` in `5000;v`.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.split(';').skip(1).any(|parameter| parameter == name)
    }

    /// A parameter that is a string or a word.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.parameters;
        while let Some(behind) = rest.strip_prefix(';') {
            let end = unquoted(behind.as_bytes(), |byte| byte == b';');
            if let Some((found, text)) = behind[..end].split_once('=')
                && found == name
            {
                return match value(text, 0)? {
                    (Value::Text(text) | Value::Token(text), _) => Some(text),
                    _ => None,
                };
            }
            rest = &behind[end..];
        }
        None
    }
}

/// A pair of a dictionary.
pub(super) struct Pair<'a> {
    pub(super) key: Option<Key>,
    /// `None` when it is malformed.
    pub(super) value: Option<Value<'a>>,
    /// Where the next one may begin.
    pub(super) end: usize,
}

/// The next pair at `from` or behind it. Text is only cut where a value is, for each cut is checked.
#[inline(always)]
pub(super) fn next_pair(text: &str, mut from: usize) -> Option<Pair<'_>> {
    let bytes = text.as_bytes();
    while matches!(bytes.get(from)?, b' ' | b'\t' | b',') {
        from += 1;
    }
    let (mut end, mut packed) = (from, 0_u64);
    while end < bytes.len() && !matches!(bytes[end], b'=' | b',' | b';' | b' ' | b'\t') {
        packed = packed << 8 | u64::from(bytes[end]);
        end += 1;
    }
    let key = if end - from <= 8 && bytes[from] != 0 { Key::of_packed(packed) } else { None };
    let (found, end) = if end < bytes.len() && bytes[end] == b'=' {
        value(text, end + 1).map_or((None, end + 1), |(found, end)| (Some(found), end))
    } else {
        (Some(Value::Flag(true)), end)
    };
    if end >= bytes.len() || bytes[end] == b',' {
        return Some(Pair { key, value: found, end });
    }
    // Parameters, or what is malformed: to the next pair.
    let behind = end + unquoted(&bytes[end..], |byte| byte == b',');
    let rest = bytes[end..behind].trim_ascii();
    let is_fine = rest.is_empty() || rest[0] == b';';
    Some(Pair { key, value: found.filter(|_| is_fine), end: behind })
}

/// Reads one value, without parameters, at `at`; also where it ends.
#[inline(always)]
fn value(text: &str, at: usize) -> Option<(Value<'_>, usize)> {
    let bytes = text.as_bytes();
    match *bytes.get(at)? {
        b'0'..=b'9' | b'-' => number(bytes, at),
        b'"' => {
            let end = at + 1 + string_end(&bytes[at + 1..])?;
            Some((Value::Text(&text[at + 1..end]), end + 1))
        }
        b'(' => {
            let end = at + 1 + unquoted(&bytes[at + 1..], |byte| byte == b')');
            (end < bytes.len()).then(|| (Value::List(&text[at + 1..end]), end + 1))
        }
        b'?' => match bytes.get(at + 1)? {
            b'0' => Some((Value::Flag(false), at + 2)),
            b'1' => Some((Value::Flag(true), at + 2)),
            _ => None,
        },
        b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
            let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
            let mut end = at + 1;
            while end < bytes.len() && !matches!(bytes[end], b',' | b';' | b' ') && is_in(bytes[end]) {
                end += 1;
            }
            Some((Value::Token(&text[at..end]), end))
        }
        _ => None,
    }
}

/// A number: fifteen digits, or twelve and three behind the point; further digits behind it are cut off.
#[inline(always)]
fn number<'a>(bytes: &[u8], at: usize) -> Option<(Value<'a>, usize)> {
    let is_negative = bytes[at] == b'-';
    let from = at + usize::from(is_negative);
    let (mut whole, mut end) = (0_i64, from);
    while end < bytes.len() && bytes[end].is_ascii_digit() && end - from <= 15 {
        whole = whole * 10 + i64::from(bytes[end] - b'0');
        end += 1;
    }
    if end == from || end - from > 15 {
        return None;
    }
    let sign = if is_negative { -1 } else { 1 };
    if end >= bytes.len() || bytes[end] != b'.' {
        return Some((Value::Integer(sign * whole), end));
    }
    let (mut thousandths, mut place, point) = (0, 100, end);
    end += 1;
    while end < bytes.len() && bytes[end].is_ascii_digit() {
        thousandths += i64::from(bytes[end] - b'0') * place;
        place /= 10;
        end += 1;
    }
    (end > point + 1).then_some((Value::Decimal(sign * (whole * 1000 + thousandths)), end))
}

/// Where the first byte outside of strings is that `ends` says; the length when there is none.
#[inline]
fn unquoted(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => match string_end(&bytes[at + 1..]) {
                Some(end) => at += end + 2,
                None => return bytes.len(),
            },
            byte if ends(byte) => return at,
            _ => at += 1,
        }
    }
    at
}

/// Where the quote is that ends a string.
#[inline]
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}
