//! A key of a zone and what it signs with: ECDSA P-256 with SHA-256 (RFC 6605) and Ed25519 (RFC 8080).
//!
//! Invariant: the private half belongs to the public one.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

/// Numbers of the algorithms (RFC 8624 §3.1 recommends these two).
pub(super) const ECDSA_P256: u8 = 13;
pub(super) const ED25519: u8 = 15;
/// Flags of a DNSKEY record: a key of a zone, and one that others point to (RFC 4034 §2.1.1).
pub(super) const ZONE_KEY: u16 = 0x0100;
pub(super) const ENTRY: u16 = 0x0001;
/// The one protocol (RFC 4034 §2.1.2).
pub(super) const PROTOCOL: u8 = 3;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) flags: u16,
    /// What resolvers know it by (RFC 4034, appendix B).
    pub(super) tag: u16,
    /// The data of its DNSKEY record.
    pub(super) rdata: Box<[u8]>,
    pub(super) times: Times,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// When a key is used, in seconds since 1970; `None`: from ever, or for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) publish: Option<u64>,
    pub(super) activate: Option<u64>,
    pub(super) inactive: Option<u64>,
    pub(super) delete: Option<u64>,
}

impl Times {
    /// Whether resolvers are told of it.
    pub(super) fn published(&self, now_s: u64) -> bool {
        self.publish.is_none_or(|from| from <= now_s) && self.delete.is_none_or(|until| now_s < until)
    }

    /// Whether it signs. One that nobody is told of does not.
    pub(super) fn active(&self, now_s: u64) -> bool {
        let active = self.activate.is_none_or(|from| from <= now_s) && self.inactive.is_none_or(|until| now_s < until);
        active && self.published(now_s)
    }
}

impl Key {
    /// Of the halves as key files have them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn new(flags: u16, algorithm: u8, public: &[u8], private: &[u8], times: Times) -> Result<Self, String> {
        let unfit = |_| "the private key does not belong to the public one: take both files of one key".to_owned();
        let pair = match algorithm {
            ECDSA_P256 => {
                let uncompressed = [&[4], public].concat();
                let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(scheme, private, &uncompressed, &SystemRandom::new());
                Pair::Ecdsa(pair.map_err(unfit)?)
            }
            ED25519 => Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(private, public).map_err(unfit)?),
            other => {
                return Err(format!(
                    "a key of algorithm {other}: {ECDSA_P256} (ECDSAP256SHA256) and {ED25519} (ED25519) are used; make one of them"
                ));
            }
        };
        let rdata = [&flags.to_be_bytes()[..], &[PROTOCOL, algorithm], public].concat();
        Ok(Self { flags, tag: tag(&rdata), rdata: rdata.into(), times, pair })
    }

    pub(super) fn algorithm(&self) -> u8 {
        self.rdata[3]
    }

    /// Whether the zone above points to it.
    pub(super) fn is_entry(&self) -> bool {
        self.flags & ENTRY != 0
    }

    /// The signature of `bytes`; `None` when the system has no randomness for it.
    pub(super) fn sign(&self, bytes: &[u8]) -> Option<[u8; 64]> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), bytes).ok()?.as_ref().try_into().ok(),
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().try_into().ok(),
        }
    }
}

/// The tag of the data of a DNSKEY record (RFC 4034, appendix B).
pub(super) fn tag(rdata: &[u8]) -> u16 {
    let sum: u32 = rdata.iter().zip([8, 0].into_iter().cycle()).map(|(byte, shift)| u32::from(*byte) << shift).sum();
    (sum + (sum >> 16)) as u16
}
