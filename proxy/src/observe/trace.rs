//! Traces: a span for each sampled request and one for what it asked of an origin, sent to a collector over OTLP.
//!
//! Spans are made when a request has ended, from times that are noted anyway; what they look like on the wire is
//! opentelemetry-otlp's. [`context`] reads and writes `traceparent`. Invariants: who answers a request never waits for the
//! collector: the queue is bounded, and what does not fit is dropped and counted; without `[trace]` nothing is made or sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use http::header::HeaderName;
use littoral_cache::{Entry, Outcome};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::Mutex;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use tokio::sync::mpsc;

use crate::config::Trace as Wanted;
use crate::request::context::Context;
use context::Parent;

pub mod context;

/// Fields of a request that are looked through for its trace.
const FIELDS_MAX: usize = 64;
/// Spans that wait for the collector.
pub const SPANS_MAX: usize = 4096;
/// Spans sent at a time.
const BATCH_MAX: usize = 512;
/// How long a batch is waited for once its first span is there.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// How long a node that ends waits for its last spans to be sent.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// How long the collector may take.
const EXPORT_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The traces of a node, if there are any, and what was counted.
#[derive(Debug, Default)]
pub struct Traces {
    tracer: ArcSwapOption<Tracer>,
    /// Disconnected when the thread of the last tracer has ended.
    sender: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
    counts: Arc<Counts>,
}

/// What was counted of all tracers of this process.
#[derive(Debug, Default)]
pub struct Counts {
    /// Spans handed to the sender, and those that found its queue full.
    pub spans: [AtomicU64; 2],
    /// Batches the collector took, and those it did not.
    pub exports: [AtomicU64; 2],
}

/// Traces in force. When the last who holds it is gone, what is queued is sent and its thread ends.
#[derive(Debug)]
pub struct Tracer {
    wanted: Wanted,
    /// Taken by whoever waits for its thread.
    sender: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
    queue: mpsc::Sender<SpanData>,
    scope: InstrumentationScope,
    counts: Arc<Counts>,
}

/// What a request carries of its trace.
#[derive(Debug)]
pub(crate) struct Traced {
    tracer: Arc<Tracer>,
    parent: Parent,
    own: SpanId,
    /// The span of asking an origin.
    fetch: SpanId,
}

/// A request that has ended, as a span tells it.
pub(crate) struct Ended<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) is_tls: bool,
    pub(crate) version: &'static str,
    pub(crate) status: u16,
    pub(crate) outcome: &'a str,
    pub(crate) site: &'a str,
    pub(crate) took: Duration,
}

impl Traces {
    /// The tracer in force, for one who answers.
    pub(crate) fn tracer(&self) -> Option<Arc<Tracer>> {
        self.tracer.load_full()
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A tracer as the config wants it: the one in force when that is the same.
    ///
    /// # Errors
    /// One line when it cannot be started.
    pub fn prepare(&self, wanted: Option<&Wanted>, node: &str) -> Result<Option<Arc<Tracer>>, String> {
        let Some(wanted) = wanted else { return Ok(None) };
        match self.tracer.load_full().filter(|tracer| tracer.wanted == *wanted) {
            Some(same) => Ok(Some(same)),
            None => Tracer::start(wanted, node, self.counts.clone()).map(|tracer| Some(Arc::new(tracer))),
        }
    }

    /// Puts a prepared tracer in force.
    pub fn adopt(&self, tracer: Option<Arc<Tracer>>) {
        if let Some(sender) = tracer.as_ref().and_then(|tracer| tracer.sender.lock().take()) {
            *self.sender.lock() = Some(sender);
        }
        self.tracer.store(tracer);
    }

    /// Sends what is queued, when nobody answers any more, and waits for that a little.
    pub fn end(&self) {
        self.adopt(None);
        if let Some(sender) = self.sender.lock().take() {
            let _ = sender.recv_timeout(END_PATIENCE);
        }
    }

    /// A request begins.
    #[inline]
    pub(crate) fn begin(&self, request: &RequestHeader) -> Option<Box<Traced>> {
        self.tracer.load_full().map(|tracer| {
            let field = |name: &HeaderName| request.headers.get(name).map(|value| value.as_bytes());
            Box::new(tracer.begin(field(&TRACEPARENT)))
        })
    }
}

impl Tracer {
    fn start(wanted: &Wanted, node: &str, counts: Arc<Counts>) -> Result<Self, String> {
        let problem = |error: String| format!("cannot send traces to {}: {error}", wanted.endpoint);
        let (queue, spans) = mpsc::channel(SPANS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| problem(error.to_string()))?;
        // What a collector answers is not followed anywhere else.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(EXPORT_PATIENCE).build().map_err(|error| problem(error.to_string()))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(client);
        let exporter = exporter.with_protocol(Protocol::HttpBinary).with_endpoint(&wanted.endpoint);
        let mut exporter = exporter.build().map_err(|error| problem(error.to_string()))?;
        let names = [KeyValue::new("service.name", "littoral"), KeyValue::new("service.instance.id", node.to_owned())];
        exporter.set_resource(&Resource::builder_empty().with_attributes(names).build());
        let (ends, sender) = std::sync::mpsc::channel();
        let shared = counts.clone();
        let body = move || {
            runtime.block_on(send(exporter, spans, &shared));
            drop::<std::sync::mpsc::Sender<()>>(ends);
        };
        let started = std::thread::Builder::new().name("traces".into()).spawn(body);
        started.map_err(|error| problem(error.to_string()))?;
        let scope = InstrumentationScope::builder("littoral").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { wanted: wanted.clone(), sender: Mutex::new(Some(sender)), queue, scope, counts })
    }

    fn begin(self: &Arc<Self>, traceparent: Option<&[u8]>) -> Traced {
        let told = traceparent.filter(|_| self.wanted.trust_clients).and_then(Parent::read);
        let parent = told.unwrap_or_else(|| Parent::new(self.wanted.sample));
        Traced { tracer: self.clone(), parent, own: context::span_id(), fetch: context::span_id() }
    }

    /// A hit of the fast way, whose head is read once more for what only traces want.
    #[cold]
    pub(crate) fn hit(self: &Arc<Self>, head: &[u8], is_tls: bool, entry: &Entry, took: Duration) {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        // It was parsed before, or it would be no hit.
        let _ = request.parse(head);
        let told = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(TRACEPARENT.as_str()));
        let key = std::str::from_utf8(entry.key().text()).unwrap_or("");
        let ended = Ended {
            method: request.method.unwrap_or(""),
            path: request.path.unwrap_or("").split('?').next().unwrap_or(""),
            host: key.split_once(' ').map_or(key, |(host, _)| host),
            is_tls,
            version: "1.1",
            status: entry.head().status.as_u16(),
            outcome: Outcome::Hit.as_str(),
            site: "",
            took,
        };
        self.begin(told.map(|field| field.value)).end(&ended, None);
    }

    fn put(&self, span: SpanData) {
        let full = self.queue.try_send(span).is_err();
        self.counts.spans[usize::from(full)].fetch_add(1, Relaxed);
    }
}

impl Traced {
    /// Tells an origin of the trace.
    pub(crate) fn inject(&self, upstream: &mut RequestHeader) -> pingora::Result<()> {
        if !self.parent.is_remote() {
            upstream.remove_header(&TRACESTATE);
        }
        upstream.insert_header(TRACEPARENT, self.parent.write(self.fetch))
    }

    /// Makes the spans of a request that has ended.
    pub(crate) fn end(&self, ended: &Ended<'_>, fetch: Option<(Instant, Instant, &Context)>) {
        if !self.parent.is_sampled() {
            return;
        }
        let (now, instant) = (SystemTime::now(), Instant::now());
        let at = |then: Instant| now.checked_sub(instant.saturating_duration_since(then)).unwrap_or(now);
        let text = |name: &'static str, value: &str| KeyValue::new(name, value.to_owned());
        let mut attributes = vec![
            text("http.request.method", ended.method),
            text("url.path", ended.path),
            text("url.scheme", if ended.is_tls { "https" } else { "http" }),
            text("server.address", ended.host),
            text("network.protocol.version", ended.version),
            KeyValue::new("http.response.status_code", i64::from(ended.status)),
        ];
        for (name, value) in [("littoral.cache.status", ended.outcome), ("littoral.site", ended.site)] {
            attributes.extend((!value.is_empty()).then(|| text(name, value)));
        }
        let status = match ended.status {
            500.. => {
                attributes.push(text("error.type", &ended.status.to_string()));
                Status::error("")
            }
            _ => Status::Unset,
        };
        let begun = now.checked_sub(ended.took).unwrap_or(now);
        let server = (SpanKind::Server, self.own, self.parent.span(), self.parent.is_remote());
        self.put(server, ended.method, (begun, now), attributes, status);
        if let Some((asked, until, ctx)) = fetch {
            let mut attributes = vec![text("http.request.method", ended.method)];
            if let Some(origin) = ctx.attempts.origin() {
                attributes.push(text("server.address", &origin.host));
                attributes.push(KeyValue::new("server.port", i64::from(origin.port)));
            }
            if ctx.attempts.count > 1 {
                attributes.push(KeyValue::new("http.request.resend_count", ctx.attempts.count as i64 - 1));
            }
            let status = if ctx.answered { Status::Unset } else { Status::error("") };
            let client = (SpanKind::Client, self.fetch, self.own, false);
            self.put(client, ended.method, (at(asked), at(until)), attributes, status);
        }
    }

    fn put(
        &self,
        (span_kind, own, parent_span_id, parent_span_is_remote): (SpanKind, SpanId, SpanId, bool),
        method: &str,
        (start_time, end_time): (SystemTime, SystemTime),
        attributes: Vec<KeyValue>,
        status: Status,
    ) {
        let flags = TraceFlags::SAMPLED;
        self.tracer.put(SpanData {
            span_context: SpanContext::new(self.parent.trace(), own, flags, false, TraceState::NONE),
            parent_span_id,
            parent_span_is_remote,
            span_kind,
            name: method.to_owned().into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status,
            instrumentation_scope: self.tracer.scope.clone(),
        });
    }
}

/// Makes the spans of a request that the framework served.
pub(crate) fn tell(session: &Session, ctx: &Context) {
    let Some(traced) = &ctx.traced else { return };
    let request = session.req_header();
    let ended = Ended {
        method: request.method.as_str(),
        path: request.uri.path(),
        host: &ctx.host,
        is_tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
        version: match request.version {
            http::Version::HTTP_10 => "1.0",
            http::Version::HTTP_2 => "2",
            _ => "1.1",
        },
        status: session.response_written().map_or(0, |head| head.status.as_u16()),
        outcome: ctx.outcome.map_or("", |outcome| outcome.as_str()),
        site: ctx.site.as_ref().map_or("", |site| &site.name),
        took: ctx.started.elapsed(),
    };
    let stamps = &ctx.stamps;
    let until = stamps.ended.or(stamps.answered).unwrap_or_else(Instant::now);
    traced.end(&ended, stamps.asked.map(|asked| (asked, until, ctx)));
}

/// Sends what comes, in batches, until nobody can put anything any more.
async fn send(exporter: SpanExporter, mut spans: mpsc::Receiver<SpanData>, counts: &Counts) {
    let mut failing = false;
    while let Some(first) = spans.recv().await {
        let mut batch = vec![first];
        let filled = async { while batch.len() < BATCH_MAX && spans.recv_many(&mut batch, BATCH_MAX).await > 0 {} };
        let _ = tokio::time::timeout(BATCH_WAIT, filled).await;
        let sent = exporter.export(batch).await;
        counts.exports[usize::from(sent.is_err())].fetch_add(1, Relaxed);
        match (&sent, failing) {
            // Once, not for each of very many.
            (Err(error), false) => tracing::warn!(%error, "the collector does not take traces; they are dropped"),
            (Ok(()), true) => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        failing = sent.is_err();
    }
}
