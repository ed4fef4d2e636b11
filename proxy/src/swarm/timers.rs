//! Timers of a swarm, by the numbers that it gives them. Pure: times come with the calls.

use std::collections::{BTreeSet, HashMap};

use littoral_plugin_host::service::swarm::limits::TIMERS_MAX;
use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, u32)>,
    by_id: HashMap<u32, Instant>,
}

impl Timers {
    /// Sets one, anew if it is set; whether there is room for it.
    pub(super) fn set(&mut self, id: u32, at: Instant) -> bool {
        if !self.by_id.contains_key(&id) && self.by_id.len() >= TIMERS_MAX {
            return false;
        }
        self.forget(id);
        self.by_time.insert((at, id));
        self.by_id.insert(id, at);
        true
    }

    pub(super) fn forget(&mut self, id: u32) {
        if let Some(at) = self.by_id.remove(&id) {
            self.by_time.remove(&(at, id));
        }
    }

    /// When the next one comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The first that has come by `now`, which is then no longer set.
    pub(super) fn come(&mut self, now: Instant) -> Option<u32> {
        let (_, id) = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.forget(id);
        Some(id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_come_once_in_the_order_of_their_times_and_may_be_set_anew_or_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        assert!(timers.set(1, at(5)) && timers.set(2, at(3)) && timers.set(3, at(4)) && timers.set(1, at(2)));
        timers.forget(3);
        timers.forget(9);
        assert_eq!((timers.next(), timers.len()), (Some(at(2)), 2));
        assert_eq!(timers.come(at(1)), None);
        assert_eq!([timers.come(at(9)), timers.come(at(9)), timers.come(at(9))], [Some(1), Some(2), None]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let set = (0..u32::MAX).take_while(|id| timers.set(*id, now)).count();
        assert_eq!((set, timers.len()), (TIMERS_MAX, TIMERS_MAX));
        assert!(timers.set(7, now), "one that is set may be set anew");
        timers.forget(0);
        assert!(timers.set(u32::MAX, now));
    }
}
