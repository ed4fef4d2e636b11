//! `[control]`: how nodes hear of each other, and by what nodes with the same config are known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use sha2::{Digest, Sha256};

use super::units::{Size, Span};
use crate::control::votes::DECIDERS_MAX;

/// Servers of one config.
pub const SERVERS_MAX: usize = 16;

/// The control plane.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Which one.
    pub plane: PlaneKind,
    /// Servers of NATS, as URLs.
    pub servers: Vec<String>,
    /// A file of credentials: a token and the seed of a key.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of a key.
    pub nkey_file: Option<PathBuf>,
    /// Who this node is there.
    pub user: Option<String>,
    /// A file with his password.
    pub password_file: Option<PathBuf>,
    /// Authorities that are believed, in place of the system's.
    pub ca: Option<PathBuf>,
    /// This node's certificate, and its key.
    pub cert: Option<PathBuf>,
    /// See [`Self::cert`].
    pub key: Option<PathBuf>,
    /// How the names of subjects and streams begin.
    pub prefix: String,
    /// Nodes that are believed; none: all who are let in there.
    pub nodes: Vec<String>,
    /// How many deciders make a cluster down.
    pub quorum: Quorum,
    /// How often a node tells how it is.
    pub every: Span,
    /// How often it tells round-trip times.
    pub rtt_every: Span,
    /// For how long a node may not be heard while others are.
    pub silent_after: Span,
    /// How old what was heard may get when nothing is.
    pub max_age: Span,
    /// For how long purges are kept for those who are away.
    pub purges_keep: Span,
    /// Bytes of them.
    pub purges_bytes: Size,
    /// Servers that have each of them.
    pub replicas: usize,
}

/// What carries it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaneKind {
    /// Nothing: nodes that direct ask the others.
    #[default]
    Local,
    /// NATS with JetStream.
    Nats,
}

/// How many of the deciders that are heard have to find a cluster down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quorum {
    /// More than half of them.
    #[default]
    Majority,
    /// So many, or all where they are fewer.
    Number(usize),
}

impl Quorum {
    /// Of so many deciders.
    pub fn of(self, deciders: usize) -> usize {
        match self {
            Self::Majority => deciders / 2 + 1,
            Self::Number(number) => number.min(deciders).max(1),
        }
    }
}

/// Reads a quorum.
struct ReadQuorum;

impl Visitor<'_> for ReadQuorum {
    type Value = Quorum;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"majority\" or a number of deciders, 1 to {DECIDERS_MAX}")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Quorum, E> {
        match text {
            "majority" => Ok(Quorum::Majority),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Quorum, E> {
        let count = usize::try_from(number).ok().filter(|count| (1..=DECIDERS_MAX).contains(count));
        count.map(Quorum::Number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl<'de> Deserialize<'de> for Quorum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadQuorum)
    }
}

impl Default for Control {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            plane: PlaneKind::Local,
            servers: Vec::new(),
            credentials_file: None,
            nkey_file: None,
            user: None,
            password_file: None,
            ca: None,
            cert: None,
            key: None,
            prefix: "littoral".into(),
            nodes: Vec::new(),
            quorum: Quorum::Majority,
            every: seconds(1),
            rtt_every: seconds(30),
            silent_after: seconds(5),
            max_age: seconds(300),
            purges_keep: seconds(7 * 86_400),
            purges_bytes: Size(256 << 20),
            replicas: 1,
        }
    }
}

impl Control {
    /// Every file it names.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { credentials_file, nkey_file, password_file, ca, cert, key, .. } = self;
        [credentials_file, nkey_file, password_file, ca, cert, key].into_iter().flatten()
    }
}

/// Hashes of what a config says, as it is written: 32 hexadecimal digits. Comments, the order of keys and all that is a node's own do not
/// matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    /// Of sites, policies and plugins; none without a site.
    pub serving: Option<String>,
    /// Of clusters, zones, services, policies and plugins; none without a zone or service.
    pub directing: Option<String>,
}

impl Hashes {
    /// Of a config's text.
    pub(super) fn of(text: &str) -> Self {
        let Ok(table) = text.parse::<toml::Table>() else { return Self::default() };
        let has = |names: &[&str]| names.iter().any(|name| table.contains_key(*name));
        let hash = |names: &[&str]| {
            let mut written = String::new();
            for name in names.iter().chain(&["policy", "plugin", "plugins"]) {
                written.push_str(name);
                table.get(*name).into_iter().for_each(|value| write(value, &mut written));
            }
            Sha256::digest(written).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        };
        Self {
            serving: has(&["site"]).then(|| hash(&["site"])),
            directing: has(&["zone", "service"]).then(|| hash(&["cluster", "zone", "service", "dns", "geo"])),
        }
    }
}

/// A value so that two are written alike only when they are: tables in the order of their keys.
fn write(value: &toml::Value, to: &mut String) {
    match value {
        toml::Value::Table(table) => {
            to.push('{');
            for (key, value) in table.iter().collect::<BTreeMap<_, _>>() {
                to.push_str(&format!("{key:?}="));
                write(value, to);
            }
            to.push('}');
        }
        toml::Value::Array(values) => {
            to.push('[');
            values.iter().for_each(|value| write(value, to));
            to.push(']');
        }
        plain => to.push_str(&format!("{plain:?},")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_nodes_own_does_not_make_configs_differ_and_what_they_share_does() {
        let site = "[[site]]\nhosts = [\"a\"]\norigin = [\"http://o\"]\n";
        let one = Hashes::of(&format!("[node]\nname = \"a\"\n{site}"));
        let same = "# ours\n[[site]]\norigin = ['http://o']\nhosts = [\"a\"]\n[listen]\nhttp = []\n";
        assert_eq!(Hashes::of(same), one);
        assert_eq!((one.serving.as_ref().map(String::len), one.directing.clone()), (Some(32), None));
        assert_ne!(Hashes::of(&site.replace("\"a\"", "\"b\"")), one);
        let both = Hashes::of(&format!("{site}[[zone]]\nname = \"z.\"\n"));
        assert_eq!((both.serving, both.directing.is_some()), (one.serving, true));
    }
}
