//! What an operator looks at: all that is there of one URL, and what is asked for most. Off the request path; locks are taken
//! for some hundred entries at a time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::Store;
use crate::entry::Entry;
use crate::fill::Fill;
use crate::key::Key;
use crate::limits::{HOT_SAMPLE, PURGE_STEP};

impl Store {
    /// Everything of one URL, whatever it varies on: published and in flight.
    pub fn all_of(&self, key: &Key) -> (Vec<Arc<Entry>>, Vec<Arc<Fill>>) {
        let filling = self.in_flight.lock().values().filter(|fill| fill.key == *key).cloned().collect();
        let entries = self.slots_of_url(key).into_iter().filter_map(|slot| self.table.get(slot));
        (entries.filter(|entry| entry.key() == key).collect(), filling)
    }

    /// The `count` objects with the most hits, most first; of a store with more than [`HOT_SAMPLE`] objects, those of a
    /// random sample of so many.
    pub fn hottest(&self, count: usize) -> Vec<Arc<Entry>> {
        let objects = self.len();
        let mut seen: HashMap<u128, Arc<Entry>> = HashMap::new();
        let mut place = usize::MAX;
        for _ in 0..HOT_SAMPLE.div_ceil(PURGE_STEP) {
            if objects > HOT_SAMPLE {
                place = (self.random.next() % objects as u64) as usize + PURGE_STEP / 2;
            }
            seen.extend(self.index.walk(&mut place, PURGE_STEP).into_iter().map(|entry| (entry.slot(), entry)));
            if place == 0 && objects <= HOT_SAMPLE {
                break;
            }
            // Only the hottest are kept, so that the sample takes no memory to speak of.
            if seen.len() > 4 * count.max(PURGE_STEP) {
                seen = most_hit(seen, count).into_iter().map(|entry| (entry.slot(), entry)).collect();
            }
        }
        most_hit(seen, count)
    }
}

fn most_hit(seen: HashMap<u128, Arc<Entry>>, count: usize) -> Vec<Arc<Entry>> {
    // Read once: hits come in while they are sorted.
    let mut entries: Vec<(u32, Arc<Entry>)> = seen.into_values().map(|entry| (entry.hits(), entry)).collect();
    entries.sort_by_key(|(hits, entry)| (Reverse(*hits), entry.slot()));
    entries.truncate(count);
    entries.into_iter().map(|(_, entry)| entry).collect()
}
