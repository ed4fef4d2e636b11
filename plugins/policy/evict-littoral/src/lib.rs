//! Ours, for titles that are played from their start: an object is worth the hits that are to be expected of it, by who plays which title
//! and how far viewers get; see `littoral_evict::littoral`. What is part of no title goes by a published policy.
//!
//! Config: `metric`, what is to be large: `"objects"` (requests that are hits), `"bytes"`, or `"both"`, the default.
//!
//! Of a sample, where titles are not known, an object is worth its hits for its idle time and what it costs in the metric.

use littoral_evict::Exact;
use littoral_evict::{Littoral, Metric};
use littoral_plugin::policy::{Cache, Moment, Object};
use serde::Deserialize;

/// The operator's config.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    metric: Named,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    Objects,
    Bytes,
    #[default]
    Both,
}

/// The policy.
pub struct EvictLittoral {
    exact: Option<Box<dyn Exact>>,
    metric: Metric,
}

impl Cache for EvictLittoral {
    fn new(config: &str) -> Result<Self, String> {
        let Config { metric } = littoral_plugin::config(config)?;
        let metric = match metric {
            Named::Objects => Metric::Objects,
            Named::Bytes => Metric::Bytes,
            Named::Both => Metric::Both,
        };
        Ok(Self { exact: None, metric })
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        let cost = match self.metric {
            Metric::Objects => object.bytes.max(1) as f32,
            Metric::Both => (object.bytes.max(1) as f32).sqrt(),
            Metric::Bytes => 1.0,
        };
        (f32::from(object.hits) + 1.0) / ((object.idle_s as f32 + 1.0) * cost)
    }
}

littoral_evict::guest!(EvictLittoral, |policy, bytes| Box::new(Littoral::new(bytes, policy.metric)));
littoral_plugin::export_policy!(EvictLittoral, exact, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Arrival, Exact as _};

    use super::*;

    #[test]
    fn of_a_sample_large_idle_and_rarely_used_ones_go_first() {
        let object = |hits, idle_s, age_s, bytes| Object { hits, idle_s, age_s, bytes, ..Object::default() };
        let sample =
            [object(5, 10, 0, 1000), object(0, 10, 0, 1000), object(5, 1000, 0, 1000), object(5, 10, 0, 10_000_000)];
        assert_eq!(Seat::<EvictLittoral>::cache("{}").unwrap().order(&sample, Moment::default()), Ok(vec![3, 2, 1, 0]));
    }

    #[test]
    fn a_segment_ahead_of_a_viewer_outlives_one_behind() {
        let (mut policy, mut go) = (EvictLittoral::new(r#"{"metric":"bytes"}"#).unwrap(), Vec::new());
        policy.start(1_000);
        let segment = |handle: u32, segment: u32| Arrival {
            handle,
            key: handle.into(),
            bytes: 10,
            fetch_us: 0,
            position: Some(littoral_plugin::policy::Position { title: 7, rung: 1, segment }),
        };
        // One viewer is at the third segment when another begins.
        for at in 0..3 {
            policy.arrives(&segment(at, at), 0, u64::from(at) * 4_000, &mut go);
        }
        policy.used(0, 12_000, &mut go);
        policy.evict(10, 12_100, &mut go);
        assert_eq!(go, [0], "whoever plays is past it");
    }

    #[test]
    fn a_metric_that_is_none_is_told() {
        let error = EvictLittoral::new(r#"{"metric":"speed"}"#).err().unwrap();
        assert!(error.contains("speed"), "{error}");
    }
}
