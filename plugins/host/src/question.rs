//! What a policy is asked, told and answers, as values: for vectors, records, replays and measurements, which ask outside
//! of any seat.
//!
//! An [`Instance`] answers here exactly as it does for a [`crate::Plugin`]: the same call, fuel and checks. Breaker, figures
//! and native policies are not met.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::component::Interface;
use crate::instance::Instance;
use crate::limits::{FUEL_CACHE, FUEL_DECISION, LADDERS_MAX};
use crate::plugin::Generation;
use crate::types::{Answer, Ask, Choice, ClusterRow, Fault, Flow, Object, Verdict};

/// What a policy is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// `routing.decide`
    Decide(Flow),
    /// `rate.select`
    Select(Select),
    /// `cache.admit`
    Admit(Admit),
    /// `cache.score`
    Score(Score),
}

/// `rate.select` and how long the ladder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Select {
    pub ask: Ask,
    pub rungs: usize,
}

/// `cache.admit`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Admit {
    pub object: Object,
    pub fill_permille: u16,
    pub now_ms: u64,
    pub rand: u64,
}

/// `cache.score`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Score {
    pub sample: Vec<Object>,
    pub now_ms: u64,
    pub rand: u64,
}

/// What a policy answers, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "named as the questions are")]
pub enum Reply {
    Choice(Choice),
    Answer(Answer),
    Verdict(Verdict),
    Scores(Vec<f32>),
}

/// What was pushed, to be told to every new instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Of the clusters; it grows.
    pub version: u64,
    /// All clusters.
    pub clusters: Vec<ClusterRow>,
    /// Ladders by their ids, kbit/s.
    pub ladders: BTreeMap<u32, Vec<u32>>,
}

impl Question {
    /// The interface that answers it.
    pub fn interface(&self) -> Interface {
        match self {
            Self::Decide(_) => Interface::Routing,
            Self::Select(_) => Interface::Rate,
            Self::Admit(_) | Self::Score(_) => Interface::Cache,
        }
    }

    /// The function that answers it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Decide(_) => "decide",
            Self::Select(_) => "select",
            Self::Admit(_) => "admit",
            Self::Score(_) => "score",
        }
    }

    /// Fuel of one call where the operator says nothing.
    pub fn fuel(&self) -> u64 {
        match self {
            Self::Decide(_) | Self::Select(_) => FUEL_DECISION,
            Self::Admit(_) | Self::Score(_) => FUEL_CACHE,
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Choice(choice) => write!(f, "clusters {:?}, ttl {} s", choice.named(), choice.ttl_s),
            Self::Answer(Answer { rung, pace_kbps, hold_ms, state }) => {
                write!(f, "rung {rung}, pace {pace_kbps} kbit/s, hold {hold_ms} ms, state {state}")
            }
            Self::Verdict(Verdict::Admit) => f.write_str("admit"),
            Self::Verdict(Verdict::Bypass) => f.write_str("bypass"),
            Self::Scores(scores) => write!(f, "scores {scores:?}"),
        }
    }
}

impl Snapshot {
    /// Tells an instance all of it.
    ///
    /// # Errors
    /// What the guest did when it was told.
    pub(crate) fn tell(&self, instance: &mut Instance) -> Result<(), Fault> {
        if !self.clusters.is_empty() {
            instance.clusters(self.version, &self.clusters)?;
        }
        self.ladders.iter().try_for_each(|(id, kbps)| instance.ladder(*id, kbps))
    }

    /// Keeps a ladder; of too many the one with the lowest id is forgotten.
    pub(crate) fn keep_ladder(&mut self, id: u32, kbps: Vec<u32>) {
        self.ladders.insert(id, kbps);
        if self.ladders.len() > LADDERS_MAX {
            self.ladders.pop_first();
        }
    }

    /// How many rungs a ladder has; 0 when it is not known.
    pub fn rungs(&self, ladder: u32) -> usize {
        self.ladders.get(&ladder).map_or(0, Vec::len)
    }
}

/// One instance of a generation, in nobody's seat.
pub(crate) struct Trial {
    instance: Instance,
    fuel: Option<u64>,
}

impl Trial {
    /// Starts one with `config` (JSON) and tells it a snapshot.
    ///
    /// # Errors
    /// What is missing or failed.
    pub(crate) fn new(generation: &Generation, config: &str, snapshot: &Snapshot) -> Result<Self, String> {
        let mut instance = generation.started(config, Arc::default())?;
        snapshot.tell(&mut instance).map_err(|fault| format!("told a snapshot, {fault}"))?;
        Ok(Self { instance, fuel: generation.spec.fuel })
    }

    /// Asks it: the answer, and the fuel it took. After a fault it is used up.
    pub(crate) fn ask(&mut self, question: &Question) -> (Result<Reply, Fault>, u64) {
        let fuel = self.fuel.unwrap_or_else(|| question.fuel());
        self.instance.refuel(fuel);
        let reply = match question {
            Question::Decide(flow) => self.instance.decide(flow).map(Reply::Choice),
            Question::Select(Select { ask, rungs }) => self.instance.select(ask, *rungs).map(Reply::Answer),
            Question::Admit(Admit { object, fill_permille, now_ms, rand }) => {
                self.instance.admit(object, *fill_permille, *now_ms, *rand).map(Reply::Verdict)
            }
            Question::Score(Score { sample, now_ms, rand }) => {
                let mut scores = vec![0.0; sample.len()];
                self.instance.score(sample, *now_ms, *rand, &mut scores).map(|()| Reply::Scores(scores))
            }
        };
        (reply, fuel.saturating_sub(self.instance.fuel_left()))
    }

    /// A fault in words, with the place where the guest was.
    pub(crate) fn told(&self, fault: Fault) -> String {
        self.instance.words(fault)
    }

    /// Bytes of its linear memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.instance.memory_bytes()
    }
}
