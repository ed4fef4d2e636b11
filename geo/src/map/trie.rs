//! The index of a space: a trie whose nodes are as wide as they are full, so that most lookups touch two or three lines of memory.
//!
//! A slot in which nothing changes has its answer, value and scope, in itself: every address of an aligned block that lies inside
//! an interval has the same widest block around it. Where a few intervals begin far below a slot, it leads to the intervals.
//! Invariant: a lookup says what [`Space::find`] says.

use super::space::{Head, Space};

/// Bits of the first node, with few intervals and with many.
const ROOT_BITS: (u8, u8) = (4, 16);
/// Intervals from which on there are many.
const MANY: usize = 1 << 12;
/// Bits of a further node, at least and at most.
const STRIDE: (u8, u8) = (2, 20);
/// Where no more intervals than these begin in a slot, and one of them more than so many bits below it, they are walked: a node
/// for each of the bits would take more memory than the intervals.
const WALK_INTERVALS: usize = 4;
const WALK_BITS: u32 = 4;

/// A slot: the first two bits say what the others are.
type Slot = u32;
/// A value of [`VALUE_BITS`] and a scope of 8.
const ANSWER: Slot = 0;
const VALUE_BITS: u32 = 22;
/// A stride of 5 bits, and where the node begins, counted in nodes of the least size.
const NODE: Slot = 1 << 30;
const PLACE_BITS: u32 = 25;
/// An interval; the one that is looked for is it or one of the next.
const WALK: Slot = 2 << 30;
const KIND: Slot = 3 << 30;

/// An indexed space.
#[derive(Debug)]
pub(super) struct Trie<H> {
    space: Space<H>,
    root_bits: u8,
    slots: Vec<Slot>,
}

/// A block of addresses: its first key and the bits that all its addresses have in common.
#[derive(Clone, Copy)]
struct Block {
    first: u128,
    depth: u8,
    /// The intervals of its first and last key.
    intervals: (usize, usize),
}

impl<H: Head> Trie<H> {
    /// Indexes a space.
    ///
    /// # Errors
    /// When it is beyond all that slots can tell.
    pub(super) fn new(space: Space<H>) -> Result<Self, &'static str> {
        let root_bits = if space.len() < MANY { ROOT_BITS.0 } else { ROOT_BITS.1 };
        let last = space.len() - 1;
        let mut trie = Self { space, root_bits, slots: Vec::new() };
        trie.node(Block { first: 0, depth: 0, intervals: (0, last) }, root_bits)?;
        trie.slots.shrink_to_fit();
        Ok(trie)
    }

    /// The value at `key`, and the length of the widest prefix around it that has this value all over.
    pub(super) fn find(&self, key: u128) -> (u32, u8) {
        let mut slot = self.slots[(key >> (128 - self.root_bits)) as usize];
        let mut rest = key << self.root_bits;
        while slot & KIND == NODE {
            let (stride, place) = (slot >> PLACE_BITS & 31, (slot & ((1 << PLACE_BITS) - 1)) << STRIDE.0);
            slot = self.slots[place as usize + (rest >> (128 - stride)) as usize];
            rest <<= stride;
        }
        if slot & KIND == ANSWER {
            return (slot >> 8, slot as u8);
        }
        let mut at = (slot & !KIND) as usize;
        while at + 1 < self.space.len() && self.space.first(at + 1) <= key {
            at += 1;
        }
        (self.space.value(at), self.space.scope(at, key))
    }

    /// How many intervals it has.
    pub(super) fn len(&self) -> usize {
        self.space.len()
    }

    /// Bytes of memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.space.bytes() + self.slots.capacity() * size_of::<Slot>()
    }

    /// Adds the node of a block, and those below it.
    fn node(&mut self, block: Block, stride: u8) -> Result<(), &'static str> {
        let begin = self.slots.len();
        self.slots.resize(begin + (1 << stride), 0);
        let depth = block.depth + stride;
        let mut at = block.intervals.0;
        for slot in 0..1_usize << stride {
            let first = block.first | (slot as u128) << (128 - depth);
            let last = first | u128::MAX.checked_shr(depth.into()).unwrap_or(0);
            at = self.advance(at, block.intervals.1, first);
            let low = at;
            at = self.advance(at, block.intervals.1, last);
            self.slots[begin + slot] = self.slot(Block { first, depth, intervals: (low, at) })?;
        }
        Ok(())
    }

    /// The interval of `key`, which is at `at` or behind it.
    fn advance(&self, mut at: usize, last: usize, key: u128) -> usize {
        while at < last && self.space.first(at + 1) <= key {
            at += 1;
        }
        at
    }

    fn slot(&mut self, block: Block) -> Result<Slot, &'static str> {
        const TOO_LARGE: &str = "the map is too large: merge neighbouring prefixes";
        let (low, high) = block.intervals;
        let walk = u32::try_from(low).ok().filter(|low| low & KIND == 0).map(|low| WALK | low).ok_or(TOO_LARGE);
        let value = self.space.value(low);
        let changes = high - low;
        if changes == 0 {
            let answer = ANSWER | value << 8 | Slot::from(self.space.scope(low, block.first));
            return if value < 1 << VALUE_BITS { Ok(answer) } else { walk };
        }
        let below = |at: usize| (128 - self.space.first(at).trailing_zeros()).saturating_sub(block.depth.into());
        if changes <= WALK_INTERVALS && (low + 1..=high).any(|at| below(at) > WALK_BITS) {
            return walk;
        }
        let stride = (changes.ilog2() as u8 + 1).clamp(STRIDE.0, STRIDE.1).min(128 - block.depth);
        // Nodes begin where the least of them could.
        let begin = self.slots.len().next_multiple_of(1 << STRIDE.0);
        self.slots.resize(begin, 0);
        let place = u32::try_from(begin >> STRIDE.0).ok().filter(|place| *place < 1 << PLACE_BITS).ok_or(TOO_LARGE)?;
        self.node(block, stride)?;
        Ok(NODE | u32::from(stride) << PLACE_BITS | place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_intervals_are_found_by_nodes_answers_and_walks() {
        let mut space = Space::<u64>::default();
        let at = |at: u128| (10 << 120) + (at << 104);
        (0..1_u128 << 16).for_each(|number| {
            space.begin(at(number), number as u32 + 1);
            // Far below, so that it is walked to.
            if number % 64 == 5 {
                space.begin(at(number) + 7, 7);
                space.begin(at(number) + 8, number as u32 + 1);
            }
        });
        space.begin(11 << 120, (1 << VALUE_BITS) + 1);
        let trie = Trie::new(space.built()).unwrap();
        for kind in [ANSWER, NODE, WALK] {
            assert!(trie.slots.iter().any(|slot| slot & KIND == kind), "no slot of kind {kind:x}");
        }
        for number in (0..1_u128 << 16).step_by(97) {
            let key = at(number) + (5 << 100);
            assert_eq!(trie.find(key), trie.space.find(key));
            assert_eq!(trie.find(key).0, number as u32 + 1);
        }
        assert_eq!(trie.find(at(5) + 7), (7, 128));
        assert_eq!(trie.find(9 << 120), (0, 7));
        assert_eq!(trie.find(u128::MAX), ((1 << VALUE_BITS) + 1, 1));
    }
}
