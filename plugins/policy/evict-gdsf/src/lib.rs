//! GreedyDual-Size-Frequency: what is used often for its bytes stays, and what has not been used of late is passed by what comes later.
//! For the share of requests that are hits. Of a sample, where nothing is remembered, idle time takes the place of its clock.

use littoral_evict::Exact;
use littoral_plugin::policy::{Cache, Moment, Object};

/// The policy.
pub struct EvictGdsf {
    exact: Option<Box<dyn Exact>>,
}

impl Cache for EvictGdsf {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self { exact: None })
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        (f32::from(object.hits) + 1.0) / ((object.idle_s as f32 + 1.0) * (object.bytes as f32 + 1.0))
    }
}

littoral_evict::guest!(EvictGdsf, |_, _| Box::new(littoral_evict::Gdsf::default()));
littoral_plugin::export_policy!(EvictGdsf, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_large_idle_and_rarely_used_ones_go_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample =
            [object(5, 10, 0, 1000), object(0, 10, 0, 1000), object(5, 1000, 0, 1000), object(5, 10, 0, 1_000_000)];
        assert_eq!(Seat::<EvictGdsf>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![3, 2, 1, 0]));
    }

    #[test]
    fn exactly_what_was_used_least_for_its_bytes_goes() {
        let (mut policy, mut go) = (EvictGdsf::new("{}").unwrap(), Vec::new());
        policy.start(1_000);
        for handle in 0..3 {
            policy.arrives(&Arrival { handle, key: handle.into(), bytes: 10, ..Arrival::default() }, 0, 0, &mut go);
        }
        policy.used(0, 1, &mut go);
        policy.evict(10, 2, &mut go);
        assert_eq!(go, [1]);
    }
}
