//! Whom a plugin may ask by HTTP, as an operator writes it: what [`reach`](crate::service::reach) is about, with a scheme before it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::limits::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, TIMEOUT_MS_DEFAULT};
use crate::service::reach::{self, Reach};

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    reach: Reach,
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "{text:?} is nobody to ask by HTTP: write \"https://api.example.org\", \"https://*.example.org:8443\", \"http://10.0.0.0/8:8080\" or \"http://[2001:db8::]/32:*\""
            )
        };
        let (scheme, whom) = text.split_once("://").ok_or_else(problem)?;
        let (secure, port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(problem()),
        };
        let has_port = whom.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let whom = if has_port { whom.to_owned() } else { format!("{whom}:{port}") };
        whom.parse().map(|reach| Self { secure, reach }).map_err(|_| problem())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.reach)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What an operator grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSpec {
    plain: Vec<Reach>,
    secure: Vec<Reach>,
    /// Authorities whose certificates are believed beside the system's, PEM.
    pub authorities: Option<PathBuf>,
    /// How long all requests of one call may take together.
    pub timeout: Duration,
    /// Bytes of a body, in either direction.
    pub body_bytes: usize,
}

impl FetchSpec {
    /// Of a list, bounded as when the operator says no more.
    pub fn of(list: &[Origin]) -> Self {
        let of =
            |secure| list.iter().filter(|origin| origin.secure == secure).map(|origin| origin.reach.clone()).collect();
        let timeout = Duration::from_millis(TIMEOUT_MS_DEFAULT);
        Self { plain: of(false), secure: of(true), authorities: None, timeout, body_bytes: BODY_BYTES_DEFAULT }
    }

    /// Of everybody, as much as can be granted: for who asks nobody in truth.
    pub(crate) fn anybody() -> Self {
        let all = || ["*:*", "0.0.0.0/0:*", "[::]/0:*"].into_iter().filter_map(|reach| reach.parse().ok()).collect();
        Self { plain: all(), secure: all(), body_bytes: BODY_BYTES_MAX, ..Self::of(&[]) }
    }

    /// Whom it names, with TLS or without.
    pub fn reaches(&self, secure: bool) -> &[Reach] {
        if secure { &self.secure } else { &self.plain }
    }

    /// Each entry, as it would be written.
    pub(crate) fn written(&self) -> Vec<String> {
        let of = |secure: bool| {
            let origin = move |reach: &Reach| Origin { secure, reach: reach.clone() }.to_string();
            self.reaches(secure).iter().map(origin)
        };
        of(true).chain(of(false)).collect()
    }

    /// A host as it is to be looked up or connected to, if any entry is about it. Whether its addresses may be connected to is seen when
    /// they are known.
    pub(super) fn named(&self, secure: bool, host: &str, port: u16) -> Option<String> {
        let list = self.reaches(secure);
        match host.parse::<IpAddr>() {
            Ok(address) => reach::may_be_literal(list, address, port).then(|| address.to_string()),
            Err(_) => reach::name(host).filter(|name| reach::names(list, name, port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_a_scheme_and_its_port_where_they_name_none() {
        for (text, told) in [
            ("https://api.example.org", "https://api.example.org:443"),
            ("http://*.example.org", "http://*.example.org:80"),
            ("http://192.0.2.0/24:8080", "http://192.0.2.0/24:8080"),
            ("http://[2001:db8::]/32", "http://[2001:db8::]/32:80"),
            ("https://[::1]:8443", "https://[::1]/128:8443"),
            ("https://*:*", "https://*:*"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), told);
        }
        for bad in [
            "",
            "api.example.org:443",
            "ftp://a",
            "HTTP://a",
            "http://",
            "http://a/",
            "http://a:0",
            "http://a b",
            "https://u@a",
        ] {
            assert!(bad.parse::<Origin>().unwrap_err().contains("nobody to ask"), "{bad}");
        }
    }

    #[test]
    fn what_is_granted_with_tls_is_not_granted_without() {
        let list = ["https://a.example", "http://10.0.0.0/8:80"].map(|text| text.parse().unwrap());
        let spec = FetchSpec::of(&list);
        assert_eq!(spec.named(true, "A.example.", 443).unwrap(), "a.example");
        assert_eq!(spec.named(false, "10.1.2.3", 80).unwrap(), "10.1.2.3");
        for (secure, host, port) in [
            (false, "a.example", 443),
            (false, "a.example", 80),
            (true, "a.example", 444),
            (true, "10.1.2.3", 80),
            (false, "11.0.0.1", 80),
            (true, "b.a.example", 443),
        ] {
            assert_eq!(spec.named(secure, host, port), None, "{secure} {host}:{port}");
        }
        assert_eq!(spec.written(), ["https://a.example:443", "http://10.0.0.0/8:80"]);
    }
}
