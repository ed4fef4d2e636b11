//! What a service imports besides what every component may, on the host's side: its connection, here, and what filters may import too.
//!
//! Invariant: what a guest says that is not allowed ends its call; an operation that moved bytes, and none other, gives it its time anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Result;

use super::connection::{Connection, NoLine};
use super::limits::{AHEAD_BYTES_MAX, MOVED_BYTES_MAX};
use super::outbound::{Dialer, Dials};
use super::rate::Rate;
use super::swarm::Calls;
use super::time::Time;
use super::wire::Trouble;
use crate::ambient::{Ambient, nonsense};
use crate::bounds::Bounds;
use crate::durable::Draft;
use crate::durable::kept::Keeper;
use crate::fetch::{Asker, Asking};
use crate::filter::bindings::littoral::plugin::connection::{Endpoint, Host, Trouble as Told};
use crate::filter::limits::TICK_MS;
use crate::turn::Turn;

/// What a store's owner has besides its guest.
pub(super) struct Guest {
    pub(super) ambient: Ambient,
    pub(super) bounds: Bounds,
    /// What it may still compute.
    pub(super) time: Time,
    /// Whether it lets others run at each tick.
    pub(super) may_yield: bool,
    pub(super) connection: Connection,
    /// What it notes for its durable store, where it has one.
    pub(super) draft: Option<Draft>,
    /// How often it may commit, where anybody can have it do so.
    pub(super) commits: Option<Arc<Rate>>,
    /// Whom it may dial and has dialled, where it is granted that.
    pub(super) dials: Option<Dials>,
    /// What is outside of a swarm, where it is one.
    pub(super) swarm: Option<Calls>,
    /// Whom it may ask by HTTP.
    pub(super) asking: Asking,
    /// Whether it is its turn to compute for long.
    pub(super) turn: Turn,
    /// Whether it is in its `init`.
    pub(super) begins: bool,
}

impl Guest {
    /// Itself, as it asks by HTTP.
    pub(super) fn asker(&mut self) -> Asker<'_> {
        let forbidden = self.begins.then_some("it asks by HTTP in its `init`: a node only tries that");
        Asker { asking: &mut self.asking, time: &mut self.time, passed: Vec::new(), forbidden }
    }

    /// Itself, as it keeps something on disk.
    pub(super) fn keeper(&mut self) -> Keeper<'_> {
        let forbidden = self.begins.then_some("its durable store is not for `init`: a node only tries that");
        let (draft, commits) = (self.draft.as_mut(), self.commits.as_deref());
        Keeper { draft, time: &mut self.time, commits, within: None, forbidden }
    }

    /// Itself, as it dials.
    pub(super) fn dialer(&mut self) -> Dialer<'_> {
        let forbidden = self.begins.then_some("it dials in its `init`: a node only tries that");
        let (dials, wire) = (self.dials.as_mut(), self.connection.wire_mut());
        Dialer { dials, wire, time: &mut self.time, within: None, forbidden }
    }

    pub(super) fn moved<T>(
        &mut self,
        outcome: Result<T, Trouble>,
        has_moved: impl FnOnce(&T) -> bool,
    ) -> Result<T, Told> {
        if outcome.as_ref().is_ok_and(has_moved) {
            self.time.begin_anew();
        }
        outcome.map_err(told)
    }
}

pub(super) fn told(trouble: Trouble) -> Told {
    match trouble {
        Trouble::Closed => Told::Closed,
        Trouble::Timeout => Told::Timeout,
        Trouble::Tls => Told::Tls,
        Trouble::Ending => Told::Ending,
    }
}

pub(super) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: address.ip().to_canonical().to_string(), port: address.port() }
}

/// How many bytes a guest asks for.
pub(super) fn most(asked: u32, bound: usize) -> Result<usize> {
    let asked = asked as usize;
    match (1..=bound).contains(&asked) {
        true => Ok(asked),
        false => Err(nonsense(format!("{asked} bytes asked for: it is 1 to {bound}"))),
    }
}

impl Host for Guest {
    fn peer(&mut self) -> Result<Endpoint> {
        Ok(endpoint(self.connection.wire().peer()))
    }

    fn secure(&mut self) -> Result<bool> {
        Ok(self.connection.wire().is_secure())
    }

    fn may_start_tls(&mut self) -> Result<bool> {
        Ok(self.connection.wire().may_start_tls())
    }

    async fn read(&mut self, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let read = self.connection.read(most(max, MOVED_BYTES_MAX)?).await;
        Ok(self.moved(read, |bytes| !bytes.is_empty()))
    }

    async fn read_line(&mut self, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let read = match self.connection.read_line(most(max, AHEAD_BYTES_MAX)?).await {
            Err(NoLine::TooLong) => return Ok(Err(Told::TooLong)),
            Err(NoLine::Trouble(trouble)) => Err(trouble),
            Ok(line) => Ok(line),
        };
        Ok(self.moved(read, |line| !line.is_empty()))
    }

    async fn write(&mut self, data: Vec<u8>) -> Result<Result<(), Told>> {
        if data.len() > MOVED_BYTES_MAX {
            return Err(nonsense(format!("{} bytes to write at once: at most {MOVED_BYTES_MAX}", data.len())));
        }
        let written = self.connection.write(&data).await;
        Ok(self.moved(written, |()| !data.is_empty()))
    }

    async fn finish(&mut self) -> Result<Result<(), Told>> {
        let finished = self.connection.finish().await;
        Ok(self.moved(finished, |()| false))
    }

    async fn start_tls(&mut self) -> Result<Result<(), Told>> {
        let started = self.connection.start_tls().await;
        Ok(self.moved(started, |()| true))
    }

    fn idle_limit(&mut self, ms: u32) -> Result<()> {
        self.connection.be_silent_for(Duration::from_millis(ms.into()));
        Ok(())
    }

    async fn sleep(&mut self, ms: u32) -> Result<Result<(), Told>> {
        let slept = self.connection.sleep(Duration::from_millis(ms.into())).await;
        Ok(self.moved(slept, |()| u64::from(ms) >= TICK_MS))
    }
}
