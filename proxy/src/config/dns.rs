//! `[dns]`: how the DNS side answers, whatever it answers.

use littoral_geo::limits::UNVERIFIED_BYTES;
use serde::Deserialize;

/// Answers of one kind to one network in a second.
pub(super) const ANSWERS_PER_SECOND_MAX: u32 = 1_000_000;
/// How many-th answer beyond the bound is cut.
pub(super) const SLIP_MAX: u32 = 100;
/// Bytes of an answer that are always allowed: what has no records is shorter.
pub(super) const BYTES_WITHOUT_COOKIE_MIN: u16 = 128;

/// The DNS side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// What it calls itself when asked.
    pub nsid: Option<String>,
    /// What it says of its software.
    pub version: Option<String>,
    /// What its cookies are made with, in hex.
    pub cookie_secret: Option<String>,
    /// Answers of one kind to one network in a second; 0: no bound.
    pub answers_per_second: u32,
    /// Of those beyond, each how many-th is cut and not dropped; 0: none.
    pub slip: u32,
    /// Bytes of an answer over UDP to a client that has no cookie of ours.
    pub bytes_without_cookie: u16,
    /// UDP sockets of each address, and threads that answer on them; 0: one per core.
    pub threads: usize,
    /// Secrets shared with other servers.
    pub key: Vec<DnsKey>,
}

/// A secret shared with other servers (TSIG).
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsKey {
    /// The name that both sides know it by.
    pub name: String,
    /// How it signs.
    #[serde(default = "algorithm")]
    pub algorithm: String,
    /// Its bytes in base64.
    pub secret: String,
}

fn algorithm() -> String {
    "hmac-sha256".into()
}

impl std::fmt::Debug for DnsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsKey").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl DnsKey {
    /// Its bytes; `None` when they are no base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        littoral_geo::tsig::bytes_of(&self.secret)
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            nsid: None,
            version: None,
            cookie_secret: None,
            answers_per_second: 0,
            slip: 2,
            bytes_without_cookie: UNVERIFIED_BYTES,
            threads: 0,
            key: Vec::new(),
        }
    }
}

impl Dns {
    /// The secret of its cookies; `None` when it has none, or one that is no 32 hex digits.
    pub fn secret(&self) -> Option<[u8; 16]> {
        let digits = self.cookie_secret.as_ref().filter(|digits| digits.len() == 32 && digits.is_ascii())?;
        u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
    }
}
