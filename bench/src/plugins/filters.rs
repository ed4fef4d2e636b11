//! Calls of filters: one point of a request, in batches, by the way a node's call takes; a body by the piece.
//!
//! Nothing waits here but for its own turn, so that the time is this thread's alone. Invariant: a call that does not do what its
//! subject says is an error, never a figure.

use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use littoral_plugin_host::HostSettings;
use littoral_plugin_host::fetch::{Answer, Asked as HttpAsked, FetchSpec, Fetcher, Fetchers, Fetching, Origin};
use littoral_plugin_host::filter::{Called, Filter, FilterHost, FilterSpec, Kept, Point, Verdict};

use super::subjects::{Asked, Lent, Subject, fresh, header_only, shipped as subjects};
use super::{Figure, Unit};
use crate::report::Spread;

/// Calls that are timed together: one is shorter than what a clock tells apart.
const BATCH: u32 = 16;
/// Batches of a round.
const BATCHES: u32 = 500;
/// Batches of a round of bodies.
const BODY_BATCHES: u32 = 20;
/// Microseconds of CPU time that a call with a kept instance, and one with a new instance, may add.
const KEPT_US: f64 = 3.0;
const FRESH_US: f64 = 15.0;
/// Bytes of a piece of a body.
const PIECE_BYTES: usize = 64 << 10;
/// When it is for the filters, in Unix milliseconds: the tokens of the RFCs are good then.
const NOW_MS: u64 = 1_300_819_000_000;

/// What has a mark: one point with an instance that is kept, and one with a new instance.
pub(super) fn marked(plugins: &Path, rounds: u32) -> Result<Vec<Figure>> {
    let host = host()?;
    [(header_only(), KEPT_US), (fresh(), FRESH_US)]
        .into_iter()
        .map(|(subject, mark)| measure(&host, plugins, &subject, Some(mark), rounds))
        .collect()
}

/// What a call of each shipped filter costs.
pub(super) fn shipped(plugins: &Path, rounds: u32) -> Result<Vec<Figure>> {
    let host = host()?;
    subjects().iter().map(|subject| measure(&host, plugins, subject, None, rounds)).collect()
}

fn host() -> Result<Arc<FilterHost>> {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms: || NOW_MS });
    let host = host.map_err(|problem| anyhow!(problem))?;
    host.fetch_by(Arc::new(AtOnce));
    Ok(host)
}

/// Answers whatever is asked by HTTP, at once: what is measured is the filter's part.
struct AtOnce;

impl Fetchers for AtOnce {
    fn open(&self, _granted: &FetchSpec) -> Result<Arc<dyn Fetcher>, String> {
        Ok(Arc::new(Self))
    }
}

impl Fetcher for AtOnce {
    fn fetch(&self, _asked: HttpAsked, _within: Duration) -> Fetching {
        Box::pin(std::future::ready(Ok(Answer { status: 204, ..Answer::default() })))
    }
}

fn measure(
    host: &Arc<FilterHost>,
    plugins: &Path,
    subject: &Subject,
    mark: Option<f64>,
    rounds: u32,
) -> Result<Figure> {
    let filter = load(host, plugins, subject)?;
    let batches = if subject.body.is_some() { BODY_BATCHES } else { BATCHES };
    let mut medians = Vec::new();
    // The first round warms up.
    for round in 0..=rounds {
        let times = (0..batches).map(|_| batch(&filter, subject)).collect::<Result<Vec<_>>>();
        let times = times.with_context(|| format!("{}: {}", subject.name, subject.title))?;
        let median = Spread::of(times).context("no batch was timed")?.median;
        medians.extend((round > 0).then_some(median));
    }
    Figure::new(format!("{}: {}", subject.name, subject.title), Unit::Micros, mark, medians)
}

/// A subject's filter.
pub(super) fn load(host: &Arc<FilterHost>, plugins: &Path, subject: &Subject) -> Result<Arc<Filter>> {
    let http = subject.config.contains("http://auth.example").then(|| "http://auth.example".parse::<Origin>());
    let http = http.transpose().map_err(|problem| anyhow!("{problem}"))?;
    let spec = FilterSpec {
        name: subject.name.to_owned(),
        file: plugins.join(format!("{}.wasm", subject.name)),
        config: subject.config.clone(),
        store_bytes: 1 << 20,
        memory_bytes: Some(16 << 20),
        deadline_ms: Some(1_000),
        http: http.map(|origin| FetchSpec::of(&[origin])),
        ..FilterSpec::default()
    };
    Ok(host.load(spec)?)
}

/// Microseconds of one call, the mean of a batch.
fn batch(filter: &Arc<Filter>, subject: &Subject) -> Result<f64> {
    let body = subject.body.map(|[head, text, tail]| [head, &text.repeat(PIECE_BYTES / text.len()), tail].concat());
    let started = Instant::now();
    for _ in 0..BATCH {
        let called = call(filter, subject.point, &subject.asked);
        let (verdict, _) =
            called.outcome.map_err(|fault| anyhow!("{fault}: {}", filter.status().last_fault.unwrap_or_default()))?;
        match (verdict, &body) {
            (Verdict::Rewrite(mut rewriter), Some(body)) => {
                black_box(rewriter.rewrite(black_box(body.as_bytes()), true)?);
            }
            (Verdict::Reply(reply), None) if subject.answers == Some(reply.status) => {}
            (Verdict::Next | Verdict::LookUp(_), None) if subject.answers.is_none() => {}
            (Verdict::Reply(reply), _) => {
                bail!("it answers {}: {}", reply.status, String::from_utf8_lossy(&reply.body).trim())
            }
            _ => bail!("it says something else than expected"),
        }
    }
    Ok(started.elapsed().as_nanos() as f64 / 1e3 / f64::from(BATCH))
}

/// One call. It waits for nothing but its own turn.
pub(super) fn call(filter: &Arc<Filter>, point: Point, asked: &Arc<Asked>) -> Called {
    let mut called = pin!(filter.call(point, Box::new(Lent(asked.clone())), Kept::NOTHING));
    loop {
        if let Poll::Ready(called) = called.as_mut().poll(&mut Task::from_waker(Waker::noop())) {
            return called;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_filter_that_is_measured_takes_its_config_and_does_what_its_subject_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let plugins = std::env::var_os("LITTORAL_PLUGINS").map_or_else(|| root.join("target/plugins"), PathBuf::from);
        let host = host().unwrap();
        for subject in subjects().into_iter().chain([header_only(), fresh()]) {
            let filter = load(&host, &plugins, &subject).unwrap();
            batch(&filter, &subject).unwrap_or_else(|error| panic!("{}, {}: {error}", subject.name, subject.title));
        }
    }
}
