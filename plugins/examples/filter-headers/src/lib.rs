//! Sets, adds and removes fields of requests, of origins' responses before they are stored, and of responses to clients.
//!
//! ```toml
//! config = { response = { set = { x-frame-options = "DENY" }, remove = ["server"] }, request = { set = { x-tier = "edge" } } }
//! ```

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// What is done to the fields of one message.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Edits {
    remove: Vec<String>,
    set: BTreeMap<String, String>,
    add: BTreeMap<String, String>,
}

/// The filter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    request: Edits,
    origin: Edits,
    response: Edits,
}

impl Edits {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn make(&self, x: &mut impl Exchange) {
        self.remove.iter().for_each(|name| x.remove_field(name));
        self.set.iter().for_each(|(name, value)| x.set_field(name, value));
        self.add.iter().for_each(|(name, value)| x.add_field(name, value));
    }
}

impl Filter for Headers {
    const POINTS: &'static [Point] = &[Point::Request, Point::Origin, Point::Response];

    fn new(config: &str) -> Result<Self, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }

    fn points(&self) -> Vec<Point> {
        let edits = [&self.request, &self.origin, &self.response];
        let edited = Self::POINTS.iter().zip(edits).filter(|(_, edits)| !edits.is_empty());
        let points: Vec<Point> = edited.map(|(point, _)| *point).collect();
        // One there has to be; this one is not asked for hits.
        if points.is_empty() { vec![Point::Origin] } else { points }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        self.request.make(x);
        None
    }

    fn on_origin(&mut self, x: &mut impl Exchange) -> bool {
        self.origin.make(x);
        false
    }

    fn on_response(&mut self, x: &mut impl Exchange) {
        self.response.make(x);
    }
}

littoral_plugin::export_filter!(Headers, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    #[test]
    fn each_message_is_edited_by_its_own_table() {
        let config =
            r#"{"request": {"set": {"x-a": "1"}}, "response": {"remove": ["server"], "add": {"vary": "x-a"}}}"#;
        let mut headers = Headers::new(config).unwrap();
        let mut x = Sketch::get("/", &[("x-a", "0")]);
        assert_eq!(headers.on_request(&mut x, &mut Shelf::default()), None);
        assert_eq!(x.fields("x-a"), ["1"]);
        let mut x = x.answered(200, &[("server", "x"), ("vary", "accept")]);
        headers.on_response(&mut x);
        assert_eq!((x.field("server"), x.fields("vary").len()), (None, 2));
    }

    #[test]
    fn it_is_called_only_where_it_has_something_to_do() {
        let points = |config: &str| Headers::new(config).unwrap().points();
        assert_eq!(points(r#"{"response": {"remove": ["server"]}}"#), [Point::Response]);
        assert_eq!(
            points(r#"{"request": {"add": {"a": "b"}}, "origin": {"set": {"a": "b"}}}"#),
            [Point::Request, Point::Origin]
        );
        assert_eq!(points("{}"), [Point::Origin]);
    }

    #[test]
    fn a_config_with_an_unknown_key_is_refused_by_name() {
        assert!(Headers::new(r#"{"respones": {}}"#).unwrap_err().contains("respones"));
    }
}
