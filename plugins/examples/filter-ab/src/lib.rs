//! Sorts clients into variants by weight, and keeps them there with a cookie.
//!
//! ```toml
//! config = { cookie = "ab", variants = { a = 90, b = 10 }, field = "x-variant" }
//! ```
//!
//! The variant goes to the origin in a request field. Name that field in `site.key.headers`, so that each variant is stored for itself.
//! The cookie is set on the way to the client, where nothing stores it.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ab {
    cookie: String,
    variants: BTreeMap<String, u32>,
    #[serde(default = "field")]
    field: String,
    #[serde(default = "month")]
    max_age_s: u32,
}

fn field() -> String {
    "x-variant".to_owned()
}

fn month() -> u32 {
    30 * 24 * 3600
}

impl Ab {
    /// The variant that a client's cookies name.
    fn known(&self, cookies: &str) -> Option<&String> {
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.cookie)?;
        self.variants.get_key_value(value).map(|(variant, _)| variant)
    }

    fn pick(&self, random: u64) -> Option<&String> {
        let total: u64 = self.variants.values().map(|weight| u64::from(*weight)).sum();
        let mut at = random.checked_rem(total)?;
        let mut weighted = self.variants.iter();
        let found = weighted.find(|(_, weight)| {
            let is_here = at < u64::from(**weight);
            at = at.saturating_sub(u64::from(**weight));
            is_here
        });
        found.map(|(variant, _)| variant)
    }
}

impl Filter for Ab {
    const POINTS: &'static [Point] = &[Point::Request, Point::Response];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let is_word = |text: &String| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match () {
            () if !is_word(&filter.cookie) || !filter.variants.keys().all(is_word) => {
                Err("cookie and the names in variants are letters, digits, - and _".into())
            }
            () if filter.pick(0).is_none() => Err("variants: give at least one of them a weight".into()),
            () => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let cookies = x.fields("cookie").join("; ");
        let variant = match self.known(&cookies) {
            Some(known) => known,
            None => {
                let picked = self.pick(x.random())?;
                x.keep(picked.as_bytes());
                picked
            }
        };
        x.set_field(&self.field, variant);
        None
    }

    fn on_response(&mut self, x: &mut impl Exchange) {
        let picked = x.kept();
        if !picked.is_empty() {
            let (picked, cookie, age) = (String::from_utf8_lossy(&picked), &self.cookie, self.max_age_s);
            x.add_field("set-cookie", &format!("{cookie}={picked}; Path=/; Max-Age={age}; SameSite=Lax"));
        }
    }
}

littoral_plugin::export_filter!(Ab, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    const CONFIG: &str = r#"{"cookie": "ab", "variants": {"a": 3, "b": 1}}"#;

    #[test]
    fn who_is_new_is_sorted_by_weight_and_told_and_stays_there() {
        let mut filter = Ab::new(CONFIG).unwrap();
        for (random, variant) in [(0, "a"), (2, "a"), (3, "b"), (4, "a")] {
            let mut x = Sketch { random, ..Sketch::get("/", &[]) };
            filter.on_request(&mut x, &mut Shelf::default());
            assert_eq!(x.field("x-variant").as_deref(), Some(variant));
            let mut x = x.answered(200, &[]);
            filter.on_response(&mut x);
            assert!(x.field("set-cookie").unwrap().starts_with(&format!("ab={variant};")));
        }
        let mut x = Sketch { random: 0, ..Sketch::get("/", &[("cookie", "x=1; ab=b")]) };
        filter.on_request(&mut x, &mut Shelf::default());
        assert_eq!((x.field("x-variant").as_deref(), x.kept.is_empty()), (Some("b"), true));
    }

    #[test]
    fn a_variant_that_a_client_made_up_counts_as_none() {
        let mut filter = Ab::new(CONFIG).unwrap();
        let mut x = Sketch::get("/", &[("cookie", "ab=admin"), ("x-variant", "admin")]);
        filter.on_request(&mut x, &mut Shelf::default());
        assert_eq!(x.fields("x-variant"), ["a"]);
        assert!(Ab::new(r#"{"cookie": "a b", "variants": {"a": 1}}"#).is_err());
        assert!(Ab::new(r#"{"cookie": "a", "variants": {"a": 0}}"#).is_err());
    }
}
