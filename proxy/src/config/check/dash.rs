//! `site.dash`.

use littoral_manifests::limits::URL_BYTES_MAX;
use url::Url;

use super::{Wrong, wrong};
use crate::config::dash::{Prefetch, Rewrite};
use crate::config::{Config, KEY_PARTS_MAX, Site};

impl Config {
    /// The key is one of the site.
    pub(super) fn check_dash(&self, site: &Site) -> Result<(), Wrong> {
        let dash = &site.dash;
        if dash.cmcd_path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return wrong("dash.cmcd_path", "site.dash.cmcd_path is a path without a query, such as \"/cmcd\"");
        }
        if dash.pace && !dash.auto {
            return wrong(
                "dash.pace",
                "site.dash.pace needs site.dash.auto: other segments are sent as fast as can be",
            );
        }
        if dash.hint && !(dash.cmsd && dash.cmcd) {
            return wrong(
                "dash.hint",
                "site.dash.hint needs site.dash.cmcd and site.dash.cmsd: by the one players are heard, by the other told",
            );
        }
        for (key, is_there) in [("prefetch", dash.prefetch.is_some()), ("rewrite", dash.rewrite.is_some())] {
            if is_there && !self.listen.has_sites() {
                let fix =
                    format!("site.dash.{key} needs listen.http or listen.https: nothing asks this node for its sites");
                return wrong(format!("dash.{key}"), fix);
            }
        }
        if let Some(prefetch) = &dash.prefetch {
            prefetch.check().map_err(|(key, problem)| (format!("dash.prefetch.{key}"), problem))?;
        }
        let Some(rewrite) = &dash.rewrite else { return Ok(()) };
        if rewrite.auto && !dash.auto {
            return wrong(
                "dash.rewrite.auto",
                "site.dash.rewrite.auto needs site.dash.auto: nobody would answer the URLs",
            );
        }
        rewrite.check().map_err(|(key, problem)| (format!("dash.rewrite.{key}"), problem))
    }
}

impl Prefetch {
    /// The key is one of `site.dash.prefetch`.
    fn check(&self) -> Result<(), Wrong> {
        let (at_once_max, by_session_max) = (Self::AT_ONCE_MAX, Self::BY_SESSION_MAX);
        if !(1..=at_once_max).contains(&self.at_once) {
            return wrong("at_once", format!("site.dash.prefetch.at_once is 1 to {at_once_max}"));
        }
        if !(1..=by_session_max).contains(&self.by_session) {
            return wrong("by_session", format!("site.dash.prefetch.by_session is 1 to {by_session_max}"));
        }
        match self.rate.0 {
            0 => wrong(
                "rate",
                "site.dash.prefetch.rate is more than nothing: leave `prefetch` out to fetch nothing ahead",
            ),
            _ => Ok(()),
        }
    }
}

impl Rewrite {
    /// The key is one of `site.dash.rewrite`.
    fn check(&self) -> Result<(), Wrong> {
        if *self == Self::default() {
            return wrong("max_height", "site.dash.rewrite changes nothing: name a rule, or leave it out");
        }
        let is_short = |url: &String| !url.is_empty() && url.len() <= URL_BYTES_MAX;
        for (from, to) in &self.base_urls {
            let is_web = |url: &str| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !is_web(from) || !is_short(from) || !is_short(to) {
                let problem = format!("{from:?} = {to:?}: write \"http://origin.example\" = \"https://edge.example\"");
                return wrong("base_urls", problem);
            }
        }
        let urls = self.steering.iter().map(|steering| &steering.url).chain(self.locations.iter().map(|one| &one.url));
        if let Some(bad) = urls.into_iter().find(|url| !is_short(url)) {
            return wrong("steering", format!("{bad:?} is no URL of 1 to {URL_BYTES_MAX} bytes"));
        }
        let lengths = [
            ("base_urls", self.base_urls.len()),
            ("codecs", self.codecs.len()),
            ("languages", self.languages.len()),
            ("locations", self.locations.len()),
        ];
        match lengths.iter().find(|(_, length)| *length > KEY_PARTS_MAX) {
            Some((name, _)) => wrong(*name, format!("site.dash.rewrite.{name} has at most {KEY_PARTS_MAX} entries")),
            None => Ok(()),
        }
    }
}
