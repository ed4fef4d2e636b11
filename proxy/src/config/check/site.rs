//! `[[site]]`.

use super::{Wrong, at_most, unique, wrong};
use crate::config::{Config, SITES_MAX};

impl Config {
    pub(super) fn check_sites(&self) -> Result<(), Wrong> {
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
        }
        let hosts = self.site.iter().enumerate().flat_map(|(at, site)| {
            site.hosts.iter().enumerate().map(move |(place, host)| (format!("site.{at}.hosts.{place}"), host))
        });
        unique("host", hosts)
    }
}
