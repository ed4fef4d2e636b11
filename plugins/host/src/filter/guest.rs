//! What a filter imports, on the host's side.
//!
//! Invariants: every function here but those of `fetch` ([`crate::fetch`]), `durable` and `dial` ([`super::outside`]) returns at once, takes no lock of the request path and calls no guest; what a guest says that
//! is not allowed ends its call with [`Nonsense`].

use parking_lot::Mutex;
use wasmtime::Result;

use super::bindings::littoral::plugin::{exchange, place};
use super::flat::Heap;
use super::limits::KEPT_BYTES_MAX;
use super::message::{Change, Changes, Exchange, name, own_name, target, value};
use super::outside::Outside;
use crate::ambient::{Ambient, nonsense};
use crate::bounds::Bounds;
use crate::durable::kept::Keeper;
use crate::fetch::{Asker, Asking};
use crate::service::Dialer;
use crate::service::time::Time;
use crate::turn::Turn;

/// Where in a request a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The request has been routed.
    Request,
    /// The cache is about to be asked.
    Lookup,
    /// An origin's head has come.
    Origin,
    /// A head is about to go to the client.
    Response,
    /// A piece of an origin's body has come.
    Body,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Request, Self::Lookup, Self::Origin, Self::Response, Self::Body];

    /// Its name in figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Lookup => "lookup",
            Self::Origin => "origin",
            Self::Response => "response",
            Self::Body => "body",
        }
    }
}

/// What a store's owner has besides its guest.
pub(super) struct Guest {
    pub(super) ambient: Ambient,
    pub(super) bounds: Bounds,
    /// What the call under way may still compute, and whether it lets others run at each tick.
    pub(super) time: Time,
    pub(super) may_yield: bool,
    /// Whether it is its turn to compute for long.
    pub(super) turn: Turn,
    pub(super) point: Point,
    pub(super) exchange: Option<Box<dyn Exchange>>,
    pub(super) kept: Vec<u8>,
    pub(super) changes: Changes,
    /// Whom it may ask by HTTP.
    pub(super) asking: Asking,
    /// What it keeps on disk, and whom it dials. Never locked: it is there so that what is not made for several threads may be handed from one to another.
    pub(super) outside: Mutex<Outside>,
    /// Whether it is in its `init`.
    pub(super) begins: bool,
    /// Whether it ticks, and has no exchange at hand.
    pub(super) ticks: bool,
    /// Its memory, where it goes by the core path.
    pub(super) heap: Option<Heap>,
    /// Ticks of the engine's clock that met it computing in the call under way.
    pub(super) interrupts: u32,
}

impl Guest {
    /// Why a call does not wait for anybody here, if it must not: `told` says so of `init`, and of other points than those two.
    fn forbidden(&self, told: [&'static str; 2]) -> Option<&'static str> {
        match self.point {
            _ if self.begins => Some(told[0]),
            _ if self.ticks => None,
            Point::Request | Point::Origin => None,
            Point::Lookup | Point::Response | Point::Body => Some(told[1]),
        }
    }

    /// Itself, as it asks by HTTP.
    pub(super) fn asker(&mut self) -> Asker<'_> {
        self.turn.release();
        let forbidden = self.forbidden([
            "it asks by HTTP in its `init`: a node only tries that",
            "it asks by HTTP at another point than `request` and `origin`",
        ]);
        let exchange = self.exchange.as_deref().filter(|_| forbidden.is_none());
        let of = |exchange: &dyn Exchange| -> Vec<Vec<u8>> {
            (0..).map_while(|index| exchange.field(true, "cdn-loop", index).map(<[u8]>::to_vec)).collect()
        };
        let passed = exchange.map_or_else(Vec::new, of);
        Asker { asking: &mut self.asking, time: &mut self.time, passed, forbidden }
    }

    /// Itself, as it keeps something on disk.
    pub(super) fn keeper(&mut self) -> Keeper<'_> {
        self.turn.release();
        let forbidden = self.forbidden([
            "its durable store is not for `init`: a node only tries that",
            "its durable store is for `request` and `origin`, and for no other point",
        ]);
        self.outside.get_mut().keeper(&mut self.time, self.ticks, forbidden)
    }

    /// Itself, as it dials.
    pub(super) fn dialer(&mut self) -> Dialer<'_> {
        self.turn.release();
        let forbidden = self.forbidden([
            "it dials in its `init`: a node only tries that",
            "it dials at another point than `request` and `origin`",
        ]);
        self.outside.get_mut().dialer(&mut self.time, self.ticks, forbidden)
    }

    fn at_hand(&self) -> (Option<&dyn Exchange>, bool) {
        (self.exchange.as_deref(), matches!(self.point, Point::Request | Point::Lookup))
    }

    fn note(&mut self, change: Change) -> Result<()> {
        match self.point {
            Point::Request | Point::Origin | Point::Response => self.changes.note(change).map_err(nonsense),
            Point::Lookup | Point::Body => Err(nonsense("fields are not changed here".into())),
        }
    }
}

impl exchange::Host for Guest {
    fn method(&mut self) -> Result<String> {
        Ok(self.exchange.as_ref().map_or_else(String::new, |exchange| exchange.method().to_owned()))
    }

    fn host(&mut self) -> Result<String> {
        Ok(self.exchange.as_ref().map_or_else(String::new, |exchange| exchange.host().to_owned()))
    }

    fn target(&mut self) -> Result<String> {
        let of = || self.exchange.as_ref().map_or_else(String::new, |exchange| exchange.target().to_owned());
        Ok(self.changes.target.clone().unwrap_or_else(of))
    }

    fn client(&mut self) -> Result<String> {
        let client = self.exchange.as_ref().and_then(|exchange| exchange.client());
        Ok(client.map_or_else(String::new, |client| client.to_canonical().to_string()))
    }

    fn secure(&mut self) -> Result<bool> {
        Ok(self.exchange.as_ref().is_some_and(|exchange| exchange.is_secure()))
    }

    fn status(&mut self) -> Result<u16> {
        Ok(self.exchange.as_ref().map_or(0, |exchange| exchange.status()))
    }

    fn request_field(&mut self, of: String) -> Result<Option<Vec<u8>>> {
        let name = name(of).map_err(nonsense)?;
        let (exchange, is_request) = self.at_hand();
        Ok(exchange.and_then(|exchange| match is_request {
            true => self.changes.first(exchange, true, &name).map(<[u8]>::to_vec),
            false => exchange.field(true, &name, 0).map(<[u8]>::to_vec),
        }))
    }

    fn field(&mut self, of: String) -> Result<Option<Vec<u8>>> {
        let name = name(of).map_err(nonsense)?;
        let (exchange, is_request) = self.at_hand();
        let of = |exchange| self.changes.first(exchange, is_request, &name).map(<[u8]>::to_vec);
        Ok(exchange.and_then(of))
    }

    fn fields(&mut self, of: String) -> Result<Vec<Vec<u8>>> {
        let name = name(of).map_err(nonsense)?;
        let (exchange, is_request) = self.at_hand();
        let of = |exchange| self.changes.values(exchange, is_request, &name).into_iter().map(<[u8]>::to_vec).collect();
        Ok(exchange.map_or_else(Vec::new, of))
    }

    fn set_field(&mut self, name: String, new: Vec<u8>) -> Result<()> {
        let change = Change::Set(own_name(name).map_err(nonsense)?, value(new).map_err(nonsense)?);
        self.note(change)
    }

    fn add_field(&mut self, name: String, new: Vec<u8>) -> Result<()> {
        let change = Change::Add(own_name(name).map_err(nonsense)?, value(new).map_err(nonsense)?);
        self.note(change)
    }

    fn remove_field(&mut self, name: String) -> Result<()> {
        let change = Change::Remove(own_name(name).map_err(nonsense)?);
        self.note(change)
    }

    fn set_target(&mut self, new: String) -> Result<()> {
        if self.point != Point::Request {
            return Err(nonsense("the target is changed at `request` only".into()));
        }
        self.changes.target = Some(target(new).map_err(nonsense)?);
        Ok(())
    }

    fn keep(&mut self, value: Vec<u8>) -> Result<()> {
        if value.len() > KEPT_BYTES_MAX {
            return Err(nonsense(format!("more than {KEPT_BYTES_MAX} bytes to keep")));
        }
        self.changes.kept = Some(value);
        Ok(())
    }

    fn kept(&mut self) -> Result<Vec<u8>> {
        Ok(self.changes.kept.as_ref().unwrap_or(&self.kept).clone())
    }
}

impl place::Host for Guest {
    fn country(&mut self) -> Result<Option<String>> {
        let country = self.exchange.as_ref().and_then(|exchange| exchange.place().0);
        Ok(country.map(|letters| String::from_utf8_lossy(&letters).into_owned()))
    }

    fn asn(&mut self) -> Result<u32> {
        Ok(self.exchange.as_ref().map_or(0, |exchange| exchange.place().1))
    }
}
