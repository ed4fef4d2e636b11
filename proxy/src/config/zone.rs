//! `[[zone]]`: what this node answers for, and how it is signed.

use std::path::PathBuf;

use serde::Deserialize;

use super::Span;

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
        std::iter::once(&mut self.file).chain(self.dnssec.iter_mut().map(|dnssec| &mut dnssec.keys))
    }
}
