//! DYNAMIC: throughput while the buffer is low, BOLA above (Spiteri, Sitaraman, Sparacio, MMSys 2018).
//!
//! Two forms: sabre's DYNAMIC lets the change wait until both rules agree about its direction, over BOLA finite; DYNAMIC-DASH is what
//! dash.js plays, BOLA-E above 10 s and throughput again below 5 s.

use crate::bola::{Bola, Form, Rise};
use crate::bola_e::BolaE;
use crate::throughput::Throughput;
use crate::{Ask, Choice, Fetched, Ladder, Progress, Rule};

/// Buffer up to which throughput chooses, ms.
const LOW_MS: f64 = 10_000.0;
/// Buffer below which dash.js goes back to throughput, ms.
const BACK_MS: f64 = 5000.0;

/// The rule of the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dynamic {
    bola: Bola,
    throughput: Throughput,
    by_bola: bool,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self { bola: Bola::new(Form::Finite, Rise::Sustained), throughput: Throughput::default(), by_bola: false }
    }
}

impl Dynamic {
    /// A session that goes on.
    pub fn after(last_of_bola: usize, by_bola: bool, decisions: u32) -> Self {
        Self {
            bola: Bola::after(Form::Finite, Rise::Sustained, last_of_bola),
            throughput: Throughput::after(decisions),
            by_bola,
        }
    }

    /// Whether BOLA chooses now, and what it would have chosen last.
    pub fn memory(&self) -> (bool, usize) {
        (self.by_bola, self.bola.last())
    }
}

impl Rule for Dynamic {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let bola = self.bola.choose(ladder, ask);
        let throughput = self.throughput.choose(ladder, ask);
        if self.by_bola {
            self.by_bola = ask.buffer_ms >= LOW_MS || bola.rung >= throughput.rung;
        } else {
            self.by_bola = ask.buffer_ms > LOW_MS && bola.rung >= throughput.rung;
        }
        if self.by_bola { bola } else { throughput }
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        self.throughput.abandon(ladder, progress)
    }
}

/// The rule of dash.js.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicDash {
    bola: BolaE,
    throughput: Throughput,
    by_bola: bool,
}

impl Default for DynamicDash {
    fn default() -> Self {
        Self { bola: BolaE::new(Rise::Sustained), throughput: Throughput::default(), by_bola: false }
    }
}

impl DynamicDash {
    /// A session that goes on: with what BOLA-E remembers, who chose last, and how often throughput did.
    pub(crate) fn after(bola: BolaE, by_bola: bool, decisions: u32) -> Self {
        Self { bola, throughput: Throughput::after(decisions), by_bola }
    }

    /// Whether BOLA-E chooses now, and what it remembers.
    pub(crate) fn memory(&self) -> (bool, &BolaE) {
        (self.by_bola, &self.bola)
    }
}

impl Rule for DynamicDash {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        self.bola.fit(ladder, ask);
        self.by_bola = ask.buffer_ms >= if self.by_bola { BACK_MS } else { LOW_MS.next_up() };
        if self.by_bola { self.bola.choose(ladder, ask) } else { self.throughput.choose(ladder, ask) }
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        if self.by_bola { self.bola.abandon(ladder, progress) } else { self.throughput.abandon(ladder, progress) }
    }

    fn waited(&mut self, ms: f64) {
        self.bola.waited(ms);
    }

    fn fetched(&mut self, ladder: &Ladder, fetched: &Fetched) {
        self.bola.fetched(ladder, fetched);
    }
}
