//! What a guest may change of a message, and whether what it says is allowed.
//!
//! Changes are noted, not made: they take effect only when the call that made them ends well. Reading sees them.
//! Invariant: what is in [`Changes`] can be put into a message without a further look.

use std::any::Any;
use std::net::IpAddr;

use super::limits::{CHANGES_MAX, NAME_BYTES_MAX, REPLY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::rollout::who;

/// A request and perhaps its response, lent to a filter for one call.
pub trait Exchange: Any + Send + Sync {
    /// Of the request.
    fn method(&self) -> &str;
    /// Normalised.
    fn host(&self) -> &str;
    /// Path and query.
    fn target(&self) -> &str;
    /// `None` when there is no client.
    fn client(&self) -> Option<IpAddr>;
    /// Whether it came over TLS.
    fn is_secure(&self) -> bool;
    /// Of the response; 0 before there is one.
    fn status(&self) -> u16;
    /// The client's country in two capital letters, and its autonomous system; `None` and 0: not known.
    fn place(&self) -> (Option<[u8; 2]>, u32) {
        (None, 0)
    }
    /// Whom it is about: the same for all that one client asks, or, where there is none, for all that is asked of one URL.
    fn who(&self) -> u64 {
        who(self.client(), self.host(), self.target())
    }
    /// The value at `index` of a field of the request or of the response.
    fn field(&self, of_request: bool, name: &str, index: usize) -> Option<&[u8]>;
}

/// A change of one field; names are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has this value alone.
    Set(String, Vec<u8>),
    /// It has this value too.
    Add(String, Vec<u8>),
    /// It is not there.
    Remove(String),
}

/// What a call changed, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of fields of the message at hand.
    pub fields: Vec<Change>,
    /// Path and query.
    pub target: Option<String>,
    /// What it kept, on its way to [`super::Called::kept`].
    pub(super) kept: Option<Vec<u8>>,
}

/// A response of a filter's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Checked; names are lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Change {
    /// The field it is of.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name) => name,
        }
    }

    /// All values of a field that had `values`, after `changes`.
    pub fn over<'a>(changes: &'a [Self], name: &str, mut values: Vec<&'a [u8]>) -> Vec<&'a [u8]> {
        for change in changes.iter().filter(|change| change.name() == name) {
            match change {
                Self::Set(_, value) => values = vec![value],
                Self::Add(_, value) => values.push(value),
                Self::Remove(_) => values.clear(),
            }
        }
        values
    }
}

impl Changes {
    /// Notes a change.
    ///
    /// # Errors
    /// That there are too many.
    pub(super) fn note(&mut self, change: Change) -> Result<(), String> {
        if self.fields.len() >= CHANGES_MAX {
            return Err(format!("more than {CHANGES_MAX} changes by one call"));
        }
        self.fields.push(change);
        Ok(())
    }

    /// All values of a field of the message, as they would be after these changes.
    pub(super) fn values<'a>(&'a self, exchange: &'a dyn Exchange, of_request: bool, name: &str) -> Vec<&'a [u8]> {
        let values = (0..).map_while(|index| exchange.field(of_request, name, index)).collect();
        Change::over(&self.fields, name, values)
    }

    /// The first of them. Without an allocation where nothing was changed.
    pub(super) fn first<'a>(&'a self, exchange: &'a dyn Exchange, of_request: bool, name: &str) -> Option<&'a [u8]> {
        match self.fields.iter().any(|change| change.name() == name) {
            true => self.values(exchange, of_request, name).first().copied(),
            false => exchange.field(of_request, name, 0),
        }
    }
}

/// What a byte of a field name is in lower case; 0: it can be none (RFC 9110 §5.6.2).
const TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    while byte < 0x7f {
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~") {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

const fn is_one_of(byte: u8, mut bytes: &[u8]) -> bool {
    while let [first, rest @ ..] = bytes {
        if byte == *first {
            return true;
        }
        bytes = rest;
    }
    false
}

/// A field name in lower case, of a field that may be looked at.
///
/// # Errors
/// That it is none.
pub(super) fn name(mut name: String) -> Result<String, String> {
    // All of them, for names are short: that is faster than to look after each whether to go on.
    let is_token = || name.bytes().fold(true, |so_far, byte| so_far & (TOKEN[usize::from(byte)] != 0));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_token() {
        return Err(format!("{:?} is no field name", name.get(..name.len().min(64)).unwrap_or_default()));
    }
    name.make_ascii_lowercase();
    Ok(name)
}

/// A field name in lower case, of a field that a guest may change.
///
/// # Errors
/// Why not.
pub(crate) fn own_name(of: String) -> Result<String, String> {
    let name = name(of)?;
    match is_the_nodes(&name) {
        true => Err(format!("{name} is the node's own field")),
        false => Ok(name),
    }
}

/// Whether a field frames a message, ends at this hop, or is the node's own. Lengths tell most names apart here.
fn is_the_nodes(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "cache-status"
            | "cdn-loop"
            | "connection"
            | "content-length"
            | "content-range"
            | "date"
            | "expect"
            | "host"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-served-by"
    )
}

/// A field value (RFC 9110 §5.5) without white space around it.
///
/// # Errors
/// Why it is none.
pub(crate) fn value(mut value: Vec<u8>) -> Result<Vec<u8>, String> {
    let is_allowed = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if value.len() > VALUE_BYTES_MAX || !value.iter().all(is_allowed) {
        return Err("a field value with control characters, or of too many bytes".into());
    }
    if value.first().is_some_and(u8::is_ascii_whitespace) || value.last().is_some_and(u8::is_ascii_whitespace) {
        value = value.trim_ascii().to_vec();
    }
    Ok(value)
}

/// A path and query.
///
/// # Errors
/// Why it is none.
pub(crate) fn target(target: String) -> Result<String, String> {
    let visible = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    match target.len() <= VALUE_BYTES_MAX && target.starts_with('/') && target.bytes().all(visible) {
        true => Ok(target),
        false => Err("a target that is no path and query in visible ASCII".into()),
    }
}

/// A reply as a guest gives it.
///
/// # Errors
/// What of it is not allowed.
pub(super) fn reply(status: u16, fields: Vec<(String, Vec<u8>)>, body: Vec<u8>) -> Result<Reply, String> {
    if !(200..=599).contains(&status) {
        return Err(format!("a reply of status {status}: 200 to 599 are"));
    }
    if fields.len() > CHANGES_MAX || body.len() > REPLY_BYTES_MAX {
        return Err("a reply of too many fields or bytes".into());
    }
    let fields = fields.into_iter().map(|(name, of)| Ok((own_name(name)?, value(of)?)));
    Ok(Reply { status, fields: fields.collect::<Result<_, String>>()?, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_none_that_frames_a_message_or_is_the_nodes_own() {
        for wrong in
            ["", "a b", "a:b", "a\r\nb", "\0", "ä", ":path", "Content-Length", "transfer-ENCODING", "Via", "host"]
        {
            assert!(own_name(wrong.into()).is_err(), "{wrong:?}");
        }
        assert!(own_name("a".repeat(NAME_BYTES_MAX + 1)).is_err());
        assert_eq!(own_name("X-Frame-Options".into()).unwrap(), "x-frame-options");
        let tokens = (0..=255u8).filter(|byte| TOKEN[usize::from(*byte)] != 0);
        let said = "!#$%&'*+-.^_`|~".bytes().chain(b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z');
        assert!(tokens.eq(said.collect::<std::collections::BTreeSet<_>>()), "RFC 9110 §5.6.2");
    }

    #[test]
    fn values_cannot_end_a_line() {
        for wrong in ["a\r\nb: c", "a\n", "a\0", "\x7f"] {
            assert!(value(wrong.into()).is_err(), "{wrong:?}");
        }
        assert!(value(vec![b'a'; VALUE_BYTES_MAX + 1]).is_err());
        assert_eq!(value(" a\tb ".into()).unwrap(), b"a\tb");
        assert_eq!(value("ü".into()).unwrap(), "ü".as_bytes());
    }

    #[test]
    fn a_target_is_a_path_of_the_same_host() {
        for wrong in ["", "a", "http://other.example/", "/a b", "/a\r\n", "/#f", "/ä"] {
            assert!(target(wrong.into()).is_err(), "{wrong:?}");
        }
        assert_eq!(target("/a?b=%20".into()).unwrap(), "/a?b=%20");
    }

    #[test]
    fn replies_are_final_responses() {
        for status in [0, 101, 199, 600] {
            assert!(reply(status, Vec::new(), Vec::new()).is_err(), "{status}");
        }
        assert!(reply(200, vec![("connection".into(), b"close".into())], Vec::new()).is_err());
        assert!(reply(200, Vec::new(), vec![0; REPLY_BYTES_MAX + 1]).is_err());
        assert!(reply(403, vec![("X".into(), b"y".into())], Vec::new()).is_ok_and(|reply| reply.fields[0].0 == "x"));
    }
}
