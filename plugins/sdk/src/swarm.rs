//! What the author of a swarm depends on: [`Swarm`], what it asks of the node ([`Host`]), and [`export_swarm!`](crate::export_swarm).
//!
//! One instance has all connections and datagrams of its listener, and is told of one event after another: it never waits, and what its
//! peers share lies in itself. In native tests, [`sketch::Sketch`] is the node. The contract in `plugins/wit/swarm.wit` says what is allowed, and
//! what a fault costs.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub mod sketch;

pub use crate::durable::{Durable, Refusal, Usage};
use crate::fetch;
pub use crate::fetch::{Request, Response};
pub use crate::filter::Store;

/// Why something is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The operator's lists do not name it.
    NotGranted,
    /// As many as there may be are there, or under way.
    TooMany,
    /// The content is not stored any more, or there is not so much of it.
    Gone,
}

/// Why bytes of a content are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The connection's queue is full: `writable` follows.
    Full,
    /// The connection is over.
    Closed,
    /// The content is not stored any more, or never was.
    Gone,
    /// There is not so much of it.
    TooFar,
}

/// What sums are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

/// What is outside of a swarm. Nothing waits but [`Host::durable`]; what takes its time is answered by an event.
pub trait Host: Store {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can guess.
    fn random(&self) -> u64;
    /// Queues bytes; how many of them there was room for, from the first. When not for all, [`Swarm::writable`] follows.
    fn send(&mut self, connection: u32, data: &[u8]) -> usize;
    /// Queues bytes of a content, which go from the cache to the peer unseen.
    ///
    /// # Errors
    /// Why it does not.
    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent>;
    /// Closes a connection when what is queued was sent.
    fn close(&mut self, connection: u32);
    /// Connects; the number of the connection. [`Swarm::opened`] or [`Swarm::closed`] follows.
    ///
    /// # Errors
    /// Why it does not.
    fn dial(&mut self, host: &str, port: u16) -> Result<u32, Refused>;
    /// Sends a datagram; whether it went out. Answers are bounded by what came, and what is asked by a rate.
    fn send_to(&mut self, to: SocketAddr, data: &[u8]) -> bool;
    /// Has [`Swarm::timer`] come once, so many milliseconds from now; whether there is room for one more.
    fn set_timer(&mut self, id: u32, ms: u32) -> bool;
    /// Forgets a timer.
    fn cancel_timer(&mut self, id: u32);
    /// Looks up a URL in the cache; the number of the content. [`Swarm::found`] follows.
    ///
    /// # Errors
    /// Why it does not.
    fn find(&mut self, url: &str) -> Result<u32, Refused>;
    /// Forgets a content.
    fn release(&mut self, content: u32);
    /// Sums up bytes of a content; the number of the sum. [`Swarm::digested`] follows.
    ///
    /// # Errors
    /// Why it does not.
    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refused>;
    /// Asks somebody by HTTP; the number of the request. [`Swarm::answered`] follows. One that calls this is refused by a node whose operator has not
    /// granted anybody. Not in [`Swarm::start`].
    ///
    /// # Errors
    /// What is refused at once.
    fn ask(&mut self, request: &Request) -> Result<u32, fetch::Refused>;
    /// What the swarm keeps on disk. One that calls this is refused by a node whose operator has not granted it. Not in [`Swarm::start`].
    fn durable(&mut self) -> impl Durable;
}

/// A swarm. What it is not told of, it needs no function for.
#[allow(unused_variables, reason = "who does not care does nothing")]
pub trait Swarm: Sized {
    /// Takes the operator's config, a JSON object, and what the one before it gave in [`Swarm::stop`]. Of the host only timers may be used.
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn start(config: &str, handoff: Option<&[u8]>, host: &mut impl Host) -> Result<Self, String>;
    /// There is a connection: a peer has come, or one was dialled.
    fn opened(&mut self, connection: u32, peer: SocketAddr, inbound: bool, host: &mut impl Host) {}
    /// Bytes came.
    fn data(&mut self, connection: u32, bytes: &[u8], host: &mut impl Host) {}
    /// The peer has finished its side.
    fn ended(&mut self, connection: u32, host: &mut impl Host) {
        host.close(connection);
    }
    /// There is room again in a queue that was full.
    fn writable(&mut self, connection: u32, host: &mut impl Host) {}
    /// A connection is over. Told once, last.
    fn closed(&mut self, connection: u32, host: &mut impl Host) {}
    /// A datagram came.
    fn datagram(&mut self, source: SocketAddr, bytes: &[u8], host: &mut impl Host) {}
    /// A timer has come.
    fn timer(&mut self, id: u32, host: &mut impl Host) {}
    /// What the cache has of what was looked up: its length, if it has it.
    fn found(&mut self, content: u32, length: Option<u64>, host: &mut impl Host) {}
    /// A sum, if what it is of was there.
    fn digested(&mut self, number: u32, sum: Option<&[u8]>, host: &mut impl Host) {}
    /// What came of a request.
    fn answered(&mut self, number: u32, outcome: Result<Response, fetch::Refused>, host: &mut impl Host) {}
    /// The last call. What is handed to the next generation.
    fn stop(&mut self, host: &mut impl Host) -> Vec<u8> {
        Vec::new()
    }
}

/// An address as the contract has it: 128 bits in two halves, and the port.
pub fn bits(address: SocketAddr) -> (u64, u64, u16) {
    let bits = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    ((bits >> 64) as u64, bits as u64, address.port())
}

/// The address of what the contract has.
pub fn address((high, low, port): (u64, u64, u16)) -> SocketAddr {
    let bits = (u128::from(high) << 64) | u128::from(low);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical(), port)
}

/// Exports a [`Swarm`] and binds what it asks for to its host. The second argument is the directory of the contract, seen from the crate.
/// Natively it is nothing.
#[macro_export]
macro_rules! export_swarm {
    ($swarm:ty, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: "asking-swarm-service", runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            use std::cell::RefCell;
            use std::net::SocketAddr;

            use exports::littoral::plugin::swarm::{Endpoint, Guest};
            use littoral::plugin::{ambient, swarm_host};
            use $crate::swarm::{self, Algorithm, Refused, Swarm, Unsent};

            use author::__Author;

            $crate::bind_author!($swarm);

            struct Exported;
            struct Live;
            struct Kept;

            thread_local!(static SWARM: RefCell<Option<__Author>> = const { RefCell::new(None) });

            fn with(told: impl FnOnce(&mut __Author)) {
                SWARM.with_borrow_mut(|swarm| told(swarm.as_mut().expect("start is called first")));
            }

            fn address(of: Endpoint) -> SocketAddr {
                swarm::address((of.high, of.low, of.port))
            }

            fn refused(told: swarm_host::Refusal) -> Refused {
                match told {
                    swarm_host::Refusal::NotGranted => Refused::NotGranted,
                    swarm_host::Refusal::TooMany => Refused::TooMany,
                    swarm_host::Refusal::Gone => Refused::Gone,
                }
            }

            impl swarm::Host for Live {
                fn now_ms(&self) -> u64 {
                    ambient::now_ms()
                }
                fn random(&self) -> u64 {
                    ambient::random()
                }
                fn send(&mut self, connection: u32, data: &[u8]) -> usize {
                    swarm_host::send(connection, data) as usize
                }
                fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent> {
                    swarm_host::splice(connection, content, at, length).map_err(|told| match told {
                        swarm_host::Unsent::Full => Unsent::Full,
                        swarm_host::Unsent::Closed => Unsent::Closed,
                        swarm_host::Unsent::Gone => Unsent::Gone,
                        swarm_host::Unsent::TooFar => Unsent::TooFar,
                    })
                }
                fn close(&mut self, connection: u32) {
                    swarm_host::close(connection);
                }
                fn dial(&mut self, host: &str, port: u16) -> Result<u32, Refused> {
                    swarm_host::dial(host, port).map_err(refused)
                }
                fn send_to(&mut self, to: SocketAddr, data: &[u8]) -> bool {
                    let (high, low, port) = swarm::bits(to);
                    swarm_host::send_to(Endpoint { high, low, port }, data)
                }
                fn set_timer(&mut self, id: u32, ms: u32) -> bool {
                    swarm_host::set_timer(id, ms)
                }
                fn cancel_timer(&mut self, id: u32) {
                    swarm_host::cancel_timer(id);
                }
                fn find(&mut self, url: &str) -> Result<u32, Refused> {
                    swarm_host::find(url).map_err(refused)
                }
                fn release(&mut self, content: u32) {
                    swarm_host::release(content);
                }
                fn digest(
                    &mut self,
                    content: u32,
                    at: u64,
                    length: u32,
                    algorithm: Algorithm,
                ) -> Result<u32, Refused> {
                    let algorithm = match algorithm {
                        Algorithm::Sha1 => swarm_host::Algorithm::Sha1,
                        Algorithm::Sha256 => swarm_host::Algorithm::Sha256,
                    };
                    swarm_host::digest(content, at, length, algorithm).map_err(refused)
                }
                fn ask(&mut self, request: &$crate::fetch::Request) -> Result<u32, $crate::fetch::Refused> {
                    let $crate::fetch::Request { method, url, fields, body, timeout_ms } = request.clone();
                    let asked = littoral::plugin::fetch::Request { method, url, fields, body, timeout_ms };
                    littoral::plugin::swarm_fetch::ask(&asked).map_err(fetch_refused)
                }
                fn durable(&mut self) -> impl swarm::Durable {
                    Kept
                }
            }

            $crate::bind_store!(Live);

            $crate::bind_durable!(Kept);

            $crate::bind_fetch_refused!();

            impl exports::littoral::plugin::swarm_answers::Guest for Exported {
                fn answered(
                    number: u32,
                    outcome: Result<littoral::plugin::fetch::Response, littoral::plugin::fetch::Refusal>,
                ) {
                    let told = |told: littoral::plugin::fetch::Response| $crate::fetch::Response {
                        status: told.status,
                        fields: told.fields,
                        body: told.body,
                    };
                    with(|swarm| swarm.answered(number, outcome.map(told).map_err(fetch_refused), &mut Live));
                }
            }

            impl Guest for Exported {
                fn start(config: String, handoff: Option<Vec<u8>>) -> Result<(), String> {
                    let swarm = <__Author as Swarm>::start(&config, handoff.as_deref(), &mut Live)?;
                    SWARM.with_borrow_mut(|place| *place = Some(swarm));
                    Ok(())
                }
                fn opened(connection: u32, peer: Endpoint, inbound: bool) {
                    with(|swarm| swarm.opened(connection, address(peer), inbound, &mut Live));
                }
                fn data(connection: u32, bytes: Vec<u8>) {
                    with(|swarm| swarm.data(connection, &bytes, &mut Live));
                }
                fn ended(connection: u32) {
                    with(|swarm| swarm.ended(connection, &mut Live));
                }
                fn writable(connection: u32) {
                    with(|swarm| swarm.writable(connection, &mut Live));
                }
                fn closed(connection: u32) {
                    with(|swarm| swarm.closed(connection, &mut Live));
                }
                fn datagram(source: Endpoint, bytes: Vec<u8>) {
                    with(|swarm| swarm.datagram(address(source), &bytes, &mut Live));
                }
                fn timer(id: u32) {
                    with(|swarm| swarm.timer(id, &mut Live));
                }
                fn found(content: u32, length: Option<u64>) {
                    with(|swarm| swarm.found(content, length, &mut Live));
                }
                fn digested(number: u32, sum: Option<Vec<u8>>) {
                    with(|swarm| swarm.digested(number, sum.as_deref(), &mut Live));
                }
                fn stop() -> Vec<u8> {
                    let mut given = Vec::new();
                    with(|swarm| given = swarm.stop(&mut Live));
                    given
                }
            }

            export!(Exported);
        }
    };
}
