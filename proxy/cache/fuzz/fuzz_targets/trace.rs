//! Readers of traces: any bytes are requests or one error, and what they ask for breaks no bound of a tier with any policy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use littoral_cache::replay::{Exactly, Tier};
use littoral_cache::trace::{Form, Reader};
use littoral_evict::{NAMES, named};

/// Bytes of the tier.
const CAPACITY: u64 = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((choice, trace)) = data.split_first() else { return };
    let form = [Form::Oracle, Form::Csv, Form::Log][usize::from(choice % 3)];
    let name = NAMES[usize::from(choice / 3) % NAMES.len()];
    let policy = named(name, CAPACITY).expect("invariant: each name has a policy");
    let (mut reader, mut tier) = (Reader::new(trace, form), Exactly::new(policy, CAPACITY));
    while let Ok(Some(mut request)) = reader.next_request() {
        request.bytes %= 2 * CAPACITY;
        tier.request(&request);
    }
    let tally = tier.tally();
    assert!(tally.hits + tally.refused <= tally.requests && tally.nonsense == 0, "{name}: {tally:?}");
});
