//! W-TinyLFU: what is new has a small window; it stays only when it was asked for more often than what would go for it. Where samples are
//! drawn the host's count of requests decides on admission, and the least often used goes.

use littoral_evict::Exact;
use littoral_plugin::policy::{Cache, Moment, Object, Verdict};

/// From this fill on, an object nobody asked for before is refused.
const CROWDED_PERMILLE: u16 = 900;

/// The policy.
pub struct EvictTinyLfu {
    exact: Option<Box<dyn Exact>>,
}

impl Cache for EvictTinyLfu {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self { exact: None })
    }

    fn admit(&self, object: &Object, fill_permille: u16, _at: Moment) -> Verdict {
        if fill_permille < CROWDED_PERMILLE || object.hits > 0 { Verdict::Admit } else { Verdict::Bypass }
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        f32::from(object.hits) - object.idle_s as f32 / (object.idle_s as f32 + 1.0)
    }
}

littoral_evict::guest!(EvictTinyLfu, |_, bytes| Box::new(littoral_evict::TinyLfu::new(bytes)));
littoral_plugin::export_policy!(EvictTinyLfu, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_the_least_often_used_goes_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample = [object(3, 0, 0, 1), object(0, 1, 0, 1), object(0, 100, 0, 1)];
        assert_eq!(Seat::<EvictTinyLfu>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn what_nobody_asked_for_before_is_refused_when_it_is_crowded() {
        let seat = Seat::<EvictTinyLfu>::cache("{}").unwrap();
        let admits = |hits, fill| seat.admit(&Object { hits, ..Object::default() }, fill, Moment::default());
        assert_eq!(
            [admits(0, 100), admits(0, 950), admits(1, 950)],
            [Ok(Verdict::Admit), Ok(Verdict::Bypass), Ok(Verdict::Admit)]
        );
    }

    #[test]
    fn exactly_the_oldest_of_the_window_moves_on_and_of_equals_the_new_one_goes() {
        let (mut policy, mut go) = (EvictTinyLfu::new("{}").unwrap(), Vec::new());
        policy.start(1_000);
        for handle in 0..3 {
            policy.arrives(&Arrival { handle, key: handle.into(), bytes: 10, ..Arrival::default() }, 0, 0, &mut go);
        }

        policy.evict(10, 2, &mut go);
        assert_eq!(go, [0]);
    }
}
