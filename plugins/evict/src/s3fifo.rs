//! S3-FIFO (Yang et al., SOSP 2023): a small queue for what is new, a main queue for what was asked for again, and the names of
//! what left the small one. What comes back while its name is remembered goes to the main queue at once.

use std::collections::VecDeque;

use crate::counts::ByKey;
use crate::list::{Queue, Rows};
use crate::{Exact, Object};

/// Uses in the small queue after which an object moves to the main one.
const MOVES_AT: u8 = 2;
/// Uses the main queue remembers: so many rounds an object stays without being asked for.
const ROUNDS: u8 = 3;
/// Names remembered, whatever their bytes.
const GHOSTS_MAX: usize = 1 << 17;

/// The policy.
#[derive(Debug, Clone)]
pub struct S3Fifo {
    rows: Rows,
    small: Queue,
    main: Queue,
    small_bytes: u64,
    main_bytes: u64,
    /// Whether anything had to go yet.
    full: bool,
    /// Whether what is larger than the small queue is kept, in the main one.
    takes_large: bool,
    ghosts: Ghosts,
}

/// Names of what left the small queue, the oldest first, bounded by the bytes that the objects had.
#[derive(Debug, Clone)]
struct Ghosts {
    /// Key and number of each, also of those that were called back.
    order: VecDeque<(u64, u32)>,
    /// Number in the queue and bytes of those that are remembered.
    known: ByKey<(u32, u64)>,
    next: u32,
    bytes: u64,
    bytes_max: u64,
}

impl S3Fifo {
    /// For a cache of so many bytes.
    pub fn new(capacity: u64) -> Self {
        let small_bytes = capacity / 10;
        let ghosts = Ghosts {
            order: VecDeque::new(),
            known: ByKey::default(),
            next: 0,
            bytes: 0,
            bytes_max: capacity / 10 * 9 + capacity % 10 * 9 / 10,
        };
        let main_bytes = capacity - small_bytes;
        Self {
            rows: Rows::default(),
            small: Queue::new(0),
            main: Queue::new(1),
            small_bytes,
            main_bytes,
            full: false,
            takes_large: false,
            ghosts,
        }
    }

    /// One that keeps what is larger than the small queue, in the main one; the published policy refuses it.
    pub fn with_large(capacity: u64) -> Self {
        Self { takes_large: true, ..Self::new(capacity) }
    }

    fn evict_small(&mut self, go: &mut Vec<u32>) -> u64 {
        while let Some((handle, row)) = self.rows.pop(&mut self.small) {
            if row.mark < MOVES_AT {
                self.ghosts.remember(row.key, row.bytes);
                go.push(handle);
                return row.bytes;
            }
            self.rows.push_new(&mut self.main, handle, row.key, row.bytes);
        }
        0
    }

    fn evict_main(&mut self, go: &mut Vec<u32>) -> u64 {
        while let Some((handle, row)) = self.rows.pop(&mut self.main) {
            if row.mark == 0 {
                go.push(handle);
                return row.bytes;
            }
            self.rows.push_new(&mut self.main, handle, row.key, row.bytes);
            if let Some(again) = self.rows.get_mut(handle) {
                again.mark = row.mark.min(ROUNDS) - 1;
            }
        }
        0
    }
}

impl Exact for S3Fifo {
    fn used(&mut self, handle: u32, _now_ms: u64, _go: &mut Vec<u32>) {
        let Some(row) = self.rows.get_mut(handle) else { return };
        row.mark = row.mark.saturating_add(1);
        if row.queue == self.main.id {
            let key = row.key;
            self.ghosts.recall(key);
        }
    }

    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.gone(object.handle);
        let again = self.ghosts.recall(object.key);
        let large = object.bytes > self.small_bytes;
        if large && !self.takes_large {
            go.push(object.handle);
            return;
        }
        self.evict(need, now_ms, go);
        // As long as there is room for all, what the small queue has no room for waits in the main one.
        let early = !self.full && self.small.bytes >= self.small_bytes;
        let queue = if again || early || large { &mut self.main } else { &mut self.small };
        self.rows.push_new(queue, object.handle, object.key, object.bytes);
    }

    fn evict(&mut self, need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        let mut freed = 0;
        self.full |= need > 0;
        while freed < need {
            let crowded = self.main.bytes > self.main_bytes || self.small.bytes == 0;
            let bytes = if crowded { self.evict_main(go) } else { self.evict_small(go) };
            freed += bytes;
            if bytes == 0 && self.small.bytes + self.main.bytes == 0 {
                return;
            }
        }
    }

    fn gone(&mut self, handle: u32) {
        self.rows.take(&mut self.small, handle);
        self.rows.take(&mut self.main, handle);
    }
}

impl Ghosts {
    fn remember(&mut self, key: u64, bytes: u64) {
        self.recall(key);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max || self.order.len() >= GHOSTS_MAX {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.known.get(&oldest).is_some_and(|(known, _)| *known == number) {
                self.recall(oldest);
            }
        }
        self.next = self.next.wrapping_add(1);
        self.known.insert(key, (self.next, bytes));
        self.order.push_back((key, self.next));
        self.bytes += bytes;
    }

    /// Forgets a name; whether it was known. Its place in the queue is skipped later.
    fn recall(&mut self, key: u64) -> bool {
        let known = self.known.remove(&key);
        self.bytes -= known.map_or(0, |(_, bytes)| bytes);
        known.is_some()
    }
}
