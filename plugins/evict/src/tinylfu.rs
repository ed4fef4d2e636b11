//! W-TinyLFU (Einziger, Friedman, Manes 2017): a small window for what is new, in the order of use, and a main part in two
//! segments; what leaves the window stays only when it was asked for more often than what would go from the main part.

use crate::counts::Counts;
use crate::list::{NONE, Queue, Rows};
use crate::{Exact, Object};

/// The window's part of the bytes: one in so many.
const WINDOW: u64 = 100;
/// The probation's part of the main bytes: one in so many.
const PROBATION: u64 = 5;
/// Keys whose uses are counted.
const KEYS_MAX: usize = 1 << 18;

/// The policy.
#[derive(Debug, Clone)]
pub struct TinyLfu {
    rows: Rows,
    window: Queue,
    probation: Queue,
    protected: Queue,
    window_bytes: u64,
    main_bytes: u64,
    probation_bytes: u64,
    protected_bytes: u64,
    counts: Counts,
}

impl TinyLfu {
    /// For a cache of so many bytes.
    pub fn new(capacity: u64) -> Self {
        let window_bytes = capacity / WINDOW;
        let main_bytes = capacity - window_bytes;
        let probation_bytes = main_bytes / PROBATION;
        Self {
            rows: Rows::default(),
            window: Queue::new(0),
            probation: Queue::new(1),
            protected: Queue::new(2),
            window_bytes,
            main_bytes,
            probation_bytes,
            protected_bytes: main_bytes / PROBATION * (PROBATION - 1)
                + main_bytes % PROBATION * (PROBATION - 1) / PROBATION,
            counts: Counts::new(KEYS_MAX),
        }
    }

    fn main_has_room(&self, bytes: u64) -> bool {
        self.probation.bytes + self.protected.bytes + bytes <= self.main_bytes
    }

    /// Who goes from the main part next.
    fn main_victim(&self) -> u32 {
        if self.probation.back == NONE { self.protected.back } else { self.probation.back }
    }

    fn evict_main(&mut self, go: &mut Vec<u32>) -> u64 {
        let popped = self.rows.pop(&mut self.probation).or_else(|| self.rows.pop(&mut self.protected));
        let Some((handle, row)) = popped else { return 0 };
        go.push(handle);
        row.bytes
    }

    /// Puts what has left the window into the main part. Returns the bytes that went for it.
    fn promote(&mut self, handle: u32, bytes: u64, go: &mut Vec<u32>) -> u64 {
        let mut freed = 0;
        let fits = |queue: &Queue, most: u64| queue.bytes + bytes <= most;
        let probation = fits(&self.probation, self.probation_bytes);
        let queue = if probation || !fits(&self.protected, self.protected_bytes) {
            while !probation && !self.main_has_room(bytes) {
                freed += self.evict_main(go);
            }
            &mut self.probation
        } else {
            &mut self.protected
        };
        self.rows.push(queue, handle);
        freed
    }

    /// One step: something goes, or leaves the window for the main part. `None`: nothing is left.
    fn step(&mut self, go: &mut Vec<u32>) -> Option<u64> {
        let Some(row) = self.rows.get(self.window.back).copied() else {
            return Some(self.evict_main(go)).filter(|bytes| *bytes > 0);
        };
        let candidate = self.window.back;
        let victim = self.rows.get(self.main_victim()).map(|victim| victim.key);
        let freed = match victim {
            Some(victim) if !self.main_has_room(row.bytes) => {
                if self.counts.get(row.key) > self.counts.get(victim) {
                    let freed = self.evict_main(go);
                    self.rows.take(&mut self.window, candidate);
                    freed + self.promote(candidate, row.bytes, go)
                } else {
                    self.gone(candidate);
                    go.push(candidate);
                    row.bytes
                }
            }
            _ => {
                self.rows.take(&mut self.window, candidate);
                self.promote(candidate, row.bytes, go)
            }
        };
        self.counts.add(row.key);
        Some(freed)
    }
}

impl Exact for TinyLfu {
    fn used(&mut self, handle: u32, _now_ms: u64, go: &mut Vec<u32>) {
        let Some(row) = self.rows.get(handle).copied() else { return };
        match row.queue {
            0 => {
                self.rows.take(&mut self.window, handle);
                self.rows.push(&mut self.window, handle);
                return;
            }
            1 => {
                self.rows.take(&mut self.probation, handle);
                self.rows.push(&mut self.protected, handle);
                while self.protected.bytes > self.protected_bytes {
                    let Some((cooled, _)) = self.rows.pop(&mut self.protected) else { break };
                    self.rows.push(&mut self.probation, cooled);
                    while self.probation.bytes > self.probation_bytes {
                        self.evict_main(go);
                    }
                }
            }
            _ => {
                self.rows.take(&mut self.protected, handle);
                self.rows.push(&mut self.protected, handle);
            }
        }
        self.counts.add(row.key);
    }

    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.gone(object.handle);
        if object.bytes > self.window_bytes.min(self.probation_bytes) {
            go.push(object.handle);
            return;
        }
        self.evict(need, now_ms, go);
        self.rows.push_new(&mut self.window, object.handle, object.key, object.bytes);
        self.counts.add(object.key);
    }

    fn evict(&mut self, need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        let mut freed = 0;
        while freed < need {
            let Some(bytes) = self.step(go) else { return };
            freed += bytes;
        }
    }

    fn gone(&mut self, handle: u32) {
        self.rows.take(&mut self.window, handle);
        self.rows.take(&mut self.probation, handle);
        self.rows.take(&mut self.protected, handle);
    }
}
