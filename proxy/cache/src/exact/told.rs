//! What is to be told to an exact policy: uses, noted by hits, and whatever else happens to objects, in the order of both.
//!
//! A hit writes one number into a lane, a ring that each thread shares with few others: no lock, no allocation, no waiting. A
//! lane that is not read in time loses its oldest uses, which are counted. What else happens waits in a queue under a lock, each with
//! how far the lanes were: uses before it are told before it. Should the queue be full, it is given up, and the policy is to be told
//! anew all that is there. Invariants: nothing is noted while nobody listens; both are bounded.

use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use parking_lot::Mutex;

use crate::limits::{CHANGES_MAX, LANE_USES, LANES_MAX};

/// No handle: the object is not known to an exact policy.
pub(crate) const NO_HANDLE: u32 = 0;
/// Bits of a handle in a noted use; those above are the time.
const HANDLE_BITS: u32 = 24;
/// Marks a place that has been written.
const WRITTEN: u64 = 1 << 63;

const _: () = assert!(littoral_evict::HANDLES_MAX == 1 << HANDLE_BITS && LANE_USES.is_power_of_two());

/// Which lane a thread writes to.
static THREADS: AtomicUsize = AtomicUsize::new(0);
thread_local!(static THREAD: usize = THREADS.fetch_add(1, Relaxed));

/// One ring. Its own cache lines, so that threads do not disturb each other.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    /// Uses noted so far.
    tail: AtomicU64,
    /// Uses told so far; changed by the reader only.
    head: AtomicU64,
    uses: Box<[AtomicU64]>,
}

/// How far all lanes are.
pub(crate) type Tails = [u64; LANES_MAX];

/// A use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) now_ms: u64,
    pub(crate) handle: u32,
}

/// What is to be told; `C` is whatever else happens.
#[derive(Debug)]
pub(crate) struct Told<C> {
    listening: AtomicBool,
    /// Times are noted as what has passed since.
    epoch_ms: AtomicU64,
    lanes: Box<[Lane]>,
    changes: Mutex<VecDeque<(C, Tails)>>,
    /// The queue was full.
    gave_up: AtomicBool,
    dropped: AtomicU64,
}

impl<C> Told<C> {
    /// Nobody listens at first. `lanes` is 1 to [`LANES_MAX`].
    pub(crate) fn new(lanes: usize) -> Self {
        let lane = || Lane {
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
            uses: (0..LANE_USES).map(|_| AtomicU64::new(0)).collect(),
        };
        Self {
            listening: AtomicBool::new(false),
            epoch_ms: AtomicU64::new(0),
            lanes: (0..lanes.clamp(1, LANES_MAX)).map(|_| lane()).collect(),
            changes: Mutex::default(),
            gave_up: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }
    }

    /// Whether anybody is told.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Acquire)
    }

    /// Uses that were not told, because they came faster than they were.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Begins to note, from nothing; only the reader calls this.
    pub(crate) fn listen(&self, now_ms: u64) {
        self.listening.store(false, Relaxed);
        self.changes.lock().clear();
        self.gave_up.store(false, Relaxed);
        self.lanes.iter().for_each(|lane| lane.head.store(lane.tail.load(Relaxed), Relaxed));
        self.epoch_ms.store(now_ms, Relaxed);
        self.listening.store(true, Release);
    }

    /// Notes nothing more.
    pub(crate) fn stop(&self) {
        self.listening.store(false, Relaxed);
        self.changes.lock().clear();
    }

    /// Notes a use. Never waits. `true` when much is noted and somebody should read it.
    pub(crate) fn used(&self, handle: u32, now_ms: u64) -> bool {
        if handle == NO_HANDLE || !self.listening.load(Relaxed) {
            return false;
        }
        // A thread that is ending writes to the first lane.
        let thread = THREAD.try_with(|thread| *thread).unwrap_or(0);
        let lane = &self.lanes[thread % self.lanes.len()];
        let at = lane.tail.fetch_add(1, Relaxed);
        let passed = now_ms.saturating_sub(self.epoch_ms.load(Relaxed)) & ((WRITTEN >> HANDLE_BITS) - 1);
        let noted = WRITTEN | passed << HANDLE_BITS | u64::from(handle);
        lane.uses[at as usize & (LANE_USES - 1)].store(noted, Release);
        (at + 1).is_multiple_of(LANE_USES as u64 / 2)
    }

    /// Notes something else.
    pub(crate) fn changed(&self, change: C) {
        if !self.is_listening() {
            return;
        }
        let mut changes = self.changes.lock();
        if changes.len() >= CHANGES_MAX {
            self.gave_up.store(true, Relaxed);
            changes.clear();
        }
        if !self.gave_up.load(Relaxed) {
            changes.push_back((change, self.tails()));
        }
    }

    /// Whether more happened than could be noted.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.load(Relaxed)
    }

    /// The next change, and how far the lanes were before it.
    pub(crate) fn next_change(&self) -> Option<(C, Tails)> {
        self.changes.lock().pop_front()
    }

    /// How far the lanes are.
    pub(crate) fn tails(&self) -> Tails {
        let mut tails = [0; LANES_MAX];
        self.lanes.iter().zip(&mut tails).for_each(|(lane, tail)| *tail = lane.tail.load(Relaxed));
        tails
    }

    /// Takes the uses up to `tails` that were not taken before, by their times. One reader at a time.
    pub(crate) fn take(&self, tails: &Tails, into: &mut Vec<Use>) {
        into.clear();
        let epoch_ms = self.epoch_ms.load(Relaxed);
        let mut lanes = 0;
        for (lane, tail) in self.lanes.iter().zip(tails) {
            let before = into.len();
            let mut head = lane.head.load(Relaxed);
            // From the newest lap on: what was noted before it is overwritten, or about to be.
            let oldest = lane.tail.load(Relaxed).saturating_sub(LANE_USES as u64);
            if head < oldest {
                self.dropped.fetch_add(oldest - head, Relaxed);
                head = oldest;
            }
            while head < *tail {
                let noted = lane.uses[head as usize & (LANE_USES - 1)].swap(0, Acquire);
                if noted == 0 {
                    // Its thread has not come to write it yet; it is told next time.
                    break;
                }
                let handle = (noted & ((1 << HANDLE_BITS) - 1)) as u32;
                into.push(Use { now_ms: epoch_ms + ((noted & !WRITTEN) >> HANDLE_BITS), handle });
                head += 1;
            }
            lane.head.store(head, Relaxed);
            lanes += usize::from(into.len() > before);
        }
        if lanes > 1 {
            into.sort_by_key(|noted| noted.now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lanes: usize) -> Told<char> {
        let told = Told::new(lanes);
        told.listen(1_000_000_000_000);
        told
    }

    fn all(told: &Told<char>) -> Vec<(u64, u32)> {
        let mut uses = Vec::new();
        told.take(&told.tails(), &mut uses);
        uses.into_iter().map(|noted| (noted.now_ms - 1_000_000_000_000, noted.handle)).collect()
    }

    #[test]
    fn uses_are_told_once_in_their_order_and_none_without_a_handle() {
        let told = told(1);
        for (handle, ms) in [(5, 3), (NO_HANDLE, 4), (littoral_evict::HANDLES_MAX - 1, 400_000_000_000), (5, 1)] {
            told.used(handle, 1_000_000_000_000 + ms);
        }
        assert_eq!(all(&told), [(3, 5), (400_000_000_000, 16_777_215), (1, 5)]);
        assert_eq!(all(&told), []);
    }

    #[test]
    fn nothing_is_noted_while_nobody_listens_or_from_before() {
        let told = told(1);
        told.used(1, 0);
        told.listen(1_000_000_000_000);
        told.stop();
        told.used(2, 0);
        told.changed('a');
        assert!(all(&told).is_empty() && told.next_change().is_none());
    }

    #[test]
    fn uses_that_are_not_read_in_time_are_counted_and_the_newest_are_told() {
        let told = told(1);
        let wakes = (0..2 * LANE_USES as u64 + 7).filter(|ms| told.used(9, 1_000_000_000_000 + ms)).count();
        assert_eq!(wakes, 4, "somebody is to read them each time half a lane is full");
        let uses = all(&told);
        assert_eq!((uses.len(), told.dropped()), (LANE_USES, LANE_USES as u64 + 7));
        assert_eq!(uses[0].0, LANE_USES as u64 + 7);
    }

    #[test]
    fn lanes_of_several_threads_are_told_by_their_times_and_what_came_before_a_change_before_it() {
        let told = told(LANES_MAX);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let told = &told;
                scope.spawn(move || (0..100).for_each(|step| _ = told.used(1, 1_000_000_000_000 + 4 * step + thread)));
            }
        });
        told.changed('a');
        told.used(2, 1_000_000_000_000);
        let (change, tails) = told.next_change().unwrap();
        let mut uses = Vec::new();
        told.take(&tails, &mut uses);
        assert_eq!((change, uses.len()), ('a', 400));
        assert!(uses.iter().all(|noted| noted.handle == 1) && uses.is_sorted_by_key(|noted| noted.now_ms));
        assert_eq!(all(&told), [(0, 2)]);
    }

    #[test]
    fn a_queue_of_changes_that_is_full_is_given_up() {
        let told = told(1);
        (0..CHANGES_MAX).for_each(|_| told.changed('a'));
        assert!(!told.gave_up());
        told.changed('b');
        assert!(told.gave_up() && told.next_change().is_none());
        told.listen(0);
        told.changed('c');
        assert!(!told.gave_up() && told.next_change().is_some());
    }
}
