//! Keys of a `[[site]]` about where its content comes from: `origin`, `balance`, `health`, `retry`, `timeouts`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::units::Span;

/// An origin: a URL, or a table with more.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Origin {
    /// `http://host[:port]` or `https://…`.
    pub url: String,
    /// Its share of the requests, beside the others' weights.
    #[serde(default = "Origin::weight_default")]
    pub weight: u32,
    /// Asked only when no other can be.
    #[serde(default)]
    pub backup: bool,
    /// Requests to it at a time, over all threads; without it, any number.
    pub max_connections: Option<usize>,
    /// Requests that wait when there are so many.
    #[serde(default)]
    pub queue: usize,
    /// How long each waits.
    #[serde(default = "Origin::queue_timeout_default")]
    pub queue_timeout: Span,
    /// Host field of requests to it, in place of the site's.
    pub host: Option<String>,
    /// HTTP/2: where it agrees to with TLS, by prior knowledge without.
    #[serde(default)]
    pub h2: bool,
    /// Name for TLS, in place of the URL's host.
    pub sni: Option<String>,
    /// Who may have signed its certificate, PEM, in place of the system's authorities.
    pub ca: Option<PathBuf>,
    /// Certificate chain to show it, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Whose signature requests to it have.
    pub sign: Option<Sign>,
    /// Of a node of a shield: its `node.name`, by which it knows itself.
    pub name: Option<String>,
}

impl Origin {
    /// What a bare URL stands for.
    pub fn of_url(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            weight: Self::weight_default(),
            backup: false,
            max_connections: None,
            queue: 0,
            queue_timeout: Self::queue_timeout_default(),
            host: None,
            h2: false,
            sni: None,
            ca: None,
            cert: None,
            key: None,
            sign: None,
            name: None,
        }
    }

    /// The files it names.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let credentials = self.sign.as_mut().and_then(|sign| sign.credentials.as_mut());
        [self.ca.as_mut(), self.cert.as_mut(), self.key.as_mut(), credentials].into_iter().flatten()
    }

    fn weight_default() -> u32 {
        1
    }

    fn queue_timeout_default() -> Span {
        Span(Duration::from_secs(1))
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;
        impl<'de> Visitor<'de> for UrlOrTable {
            type Value = Origin;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an origin, such as \"http://o.example\" or { url = \"http://o.example\", weight = 2 }")
            }
            fn visit_str<E: Error>(self, url: &str) -> Result<Origin, E> {
                Ok(Origin::of_url(url))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Origin, A::Error> {
                // The derived one, which reads tables only.
                Origin::deserialize(MapAccessDeserializer::new(table))
            }
        }
        deserializer.deserialize_any(UrlOrTable)
    }
}

/// How requests to an origin are signed, and by whom.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// How.
    pub kind: SignKind,
    /// Where the store is.
    pub region: String,
    /// Variable of the environment with the access key.
    pub access_key_env: Option<String>,
    /// With the secret key.
    pub secret_key_env: Option<String>,
    /// With the token of a session.
    pub session_token_env: Option<String>,
    /// In place of them: a file with all of that, as AWS's tools have it.
    pub credentials: Option<PathBuf>,
    /// Which profile in it.
    #[serde(default = "Sign::profile_default")]
    pub profile: String,
}

/// Ways to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignKind {
    /// AWS Signature Version 4 as S3 has it.
    S3,
}

impl Sign {
    fn profile_default() -> String {
        "default".to_owned()
    }
}

/// How a site's requests are spread over its origins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
    /// To the one with the fewest requests under way for its weight.
    LeastConnections,
    /// The same object always to the same one, while that has not much more to do than the others.
    Hash,
}

/// Nodes that are asked before the origins: a parent tier, or the siblings of a cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shield {
    /// Those nodes.
    pub nodes: Vec<Origin>,
    /// How requests are spread over them.
    #[serde(default = "Shield::balance_default")]
    pub balance: Balance,
}

impl Shield {
    fn balance_default() -> Balance {
        Balance::Hash
    }
}

/// Asking again when an origin fails.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often for one request.
    pub times: usize,
    /// Retries in percent of the site's requests to origins.
    pub budget_percent: u32,
    /// Retries per second that are always allowed.
    pub budget_least: u32,
}

/// A health probe: `GET path` on every origin of a site.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginHealth {
    /// Path.
    pub path: String,
    /// Between two probes.
    pub every: Span,
    /// Of one probe.
    pub timeout: Span,
    /// Failures in a row that make it down.
    pub down_after: u32,
    /// Successes in a row that make it up.
    pub up_after: u32,
}

/// Time-outs towards an origin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Connecting, TLS included.
    pub connect: Span,
    /// One write of the request.
    pub send: Span,
    /// Between two reads of the response, its first byte included.
    pub read: Span,
    /// From asking to the end of the response's body; zero: no bound.
    pub total: Span,
    /// How long an idle connection is kept.
    pub idle: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 1, budget_percent: 20, budget_least: 10 }
    }
}

impl Default for OriginHealth {
    fn default() -> Self {
        let of_clusters = super::Health::default();
        Self {
            path: "/".to_owned(),
            every: Span(Duration::from_secs(5)),
            timeout: of_clusters.timeout,
            down_after: of_clusters.down_after,
            up_after: of_clusters.up_after,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self { connect: seconds(2), send: seconds(15), read: seconds(15), total: seconds(0), idle: seconds(60) }
    }
}
