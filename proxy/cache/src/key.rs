//! The cache key: which stored response may answer a request.
//!
//! The key is the exact text (host, then path and query, framed by a byte that can be in neither); a 128-bit hash of it,
//! seeded at start, is only the way to find it. A lookup compares the text, so that a collision is a miss and never
//! somebody else's object.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::quality::RandomState;
use sha2::{Digest, Sha256};

/// Seeded once per process, so that nobody outside can aim at a bucket.
fn seeds() -> &'static (RandomState, RandomState) {
    static SEEDS: OnceLock<(RandomState, RandomState)> = OnceLock::new();
    SEEDS.get_or_init(|| (RandomState::default(), RandomState::default()))
}

/// A primary key: text and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    hash: u128,
    text: Box<[u8]>,
}

impl Key {
    /// The key of `path_and_query` on `host`. `host` must already be lower case and without the default port.
    pub fn new(host: &str, path_and_query: &str) -> Self {
        let mut text = Vec::with_capacity(host.len() + 1 + path_and_query.len());
        text.extend_from_slice(host.as_bytes());
        text.push(b' ');
        text.extend_from_slice(path_and_query.as_bytes());
        Self { hash: hash_of(host, path_and_query), text: text.into_boxed_slice() }
    }

    /// The key that has this text; `None` when [`Self::new`] cannot have made it.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let (host, path_and_query) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self::new(host, path_and_query))
    }

    /// The hash, which finds the object.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The text, which proves it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The hash of a key without building it: what a hit needs.
pub fn hash_of(host: &str, path_and_query: &str) -> u128 {
    let (low, high) = seeds();
    u128::from(half(low, host, path_and_query)) | u128::from(half(high, host, path_and_query)) << 64
}

/// Whether `text`, made by [`Key::new`], is the key of these two, without building it.
pub fn is_key_of(text: &[u8], host: &str, path_and_query: &str) -> bool {
    text.len() == host.len() + 1 + path_and_query.len()
        && text.starts_with(host.as_bytes())
        && text.get(host.len()) == Some(&b' ')
        && text.ends_with(path_and_query.as_bytes())
}

/// The slot of a variant (RFC 9111 §4.1) of the object with this primary hash.
pub fn variant_hash(primary: u128, variance: &[u8; 16]) -> u128 {
    let (low, high) = seeds();
    let mix = |state: &RandomState| {
        let mut hasher = state.build_hasher();
        hasher.write_u128(primary);
        hasher.write(variance);
        hasher.finish()
    };
    u128::from(mix(low)) | u128::from(mix(high)) << 64
}

/// 128 bits of the SHA-256 of `parts`, each framed by its length: what is the same in every process, for all that is kept on
/// disk. Nobody finds two texts with the same.
pub fn digest(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut low = [0; 16];
    low.copy_from_slice(&hasher.finalize()[..16]);
    u128::from_le_bytes(low)
}

/// A 128-bit hash of `bytes` under this process's seeds, for what lives no longer than it.
pub fn hash_bytes(bytes: &[u8]) -> u128 {
    let (low, high) = seeds();
    u128::from(low.hash_one(bytes)) | u128::from(high.hash_one(bytes)) << 64
}

fn half(state: &RandomState, host: &str, path_and_query: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(host.as_bytes());
    hasher.write_u8(b' ');
    hasher.write(path_and_query.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_between_host_and_path_is_part_of_the_key() {
        let (a, b) = (Key::new("a.example", "/x"), Key::new("a.exampl", "e/x"));
        assert_ne!(a.text(), b.text());
        assert_ne!(a.hash(), b.hash());
        assert!(is_key_of(a.text(), "a.example", "/x"));
        assert!(!is_key_of(a.text(), "a.exampl", "e/x"));
    }

    #[test]
    fn a_key_comes_back_from_its_text_and_nothing_else_is_one() {
        let key = Key::new("a.example", "/x?q=a b");
        assert_eq!(Key::from_text(key.text()), Some(key));
        assert!(Key::from_text(b"no-space").is_none() && Key::from_text(b"h /\xff").is_none());
    }

    #[test]
    fn a_digest_tells_parts_apart_and_is_the_same_everywhere() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"a.example /x"]), 0xa1e5_5eae_40fe_7368_7d70_efa9_f624_6f17);
    }

    #[test]
    fn the_hash_without_the_key_is_the_hash_of_the_key() {
        assert_eq!(hash_of("h", "/p?q"), Key::new("h", "/p?q").hash());
    }
}
