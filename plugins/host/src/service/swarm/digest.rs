//! Sums of contents, which a guest would take ten times as long for.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// What sums are of; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// What older protocols name pieces by (BEP 3). No secret rests on it.
    Sha1,
    /// What newer ones do (BEP 52).
    Sha256,
}

/// A sum that is under way.
#[derive(Clone)]
pub struct Summing(Context);

impl Summing {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(Context::new(match algorithm {
            Algorithm::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &SHA256,
        }))
    }

    /// With more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum.
    pub fn sum(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // FIPS 180-4, the example of one block.
        let of = |algorithm| {
            let mut summing = Summing::new(algorithm);
            summing.add(b"a");
            summing.add(b"bc");
            crate::engine::hex(&summing.sum())
        };
        assert_eq!(of(Algorithm::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(of(Algorithm::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
