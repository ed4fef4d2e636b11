//! Filters: bounds in `[[plugin]]`, names in `[[site]]`.

use littoral_plugin_host::Share;
use littoral_plugin_host::fetch::limits::{BODY_BYTES_MAX, ORIGINS_MAX, TIMEOUT_MS_MAX};
use littoral_plugin_host::filter::limits::{DEADLINE_MS_MAX, STORE_BYTES_MAX};
use littoral_plugin_host::service::reach::REACHES_MAX;

use super::{Wrong, error, wrong};
use crate::config::{Config, FILTERS_MAX, Plugin};

impl Config {
    pub(super) fn check_filters(&self) -> Result<(), Wrong> {
        if self.plugins.memory.is_some_and(|memory| memory.0 < 1 << 20) {
            return wrong(
                "plugins.memory".to_owned(),
                "plugins.memory is at least 1MiB; leave it out for 1GiB".to_owned(),
            );
        }
        for (at, plugin) in self.plugin.iter().enumerate() {
            plugin.check_bounds().map_err(|(key, problem)| (format!("plugin.{at}.{key}"), problem))?;
        }
        for (at, site) in self.site.iter().enumerate() {
            if site.filters.len() > FILTERS_MAX {
                return wrong(format!("site.{at}.filters"), format!("site.filters has at most {FILTERS_MAX} entries"));
            }
            for (place, name) in site.filters.iter().enumerate() {
                let key = format!("site.{at}.filters.{place}");
                if site.filters[..place].contains(name) {
                    return wrong(key, format!("filter {name:?} is there twice: keep one"));
                }
                if !self.plugin.iter().any(|plugin| plugin.name == *name) {
                    let known = self.plugin.iter().map(|plugin| plugin.name.as_str());
                    let near = error::nearest(name, known);
                    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                    return wrong(key, format!("site.filters names no [[plugin]]: {name:?}{hint}"));
                }
            }
        }
        Ok(())
    }
}

impl Plugin {
    /// The key is one of this plugin.
    fn check_bounds(&self) -> Result<(), Wrong> {
        let longest = u128::from(DEADLINE_MS_MAX);
        if self.deadline.is_some_and(|deadline| !(1..=longest).contains(&deadline.0.as_millis())) {
            return wrong("deadline", "plugin.deadline is 1ms to 1s; leave it out for 10ms");
        }
        if self.store.is_some_and(|store| store.0 > STORE_BYTES_MAX as u64) {
            return wrong("store", "plugin.store is at most 1GiB; 1MiB holds some thousand counters");
        }
        if self.dial.as_ref().is_some_and(|list| list.is_empty() || list.len() > REACHES_MAX) {
            return wrong(
                "dial",
                format!("plugin.dial has 1 to {REACHES_MAX} entries, such as \"mail.example.org:25\""),
            );
        }
        if self.dial_ca.is_some() && self.dial.is_none() {
            return wrong("dial_ca", "plugin.dial_ca needs plugin.dial: write it, or leave this out");
        }
        self.check_fetch()?;
        self.check_candidate()
    }

    fn check_fetch(&self) -> Result<(), Wrong> {
        let others = [
            ("http_ca", self.http_ca.is_some()),
            ("http_timeout", self.http_timeout.is_some()),
            ("http_body", self.http_body.is_some()),
        ];
        if let (None, Some((key, _))) = (&self.http, others.into_iter().find(|(_, is_there)| *is_there)) {
            return wrong(key, format!("plugin.{key} needs plugin.http: write it, or leave this out"));
        }
        if self.http.as_ref().is_some_and(|list| list.is_empty() || list.len() > ORIGINS_MAX) {
            let problem = format!("plugin.http has 1 to {ORIGINS_MAX} entries, such as \"https://api.example.org\"");
            return wrong("http", problem);
        }
        let longest = u128::from(TIMEOUT_MS_MAX);
        if self.http_timeout.is_some_and(|time| !(10..=longest).contains(&time.0.as_millis())) {
            return wrong("http_timeout", "plugin.http_timeout is 10ms to 30s; leave it out for 2s");
        }
        if self.http_body.is_some_and(|body| body.0 > BODY_BYTES_MAX as u64) {
            return wrong("http_body", "plugin.http_body is at most 1MiB; leave it out for 64KiB");
        }
        Ok(())
    }

    fn check_candidate(&self) -> Result<(), Wrong> {
        let of = format!("plugin {:?}: ", self.name);
        let alone = [("share", self.share.is_some()), ("candidate_sha256", self.candidate_sha256.is_some())];
        if self.candidate.is_none()
            && let Some((key, _)) = alone.into_iter().find(|(_, is_there)| *is_there)
        {
            return wrong(key, format!("{of}{key} needs candidate: name a file there, or leave it out"));
        }
        match Share::of_percent(self.share.unwrap_or(0.0)) {
            Ok(_) => Ok(()),
            Err(problem) => wrong("share", format!("{of}{problem}")),
        }
    }
}
