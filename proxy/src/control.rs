//! How nodes hear of each other: how they are, how far clients are from them, what is purged, and by which config they go.
//!
//! [`ControlPlane`] is what can carry that: [`local`] asks the others over HTTP and carries no purge, [`nats`] goes by a server. Here is what
//! is common: what a node says of itself, what it believes of what it hears, and when that is too old. What it means for an answer is
//! `standing`'s and the director's. Invariants: nothing here is waited for on the way of a request or a DNS query; what is heard is bounded,
//! read strictly and refused from strangers; what is refused, lost or too old is counted and said.

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
use message::{Report, VERSION};

mod counts;
pub mod heard;
mod local;
pub mod message;
mod nats;
mod rtts;
pub mod status;

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
    rtts: Mutex<rtts::Told>,
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
            rtts: Mutex::default(),
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
        self.heard.lock().expect(expected(config));
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
            directing.standing().told(&verdicts);
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

/// Whom a config has its node believe.
fn expected(config: &Config) -> Expected {
    let clusters = config.cluster.iter().map(|cluster| cluster.id.clone()).collect();
    Expected { clusters, nodes: config.control.nodes.clone() }
}
