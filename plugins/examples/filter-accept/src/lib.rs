//! Folds Accept to the formats that an origin has, and looks objects up by that: two or three variants, not one for each browser.
//!
//! ```toml
//! config = { formats = ["image/avif", "image/webp"], suffixes = [".jpg", ".png"] }
//! ```
//!
//! The origin gets the one format, or `*/*`; the key is the target with `accept=FORMAT` in its query. A purge of the URL alone does not
//! reach the others: purge by prefix.

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Best first.
    formats: Vec<String>,
    /// Of the paths this is about; none: all.
    #[serde(default)]
    suffixes: Vec<String>,
}

impl Accept {
    /// The best format that a client names with a weight (RFC 9110 §12.5.1). Wildcards name none: they also come from those who know no
    /// new format.
    fn best(&self, accept: &str) -> Option<&String> {
        let mut names = accept.split(',').map(|member| {
            let (media, parameters) = member.split_once(';').unwrap_or((member, ""));
            let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
            (media.trim(), weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
        });
        let named: Vec<(&str, f32)> = names.by_ref().filter(|(_, weight)| *weight > 0.0).collect();
        self.formats.iter().find(|format| named.iter().any(|(media, _)| media.eq_ignore_ascii_case(format)))
    }

    fn is_about(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or("");
        self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| path.ends_with(suffix))
    }
}

impl Filter for Accept {
    const POINTS: &'static [Point] = &[Point::Request, Point::Lookup];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let is_media = |text: &String| {
            text.contains('/') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte))
        };
        match filter.formats.is_empty() || !filter.formats.iter().all(is_media) {
            true => Err("formats: name media types, best first, such as \"image/webp\"".into()),
            false => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        if self.is_about(&x.target()) {
            let best = self.best(&x.fields("accept").join(",")).map_or("*/*", String::as_str);
            x.set_field("accept", best);
        }
        None
    }

    fn on_lookup(&mut self, x: &impl Exchange) -> Option<String> {
        let target = x.target();
        let best = x.field("accept").filter(|best| self.is_about(&target) && best != "*/*")?;
        let joint = if target.contains('?') { '&' } else { '?' };
        Some(format!("{target}{joint}accept={best}"))
    }
}

littoral_plugin::export_filter!(Accept, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    #[test]
    fn what_clients_accept_is_folded_to_the_best_that_there_is() {
        let mut filter = Accept::new(r#"{"formats": ["image/avif", "image/webp"], "suffixes": [".png"]}"#).unwrap();
        for (target, accept, folded, key) in [
            ("/a.png", "image/avif,image/webp,*/*;q=0.8", "image/avif", Some("/a.png?accept=image/avif")),
            ("/a.png?v=1", "image/webp, image/avif;q=0", "image/webp", Some("/a.png?v=1&accept=image/webp")),
            ("/a.png", "image/*,*/*", "*/*", None),
            ("/a.html", "text/html", "text/html", None),
        ] {
            let mut x = Sketch::get(target, &[("accept", accept)]);
            filter.on_request(&mut x, &mut Shelf::default());
            assert_eq!(
                (x.field("accept").as_deref(), filter.on_lookup(&x).as_deref()),
                (Some(folded), key),
                "{accept}"
            );
        }
    }
}
