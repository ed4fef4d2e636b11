//! Keys as the operator writes them (RFC 7517, RFC 7518 §6, RFC 8037 §2), each for one algorithm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPublicKey};
use serde::Deserialize;

/// Octets of a secret for HS256, at least (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Octets of an RSA modulus: 2048 bits (RFC 7518 §3.3) to 4096.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// A key of a key set. Members that say nothing of the key itself are known and not used.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jwk {
    kid: Option<String>,
    kty: String,
    alg: String,
    #[serde(rename = "use")]
    _usage: Option<String>,
    #[serde(rename = "key_ops")]
    _operations: Option<Vec<String>>,
    crv: String,
    k: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// A key that can be checked with.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) alg: &'static str,
    pub(crate) of: Material,
}

#[derive(Debug)]
pub(crate) enum Material {
    Secret(Vec<u8>),
    Rsa(Box<RsaPublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl Key {
    /// # Errors
    /// For the operator: which member is wrong, and what is expected.
    pub(crate) fn of(jwk: &Jwk) -> Result<Self, String> {
        let (alg, of) = match (jwk.alg.as_str(), jwk.kty.as_str(), jwk.crv.as_str()) {
            ("HS256", "oct", _) => ("HS256", secret(&jwk.k)?),
            ("RS256", "RSA", _) => ("RS256", rsa(&jwk.n, &jwk.e)?),
            ("ES256", "EC", "P-256") => ("ES256", p256(&jwk.x, &jwk.y)?),
            ("EdDSA", "OKP", "Ed25519") => ("EdDSA", ed25519(&jwk.x)?),
            (alg, kty, crv) => {
                return Err(format!(
                    "alg {alg:?} with kty {kty:?} and crv {crv:?}: write HS256 with oct, RS256 with RSA, ES256 with EC and P-256, or EdDSA with OKP and Ed25519"
                ));
            }
        };
        Ok(Self { kid: jwk.kid.clone(), alg, of })
    }
}

fn decoded(name: &str, text: &str) -> Result<Vec<u8>, String> {
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(format!("{name} is no base64url without padding")),
    }
}

fn secret(k: &str) -> Result<Material, String> {
    let secret = decoded("k", k)?;
    match secret.len() < SECRET_BYTES_MIN {
        true => Err(format!("k has {} octets; {SECRET_BYTES_MIN} are the least", secret.len())),
        false => Ok(Material::Secret(secret)),
    }
}

fn rsa(n: &str, e: &str) -> Result<Material, String> {
    let (n, e) = (BigUint::from_bytes_be(&decoded("n", n)?), BigUint::from_bytes_be(&decoded("e", e)?));
    let key = RsaPublicKey::new(n, e).map_err(|error| format!("n and e: {error}"))?;
    match MODULUS_BYTES.contains(&key.size()) {
        true => Ok(Material::Rsa(Box::new(key))),
        false => Err(format!("n has {} octets; an RSA key has 256 to 512", key.size())),
    }
}

fn p256(x: &str, y: &str) -> Result<Material, String> {
    let point = [vec![4], decoded("x", x)?, decoded("y", y)?].concat();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
    key.map(|key| Material::P256(Box::new(key))).map_err(|_| "x and y are no point of P-256".into())
}

fn ed25519(x: &str) -> Result<Material, String> {
    let wrong = || "x is no public key of Ed25519".to_owned();
    let bytes = decoded("x", x)?.try_into().map_err(|_| wrong())?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())?;
    match key.is_weak() {
        true => Err(wrong()),
        false => Ok(Material::Ed25519(Box::new(key))),
    }
}
