//! `[[zone]]`: what this node answers for, how it is signed, and the servers that it comes from and goes to.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::Span;
use super::units::Prefix;

/// A DNS zone served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its master file (RFC 1035).
    pub file: PathBuf,
    /// How it is signed; without it, not at all.
    pub dnssec: Option<Dnssec>,
    /// Who may copy it; without it, nobody.
    pub transfer: Option<Transfer>,
    /// Whom it is copied from; `file` is then the copy.
    pub primary: Option<Primary>,
    /// Who may change it; without it, nobody.
    pub update: Option<Update>,
}

/// Who may copy a zone, and who is told of its changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// From where.
    pub allow: Vec<Prefix>,
    /// The key that they sign with.
    pub key: Option<String>,
    /// Servers that are told.
    pub notify: Vec<SocketAddr>,
}

/// Whom a zone is copied from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Primary {
    /// Its address.
    pub address: SocketAddr,
    /// The key to sign with.
    pub key: Option<String>,
}

/// Who may change a zone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The key that they sign with.
    pub key: String,
    /// From where.
    #[serde(default)]
    pub allow: Vec<Prefix>,
    /// The file that keeps the changes.
    pub journal: PathBuf,
}

/// Signatures of a zone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dnssec {
    /// The directory of its keys.
    pub keys: PathBuf,
    /// How long a signature holds.
    #[serde(default = "validity")]
    pub validity: Span,
}

fn validity() -> Span {
    const DAY_SECONDS: u64 = 86_400;
    Span(std::time::Duration::from_secs(7 * DAY_SECONDS))
}

impl Zone {
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let keys = self.dnssec.iter_mut().map(|dnssec| &mut dnssec.keys);
        let journal = self.update.iter_mut().map(|update| &mut update.journal);
        std::iter::once(&mut self.file).chain(keys).chain(journal)
    }
}
