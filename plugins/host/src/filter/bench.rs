//! Measuring filters: what a call at each point costs in time, fuel and memory.
//!
//! What is asked is what a request leads to: each call gets the message and what was kept as the calls before left them. Time is that of
//! [`Filter::call`], with the instance it takes or starts; fuel is counted apart, in an engine that counts it. Invariant: what is timed
//! is what a node does, but for the node's own part of a request.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guest::Point;
use super::host::{loaded, metered};
use super::message::Exchange;
use super::plugin::{Filter, Kept, Verdict};
use super::script::{Lent, Request, Response, Script, Step, now_ms, run_to_end};
use super::vectors::Vectors;
use crate::author::{BATCH, Measured};

/// Of the body that is rewritten where no vectors say another.
const BODY_BYTES: usize = 64 << 10;

/// Measures a filter: the requests of `vectors`, or a plain one. `calls` are timed at each point.
///
/// # Errors
/// One line: the component cannot be loaded, or the vectors cannot be read.
pub(crate) fn bench(file: &Path, vectors: Option<&Path>, config: &str, calls: u64) -> Result<Vec<Measured>, String> {
    let scripts = match vectors {
        Some(vectors) => Vectors::read(vectors)?.scripts(),
        None => vec![plain()],
    };
    let mut measured = Vec::new();
    for (name, script, own) in &scripts {
        let config = own.as_deref().unwrap_or(config);
        let (_host, generation) = metered(file, config)?;
        let filter = loaded(file, config, now_ms, script)?;
        for step in script.steps(&generation, config) {
            measured.push(measure(&filter, &step, name, calls)?);
        }
    }
    Ok(measured)
}

fn measure(filter: &Arc<Filter>, step: &Step, name: &str, calls: u64) -> Result<Measured, String> {
    let mut measured = Measured {
        function: step.point.as_str(),
        question: name.to_owned(),
        calls: 0,
        p50_ns: 0.0,
        p99_ns: 0.0,
        fuel: step.fuel,
        fuel_limit: None,
        memory_bytes: step.memory_bytes,
        fault: step.failure.clone(),
    };
    if measured.fault.is_some() {
        return Ok(measured);
    }
    let timed = match step.point {
        Point::Body => measured.time(calls, || bodies(filter, step)),
        _ => {
            let mut lent: Option<Box<dyn Exchange>> = Some(Box::new(step.lent.clone()));
            measured.time(calls, || heads(filter, step, &mut lent))
        }
    };
    // The host asks more than once, which may be too often for it, and is an answer too.
    measured.fault = timed.err();
    Ok(measured)
}

/// A batch at a point before bodies; what is lent comes back.
fn heads(filter: &Arc<Filter>, step: &Step, lent: &mut Option<Box<dyn Exchange>>) -> Result<Duration, String> {
    let mut took = Duration::ZERO;
    for _ in 0..BATCH {
        let exchange = lent.take().unwrap_or_else(|| Box::new(step.lent.clone()));
        let kept = Kept::from(step.kept.clone());
        let started = Instant::now();
        let called = run_to_end(filter.call(step.point, exchange, kept));
        took += started.elapsed();
        *lent = Some(called.exchange);
        let (verdict, _) = black_box(called.outcome).map_err(|fault| fault.to_string())?;
        if let Verdict::Rewrite(mut rewriter) = verdict {
            // A body that ends gives its instance back, as it does in a node.
            rewriter.rewrite(b"", true).map_err(|fault| fault.to_string())?;
        }
    }
    Ok(took)
}

/// A batch of whole bodies; that the filter asks for them is not timed.
fn bodies(filter: &Arc<Filter>, step: &Step) -> Result<Duration, String> {
    let mut took = Duration::ZERO;
    for _ in 0..BATCH {
        let lent: Lent = step.lent.clone();
        let called = run_to_end(filter.call(Point::Origin, Box::new(lent), Kept::from(step.kept.clone())));
        let Ok((Verdict::Rewrite(mut rewriter), _)) = called.outcome else {
            return Err("it does not ask for the same body every time".into());
        };
        let started = Instant::now();
        black_box(rewriter.rewrite(step.body.as_bytes(), true)).map_err(|fault| fault.to_string())?;
        took += started.elapsed();
    }
    Ok(took)
}

/// A GET of a page.
fn plain() -> (String, Script, Option<String>) {
    let line = "<p>All the world's a stage, and all the men and women merely players.</p>\n";
    let body = line.repeat(BODY_BYTES / line.len());
    let origin = Response::page(body);
    let (request, origin) = (Request::default(), Some(origin));
    let script = Script { request, origin, now_ms: 0, fetch: Vec::new(), dial: Vec::new(), ticks: 0, times: 1 };
    ("a GET of 64 KiB of HTML".to_owned(), script, None)
}
