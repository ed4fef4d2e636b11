//! Connections that a service makes itself, on the host's side: who may be dialled, how many there may be, and each as a guest has it.
//!
//! Finding, connecting and TLS are the caller's ([`Wire::dial`](super::wire::Wire::dial)); bytes and lines are those of a client's
//! [`Connection`]. Invariant: nobody is asked for who is not listed; each takes a place of its plugin while it lives.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::littoral::plugin::connection::{Endpoint, Trouble as Told};
use super::bindings::littoral::plugin::dial::{Host, HostOutbound, Refusal, Security as Asked};
use super::connection::{Connection, NoLine};
use super::guest::{Guest, endpoint, most};
use super::limits::{AHEAD_BYTES_MAX, DIALLED_MAX, DIALLED_TOTAL, MOVED_BYTES_MAX};
use super::reach::{self, Reach};
use super::status::Figures;
use super::wire::{Refused, Security, Target};
use crate::ambient::nonsense;
use crate::bounds::Place;

/// What an operator grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSpec {
    /// Whom.
    pub reaches: Vec<Reach>,
    /// Authorities whose certificates are believed beside the system's, PEM.
    pub authorities: Option<PathBuf>,
}

/// What all instances of a plugin have dialled.
#[derive(Default)]
pub(crate) struct Dialled {
    /// Bytes and troubles.
    pub(super) figures: Arc<Figures>,
    open: Arc<AtomicUsize>,
    outcomes: [AtomicU64; Refused::KINDS.len()],
}

impl Dialled {
    fn noted<T>(&self, outcome: &Result<T, Refused>) {
        let kind = outcome.as_ref().err().map_or(Refused::CONNECTED, |refused| *refused as usize);
        self.outcomes[kind].fetch_add(1, Relaxed);
    }

    /// How many are open, and how often each outcome was.
    pub(super) fn told(&self) -> (usize, Vec<(&'static str, u64)>) {
        let counts = self.outcomes.iter().map(|count| count.load(Relaxed));
        (self.open.load(Relaxed), Refused::KINDS.into_iter().zip(counts).collect())
    }
}

/// What one instance may dial, and has.
pub(super) struct Dials {
    pub(super) spec: DialSpec,
    pub(super) dialled: Arc<Dialled>,
    pub(super) open: ResourceTable,
    /// How many those are.
    pub(super) count: usize,
}

/// One connection.
#[allow(unreachable_pub, reason = "the bindings name it, and are made as if they were public")]
pub struct Outbound {
    connection: Connection,
    _place: Place,
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::NotGranted => Refusal::NotGranted,
        Refused::NotFound => Refusal::NotFound,
        Refused::Unreachable => Refusal::Unreachable,
        Refused::Timeout => Refusal::Timeout,
        Refused::TooMany => Refusal::TooMany,
        Refused::Tls => Refusal::Tls,
    }
}

fn security(asked: Asked) -> Security {
    match asked {
        Asked::Plain => Security::Plain,
        Asked::Tls => Security::Tls,
        Asked::Starttls => Security::Starttls,
    }
}

/// What a guest wants to dial, if any entry is about it. Whether its addresses may be connected to is seen when they are known.
pub(super) fn target(reaches: &[Reach], host: &str, port: u16, security: Security) -> Option<Target> {
    let host = match host.parse::<IpAddr>() {
        Ok(address) => reach::may_be_literal(reaches, address, port).then(|| address.to_string())?,
        Err(_) => reach::name(host).filter(|name| reach::names(reaches, name, port))?,
    };
    Some(Target { host, port, security })
}

impl Dials {
    pub(super) fn new(spec: DialSpec, dialled: Arc<Dialled>) -> Self {
        Self { spec, dialled, open: ResourceTable::new(), count: 0 }
    }
}

impl Guest {
    fn dials(&mut self) -> Result<&mut Dials> {
        if self.begins {
            return Err(nonsense("it dials in its `init`: a node only tries that".into()));
        }
        self.dials.as_mut().ok_or_else(|| nonsense("it was granted nobody to dial".into()))
    }

    fn outbound(&mut self, this: &Resource<Outbound>) -> Result<&mut Connection> {
        Ok(&mut self.dials()?.open.get_mut(this)?.connection)
    }

    async fn dialled(&mut self, host: &str, port: u16, security: Security) -> Result<Result<Outbound, Refused>> {
        let dials = self.dials()?;
        let Some(target) = target(&dials.spec.reaches, host, port, security) else {
            return Ok(Err(Refused::NotGranted));
        };
        let place = (dials.count < DIALLED_MAX).then(|| Place::take(&dials.dialled.open, DIALLED_TOTAL)).flatten();
        let (Some(place), spec, figures) = (place, dials.spec.clone(), dials.dialled.figures.clone()) else {
            return Ok(Err(Refused::TooMany));
        };
        let since = Instant::now();
        let wire = self.connection.wire_mut().dial(target, &spec).await;
        self.time.waited(since.elapsed());
        Ok(wire.map(|wire| Outbound { connection: Connection::new(wire, figures), _place: place }))
    }
}

impl Host for Guest {
    async fn open(&mut self, host: String, port: u16, asked: Asked) -> Result<Result<Resource<Outbound>, Refusal>> {
        let outcome = self.dialled(&host, port, security(asked)).await?;
        let dials = self.dials()?;
        dials.dialled.noted(&outcome);
        match outcome {
            Ok(outbound) => {
                dials.count += 1;
                Ok(Ok(dials.open.push(outbound)?))
            }
            Err(refused) => Ok(Err(refusal(refused))),
        }
    }
}

impl HostOutbound for Guest {
    fn peer(&mut self, this: Resource<Outbound>) -> Result<Endpoint> {
        Ok(endpoint(self.outbound(&this)?.wire().peer()))
    }

    fn secure(&mut self, this: Resource<Outbound>) -> Result<bool> {
        Ok(self.outbound(&this)?.wire().is_secure())
    }

    async fn read(&mut self, this: Resource<Outbound>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let read = self.outbound(&this)?.read(most(max, MOVED_BYTES_MAX)?).await;
        Ok(self.moved(read, |bytes| !bytes.is_empty()))
    }

    async fn read_line(&mut self, this: Resource<Outbound>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let read = match self.outbound(&this)?.read_line(most(max, AHEAD_BYTES_MAX)?).await {
            Err(NoLine::TooLong) => return Ok(Err(Told::TooLong)),
            Err(NoLine::Trouble(trouble)) => Err(trouble),
            Ok(line) => Ok(line),
        };
        Ok(self.moved(read, |line| !line.is_empty()))
    }

    async fn write(&mut self, this: Resource<Outbound>, data: Vec<u8>) -> Result<Result<(), Told>> {
        if data.len() > MOVED_BYTES_MAX {
            return Err(nonsense(format!("{} bytes to write at once: at most {MOVED_BYTES_MAX}", data.len())));
        }
        let written = self.outbound(&this)?.write(&data).await;
        Ok(self.moved(written, |()| !data.is_empty()))
    }

    async fn finish(&mut self, this: Resource<Outbound>) -> Result<Result<(), Told>> {
        let finished = self.outbound(&this)?.finish().await;
        Ok(self.moved(finished, |()| false))
    }

    async fn start_tls(&mut self, this: Resource<Outbound>) -> Result<Result<(), Told>> {
        let started = self.outbound(&this)?.start_tls().await;
        Ok(self.moved(started, |()| true))
    }

    fn idle_limit(&mut self, this: Resource<Outbound>, ms: u32) -> Result<()> {
        self.outbound(&this)?.be_silent_for(Duration::from_millis(ms.into()));
        Ok(())
    }

    fn drop(&mut self, this: Resource<Outbound>) -> Result<()> {
        let dials = self.dials()?;
        dials.open.delete(this)?;
        dials.count -= 1;
        Ok(())
    }
}
