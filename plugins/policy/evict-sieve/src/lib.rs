//! SIEVE: one queue in the order of arrival, and a hand that spares what was asked for since it passed. Of a sample, where there is
//! no hand, what was hit within the last half of its life is spared; of the rest the oldest goes.

use littoral_evict::Exact;
use littoral_plugin::policy::{Cache, Moment, Object};

/// The policy.
pub struct EvictSieve {
    exact: Option<Box<dyn Exact>>,
}

impl Cache for EvictSieve {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self { exact: None })
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        let spared = object.hits > 0 && object.idle_s <= object.age_s / 2;
        if spared { 1e9 - object.idle_s as f32 } else { -(object.age_s as f32) }
    }
}

littoral_evict::guest!(EvictSieve, |_, _| Box::new(littoral_evict::Sieve::default()));
littoral_plugin::export_policy!(EvictSieve, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_the_oldest_that_was_not_used_of_late_goes_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample = [object(3, 10, 100, 1), object(0, 50, 50, 1), object(1, 90, 100, 1)];
        assert_eq!(Seat::<EvictSieve>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn exactly_the_oldest_that_is_not_spared_goes() {
        let (mut policy, mut go) = (EvictSieve::new("{}").unwrap(), Vec::new());
        policy.start(1_000);
        for handle in 0..3 {
            policy.arrives(&Arrival { handle, key: handle.into(), bytes: 10, ..Arrival::default() }, 0, 0, &mut go);
        }
        policy.used(0, 1, &mut go);
        policy.evict(10, 2, &mut go);
        assert_eq!(go, [1]);
    }
}
