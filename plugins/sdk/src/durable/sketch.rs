//! A disk for native tests of services: it does what the host does, but bounds only what is granted.

use std::collections::BTreeMap;

use super::{Durable, Refusal, Usage};

/// Bytes that an entry is charged beside its key and value.
const ENTRY_BYTES: u64 = 32;

/// What is stored, and what is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vault {
    /// What a crash leaves.
    pub stored: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is granted; both 0: as much as you like.
    pub keys_max: u64,
    /// See `keys_max`.
    pub bytes_max: u64,
    /// What the next commit is refused with.
    pub refuses: Option<Refusal>,
    noted: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    expected: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Vault {
    /// An empty one that is granted so much.
    pub fn granted(keys_max: u64, bytes_max: u64) -> Self {
        Self { keys_max, bytes_max, ..Self::default() }
    }

    /// What is there after the node was killed now, or another connection begins.
    #[must_use]
    pub fn after_a_crash(&self) -> Self {
        Self { stored: self.stored.clone(), ..Self::granted(self.keys_max, self.bytes_max) }
    }

    fn with_noted(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all = self.stored.clone();
        for (key, value) in &self.noted {
            match value {
                Some(value) => drop(all.insert(key.clone(), value.clone())),
                None => drop(all.remove(key)),
            }
        }
        all
    }
}

fn charge(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> u64 {
    entries.iter().map(|(key, value)| ENTRY_BYTES + (key.len() + value.len()) as u64).sum()
}

impl Durable for Vault {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.noted.get(key).cloned().unwrap_or_else(|| self.stored.get(key).cloned()))
    }
    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, Refusal> {
        let is_one = |key: &Vec<u8>| key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after);
        Ok(self.with_noted().into_keys().filter(is_one).take(max).collect())
    }
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.noted.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }
    fn remove(&mut self, key: &[u8]) -> Result<(), Refusal> {
        self.noted.insert(key.to_vec(), None);
        Ok(())
    }
    fn expect(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Refusal> {
        self.expected.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        Ok(())
    }
    fn commit(&mut self) -> Result<(), Refusal> {
        let (after, expected) = (self.with_noted(), std::mem::take(&mut self.expected));
        self.noted.clear();
        if let Some(refusal) = self.refuses.take() {
            return Err(refusal);
        }
        if expected.iter().any(|(key, value)| self.stored.get(key) != value.as_ref()) {
            return Err(Refusal::Conflict);
        }
        let is_full = |after: u64, before: u64, most: u64| most > 0 && after > before && after > most;
        let keys = (after.len() as u64, self.stored.len() as u64);
        if is_full(keys.0, keys.1, self.keys_max) || is_full(charge(&after), charge(&self.stored), self.bytes_max) {
            return Err(Refusal::Full);
        }
        self.stored = after;
        Ok(())
    }
    fn discard(&mut self) {
        self.noted.clear();
        self.expected.clear();
    }
    fn used(&self) -> Usage {
        let (keys, bytes) = (self.stored.len() as u64, charge(&self.stored));
        Usage { keys, keys_max: self.keys_max, bytes, bytes_max: self.bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_seen_and_is_gone_after_a_crash_until_it_is_committed() {
        let mut vault = Vault::default();
        vault.put(b"a/1", b"x").unwrap();
        vault.put(b"a/2", b"y").unwrap();
        assert_eq!(vault.get(b"a/1").unwrap().unwrap(), b"x");
        assert_eq!(vault.keys(b"a/", Some(b"a/1"), 9).unwrap(), [b"a/2"]);
        assert_eq!(vault.after_a_crash().get(b"a/1").unwrap(), None);
        vault.commit().unwrap();
        vault.remove(b"a/1").unwrap();
        assert_eq!(vault.get(b"a/1").unwrap(), None);
        vault.discard();
        assert_eq!(vault.after_a_crash().get(b"a/1").unwrap().unwrap(), b"x");
        assert_eq!(vault.used(), Usage { keys: 2, bytes: 72, ..Usage::default() });
    }

    #[test]
    fn a_commit_is_refused_whole() {
        let mut vault = Vault::granted(1, 100);
        for key in [b"a", b"b"] {
            vault.put(key, b"x").unwrap();
        }
        assert_eq!((vault.commit(), vault.stored.len()), (Err(Refusal::Full), 0));
        vault.put(b"a", b"x").unwrap();
        vault.expect(b"a", Some(b"w")).unwrap();
        assert_eq!([vault.commit(), vault.commit()], [Err(Refusal::Conflict), Ok(())], "nothing is noted then");
        vault.refuses = Some(Refusal::Failed);
        vault.put(b"a", b"x").unwrap();
        assert_eq!((vault.commit(), vault.stored.len()), (Err(Refusal::Failed), 0));
    }
}
