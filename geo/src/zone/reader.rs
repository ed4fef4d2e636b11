//! Entries of a master file to records: origin, owner, TTL and class are kept from one to the next (RFC 1035 §5.1).
//!
//! Invariant: a record that is told is of class IN, has a TTL of RFC 2181 §8 and can be put into a message.

use std::str::FromStr;

use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use hickory_proto::serialize::txt::parse_ttl;

use super::data;
use super::master::{Entry, Token};
use crate::limits::TTL_SECONDS_MAX;

/// What holds for the next entry.
pub(super) struct Reader {
    origin: Name,
    owner: Option<Name>,
    /// Of `$TTL` (RFC 2308 §4).
    ttl_default: Option<u32>,
    /// The last one that a record stated.
    ttl_last: Option<u32>,
}

impl Reader {
    /// Names are relative to `origin` until the file says otherwise.
    pub(super) fn new(origin: Name) -> Self {
        Self { origin, owner: None, ttl_default: None, ttl_last: None }
    }

    /// The same with a TTL for records that state none.
    pub(super) fn with_ttl(origin: Name, ttl_default: Option<u32>) -> Self {
        Self { ttl_default, ..Self::new(origin) }
    }

    /// The record of an entry; `None` for a directive.
    ///
    /// # Errors
    /// What is wrong with it and what to write.
    pub(super) fn read(&mut self, entry: &Entry<'_>) -> Result<Option<Record>, String> {
        match entry.tokens.split_first() {
            Some((first, rest)) if !first.quoted && first.text.starts_with('$') => {
                self.directive(&first.text.to_ascii_uppercase(), rest).map(|()| None)
            }
            Some((first, rest)) if !entry.indented => {
                self.owner = Some(data::name(first, &self.origin)?);
                self.record(rest).map(Some)
            }
            _ => self.record(&entry.tokens).map(Some),
        }
    }

    fn directive(&mut self, directive: &str, values: &[Token<'_>]) -> Result<(), String> {
        match (directive, values) {
            ("$ORIGIN", [origin]) => self.origin = data::name(origin, &self.origin)?,
            ("$TTL", [value]) => {
                let wrong = || format!("$TTL {}: write seconds or such as 1h", value.text);
                self.ttl_default = Some(ttl(value.text).ok_or_else(wrong)??);
            }
            ("$INCLUDE", _) => return Err("$INCLUDE is not followed: put the records into this file".into()),
            ("$ORIGIN", _) => return Err("$ORIGIN takes one name, such as $ORIGIN example.org.".into()),
            ("$TTL", _) => return Err("$TTL takes one time, such as $TTL 3600".into()),
            _ => return Err(format!("{directive} is not known: $ORIGIN and $TTL are; write the records out")),
        }
        Ok(())
    }

    fn record(&mut self, mut tokens: &[Token<'_>]) -> Result<Record, String> {
        let mut stated = None;
        let kind = loop {
            let Some((token, rest)) = tokens.split_first() else {
                return Err("a record without a type: write NAME TTL IN TYPE DATA".into());
            };
            tokens = rest;
            match ttl(token.text) {
                Some(seconds) => stated = Some(seconds?),
                None if is_class(token.text)? => {}
                None => break kind(token.text)?,
            }
        };
        let owner = self.owner.clone().ok_or("the first record has no name: begin its line with one, or with @")?;
        self.ttl_last = stated.or(self.ttl_last);
        let ttl = self.ttl(stated).ok_or("no TTL is known for it: put a line such as $TTL 3600 before it")?;
        self.of_data(owner, ttl, kind, tokens)
    }

    /// An owner's name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn owner(&self, name: &Token<'_>) -> Result<Name, String> {
        data::name(name, &self.origin)
    }

    /// The TTL of a record that states this one, or none.
    pub(super) fn ttl(&self, stated: Option<u32>) -> Option<u32> {
        stated.or(self.ttl_default).or(self.ttl_last)
    }

    /// A type that is served.
    ///
    /// # Errors
    /// Which ones are.
    pub(super) fn kind(text: &str) -> Result<RecordType, String> {
        kind(text)
    }

    /// A record with this data.
    ///
    /// # Errors
    /// What is wrong with the data, or that no message holds the record.
    pub(super) fn of_data(
        &self,
        owner: Name,
        ttl: u32,
        kind: RecordType,
        data: &[Token<'_>],
    ) -> Result<Record, String> {
        let record = Record::from_rdata(owner, ttl, data::data(kind, data, &self.origin)?);
        let unsendable = |error| format!("this {kind} record does not fit into a message ({error}): shorten it");
        record.to_bytes().map_err(unsendable)?;
        Ok(record)
    }
}

/// A TTL in seconds or in units, such as `1h30m`; `None` when it is none.
pub(super) fn ttl(text: &str) -> Option<Result<u32, String>> {
    let long = || format!("a TTL of {text} is too long: at most {TTL_SECONDS_MAX} (RFC 2181 §8)");
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return Some(text.parse().ok().filter(|seconds| *seconds <= TTL_SECONDS_MAX).ok_or_else(long));
    }
    parse_ttl(text).ok().map(|seconds| Some(seconds).filter(|seconds| *seconds <= TTL_SECONDS_MAX).ok_or_else(long))
}

/// Whether it is the class IN.
fn is_class(text: &str) -> Result<bool, String> {
    let text = text.to_ascii_uppercase();
    let other = ["CH", "CS", "HS", "NONE"].contains(&text.as_str())
        || text.strip_prefix("CLASS").is_some_and(|code| code != "1" && code.parse::<u16>().is_ok());
    match other {
        true => Err(format!("a record of class {text}: only IN is served; write IN or remove the record")),
        false => Ok(text == "IN" || text == "CLASS1"),
    }
}

fn kind(text: &str) -> Result<RecordType, String> {
    // Written ALIAS or ANAME, as others call it.
    let upper = text.to_ascii_uppercase();
    let name = if upper == "ALIAS" { "ANAME" } else { &upper };
    let known = RecordType::from_str(name).ok().filter(|kind| data::shape(*kind).is_some());
    known.ok_or_else(|| {
        format!(
            "{text:?} is no TTL, no class and no type served here: write NAME TTL IN TYPE DATA, with a type of {}",
            data::kinds()
        )
    })
}
