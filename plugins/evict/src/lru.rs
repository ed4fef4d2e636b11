//! Least recently used: what has not been asked for longest goes.

use crate::list::{Queue, Rows};
use crate::{Exact, Object};

/// The policy.
#[derive(Debug, Clone)]
pub struct Lru {
    rows: Rows,
    queue: Queue,
}

impl Default for Lru {
    fn default() -> Self {
        Self { rows: Rows::default(), queue: Queue::new(0) }
    }
}

impl Exact for Lru {
    fn used(&mut self, handle: u32, _now_ms: u64, _go: &mut Vec<u32>) {
        if self.rows.get(handle).is_some() {
            self.rows.take(&mut self.queue, handle);
            self.rows.push(&mut self.queue, handle);
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
            let Some((handle, row)) = self.rows.pop(&mut self.queue) else { return };
            freed += row.bytes;
            go.push(handle);
        }
    }

    fn gone(&mut self, handle: u32) {
        self.rows.take(&mut self.queue, handle);
    }
}
