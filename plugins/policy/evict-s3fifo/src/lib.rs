//! S3-FIFO: what is new and not asked for again leaves soon; what is, stays for some rounds. Of a sample, where there are no queues, what
//! was never hit goes first, the oldest in front, then by hits up to the three rounds that the main queue remembers.

use littoral_evict::Exact;
use littoral_plugin::policy::{Cache, Moment, Object};

/// The policy.
pub struct EvictS3Fifo {
    exact: Option<Box<dyn Exact>>,
}

impl Cache for EvictS3Fifo {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self { exact: None })
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        f32::from(object.hits.min(4)) * 1e9 - object.age_s as f32
    }
}

littoral_evict::guest!(EvictS3Fifo, |_, bytes| Box::new(littoral_evict::S3Fifo::new(bytes)));
littoral_plugin::export_policy!(EvictS3Fifo, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_the_oldest_that_was_never_hit_goes_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample = [object(1, 0, 900, 1), object(0, 0, 5, 1), object(0, 0, 50, 1), object(7, 0, 10, 1)];
        assert_eq!(Seat::<EvictS3Fifo>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![2, 1, 0, 3]));
    }

    #[test]
    fn exactly_the_oldest_new_one_goes() {
        let (mut policy, mut go) = (EvictS3Fifo::new("{}").unwrap(), Vec::new());
        policy.start(1_000);
        for handle in 0..3 {
            policy.arrives(&Arrival { handle, key: handle.into(), bytes: 10, ..Arrival::default() }, 0, 0, &mut go);
        }
        policy.used(0, 1, &mut go);
        policy.used(0, 1, &mut go);
        policy.evict(10, 2, &mut go);
        assert_eq!(go, [1]);
    }
}
