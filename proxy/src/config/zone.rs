//! `[[zone]]`: what this node answers for, how it is signed, and the servers that it comes from and goes to.

use std::net::SocketAddr;
use std::path::PathBuf;

use littoral_geo::zone::{RecordTable, Time, ZoneTables};
use serde::Deserialize;

use super::Span;
use super::units::Prefix;

/// A DNS zone served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its master file (RFC 1035), or a file of tables (`*.toml`).
    pub file: Option<PathBuf>,
    /// TTL of records of `record` that state none.
    pub ttl: Option<Time>,
    /// Its records, in place of a file.
    pub record: Option<Vec<RecordTable>>,
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
    /// The records that the config has itself.
    pub fn tables(&self) -> Option<ZoneTables> {
        let record = self.record.clone()?;
        Some(ZoneTables { ttl: self.ttl.clone(), record })
    }

    /// The key is one of this zone.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        match (&self.file, self.tables()) {
            (None, None) => wrong("file", "it has no records: add file, a master file, or [[zone.record]]"),
            (Some(_), Some(_)) => wrong("record", "it has records here and in its file: keep one of them"),
            (Some(_), None) if self.ttl.is_some() => wrong("ttl", "ttl is of [[zone.record]]: write it into the file"),
            (None, Some(_)) if self.primary.is_some() => {
                wrong("record", "it is copied from its primary: remove the records, and add file for the copy")
            }
            (None, Some(tables)) => tables.check(&self.name),
            (Some(_), None) => Ok(()),
        }
    }

    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let keys = self.dnssec.iter_mut().map(|dnssec| &mut dnssec.keys);
        let journal = self.update.iter_mut().map(|update| &mut update.journal);
        self.file.iter_mut().chain(keys).chain(journal)
    }
}
