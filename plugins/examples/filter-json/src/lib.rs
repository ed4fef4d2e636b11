//! Takes members out of JSON bodies, or gives them another value, as the bodies stream and before they are stored.
//!
//! ```toml
//! on_fault = "closed"
//! config = { types = ["application/json"], remove = ["/user/email", "/items/*/cost"], set = { "/links/self" = "https://www.example/" } }
//! ```
//!
//! A path is a JSON pointer (RFC 6901); `*` stands for every member or element. What is set has to be there already. Nothing of a body is
//! kept but the path to where it is read, so that one of any length takes the same memory; white space between tokens is left out. A body
//! that is no JSON, or nests deeper than 128, fails the filter where it stops being some: with `on_fault = "closed"` it is cut off there, with
//! `open` the rest passes as it is. Say `closed` where what is removed must not be seen.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Piece, Point};
use serde::Deserialize;

mod machine;
mod rules;

use machine::Machine;
use rules::Rules;

/// The operator's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "types")]
    types: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, serde_json::Value>,
}

fn types() -> Vec<String> {
    vec!["application/json".to_owned()]
}

/// The filter.
#[derive(Debug)]
pub struct Json {
    types: Vec<String>,
    rules: Rules,
    machine: Machine,
}

impl Filter for Json {
    const POINTS: &'static [Point] = &[Point::Origin];
    const BODIES: bool = true;

    fn new(config: &str) -> Result<Self, String> {
        let Config { types, remove, set } = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let set = set.into_iter().map(|(path, value)| (path, Some(value.to_string())));
        let rules = Rules::of(remove.into_iter().map(|path| (path, None)).chain(set))?;
        Ok(Self { types, rules, machine: Machine::default() })
    }

    fn on_origin(&mut self, x: &mut impl Exchange) -> bool {
        let media = x.field("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or("").trim();
        self.machine = Machine::default();
        self.types.iter().any(|known| known.eq_ignore_ascii_case(media))
    }

    fn on_body(&mut self, data: &[u8], last: bool) -> Piece {
        let mut out = Vec::with_capacity(data.len());
        let read = self.machine.read(&self.rules, data, &mut out).and_then(|()| match last {
            true => self.machine.end(),
            false => Ok(()),
        });
        // A fault, so that the operator's `on_fault` says what becomes of the rest.
        assert!(read.is_ok(), "{}", read.err().unwrap_or_default());
        Piece { out, hold: 0 }
    }
}

littoral_plugin::export_filter!(Json, "../../wit");

#[cfg(test)]
mod tests;
