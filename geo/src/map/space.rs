//! One family's addresses, cut into intervals that each have a number as their value.
//!
//! Intervals are told by where they begin: 4 bytes for IPv4, 8 for IPv6 (what begins within a /64 is noted apart), and 4 for
//! the value. What a value means is the owner's; [`super::trie`] finds them fast. Invariants: the first interval begins at 0; neighbours differ in their values, so that the
//! widest prefix inside an interval is the widest one with that value.

use std::cmp::Ordering;

/// The bits of a key that are kept of every interval.
pub(super) trait Head: Copy + Ord {
    /// Bits of the first node of an index, at most: what is routed in IPv4, and of IPv6 what registries are given.
    const ROOT_BITS_MAX: u8;
    /// Of a key.
    fn of(key: u128) -> Self;
    /// The first key that has it.
    fn key(self) -> u128;
}

impl Head for u32 {
    const ROOT_BITS_MAX: u8 = 24;

    fn of(key: u128) -> Self {
        (key >> 96) as u32
    }
    fn key(self) -> u128 {
        u128::from(self) << 96
    }
}

impl Head for u64 {
    const ROOT_BITS_MAX: u8 = 16;

    fn of(key: u128) -> Self {
        (key >> 64) as u64
    }
    fn key(self) -> u128 {
        u128::from(self) << 64
    }
}

/// The intervals of a family.
#[derive(Debug)]
pub(super) struct Space<H> {
    heads: Vec<H>,
    /// Low halves of where intervals begin, by interval; those that are not there are 0.
    tails: Vec<(u32, u64)>,
    values: Vec<u32>,
}

impl<H: Head> Default for Space<H> {
    /// One interval of value 0.
    fn default() -> Self {
        let mut space = Self::new();
        space.begin(0, 0);
        space
    }
}

impl<H: Head> Space<H> {
    /// No interval yet.
    pub(super) fn new() -> Self {
        Self { heads: Vec::new(), tails: Vec::new(), values: Vec::new() }
    }

    /// How many intervals there are.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Bytes of memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.heads.capacity() * size_of::<H>()
            + self.tails.capacity() * size_of::<(u32, u64)>()
            + self.values.capacity() * size_of::<u32>()
    }

    /// From `first` on the value is `value`. `first` never goes back; at the same place the last value counts.
    pub(super) fn begin(&mut self, first: u128, value: u32) {
        if let Some(last) = self.len().checked_sub(1).filter(|last| self.first(*last) == first) {
            self.heads.pop();
            self.values.pop();
            if self.tails.last().is_some_and(|(of, _)| *of as usize == last) {
                self.tails.pop();
            }
        }
        if self.values.last() == Some(&value) {
            return;
        }
        let head = H::of(first);
        if first != head.key() {
            self.tails.push((self.len() as u32, first as u64));
        }
        self.heads.push(head);
        self.values.push(value);
    }

    /// Gives back what building left over.
    pub(super) fn built(mut self) -> Self {
        self.heads.shrink_to_fit();
        self.tails.shrink_to_fit();
        self.values.shrink_to_fit();
        self
    }

    /// The first key of an interval.
    pub(super) fn first(&self, interval: usize) -> u128 {
        self.heads[interval].key() | u128::from(self.tail(interval))
    }

    /// The value of an interval.
    pub(super) fn value(&self, interval: usize) -> u32 {
        self.values[interval]
    }

    fn tail(&self, interval: usize) -> u64 {
        if self.tails.is_empty() {
            return 0;
        }
        let found = self.tails.binary_search_by_key(&(interval as u32), |(of, _)| *of);
        found.map_or(0, |at| self.tails[at].1)
    }

    /// The value at `key`, and the length of the widest prefix around it that has this value all over.
    pub(super) fn find(&self, key: u128) -> (u32, u8) {
        let at = self.interval(key);
        (self.value(at), self.scope(at, key))
    }

    /// The length of the widest prefix around `key` that lies inside its interval.
    pub(super) fn scope(&self, interval: usize, key: u128) -> u8 {
        let differs = |other: u128| (other ^ key).leading_zeros() as u8 + 1;
        let before = if interval == 0 { 0 } else { differs(self.first(interval) - 1) };
        let behind = if interval + 1 == self.len() { 0 } else { differs(self.first(interval + 1)) };
        before.max(behind)
    }

    fn interval(&self, key: u128) -> usize {
        let (mut low, mut high) = (0, self.len() - 1);
        let head = H::of(key);
        // What is looked for is one of low..=high.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let begins = match self.heads[middle].cmp(&head) {
                Ordering::Less => true,
                Ordering::Equal => self.tail(middle) <= key as u64,
                Ordering::Greater => false,
            };
            if begins {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}

/// Lays spaces over each other: the value everywhere is what `value` makes of those of all spaces there.
pub(super) fn overlay<H: Head>(spaces: &[&Space<H>], mut value: impl FnMut(&[u32]) -> u32) -> Space<H> {
    let mut at = vec![0; spaces.len()];
    let mut values: Vec<u32> = spaces.iter().map(|space| space.value(0)).collect();
    let mut laid = Space::new();
    let mut first = 0;
    loop {
        laid.begin(first, value(&values));
        let next = spaces.iter().zip(&at).filter(|(space, at)| **at + 1 < space.len());
        let Some(next) = next.map(|(space, at)| space.first(at + 1)).min() else {
            return laid.built();
        };
        for (layer, space) in spaces.iter().enumerate() {
            if at[layer] + 1 < space.len() && space.first(at[layer] + 1) == next {
                at[layer] += 1;
                values[layer] = space.value(at[layer]);
            }
        }
        first = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trie::Trie;
    use super::*;

    /// Marks where something begins, in the units of the two families: so that /64 are cut, too.
    fn begun<H: Head>(begins: &[(u16, u32)], shift: u32) -> (Space<H>, Vec<(u128, u32)>) {
        let mut begins: Vec<(u128, u32)> =
            begins.iter().map(|(at, value)| (u128::from(*at) << shift, *value)).collect();
        begins.push((0, 0));
        begins.sort_unstable();
        begins.dedup_by_key(|(first, _)| *first);
        let mut space = Space::new();
        begins.iter().for_each(|(first, value)| space.begin(*first, *value));
        (space.built(), begins)
    }

    fn brute(begins: &[(u128, u32)], key: u128) -> u32 {
        begins.iter().rev().find(|(first, _)| *first <= key).unwrap().1
    }

    /// The shortest prefix around `key` in which the value is the same at all places where it could change.
    fn brute_scope(begins: &[(u128, u32)], key: u128) -> u8 {
        (0..=128_u8)
            .find(|length| {
                let host = u128::MAX.checked_shr((*length).into()).unwrap_or(0);
                let (first, last) = (key & !host, key | host);
                let inside = begins.iter().filter(|(begin, _)| (first..=last).contains(begin));
                let value = brute(begins, key);
                brute(begins, first) == value && inside.into_iter().all(|(begin, _)| brute(begins, *begin) == value)
            })
            .unwrap()
    }

    fn begins() -> impl Strategy<Value = Vec<(u16, u32)>> {
        prop::collection::vec((any::<u16>(), 0_u32..3), 0..60)
    }

    proptest! {
        #[test]
        fn value_and_scope_are_those_of_brute_force_and_the_index_says_the_same(
            begins in begins(), key in any::<u16>(), shift in prop::sample::select(vec![112_u32, 100, 56, 0])
        ) {
            let (space, begins) = begun::<u64>(&begins, shift);
            let key = (u128::from(key) << shift) | if shift == 112 { 7 } else { 0 };
            let expected = (brute(&begins, key), brute_scope(&begins, key));
            prop_assert_eq!(space.find(key), expected);
            prop_assert_eq!(Trie::new(space).unwrap().find(key), expected);
        }

        #[test]
        fn what_is_laid_over_each_other_is_what_each_says_there(
            one in begins(), two in begins(), key in any::<u16>(), shift in prop::sample::select(vec![112_u32, 56])
        ) {
            let ((one, in_one), (two, in_two)) = (begun::<u64>(&one, shift), begun::<u64>(&two, shift));
            let laid = overlay(&[&one, &two], |values| values[0] * 10 + values[1]);
            let key = u128::from(key) << shift;
            prop_assert_eq!(laid.find(key).0, brute(&in_one, key) * 10 + brute(&in_two, key));
        }
    }
}
