//! Asking origins how they are.
//!
//! What that means for requests is [`super::health`]'s. Invariants: an origin has one prober at most, by the first site that
//! names it and has `health`; one that nobody probes any more is up; nothing but the head of an answer is read.

use std::sync::Arc;

use http::header::{HOST, USER_AGENT};
use parking_lot::Mutex;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::Origin;
use crate::clock::elapsed_ms;
use crate::config::Timeouts;
use crate::config::origin::OriginHealth;
use crate::node::Node;
use crate::site::Site;

/// The probers of a node.
#[derive(Debug, Default)]
pub struct Probes {
    running: Mutex<Vec<Running>>,
}

/// A prober that runs.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    is_ended: Arc<Mutex<bool>>,
}

impl Running {
    /// Ends it: what is under way has been reported, or will not be. Aborted alone goes on until it waits.
    fn end(self) {
        *self.is_ended.lock() = true;
        self.task.abort();
    }
}

struct Prober {
    connector: Arc<Connector>,
    origin: Arc<Origin>,
    timeouts: Timeouts,
    rule: OriginHealth,
    host: String,
    /// Locked while it reports.
    is_ended: Arc<Mutex<bool>>,
}

impl Probes {
    /// Probes the origins of the sites in force from now on; counts go on where they were. Within a runtime.
    pub fn follow(&self, node: &Arc<Node>) {
        let mut running = self.running.lock();
        running.drain(..).for_each(Running::end);
        let (sites, connector) = (node.sites.load_full(), Arc::new(Connector::new(None)));
        let mut probed: Vec<Arc<Origin>> = Vec::new();
        for (site, rule) in sites.all().iter().filter_map(|site| Some((site, site.health.clone()?))) {
            for origin in site.origins.all() {
                if probed.iter().any(|other| other.is_same_as(origin)) {
                    continue;
                }
                probed.push(origin.clone());
                let prober = Prober::new(connector.clone(), site, origin.clone(), rule.clone());
                let is_ended = prober.is_ended.clone();
                let task = tokio::spawn(prober.run(node.clone())).abort_handle();
                running.push(Running { task, is_ended });
            }
        }
        let all = sites.origins();
        let left = all.iter().filter(|origin| !probed.iter().any(|other| other.is_same_as(origin)));
        left.for_each(|origin| origin.health().unprobed());
    }
}

impl Prober {
    fn new(connector: Arc<Connector>, site: &Site, origin: Arc<Origin>, rule: OriginHealth) -> Self {
        let own = origin.host_field.as_ref().and_then(|field| field.to_str().ok());
        let of_site = if site.name == "*" { &origin.host } else { &site.name };
        let host = own.unwrap_or(of_site).to_owned();
        Self { connector, origin, timeouts: site.timeouts.clone(), rule, host, is_ended: Arc::default() }
    }

    async fn run(self, node: Arc<Node>) {
        let mut every = tokio::time::interval(self.rule.every.0);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let asked = tokio::time::timeout(self.rule.timeout.0, self.ask()).await;
            let well = matches!(asked, Ok(Some(200..=399)));
            let is_ended = self.is_ended.lock();
            if *is_ended {
                return;
            }
            node.figures.probes[usize::from(!well)].add(1);
            if let Some(up) = self.origin.health().probed(elapsed_ms(), well, &self.rule) {
                tracing::warn!(origin = %self.origin, up, "origin changed state");
            }
        }
    }

    /// The status of an answer over a connection of its own; `None` when there is none.
    async fn ask(&self) -> Option<u16> {
        let peer = self.origin.peer(self.origin.address(0)?, &self.timeouts);
        let (mut session, _) = self.connector.get_http_session(&*peer).await.ok()?;
        let mut request = RequestHeader::build("GET", self.rule.path.as_bytes(), Some(2)).ok()?;
        if matches!(session, HttpSession::H2(_)) {
            let scheme = if self.origin.tls { "https" } else { "http" };
            let uri = http::Uri::builder().scheme(scheme).authority(self.host.as_str());
            request.set_uri(uri.path_and_query(self.rule.path.as_str()).build().ok()?);
        } else {
            request.insert_header(HOST, self.host.as_str()).ok()?;
        }
        request.insert_header(USER_AGENT, "littoral").ok()?;
        session.write_request_header(Box::new(request)).await.ok()?;
        session.finish_request_body().await.ok()?;
        session.read_response_header().await.ok()?;
        session.response_header().map(|response| response.status.as_u16())
    }
}
