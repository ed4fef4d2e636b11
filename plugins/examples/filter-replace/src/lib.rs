//! Replaces text in bodies as they stream, before they are stored.
//!
//! ```toml
//! config = { types = ["text/html"], replace = { "http://old.example" = "https://new.example" } }
//! ```
//!
//! What is replaced is found wherever a body is cut into pieces: the end of a piece that might begin a match is held. Of two that match
//! at one place, the longer one counts.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Piece, Point};
use serde::Deserialize;

/// Bytes of what is looked for.
const TEXT_BYTES_MAX: usize = 1024;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    #[serde(default = "types")]
    types: Vec<String>,
    replace: BTreeMap<String, String>,
}

fn types() -> Vec<String> {
    ["text/html", "application/json"].map(String::from).into()
}

impl Filter for Replace {
    const POINTS: &'static [Point] = &[Point::Origin];
    const BODIES: bool = true;

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match filter.replace.keys().any(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX)
            || filter.replace.is_empty()
        {
            true => Err(format!("replace: what is looked for has 1 to {TEXT_BYTES_MAX} bytes")),
            false => Ok(filter),
        }
    }

    fn on_origin(&mut self, x: &mut impl Exchange) -> bool {
        let media = x.field("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or("").trim();
        self.types.iter().any(|known| known.eq_ignore_ascii_case(media))
    }

    fn on_body(&mut self, data: &[u8], last: bool) -> Piece {
        let mut out = Vec::with_capacity(data.len());
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            // Longer ones come later in the order of the map.
            let found = self.replace.iter().rev().find(|(text, _)| rest.starts_with(text.as_bytes()));
            let may_begin = |text: &String| text.len() > rest.len() && text.as_bytes().starts_with(rest);
            if !last && self.replace.keys().any(may_begin) {
                break;
            }
            match found {
                Some((text, with)) => {
                    out.extend_from_slice(with.as_bytes());
                    at += text.len();
                }
                None => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        Piece { out, hold: data.len() - at }
    }
}

littoral_plugin::export_filter!(Replace, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::Sketch;

    use super::*;

    /// A body through the filter in pieces of `size`.
    fn through(filter: &mut Replace, body: &[u8], size: usize) -> Vec<u8> {
        let (mut out, mut held) = (Vec::new(), Vec::new());
        for (at, piece) in body.chunks(size).enumerate() {
            held.extend_from_slice(piece);
            let Piece { out: made, hold } = filter.on_body(&held, (at + 1) * size >= body.len());
            out.extend(made);
            held.drain(..held.len() - hold);
        }
        assert!(held.is_empty());
        out
    }

    #[test]
    fn however_a_body_is_cut_the_same_comes_out() {
        let mut filter = Replace::new(r#"{"replace": {"abc": "X", "abcd": "Y", "é": "e"}}"#).unwrap();
        let body = "xabcabcdaé ab abcé".as_bytes();
        for size in 1..=body.len() {
            assert_eq!(through(&mut filter, body, size), "xXYae ab Xe".as_bytes(), "{size}");
        }
    }

    #[test]
    fn only_bodies_of_the_named_types_are_rewritten() {
        let mut filter = Replace::new(r#"{"replace": {"a": "b"}}"#).unwrap();
        let mut asks =
            |media: &str| filter.on_origin(&mut Sketch::get("/", &[]).answered(200, &[("content-type", media)]));
        assert_eq!([asks("text/HTML; charset=utf-8"), asks("image/png"), asks("")], [true, false, false]);
    }
}
