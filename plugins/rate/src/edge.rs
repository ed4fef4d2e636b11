//! The rules as a node or a player asks them by the contract of guests: all that is kept of a session is 64 bits.
//!
//! An ask has an estimate of the throughput, the media that is buffered, the rung before, and a segment's duration. It has neither sizes nor
//! latency, nothing is given up, and where a title ends is not known. How much the player buffers at most is a setting. What each rule makes of
//! that is said where it stands; [`guest!`](crate::guest) makes a policy of it.
//!
//! Invariant: pure, as the rules are; any state is taken as one of its own.

use crate::bola::{Form, Rise};
use crate::{Ask, Choice, Fetched, Ladder, Rule, bba, bola, bola_e, dynamic, littoral, mpc};

/// What the player buffers at most unless the config says, s.
pub const BUFFER_S: f64 = 25.0;
/// The least and the most that may be configured, s.
pub const BUFFER_RANGE_S: (f64, f64) = (1.0, 3600.0);
/// Segments of plans that [`Mpc`] looks at for one decision, unless the config says.
pub const LOOKS: u32 = 100;
/// Decisions from which on a count of them says nothing more, in three bits.
const DECISIONS_MAX: u32 = 7;
/// Parts that an error is kept in.
const ERROR_PARTS: f64 = 32.0;

/// What is asked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// What the last answer carried; 0 at first.
    pub state: u64,
    /// Estimated throughput, kbit/s; 0 when unknown.
    pub kbps: u32,
    /// Media in the buffer, ms.
    pub buffer_ms: u32,
    /// The rung before.
    pub last: Option<u8>,
    /// Duration of the segment, ms; 0 for an initialisation segment.
    pub segment_ms: u32,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    /// What to fetch, and after which wait.
    pub choice: Choice,
    /// For the next question.
    pub state: u64,
}

impl Asked {
    fn ask(&self, buffer_max_ms: f64) -> Ask<'static> {
        Ask {
            buffer_ms: f64::from(self.buffer_ms),
            buffer_max_ms,
            kbps: (self.kbps > 0).then(|| f64::from(self.kbps)),
            latency_ms: 0.0,
            segment_ms: f64::from(self.segment_ms),
            segment: 0,
            segments: None,
            sizes: &[],
        }
    }

    fn last(&self) -> usize {
        self.last.map_or(0, usize::from)
    }
}

/// A rule that has what it remembers in its state.
pub trait Edge {
    /// What to fetch next, and what to remember.
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits);

    /// Answers. An initialisation segment is one of the rung before, or of what throughput carries, and changes nothing.
    fn select(&self, ladder: &Ladder, asked: &Asked, buffer_max_ms: f64) -> Answered {
        if asked.segment_ms == 0 {
            let carried = ladder.carried(f64::from(asked.kbps) * crate::throughput::SAFETY, 0.0, 1000.0);
            let rung = asked.last.map_or(carried, usize::from).min(ladder.top());
            return Answered { choice: Choice::now(rung), state: asked.state };
        }
        let buffer_max_ms = buffer_max_ms.max(f64::from(asked.segment_ms));
        let (choice, state) = self.choose(ladder, asked, asked.ask(buffer_max_ms));
        Answered { choice: Choice { rung: choice.rung.min(ladder.top()), ..choice }, state: state.0 }
    }
}

/// Figures in one number, the last one put in the lowest bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bits(u64);

impl Bits {
    fn put(self, width: u32, figure: u64) -> Self {
        Self((self.0 << width) | figure.min((1 << width) - 1))
    }

    fn take(&mut self, width: u32) -> u64 {
        let figure = self.0 & ((1 << width) - 1);
        self.0 >>= width;
        figure
    }
}

/// BBA: has all that it needs.
#[derive(Debug, Clone, Copy)]
pub struct Bba;

impl Edge for Bba {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        (bba::Bba::after(asked.last()).choose(ladder, &ask), Bits::default())
    }
}

/// BOLA, basic or finite. *Finite* counts the session's segments and so knows its beginning, but not its end.
#[derive(Debug, Clone, Copy)]
pub struct Bola {
    /// Which form.
    pub form: Form,
    /// What happens where the buffer says more than the throughput sustains.
    pub rise: Rise,
}

impl Edge for Bola {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let segment = asked.state & 0xffff;
        let ask = Ask { segment: segment as usize, ..ask };
        let choice = bola::Bola::after(self.form, self.rise, asked.last()).choose(ladder, &ask);
        (choice, Bits::default().put(16, segment + 1))
    }
}

/// BOLA-E: the placeholder and the count of decisions are kept. What the player buffered before the last segment says how much it has passed
/// since; a wait for a full buffer is not told from a download, so the placeholder does not grow by it.
#[derive(Debug, Clone, Copy)]
pub struct BolaE {
    /// What happens where the buffer says more than the throughput sustains.
    pub rise: Rise,
}

/// BOLA-E's memory: placeholder, buffer at the last decision, ms, decisions.
#[derive(Debug, Clone, Copy)]
struct Past {
    placeholder_ms: f64,
    buffer_ms: u64,
    decisions: u32,
}

impl Past {
    fn take(bits: &mut Bits) -> Self {
        let placeholder_ms = f64::from(f32::from_bits(bits.take(32) as u32));
        let placeholder_ms = if placeholder_ms.is_finite() { placeholder_ms } else { 0.0 };
        Self { placeholder_ms, buffer_ms: bits.take(24), decisions: bits.take(3) as u32 }
    }

    /// The rule as it is now that its last segment has come.
    fn resume(self, rise: Rise, ladder: &Ladder, asked: &Asked, ask: &Ask) -> bola_e::BolaE {
        let mut rule = bola_e::BolaE::after(rise, self.placeholder_ms, asked.last(), self.decisions);
        rule.fit(ladder, ask);
        if self.decisions > 0 {
            let passed_ms = self.buffer_ms as f64 + ask.segment_ms - ask.buffer_ms;
            let (rung, buffer_ms) = (asked.last(), ask.buffer_ms);
            let came = Fetched { rung, bits: 0.0, ms: passed_ms, latency_ms: 0.0, buffer_ms, abandoned_for: None };
            rule.fetched(ladder, &came);
        }
        rule
    }

    /// With what the rule decided by now.
    fn put(self, bits: Bits, rule: &bola_e::BolaE, asked: &Asked, decided: bool) -> Bits {
        let decisions = (self.decisions + u32::from(decided)).min(DECISIONS_MAX);
        let bits = bits.put(3, decisions.into()).put(24, asked.buffer_ms.into());
        bits.put(32, (rule.placeholder_ms() as f32).to_bits().into())
    }
}

impl Edge for BolaE {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let past = Past::take(&mut Bits(asked.state));
        let mut rule = past.resume(self.rise, ladder, asked, &ask);
        let choice = rule.choose(ladder, &ask);
        (choice, past.put(Bits::default(), &rule, asked, ask.kbps.is_some()))
    }
}

/// RobustMPC: the prediction is the estimate it is asked with, and how wrong the last five were is kept, each in eight bits, rounded up. An
/// estimate counts as right when the next one is the same.
#[derive(Debug, Clone, Copy)]
pub struct Mpc {
    /// Segments of plans that are looked at for one decision, less one for each rung, whose logarithm costs as much; the best plan so far
    /// decides then.
    pub looks: u32,
}

impl Edge for Mpc {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let mut state = Bits(asked.state);
        let estimated = state.take(24);
        let mut errors = [0; mpc::HORIZON].map(|_: u64| state.take(8));
        let kbps = f64::from(asked.kbps);
        if estimated > 0 && asked.kbps > 0 {
            errors.rotate_right(1);
            errors[0] = ((estimated as f64 - kbps).abs() / kbps * ERROR_PARTS).ceil().min(255.0) as u64;
        }
        let past = errors.map(|error| (kbps, error as f64 / ERROR_PARTS));
        let known = if asked.kbps > 0 { &past[..] } else { &[] };
        let looks = self.looks.saturating_sub(ladder.rungs() as u32).max(1);
        let mut rule = mpc::Mpc::after(known.iter().copied(), None, asked.last()).within(looks);
        let kept = errors.iter().rev().fold(Bits::default(), |bits, error| bits.put(8, *error));
        (rule.choose(ladder, &ask), kept.put(24, if asked.kbps > 0 { asked.kbps.into() } else { estimated }))
    }
}

/// DYNAMIC of the paper: throughput, and BOLA finite as above.
#[derive(Debug, Clone, Copy)]
pub struct Dynamic;

impl Edge for Dynamic {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let mut state = Bits(asked.state);
        let (segment, bola, by_bola) = (state.take(16), state.take(8), state.take(1) == 1);
        let mut rule = dynamic::Dynamic::after(bola as usize, by_bola, segment as u32);
        let choice = rule.choose(ladder, &Ask { segment: segment as usize, ..ask });
        let (by_bola, bola) = rule.memory();
        (choice, Bits::default().put(1, by_bola.into()).put(8, bola as u64).put(16, segment + 1))
    }
}

/// What dash.js plays: throughput below, BOLA-E as above.
#[derive(Debug, Clone, Copy)]
pub struct DynamicDash;

impl Edge for DynamicDash {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let mut state = Bits(asked.state);
        let past = Past::take(&mut state);
        let (decisions, by_bola) = (state.take(3) as u32, state.take(1) == 1);
        let bola = past.resume(Rise::Sustained, ladder, asked, &ask);
        let mut rule = dynamic::DynamicDash::after(bola, by_bola, decisions);
        let choice = rule.choose(ladder, &ask);
        let (by_bola, bola) = rule.memory();
        let decisions = (decisions + u32::from(!by_bola)).min(DECISIONS_MAX);
        let bits = Bits::default().put(1, by_bola.into()).put(3, decisions.into());
        (choice, past.put(bits, bola, asked, by_bola && ask.kbps.is_some()))
    }
}

/// Ours: how much each of the last four estimates was of the one before is kept in place of throughput over estimate, each in eight bits.
#[derive(Debug, Clone, Copy)]
pub struct Littoral;

impl Edge for Littoral {
    fn choose(&self, ladder: &Ladder, asked: &Asked, ask: Ask) -> (Choice, Bits) {
        let mut state = Bits(asked.state);
        let estimated = state.take(24);
        // 0 is one that is not known yet, 128 stands for no error.
        let mut errors = [0; littoral::REMEMBERED].map(|_: u64| state.take(8));
        if estimated > 0 && asked.kbps > 0 {
            errors.rotate_right(1);
            let error = (f64::from(asked.kbps) / estimated as f64).ln() * ERROR_PARTS;
            errors[0] = (error.round() + 128.0).clamp(1.0, 255.0) as u64;
        }
        let known = errors.iter().filter(|error| **error > 0).map(|error| (*error as f64 - 128.0) / ERROR_PARTS);
        let mut rule = littoral::Littoral::after(known, asked.last.map(usize::from));
        let kept = errors.iter().rev().fold(Bits::default(), |bits, error| bits.put(8, *error));
        (rule.choose(ladder, &ask), kept.put(24, if asked.kbps > 0 { asked.kbps.into() } else { estimated }))
    }
}

/// The `buffer` of a config in ms.
///
/// # Errors
/// One line for the operator: what may be configured.
pub fn buffer_ms(seconds: f64) -> Result<f64, String> {
    let (least, most) = BUFFER_RANGE_S;
    match (least..=most).contains(&seconds) {
        true => Ok(seconds * 1000.0),
        false => Err(format!("buffer is {least} to {most} seconds, not {seconds}")),
    }
}

/// Makes a policy of a type with a field `buffer_ms` and `new(config) -> Result<Self, String>`: `$select` is given the policy, ladder, question
/// and buffer, and answers by an [`Edge`].
#[macro_export]
macro_rules! guest {
    ($policy:ty, $select:expr) => {
        impl littoral_plugin::policy::Rate for $policy {
            fn new(config: &str) -> Result<Self, String> {
                <$policy>::configured(config)
            }
            fn select(&self, ask: &littoral_plugin::policy::Ask, ladder: &[u32]) -> littoral_plugin::policy::Answer {
                let select: fn(&Self, &$crate::Ladder, &$crate::edge::Asked) -> $crate::edge::Answered = $select;
                let asked = $crate::edge::Asked {
                    state: ask.state,
                    kbps: ask.est_kbps,
                    buffer_ms: ask.buffer_ms,
                    last: (ask.last_rung != littoral_plugin::policy::NO_RUNG).then_some(ask.last_rung),
                    segment_ms: ask.segment_ms,
                };
                let ladder = $crate::Ladder::new(ladder.iter().map(|kbps| f64::from(*kbps)));
                let $crate::edge::Answered { choice, state } = select(self, &ladder, &asked);
                littoral_plugin::policy::Answer {
                    rung: choice.rung.min(254) as u8,
                    hold_ms: choice.wait_ms as u16,
                    state,
                    ..Default::default()
                }
            }
        }
    };
}

#[cfg(test)]
mod tests;
