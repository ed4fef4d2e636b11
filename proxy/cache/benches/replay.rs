//! Requests a second that a replay gets through, reading included, for each policy: `cargo bench -p littoral-cache --bench replay`.
//!
//! The trace is made up: some objects again and again, a third never again, in a tier of a tenth of all bytes.

use std::collections::HashMap;
use std::time::Instant;

use littoral_cache::LfuSize;
use littoral_cache::replay::{Exactly, Sampled, Tier};
use littoral_cache::trace::{Form, Reader};
use littoral_evict::{NAMES, mix, named};

/// Requests of the trace.
const REQUESTS: u64 = 2_000_000;
/// Rounds for each policy; the best counts, since the machine may be busy.
const ROUNDS: usize = 3;

fn trace() -> (Vec<u8>, u64) {
    let (mut records, mut sizes) = (Vec::new(), HashMap::new());
    for number in 0..REQUESTS {
        let (a, b) = (mix(2 * number) % 200_000, mix(2 * number + 1) % 200_000);
        let id = if number.is_multiple_of(3) { 1_000_000 + number } else { a * b / 200_000 };
        let bytes = (1 + mix(id) % (1 + (1 << (mix(id + 7) % 16)))) as u32;
        sizes.insert(id, u64::from(bytes));
        records.extend_from_slice(&((number / 100) as u32).to_le_bytes());
        records.extend_from_slice(&id.to_le_bytes());
        records.extend_from_slice(&bytes.to_le_bytes());
        records.extend_from_slice(&(-1_i64).to_le_bytes());
    }
    (records, sizes.values().sum())
}

/// Millions of requests a second.
fn speed(records: &[u8], mut tier: impl Tier) -> f64 {
    let (started, mut reader) = (Instant::now(), Reader::new(records, Form::Oracle));
    while let Ok(Some(request)) = reader.next_request() {
        tier.request(&request);
    }
    tier.tally().requests as f64 / started.elapsed().as_secs_f64() / 1e6
}

fn main() {
    let (records, bytes) = trace();
    let capacity = bytes / 10;
    for name in ["native"].iter().chain(NAMES) {
        let run = || match named(name, capacity) {
            Some(policy) => speed(&records, Exactly::new(policy, capacity)),
            None => speed(&records, Sampled::new(&LfuSize, capacity)),
        };
        println!("{name:10} {:6.2} M requests/s", (0..ROUNDS).map(|_| run()).fold(0.0, f64::max));
    }
}
