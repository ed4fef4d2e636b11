//! What the two ways of a request tell the access log: the fast one of hits, and the framework's.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HeaderName, REFERER, USER_AGENT};
use littoral_cache::{Entry, Outcome};
use pingora::proxy::Session;

use super::{Log, Record, Stages};
use crate::clock::now_ms;
use crate::request::context::Context;
use crate::video::told::Told;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Fields of a request that are looked through for those that are logged.
const FIELDS_MAX: usize = 64;

/// When the stages of a request began and ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamps {
    /// An origin was picked.
    pub(crate) asked: Option<Instant>,
    /// There is a connection to it.
    pub(crate) connected: Option<Instant>,
    /// Its head came.
    pub(crate) answered: Option<Instant>,
    /// Its body ended.
    pub(crate) ended: Option<Instant>,
    /// The response head went out.
    pub(crate) sending: Option<Instant>,
}

/// A hit as the fast way knows it.
pub(crate) struct Hit<'a> {
    /// The request's head as it came.
    pub(crate) head: &'a [u8],
    pub(crate) client: SocketAddr,
    pub(crate) tls: &'static str,
    pub(crate) entry: &'a Entry,
    /// Bytes of the body.
    pub(crate) bytes: u64,
    pub(crate) whole: bool,
    /// Time from its lookup to the last byte.
    pub(crate) took: Duration,
    /// What its player told.
    pub(crate) told: Option<&'a Told>,
}

/// A CONNECT to the explicit proxy.
pub(crate) struct Tunnel<'a> {
    pub(crate) client: SocketAddr,
    /// `host:port` as it was asked for.
    pub(crate) target: &'a str,
    pub(crate) agent: &'a [u8],
    pub(crate) id: &'a [u8],
    pub(crate) status: u16,
    /// Bytes from the client, and to it.
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Addresses that were tried.
    pub(crate) attempts: usize,
    pub(crate) whole: bool,
    pub(crate) begun: Instant,
    /// When connecting began and ended.
    pub(crate) asked: Option<Instant>,
    pub(crate) connected: Option<Instant>,
}

impl<'a> Tunnel<'a> {
    /// Of a head that was parsed before.
    pub(crate) fn new(head: &'a [u8], client: SocketAddr) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let _ = request.parse(head);
        let target = request.path.unwrap_or("");
        let field = |name: &HeaderName| {
            let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_str()));
            found.map_or(&[][..], |field| field.value)
        };
        let (agent, id) = (field(&USER_AGENT), field(&REQUEST_ID));
        let (status, received, bytes, attempts, whole) = (0, 0, 0, 0, false);
        let (begun, asked, connected) = (Instant::now(), None, None);
        Self { client, target, agent, id, status, received, bytes, attempts, whole, begun, asked, connected }
    }
}

impl Stamps {
    /// An origin is asked, perhaps again.
    pub(crate) fn ask(&mut self) {
        *self = Self { asked: Some(Instant::now()), ..Self::default() };
    }

    /// How long what took, for a request that began at `started` and ends now.
    pub(crate) fn stages(&self, started: Instant, lookup: Option<Duration>, wait: Option<Duration>) -> Stages {
        let between = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        let now = Some(Instant::now());
        Stages {
            total: between(Some(started), now),
            lookup,
            wait,
            connect: between(self.asked, self.connected),
            first_byte: between(self.connected, self.answered),
            queue: None,
            origin: between(self.asked, self.ended),
            send: between(self.sending, now),
        }
    }
}

impl Log {
    /// Logs a hit of the fast way, whose head is read once more for what only the log wants.
    #[cold]
    pub(crate) fn hit(&self, hit: &Hit<'_>) {
        if !self.samples() {
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        // It was parsed before, or it would be no hit.
        let _ = request.parse(hit.head);
        let field = |name: &HeaderName| {
            let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_str()));
            found.map_or(&[][..], |field| field.value)
        };
        let key = std::str::from_utf8(hit.entry.key().text()).unwrap_or("");
        let host = key.split_once(' ').map_or(key, |(host, _)| host);
        let now_ms = now_ms();
        self.put(&Record {
            ended: SystemTime::now(),
            client: Some(hit.client),
            tls: hit.tls,
            site: "",
            host,
            method: request.method.unwrap_or(""),
            path: request.path.unwrap_or(""),
            protocol: "HTTP/1.1",
            status: hit.entry.head().status.as_u16(),
            bytes: hit.bytes,
            received: 0,
            referer: field(&REFERER),
            agent: field(&USER_AGENT),
            id: field(&REQUEST_ID),
            outcome: Outcome::Hit.as_str(),
            reason: "",
            ttl_s: Some(hit.entry.ttl_ms(now_ms) / 1000),
            age_s: Some(hit.entry.age_s(now_ms)),
            origin: None,
            attempts: 0,
            representation: "",
            rate_generation: None,
            cache_generation: None,
            told: hit.told,
            whole: hit.whole,
            stages: Stages { total: Some(hit.took), send: Some(hit.took), ..Stages::default() },
        });
    }

    /// Logs a request that was refused before anybody asked what it is for. Of a head that cannot be read, what could be is told.
    #[cold]
    pub(crate) fn refused(&self, head: &[u8], client: SocketAddr, tls: &'static str, status: u16) {
        if !self.samples() {
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let _ = request.parse(head);
        self.put(&Record {
            ended: SystemTime::now(),
            client: Some(client),
            tls,
            site: "",
            host: "",
            method: request.method.unwrap_or(""),
            path: request.path.unwrap_or(""),
            protocol: match request.version {
                Some(0) => "HTTP/1.0",
                Some(_) => "HTTP/1.1",
                None => "",
            },
            status,
            bytes: 0,
            received: 0,
            referer: &[],
            agent: &[],
            id: &[],
            outcome: "",
            reason: "",
            ttl_s: None,
            age_s: None,
            origin: None,
            attempts: 0,
            representation: "",
            rate_generation: None,
            cache_generation: None,
            told: None,
            whole: true,
            stages: Stages::default(),
        });
    }

    /// Logs a tunnel that has ended, or was refused.
    pub(crate) fn tunnel(&self, tunnel: &Tunnel<'_>) {
        if !self.samples() {
            return;
        }
        let host = tunnel.target.rsplit_once(':').map_or(tunnel.target, |(host, _)| host);
        let port = tunnel.target.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let stamps = Stamps { asked: tunnel.asked, connected: tunnel.connected, ..Stamps::default() };
        let stages = Stages { send: None, ..stamps.stages(tunnel.begun, None, None) };
        self.put(&Record {
            ended: SystemTime::now(),
            client: Some(tunnel.client),
            tls: "",
            site: "forward",
            host,
            method: "CONNECT",
            path: tunnel.target,
            protocol: "HTTP/1.1",
            status: tunnel.status,
            bytes: tunnel.bytes,
            received: tunnel.received,
            referer: &[],
            agent: tunnel.agent,
            id: tunnel.id,
            outcome: "",
            reason: "",
            ttl_s: None,
            age_s: None,
            origin: port.filter(|_| tunnel.attempts > 0).map(|port| (host, port)),
            attempts: tunnel.attempts,
            representation: "",
            rate_generation: None,
            cache_generation: None,
            told: None,
            whole: tunnel.whole,
            stages,
        });
    }

    /// Logs a request that the framework served.
    pub(crate) fn request(&self, session: &Session, ctx: &Context, whole: bool) {
        if !self.samples() {
            return;
        }
        let request = session.req_header();
        let field = |name: &HeaderName| request.headers.get(name).map_or(&[][..], |value| value.as_bytes());
        let outcome = ctx.outcome.map_or("", |outcome| outcome.as_str());
        let digest = session.digest();
        let written = session.response_written();
        let age = written.and_then(|head| head.headers.get(http::header::AGE));
        self.put(&Record {
            ended: SystemTime::now(),
            client: session.client_addr().and_then(|address| address.as_inet().copied()),
            tls: digest.and_then(|digest| digest.ssl_digest.as_ref()).map_or("", |tls| &tls.version),
            site: ctx.site.as_ref().map_or("", |site| &site.name),
            host: &ctx.host,
            method: request.method.as_str(),
            path: request.uri.path_and_query().map_or("", |path| path.as_str()),
            protocol: protocol(request.version),
            status: written.map_or(0, |head| head.status.as_u16()),
            bytes: session.body_bytes_sent() as u64,
            received: ctx.received,
            referer: field(&REFERER),
            agent: field(&USER_AGENT),
            id: field(&REQUEST_ID),
            outcome,
            reason: match ctx.outcome {
                Some(Outcome::Miss(reason) | Outcome::Revalidated(reason)) => reason.as_str(),
                Some(Outcome::StaleOnError) => "stale",
                _ => "",
            },
            ttl_s: ctx.ttl_s,
            age_s: age.and_then(|age| age.to_str().ok()?.parse().ok()),
            origin: ctx.attempts.origin().map(|origin| (origin.host.as_str(), origin.port)),
            attempts: ctx.attempts.count,
            representation: ctx.representation.as_deref().unwrap_or(""),
            rate_generation: ctx.rate_generation,
            cache_generation: ctx.cache_generation,
            told: ctx.told.as_ref(),
            whole,
            stages: Stages {
                queue: ctx.attempts.queued(),
                ..ctx.stamps.stages(ctx.started, session.cache.lookup_duration(), session.cache.lock_duration())
            },
        });
    }
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "HTTP/0.9",
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
