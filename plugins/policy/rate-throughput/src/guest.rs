//! The export shell.

littoral_plugin::wit_bindgen::generate!({
    path: "../../wit",
    world: "rate-policy",
    runtime_path: "littoral_plugin::wit_bindgen::rt",
});

use std::cell::RefCell;
use std::collections::BTreeMap;

use exports::littoral::plugin::control::Cluster;
use exports::littoral::plugin::{control, rate};
use littoral_plugin::number;

use crate::{Ask, SAFETY, select};

/// What was pushed.
struct Known {
    ladders: BTreeMap<u32, Vec<u32>>,
    safety: f32,
}

thread_local!(static KNOWN: RefCell<Known> = const { RefCell::new(Known { ladders: BTreeMap::new(), safety: SAFETY }) });

struct RateThroughput;

impl control::Guest for RateThroughput {
    fn init(config: String) -> Result<(), String> {
        let Some(safety) = number(&config, "safety") else {
            return Ok(());
        };
        if !(0.1..=1.0).contains(&safety) {
            return Err(format!("safety is 0.1 to 1.0, not {safety}"));
        }
        KNOWN.with_borrow_mut(|known| known.safety = safety as f32);
        Ok(())
    }

    fn clusters(_version: u64, _all: Vec<Cluster>) {}

    fn ladder(id: u32, kbps: Vec<u32>) {
        KNOWN.with_borrow_mut(|known| known.ladders.insert(id, kbps));
    }
}

impl rate::Guest for RateThroughput {
    fn select(ask: rate::Ask) -> rate::Answer {
        let rate::Ask { est_kbps, buffer_ms, last_rung, segment_ms, .. } = ask;
        let rung = KNOWN.with_borrow(|known| {
            let ladder = known.ladders.get(&ask.ladder).map_or(&[][..], Vec::as_slice);
            select(ladder, Ask { est_kbps, buffer_ms, last_rung, segment_ms }, known.safety)
        });
        rate::Answer { rung, pace_kbps: 0, hold_ms: 0, state: ask.state }
    }
}

export!(RateThroughput);
