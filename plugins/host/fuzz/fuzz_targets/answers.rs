//! Any memory and any returned numbers of a guest: the host accepts an answer only when it is one that the contract allows.
//!
//! The guest is the tests' puppet, which answers from the address it is told, out of memory it is told.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use littoral_plugin_host::{Ask, ClusterRow, Fault, Flow, Host, HostSettings, Object, Plugin, PluginSpec};

/// A minute passes whenever somebody looks: the breaker forgives every fault, so that every question reaches the guest.
static NOW_MS: AtomicU64 = AtomicU64::new(1);

static PUPPET: LazyLock<Arc<Plugin>> = LazyLock::new(|| {
    let component = wat::parse_str(include_str!("../../tests/it/puppet.wat")).expect("invariant: it is tested");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), component).expect("a temporary file");
    let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || NOW_MS.fetch_add(60_000, Relaxed) });
    let spec = PluginSpec::new("puppet", file.path());
    host.and_then(|host| host.load(spec, None).map_err(|error| error.to_string())).expect("a machine that runs plugins")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Too few bytes are an input of no interest.
    let _ = pose(&mut Unstructured::new(bytes));
});

/// Tells the puppet what to hold and asks it everything.
fn pose(input: &mut Unstructured) -> Result<()> {
    let base = address(input, 0)?;
    let sample = (0..input.int_in_range(0..=64)?).map(|_| object(input)).collect::<Result<Vec<_>>>()?;
    let mut words = (0..input.int_in_range(2..=64)?).map(|_| input.arbitrary()).collect::<Result<Vec<u32>>>()?;
    if input.ratio(1, 2)? {
        // A list that fits the sample and lies behind its own head.
        (words[0], words[1]) = (base.wrapping_add(8), sample.len() as u32);
    }
    PUPPET.push_clusters(u64::from(base), vec![row()]);
    PUPPET.push_ladder(1, words);
    ask_for_a_choice(address(input, base)?, input.arbitrary()?);
    ask_for_a_rung(address(input, base)?, input.int_in_range(0..=64)?);
    ask_for_scores(&sample, address(input, base)?);
    let verdict = PUPPET.admit(&Object { id: input.arbitrary()?, ..Object::default() }, 0, 0, 0);
    asked(&verdict);
    Ok(())
}

fn ask_for_a_choice(at: u32, candidates: u64) {
    let place = [0.0; 3];
    let flow = Flow { key: at.into(), place, zone: 0, candidates, ..Flow::default() };
    let choice = PUPPET.decide(&flow);
    asked(&choice);
    let Ok(choice) = choice else { return };
    let end = choice.clusters.iter().position(|cluster| *cluster == u16::MAX).unwrap_or(3);
    let (named, rest) = choice.clusters.split_at(end);
    assert!(named.iter().all(|cluster| *cluster < 64 && candidates & (1 << *cluster) != 0), "{choice:?}");
    assert!((1..named.len()).all(|at| !named[..at].contains(&named[at])), "{choice:?}");
    assert!(rest.iter().all(|cluster| *cluster == u16::MAX), "{choice:?}");
}

fn ask_for_a_rung(at: u32, rungs: usize) {
    let (est_kbps, buffer_ms, last_rung, segment_ms) = (1000, 1000, 255, 1000);
    let ask = Ask { state: at.into(), est_kbps, buffer_ms, last_rung, segment_ms, ladder: 1, now_ms: 0, rand: 0 };
    let answer = PUPPET.select(&ask, rungs);
    asked(&answer);
    // A ladder without rungs has rung 0.
    assert!(answer.is_err() || answer.is_ok_and(|answer| usize::from(answer.rung) < rungs.max(1)), "{answer:?}");
}

fn ask_for_scores(sample: &[Object], at: u32) {
    let mut scores = vec![f32::NAN; sample.len()];
    let scored = PUPPET.score(sample, at.into(), 0, &mut scores);
    asked(&scored);
    assert!(scored.is_err() || scores.iter().all(|score| score.is_finite()), "{scores:?}");
}

/// Was it asked at all?
fn asked<R>(answer: &std::result::Result<R, Fault>) {
    assert!(!matches!(answer, Err(Fault::Quarantined | Fault::Init)), "the guest was not asked");
}

/// Mostly near `base`, where something was written; sometimes anywhere.
fn address(input: &mut Unstructured, base: u32) -> Result<u32> {
    if input.ratio(7, 8)? { Ok(base.wrapping_add(input.arbitrary::<u8>()?.into())) } else { input.arbitrary() }
}

fn object(input: &mut Unstructured) -> Result<Object> {
    let [id, bytes] = input.arbitrary()?;
    let [age_s, idle_s, ttl_s, fetch_us] = input.arbitrary()?;
    let [hits, class] = input.arbitrary()?;
    Ok(Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class })
}

/// One is told so that the puppet is; what it says does not matter.
fn row() -> ClusterRow {
    ClusterRow { capacity_mbps: 1, name: "ams".into(), ..ClusterRow::default() }
}
