//! The link of the headless player: bandwidth and latency as a trace has them, over and over.
//!
//! Time is counted here and nowhere else, in ms. A segment under way is looked at every 50 ms and 12 kbit, whichever is later,
//! as sabre does.

use littoral_rate::Progress;

use super::movie::Period;

/// A segment under way is looked at after at least this long, ms.
const LOOK_MS: f64 = 50.0;
/// And this many bits.
const LOOK_BITS: f64 = 12_000.0;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transfer {
    /// Bits that came.
    pub bits: f64,
    /// How long it took.
    pub ms: f64,
    /// Of that until the first byte.
    pub latency_ms: f64,
    /// Given up for this rung.
    pub abandoned_for: Option<usize>,
}

/// The link.
#[derive(Debug)]
pub struct Network<'a> {
    trace: &'a [Period],
    at: usize,
    left_ms: f64,
}

impl<'a> Network<'a> {
    /// At the beginning of a trace that is not empty and has bandwidth somewhere.
    pub fn new(trace: &'a [Period]) -> Self {
        Self { trace, at: 0, left_ms: trace[0].ms }
    }

    fn now(&self) -> &'a Period {
        &self.trace[self.at]
    }

    fn next(&mut self) {
        self.at = (self.at + 1) % self.trace.len();
        self.left_ms = self.now().ms;
    }

    /// Lets time pass.
    pub fn wait(&mut self, mut ms: f64) {
        while ms > self.left_ms {
            ms -= self.left_ms;
            self.next();
        }
        self.left_ms -= ms;
    }

    /// Waits for the first byte: the latency of the moment, in shares where periods change meanwhile.
    fn latency(&mut self) -> f64 {
        let (mut share, mut waited) = (1.0, 0.0);
        while share > 0.0 {
            let ms = share * self.now().latency_ms;
            if ms <= self.left_ms {
                self.left_ms -= ms;
                return waited + ms;
            }
            waited += self.left_ms;
            share -= self.left_ms / self.now().latency_ms;
            self.next();
        }
        waited
    }

    /// A request that is never given up.
    pub fn fetch(&mut self, bits: f64) -> Transfer {
        let latency_ms = self.latency();
        let (mut left, mut ms) = (bits, 0.0);
        loop {
            let kbps = self.now().kbps;
            if left <= self.left_ms * kbps {
                let took = left / kbps;
                self.left_ms -= took;
                return Transfer { bits, ms: latency_ms + (ms + took), latency_ms, abandoned_for: None };
            }
            ms += self.left_ms;
            left -= self.left_ms * kbps;
            self.next();
        }
    }

    /// A request that may be given up: `look` is asked on the way, with the progress and `buffer_ms` less what has passed.
    pub fn watch(
        &mut self,
        whole: Progress,
        buffer_ms: f64,
        mut look: impl FnMut(&Progress) -> Option<usize>,
    ) -> Transfer {
        let latency_ms = self.latency();
        let (mut ms, mut done_bits) = (latency_ms, 0.0);
        let mut least_ms = LOOK_MS - latency_ms;
        while done_bits < whole.bits {
            let (bits, took) = self.some(whole.bits - done_bits, LOOK_BITS, least_ms);
            (ms, done_bits, least_ms) = (ms + took, done_bits + bits, LOOK_MS);
            if done_bits < whole.bits {
                let buffer_ms = (buffer_ms - ms).max(0.0);
                let abandoned_for = look(&Progress { done_bits, ms, latency_ms, buffer_ms, ..whole });
                if abandoned_for.is_some() {
                    return Transfer { bits: done_bits, ms, latency_ms, abandoned_for };
                }
            }
        }
        Transfer { bits: done_bits, ms, latency_ms, abandoned_for: None }
    }

    /// Receives at least so many bits for at least so long, or all that is left.
    fn some(&mut self, mut left: f64, mut least_bits: f64, mut least_ms: f64) -> (f64, f64) {
        let (mut bits, mut ms) = (0.0, 0.0);
        while left > 0.0 && (least_bits > 0.0 || least_ms > 0.0) {
            let kbps = self.now().kbps;
            let wanted = least_bits.max(least_ms * kbps);
            let to_next = self.left_ms * kbps;
            let (came, took, over) = if kbps > 0.0 && left <= wanted && left <= to_next {
                (left, left / kbps, false)
            } else if kbps > 0.0 && wanted <= to_next {
                // All of both: what rounding leaves of them is no reason to go on.
                (least_bits, least_ms) = (0.0, 0.0);
                (wanted, wanted / kbps, false)
            } else if kbps <= 0.0 && least_bits <= 0.0 && least_ms <= self.left_ms {
                (0.0, least_ms, false)
            } else {
                (to_next, self.left_ms, true)
            };
            if over {
                self.next();
            } else {
                self.left_ms -= took;
            }
            (bits, ms, left) = (bits + came, ms + took, left - came);
            (least_bits, least_ms) = (least_bits - came, least_ms - took);
        }
        (bits, ms)
    }
}
