//! Signatures: who vouches for a component. Ed25519 (RFC 8032) over all of the file but the signatures at its end.
//!
//! A signature is a custom section after everything else, so that it travels with the file, is replaced together with it, and is
//! passed over by whoever does not know it. Several may follow each other, each by another key. Verifying reads nothing but
//! the end of the file; invariant: what is compiled is what was signed.

use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::engine::{hex, read};
use crate::limits::SIGNATURES_MAX;

/// Name of the custom section.
const SECTION: &[u8] = b"littoral-signature-1";
/// What is signed begins with this, so that no other use of a key can be taken for it; the file's sha256 follows.
const CONTEXT: &[u8] = b"littoral plugin signature 1\0";
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// A section: its id, its length, its name with its length, the public key, the signature.
const SECTION_BYTES: usize = 2 + CONTENT_BYTES;
const CONTENT_BYTES: usize = 1 + SECTION.len() + KEY_BYTES + SIGNATURE_BYTES;
const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

/// Who may vouch for plugins: written `ed25519:` and 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

/// What signs. Its text is a secret.
pub struct SecretKey(Ed25519KeyPair);

/// What a host demands of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// One of these must have signed it; none: nothing is demanded.
    pub keys: Vec<PublicKey>,
    /// Load what nobody trusted has signed all the same, with a warning.
    pub warn_only: bool,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretKey").field(&self.public()).finish()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PUBLIC}{}", hex(&self.0))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PUBLIC).and_then(unhex);
        let wrong = || {
            format!(
                "{text:?} is no public key: write {PUBLIC} and 64 hex digits, as `littoral plugin keygen` prints it"
            )
        };
        bytes.map(Self).ok_or_else(wrong)
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl SecretKey {
    /// A new one, and the text to keep it as.
    ///
    /// # Errors
    /// When the system has no entropy.
    pub fn generate() -> Result<(Self, String), String> {
        let mut seed = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut seed).map_err(|_| "the system gives no random numbers")?;
        Ok((Self::of_seed(&seed)?, format!("{SECRET}{}\n", hex(&seed))))
    }

    /// Reads a key file. Bytes that are none are not repeated in the error.
    ///
    /// # Errors
    /// One line with the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let told = |problem: String| format!("{}: {problem}", file.display());
        let text = read(file).map_err(told)?;
        let seed = std::str::from_utf8(&text).ok().and_then(|text| text.trim().strip_prefix(SECRET)).and_then(unhex);
        let seed = seed.ok_or_else(|| told("it is no secret key: make one with `littoral plugin keygen`".into()))?;
        Self::of_seed(&seed).map_err(told)
    }

    fn of_seed(seed: &[u8; KEY_BYTES]) -> Result<Self, String> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|error| format!("it is no secret key: {error}"))
    }

    /// The key that belongs to it and is no secret.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// The component with a signature of this key; one it had of the same key goes.
    ///
    /// # Errors
    /// It has the most signatures already.
    pub fn sign(&self, component: &[u8]) -> Result<Vec<u8>, String> {
        let (body, found) = split(component);
        let kept: Vec<_> = found.iter().filter(|(key, _)| *key != self.public()).collect();
        if kept.len() >= SIGNATURES_MAX {
            return Err(format!("it has {SIGNATURES_MAX} signatures of other keys, which is the most"));
        }
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.0.sign(&message(body)).as_ref());
        let mut signed = body.to_vec();
        kept.into_iter().for_each(|(key, signature)| append(&mut signed, *key, signature));
        append(&mut signed, self.public(), &signature);
        Ok(signed)
    }
}

impl Trust {
    /// Whether a component may be loaded, and who vouches for it. With `warn_only` what is wrong is logged.
    ///
    /// # Errors
    /// Who signed it, or that its bytes are not those that were signed, and what to do.
    pub(crate) fn check(&self, name: &str, component: &[u8]) -> Result<Option<PublicKey>, String> {
        match self.vouched(component) {
            Err(problem) if self.warn_only => {
                tracing::warn!(plugin = name, problem, "loaded all the same: plugins.signature is \"warn\"");
                Ok(None)
            }
            vouched => vouched,
        }
    }

    /// Which of the keys signed a component; none when nothing is demanded.
    ///
    /// # Errors
    /// As for a component that a node refuses.
    pub fn vouched(&self, component: &[u8]) -> Result<Option<PublicKey>, String> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let (body, found) = split(component);
        if found.is_empty() {
            return Err("it is not signed: sign it with `littoral plugin sign --key KEY FILE`".into());
        }
        let message = message(body);
        let trusted: Vec<_> = found.iter().filter(|(key, _)| self.keys.contains(key)).collect();
        let valid = |(key, signature): &&&(PublicKey, Vec<u8>)| {
            UnparsedPublicKey::new(&ED25519, key.0).verify(&message, signature).is_ok()
        };
        match (trusted.iter().find(valid), trusted.first()) {
            (Some((key, _)), _) => Ok(Some(*key)),
            (None, Some((key, _))) => Err(format!(
                "it was changed after {key} signed it: get it from its author again, or sign what it is now"
            )),
            (None, None) => {
                let signers = found.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().join(", ");
                Err(format!(
                    "it is signed by {signers}, which is not among plugins.trusted_keys: add the key, or have it signed by one of them"
                ))
            }
        }
    }
}

/// The keys that a component names as its signers; whether their signatures are right is not looked at.
pub fn signers(component: &[u8]) -> Vec<PublicKey> {
    split(component).1.into_iter().map(|(key, _)| key).collect()
}

/// What was signed, and the signatures that follow it, the last first.
fn split(component: &[u8]) -> (&[u8], Vec<(PublicKey, Vec<u8>)>) {
    let (mut body, mut found) = (component, Vec::new());
    while found.len() < SIGNATURES_MAX {
        let Some((rest, section)) = body.len().checked_sub(SECTION_BYTES).and_then(|at| body.split_at_checked(at))
        else {
            break;
        };
        let Some(content) = section.strip_prefix(&HEAD).and_then(|rest| rest.strip_prefix(SECTION)) else { break };
        let (key, signature) = content.split_at(KEY_BYTES);
        let mut public = [0; KEY_BYTES];
        public.copy_from_slice(key);
        found.push((PublicKey(public), signature.to_vec()));
        body = rest;
    }
    (body, found)
}

/// A custom section's id, the length of its content in LEB128, the length of its name (WebAssembly core specification §5.5.3).
const HEAD: [u8; 3] = {
    assert!(CONTENT_BYTES < 0x80 && SECTION.len() < 0x80, "each length is one octet");
    [0, CONTENT_BYTES as u8, SECTION.len() as u8]
};

fn append(component: &mut Vec<u8>, key: PublicKey, signature: &[u8]) {
    for part in [&HEAD, SECTION, &key.0, signature] {
        component.extend_from_slice(part);
    }
}

fn message(body: &[u8]) -> Vec<u8> {
    [CONTEXT, &Sha256::digest(body)].concat()
}

fn unhex(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::of_seed(&[seed; KEY_BYTES]).unwrap()
    }

    fn trust(keys: &[&SecretKey]) -> Trust {
        Trust { keys: keys.iter().map(|key| key.public()).collect(), warn_only: false }
    }

    fn component() -> Vec<u8> {
        wat::parse_str("(component (core module))").unwrap()
    }

    #[test]
    fn a_component_is_trusted_when_one_of_the_keys_signed_these_very_bytes() {
        let (ours, other) = (key(1), key(2));
        let signed = ours.sign(&component()).unwrap();
        assert_eq!(trust(&[&other, &ours]).check("p", &signed), Ok(Some(ours.public())));
        assert!(crate::component::open(&signed).is_ok(), "and it is still a component");
        assert_eq!(trust(&[]).check("p", &component()), Ok(None), "nothing is demanded");
        let both = other.sign(&signed).unwrap();
        for key in [&ours, &other] {
            assert_eq!(trust(&[key]).check("p", &both), Ok(Some(key.public())));
        }
        assert_eq!(
            ours.sign(&both).unwrap().len(),
            both.len(),
            "a second signature of a key takes the place of the first"
        );
        assert_eq!(signers(&both), [other.public(), ours.public()]);
    }

    #[test]
    fn a_missing_wrong_or_broken_signature_is_refused_with_what_to_do() {
        let (ours, other) = (key(1), key(2));
        let check = |component: &[u8], expected: &str| {
            let problem = trust(&[&ours]).check("p", component).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        check(&component(), "it is not signed: sign it with `littoral plugin sign");
        check(
            &other.sign(&component()).unwrap(),
            &format!("signed by {}, which is not among plugins.trusted_keys", other.public()),
        );
        let signed = ours.sign(&component()).unwrap();
        for at in 0..signed.len() - SECTION_BYTES {
            let mut tampered = signed.clone();
            tampered[at] ^= 1;
            check(&tampered, "it was changed after ed25519:");
        }
        let mut forged = signed.clone();
        *forged.last_mut().unwrap() ^= 1;
        check(&forged, "it was changed after");
        check(&[&signed[..], b"\0\x02\x01x"].concat(), "it is not signed");
        let lax = Trust { warn_only: true, ..trust(&[&ours]) };
        assert_eq!(lax.check("p", &component()), Ok(None));
    }

    #[test]
    fn what_another_key_signed_does_not_become_ours_by_our_name_on_it() {
        let (ours, other) = (key(1), key(2));
        let (body, found) = (component(), other.sign(&component()).unwrap());
        let mut forged = body.clone();
        append(&mut forged, ours.public(), &split(&found).1[0].1);
        assert!(trust(&[&ours]).check("p", &forged).unwrap_err().contains("it was changed"));
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_a_secret_is_not_repeated() {
        let (secret, text) = SecretKey::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("k");
        std::fs::write(&file, &text).unwrap();
        assert_eq!(SecretKey::read(&file).unwrap().public(), secret.public());
        assert_eq!(secret.public().to_string().parse(), Ok(secret.public()));
        let seed = text.trim().strip_prefix(SECRET).unwrap();
        assert!(!format!("{secret:?}").contains(seed));
        std::fs::write(&file, format!("ed25519:{seed}")).unwrap();
        let problem = SecretKey::read(&file).unwrap_err();
        assert!(problem.contains("no secret key") && !problem.contains(seed), "{problem}");
        for wrong in ["", "ed25519:", "ed25519:00", seed, &format!("ed25519:{}+", &seed[..63])] {
            assert!(wrong.parse::<PublicKey>().unwrap_err().contains("64 hex digits"), "{wrong}");
        }
    }

    #[test]
    fn the_signatures_of_a_component_are_bounded() {
        let signed =
            (0..SIGNATURES_MAX as u8).try_fold(component(), |signed, seed| key(seed + 1).sign(&signed)).unwrap();
        assert!(key(99).sign(&signed).unwrap_err().contains("which is the most"));
        assert!(key(1).sign(&signed).is_ok());
    }
}
