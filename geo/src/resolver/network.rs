//! How servers are asked: hickory's connections (a socket with a random port for each question, a random id, mixed case),
//! bounded and noted.
//!
//! Each lookup carries a [`Walk`], which counts what it asks of whom. Invariant: no lookup asks servers more often than
//! [`RESOLVER_ASKED_MAX`] times, whatever they answer.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};
use hickory_proto::op::{DnsRequest, DnsResponse, Message, Query};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{ConnectionProvider, PoolContext};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::timeout;

use super::counters::{Counters, Limit};
use crate::counters::count;
use crate::limits::RESOLVER_ASKED_MAX;

tokio::task_local! {
    /// The lookup that a task is at.
    pub(super) static WALK: Arc<Walk>;
}

/// One question to a server and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// The server.
    pub server: SocketAddr,
    /// Name and type that it was asked for.
    pub question: String,
    /// The client's subnet that it was told, with the scope of its answer.
    pub subnet: Option<String>,
    /// What it said: `answer`, `referral`, `nothing` or `failure`.
    pub kind: &'static str,
    /// The records of its answer; of a referral the zone's servers with their addresses; why there is none.
    pub told: Vec<String>,
    /// How long that took, in microseconds.
    pub took_us: u64,
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Walk {
    /// For whom.
    pub(super) subnet: Option<IpNet>,
    /// Questions that may still be asked.
    left: AtomicUsize,
    /// The longest scope of the answers, and whether a server was told of the client at all.
    scope: AtomicU8,
    told: AtomicBool,
    /// Whether a bound ended it.
    spent: AtomicBool,
    exchanges: Option<Mutex<Vec<Exchange>>>,
}

impl Walk {
    pub(super) fn new(subnet: Option<IpNet>, noted: bool) -> Arc<Self> {
        Arc::new(Self {
            subnet,
            left: AtomicUsize::new(RESOLVER_ASKED_MAX),
            scope: AtomicU8::new(0),
            told: AtomicBool::new(false),
            spent: AtomicBool::new(false),
            exchanges: noted.then(Mutex::default),
        })
    }

    /// The one of this task.
    pub(super) fn current() -> Option<Arc<Self>> {
        WALK.try_with(Arc::clone).ok()
    }

    /// Takes one question of those that may be asked.
    pub(super) fn spend(&self, counters: &Counters) -> Result<(), NetError> {
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            count(&counters.asked);
            return Ok(());
        }
        if !self.spent.swap(true, Relaxed) {
            counters.limited(Limit::Questions);
        }
        Err(NetError::from("servers were asked as often as one lookup may"))
    }

    /// A server was told of the client and says for how long a prefix its answer holds.
    pub(super) fn tell_scope(&self, scope: u8) {
        self.told.store(true, Relaxed);
        self.scope.fetch_max(scope, Relaxed);
    }

    /// The longest scope; `None` when no server was told of the client.
    pub(super) fn scope(&self) -> Option<u8> {
        self.told.load(Relaxed).then(|| self.scope.load(Relaxed))
    }

    pub(super) fn note(&self, exchange: impl FnOnce() -> Exchange) {
        if let Some(exchanges) = &self.exchanges {
            exchanges.lock().push(exchange());
        }
    }

    /// The exchanges so far, where they are noted.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.as_ref().map_or_else(Vec::new, |exchanges| exchanges.lock().clone())
    }
}

impl Exchange {
    pub(super) fn new(
        server: SocketAddr,
        query: &Query,
        subnet: Option<String>,
        took: Duration,
        said: Result<&Message, &NetError>,
    ) -> Self {
        let (kind, told) = match said {
            Ok(message) if !message.answers.is_empty() => ("answer", texts(&message.answers)),
            Ok(message) => {
                nothing(&message.authorities, &message.additionals, &message.metadata.response_code.to_string())
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let glue = none.ns.iter().flat_map(|servers| servers.iter());
                let glue: Vec<Record> = glue.flat_map(|server| server.glue.iter().cloned()).collect();
                let authority = none.authorities.as_deref().unwrap_or_default();
                nothing(authority, &glue, &none.response_code.to_string())
            }
            Err(error) => ("failure", vec![error.to_string()]),
        };
        let question = format!("{} {}", query.name().to_lowercase(), query.query_type());
        Self { server, question, subnet, kind, told, took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let shown = records.iter().filter(|record| record.record_type() != RecordType::RRSIG);
    shown
        .map(|record| format!("{} {} {} {}", record.name.to_lowercase(), record.ttl, record.record_type(), record.data))
        .collect()
}

/// A referral names servers and is not from them; else there is nothing of the kind.
fn nothing(authority: &[Record], additional: &[Record], code: &str) -> (&'static str, Vec<String>) {
    let servers: Vec<Record> = authority.iter().filter(|record| matches!(record.data, RData::NS(_))).cloned().collect();
    if servers.is_empty() {
        return ("nothing", vec![code.to_owned()]);
    }
    let glue: Vec<Record> = additional.iter().filter(|record| record.data.ip_addr().is_some()).cloned().collect();
    ("referral", [texts(&servers), texts(&glue)].concat())
}

/// Connects to servers.
#[derive(Clone)]
pub(super) struct Network {
    runtime: TokioRuntimeProvider,
    port: u16,
    patience: Duration,
    counters: Arc<Counters>,
}

impl Network {
    /// To servers on `port`, each of which has `patience` for an answer.
    pub(super) fn new(port: u16, patience: Duration, counters: Arc<Counters>) -> Self {
        Self { runtime: TokioRuntimeProvider::default(), port, patience, counters }
    }
}

impl ConnectionProvider for Network {
    type Conn = Line;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Line, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let mut config = config.clone();
        config.port = self.port;
        let connecting = self.runtime.new_connection(ip, &config, context)?;
        let (server, patience, counters) = (SocketAddr::new(ip, self.port), self.patience, self.counters.clone());
        Ok(Box::pin(async move { Ok(Line { exchange: connecting.await?, server, patience, counters }) }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        &self.runtime
    }
}

/// The way to one server.
#[derive(Clone)]
pub(super) struct Line {
    exchange: DnsExchange<TokioRuntimeProvider>,
    server: SocketAddr,
    patience: Duration,
    counters: Arc<Counters>,
}

impl DnsHandle for Line {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let walk = Walk::current();
        if let Some(Err(error)) = walk.as_ref().map(|walk| walk.spend(&self.counters)) {
            return Box::pin(stream::once(async { Err(error) }));
        }
        let query = request.queries.first().cloned().unwrap_or_default();
        let (server, patience, began) = (self.server, self.patience, Instant::now());
        let mut answers = self.exchange.send(request);
        Box::pin(stream::once(async move {
            // A server that is gone must not take the time of those beside it.
            let answer = timeout(patience, answers.next()).await;
            let answer = answer.ok().flatten().unwrap_or(Err(NetError::Timeout));
            if let Some(walk) = walk {
                let said = answer.as_ref().map(|response| &**response);
                walk.note(|| Exchange::new(server, &query, None, began.elapsed(), said));
            }
            answer
        }))
    }
}
