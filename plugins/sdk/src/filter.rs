//! What the author of a filter depends on: [`Filter`], what it sees ([`Exchange`], [`Store`]), and [`export_filter!`](crate::export_filter).
//!
//! ```
//! use littoral_plugin::filter::{Exchange, Filter, Point};
//!
//! pub struct Hello;
//!
//! impl Filter for Hello {
//!     const POINTS: &'static [Point] = &[Point::Response];
//!
//!     fn new(_config: &str) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn on_response(&mut self, x: &mut impl Exchange) {
//!         x.set_field("x-hello", "world");
//!     }
//! }
//!
//! littoral_plugin::export_filter!(Hello, "../../wit");
//! # let mut x = littoral_plugin::filter::sketch::Sketch::get("/", &[]).answered(200, &[]);
//! # Hello::new("{}").unwrap().on_response(&mut x);
//! # assert_eq!(x.field("x-hello").as_deref(), Some("world"));
//! ```
//!
//! In native tests, [`sketch::Sketch`] is the exchange. The contract in `plugins/wit/filter.wit` says what is allowed, and what a fault costs.

pub mod sketch;

pub use crate::dial::{Outbound, Security};
pub use crate::durable::Durable;
pub use crate::fetch::{Refused, Request, Response};

/// Where a filter is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The request has been routed to a site.
    Request,
    /// The cache is about to be asked.
    Lookup,
    /// The head of an origin's response has come.
    Origin,
    /// The head of what goes to the client is ready.
    Response,
}

/// The request at hand, at `origin` and `response` its response, and what is outside of it.
pub trait Exchange {
    /// Its method.
    fn method(&self) -> String;
    /// Its host, lower case.
    fn host(&self) -> String;
    /// Its path and query.
    fn target(&self) -> String;
    /// The client's address; empty where there is none.
    fn client(&self) -> String;
    /// Whether it came over TLS.
    fn secure(&self) -> bool;
    /// The response's status; 0 before there is one.
    fn status(&self) -> u16;
    /// The first value of a field of the request, as text.
    fn request_field(&self, name: &str) -> Option<String>;
    /// The first value of a field of the message at hand, as text.
    fn field(&self, name: &str) -> Option<String>;
    /// All values of a field of the message at hand, as text.
    fn fields(&self, name: &str) -> Vec<String>;
    /// Gives a field of the message at hand this value alone.
    fn set_field(&mut self, name: &str, value: &str);
    /// Adds a value.
    fn add_field(&mut self, name: &str, value: &str);
    /// Removes all values.
    fn remove_field(&mut self, name: &str);
    /// Makes it a request for another path and query.
    fn set_target(&mut self, target: &str);
    /// Keeps at most 1 KiB for later points of this request.
    fn keep(&mut self, value: &[u8]);
    /// What was kept.
    fn kept(&self) -> Vec<u8>;
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can guess.
    fn random(&self) -> u64;
    /// The client's country, two capital letters; `None`: not known. Only a filter that asks needs `[geo] database`.
    fn country(&self) -> Option<String>;
    /// The client's autonomous system; 0: not known.
    fn asn(&self) -> u32;
    /// Asks somebody by HTTP and waits for the whole response, at `request` and `origin`. One that calls this is refused by a node whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn fetch(&mut self, request: &Request) -> Result<Response, Refused>;
    /// What the filter keeps on disk, at `request` and `origin`. One that calls this is refused by a node whose operator has not granted it.
    fn durable(&mut self) -> impl Durable;
    /// Connects to a host, a name or an address, at a port, until this call has ended, at `request` and `origin`. One that calls this is refused by a node
    /// whose operator has not granted anybody.
    ///
    /// # Errors
    /// As the contract says.
    fn dial(
        &mut self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<impl Outbound + use<Self>, crate::dial::Refused>;
    /// Ends this call as one that cannot be answered, because somebody else has not: the request goes on by `on_fault`. In native tests it panics.
    fn give_up(&mut self, why: &str) -> !;
}

/// What all instances of a filter share. Only a filter that names it needs a grant.
pub trait Store {
    /// A value.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    /// Sets a value; `ttl_ms` 0: without an end.
    fn put(&mut self, key: &[u8], value: &[u8], ttl_ms: u64);
    /// Removes an entry.
    fn remove(&mut self, key: &[u8]);
    /// Sets a value if it is now `expected`. Whether it was.
    fn swap(&mut self, key: &[u8], expected: Option<&[u8]>, value: &[u8], ttl_ms: u64) -> bool;
    /// Adds to a counter; the sum.
    fn add(&mut self, key: &[u8], delta: i64, ttl_ms: u64) -> i64;
}

/// A response of the filter's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Of a status, with a line of text, not to be kept by anybody.
    pub fn text(status: u16, line: &str) -> Self {
        let fields = [("content-type", "text/plain"), ("cache-control", "no-store")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { status, fields, body: format!("{line}\n").into_bytes() }
    }

    /// The same with one field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What becomes of a piece of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Takes the place of what is not held.
    pub out: Vec<u8>,
    /// So many bytes at the end of the piece come again before the next one; 0 with the last.
    pub hold: usize,
}

/// A filter. It is `&mut self` for the sake of what [`Filter::on_origin`] prepares for [`Filter::on_body`]; whatever else it remembers,
/// it may remember of any request or of none.
pub trait Filter: Sized {
    /// Where it is called, as far as its config does not say less ([`Filter::points`]).
    const POINTS: &'static [Point];
    /// Whether [`Filter::on_origin`] may ask for bodies.
    const BODIES: bool = false;
    /// Whether one instance serves one request after another.
    const REUSE: bool = true;

    /// Takes the operator's config, a JSON object.
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;

    /// Where it is called with this config. What it has nothing to do at costs nothing if it is left out; at least one stays.
    fn points(&self) -> Vec<Point> {
        Self::POINTS.to_vec()
    }

    /// May answer the request.
    fn on_request(&mut self, _x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        None
    }

    /// The target it is looked up under.
    fn on_lookup(&mut self, _x: &impl Exchange) -> Option<String> {
        None
    }

    /// Whether it rewrites this body.
    fn on_origin(&mut self, _x: &mut impl Exchange) -> bool {
        false
    }

    /// Changes what goes to the client.
    fn on_response(&mut self, _x: &mut impl Exchange) {}

    /// Rewrites a piece.
    fn on_body(&mut self, data: &[u8], _last: bool) -> Piece {
        Piece { out: data.to_vec(), hold: 0 }
    }
}

/// Binds the store to the host, inside what the export macros make.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_store {
    ($shared:ty) => {
        impl $crate::filter::Store for $shared {
            fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
                littoral::plugin::store::get(key)
            }
            fn put(&mut self, key: &[u8], value: &[u8], ttl_ms: u64) {
                littoral::plugin::store::put(key, value, ttl_ms);
            }
            fn remove(&mut self, key: &[u8]) {
                littoral::plugin::store::remove(key);
            }
            fn swap(&mut self, key: &[u8], expected: Option<&[u8]>, value: &[u8], ttl_ms: u64) -> bool {
                littoral::plugin::store::swap(key, expected, value, ttl_ms)
            }
            fn add(&mut self, key: &[u8], delta: i64, ttl_ms: u64) -> i64 {
                littoral::plugin::store::add(key, delta, ttl_ms)
            }
        }
    };
}

/// Exports a [`Filter`], and binds what it sees to its host. The second argument is the directory of the contract, seen from the crate.
/// Natively it is nothing.
/// With `timer` as the third it ticks ([`Timer`](crate::timer::Timer), or [`ServiceTimer`](crate::timer::ServiceTimer)).
#[macro_export]
macro_rules! export_filter {
    ($filter:ty, $wit:literal) => {
        $crate::export_filter!(@ $filter, $wit, "http-filter", {});
    };
    ($filter:ty, $wit:literal, timer) => {
        $crate::export_filter!(@ $filter, $wit, "timed-http-filter", { $crate::bind_timer!(Exported, FILTER, Shared, service); });
    };
    (@ $filter:ty, $wit:literal, $world:literal, { $($timer:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: $world, runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            use std::cell::RefCell;

            use exports::littoral::plugin::filter::{Guest, Manifest, Piece, Points, Reply};
            use littoral::plugin::{ambient, exchange, place};
            use $crate::filter::Filter;

            use author::__Author;

            $crate::bind_author!($filter);

            struct Exported;
            struct Live;
            struct Shared;
            struct Kept;

            $crate::bind_fetch!();

            $crate::bind_dial!();

            $crate::bind_durable!(Kept);

            thread_local!(static FILTER: RefCell<Option<__Author>> = const { RefCell::new(None) });

            fn text(value: Vec<u8>) -> String {
                String::from_utf8_lossy(&value).into_owned()
            }

            impl $crate::filter::Exchange for Live {
                fn method(&self) -> String {
                    exchange::method()
                }
                fn host(&self) -> String {
                    exchange::host()
                }
                fn target(&self) -> String {
                    exchange::target()
                }
                fn client(&self) -> String {
                    exchange::client()
                }
                fn secure(&self) -> bool {
                    exchange::secure()
                }
                fn status(&self) -> u16 {
                    exchange::status()
                }
                fn request_field(&self, name: &str) -> Option<String> {
                    exchange::request_field(name).map(text)
                }
                fn field(&self, name: &str) -> Option<String> {
                    exchange::field(name).map(text)
                }
                fn fields(&self, name: &str) -> Vec<String> {
                    exchange::fields(name).into_iter().map(text).collect()
                }
                fn set_field(&mut self, name: &str, value: &str) {
                    exchange::set_field(name, value.as_bytes());
                }
                fn add_field(&mut self, name: &str, value: &str) {
                    exchange::add_field(name, value.as_bytes());
                }
                fn remove_field(&mut self, name: &str) {
                    exchange::remove_field(name);
                }
                fn set_target(&mut self, target: &str) {
                    exchange::set_target(target);
                }
                fn keep(&mut self, value: &[u8]) {
                    exchange::keep(value);
                }
                fn kept(&self) -> Vec<u8> {
                    exchange::kept()
                }
                fn now_ms(&self) -> u64 {
                    ambient::now_ms()
                }
                fn random(&self) -> u64 {
                    ambient::random()
                }
                fn country(&self) -> Option<String> {
                    place::country()
                }
                fn asn(&self) -> u32 {
                    place::asn()
                }
                fn fetch(&mut self, request: &$crate::fetch::Request) -> Result<$crate::fetch::Response, $crate::fetch::Refused> {
                    fetched(request)
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
                fn give_up(&mut self, why: &str) -> ! {
                    gave_up(why)
                }
            }

            $crate::bind_store!(Shared);

            fn with<R>(call: impl FnOnce(&mut __Author) -> R) -> R {
                FILTER.with_borrow_mut(|filter| call(filter.as_mut().expect("init is called first")))
            }

            impl Guest for Exported {
                fn init(config: String) -> Result<Manifest, String> {
                    let filter = <__Author as Filter>::new(&config)?;
                    let points = $crate::filter::Filter::points(&filter);
                    FILTER.with_borrow_mut(|place| *place = Some(filter));
                    let flag = |point: &$crate::filter::Point| match point {
                        $crate::filter::Point::Request => Points::REQUEST,
                        $crate::filter::Point::Lookup => Points::LOOKUP,
                        $crate::filter::Point::Origin => Points::ORIGIN,
                        $crate::filter::Point::Response => Points::RESPONSE,
                    };
                    let points = points.iter().map(flag).fold(Points::empty(), |all, point| all | point);
                    Ok(Manifest { points, bodies: <__Author as Filter>::BODIES, reuse: <__Author as Filter>::REUSE })
                }
                fn on_request() -> Option<Reply> {
                    let reply = with(|filter| filter.on_request(&mut Live, &mut Shared))?;
                    let fields = reply.fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
                    Some(Reply { status: reply.status, fields, body: reply.body })
                }
                fn on_lookup() -> Option<String> {
                    with(|filter| filter.on_lookup(&Live))
                }
                fn on_origin() -> bool {
                    with(|filter| filter.on_origin(&mut Live))
                }
                fn on_response() {
                    with(|filter| filter.on_response(&mut Live));
                }
                fn on_body(data: Vec<u8>, last: bool) -> Piece {
                    let piece = with(|filter| filter.on_body(&data, last));
                    Piece { out: piece.out, hold: piece.hold as u32 }
                }
            }

            $($timer)*

            export!(Exported);
        }
    };
}
