//! SIEVE (Zhang et al., NSDI 2024): one queue in the order of arrival; a hand goes from the oldest to the youngest, spares what was
//! asked for since it passed, and takes the first that was not.

use crate::list::{NONE, Queue, Rows};
use crate::{Exact, Object};

/// The policy.
#[derive(Debug, Clone)]
pub struct Sieve {
    rows: Rows,
    queue: Queue,
    hand: u32,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { rows: Rows::default(), queue: Queue::new(0), hand: NONE }
    }
}

impl Exact for Sieve {
    fn used(&mut self, handle: u32, _now_ms: u64, _go: &mut Vec<u32>) {
        if let Some(row) = self.rows.get_mut(handle) {
            row.mark = 1;
        }
    }

    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.gone(object.handle);
        self.evict(need, now_ms, go);
        self.rows.push_new(&mut self.queue, object.handle, object.key, object.bytes);
    }

    fn evict(&mut self, need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        let mut freed = 0;
        while freed < need {
            let mut at = if self.hand == NONE { self.queue.back } else { self.hand };
            let bytes = loop {
                let Some(row) = self.rows.get_mut(at) else { return };
                if row.mark == 0 {
                    break row.bytes;
                }
                row.mark = 0;
                at = if row.younger == NONE { self.queue.back } else { row.younger };
            };
            freed += bytes;
            self.hand = at;
            self.gone(at);
            go.push(at);
        }
    }

    fn gone(&mut self, handle: u32) {
        if handle == self.hand {
            self.hand = self.rows.get(handle).map_or(NONE, |row| row.younger);
        }
        self.rows.take(&mut self.queue, handle);
    }
}
