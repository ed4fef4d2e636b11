//! A session that is decided as at the edge: by the contract of guests, of the real guest or of its native twin.
//!
//! What the contract does not carry is not told: sizes, latency, and what came of a segment. Nothing is given up, and the advice to wait is not
//! followed, as a node does not.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use littoral_plugin_host::{Host, HostSettings, Interface, Plugin, PluginSpec};
use littoral_rate::edge::{Answered, Asked, Edge};
use littoral_rate::{Ask, Choice, Ladder, Rule};

/// The number that the ladder is told by.
const LADDER: u32 = 1;

/// A guest in its seat.
pub struct Seated(Arc<Plugin>);

impl Seated {
    /// Loads a policy as a node does.
    ///
    /// # Errors
    /// One line: the file, what is wrong with it or its config.
    pub fn new(file: &Path, config: &str) -> Result<Self> {
        let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let spec = PluginSpec { config: config.to_owned(), ..PluginSpec::new(name, file) };
        let settings = HostSettings { cache_dir: None, compiler: None, now_ms: || 0 };
        let host = Host::new(settings).map_err(|error| anyhow!(error))?;
        Ok(Self(host.load(spec, Some(Interface::Rate)).map_err(|error| anyhow!("{error}"))?))
    }

    /// It, at the beginning of a session. What it faults at gets the lowest rung; see [`Seated::faults`].
    pub fn rule(&self) -> Box<dyn Rule> {
        Box::new(Guest { plugin: self.0.clone(), told: None, state: 0, last: None })
    }

    /// How often it did not answer.
    pub fn faults(&self) -> u64 {
        self.0.status().faults.values().sum()
    }
}

/// What is asked by the contract, in its units.
fn asked(ask: &Ask, state: u64, last: Option<u8>) -> Asked {
    let kbps = ask.kbps.map_or(0, |kbps| kbps as u32);
    Asked { state, kbps, buffer_ms: ask.buffer_ms as u32, last, segment_ms: ask.segment_ms as u32 }
}

struct Guest {
    plugin: Arc<Plugin>,
    told: Option<Ladder>,
    state: u64,
    last: Option<u8>,
}

impl Rule for Guest {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        if self.told.as_ref() != Some(ladder) {
            let kbps = (0..ladder.rungs()).map(|rung| ladder.kbps(rung) as u32).collect();
            self.plugin.push_ladder(LADDER, kbps);
            self.told = Some(ladder.clone());
        }
        let Asked { state, kbps: est_kbps, buffer_ms, last, segment_ms } = asked(ask, self.state, self.last);
        let last_rung = last.unwrap_or(u8::MAX);
        let ask = littoral_plugin_host::Ask {
            state,
            est_kbps,
            buffer_ms,
            last_rung,
            segment_ms,
            ladder: LADDER,
            now_ms: 0,
            rand: 0,
        };
        let rung = match self.plugin.select(&ask, ladder.rungs()) {
            Ok(answer) => {
                self.state = answer.state;
                answer.rung
            }
            Err(_) => 0,
        };
        self.last = Some(rung);
        Choice::now(rung.into())
    }
}

/// The native twin of a guest, for a player that buffers so much, ms.
pub struct Native<E> {
    /// Its rule.
    pub rule: E,
    /// What its config says of the buffer, ms.
    pub buffer_ms: f64,
    state: u64,
    last: Option<u8>,
}

impl<E: Edge> Native<E> {
    /// At the beginning of a session.
    pub fn new(rule: E, buffer_ms: f64) -> Self {
        Self { rule, buffer_ms, state: 0, last: None }
    }
}

impl<E: Edge> Rule for Native<E> {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let whole = Ladder::new((0..ladder.rungs()).map(|rung| f64::from(ladder.kbps(rung) as u32)));
        let asked = asked(ask, self.state, self.last);
        let Answered { choice, state } = self.rule.select(&whole, &asked, self.buffer_ms);
        (self.state, self.last) = (state, u8::try_from(choice.rung).ok());
        Choice::now(choice.rung)
    }
}
