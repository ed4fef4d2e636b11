//! Redirects by a map: exact paths first, then the longest prefix; at most 10,000 rules.
//!
//! ```toml
//! memory = "8MiB"
//! config = { rules = { "/old" = "/new", "/blog/*" = "https://blog.example/*" }, status = 301 }
//! ```
//!
//! A rule that ends with `*` is of a prefix; `*` at the end of where it leads stands for the rest. The query goes with it.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

const RULES_MAX: usize = 10_000;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirects {
    rules: BTreeMap<String, String>,
    #[serde(default = "moved")]
    status: u16,
}

fn moved() -> u16 {
    301
}

impl Redirects {
    /// Where a path leads.
    fn find(&self, path: &str) -> Option<String> {
        if let Some(place) = self.rules.get(path) {
            return Some(place.clone());
        }
        // The longest prefix: as many look-ups as the path has bytes, whatever the number of rules.
        let ends = (0..=path.len()).rev().filter(|end| path.is_char_boundary(*end));
        let mut rule = String::with_capacity(path.len() + 1);
        ends.map(|end| path.split_at(end)).find_map(|(start, rest)| {
            rule.clear();
            rule.push_str(start);
            rule.push('*');
            let place = self.rules.get(&rule)?;
            Some(place.strip_suffix('*').map_or_else(|| place.clone(), |place| format!("{place}{rest}")))
        })
    }
}

impl Filter for Redirects {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if filter.rules.len() > RULES_MAX {
            return Err(format!("rules: {} of them; at most {RULES_MAX}", filter.rules.len()));
        }
        if !matches!(filter.status, 301 | 302 | 303 | 307 | 308) {
            return Err(format!("status: {} is no redirect; 301, 302, 303, 307 and 308 are", filter.status));
        }
        let is_place = |place: &str| {
            (place.starts_with('/') || place.contains("://")) && place.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let wrong = filter.rules.iter().find(|(rule, place)| !rule.starts_with('/') || !is_place(place));
        match wrong {
            Some((rule, place)) => Err(format!("rules: {rule:?} to {place:?}: write a path, to a path or URL")),
            None => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let target = x.target();
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        let mut place = self.find(path)?;
        if let Some(query) = query {
            place.push(if place.contains('?') { '&' } else { '?' });
            place.push_str(query);
        }
        let reply = Reply { status: self.status, ..Reply::default() };
        Some(reply.with("location", &place).with("cache-control", "max-age=3600"))
    }
}

littoral_plugin::export_filter!(Redirects, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    fn led(filter: &mut Redirects, target: &str) -> Option<String> {
        let reply = filter.on_request(&mut Sketch::get(target, &[]), &mut Shelf::default())?;
        reply.fields.into_iter().find(|(name, _)| name == "location").map(|(_, place)| place)
    }

    #[test]
    fn an_exact_rule_goes_before_the_longest_prefix_and_the_query_goes_with_it() {
        let config = r#"{"rules": {"/a": "/b", "/x/*": "https://y.example/*", "/x/z/*": "/z"}}"#;
        let mut filter = Redirects::new(config).unwrap();
        for (target, place) in [
            ("/a", Some("/b")),
            ("/a?q=1", Some("/b?q=1")),
            ("/x/1/2?q", Some("https://y.example/1/2?q")),
            ("/x/z/3", Some("/z")),
            ("/b", None),
        ] {
            assert_eq!(led(&mut filter, target).as_deref(), place, "{target}");
        }
    }

    #[test]
    fn ten_thousand_rules_are_taken_and_one_more_is_not() {
        let rules = |count: usize| {
            let rules: Vec<_> = (0..count).map(|rule| format!(r#""/old/{rule}": "/new/{rule}""#)).collect();
            Redirects::new(&format!(r#"{{"rules": {{{}}}}}"#, rules.join(",")))
        };
        assert_eq!(led(&mut rules(RULES_MAX).unwrap(), "/old/9999").unwrap(), "/new/9999");
        assert!(rules(RULES_MAX + 1).is_err());
    }

    #[test]
    fn rules_that_lead_nowhere_are_refused() {
        for wrong in [r#"{"rules": {"a": "/b"}}"#, r#"{"rules": {"/a": "b"}}"#, r#"{"rules": {}, "status": 200}"#] {
            assert!(Redirects::new(wrong).is_err(), "{wrong}");
        }
    }
}
