//! What the author of a plugin that does something by itself depends on: [`Timer`], and what a tick has ([`Host`]); for one that also keeps
//! something on disk or dials while it ticks, [`ServiceTimer`] and [`ServiceHost`].
//!
//! ```
//! use std::time::Duration;
//!
//! use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
//! use littoral_plugin::timer::{Host, Request, Timer};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Closed {
//!     url: String,
//! }
//!
//! impl Timer for Closed {
//!     fn tick(&mut self, host: &mut impl Host, store: &mut impl Store) -> Option<Duration> {
//!         match host.fetch(&Request::get(&self.url)) {
//!             Ok(answer) if answer.status == 200 => store.put(b"why", &answer.body, 0),
//!             Ok(_) => store.remove(b"why"),
//!             Err(refused) => host.give_up(&refused.to_string()),
//!         }
//!         Some(Duration::from_secs(60))
//!     }
//! }
//!
//! impl Filter for Closed {
//!     const POINTS: &'static [Point] = &[Point::Request];
//!
//!     fn new(config: &str) -> Result<Self, String> {
//!         littoral_plugin::config(config)
//!     }
//!
//!     fn on_request(&mut self, _x: &mut impl Exchange, store: &mut impl Store) -> Option<Reply> {
//!         store.get(b"why").map(|why| Reply::text(503, &String::from_utf8_lossy(&why)))
//!     }
//! }
//!
//! littoral_plugin::export_filter!(Closed, "../../wit", timer);
//! # use littoral_plugin::filter::sketch::Shelf;
//! # let mut host = littoral_plugin::timer::sketch::Sketch::default();
//! # host.web = host.web.answering("http://status.example/", 200, &[], "maintenance");
//! # let (mut closed, mut store) = (Closed::new(r#"{"url": "http://status.example/"}"#).unwrap(), Shelf::default());
//! # closed.tick(&mut host, &mut store);
//! # let mut x = littoral_plugin::filter::sketch::Sketch::get("/", &[]);
//! # assert_eq!(closed.on_request(&mut x, &mut store), Some(Reply::text(503, "maintenance")));
//! ```
//!
//! A filter, a service of connections or one of datagrams ticks if it is exported so. Each tick has an instance of its own: what it finds is for the store,
//! where requests look for it. The contract in `plugins/wit/timer.wit` says when a tick comes, what it may do, and what a fault costs. In native tests,
//! [`sketch::Sketch`] is the host, and [`Shelf`](crate::filter::sketch::Shelf) the store.

use std::time::Duration;

pub use crate::dial::{Outbound, Security};
pub use crate::durable::Durable;
pub use crate::fetch::{Refused, Request, Response};
pub use crate::filter::Store;

/// What is outside of a tick.
pub trait Host {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can guess.
    fn random(&self) -> u64;
    /// Asks somebody by HTTP and waits for the whole response. One that calls this is refused by a node whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn fetch(&mut self, request: &Request) -> Result<Response, Refused>;
    /// Ends this tick as one that cannot do what it is for, because somebody else has not answered: the next comes as after a fault, and it is held against
    /// nobody. In native tests it panics.
    fn give_up(&mut self, why: &str) -> !;
}

/// What is outside of a tick of what also keeps something on disk, or dials.
pub trait ServiceHost: Host {
    /// What the plugin keeps on disk. One that calls this is refused by a node whose operator has not granted it.
    fn durable(&mut self) -> impl Durable;
    /// Connects to a host, a name or an address, at a port, until this tick has ended. One that calls this is refused by a node whose operator has not
    /// granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn dial(
        &mut self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<impl Outbound + use<Self>, crate::dial::Refused>;
}

/// A plugin that ticks.
pub trait Timer {
    /// A tick. How long to wait for the next one, 100 ms to a day; `None`: this generation ticks no more.
    fn tick(&mut self, host: &mut impl Host, store: &mut impl Store) -> Option<Duration>;
}

/// A plugin that ticks. Every [`Timer`] is one; what implements this instead has its disk and dials.
pub trait ServiceTimer {
    /// A tick, as [`Timer::tick`].
    fn tick(&mut self, host: &mut impl ServiceHost, store: &mut impl Store) -> Option<Duration>;
}

impl<T: Timer> ServiceTimer for T {
    fn tick(&mut self, host: &mut impl ServiceHost, store: &mut impl Store) -> Option<Duration> {
        Timer::tick(self, host, store)
    }
}

/// What a tick says, as the contract has it: no time at all is not the same as never.
#[doc(hidden)]
pub fn told(after: Option<Duration>) -> u64 {
    after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1))
}

pub mod sketch {
    //! A host for native tests of ticks.

    use super::{Durable, Host, Outbound, Refused, Request, Response, Security, ServiceHost};
    use crate::dial::sketch::Far;
    use crate::durable::sketch::Vault;
    use crate::fetch::sketch::{Web, gave_up};

    /// What a tick is told.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "each is what the method of `Host` with its name says")]
    pub struct Sketch {
        pub now_ms: u64,
        pub random: u64,
        /// Whom it may ask by HTTP.
        pub web: Web,
        /// What a service keeps on disk.
        pub durable: Vault,
        /// Whom a service may dial.
        pub dials: Vec<Far>,
    }

    impl Host for Sketch {
        fn now_ms(&self) -> u64 {
            self.now_ms
        }
        fn random(&self) -> u64 {
            self.random
        }
        fn fetch(&mut self, request: &Request) -> Result<Response, Refused> {
            self.web.fetch(request)
        }
        fn give_up(&mut self, why: &str) -> ! {
            gave_up(why)
        }
    }

    impl ServiceHost for Sketch {
        fn durable(&mut self) -> impl Durable {
            &mut self.durable
        }
        fn dial(
            &mut self,
            host: &str,
            port: u16,
            security: Security,
        ) -> Result<impl Outbound + use<>, crate::dial::Refused> {
            Far::dialled(&self.dials, host, port, security)
        }
    }
}

/// Exports the timer of what lies in a place, inside what the export macros make. The third argument is a store; with `service` as the fourth, a tick
/// has what [`ServiceHost`] has.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_timer {
    ($exported:ty, $place:ident, $store:expr) => {
        $crate::bind_timer!(@ $exported, $place, $store, Timer);
    };
    ($exported:ty, $place:ident, $store:expr, service) => {
        $crate::bind_timer!(@ $exported, $place, $store, ServiceTimer);

        impl $crate::timer::ServiceHost for Outside {
            fn durable(&mut self) -> impl $crate::durable::Durable {
                Kept
            }
            fn dial(
                &mut self,
                host: &str,
                port: u16,
                security: $crate::dial::Security,
            ) -> Result<impl $crate::dial::Outbound + use<>, $crate::dial::Refused> {
                dialled(host, port, security)
            }
        }
    };
    (@ $exported:ty, $place:ident, $store:expr, $timer:ident) => {
        struct Outside;

        impl $crate::timer::Host for Outside {
            fn now_ms(&self) -> u64 {
                ambient::now_ms()
            }
            fn random(&self) -> u64 {
                ambient::random()
            }
            fn fetch(
                &mut self,
                request: &$crate::fetch::Request,
            ) -> Result<$crate::fetch::Response, $crate::fetch::Refused> {
                fetched(request)
            }
            fn give_up(&mut self, why: &str) -> ! {
                gave_up(why)
            }
        }

        impl exports::littoral::plugin::timer::Guest for $exported {
            fn tick() -> u64 {
                let after = $place.with_borrow_mut(|guest| {
                    let guest = guest.as_mut().expect("init is called first");
                    $crate::timer::$timer::tick(guest, &mut Outside, &mut $store)
                });
                $crate::timer::told(after)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_never_is_told_as_never() {
        assert_eq!([told(None), told(Some(Duration::ZERO)), told(Some(Duration::from_secs(60)))], [0, 1, 60_000]);
        assert_eq!(told(Some(Duration::MAX)), u64::MAX);
    }
}
