//! One warm job: list, fetch in rounds, verify, pin.
//!
//! What is fetched, `listing` says, and one fetch is `fetch`'s. What fails in one round is tried again in the next after a longer rest, so an
//! origin that goes away half-way delays a job and does not end it; what is there already is a hit and costs nothing. Invariant: every object
//! listed ends as done or as failed with a reason, unless the job is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use littoral_cache::Key;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::bucket::Bucket;
use super::fetch::{Got, Miss};
use super::order::{Order, Plan, Source};
use super::pushed::Stored;
use super::standing::Standing;
use super::stored::is_stored;
use crate::clock::now_ms;
use crate::itself::Itself;
use crate::node::Node;

/// Fetches at a time of a job without a rate.
const AT_ONCE: usize = 4;
/// Rounds before what still fails is given up.
pub(super) const ROUNDS: u32 = 6;
/// Rest after the first round; doubled after each.
pub(super) const REST: Duration = Duration::from_millis(500);
/// Failed objects that are named.
const FAILED_NAMED_MAX: usize = 100;
/// A fill is published just after its last byte was sent: how often and how long to look for it.
const PUBLISHED_LOOKS: u32 = 40;
const PUBLISHED_LOOK: Duration = Duration::from_millis(5);

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// For its window.
    Waiting,
    Running,
    /// Everything listed is there and pinned.
    Done,
    /// Ended with objects that could not be had.
    Incomplete,
    /// The manifest could not be had or read.
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Serialize)]
struct Failure {
    url: String,
    error: String,
}

#[derive(Debug)]
pub(super) struct Progress {
    state: State,
    pub(super) total: usize,
    done: usize,
    bytes: u64,
    /// Objects that were in the cache already.
    hits: usize,
    /// Fetches that were tried again.
    pub(super) retries: u64,
    /// Objects that were not fetched because the bytes of the order were spent.
    left_out: usize,
    failed: Vec<Failure>,
    failed_count: usize,
    error: Option<String>,
    /// Once it is listed.
    pub(super) expected: Option<Expected>,
    /// Until the rates let it fetch the next object.
    pub(super) owed_s: u64,
    /// The link carries more than it may while it fetches.
    pub(super) is_crowded: bool,
    /// How long it has been at it, before the time that it is now, and since when that is.
    worked: Duration,
    since: Option<Instant>,
    started_ms: u64,
    ended_ms: Option<u64>,
}

impl Progress {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Running)
    }

    /// Another state, unless it has ended.
    fn turn(&mut self, state: State) {
        if self.is_open() {
            let (was, is) = (self.state == State::Running, state == State::Running);
            if was && !is {
                self.worked += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            } else if is && !was {
                self.since = Some(Instant::now());
            }
            self.state = state;
        }
    }

    /// What it waits for while it fetches nothing.
    fn waits_for(&self) -> Option<&'static str> {
        match self.state {
            State::Waiting => Some("window"),
            State::Running if self.is_crowded => Some("link"),
            State::Running if self.owed_s > 0 => Some("rate"),
            _ => None,
        }
    }

    /// How long it will still take if it goes on like until now, in s: by the bytes where all objects are measured, else by their number. Not before it has done
    /// something, nor while it waits for its window.
    fn eta_s(&self, worked: Duration) -> Option<u64> {
        let by_bytes = self.expected.filter(|expected| expected.bytes > 0 && expected.unmeasured == 0);
        let done = match by_bytes {
            Some(expected) => self.bytes as f64 / expected.bytes as f64,
            None => (self.done + self.failed_count) as f64 / self.total.max(1) as f64,
        };
        let left = worked.as_secs_f64() * (1.0 - done.min(1.0)) / done;
        (self.state == State::Running && done > 0.0).then(|| (left.round() as u64).max(self.owed_s))
    }
}

/// What is to be fetched, before it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Expected {
    /// Objects, without what was read to know them.
    pub(super) objects: usize,
    /// Of these, stored here already.
    pub(super) stored: usize,
    /// What the objects take by what the log says of their representation, else by the bit rates and durations that manifests tell.
    pub(super) bytes: u64,
    /// Objects of which nothing tells how large they are.
    pub(super) unmeasured: usize,
    /// How long `bytes` take at the rate of the order; `None` without one.
    pub(super) seconds: Option<u64>,
    /// Objects that the bytes of the order, or this node's part, leave out.
    #[serde(skip_serializing_if = "is_none")]
    pub(super) left_out: usize,
    /// What is gained by it, where the order has popularity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gain: Option<Gain>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What would be hits and are misses else, in a time as long as the log's: the first request for each object that is fetched. Estimated, not
/// replayed: requests for an object that the cache would have given up between them are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Gain {
    pub(super) requests: f64,
    pub(super) bytes: u64,
    /// Of all bytes that the log's requests moved.
    pub(super) share: f64,
}

/// A job and its progress.
#[derive(Debug)]
pub(super) struct Job {
    id: u64,
    /// As it was ordered, until it has ended.
    order: Mutex<Option<Order>>,
    pub(super) plan: Plan,
    /// Until it is listed.
    pub(super) source: Mutex<Option<Source>>,
    url: String,
    pub(super) standing: Option<Standing>,
    pub(super) progress: Mutex<Progress>,
    cancelled: watch::Sender<bool>,
}

impl Job {
    pub(super) fn new(id: u64, order: Order, plan: Plan, source: Source) -> Self {
        let progress = Progress {
            state: State::Running,
            total: 0,
            done: 0,
            bytes: 0,
            hits: 0,
            retries: 0,
            left_out: 0,
            failed: Vec::new(),
            failed_count: 0,
            error: None,
            expected: None,
            owed_s: 0,
            is_crowded: false,
            worked: Duration::ZERO,
            since: Some(Instant::now()),
            started_ms: now_ms(),
            ended_ms: None,
        };
        let (progress, cancelled) = (Mutex::new(progress), watch::Sender::new(false));
        let (url, source, standing) = (order.url.clone(), Mutex::new(Some(source)), order.standing.clone());
        Self { id, order: Mutex::new(Some(order)), plan, source, url, standing, progress, cancelled }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn is_open(&self) -> bool {
        self.progress.lock().is_open()
    }

    /// Ends it; nothing happens to a job that has ended.
    pub(super) fn cancel(&self) {
        self.end(State::Cancelled, None);
        self.cancelled.send_replace(true);
    }

    /// Its state, as the admin API tells it.
    pub(super) fn told(&self) -> Value {
        let progress = self.progress.lock();
        json!({
            "id": self.id,
            "url": Some(self.url.as_str()).filter(|url| !url.is_empty()),
            "standing": self.standing.as_ref().map(|standing| &standing.name),
            "dry_run": self.plan.dry_run,
            "expected": progress.expected,
            "state": progress.state,
            "total": progress.total,
            "done": progress.done,
            "bytes": progress.bytes,
            "hits": progress.hits,
            "retries": progress.retries,
            "left_out": progress.left_out,
            "failed_count": progress.failed_count,
            "failed": progress.failed,
            "error": progress.error,
            "owed_s": if progress.ended_ms.is_none() { progress.owed_s } else { 0 },
            "waits_for": progress.waits_for(),
            "eta_s": progress.eta_s(progress.worked + progress.since.map_or(Duration::ZERO, |since| since.elapsed())),
            "started_ms": progress.started_ms,
            "ended_ms": progress.ended_ms,
        })
    }

    /// What a process after this one has to do anew: the order of a job that has not ended. A dry run is for who waits for it.
    pub(super) fn unfinished(&self) -> Option<Order> {
        self.order.lock().clone().filter(|order| !order.dry_run)
    }

    fn end(&self, state: State, error: Option<String>) {
        let mut progress = self.progress.lock();
        if progress.is_open() {
            progress.turn(state);
            (progress.error, progress.ended_ms) = (error, Some(now_ms()));
            *self.order.lock() = None;
        }
    }

    /// Objects that could not be had.
    pub(super) fn failed(&self) -> usize {
        self.progress.lock().failed_count
    }

    fn set_state(&self, state: State) {
        self.progress.lock().turn(state);
    }

    fn leave_out(&self, count: usize) {
        let mut progress = self.progress.lock();
        progress.left_out += count;
        progress.total -= count;
    }

    pub(super) fn give_up(&self, url: &Url, error: String) {
        let mut progress = self.progress.lock();
        progress.failed_count += 1;
        if progress.failed.len() < FAILED_NAMED_MAX {
            progress.failed.push(Failure { url: url.to_string(), error });
        }
    }
}

/// Does the job until it has ended or is cancelled.
pub(super) async fn run(job: Arc<Job>, node: Arc<Node>, itself: Itself) {
    let mut cancelled = job.cancelled.subscribe();
    let work = async {
        match Work::new(&job, &node, &itself) {
            Ok(mut work) => work.all().await,
            Err(error) => job.end(State::Failed, Some(error)),
        }
    };
    tokio::select! {
        () = work => {}
        _ = cancelled.wait_for(|cancelled| *cancelled) => {}
    }
    super::book::write(&node).await;
}

pub(super) struct Work<'a> {
    pub(super) job: &'a Job,
    pub(super) node: &'a Node,
    pub(super) client: reqwest::Client,
    /// By the rate of the order.
    pub(super) bucket: Bucket,
    /// What is there now.
    pub(super) stored: Stored,
    /// Bytes fetched that were not there, in vain too.
    pub(super) spent: AtomicU64,
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, node: &'a Node, itself: &Itself) -> Result<Self, String> {
        let client = itself.asker()?;
        Ok(Self { job, node, client, bucket: Bucket::default(), stored: Stored::default(), spent: AtomicU64::new(0) })
    }

    async fn all(&mut self) {
        self.window().await;
        let mut pending = match self.list().await {
            Ok(urls) => urls,
            Err(error) => return self.job.end(State::Failed, Some(error)),
        };
        if self.job.plan.dry_run {
            let failed = self.job.failed();
            return self.job.end(if failed == 0 { State::Done } else { State::Incomplete }, None);
        }
        // What was read to know them counts too.
        self.job.progress.lock().total += pending.len();
        let mut rest = REST;
        for round in 1..=ROUNDS {
            pending = self.round(pending, round == ROUNDS).await;
            if pending.is_empty() {
                break;
            }
            self.job.progress.lock().retries += pending.len() as u64;
            tokio::time::sleep(rest).await;
            rest *= 2;
        }
        if let Some(jobs) = &self.node.warm {
            jobs.pushed.add(std::mem::take(&mut self.stored), self.job.plan.pin_until);
        }
        let failed = self.job.failed();
        self.job.end(if failed == 0 { State::Done } else { State::Incomplete }, None);
    }

    /// Fetches each once; returns those to try again.
    async fn round(&mut self, urls: Vec<Url>, last: bool) -> Vec<Url> {
        let mut again = Vec::new();
        let at_once = if self.job.plan.rate.is_some() { 1 } else { AT_ONCE };
        for (number, batch) in urls.chunks(at_once).enumerate() {
            if self.job.plan.bytes.is_some_and(|most| self.spent.load(Relaxed) >= most) {
                self.job.leave_out(urls.len() - number * at_once);
                urls[number * at_once..].iter().for_each(|url| self.stored.lacks(self.node, url));
                break;
            }
            self.window().await;
            self.pace().await;
            let this = &*self;
            let fetches = batch.iter().map(async |url| (this.warm(url, None).await, url));
            let fetches: Vec<_> = fetches.collect();
            for (outcome, url) in futures_util::future::join_all(fetches).await {
                match outcome {
                    Ok(got) => {
                        self.count(&got);
                        self.key(url).into_iter().for_each(|key| self.stored.has(self.node, url, key));
                    }
                    Err(miss) if miss.again && !last => again.push(url.clone()),
                    Err(miss) => {
                        self.stored.lacks(self.node, url);
                        self.job.give_up(url, miss.error);
                    }
                }
            }
        }
        again
    }

    /// Fetches `url`, sees it stored, and pins it; `keep` takes the body, as far as a catalogue may be long.
    pub(super) async fn warm(&self, url: &Url, keep: Option<&mut Vec<u8>>) -> Result<Got, Miss> {
        self.node.store.expect_demand(&self.key(url)?);
        let got = self.fetch(url, keep).await?;
        self.pin(url).await?;
        Ok(got)
    }

    pub(super) fn key(&self, url: &Url) -> Result<Key, Miss> {
        let key = crate::purge::key_of_url(self.node, url.as_str());
        key.ok_or_else(|| Miss { error: "no URL of this node".into(), again: false })
    }

    /// Waits until the store has `url`, every slice of it: that it has it is the proof that the object arrived whole. It is pinned since it
    /// was in flight; pinning it again covers what was there before.
    async fn pin(&self, url: &Url) -> Result<(), Miss> {
        let (key, store) = (self.key(url)?, &self.node.store);
        for _ in 0..PUBLISHED_LOOKS {
            if is_stored(self.node, url, &key).await && store.pin(&key, self.job.plan.pin_until) > 0 {
                return Ok(());
            }
            tokio::time::sleep(PUBLISHED_LOOK).await;
        }
        let error = "fetched but not stored: it may not be cached, or there is no room for it".into();
        Err(Miss { error, again: true })
    }

    pub(super) fn count(&self, got: &Got) {
        let mut progress = self.job.progress.lock();
        progress.done += 1;
        progress.bytes += got.bytes;
        progress.hits += usize::from(got.hit);
    }

    pub(super) async fn window(&self) {
        let Some(window) = &self.job.plan.window else { return };
        let wait = window.opens_in(now_ms() / 1000);
        if !wait.is_zero() {
            self.job.set_state(State::Waiting);
            tokio::time::sleep(wait).await;
        }
        self.job.set_state(State::Running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(change: impl FnOnce(&mut Progress)) -> Progress {
        let order = Order { url: "http://video.example/m.mpd".into(), ..Order::default() };
        let (plan, source) = order.parsed(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut progress = Job::new(1, order, plan, source).progress.into_inner();
        change(&mut progress);
        progress
    }

    #[test]
    fn what_is_left_goes_by_bytes_where_they_are_known_and_else_by_objects() {
        let minute = Duration::from_secs(60);
        assert_eq!(progress(|of| of.total = 9).eta_s(minute), None, "nothing is done");
        let mut by_objects = progress(|of| (of.total, of.done, of.failed_count) = (9, 2, 1));
        assert_eq!((by_objects.eta_s(minute), by_objects.waits_for()), (Some(120), None));
        by_objects.owed_s = 500;
        assert_eq!((by_objects.eta_s(minute), by_objects.waits_for()), (Some(500), Some("rate")));
        by_objects.is_crowded = true;
        assert_eq!(by_objects.waits_for(), Some("link"));
        let expected = |unmeasured| Some(Expected { objects: 9, bytes: 1000, unmeasured, ..Expected::default() });
        let by_bytes = progress(|of| (of.total, of.done, of.bytes, of.expected) = (9, 3, 250, expected(0)));
        assert_eq!(by_bytes.eta_s(minute), Some(180));
        let unmeasured = progress(|of| (of.total, of.done, of.bytes, of.expected) = (9, 3, 250, expected(1)));
        assert_eq!(unmeasured.eta_s(minute), Some(120));
        let more = progress(|of| (of.total, of.done, of.bytes, of.expected) = (9, 8, 2000, expected(0)));
        assert_eq!(more.eta_s(minute), Some(0), "larger than was expected");
        let mut waiting = progress(|of| (of.total, of.done) = (9, 3));
        waiting.turn(State::Waiting);
        assert_eq!((waiting.eta_s(minute), waiting.waits_for()), (None, Some("window")));
        waiting.turn(State::Done);
        waiting.turn(State::Running);
        assert_eq!(waiting.state, State::Done, "what has ended stays so");
    }
}
