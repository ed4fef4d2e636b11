//! Connections that a filter or service makes itself, on the host's side: who may be dialled, how many there may be, and each as a guest has it.
//!
//! Finding, connecting and TLS are the caller's ([`Wire::dial`](super::wire::Wire::dial)); bytes and lines are those of a client's
//! [`Connection`]. Invariant: nobody is asked for who is not listed; each takes a place of its plugin while it lives.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime::Result;
use wasmtime::component::{HasData, Resource, ResourceTable};

use super::connection::{Connection, NoLine};
use super::guest::{endpoint, most, told};
use super::limits::{AHEAD_BYTES_MAX, DIALLED_MAX, DIALLED_TOTAL, MOVED_BYTES_MAX};
use super::reach::{self, Reach};
use super::status::Figures;
use super::time::Time;
use super::wire::{Refused, Security, Target, Trouble, Wire};
use crate::ambient::nonsense;
use crate::bounds::Place;
use crate::filter::bindings::littoral::plugin::connection::{Endpoint, Trouble as Told};
use crate::filter::bindings::littoral::plugin::dial::{Host, HostOutbound, Refusal, Security as Asked};
use crate::within::{Within, bounded};

/// What an operator grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSpec {
    /// Whom.
    pub reaches: Vec<Reach>,
    /// Authorities whose certificates are believed beside the system's, PEM.
    pub authorities: Option<PathBuf>,
}

impl DialSpec {
    /// Whom, as an operator writes it.
    pub(crate) fn written(&self) -> Vec<String> {
        self.reaches.iter().map(ToString::to_string).collect()
    }

    /// Anybody: where nobody is dialled in truth.
    pub(crate) fn anybody() -> Self {
        let all = ["*:*", "0.0.0.0/0:*", "[::]/0:*"].into_iter().filter_map(|reach| reach.parse().ok()).collect();
        Self { reaches: all, authorities: None }
    }
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
pub(crate) struct Dials {
    spec: DialSpec,
    dialled: Arc<Dialled>,
    open: ResourceTable,
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
    pub(crate) fn new(spec: DialSpec, dialled: Arc<Dialled>) -> Self {
        Self { spec, dialled, open: ResourceTable::new(), count: 0 }
    }

    /// Closes all there are, whatever the guest still holds. Whether there were any.
    pub(crate) fn close(&mut self) -> bool {
        let were = self.count > 0;
        if were {
            (self.open, self.count) = (ResourceTable::new(), 0);
        }
        were
    }
}

/// A guest that dials, for the time of one function of the host.
pub(crate) struct Dialer<'a> {
    pub(crate) dials: Option<&'a mut Dials>,
    /// What is dialled from.
    pub(crate) wire: &'a mut dyn Wire,
    pub(crate) time: &'a mut Time,
    /// How long its call may wait, where that is bounded here. Then bytes that moved give it no time anew.
    pub(crate) within: Option<Within<'a>>,
    /// Why nobody may be dialled here.
    pub(crate) forbidden: Option<&'static str>,
}

/// What has a [`Dialer`].
pub(crate) struct OfDialer;

impl HasData for OfDialer {
    type Data<'a> = Dialer<'a>;
}

impl Dialer<'_> {
    fn dials(&mut self) -> Result<&mut Dials> {
        if let Some(why) = self.forbidden {
            return Err(nonsense(why.into()));
        }
        self.dials.as_deref_mut().ok_or_else(|| nonsense("it was granted nobody to dial".into()))
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
        let wire = bounded(self.within.as_mut(), self.wire.dial(target, &spec)).await;
        self.time.waited(since.elapsed());
        let wire = wire.unwrap_or(Err(Refused::Timeout));
        Ok(wire.map(|wire| Outbound { connection: Connection::new(wire, figures), _place: place }))
    }

    /// Does something with a connection, in time, and notes what became of it. `has_moved` says whether bytes did.
    async fn moved<T>(
        &mut self,
        this: &Resource<Outbound>,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, NoLine>,
        has_moved: impl FnOnce(&T) -> bool,
    ) -> Result<Result<T, Told>> {
        self.dials()?;
        let Self { dials: Some(dials), time, within, .. } = self else { return Ok(Err(Told::Closed)) };
        let connection = &mut dials.open.get_mut(this)?.connection;
        let since = Instant::now();
        let done = match bounded(within.as_mut(), work(connection)).await {
            Some(done) => done,
            None => {
                connection.abandon();
                Err(NoLine::Trouble(Trouble::Timeout))
            }
        };
        match &done {
            Ok(done) if within.is_none() && has_moved(done) => time.begin_anew(),
            _ if within.is_some() => time.waited(since.elapsed()),
            _ => {}
        }
        Ok(done.map_err(|why| match why {
            NoLine::TooLong => Told::TooLong,
            NoLine::Trouble(trouble) => told(trouble),
        }))
    }
}

impl Host for Dialer<'_> {
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

impl HostOutbound for Dialer<'_> {
    fn peer(&mut self, this: Resource<Outbound>) -> Result<Endpoint> {
        Ok(endpoint(self.outbound(&this)?.wire().peer()))
    }

    fn secure(&mut self, this: Resource<Outbound>) -> Result<bool> {
        Ok(self.outbound(&this)?.wire().is_secure())
    }

    async fn read(&mut self, this: Resource<Outbound>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let most = most(max, MOVED_BYTES_MAX)?;
        self.moved(&this, async |far| far.read(most).await.map_err(NoLine::Trouble), |bytes| !bytes.is_empty()).await
    }

    async fn read_line(&mut self, this: Resource<Outbound>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let most = most(max, AHEAD_BYTES_MAX)?;
        self.moved(&this, async |far| far.read_line(most).await, |line| !line.is_empty()).await
    }

    async fn write(&mut self, this: Resource<Outbound>, data: Vec<u8>) -> Result<Result<(), Told>> {
        if data.len() > MOVED_BYTES_MAX {
            return Err(nonsense(format!("{} bytes to write at once: at most {MOVED_BYTES_MAX}", data.len())));
        }
        let written = async |far: &mut Connection| far.write(&data).await.map_err(NoLine::Trouble);
        self.moved(&this, written, |()| !data.is_empty()).await
    }

    async fn finish(&mut self, this: Resource<Outbound>) -> Result<Result<(), Told>> {
        self.moved(&this, async |far| far.finish().await.map_err(NoLine::Trouble), |()| false).await
    }

    async fn start_tls(&mut self, this: Resource<Outbound>) -> Result<Result<(), Told>> {
        self.moved(&this, async |far| far.start_tls().await.map_err(NoLine::Trouble), |()| true).await
    }

    fn idle_limit(&mut self, this: Resource<Outbound>, ms: u32) -> Result<()> {
        self.outbound(&this)?.be_silent_for(Duration::from_millis(ms.into()));
        Ok(())
    }

    fn drop(&mut self, this: Resource<Outbound>) -> Result<()> {
        // One that was closed with its call may be let go of at any time.
        if let Some(dials) = self.dials.as_deref_mut()
            && dials.open.delete(this).is_ok()
        {
            dials.count -= 1;
        }
        Ok(())
    }
}
