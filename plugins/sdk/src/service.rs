//! What the author of a service depends on: [`Service`], the [`Connection`] it serves, and [`export_service!`](crate::export_service).
//!
//! ```
//! use littoral_plugin::service::{Connection, Service, Store, Trouble};
//!
//! pub struct Echo;
//!
//! impl Service for Echo {
//!     fn new(config: &str) -> Result<Self, String> {
//!         littoral_plugin::no_config(config).map(|()| Self)
//!     }
//!
//!     fn serve(&mut self, peer: &mut impl Connection, _store: &mut impl Store) -> Result<(), Trouble> {
//!         while let Some(line) = peer.read_line(1024)? {
//!             peer.write(&line)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! littoral_plugin::export_service!(Echo, "../../wit");
//! # use littoral_plugin::service::sketch::{Shelf, Sketch};
//! # let mut peer = Sketch::saying("hello\n");
//! # Echo::new("{}").unwrap().serve(&mut peer, &mut Shelf::default()).unwrap();
//! # assert_eq!(peer.heard(), "hello\n");
//! ```
//!
//! Each connection has an instance of its own, so a service is written as if there were one. In native tests, [`sketch::Sketch`] is the
//! connection. The contract in `plugins/wit/service.wit` says what is allowed, and what a fault costs.

pub mod sketch;

use crate::fetch;

pub use crate::dial::{Outbound, Refused, Security};
pub use crate::durable::{Durable, Refusal, Usage};
pub use crate::filter::Store;

/// Bytes that the host takes in one call.
pub const MOVED_BYTES_MAX: usize = 64 << 10;

/// Why an operation did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is gone.
    Closed,
    /// The peer was silent, or did not take what was written, for too long.
    Timeout,
    /// A line has more bytes than were asked for. They are still there to be read.
    TooLong,
    /// The handshake failed, or there is no TLS to start.
    Tls,
    /// The connection is closed in two seconds: the last chance to say goodbye.
    Ending,
}

impl Trouble {
    /// Whether it is no more than what becomes of connections.
    pub fn is_usual(self) -> bool {
        matches!(self, Self::Closed | Self::Timeout | Self::Ending)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection is gone",
            Self::Timeout => "the peer was silent for too long",
            Self::TooLong => "a line is too long",
            Self::Tls => "there is no TLS",
            Self::Ending => "the connection is to end",
        })
    }
}

impl std::error::Error for Trouble {}

/// The connection that is served, and what is outside of it.
pub trait Connection {
    /// Whose it is: address and port.
    fn peer(&self) -> (String, u16);
    /// Whether what is read now came over TLS.
    fn secure(&self) -> bool;
    /// Whether [`Connection::start_tls`] can be called.
    fn may_start_tls(&self) -> bool;
    /// Waits for 1 to `max` bytes (at most 64 KiB); none at the end. While TLS may still be started, none beyond the end of a line.
    ///
    /// # Errors
    /// As the contract says.
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Trouble>;
    /// Waits for a line of at most `max` bytes (at most 16 KiB), its line feed included; the last one may have none. `None` at the end.
    ///
    /// # Errors
    /// As the contract says.
    fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, Trouble>;
    /// Writes all of it, in pieces that the host takes.
    ///
    /// # Errors
    /// As the contract says.
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble>;
    /// Finishes the side that is written to.
    ///
    /// # Errors
    /// As the contract says.
    fn finish(&mut self) -> Result<(), Trouble>;
    /// Shakes hands. Nothing that was sent in plain is read after it.
    ///
    /// # Errors
    /// As the contract says.
    fn start_tls(&mut self) -> Result<(), Trouble>;
    /// From now on the peer may be silent for so long, ms, and no longer than the operator allows. 0: as the operator says.
    fn idle_limit(&mut self, ms: u32);
    /// Waits.
    ///
    /// # Errors
    /// As the contract says.
    fn sleep(&mut self, ms: u32) -> Result<(), Trouble>;
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can guess.
    fn random(&self) -> u64;
    /// What the service keeps on disk. One that calls this is refused by a node whose operator has not granted it.
    fn durable(&mut self) -> impl Durable;
    /// Connects to a host, a name or an address, at a port. One that calls this is refused by a node whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn dial(&mut self, host: &str, port: u16, security: Security) -> Result<impl Outbound + use<Self>, Refused>;
    /// Asks somebody by HTTP and waits for the whole response. One that calls this is refused by a node whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn fetch(&mut self, request: &fetch::Request) -> Result<fetch::Response, fetch::Refused>;
    /// Ends this call as one that cannot be answered, because somebody else has not: the connection is closed. In native tests it panics.
    fn give_up(&mut self, why: &str) -> !;
}

/// A service, which each connection has one of.
pub trait Service: Sized {
    /// Takes the operator's config, a JSON object.
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;

    /// Serves a connection, which is closed when this returns.
    ///
    /// # Errors
    /// What it does not deal with itself; what is not [usual](Trouble::is_usual) is noted.
    fn serve(&mut self, peer: &mut impl Connection, store: &mut impl Store) -> Result<(), Trouble>;
}

/// Exports a [`Service`] and binds what it sees to its host. The second argument is the directory of the contract, seen from the crate.
/// Natively it is nothing.
/// With `timer` as the third it ticks ([`Timer`](crate::timer::Timer), or [`ServiceTimer`](crate::timer::ServiceTimer)).
#[macro_export]
macro_rules! export_service {
    ($service:ty, $wit:literal) => {
        $crate::export_service!(@ $service, $wit, "stream-service", {});
    };
    ($service:ty, $wit:literal, timer) => {
        $crate::export_service!(@ $service, $wit, "timed-stream-service", { $crate::bind_timer!(Exported, SERVICE, Shared, service); });
    };
    (@ $service:ty, $wit:literal, $world:literal, { $($timer:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: $world, runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            use std::cell::RefCell;

            use exports::littoral::plugin::service::Guest;
            use littoral::plugin::{ambient, connection};
            use $crate::service::{MOVED_BYTES_MAX, Refused, Security, Service, Trouble};

            use author::__Author;

            $crate::bind_author!($service);

            struct Exported;
            struct Live;
            struct Shared;
            struct Kept;

            thread_local!(static SERVICE: RefCell<Option<__Author>> = const { RefCell::new(None) });

            impl $crate::service::Connection for Live {
                fn peer(&self) -> (String, u16) {
                    let peer = connection::peer();
                    (peer.address, peer.port)
                }
                fn secure(&self) -> bool {
                    connection::secure()
                }
                fn may_start_tls(&self) -> bool {
                    connection::may_start_tls()
                }
                fn read(&mut self, max: usize) -> Result<Vec<u8>, Trouble> {
                    connection::read(bounded(max)).map_err(trouble)
                }
                fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, Trouble> {
                    let line = connection::read_line(bounded(max)).map_err(trouble)?;
                    Ok((!line.is_empty()).then_some(line))
                }
                fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
                    data.chunks(MOVED_BYTES_MAX).try_for_each(|piece| connection::write(piece).map_err(trouble))
                }
                fn finish(&mut self) -> Result<(), Trouble> {
                    connection::finish().map_err(trouble)
                }
                fn start_tls(&mut self) -> Result<(), Trouble> {
                    connection::start_tls().map_err(trouble)
                }
                fn idle_limit(&mut self, ms: u32) {
                    connection::idle_limit(ms);
                }
                fn sleep(&mut self, ms: u32) -> Result<(), Trouble> {
                    connection::sleep(ms).map_err(trouble)
                }
                fn now_ms(&self) -> u64 {
                    ambient::now_ms()
                }
                fn random(&self) -> u64 {
                    ambient::random()
                }
                fn durable(&mut self) -> impl $crate::service::Durable {
                    Kept
                }
                fn dial(
                    &mut self,
                    host: &str,
                    port: u16,
                    security: Security,
                ) -> Result<impl $crate::service::Outbound + use<>, Refused> {
                    dialled(host, port, security)
                }
                fn fetch(&mut self, request: &$crate::fetch::Request) -> Result<$crate::fetch::Response, $crate::fetch::Refused> {
                    fetched(request)
                }
                fn give_up(&mut self, why: &str) -> ! {
                    gave_up(why)
                }
            }

            $crate::bind_fetch!();

            $crate::bind_dial!();

            $crate::bind_durable!(Kept);

            $crate::bind_store!(Shared);

            impl Guest for Exported {
                fn init(config: String) -> Result<(), String> {
                    let service = <__Author as Service>::new(&config)?;
                    SERVICE.with_borrow_mut(|place| *place = Some(service));
                    Ok(())
                }
                fn serve() -> Result<(), String> {
                    let mut service = SERVICE.take().expect("init is called first");
                    match service.serve(&mut Live, &mut Shared) {
                        Err(trouble) if !trouble.is_usual() => Err(trouble.to_string()),
                        _ => Ok(()),
                    }
                }
            }

            $($timer)*

            export!(Exported);
        }
    };
}
