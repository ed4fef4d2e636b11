//! Says what a request is looked up under, whatever it asks the origin for: one object for targets that mean the same, several for one
//! that does not.
//!
//! ```toml
//! config = { lower_case = true, prefixes = { "/old/" = "/new/" }, query = { keep = ["id"] }, fields = ["x-tier"], cookies = ["lang"] }
//! ```
//!
//! `prefixes` takes the longest that fits. `query` keeps only the parameters named (`keep`) or all but those (`drop`; a `*` at the end of a
//! name stands for any rest), in order of their names; `query = { keep = [] }` has none. Values of fields and cookies named go to the end
//! as `NAME=VALUE`; of a client without one, nothing does. A purge by URL reaches what is looked up under that very URL: purge others by
//! prefix or surrogate key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use littoral_plugin::filter::{Exchange, Filter, Point};
use serde::Deserialize;

/// Octets of a value of a field or cookie that count.
const VALUE_BYTES_MAX: usize = 256;

/// The filter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    lower_case: bool,
    prefixes: BTreeMap<String, String>,
    query: Option<Query>,
    fields: Vec<String>,
    cookies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Query {
    Keep(Vec<String>),
    Drop(Vec<String>),
}

impl Query {
    /// Whether a parameter counts.
    fn has(&self, parameter: &str) -> bool {
        let name = parameter.split('=').next().unwrap_or("");
        let is_named = |list: &[String]| {
            list.iter().any(|rule| rule.strip_suffix('*').map_or(rule == name, |start| name.starts_with(start)))
        };
        match self {
            Self::Keep(names) => is_named(names),
            Self::Drop(names) => !is_named(names),
        }
    }
}

/// A value as a part of a query: what could be taken for something else is written in hex (RFC 3986 §2.1).
fn push_value(key: &mut String, name: &str, value: &str) {
    key.push(if key.contains('?') { '&' } else { '?' });
    key.push_str(name);
    key.push('=');
    for byte in value.bytes().take(VALUE_BYTES_MAX) {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            key.push(char::from(byte));
        } else {
            let _ = write!(key, "%{byte:02X}");
        }
    }
}

impl Key {
    fn of(&self, x: &impl Exchange) -> String {
        let target = x.target();
        let (path, query) = target.split_once('?').map_or((target.as_str(), ""), |(path, query)| (path, query));
        let longest = self.prefixes.iter().rev().filter(|(start, _)| path.starts_with(start.as_str()));
        let longest = longest.max_by_key(|(start, _)| start.len());
        let mut key = match longest {
            Some((start, place)) => format!("{place}{}", &path[start.len()..]),
            None => path.to_owned(),
        };
        if self.lower_case {
            key.make_ascii_lowercase();
        }
        let mut parameters: Vec<&str> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();
        if let Some(query) = &self.query {
            parameters.retain(|parameter| query.has(parameter));
            parameters.sort_unstable();
        }
        for parameter in parameters {
            key.push(if key.contains('?') { '&' } else { '?' });
            key.push_str(parameter);
        }
        for field in &self.fields {
            if let Some(value) = x.field(field) {
                push_value(&mut key, field, &value);
            }
        }
        let cookies = if self.cookies.is_empty() { String::new() } else { x.fields("cookie").join("; ") };
        for name in &self.cookies {
            let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
            if let Some((_, value)) = pairs.find(|(known, _)| known == name) {
                push_value(&mut key, name, value);
            }
        }
        key
    }
}

impl Filter for Key {
    const POINTS: &'static [Point] = &[Point::Lookup];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let is_path = |path: &String| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        match () {
            () if !filter.prefixes.iter().all(|(start, place)| is_path(start) && is_path(place)) => {
                Err("prefixes: both sides are paths that begin with /".into())
            }
            () if !filter.fields.iter().chain(&filter.cookies).all(is_name) => {
                Err("fields and cookies: a name is letters, digits, -, . and _".into())
            }
            () => Ok(filter),
        }
    }

    fn on_lookup(&mut self, x: &impl Exchange) -> Option<String> {
        let key = self.of(x);
        (key != x.target()).then_some(key)
    }
}

littoral_plugin::export_filter!(Key, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::Sketch;

    use super::*;

    fn key(config: &str, target: &str) -> Option<String> {
        let fields = [("x-tier", "gold & red"), ("cookie", "a=b; lang=nl")];
        Key::new(config).unwrap().on_lookup(&Sketch::get(target, &fields))
    }

    #[test]
    fn targets_that_mean_the_same_have_one_key() {
        for (config, target, expected) in [
            (r#"{"lower_case": true}"#, "/A/b?X=Y", Some("/a/b?X=Y")),
            (r#"{"prefixes": {"/old/": "/new/", "/old/x/": "/y/"}}"#, "/old/x/1?q", Some("/y/1?q")),
            (r#"{"prefixes": {"/old/": "/new/"}}"#, "/older/1", None),
            (r#"{"query": {"keep": ["id", "v"]}}"#, "/a?v=2&utm_source=x&id=1", Some("/a?id=1&v=2")),
            (r#"{"query": {"drop": ["utm_*"]}}"#, "/a?utm_source=x&utm_id=y", Some("/a")),
            (r#"{"query": {"keep": []}}"#, "/a?b", Some("/a")),
            ("{}", "/a?b&c", None),
        ] {
            assert_eq!(key(config, target).as_deref(), expected, "{config} {target}");
        }
    }

    #[test]
    fn fields_and_cookies_tell_keys_apart_and_cannot_be_taken_for_others() {
        let config = r#"{"fields": ["x-tier", "x-none"], "cookies": ["lang"]}"#;
        assert_eq!(key(config, "/a").as_deref(), Some("/a?x-tier=gold%20%26%20red&lang=nl"));
        assert_eq!(key(config, "/a?b").as_deref(), Some("/a?b&x-tier=gold%20%26%20red&lang=nl"));
        let long = Sketch::get("/a", &[("x-tier", &"é".repeat(4000))]);
        assert!(Key::new(config).unwrap().on_lookup(&long).unwrap().len() < 1000);
    }

    #[test]
    fn a_config_that_makes_no_key_is_refused() {
        for wrong in [r#"{"prefixes": {"a": "/b"}}"#, r#"{"fields": ["x y"]}"#, r#"{"query": {"kept": []}}"#] {
            assert!(Key::new(wrong).is_err(), "{wrong}");
        }
    }
}
