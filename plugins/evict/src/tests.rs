//! What holds for every policy, whatever it is told.

use std::collections::HashMap;

use super::*;

/// A cache of so many bytes that does as a policy says, and checks that it says what can be done.
struct Cache {
    capacity: u64,
    used: u64,
    there: HashMap<u64, (u32, u64)>,
    free: Vec<u32>,
    next: u32,
}

impl Cache {
    fn new(capacity: u64) -> Self {
        Self { capacity, used: 0, there: HashMap::new(), free: Vec::new(), next: 0 }
    }

    fn ask(&mut self, policy: &mut dyn Exact, key: u64, bytes: u64) -> bool {
        if let Some((handle, _)) = self.there.get(&key) {
            let mut go = Vec::new();
            policy.used(*handle, 0, &mut go);
            self.forget(go);
            return true;
        }
        let handle = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let need = (self.used + bytes).saturating_sub(self.capacity);
        let (object, mut go) = (Object { handle, key, bytes, ..Object::default() }, Vec::new());
        policy.arrives(&object, need, 0, &mut go);
        self.there.insert(key, (handle, bytes));
        self.used += bytes;
        self.forget(go);
        assert!(self.used <= self.capacity, "{} of {}", self.used, self.capacity);
        false
    }

    fn forget(&mut self, go: Vec<u32>) {
        for gone in go {
            let key = self.there.iter().find(|(_, (there, _))| *there == gone).map(|(key, _)| *key);
            let (handle, bytes) = self.there.remove(&key.expect("it names what is there")).unwrap();
            self.used -= bytes;
            self.free.push(handle);
        }
    }
}

/// Numbers in no order, always the same.
fn random() -> impl FnMut() -> u64 {
    let mut state = 7_u64;
    move || {
        state = state.wrapping_add(1);
        counts::mix(state)
    }
}

#[test]
fn every_policy_makes_the_room_it_is_asked_for_and_names_only_what_is_there() {
    for name in NAMES {
        let (mut cache, mut policy, mut next) = (Cache::new(10_000), named(name, 10_000).unwrap(), random());
        let mut hits = 0;
        for _ in 0..20_000 {
            let key = (next() % 40) * (next() % 40);
            hits += usize::from(cache.ask(&mut policy, key, key * 7 % 300 + 1));
        }
        assert!(hits > 4_000, "{name}: {hits} hits");
    }
}

#[test]
fn no_order_of_calls_makes_a_policy_panic() {
    for name in NAMES {
        let (mut policy, mut next) = (named(name, 1_000).unwrap(), random());
        for _ in 0..50_000 {
            let (handle, mut go) = ((next() % 64) as u32, Vec::new());
            let handle = if next() % 100 == 0 { u32::MAX - handle } else { handle };
            let bytes = [0, 1, 90, 5_000, u64::MAX / 4][(next() % 5) as usize];
            match next() % 4 {
                0 => policy.used(handle, next(), &mut go),
                1 => policy.gone(handle),
                2 => policy.evict(next() % 300, next(), &mut go),
                _ => {
                    let place = (next() % 2 == 0).then(|| Place {
                        title: (next() % 3) as u32,
                        rung: next() as u16,
                        segment: [0, 1, 2, Place::HEAD, u32::MAX - 1][(next() % 5) as usize],
                    });
                    let object = Object { handle, key: next() % 90, bytes, fetch_us: 0, place };
                    policy.arrives(&object, bytes.min(500), next(), &mut go);
                }
            }
        }
    }
}

#[test]
fn sieve_spares_what_was_used_and_lru_what_was_used_last() {
    let told = |policy: &mut dyn Exact| {
        let mut go = Vec::new();
        for handle in 0..3 {
            policy.arrives(&Object { handle, key: handle.into(), bytes: 10, ..Object::default() }, 0, 0, &mut go);
        }
        policy.used(0, 1, &mut go);
        policy.used(1, 2, &mut go);
        policy.used(0, 3, &mut go);
        policy.evict(20, 4, &mut go);
        go
    };
    assert_eq!(told(&mut Lru::default()), [2, 1]);
    assert_eq!(
        told(&mut Sieve::default()),
        [2, 0],
        "the hand goes on from where it was, and takes away what it spared"
    );
}
