//! `[[site]]`.

use super::{Wrong, at_most, unique, wrong};
use crate::config::{
    Config, KEY_PARTS_MAX, PlaneKind, QueryOrder, RESUMES_MAX, Ranges, SITES_MAX, SLICE_MIN, Site, UNREAD_MAX,
};

impl Config {
    pub(super) fn check_sites(&self) -> Result<(), Wrong> {
        self.check_slices()?;
        at_most("site", self.site.len(), SITES_MAX)?;
        for (at, site) in self.site.iter().enumerate() {
            if site.hosts.is_empty() || site.origin.is_empty() {
                return wrong(format!("site.{at}"), "a site needs at least one host and one origin");
            }
            for (place, host) in site.hosts.iter().enumerate() {
                if host != "*" && crate::site::normalise_host(host).as_ref() != Some(host) {
                    let fix = "write the name alone, lower case, without port; or \"*\" for every other host";
                    return wrong(format!("site.{at}.hosts.{place}"), format!("host {host:?}: {fix}"));
                }
            }
            site.check_origins().map_err(|(key, problem)| (format!("site.{at}.{key}"), problem))?;
            self.check_steer(site).map_err(|(key, problem)| (format!("site.{at}.{key}"), problem))?;
            self.check_dash(site).map_err(|(key, problem)| (format!("site.{at}.{key}"), problem))?;
            site.check_rules().map_err(|(key, problem)| (format!("site.{at}.{key}"), problem))?;
        }
        let hosts = self.site.iter().enumerate().flat_map(|(at, site)| {
            site.hosts.iter().enumerate().map(move |(place, host)| (format!("site.{at}.hosts.{place}"), host))
        });
        unique("host", hosts)
    }
}

impl Config {
    fn check_slices(&self) -> Result<(), Wrong> {
        let largest = self.cache.max_object.0;
        for (at, size) in self.site.iter().enumerate().filter_map(|(at, site)| Some((at, site.slice?.0))) {
            if !(SLICE_MIN..=largest).contains(&size) {
                return wrong(format!("site.{at}.slice"), "slice is 64KiB to cache.max_object; 1MiB is a good one");
            }
            if !self.listen.has_sites() {
                let fix = "slice needs listen.http or listen.https: nothing asks this node for its sites";
                return wrong(format!("site.{at}.slice"), fix);
            }
        }
        Ok(())
    }
}

impl Config {
    /// The key is one of the site.
    fn check_steer(&self, site: &Site) -> Result<(), Wrong> {
        let Some(steer) = &site.steer else { return Ok(()) };
        let name = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        if !self.service.iter().any(|service| name(&service.name) == name(&steer.service)) {
            let problem = format!("site.steer names no [[service]]: {:?}", steer.service);
            return wrong("steer.service", problem);
        }
        if steer.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return wrong("steer.path", "site.steer.path is a path without a query, such as \"/steering\"");
        }
        if !steer.redirect && steer.path.is_none() {
            return wrong("steer", "site.steer does nothing: set redirect = true, or give it a path");
        }
        let are_heard = self.control.plane == PlaneKind::Nats || !self.rtt.hear.0.is_zero();
        if steer.content && !(steer.redirect && are_heard) {
            let problem = "site.steer.content needs redirect = true, and clusters that tell what was pushed to them: control.plane = \"nats\", or rtt.hear";
            return wrong("steer.content", problem);
        }
        let hosts = self.cluster.iter().filter_map(|cluster| cluster.host.as_ref());
        let served = |host: &String| site.hosts.iter().any(|known| known == "*" || known == host);
        match hosts.clone().find(|host| !served(host)) {
            _ if !steer.redirect => Ok(()),
            _ if hosts.count() == 0 => {
                wrong("steer.redirect", "site.steer.redirect needs cluster.host: add it to the clusters")
            }
            Some(host) => wrong(
                "hosts",
                format!("clients would be redirected to {host:?}, which is no host of this site: add it"),
            ),
            None => Ok(()),
        }
    }
}

impl Site {
    /// The key is one of this site.
    fn check_rules(&self) -> Result<(), Wrong> {
        for status in self.ttl.keys() {
            if crate::site::statuses(status).is_none() {
                return wrong(
                    format!("ttl.{status}"),
                    format!("{status:?} is no status: write 404, or 5xx for all of them"),
                );
            }
        }
        if self.heuristic.as_ref().is_some_and(|heuristic| !(1..=100).contains(&heuristic.percent)) {
            return wrong("heuristic.percent", "heuristic.percent is 1 to 100; RFC 9111 names 10");
        }
        let key = &self.key;
        if !key.only.is_empty() && !key.drop.is_empty() {
            return wrong("key.drop", "key.only and key.drop exclude each other: keep one");
        }
        if key.query == QueryOrder::Ignore && !(key.only.is_empty() && key.drop.is_empty()) {
            return wrong("key.query", "key.query = \"ignore\" leaves nothing for key.only and key.drop: remove them");
        }
        let lists = [("only", &key.only), ("drop", &key.drop), ("headers", &key.headers), ("cookies", &key.cookies)];
        if let Some((name, _)) = lists.iter().find(|(_, list)| list.len() > KEY_PARTS_MAX) {
            return wrong(format!("key.{name}"), format!("key.{name} has at most {KEY_PARTS_MAX} entries"));
        }
        if let Some(name) = key.headers.iter().find(|name| http::HeaderName::try_from(*name).is_err()) {
            return wrong("key.headers", format!("{name:?} is no field name"));
        }
        if self.fill.resume > RESUMES_MAX {
            return wrong("fill.resume", format!("fill.resume is 0 to {RESUMES_MAX}; 2 is a good one"));
        }
        if self.fill.unread > UNREAD_MAX {
            return wrong("fill.unread", format!("fill.unread is 0 to {UNREAD_MAX}"));
        }
        if self.slice.is_some() && self.ranges == Ranges::Forward {
            return wrong("ranges", "slice already asks for what is needed of an object: remove ranges or slice");
        }
        if let Some(compress) = &self.compress {
            if compress.codings.is_empty() || compress.types.is_empty() {
                return wrong("compress", "compress needs codings and types; leave them out for the usual ones");
            }
            if let Some(bad) = compress.types.iter().find(|text| text.split_once('/').is_none()) {
                return wrong("compress.types", format!("{bad:?} is no media type: write \"text/html\" or \"text/*\""));
            }
            if self.slice.is_some() {
                return wrong("compress", "what is kept in slices cannot be compressed: remove compress or slice");
            }
            if self.encodings.is_some() {
                return wrong("encodings", "compress already says which codings there are: remove encodings");
            }
        }
        let is_token = |text: &&String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        for (name, list) in [("encodings", &self.encodings), ("languages", &self.languages)] {
            let list = list.iter().flatten();
            if let Some(bad) = list.clone().find(|text| text.is_empty() || !is_token(text)) {
                return wrong(name, format!("{bad:?} is none: write names such as \"br\" or \"en-GB\""));
            }
            if list.count() > KEY_PARTS_MAX {
                return wrong(name, format!("{name} has at most {KEY_PARTS_MAX} entries"));
            }
        }
        Ok(())
    }
}
