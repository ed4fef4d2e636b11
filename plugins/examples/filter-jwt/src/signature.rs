//! The signature of a token in its compact form (RFC 7515 §5.2, RFC 8037 §3.1).
//!
//! The algorithm is the key's: what the token's head says must agree, and chooses nothing but the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::Pkcs1v15Sign;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::keys::{Key, Material};

/// The head of a DigestInfo for SHA-256 (RFC 8017 §9.2, note 1).
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

#[derive(Debug, Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// What must be understood; nothing is (RFC 7515 §4.1.11).
    crit: Option<Value>,
}

/// The payload of a token that one of `keys` signed.
///
/// # Errors
/// What is wrong with it, for whoever sent it.
pub(crate) fn verified(token: &str, keys: &[Key]) -> Result<Vec<u8>, &'static str> {
    const FORM: &str = "it is no token in compact form";
    let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
    let (head, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(FORM)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| FORM);
    let head: Head = serde_json::from_slice(&decoded(head)?).map_err(|_| FORM)?;
    if head.crit.is_some() {
        return Err("it demands an extension that is not known here");
    }
    let signature = decoded(signature)?;
    // A key without a name is tried for any; one with a name only for tokens that name it or none.
    let is_meant = |key: &&Key| key.alg == head.alg && (head.kid.is_none() || key.kid.is_none() || key.kid == head.kid);
    match keys.iter().filter(is_meant).any(|key| key.of.is_signer(signed.as_bytes(), &signature)) {
        true => decoded(payload),
        false => Err("no key of this site signed it"),
    }
}

impl Material {
    fn is_signer(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mut mac| {
                mac.update(signed);
                mac.verify_slice(signature).is_ok()
            }),
            Self::Rsa(key) => {
                let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_INFO.into() };
                key.verify(scheme, &Sha256::digest(signed), signature).is_ok()
            }
            // Both numbers behind each other (RFC 7518 §3.4), not DER.
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(signed), &signature).is_ok()),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}
