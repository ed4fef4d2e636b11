//! Least recently used: what has not been asked for longest goes. Exact where it is told of every use; of a sample it is the one
//! idle longest.

use littoral_evict::Exact;
use littoral_plugin::policy::{Cache, Moment, Object};

/// The policy.
pub struct EvictLru {
    exact: Option<Box<dyn Exact>>,
}

impl Cache for EvictLru {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self { exact: None })
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        -(object.idle_s as f32)
    }
}

littoral_evict::guest!(EvictLru, |_, _| Box::new(littoral_evict::Lru::default()));
littoral_plugin::export_policy!(EvictLru, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_the_one_idle_longest_goes_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample = [object(9, 5, 0, 1), object(0, 50, 0, 1), object(0, 1, 0, 1)];
        assert_eq!(Seat::<EvictLru>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![1, 0, 2]));
    }

    #[test]
    fn exactly_the_one_used_longest_ago_goes() {
        let (mut policy, mut go) = (EvictLru::new("{}").unwrap(), Vec::new());
        policy.start(1_000);
        for handle in 0..3 {
            policy.arrives(&Arrival { handle, key: handle.into(), bytes: 10, ..Arrival::default() }, 0, 0, &mut go);
        }
        policy.used(0, 1, &mut go);
        policy.evict(10, 2, &mut go);
        assert_eq!(go, [1]);
    }
}
