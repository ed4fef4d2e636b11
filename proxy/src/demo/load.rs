//! Steady traffic of many small requests to the edges, while something is changed under them.
//!
//! A few objects are popular and many are not, and together they are more than an edge may hold, so the eviction policy
//! is asked all the time. Every answer is checked for status and content. Invariant: no more than [`CLIENTS`] requests
//! are under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::web::Web;
use super::world::{STILLS, VIDEO_HOST};

const CLIENTS: usize = 4;
/// The first stills are the popular ones.
pub(super) const POPULAR: usize = STILLS / 10;
/// One request in this many goes to a popular still.
const POPULAR_EVERY: u64 = 2;

/// What a load did.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) failed: u64,
    /// The first failure.
    pub(super) failure: Option<String>,
}

/// A load that runs until it is stopped.
pub(super) struct Load {
    counters: Arc<Counters>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Counters {
    stop: AtomicBool,
    requests: AtomicU64,
    hits: AtomicU64,
    failed: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Load {
    /// Starts loading these edges.
    pub(super) fn start(web: &Web, edges: &[SocketAddr]) -> Self {
        let counters = Arc::new(Counters::default());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(run(web.clone(), edges.to_vec(), client as u64, counters.clone()));
        }
        Self { counters, clients }
    }

    /// What happened so far.
    pub(super) fn tally(&self) -> Tally {
        let counters = &self.counters;
        Tally {
            requests: counters.requests.load(Relaxed),
            hits: counters.hits.load(Relaxed),
            failed: counters.failed.load(Relaxed),
            failure: counters.failure.lock().clone(),
        }
    }

    /// Lets the requests under way end and tells what happened.
    pub(super) async fn stop(mut self) -> Tally {
        self.counters.stop.store(true, Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.tally()
    }
}

async fn run(web: Web, edges: Vec<SocketAddr>, seed: u64, counters: Arc<Counters>) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while !counters.stop.load(Relaxed) {
        state = next(state);
        let still = pick(state);
        let edge = edges[(state >> 48) as usize % edges.len()];
        counters.requests.fetch_add(1, Relaxed);
        match fetch(&web, edge, still).await {
            Ok(true) => drop(counters.hits.fetch_add(1, Relaxed)),
            Ok(false) => {}
            Err(error) => {
                counters.failed.fetch_add(1, Relaxed);
                counters.failure.lock().get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

/// Fetches one still and checks that it is that one; true for a cache hit.
async fn fetch(web: &Web, edge: SocketAddr, still: usize) -> anyhow::Result<bool> {
    let path = format!("/stills/{still:03}.jpg");
    let response = web.get(edge, VIDEO_HOST, &path).await?;
    anyhow::ensure!(response.status == 200, "{path} at {edge}: status {}", response.status);
    let begins = format!("still {still:03} ");
    response
        .body
        .strip_prefix(begins.as_bytes())
        .with_context(|| format!("{path} at {edge}: another object's body"))?;
    Ok(response.is_hit())
}

fn pick(random: u64) -> usize {
    let index = (random >> 16) as usize;
    if random.is_multiple_of(POPULAR_EVERY) { index % POPULAR } else { POPULAR + index % (STILLS - POPULAR) }
}

/// Xorshift: the same traffic in every run.
fn next(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_traffic_goes_to_a_tenth_of_the_objects() {
        let mut state = 1;
        let mut popular = 0;
        for _ in 0..10_000 {
            state = next(state);
            let still = pick(state);
            assert!(still < STILLS);
            popular += usize::from(still < POPULAR);
        }
        assert!((4500..5500).contains(&popular), "{popular}");
    }
}
