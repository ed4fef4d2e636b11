//! The seat: an exact policy, the handles it knows the objects of its tier by, and the checks of what it names.
//!
//! Whose objects these are, and how one is removed, is the caller's. Invariants: a handle is one object's, and is not given to another
//! before the policy knows that the first has gone; what is pinned stays, whatever the policy names, and is told to it again later.

use littoral_evict::{HANDLES_MAX, Object};

use super::Keep;
use super::told::NO_HANDLE;

/// Times a policy that does not name enough is asked again.
const ROUNDS: usize = 64;
/// How often it is looked whether what was pinned still is.
const LOOK_EVERY_MS: u64 = 1_000;

/// What became of an object that the policy named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    /// It is gone, now or since before.
    Gone,
    /// It has to stay for now.
    Pinned,
}

/// Removes an object that was named; the flag says that it had only just come.
pub(crate) type LetGo<'a, T> = &'a mut dyn FnMut(&T, bool) -> Went;

/// The seat.
pub(crate) struct Seat<T> {
    policy: Option<Box<dyn Keep>>,
    version: Option<u64>,
    capacity: u64,
    /// Bytes of all rows.
    used: u64,
    /// Bytes of the tier that are not the policy's to give.
    pub(crate) others: u64,
    /// By handle; the first stands for none.
    rows: Vec<Option<Row<T>>>,
    free: Vec<u32>,
    /// Handles of what has gone otherwise: free once the policy has been told so for certain.
    resting: Vec<u32>,
    go: Vec<u32>,
    spared: Vec<Row<T>>,
    looked_ms: u64,
    clock_ms: u64,
    /// Handles that were named and not there.
    pub(crate) nonsense: u64,
    /// Policies that broke.
    pub(crate) broken: u64,
}

struct Row<T> {
    object: T,
    bytes: u64,
}

impl<T> Default for Seat<T> {
    fn default() -> Self {
        Self {
            policy: None,
            version: None,
            capacity: 0,
            used: 0,
            others: 0,
            rows: Vec::new(),
            free: Vec::new(),
            resting: Vec::new(),
            go: Vec::new(),
            spared: Vec::new(),
            looked_ms: 0,
            clock_ms: 0,
            nonsense: 0,
            broken: 0,
        }
    }
}

impl<T> Seat<T> {
    /// Whether a policy sits here.
    pub(crate) fn is_taken(&self) -> bool {
        self.policy.is_some()
    }

    /// Which one, or the last that broke.
    pub(crate) fn version(&self) -> Option<u64> {
        self.version
    }

    /// Seats a policy that knows of nothing yet.
    pub(crate) fn open(&mut self, version: u64, policy: Box<dyn Keep>, capacity: u64) {
        let (nonsense, broken) = (self.nonsense, self.broken);
        let (policy, version) = (Some(policy), Some(version));
        *self = Self { policy, version, capacity, nonsense, broken, rows: vec![None], ..Self::default() };
    }

    /// Lets the policy go, and all that was kept for it.
    pub(crate) fn close(&mut self) {
        let (nonsense, broken) = (self.nonsense, self.broken);
        *self = Self { nonsense, broken, ..Self::default() };
    }

    /// The bytes that the policy was started for.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The time for the policy: not before what it was told last.
    pub(crate) fn at(&mut self, now_ms: u64) -> u64 {
        self.clock_ms = self.clock_ms.max(now_ms);
        self.clock_ms
    }

    /// Bytes that are too many.
    pub(crate) fn short(&self) -> u64 {
        (self.used + self.others).saturating_sub(self.capacity)
    }

    /// Bytes of what the policy knows.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used
    }

    /// The object of a handle.
    pub(crate) fn object(&self, handle: u32) -> Option<&T> {
        self.rows.get(handle as usize)?.as_ref().map(|row| &row.object)
    }

    /// The same, to put another in its place.
    pub(crate) fn object_mut(&mut self, handle: u32) -> Option<&mut T> {
        self.rows.get_mut(handle as usize)?.as_mut().map(|row| &mut row.object)
    }

    /// The bytes of a handle's object, as the policy was told.
    pub(crate) fn bytes(&self, handle: u32) -> u64 {
        self.rows.get(handle as usize).and_then(Option::as_ref).map_or(0, |row| row.bytes)
    }

    /// A handle for an object of so many bytes; `None` when there is none left, or no policy: it does not learn of it.
    pub(crate) fn allot(&mut self, object: T, bytes: u64) -> Option<u32> {
        self.policy.as_ref()?;
        let handle = match self.free.pop() {
            Some(handle) => handle,
            None if self.rows.len() < HANDLES_MAX as usize => {
                self.rows.push(None);
                self.rows.len() as u32 - 1
            }
            None => return None,
        };
        self.rows[handle as usize] = Some(Row { object, bytes });
        self.used += bytes;
        Some(handle)
    }

    /// Takes a handle back whose object was not told of.
    pub(crate) fn withdraw(&mut self, handle: u32) {
        if let Some(row) = self.rows.get_mut(handle as usize).and_then(Option::take) {
            self.used -= row.bytes;
            self.free.push(handle);
        }
    }

    /// Tells of an object with a handle from [`Self::allot`], and removes what goes for it. `false` when it was refused itself, or
    /// not enough was named for it.
    pub(crate) fn arrive(&mut self, object: &Object, now_ms: u64, let_go: LetGo<'_, T>) -> bool {
        debug_assert_ne!(object.handle, NO_HANDLE);
        let now_ms = self.at(now_ms);
        let need = self.short();
        self.ask(Some(object.handle), let_go, |policy, go| policy.arrives(object, need, now_ms, go));
        let is_there = |seat: &Self| seat.object(object.handle).is_some();
        if is_there(self) && self.short() > 0 {
            self.evict(self.short(), now_ms, Some(object.handle), let_go);
        }
        if self.is_taken() && is_there(self) && self.short() > 0 {
            // It does not name enough: what came last goes, so that the bound holds.
            self.lose(object.handle, true, let_go);
            self.tell_gone(object.handle);
        }
        self.is_taken() && is_there(self)
    }

    /// Tells of a use.
    pub(crate) fn used(&mut self, handle: u32, now_ms: u64, let_go: LetGo<'_, T>) {
        if self.object(handle).is_some() {
            let now_ms = self.at(now_ms);
            self.ask(None, let_go, |policy, go| policy.used(handle, now_ms, go));
        }
    }

    /// Tells that an object has gone otherwise.
    pub(crate) fn gone(&mut self, handle: u32) {
        let Some(row) = self.rows.get_mut(handle as usize).and_then(Option::take) else { return };
        self.used -= row.bytes;
        self.tell_gone(handle);
    }

    /// Has the policy name `need` bytes. Returns how many were freed: fewer when it names no more.
    pub(crate) fn evict(&mut self, need: u64, now_ms: u64, arrival: Option<u32>, let_go: LetGo<'_, T>) -> u64 {
        let now_ms = self.at(now_ms);
        let before = self.used + self.others;
        let freed = |seat: &Self| before.saturating_sub(seat.used + seat.others);
        for _ in 0..ROUNDS {
            let (left, used) = (need.saturating_sub(freed(self)), self.used);
            if left == 0 || !self.is_taken() {
                break;
            }
            self.ask(arrival, let_go, |policy, go| policy.evict(left, now_ms, go));
            if self.used == used {
                break;
            }
        }
        freed(self)
    }

    /// Objects that were named while they were pinned, to be told again where that is over; at most once a second.
    pub(crate) fn unspare(&mut self, now_ms: u64, is_over: impl Fn(&T) -> bool) -> Vec<T> {
        if self.spared.is_empty() || now_ms.saturating_sub(self.looked_ms) < LOOK_EVERY_MS {
            return Vec::new();
        }
        self.looked_ms = now_ms;
        let over: Vec<Row<T>> = self.spared.extract_if(.., |row| is_over(&row.object)).collect();
        self.others = self.others.saturating_sub(over.iter().map(|row| row.bytes).sum());
        over.into_iter().map(|row| row.object).collect()
    }

    /// Asks the policy, and does what it says unless it broke over it.
    fn ask(&mut self, arrival: Option<u32>, let_go: LetGo<'_, T>, question: impl FnOnce(&mut dyn Keep, &mut Vec<u32>)) {
        let Some(policy) = &mut self.policy else { return };
        let mut go = std::mem::take(&mut self.go);
        question(policy.as_mut(), &mut go);
        if policy.is_broken() {
            return self.break_off();
        }
        let mut lies = 0;
        for handle in go.drain(..) {
            // What has gone otherwise may still be named: the policy may not have come to hear of it.
            match self.object(handle).is_some() {
                true => {
                    self.lose(handle, arrival == Some(handle), let_go);
                    self.free.push(handle);
                }
                false => lies += u64::from(!self.resting.contains(&handle)),
            }
        }
        self.go = go;
        self.nonsense += lies;
        let Some(policy) = &mut self.policy else { return };
        if lies > 0 {
            policy.lied();
        }
        if policy.is_broken() {
            return self.break_off();
        }
        if policy.is_up_to_date() {
            self.free.append(&mut self.resting);
        }
    }

    /// Removes what was named.
    fn lose(&mut self, handle: u32, arrival: bool, let_go: LetGo<'_, T>) {
        let Some(row) = self.rows.get_mut(handle as usize).and_then(Option::take) else { return };
        self.used -= row.bytes;
        if let_go(&row.object, arrival) == Went::Pinned {
            self.others += row.bytes;
            self.spared.push(row);
        }
    }

    fn tell_gone(&mut self, handle: u32) {
        if let Some(policy) = &mut self.policy {
            policy.gone(handle);
        }
        self.resting.push(handle);
    }

    fn break_off(&mut self) {
        self.close();
        self.broken += 1;
    }
}
