//! Measuring: what a call costs in time, fuel and memory, by the way a node's call takes; of policies here, of filters in
//! [`crate::filter::bench`], of services in [`crate::service::vectors::bench`].
//!
//! A call takes less than a clock's resolution, so that batches are timed; the percentiles are those of the batches' means.
//! Fuel is counted apart, since it does not change from call to call.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::component::{Role, role};
use crate::limits::FUEL_STEP;
use crate::plugin::{Generation, Plugin};
use crate::question::{Admit, Question, Score, Select, Snapshot, Trial};
use crate::types::{self, Ask, ClusterRow, Fault, Flow, Object};
use crate::vectors::Vectors;
use crate::vectors::exact::Tier;

/// Calls of one batch.
pub(crate) const BATCH: u32 = 64;
/// Batches of a question, at least.
const BATCHES_MIN: u32 = 16;

/// What one question costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The function that is called.
    pub function: &'static str,
    /// What it is asked: the place of the case among the vectors, or what stands for them.
    pub question: String,
    /// Calls that were timed.
    pub calls: u64,
    /// Nanoseconds a call, the middle one of the batches.
    pub p50_ns: f64,
    /// Nanoseconds a call, the slowest of a hundred batches.
    pub p99_ns: f64,
    /// Fuel of a call.
    pub fuel: u64,
    /// Fuel it may use; a filter's time is bounded instead.
    pub fuel_limit: Option<u64>,
    /// Linear memory afterwards, bytes.
    pub memory_bytes: usize,
    /// Why there is no answer, where there is none; nothing is timed then.
    pub fault: Option<String>,
}

/// Measures a component: the questions of `vectors`, or one of each function it exports. `calls` are timed for each.
///
/// # Errors
/// One line: the component cannot be loaded, or the vectors cannot be read.
pub fn bench(file: &Path, vectors: Option<&Path>, config: &str, calls: u64) -> Result<Vec<Measured>, String> {
    match role(file) {
        Some(Role::Filter) => return crate::filter::bench::bench(file, vectors, config, calls),
        Some(Role::Service) => return crate::service::vectors::bench::bench(file, vectors, config, calls),
        Some(Role::Policy) | None => {}
    }
    let vectors = vectors.map(Vectors::read).transpose()?;
    let fuel = vectors.as_ref().and_then(Vectors::fuel);
    let questions = vectors.as_ref().map_or_else(samples, Vectors::questions);
    let generation = super::generation(file, config, fuel)?;
    let told = vectors.iter().flat_map(Vectors::tiers).map(|(tier, name)| tell(&generation, tier, name, calls));
    let told = told.collect::<Result<Vec<_>, _>>()?;
    let host = super::host()?;
    let plugin = host.load(super::spec(file, config, fuel), None).map_err(|error| error.to_string())?;
    let asked = questions.iter().filter(|(_, question, _)| generation.code.interfaces.contains(&question.interface()));
    let asked = asked.map(|(snapshot, question, name)| measure(&generation, &plugin, snapshot, question, name, calls));
    asked.chain(told.into_iter().map(Ok)).collect()
}

/// Measures a step of what an exact policy is told.
fn tell(generation: &Generation, tier: &Tier, name: &str, calls: u64) -> Result<Measured, String> {
    let config = &generation.spec.config;
    let played = tier.play(generation, config);
    let (fuel, memory_bytes) = played.as_ref().map_or((0, 0), |(_, fuel, memory_bytes)| (*fuel, *memory_bytes));
    let mut measured = Measured {
        function: "step",
        question: name.to_owned(),
        calls: 0,
        p50_ns: 0.0,
        p99_ns: 0.0,
        fuel,
        fuel_limit: Some(FUEL_STEP),
        memory_bytes,
        fault: played.err(),
    };
    if measured.fault.is_none() {
        measured.time(calls, || tier.timed(generation, config, BATCH))?;
    }
    Ok(measured)
}

fn measure(
    generation: &Generation,
    plugin: &Plugin,
    snapshot: &Snapshot,
    question: &Question,
    name: &str,
    calls: u64,
) -> Result<Measured, String> {
    let mut trial = Trial::new(generation, &generation.spec.config, snapshot)?;
    let (reply, fuel) = trial.ask(question);
    let mut measured = Measured {
        function: question.as_str(),
        question: name.to_owned(),
        calls: 0,
        p50_ns: 0.0,
        p99_ns: 0.0,
        fuel,
        fuel_limit: Some(generation.spec.fuel.unwrap_or_else(|| question.fuel())),
        memory_bytes: trial.memory_bytes(),
        fault: reply.err().map(|fault| trial.told(fault)),
    };
    if measured.fault.is_some() {
        return Ok(measured);
    }
    plugin.push_clusters(snapshot.version, snapshot.clusters.clone());
    snapshot.ladders.iter().for_each(|(id, kbps)| plugin.push_ladder(*id, kbps.clone()));
    let mut scores = vec![0.0; 64];
    measured.time(calls, || {
        let started = Instant::now();
        let asked = (0..BATCH).try_for_each(|_| ask(plugin, black_box(question), &mut scores));
        asked.map(|()| started.elapsed()).map_err(|fault| format!("{name}: {fault}"))
    })?;
    Ok(measured)
}

impl Measured {
    /// Times about so many calls; `batch` makes [`BATCH`] of them.
    ///
    /// # Errors
    /// Those of a batch.
    pub(crate) fn time(
        &mut self,
        calls: u64,
        mut batch: impl FnMut() -> Result<Duration, String>,
    ) -> Result<(), String> {
        let batches = u32::try_from(calls / u64::from(BATCH)).unwrap_or(u32::MAX).max(BATCHES_MIN);
        // The first one warms up.
        batch()?;
        let mut means = Vec::new();
        for _ in 0..batches {
            means.push(batch()?.as_nanos() as f64 / f64::from(BATCH));
        }
        means.sort_by(f64::total_cmp);
        (self.p50_ns, self.p99_ns) = (percentile(&means, 50), percentile(&means, 99));
        self.calls = u64::from(batches) * u64::from(BATCH);
        Ok(())
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0.0)
}

fn ask(plugin: &Plugin, question: &Question, scores: &mut [f32]) -> Result<(), Fault> {
    match question {
        Question::Decide(flow) => black_box(plugin.decide(flow)).map(|_| ()),
        Question::Select(Select { ask, rungs }) => black_box(plugin.select(ask, *rungs)).map(|_| ()),
        Question::Admit(Admit { object, fill_permille, now_ms, rand }) => {
            black_box(plugin.admit(object, *fill_permille, *now_ms, *rand)).map(|_| ())
        }
        Question::Score(Score { sample, now_ms, rand }) => {
            plugin.score(sample, *now_ms, *rand, scores.get_mut(..sample.len()).ok_or(Fault::Nonsense)?)
        }
    }
}

/// One question of each function, of the size a node asks.
fn samples() -> Vec<(Snapshot, Question, String)> {
    let row = |index: u16| ClusterRow {
        index,
        place: [f32::from(index) / 16.0, 0.5, 0.5],
        capacity_mbps: 1000,
        load_permille: 10 * index,
        ..ClusterRow::default()
    };
    let ladders = [(1, vec![100, 300, 700, 1500, 3000, 6000])].into();
    let snapshot = Snapshot { version: 1, clusters: (0..8).map(row).collect(), ladders };
    let measured = types::Measured::of([(1, 9_000), (4, 30_000)]);
    let place = [0.6, 0.6, 0.5];
    let flow = Flow { key: 1, addr_lo: 7, place, candidates: 0xff, now_ms: 1, rand: 2, measured, ..Flow::default() };
    let ask = Ask {
        est_kbps: 2500,
        buffer_ms: 9000,
        last_rung: 2,
        segment_ms: 2000,
        ladder: 1,
        now_ms: 1,
        rand: 2,
        ..Ask::default()
    };
    let object = Object { id: 1, bytes: 65536, age_s: 5, idle_s: 3, ttl_s: 9, fetch_us: 900, hits: 4, class: 0 };
    let admit = Admit { object, fill_permille: 950, now_ms: 1, rand: 2 };
    let score = Score { sample: vec![object; 16], now_ms: 1, rand: 2 };
    [
        (Question::Decide(flow), "among 8 clusters"),
        (Question::Select(Select { ask, rungs: 6 }), "among 6 rungs"),
        (Question::Admit(admit), "one object"),
        (Question::Score(score), "16 objects"),
    ]
    .into_iter()
    .map(|(question, name)| (snapshot.clone(), question, name.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([percentile(&sorted, 50), percentile(&sorted, 99)], [100.0, 198.0]);
        assert_eq!([percentile(&[7.0], 50), percentile(&[7.0], 99), percentile(&[], 50)], [7.0, 7.0, 0.0]);
    }
}
