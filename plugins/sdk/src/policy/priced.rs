//! What clusters cost because they are busy: microseconds to add to the round-trip time of a way. Known in
//! [`Routing::clusters`](super::Routing::clusters) alone, which is called whenever a price changed.
//!
//! A component imports this interface of the node when it calls one of these functions. The node prices clusters only for such a policy, and
//! only while round-trip times are measured; it then leaves out no cluster for being full, since the price does. Native tests
//! tell prices first: [`tell`].

#[cfg(not(target_arch = "wasm32"))]
pub use here::tell;
pub use here::{clusters, price_us};

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "functions of the host are foreign")]
mod here {
    #[link(wasm_import_module = "littoral:plugin/priced@0.1.0")]
    unsafe extern "C" {
        #[link_name = "clusters"]
        fn host_clusters() -> i64;
        #[link_name = "price-us"]
        fn host_price_us(cluster: i32) -> i32;
    }

    /// The clusters that have a price, which may be 0, one bit each.
    pub fn clusters() -> u64 {
        // SAFETY: the flat signature of `priced.clusters`; no memory is handed over.
        unsafe { host_clusters() as u64 }
    }

    /// Microseconds; 0 when it has none.
    pub fn price_us(cluster: u16) -> u32 {
        // SAFETY: the flat signature of `priced.price-us`; no memory is handed over.
        unsafe { host_price_us(i32::from(cluster)) as u32 }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod here {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local!(static TOLD: RefCell<BTreeMap<u16, u32>> = const { RefCell::new(BTreeMap::new()) });

    /// The prices from now on, for policies that this thread tells of clusters: clusters below 64 and their microseconds.
    pub fn tell(prices: &[(u16, u32)]) {
        TOLD.set(prices.iter().copied().filter(|(cluster, _)| *cluster < 64).collect());
    }

    /// The clusters that have a price, which may be 0, one bit each.
    pub fn clusters() -> u64 {
        TOLD.with_borrow(|told| told.keys().fold(0, |mask, cluster| mask | 1 << cluster))
    }

    /// Microseconds; 0 when it has none.
    pub fn price_us(cluster: u16) -> u32 {
        TOLD.with_borrow(|told| told.get(&cluster).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_of_nothing_is_a_price() {
        tell(&[(3, 900), (64, 1), (5, 0)]);
        assert_eq!((clusters(), price_us(3), price_us(5), price_us(64)), (0b10_1000, 900, 0, 0));
        tell(&[]);
        assert_eq!((clusters(), price_us(3)), (0, 0));
    }
}
