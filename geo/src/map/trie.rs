//! The index of a space: a trie whose nodes are as wide as they are full, so that most lookups touch one or two lines of memory.
//!
//! A slot in which nothing changes has its answer, value and scope, in itself: every address of an aligned block that lies inside
//! an interval has the same widest block around it. Where a few intervals begin, it leads to a leaf that has all of them side by
//! side; where those begin farther below than a leaf can tell, to the intervals. Invariant: a lookup says what [`Space::find`]
//! says.

use super::space::{Head, Space};

/// Bits of the first node, at least; at most, see [`Head::ROOT_BITS_MAX`].
const ROOT_BITS_MIN: u8 = 4;
/// Bits of a further node, at least and at most.
const STRIDE: (u8, u8) = (2, 20);
/// Intervals from which on a node has fewer slots than intervals, so that it stays in the processor's caches, and the leaves, which
/// do not, are large.
const MANY: usize = 1 << 12;
/// Where no more intervals than these begin in a slot, they are a leaf: a few lines of memory beside each other.
const LEAF_INTERVALS: usize = 31;
/// Where that cannot be, and no more than these begin, they are walked.
const WALK_INTERVALS: usize = 4;

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
/// How many intervals begin in it, in 5 bits, and where it is, as with nodes. There are 32 bits of each place where one begins,
/// from the slot on, and then their values, that of the interval before them first.
const LEAF: Slot = 3 << 30;
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
        let root_bits = (space.len().ilog2() as u8 + 2).clamp(ROOT_BITS_MIN, H::ROOT_BITS_MAX);
        let last = space.len() - 1;
        let mut trie = Self { space, root_bits, slots: Vec::new() };
        trie.node(Block { first: 0, depth: 0, intervals: (0, last) }, root_bits)?;
        trie.slots.shrink_to_fit();
        Ok(trie)
    }

    /// The value at `key`, and the length of the widest prefix around it that has this value all over.
    pub(super) fn find(&self, key: u128) -> (u32, u8) {
        let mut slot = self.slots[(key >> (128 - self.root_bits)) as usize];
        let (mut rest, mut depth) = (key << self.root_bits, self.root_bits);
        while slot & KIND == NODE {
            let (stride, place) = parts(slot);
            slot = self.slots[place + (rest >> (128 - stride)) as usize];
            rest <<= stride;
            depth += stride as u8;
        }
        if slot & KIND == ANSWER {
            return (slot >> 8, slot as u8);
        }
        if slot & KIND == LEAF {
            let (begin, place) = parts(slot);
            let (value, scope) = in_leaf(&self.slots[place..place + 2 * begin + 1], begin, (rest >> 96) as u32);
            return (value, depth + scope);
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
        let few = changes <= LEAF_INTERVALS;
        let told = few && (low + 1..=high).all(|at| self.space.first(at) << block.depth << 32 == 0);
        if told {
            let place = self.place().ok_or(TOO_LARGE)?;
            self.slots.extend((low + 1..=high).map(|at| (self.space.first(at) << block.depth >> 96) as u32));
            self.slots.extend((low..=high).map(|at| self.space.value(at)));
            return Ok(LEAF | (changes as u32) << PLACE_BITS | place);
        }
        if changes <= WALK_INTERVALS {
            return walk;
        }
        let full = if changes < MANY { changes } else { changes / 8 };
        let stride = (full.ilog2() as u8 + 1).clamp(STRIDE.0, STRIDE.1).min(128 - block.depth);
        let place = self.place().ok_or(TOO_LARGE)?;
        self.node(block, stride)?;
        Ok(NODE | u32::from(stride) << PLACE_BITS | place)
    }

    /// Where the next node or leaf begins: where the least of them could; `None` beyond what a slot can tell.
    fn place(&mut self) -> Option<u32> {
        let begin = self.slots.len().next_multiple_of(1 << STRIDE.0);
        self.slots.resize(begin, 0);
        u32::try_from(begin >> STRIDE.0).ok().filter(|place| *place < 1 << PLACE_BITS)
    }
}

/// The number in a slot that leads on, and where it leads.
fn parts(slot: Slot) -> (usize, usize) {
    ((slot >> PLACE_BITS & 31) as usize, ((slot & ((1 << PLACE_BITS) - 1)) as usize) << STRIDE.0)
}

/// The value at `key` in a leaf in which `count` intervals begin, and by how much the scope is longer than the slot is deep. What
/// begins outside of the slot does not matter: something nearer begins inside.
fn in_leaf(leaf: &[u32], count: usize, key: u32) -> (u32, u8) {
    let (begins, values) = leaf.split_at(count);
    let at = begins.iter().filter(|begin| **begin <= key).count();
    let differs = |other: u32| (other ^ key).leading_zeros() as u8 + 1;
    let before = if at == 0 { 0 } else { differs(begins[at - 1].wrapping_sub(1)) };
    let behind = begins.get(at).map_or(0, |behind| differs(*behind));
    (values[at], before.max(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_intervals_are_found_by_nodes_answers_leaves_and_walks() {
        let mut space = Space::<u64>::default();
        let at = |at: u128| (10 << 120) + (at << 104);
        (0..1_u128 << 16).for_each(|number| {
            space.begin(at(number), number as u32 + 1);
            // Far below, so that it is walked to, and nearer, so that it is a leaf.
            if number % 64 == 5 {
                space.begin(at(number) + 7, 7);
                space.begin(at(number) + 8, number as u32 + 1);
            }
            if number % 64 == 6 {
                space.begin(at(number) + (7 << 90), 6);
                space.begin(at(number) + (8 << 90), number as u32 + 1);
            }
        });
        space.begin(11 << 120, (1 << VALUE_BITS) + 1);
        let trie = Trie::new(space.built()).unwrap();
        for kind in [ANSWER, NODE, WALK, LEAF] {
            assert!(trie.slots.iter().any(|slot| slot & KIND == kind), "no slot of kind {kind:x}");
        }
        for number in (0..1_u128 << 16).step_by(97) {
            let key = at(number) + (5 << 100);
            assert_eq!(trie.find(key), trie.space.find(key));
            assert_eq!(trie.find(key).0, number as u32 + 1);
        }
        assert_eq!(trie.find(at(5) + 7), (7, 128));
        for key in [at(6), at(6) + (7 << 90), at(6) + (8 << 90) - 1, at(6) + (8 << 90)] {
            assert_eq!(trie.find(key), trie.space.find(key));
        }
        assert_eq!(trie.find(9 << 120), (0, 7));
        assert_eq!(trie.find(u128::MAX), ((1 << VALUE_BITS) + 1, 1));
    }
}
