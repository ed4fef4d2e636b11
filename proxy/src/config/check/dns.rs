//! `[dns]`.

use littoral_geo::limits::{UDP_BYTES_MAX, UDP_THREADS_MAX};
use littoral_geo::server::IDENTITY_BYTES_MAX;

use super::{Wrong, wrong};
use crate::config::Config;
use crate::config::dns::{ANSWERS_PER_SECOND_MAX, BYTES_WITHOUT_COOKIE_MIN, SLIP_MAX};

impl Config {
    pub(super) fn check_dns(&self) -> Result<(), Wrong> {
        let dns = &self.dns;
        for (key, text) in [("nsid", &dns.nsid), ("version", &dns.version)] {
            if text.as_ref().is_some_and(|text| !(1..=IDENTITY_BYTES_MAX).contains(&text.len())) {
                return wrong(
                    format!("dns.{key}"),
                    format!("dns.{key} has 1 to {IDENTITY_BYTES_MAX} bytes; leave it out for none"),
                );
            }
        }
        if dns.cookie_secret.is_some() && dns.secret().is_none() {
            return wrong(
                "dns.cookie_secret",
                "dns.cookie_secret is 32 hex digits, such as `openssl rand -hex 16` prints",
            );
        }
        for (key, number, most) in
            [("answers_per_second", dns.answers_per_second, ANSWERS_PER_SECOND_MAX), ("slip", dns.slip, SLIP_MAX)]
        {
            if number > most {
                return wrong(format!("dns.{key}"), format!("dns.{key} is at most {most}"));
            }
        }
        if !(BYTES_WITHOUT_COOKIE_MIN..=UDP_BYTES_MAX).contains(&dns.bytes_without_cookie) {
            let problem = format!("dns.bytes_without_cookie is {BYTES_WITHOUT_COOKIE_MIN} to {UDP_BYTES_MAX}");
            return wrong("dns.bytes_without_cookie", problem);
        }
        if let Some(at) = dns.key.iter().position(|key| key.bytes().is_none()) {
            let problem = format!("dns.key {:?}: its secret is no base64", dns.key[at].name);
            return wrong(format!("dns.key.{at}.secret"), problem);
        }
        if dns.threads > UDP_THREADS_MAX {
            let problem = format!("dns.threads is at most {UDP_THREADS_MAX}; leave it out for one per core");
            return wrong("dns.threads", problem);
        }
        Ok(())
    }
}
