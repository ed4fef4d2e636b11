//! Round-trip times between the client that is asked about and clusters. Outside of [`Routing::decide`](super::Routing::decide) none is
//! known.
//!
//! A component imports this interface of the node when it calls one of these functions, and only then the node looks times up. Native tests
//! tell them first: [`tell`].

/// Microseconds of a way of no length: access networks and what waits in them.
const BASE_US: f32 = 5_000.0;
/// Microseconds there and back of a kilometre as the crow flies: light in fibre takes 10, and fibre is no crow.
const KILOMETRE_US: f32 = 15.0;
const EARTH_KM: f32 = 6_371.0;

/// The round-trip time that a distance lets expect, in microseconds, on the scale of what is measured: by the cosine of the angle between
/// two places. The node expects the same (`expected_us` of its routing). Without trigonometry; within a hundredth up to a quarter of the
/// way around the world, and never decreasing beyond.
#[inline]
pub fn estimated_us(cosine: f32) -> f32 {
    // Twice the arc sine of half the chord.
    let square = (2.0 - 2.0 * cosine).clamp(0.0, 4.0);
    let angle = square.sqrt() * (1.0 + square * (1.0 / 24.0 + square * (3.0 / 640.0)));
    BASE_US + KILOMETRE_US * EARTH_KM * angle
}

/// The distance, as one less the cosine of an angle, that lets expect a round-trip time: the reverse of [`estimated_us`], from 0 to 2.
#[inline]
pub fn as_distance(us: f32) -> f32 {
    let angle = ((us - BASE_US) / (KILOMETRE_US * EARTH_KM)).clamp(0.0, std::f32::consts::PI);
    let square = angle * angle;
    square * (0.5 - square * (1.0 / 24.0 - square * (1.0 / 720.0 - square / 40_320.0)))
}

#[cfg(not(target_arch = "wasm32"))]
pub use here::tell;
pub use here::{clusters, rtt_us};

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "functions of the host are foreign")]
mod here {
    #[link(wasm_import_module = "littoral:plugin/measured@0.1.0")]
    unsafe extern "C" {
        #[link_name = "clusters"]
        fn host_clusters() -> i64;
        #[link_name = "rtt-us"]
        fn host_rtt_us(cluster: i32) -> i32;
    }

    /// The clusters to which a time is known, one bit each.
    pub fn clusters() -> u64 {
        // SAFETY: the flat signature of `measured.clusters`; no memory is handed over.
        unsafe { host_clusters() as u64 }
    }

    /// Microseconds to a cluster; 0 when not known.
    pub fn rtt_us(cluster: u16) -> u32 {
        // SAFETY: the flat signature of `measured.rtt-us`; no memory is handed over.
        unsafe { host_rtt_us(i32::from(cluster)) as u32 }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod here {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local!(static TOLD: RefCell<BTreeMap<u16, u32>> = const { RefCell::new(BTreeMap::new()) });

    /// What is measured from now on, for policies that this thread asks: clusters below 64 and their microseconds.
    pub fn tell(times: &[(u16, u32)]) {
        TOLD.set(times.iter().copied().filter(|(cluster, us)| *cluster < 64 && *us > 0).collect());
    }

    /// The clusters to which a time is known, one bit each.
    pub fn clusters() -> u64 {
        TOLD.with_borrow(|told| told.keys().fold(0, |mask, cluster| mask | 1 << cluster))
    }

    /// Microseconds to a cluster; 0 when not known.
    pub fn rtt_us(cluster: u16) -> u32 {
        TOLD.with_borrow(|told| told.get(&cluster).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_distances_are_on_one_scale() {
        let cosines = [1.0, 0.9999, 0.99, 0.9, 0.5, 0.0_f32];
        for cosine in cosines {
            let exact = BASE_US + KILOMETRE_US * EARTH_KM * cosine.acos();
            assert!((estimated_us(cosine) / exact - 1.0).abs() < 0.01, "{cosine}: {} {exact}", estimated_us(cosine));
            let distance = as_distance(estimated_us(cosine));
            assert!((distance - (1.0 - cosine)).abs() < 0.02, "{cosine}: {distance}");
        }
        let all: Vec<_> = (0..=200).map(|step| estimated_us(1.0 - step as f32 / 100.0)).collect();
        assert!(all.is_sorted() && as_distance(f32::MAX) < 2.01 && as_distance(0.0) == 0.0);
    }

    #[test]
    fn what_a_test_tells_is_measured_until_it_tells_something_else() {
        tell(&[(3, 900), (64, 1), (5, 0)]);
        assert_eq!((clusters(), rtt_us(3), rtt_us(5), rtt_us(64)), (8, 900, 0, 0));
        tell(&[]);
        assert_eq!((clusters(), rtt_us(3)), (0, 0));
    }
}
