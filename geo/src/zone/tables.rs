//! Zones written in TOML: each record a table of name, type, TTL and data, in a file of its own or in the node's config.
//!
//! Names, types, times and data are written as in a master file and read by the same reader; only what holds from one record to the next does not
//! exist here. Invariant: a zone that is read is the one that a master file with these records would be.

use std::fmt;
use std::str::FromStr;

use hickory_proto::rr::{Name, Record};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use toml::de::DeTable;

use super::master::{Entries, Token};
use super::reader::Reader;
use super::{Records, Sets, Zone, alias_owner, apex};
use crate::director::GeoError;

/// What a zone's tables say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneTables {
    /// TTL of records that state none.
    pub ttl: Option<Time>,
    /// Its records.
    #[serde(default)]
    pub record: Vec<RecordTable>,
}

/// One record, or several of one name, type and TTL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordTable {
    /// Relative to the zone unless it ends in a dot; `@` is the zone.
    pub name: String,
    /// As master files name it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its TTL.
    pub ttl: Option<Time>,
    /// As master files write it.
    pub data: Data,
}

/// A TTL as it is written: seconds, or units in quotes, such as `"1h"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time(String);

/// Data of one record, or of each of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data(Vec<String>);

/// The key of a value, from the zone's table on, and what is wrong with it.
pub type Misplaced = (String, String);

struct ReadTime;
struct ReadData;

impl Visitor<'_> for ReadTime {
    type Value = Time;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds, or a time in quotes, such as \"1h\"")
    }
    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
        Ok(Time(seconds.to_string()))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        Ok(Time(text.to_owned()))
    }
}

impl<'de> Visitor<'de> for ReadData {
    type Value = Data;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of a record in quotes, such as \"192.0.2.1\", or a list of them")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Data, E> {
        Ok(Data(vec![text.to_owned()]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Data, A::Error> {
        let mut data = Vec::new();
        while let Some(one) = all.next_element()? {
            data.push(one);
        }
        Ok(Data(data))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadTime)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadData)
    }
}

impl ZoneTables {
    /// Whether they are a zone of this name.
    ///
    /// # Errors
    /// Which key, and what is wrong with its value.
    pub fn check(&self, name: &str) -> Result<(), Misplaced> {
        Zone::of_tables(name, self).map(|_| ())
    }
}

impl RecordTable {
    /// The record with one of its data.
    fn record(&self, reader: &mut Reader, data: &str) -> Result<Record, (&'static str, String)> {
        let of = |key: &'static str| move |problem: String| (key, problem);
        let owner = reader.owner(&word(&self.name).map_err(of("name"))?).map_err(of("name"))?;
        let kind = Reader::kind(word(&self.kind).map_err(of("type"))?.text).map_err(of("type"))?;
        let stated = self.ttl.as_ref().map(|ttl| time(ttl).map_err(of("ttl"))).transpose()?;
        let ttl = reader.ttl(stated).ok_or_else(|| {
            ("name", "no TTL is known for it: add ttl to the record, or to the zone for all".to_owned())
        })?;
        let tokens = tokens(data).map_err(of("data"))?;
        reader.of_data(owner, ttl, kind, &tokens).map_err(of("data"))
    }
}

fn time(time: &Time) -> Result<u32, String> {
    super::reader::ttl(&time.0)
        .unwrap_or_else(|| Err(format!("{:?} is no time: write seconds or such as \"1h\"", time.0)))
}

/// What stands in a value as one line of a master file has it.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut entries = Entries::new(text);
    let said = |(_, problem)| problem;
    let first = entries.next().map_err(said)?;
    if entries.next().map_err(said)?.is_some() {
        return Err("more than one line: write a list, with the data of one record in each string".into());
    }
    match entries.has_comment() {
        // In a file of records one sees where a comment begins.
        true => Err("a ; would begin a comment: quote the string that has it, or remove it".into()),
        false => Ok(first.map(|entry| entry.tokens).unwrap_or_default()),
    }
}

/// A value that is one word.
fn word(text: &str) -> Result<Token<'_>, String> {
    match tokens(text)?[..] {
        [token] if !token.quoted => Ok(token),
        _ => Err(format!("{text:?}: write one word")),
    }
}

impl Zone {
    /// Of tables.
    ///
    /// # Errors
    /// Which key, and what is wrong with its value.
    pub fn of_tables(name: &str, tables: &ZoneTables) -> Result<Self, Misplaced> {
        let in_one_line = |text: String| text.replace(char::is_control, " ");
        let problem = |text: String| ("record".to_owned(), in_one_line(text));
        let apex: Name = apex(name).map_err(problem)?;
        let default =
            tables.ttl.as_ref().map(time).transpose().map_err(|text| ("ttl".to_owned(), in_one_line(text)))?;
        let mut reader = Reader::with_ttl(apex.clone(), default);
        let (mut records, mut aliases) = (Records::of(apex.into(), Sets::new()), Vec::new());
        for (at, table) in tables.record.iter().enumerate() {
            let wrong = |(key, text): (&str, String)| (format!("record.{at}.{key}"), in_one_line(text));
            if table.data.0.is_empty() {
                return Err(wrong(("data", "it has no data: write that of one record at least".into())));
            }
            for data in &table.data.0 {
                let record = table.record(&mut reader, data).map_err(wrong)?;
                aliases.extend(alias_owner(&record).map(|owner| (owner, at)));
                records.add(record).map_err(|text| wrong(("name", text)))?;
            }
        }
        let zone = records.zone().map_err(problem)?;
        zone.alias_loop(&aliases).map_or(Ok(zone), |(at, text)| Err((format!("record.{at}.data"), in_one_line(text))))
    }

    /// Reads a file of tables at hand. `place` names it in errors.
    ///
    /// # Errors
    /// One line with file, line, key and what to do.
    pub fn parse_tables(name: &str, text: &str, place: &str) -> Result<Self, GeoError> {
        let line = |at: usize| 1 + text.get(..at).unwrap_or(text).matches('\n').count();
        let tables: ZoneTables = toml::from_str(text).map_err(|error| {
            let says = error.message().lines().collect::<Vec<_>>().join(" ");
            GeoError(format!("{place}:{}: {says}", error.span().map_or(1, |span| line(span.start))))
        })?;
        Self::of_tables(name, &tables).map_err(|(key, problem)| {
            GeoError(format!("{place}:{}: {key}: {problem}", offset(text, &key).map_or(1, line)))
        })
    }
}

/// Where the value of a key begins, or of what holds it.
fn offset(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut steps = key.split('.');
    let mut value = root.get_ref().get(steps.next()?)?;
    for step in steps {
        let inner = usize::from_str(step).ok().and_then(|place| value.get_ref().get(place));
        let Some(inner) = inner.or_else(|| value.get_ref().get(step)) else { break };
        value = inner;
    }
    Some(value.span().start)
}

#[cfg(test)]
mod tests;
