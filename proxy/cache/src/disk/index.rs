//! The index of one disk: what is on it, in at most 120 bytes of memory for each object, so that a lookup of what is not there
//! costs no system call, and a uniform sample for eviction no walk.
//!
//! Each object is one [`Item`] in a dense vector and one place in a table of places. Both are cut into shards, so that growing
//! copies a part only.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use hashbrown::HashTable;
use littoral_evict::Place;
use parking_lot::Mutex;

use crate::evict::Candidate;
use crate::exact::told::NO_HANDLE;
use crate::limits::EVICTION_SAMPLE;

/// Parts of the index.
const SHARDS: usize = 64;
/// A file takes whole blocks of this size.
const FILE_BLOCK_BYTES: u64 = 4096;

/// What is remembered of an object on disk. Times are Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Item {
    pub(super) id: [u64; 2],
    pub(super) blocks: u32,
    /// When it was stored.
    pub stored_s: u32,
    /// When it was last used.
    pub used_s: u32,
    /// Until when it is fresh.
    pub fresh_until_s: u32,
    /// Until when it is pinned; 0 when it is not.
    pub pinned_until_s: u32,
    /// Microseconds its fill took.
    pub fetch_us: u32,
    /// Uses since it was written, in memory and from disk.
    pub hits: u16,
    /// 0 from an origin, 1 through another cache.
    pub class: u16,
    /// What an exact policy knows it by.
    pub(super) handle: u32,
    pub(super) title: u32,
    pub(super) segment: u32,
    pub(super) rung: u16,
    pub(super) in_title: bool,
}

/// All objects of a disk.
#[derive(Debug)]
pub struct DiskIndex {
    shards: Box<[Mutex<Shard>]>,
    objects: AtomicUsize,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    items: Vec<Item>,
    places: HashTable<u32>,
}

impl Item {
    /// Of the object `id`, whose file has this length.
    pub fn new(id: u128, file_bytes: u64) -> Self {
        let blocks = u32::try_from(file_bytes.div_ceil(FILE_BLOCK_BYTES)).unwrap_or(u32::MAX);
        Self { id: halves(id), blocks, ..Self::default() }
    }

    /// The object.
    pub fn id(&self) -> u128 {
        u128::from(self.id[0]) | u128::from(self.id[1]) << 64
    }

    /// Where it stands in a title, if it is part of one.
    pub(super) fn place(&self) -> Option<Place> {
        self.in_title.then_some(Place { title: self.title, rung: self.rung, segment: self.segment })
    }

    pub(super) fn set_place(&mut self, place: Option<Place>) {
        self.in_title = place.is_some();
        Place { title: self.title, rung: self.rung, segment: self.segment } = place.unwrap_or_default();
    }

    /// Bytes its file takes, in whole blocks.
    pub fn bytes(&self) -> u64 {
        u64::from(self.blocks) * FILE_BLOCK_BYTES
    }

    /// What an eviction policy sees of it.
    pub fn candidate(&self, now_s: u32) -> Candidate {
        Candidate {
            id: self.id[0],
            bytes: self.bytes(),
            age_s: now_s.saturating_sub(self.stored_s),
            idle_s: now_s.saturating_sub(self.used_s),
            ttl_s: self.fresh_until_s.saturating_sub(now_s),
            fetch_us: self.fetch_us,
            hits: self.hits,
            class: self.class,
        }
    }
}

impl Default for DiskIndex {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, objects: AtomicUsize::new(0), bytes: AtomicU64::new(0) }
    }
}

impl DiskIndex {
    /// Objects.
    pub fn len(&self) -> usize {
        self.objects.load(Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes their files take.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Adds an object, or replaces what is known of it.
    pub fn insert(&self, item: Item) {
        self.bytes.fetch_add(item.bytes(), Relaxed);
        let older = self.shard(item.id()).lock().put(item);
        match older {
            Some(older) => self.bytes.fetch_sub(older.bytes(), Relaxed),
            None => self.objects.fetch_add(1, Relaxed) as u64,
        };
    }

    /// Adds an object unless it is known; whether it was not.
    pub fn insert_unknown(&self, item: Item) -> bool {
        let mut shard = self.shard(item.id()).lock();
        let unknown = shard.find(item.id).is_none();
        if unknown {
            self.bytes.fetch_add(item.bytes(), Relaxed);
            self.objects.fetch_add(1, Relaxed);
            shard.put(item);
        }
        unknown
    }

    /// Takes all handles back. For each shard when its objects were used last and where they are, in that order.
    pub(super) fn take_handles(&self) -> Vec<Vec<(u32, u32)>> {
        let of = |shard: &Mutex<Shard>| {
            let mut shard = shard.lock();
            let mut order: Vec<_> = (0..).zip(&shard.items).map(|(place, item)| (item.used_s, place)).collect();
            shard.items.iter_mut().for_each(|item| item.handle = NO_HANDLE);
            drop(shard);
            order.sort_unstable();
            order
        };
        self.shards.iter().map(of).collect()
    }

    /// What is at a place that [`Self::take_handles`] told of, which may be another object by now.
    pub(super) fn at(&self, shard: usize, place: u32) -> Option<Item> {
        self.shards.get(shard)?.lock().items.get(place as usize).copied()
    }

    /// Objects without a handle.
    pub(super) fn without_handle(&self) -> Vec<u128> {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.items.iter().filter(|item| item.handle == NO_HANDLE).map(Item::id).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    /// Takes an object out.
    pub fn remove(&self, id: u128) -> Option<Item> {
        let removed = self.shard(id).lock().take(halves(id))?;
        self.objects.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(removed.bytes(), Relaxed);
        Some(removed)
    }

    /// What is known of an object.
    pub fn get(&self, id: u128) -> Option<Item> {
        let shard = self.shard(id).lock();
        shard.find(halves(id)).map(|place| shard.items[place])
    }

    /// Changes what is known of an object, but not which it is or how large. `false` when it is not there.
    pub fn change(&self, id: u128, change: impl FnOnce(&mut Item)) -> bool {
        let mut shard = self.shard(id).lock();
        let Some(place) = shard.find(halves(id)) else { return false };
        let known = &mut shard.items[place];
        let (id, blocks) = (known.id, known.blocks);
        change(known);
        (known.id, known.blocks) = (id, blocks);
        true
    }

    /// Draws up to [`EVICTION_SAMPLE`] objects that are not pinned at `now_s`, from places given by `next`.
    pub fn sample(&self, now_s: u32, mut next: impl FnMut() -> u64, into: &mut Vec<Item>) {
        into.clear();
        // Objects are spread evenly over shards; the draws beyond a sample make up for empty ones and for pinned objects.
        for _ in 0..16 * EVICTION_SAMPLE {
            let shard = self.shards[(next() % SHARDS as u64) as usize].lock();
            if shard.items.is_empty() {
                continue;
            }
            let item = shard.items[(next() % shard.items.len() as u64) as usize];
            if item.pinned_until_s <= now_s && !into.iter().any(|drawn| drawn.id == item.id) {
                into.push(item);
            }
            if into.len() == EVICTION_SAMPLE {
                return;
            }
        }
    }

    fn shard(&self, id: u128) -> &Mutex<Shard> {
        &self.shards[(id >> 64) as usize % SHARDS]
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.items.capacity() * size_of::<Item>() + shard.places.allocation_size()
        };
        self.shards.iter().map(of).sum()
    }
}

impl Shard {
    fn find(&self, id: [u64; 2]) -> Option<usize> {
        self.places.find(id[0], |place| self.items[*place as usize].id == id).map(|place| *place as usize)
    }

    fn put(&mut self, item: Item) -> Option<Item> {
        if let Some(place) = self.find(item.id) {
            return Some(std::mem::replace(&mut self.items[place], item));
        }
        let place = u32::try_from(self.items.len()).ok()?;
        if self.items.len() == self.items.capacity() {
            // By a quarter and not by doubling: the slack of a vector counts.
            self.items.reserve_exact((self.items.len() / 4).max(16));
        }
        self.items.push(item);
        let Self { items, places } = self;
        places.insert_unique(item.id[0], place, |place| items[*place as usize].id[0]);
        None
    }

    fn take(&mut self, id: [u64; 2]) -> Option<Item> {
        let Self { items, places } = self;
        let entry = places.find_entry(id[0], |place| items[*place as usize].id == id).ok()?;
        let (place, _) = entry.remove();
        let last = items.len() - 1;
        if place as usize != last {
            let moved = items[last].id;
            if let Some(known) = places.find_mut(moved[0], |known| *known as usize == last) {
                *known = place;
            }
        }
        Some(items.swap_remove(place as usize))
    }
}

fn halves(id: u128) -> [u64; 2] {
    [id as u64, (id >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::digest;

    fn id(number: u64) -> u128 {
        digest(&[&number.to_le_bytes()])
    }

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed_and_counted_in_whole_blocks() {
        let index = DiskIndex::default();
        (0..10_000).for_each(|number| index.insert(Item::new(id(number), 5000)));
        index.insert(Item::new(id(3), 1));
        index.insert_unknown(Item::new(id(4), 1));
        assert_eq!((index.len(), index.bytes()), (10_000, 9_999 * 8192 + 4096));
        assert!(
            (0..10_000).step_by(2).all(|number| index.remove(id(number)).is_some_and(|item| item.id() == id(number)))
        );
        assert!(index.remove(id(0)).is_none());
        let there = |number: &u64| index.get(id(*number)).is_some();
        assert_eq!((0..10_000).filter(there).count(), 5_000);
        assert!((1..10_000).step_by(2).all(|number| there(&number)));
        assert_eq!((index.len(), index.bytes()), (5_000, 4_999 * 8192 + 4096));
    }

    #[test]
    fn an_object_takes_at_most_120_bytes_of_memory_at_any_number_of_them() {
        let index = DiskIndex::default();
        let mut worst = 0;
        for number in 0..300_000_u64 {
            index.insert(Item::new(id(number), 1));
            if number > 20_000 && number % 1000 == 0 {
                worst = worst.max(index.memory_bytes() / (number as usize + 1));
            }
        }
        assert!(worst <= 120, "{worst} bytes");
    }

    #[test]
    fn a_sample_has_no_pinned_object_and_none_twice() {
        let index = DiskIndex::default();
        for number in 0..1000 {
            let pinned_until_s = if number % 2 == 0 { 100 } else { 0 };
            index.insert(Item { pinned_until_s, ..Item::new(id(number), 1) });
        }
        let (mut sample, mut state) = (Vec::new(), 7_u64);
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        index.sample(50, next, &mut sample);
        assert_eq!(sample.len(), EVICTION_SAMPLE);
        assert!(sample.iter().all(|item| item.pinned_until_s == 0));
        let mut ids: Vec<u128> = sample.iter().map(Item::id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), EVICTION_SAMPLE);
    }

    #[test]
    fn what_is_changed_keeps_its_place_and_size() {
        let index = DiskIndex::default();
        index.insert(Item::new(7, 9000));
        assert!(index.change(7, |item| *item = Item { hits: 3, ..Item::default() }));
        assert_eq!(index.get(7).map(|item| (item.hits, item.bytes())), Some((3, 12_288)));
        assert!(!index.change(8, |_| ()));
    }
}
