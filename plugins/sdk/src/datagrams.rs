//! What the author of a service of datagrams depends on: [`Datagrams`], what is outside of a datagram ([`Host`]), and
//! [`export_datagrams!`](crate::export_datagrams).
//!
//! An instance is handed one datagram after another; what several are to share goes through the store. In native tests,
//! [`sketch::Sketch`] is the host. The contract in `plugins/wit/datagram.wit` says what is allowed, and what a fault costs.

pub use crate::dial::{Outbound, Security};
pub use crate::durable::Durable;
pub use crate::fetch::{Refused, Request, Response};
pub use crate::filter::Store;

/// What is outside of a datagram: the store, and besides it clock and entropy.
pub trait Host: Store {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can guess.
    fn random(&self) -> u64;
    /// What the service keeps on disk. One that calls this is refused by a node whose operator has not granted it.
    fn durable(&mut self) -> impl Durable;
    /// Connects to a host, a name or an address, at a port, until this datagram has been handled. One that calls this is refused by a node whose operator has not
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
    /// Asks somebody by HTTP and waits for the whole response. One that calls this is refused by a node whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn fetch(&mut self, request: &Request) -> Result<Response, Refused>;
    /// Ends this call as one that cannot be answered, because somebody else has not: the datagram stays unanswered. In native tests it panics.
    fn give_up(&mut self, why: &str) -> !;
}

/// A service of datagrams.
pub trait Datagrams: Sized {
    /// Takes the operator's config, a JSON object.
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;

    /// Handles a datagram of `sender` (address and port), and answers it: each answer is a datagram to the same.
    fn handle(&mut self, sender: (String, u16), data: &[u8], host: &mut impl Host) -> Vec<Vec<u8>>;
}

pub mod sketch {
    //! A host for native tests of services of datagrams.

    use super::{Durable, Host, Outbound, Refused, Request, Response, Security, Store};
    use crate::dial::sketch::Far;
    use crate::durable::sketch::Vault;
    use crate::fetch::sketch::{Web, gave_up};
    use crate::filter::sketch::Shelf;

    /// What a service is told, and its store.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "each is what the method of `Host` with its name says")]
    pub struct Sketch {
        pub shelf: Shelf,
        pub now_ms: u64,
        pub random: u64,
        /// Whom it may ask by HTTP.
        pub web: Web,
        /// What the service keeps on disk.
        pub durable: Vault,
        /// Whom the service may dial.
        pub dials: Vec<Far>,
    }

    impl Host for Sketch {
        fn now_ms(&self) -> u64 {
            self.now_ms
        }
        fn random(&self) -> u64 {
            self.random
        }
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
        fn fetch(&mut self, request: &Request) -> Result<Response, Refused> {
            self.web.fetch(request)
        }
        fn give_up(&mut self, why: &str) -> ! {
            gave_up(why)
        }
    }

    crate::filter::sketch::has_shelf!(Sketch);
}

/// Exports [`Datagrams`] and binds what they see to their host. The second argument is the directory of the contract, seen from the crate.
/// Natively it is nothing.
/// With `timer` as the third it ticks ([`Timer`](crate::timer::Timer), or [`ServiceTimer`](crate::timer::ServiceTimer)).
#[macro_export]
macro_rules! export_datagrams {
    ($service:ty, $wit:literal) => {
        $crate::export_datagrams!(@ $service, $wit, "datagram-service", {});
    };
    ($service:ty, $wit:literal, timer) => {
        $crate::export_datagrams!(@ $service, $wit, "timed-datagram-service", { $crate::bind_timer!(Exported, SERVICE, Live, service); });
    };
    (@ $service:ty, $wit:literal, $world:literal, { $($timer:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: $world, runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            use std::cell::RefCell;

            use exports::littoral::plugin::datagrams::{Guest, Sender};
            use littoral::plugin::ambient;
            use $crate::datagrams::Datagrams;

            use author::__Author;

            $crate::bind_author!($service);

            struct Exported;
            struct Live;
            struct Kept;

            $crate::bind_fetch!();

            $crate::bind_dial!();

            $crate::bind_durable!(Kept);

            thread_local!(static SERVICE: RefCell<Option<__Author>> = const { RefCell::new(None) });

            impl $crate::datagrams::Host for Live {
                fn now_ms(&self) -> u64 {
                    ambient::now_ms()
                }
                fn random(&self) -> u64 {
                    ambient::random()
                }
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
                fn fetch(&mut self, request: &$crate::fetch::Request) -> Result<$crate::fetch::Response, $crate::fetch::Refused> {
                    fetched(request)
                }
                fn give_up(&mut self, why: &str) -> ! {
                    gave_up(why)
                }
            }

            $crate::bind_store!(Live);

            impl Guest for Exported {
                fn init(config: String) -> Result<(), String> {
                    let service = <__Author as Datagrams>::new(&config)?;
                    SERVICE.with_borrow_mut(|place| *place = Some(service));
                    Ok(())
                }
                fn handle(sender: Sender, data: Vec<u8>) -> Vec<Vec<u8>> {
                    SERVICE.with_borrow_mut(|service| {
                        let service = service.as_mut().expect("init is called first");
                        service.handle((sender.address, sender.port), &data, &mut Live)
                    })
                }
            }

            $($timer)*

            export!(Exported);
        }
    };
}
