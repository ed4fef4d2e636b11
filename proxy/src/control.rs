//! How nodes hear of each other: how they are, what those that direct find of clusters, how far clients are from them, what is purged, and by which config they go.
//!
//! [`ControlPlane`] is what can carry that: [`local`] asks the others over HTTP and carries no purge, [`nats`] goes by a server. Here is what
//! is common: what a node says of itself, what it believes of what it hears, and when that is too old. What it means for an answer is
//! `standing`'s and the director's. Invariants: nothing here is waited for on the way of a request or a DNS query; what is heard is bounded,
//! read strictly and refused from strangers; what is refused, lost or too old is counted and said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{elapsed_ms, now_ms};
use crate::config::{Config, PlaneKind};
use crate::node::Node;
use counts::{Counts, Outcome};
use heard::{Bounds, Expected, Freshness, Heard, Speaker};
use message::{Drained, Pushed, Report, Title, VERSION, VOTES_MAX, Votes};
use pushed::asking::Asking;
use votes::{Ballot, Outcome as Voted};

mod counts;
pub mod heard;
mod local;
pub mod message;
mod nats;
pub(crate) mod pushed;
mod rtts;
pub mod status;
pub mod votes;

const _: () = assert!(VOTES_MAX >= crate::config::CLUSTERS_MAX, "a decider can vote on all clusters");

/// What carries it between nodes.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// As `control.plane` names it.
    fn name(&self) -> &'static str;

    /// Begins to carry, to be called once, within a runtime. Whether others can be reached yet does not matter.
    fn start(&self, node: &Arc<Node>);

    /// Goes by a config from now on. Within a runtime.
    fn follow(&self, node: &Node, config: &Config);

    /// Has all other nodes do a purge (the body of `POST /v1/purge`) that was done here. Each does those of one node in their order.
    async fn spread(&self, order: Value) -> Spread;

    /// Whether what carries is there; `None`: there is nothing that could not be.
    fn is_connected(&self) -> Option<bool>;

    /// Purges that the others are not yet sure to get.
    fn waiting(&self) -> usize;
}

/// What becomes of a purge beyond this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// It is of this node alone.
    Alone,
    /// It is kept where all others get it.
    Told,
    /// It waits here, in memory, until it can be.
    Waiting,
    /// It is not told: too many wait already, or what carries does not take it.
    Refused,
}

/// The control plane of a node.
pub struct Control {
    plane: Box<dyn ControlPlane>,
    heard: Mutex<Heard>,
    /// Locked after `heard`.
    ballot: Mutex<Ballot>,
    rtts: Mutex<rtts::Told>,
    pushed: Arc<pushed::Told>,
    asking: Asking,
    /// When this process began, in Unix milliseconds.
    run: u64,
    reports: AtomicU64,
    generation: AtomicU64,
    /// As it was said last.
    said: Mutex<Freshness>,
    counts: Counts,
}

impl Control {
    /// Of a config.
    ///
    /// # Errors
    /// One line: which file cannot be used, and why.
    pub fn new(config: &Config) -> Result<Self, String> {
        let control = &config.control;
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let bounds = Bounds { silent_after_ms: ms(control.silent_after.0), max_age_ms: ms(control.max_age.0) };
        let plane: Box<dyn ControlPlane> = match control.plane {
            PlaneKind::Local => Box::new(local::Local),
            PlaneKind::Nats => Box::new(nats::Nats::new(config)?),
        };
        let mut heard = Heard::new(bounds);
        heard.expect(expected(config));
        Ok(Self {
            plane,
            heard: Mutex::new(heard),
            ballot: Mutex::default(),
            rtts: Mutex::default(),
            pushed: Arc::default(),
            asking: Asking::default(),
            run: now_ms(),
            reports: AtomicU64::new(0),
            generation: AtomicU64::new(1),
            said: Mutex::new(Freshness::None),
            counts: Counts::default(),
        })
    }

    /// What carries.
    pub fn plane(&self) -> &dyn ControlPlane {
        &*self.plane
    }

    /// Begins. Within a runtime.
    pub fn start(&self, node: &Arc<Node>) {
        self.plane.follow(node, &node.settings.load());
        self.plane.start(node);
    }

    /// Goes by another config from now on. Within a runtime.
    pub fn follow(&self, node: &Node, config: &Config) {
        self.generation.fetch_add(1, Relaxed);
        let mut heard = self.heard.lock();
        heard.expect(expected(config));
        self.ballot.lock().expect(&heard);
        self.pushed.retain(|speaker| heard.expected().admit(speaker).is_ok());
        drop(heard);
        self.plane.follow(node, config);
    }

    /// What this node says of itself now.
    fn report(&self, node: &Node) -> Report {
        let settings = node.settings.load();
        Report {
            v: VERSION,
            run: self.run,
            seq: self.reports.fetch_add(1, Relaxed) + 1,
            up: !node.stopping.load(Relaxed),
            load: node.load_permille(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            serving: settings.hashes.serving.clone(),
            directing: settings.hashes.directing.clone(),
            generation: self.generation.load(Relaxed),
        }
    }

    /// What this node's probes find of clusters; none where it directs nobody.
    fn votes(&self, node: &Node) -> Option<Votes> {
        let found = node.directing.as_ref()?.standing().found();
        let of =
            |wanted: bool| found.iter().filter(|(_, up)| **up == wanted).map(|(cluster, _)| cluster.clone()).collect();
        Some(Votes { v: VERSION, run: self.run, seq: self.reports.load(Relaxed), up: of(true), down: of(false) })
    }

    /// What was pushed to this node, told as the last time where that is over; none where nothing was.
    fn pushed(&self, node: &Node, had: bool) -> Option<Pushed> {
        let titles: Vec<Title> = node.warm.as_ref().map(|jobs| jobs.pushed(&node.store)).unwrap_or_default();
        (had || !titles.is_empty()).then_some(Pushed { v: VERSION, titles })
    }

    /// The clusters to which the title was pushed that a path of a site is of.
    pub(crate) fn holders(&self, site: &str, path: &str) -> Vec<String> {
        self.pushed.holders(site, path, elapsed_ms())
    }

    /// What was pushed to this node, as it is told to who asks.
    pub(crate) fn told_pushed(&self, node: &Node) -> String {
        self.pushed(node, true)
            .map(|pushed| pushed.written())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// Asks other nodes what was pushed to them from now on, where a site of `config` goes by it. Within a runtime.
    fn ask_pushed(&self, config: &Config) {
        self.asking.follow_config(config, &self.pushed);
    }

    /// What is known of drained clusters; none where this node directs nobody, or nothing was said.
    fn drained(&self, node: &Node) -> Option<Drained> {
        let words = node.directing.as_ref()?.drains().words();
        (!words.is_empty()).then_some(Drained { v: VERSION, words })
    }

    /// What came as a report of somebody; `own` is this node.
    fn hear_report(&self, own: &Speaker, speaker: Option<Speaker>, bytes: &[u8]) {
        let now_ms = elapsed_ms();
        let outcome = match (speaker, Report::read(bytes)) {
            (None, _) => Outcome::Malformed,
            (_, Err(unread)) => unread.into(),
            (Some(speaker), Ok(report)) => {
                let is_own = speaker == *own && report.run == self.run;
                let mut heard = self.heard.lock();
                let taken = heard.hear(speaker, report, now_ms);
                if is_own {
                    // Of its cluster it is a node as any other, where it is believed as one; that it came is word enough.
                    heard.way_is_there(now_ms);
                }
                taken.err().filter(|_| !is_own).map_or(Outcome::Taken, Outcome::from)
            }
        };
        self.counts.heard(outcome);
    }

    /// What came as votes of somebody; `own` is this node, whose own are known better.
    fn hear_votes(&self, own: &Speaker, speaker: Option<Speaker>, bytes: &[u8]) {
        let outcome = match (speaker, Votes::read(bytes)) {
            (None, _) => Outcome::Malformed,
            (_, Err(unread)) => unread.into(),
            (Some(speaker), Ok(_)) if speaker == *own => Outcome::Taken,
            (Some(speaker), Ok(votes)) => {
                let mut heard = self.heard.lock();
                let taken = self.ballot.lock().hear(&mut heard, speaker, votes, elapsed_ms());
                taken.err().map_or(Outcome::Taken, Outcome::from)
            }
        };
        self.counts.heard(outcome);
    }

    /// What came as word of drained clusters. What is new is written: not for a thread that serves.
    fn hear_drained(&self, node: &Node, speaker: Option<Speaker>, bytes: &[u8]) {
        let read = speaker.ok_or(Outcome::Malformed).and_then(|speaker| {
            self.heard.lock().expected().admit(&speaker)?;
            Ok(Drained::read(bytes)?)
        });
        if let (Ok(drained), Some(directing)) = (&read, &node.directing) {
            directing.drains().hear(drained.words.clone());
        }
        self.counts.heard(read.err().unwrap_or(Outcome::Taken));
    }

    /// What came as word of what was pushed to somebody.
    fn hear_pushed(&self, speaker: Option<Speaker>, bytes: &[u8], age: Duration) {
        let admitted = speaker.ok_or(Outcome::Malformed).and_then(|speaker| {
            self.heard.lock().expected().admit(&speaker)?;
            Ok(speaker)
        });
        let taken = admitted.and_then(|speaker| self.pushed.take(speaker, bytes, elapsed_ms(), age));
        self.counts.heard(taken.err().unwrap_or(Outcome::Taken));
    }

    /// What came as round-trip times of somebody. It may be long: not for a thread that serves.
    fn hear_rtts(&self, speaker: Option<Speaker>, bytes: &[u8], age: Duration) {
        let admitted = speaker.ok_or(Outcome::Malformed).and_then(|speaker| {
            self.heard.lock().expected().admit(&speaker)?;
            Ok(speaker)
        });
        let taken = admitted.and_then(|speaker| self.rtts.lock().take(speaker, bytes, now_ms(), age));
        self.counts.heard(taken.err().unwrap_or(Outcome::Taken));
    }

    /// Has the director go by what was heard, as far as it holds now, and says so when that has changed.
    fn judge(&self, node: &Node) {
        let now_ms = elapsed_ms();
        let (verdicts, freshness, age_ms) = {
            let heard = self.heard.lock();
            (heard.verdicts(now_ms), heard.freshness(now_ms), heard.age_ms(now_ms).unwrap_or(0))
        };
        if let Some(directing) = &node.directing {
            let (own, quorum) = (directing.standing().found(), node.settings.load().control.quorum);
            let (before, outcomes) = {
                let (heard, mut ballot) = (self.heard.lock(), self.ballot.lock());
                (ballot.outcomes().clone(), ballot.count(&heard, &own, quorum, now_ms).clone())
            };
            directing.standing().told(&verdicts, &outcomes);
            say(&before, &outcomes);
        }
        let before = std::mem::replace(&mut *self.said.lock(), freshness);
        match freshness {
            freshness if freshness == before => {}
            Freshness::Kept => tracing::warn!(age_ms, "nothing is heard by the control plane: the last state is kept"),
            Freshness::Old => tracing::error!(
                age_ms,
                "nothing was heard by the control plane for control.max_age: clusters count as their probes say, or as up and without load"
            ),
            _ => tracing::info!("other nodes are heard by the control plane"),
        }
    }

    /// Titles that were taken count from now on.
    async fn settle_pushed(&self, node: &Arc<Node>) {
        if !self.pushed.is_unsettled() {
            return;
        }
        let node = node.clone();
        // Of many titles it takes a while: not where DNS is answered.
        if let Err(error) = tokio::task::spawn_blocking(move || node.control.pushed.settle()).await {
            tracing::error!(%error, "word of what was pushed was not taken");
        }
    }

    /// What of the round-trip times that were heard is new is handed to the director.
    async fn hand_on_rtts(&self, node: &Arc<Node>) {
        if node.directing.is_none() || !self.rtts.lock().has_news() {
            return;
        }
        let node = node.clone();
        // Sorting many prefixes takes a while: not where DNS is answered.
        let handing = tokio::task::spawn_blocking(move || {
            let told = node.control.rtts.lock().news(now_ms());
            if let Some(directing) = &node.directing {
                directing.director().hear_rtts(told, now_ms());
            }
        });
        if let Err(error) = handing.await {
            tracing::error!(%error, "round-trip times were not taken");
        }
    }
}

/// Says where the deciders begin or cease to find something else than this node's own probes, and that nobody else is left to ask.
fn say(before: &BTreeMap<String, Voted>, now: &BTreeMap<String, Voted>) {
    if now.is_empty() && !before.is_empty() {
        tracing::warn!("no other decider's votes count any more: clusters are as this node's own probes say");
    }
    for (cluster, Voted { up, down, of, needed, .. }) in now.iter().filter(|(_, outcome)| outcome.is_overruled()) {
        if !before.get(cluster).is_some_and(Voted::is_overruled) {
            tracing::warn!(
                cluster,
                up,
                down,
                of,
                needed,
                "deciders overrule what this node's own probes find of a cluster"
            );
        }
    }
    for (cluster, _) in before.iter().filter(|(_, outcome)| outcome.is_overruled()) {
        if !now.get(cluster).is_some_and(Voted::is_overruled) {
            tracing::info!(cluster, "a cluster is as this node's own probes find it");
        }
    }
}

/// Whom a config has its node believe.
fn expected(config: &Config) -> Expected {
    let clusters = config.cluster.iter().map(|cluster| cluster.id.clone()).collect();
    Expected { clusters, nodes: config.control.nodes.clone() }
}
