//! What viewers of all titles have in common: how far they get, which representation they see and how often they stay with it, and
//! how long a segment takes. Eviction and the order in which titles are pushed both go by it.

/// Segments told apart; those behind count as the last.
pub const SEGMENTS: usize = 1024;
/// Representations told apart; those beyond are taken for one.
const RUNGS: usize = 64;
/// Requests after which older ones count half.
const FADES_AT: f32 = 50_000.0;
/// Milliseconds a segment takes before anything is known.
const SEGMENT_MS: f64 = 4_000.0;
/// Share of the past in the estimate of a segment's time.
const PAST: f64 = 0.99;

/// The audience.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Requests by the number of the segment.
    reached: Vec<f32>,
    rungs: Vec<(u16, f32)>,
    requests: f32,
    stayed: f32,
    moved: f32,
    segment_ms: f64,
}

impl Default for Audience {
    fn default() -> Self {
        let (reached, rungs) = (vec![0.0; SEGMENTS], Vec::new());
        Self { reached, rungs, requests: 0.0, stayed: 0.0, moved: 0.0, segment_ms: SEGMENT_MS }
    }
}

impl Audience {
    /// A segment was asked for.
    pub fn saw(&mut self, segment: u32, rung: u16) {
        self.reached[(segment as usize).min(SEGMENTS - 1)] += 1.0;
        match self.rungs.iter().position(|(known, _)| *known == rung) {
            Some(at) => self.rungs[at].1 += 1.0,
            None if self.rungs.len() < RUNGS => self.rungs.push((rung, 1.0)),
            None => self.rungs[RUNGS - 1].1 += 1.0,
        }
        self.requests += 1.0;
        if self.requests >= FADES_AT {
            self.reached.iter_mut().for_each(|count| *count /= 2.0);
            self.rungs.iter_mut().for_each(|(_, count)| *count /= 2.0);
            (self.stayed, self.moved) = (self.stayed / 2.0, self.moved / 2.0);
            self.requests /= 2.0;
        }
    }

    /// A viewer went on to the next segment after so long.
    pub fn went_on(&mut self, same_rung: bool, ms: u64) {
        *if same_rung { &mut self.stayed } else { &mut self.moved } += 1.0;
        // Who fills a buffer or pauses says nothing of how long a segment takes.
        let ms = ms as f64;
        if ms > self.segment_ms / 2.0 && ms < self.segment_ms * 4.0 {
            self.segment_ms = self.segment_ms * PAST + ms * (1.0 - PAST);
        }
    }

    /// Milliseconds that a segment takes.
    pub fn segment_ms(&self) -> f64 {
        self.segment_ms
    }

    /// Requests of late for the segment of this number.
    pub fn reached(&self, segment: u32) -> f64 {
        f64::from(self.reached[(segment as usize).min(SEGMENTS - 1)])
    }

    /// The share of those at segment `from` who get to `to`. Who stands at 0 has started: most packagers number from 1.
    pub fn survive(&self, from: u32, to: u32) -> f64 {
        let at = |segment: u32| f64::from(self.reached[(segment as usize).min(SEGMENTS - 1)]) + 1.0;
        let here = if from == 0 { at(0).max(at(1)) } else { at(from) };
        (at(to) / here).min(1.0)
    }

    /// The share of a representation.
    pub fn share(&self, rung: u16) -> f64 {
        let known = self.rungs.iter().find(|(known, _)| *known == rung).map_or(0.0, |(_, count)| *count);
        f64::from(known + 1.0) / f64::from(self.requests + self.rungs.len() as f32 + 1.0)
    }

    /// The chance of seeing `rung` so many segments after `from`.
    pub fn sees(&self, from: u16, rung: u16, ahead: u32) -> f64 {
        let stays = f64::from(self.stayed + 1.0) / f64::from(self.stayed + self.moved + 2.0);
        let still = stays.powi(ahead.min(1_000) as i32);
        (1.0 - still) * self.share(rung) + if from == rung { still } else { 0.0 }
    }
}
