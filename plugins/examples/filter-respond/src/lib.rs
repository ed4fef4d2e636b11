//! Answers some paths by itself: `robots.txt`, a maintenance page, an honest 410.
//!
//! ```toml
//! config = { answers = { "/robots.txt" = { body = "User-agent: *\nDisallow: /\n" }, "/gone/*" = { status = 410 } } }
//! ```
//!
//! A path that ends with `*` is a prefix; exact paths go before it, longer prefixes before shorter ones.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// One answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    status: u16,
    content_type: String,
    body: String,
    fields: BTreeMap<String, String>,
}

impl Default for Answer {
    fn default() -> Self {
        let content_type = "text/plain; charset=utf-8".to_owned();
        Self { status: 200, content_type, body: String::new(), fields: BTreeMap::new() }
    }
}

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    answers: BTreeMap<String, Answer>,
}

impl Respond {
    fn find(&self, path: &str) -> Option<&Answer> {
        let is_of = |rule: &&String| rule.strip_suffix('*').is_some_and(|start| path.starts_with(start));
        let longest = || self.answers.keys().filter(is_of).max_by_key(|rule| rule.len());
        self.answers.get(path).or_else(|| self.answers.get(longest()?))
    }
}

impl Filter for Respond {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match filter.answers.iter().find(|(_, answer)| !(200..=599).contains(&answer.status)) {
            Some((path, answer)) => Err(format!("answers.{path:?}: {} is no status; 200 to 599 are", answer.status)),
            None => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let target = x.target();
        let answer = self.find(target.split('?').next().unwrap_or(""))?;
        let mut fields = vec![("content-type".to_owned(), answer.content_type.clone())];
        fields.extend(answer.fields.clone());
        Some(Reply { status: answer.status, fields, body: answer.body.clone().into_bytes() })
    }
}

littoral_plugin::export_filter!(Respond, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    #[test]
    fn an_exact_path_goes_before_the_longest_prefix_and_others_pass() {
        let config = r#"{"answers": {"/a*": {"status": 410}, "/ab*": {"status": 503}, "/abc": {"body": "x"}}}"#;
        let mut filter = Respond::new(config).unwrap();
        let mut status = |target: &str| {
            filter.on_request(&mut Sketch::get(target, &[]), &mut Shelf::default()).map(|reply| reply.status)
        };
        assert_eq!(["/abc?q", "/abd", "/ax", "/b"].map(&mut status), [Some(200), Some(503), Some(410), None]);
        assert!(Respond::new(r#"{"answers": {"/": {"status": 100}}}"#).is_err());
    }
}
