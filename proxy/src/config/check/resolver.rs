//! `[resolver]`.

use std::time::Duration;

use littoral_geo::limits::{
    RESOLVER_CACHE_BYTES_MAX, RESOLVER_CACHE_BYTES_MIN, RESOLVER_LOOKUPS_MAX, RESOLVER_ROOTS_MAX, RESOLVER_ZONES_MAX,
};
use littoral_geo::stub::absolute;

use super::{Wrong, is_domain_name, is_file, wrong};
use crate::config::{Config, LocalResolver};

/// The longest that a client waits for a lookup, and the shortest in which a walk can be done.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
/// The longest TTL that is kept to (RFC 8767 §4 names it as a limit in use).
const TTL_MAX: Duration = Duration::from_secs(7 * 86_400);

impl Config {
    pub(super) fn check_resolver(&self) -> Result<(), Wrong> {
        let Some(resolver) = &self.resolver else { return Ok(()) };
        if let Some(at) = resolver.listen.iter().position(|address| self.listen.dns.contains(address)) {
            let problem = "listen.dns has this address, too: the resolver needs one of its own";
            return wrong(format!("resolver.listen.{at}"), problem);
        }
        if let Some(file) = &resolver.anchors {
            is_file("resolver.anchors".into(), "resolver.anchors ", file)?;
        }
        resolver.check().map_err(|(key, problem)| (format!("resolver.{key}").trim_end_matches('.').to_owned(), problem))
    }
}

impl LocalResolver {
    /// The key is one of this section, empty for the section itself.
    fn check(&self) -> Result<(), Wrong> {
        if self.listen.is_empty() {
            return wrong("", "[resolver] listens nowhere: add listen, such as listen = [\"192.0.2.1:53\"]");
        }
        if let Some(at) = self.listen.iter().position(|address| address.ip().is_unspecified()) {
            // Replies would leave from another address than was asked.
            return wrong(
                format!("listen.{at}"),
                "resolver.listen names the addresses themselves, not all of them at once",
            );
        }
        // A resolver for everybody is found within hours, and makes attacks on others larger.
        if self.allow.is_empty() {
            return wrong(
                "",
                "everybody could use the resolver: add allow, the prefixes of its clients, such as allow = [\"192.0.2.0/24\"]",
            );
        }
        if let Some(at) = self.allow.iter().position(|prefix| prefix.0.prefix_len() == 0) {
            return wrong(format!("allow.{at}"), "everybody could use the resolver: list the prefixes of its clients");
        }
        if !(1..=RESOLVER_ROOTS_MAX).contains(&self.roots.len()) {
            let problem =
                format!("resolver.roots has 1 to {RESOLVER_ROOTS_MAX} addresses; leave it out for the Internet's");
            return wrong("roots", problem);
        }
        if self.port == 0 {
            return wrong("port", "port 0 is none: leave resolver.port out for 53");
        }
        if self.subnets.len() > RESOLVER_ZONES_MAX {
            return wrong("subnets", format!("resolver.subnets has at most {RESOLVER_ZONES_MAX} zones"));
        }
        if let Some(at) = self.subnets.iter().position(|zone| zone != "." && !is_domain_name(&absolute(zone))) {
            let problem = format!("{:?} is no zone: write one such as \"cdn.example.\"", self.subnets[at]);
            return wrong(format!("subnets.{at}"), problem);
        }
        for (key, bits, most) in [("subnet_v4", self.subnet_v4, 32), ("subnet_v6", self.subnet_v6, 128)] {
            if !(1..=most).contains(&bits) {
                return wrong(
                    key,
                    format!("resolver.{key} is 1 to {most}; to tell nobody, leave resolver.subnets out"),
                );
            }
        }
        if self.anchors.is_some() && !self.validate {
            return wrong("anchors", "resolver.anchors without resolver.validate: leave one of them out");
        }
        self.check_bounds()
    }

    fn check_bounds(&self) -> Result<(), Wrong> {
        let bytes = RESOLVER_CACHE_BYTES_MIN as u64..=RESOLVER_CACHE_BYTES_MAX as u64;
        if !bytes.contains(&self.cache.0) {
            return wrong("cache", "resolver.cache is 64KiB to 64GiB");
        }
        if self.ttl.0.is_zero() || self.ttl.0 > TTL_MAX {
            return wrong("ttl", "resolver.ttl is more than 0s and at most 7days");
        }
        if !(1..=RESOLVER_LOOKUPS_MAX).contains(&self.lookups) {
            return wrong("lookups", format!("resolver.lookups is 1 to {RESOLVER_LOOKUPS_MAX}"));
        }
        match PATIENCE.contains(&self.patience.0) {
            true => Ok(()),
            false => wrong("patience", "resolver.patience is 100ms to 30s"),
        }
    }
}
