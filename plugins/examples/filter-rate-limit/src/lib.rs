//! A token bucket for each client, or for each value of a request field: 429 when it is empty (RFC 6585 §4).
//!
//! ```toml
//! store = "4MiB"
//! config = { per_second = 10, burst = 20 }             # or: by = "x-api-key"
//! ```
//!
//! A bucket is one number in the store: when it will be full again (the generic cell rate algorithm). All threads of the node share it.

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// Whoever loses against another so often in a row is let through: it costs a request too many, not a wait.
const SWAPS_MAX: usize = 8;
/// Bytes of a field's value that tell buckets apart.
const KEY_BYTES_MAX: usize = 200;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    per_second: f64,
    #[serde(default = "one")]
    burst: u32,
    by: Option<String>,
}

fn one() -> u32 {
    1
}

impl RateLimit {
    /// Takes a token at `now_us`; the seconds to wait when there is none.
    fn take(&self, key: &[u8], now_us: u64, store: &mut impl Store) -> Option<u64> {
        let interval_us = (1e6 / self.per_second) as u64;
        let capacity_us = interval_us.saturating_mul(u64::from(self.burst));
        for _ in 0..SWAPS_MAX {
            let known = store.get(key);
            let full = known.as_deref().and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
            let next = full.max(now_us) + interval_us;
            if next - now_us > capacity_us {
                return Some((next - now_us - capacity_us).div_ceil(1_000_000));
            }
            if store.swap(key, known.as_deref(), &next.to_le_bytes(), capacity_us / 1000 + 1) {
                return None;
            }
        }
        None
    }
}

impl Filter for RateLimit {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match (0.001..=1e6).contains(&filter.per_second) && (1..=1_000_000).contains(&filter.burst) {
            true => Ok(filter),
            false => Err("per_second is 0.001 to 1000000, burst 1 to 1000000".into()),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, store: &mut impl Store) -> Option<Reply> {
        let mut key = match &self.by {
            Some(field) => x.field(field)?,
            None => x.client(),
        };
        key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
        if key.is_empty() {
            return None;
        }
        let wait = self.take(key.as_bytes(), x.now_ms() * 1000, store)?;
        Some(Reply::text(429, "too many requests").with("retry-after", &wait.to_string()))
    }
}

littoral_plugin::export_filter!(RateLimit, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let (mut filter, mut store) = (RateLimit::new(r#"{"per_second": 10, "burst": 3}"#).unwrap(), Shelf::default());
        let mut passes = |now_ms: u64, client: &str| {
            let mut x = Sketch { now_ms, client: client.into(), ..Sketch::get("/", &[]) };
            filter.on_request(&mut x, &mut store).is_none()
        };
        assert_eq!([0, 0, 0, 0].map(|at| passes(1000 + at, "a")), [true, true, true, false]);
        assert!(passes(1000, "b"), "each client has its own");
        assert_eq!([1099, 1100, 1100].map(|at| passes(at, "a")), [false, true, false]);
        assert_eq!([9000, 9000, 9000, 9000].map(|at| passes(at, "a")), [true, true, true, false]);
    }

    #[test]
    fn who_is_refused_learns_when_to_come_back() {
        let (mut filter, mut store) = (RateLimit::new(r#"{"per_second": 0.5}"#).unwrap(), Shelf::default());
        let mut ask = || filter.on_request(&mut Sketch { now_ms: 1000, ..Sketch::get("/", &[]) }, &mut store);
        assert_eq!(ask(), None);
        let refused = ask().unwrap();
        assert!(refused.status == 429 && refused.fields.contains(&("retry-after".into(), "2".into())), "{refused:?}");
    }

    #[test]
    fn a_field_tells_buckets_apart_and_without_it_nobody_is_bounded() {
        let mut filter = RateLimit::new(r#"{"per_second": 1, "by": "x-key"}"#).unwrap();
        let mut store = Shelf::default();
        let mut status = |fields: &[(&str, &str)]| {
            filter.on_request(&mut Sketch::get("/", fields), &mut store).map_or(200, |reply| reply.status)
        };
        assert_eq!([status(&[("x-key", "1")]), status(&[("x-key", "1")]), status(&[("x-key", "2")])], [200, 429, 200]);
        assert_eq!([status(&[]), status(&[])], [200, 200]);
    }
}
