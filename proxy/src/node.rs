//! The node's shared state: what the request path, the admin API and the background tasks all look at.
//!
//! Built once by [`crate::run`]; what a reload may change is behind an [`ArcSwap`], the rest is fixed.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use littoral_cache::Store;

use crate::config::Config;
use crate::directing::Directing;
use crate::listen::clients::Clients;
use crate::listen::front::Fronts;
use crate::observe::access::{Access, Log};
use crate::observe::figures::Figures;
use crate::plugins::Plugins;
use crate::rate::Rate;
use crate::site::Sites;
use crate::storage::{CacheLock, Shelf};
use crate::upgrade::Upgrade;
use crate::warm::Jobs;

/// The node.
pub struct Node {
    /// The config in force.
    pub settings: ArcSwap<Config>,
    /// Held by the reload that is under way.
    pub reloading: tokio::sync::Mutex<()>,
    /// Its sites.
    pub sites: ArcSwap<Sites>,
    /// Those who ask origins how they are.
    pub probes: crate::origin::Probes,
    /// The cache.
    pub store: Arc<Store>,
    /// The cache as the framework sees it.
    pub shelf: &'static Shelf,
    /// One fill at a time for a key.
    pub fill_lock: &'static CacheLock,
    /// How long a request waits for another's fill to begin.
    pub collapse_wait: Duration,
    /// Plugins, loaded or failed.
    pub plugins: Plugins,
    /// Representations for `auto` URLs.
    pub rate: Rate,
    /// DNS and cluster selection, when the config has any.
    pub directing: Option<Directing>,
    /// Warm jobs, when the node listens for HTTP.
    pub warm: Option<Arc<Jobs>>,
    /// Who may come in at which listener, and certificates.
    pub fronts: Fronts,
    /// Orders of certificates.
    pub acme: crate::acme::Acme,
    /// The explicit proxy.
    pub forward: crate::forward::Forward,
    /// The access log.
    pub access: Access,
    /// Traces.
    pub traces: crate::observe::trace::Traces,
    /// Those who watch it: `GET /v1/events`.
    pub watched: crate::admin::events::Watched,
    /// How it hears of others, and they of it.
    pub control: crate::control::Control,
    /// What it takes to be replaced by a new process.
    pub upgrade: Upgrade,
    /// What each client has done, where that is bounded.
    pub clients: Clients,
    /// How far away they are.
    pub rtt: std::sync::Arc<crate::rtt::Rtt>,
    /// The local resolver.
    pub resolver: Option<Arc<littoral_geo::resolver::Resolver>>,
    /// What is counted.
    pub figures: Figures,
    /// Load of this node in permille, as the health answer tells it.
    pub load: AtomicU16,
    /// A signal has come: no connection is accepted any more.
    pub stopping: AtomicBool,
    /// Asks the node itself, when it listens for HTTP: [`crate::itself`].
    pub(crate) itself: Option<reqwest::Client>,
    /// What only this process knows: by it a request is known as its own.
    pub(crate) token: String,
    /// Its name: `node.name`.
    pub name: String,
    pub(crate) via: HeaderValue,
    pub(crate) served_by: HeaderValue,
    /// See [`Node::hot`].
    pub(crate) hot: ArcSwap<Hot>,
}

/// What a connection takes of the node when it opens, and keeps: a hit reads nothing else that may change but the cache.
pub(crate) struct Hot {
    pub(crate) tail: Arc<[u8]>,
    pub(crate) access: Option<Arc<Log>>,
    pub(crate) tracer: Option<Arc<crate::observe::trace::Tracer>>,
    pub(crate) header_bytes: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) uri_bytes: usize,
    pub(crate) header_fields: usize,
    pub(crate) requests: u32,
    pub(crate) h2_streams: u32,
}

impl Hot {
    pub(crate) fn of(config: &Config, access: &Access, traces: &crate::observe::trace::Traces) -> Self {
        let limits = &config.limits;
        Self {
            tail: Node::tail_of(&config.node.name),
            access: access.log(),
            tracer: traces.tracer(),
            header_bytes: usize::try_from(limits.header_bytes.0).unwrap_or(usize::MAX),
            header_timeout: limits.header_timeout.0,
            handshake_timeout: limits.handshake_timeout.0,
            keepalive: limits.keepalive.0,
            write_timeout: limits.write_timeout.0,
            body_timeout: limits.body_timeout.0,
            uri_bytes: usize::try_from(limits.uri_bytes.0).unwrap_or(usize::MAX),
            header_fields: limits.header_fields,
            requests: limits.requests,
            h2_streams: limits.h2_streams,
        }
    }
}

impl Node {
    /// The fields that every response of this node ends with: after the TTL of Cache-Status, to the empty line.
    pub(crate) fn tail_of(name: &str) -> Arc<[u8]> {
        format!("\r\nvia: 1.1 {name}\r\nx-served-by: {name}\r\n\r\n").into_bytes().into()
    }

    /// What connections that open now go by.
    pub(crate) fn hot(&self) -> Arc<Hot> {
        self.hot.load_full()
    }

    /// To be called when settings, access log or traces have changed.
    pub(crate) fn renew_hot(&self) {
        self.hot.store(Arc::new(Hot::of(&self.settings.load(), &self.access, &self.traces)));
    }

    /// A secret of this process, from the entropy that the standard library seeds its maps with.
    pub(crate) fn secret() -> String {
        let half = || std::collections::hash_map::RandomState::new().hash_one(std::time::Instant::now());
        format!("{:016x}{:016x}", half(), half())
    }

    /// Load of this node in permille.
    pub fn load_permille(&self) -> u16 {
        self.load.load(Relaxed)
    }
}
