//! The access link a player is told to have: a rate, or several rates one after the other.
//!
//! It only says how long bytes would take; nothing is slowed here. Invariant: it has 1 to [`STEPS_MAX`] steps, none without
//! a rate and none without a duration.

use std::str::FromStr;
use std::time::Duration;

/// Steps of one link.
const STEPS_MAX: usize = 64;
/// The longest step.
const STEP_MAX: Duration = Duration::from_secs(86_400);

/// A link whose rate may change while the player watches; after the last step it starts over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    bits_per_s: u64,
    lasts: Duration,
}

impl Link {
    /// A link that is always this fast; at least 1 bit/s.
    pub fn steady(kbit_per_s: u64) -> Self {
        Self { steps: vec![Step { bits_per_s: (kbit_per_s * 1000).max(1), lasts: Duration::from_secs(3600) }] }
    }

    /// How long `bytes` take when they start at `at` of the player's clock.
    pub(super) fn time_for(&self, bytes: u64, at: Duration) -> Duration {
        let cycle: Duration = self.steps.iter().map(|step| step.lasts).sum();
        let mut into = Duration::from_nanos((at.as_nanos() % cycle.as_nanos().max(1)) as u64);
        let bits_per_cycle: f64 = self.steps.iter().map(|step| step.bits_per_s as f64 * step.lasts.as_secs_f64()).sum();
        let mut bits = bytes as f64 * 8.0;
        let cycles = (bits / bits_per_cycle).floor();
        bits -= cycles * bits_per_cycle;
        let mut time = cycle.mul_f64(cycles);
        for step in self.steps.iter().cycle() {
            let Some(left) = step.lasts.checked_sub(into).filter(|left| !left.is_zero()) else {
                into = into.saturating_sub(step.lasts);
                continue;
            };
            into = Duration::ZERO;
            let needed = bits / step.bits_per_s as f64;
            if needed <= left.as_secs_f64() {
                return time + Duration::from_secs_f64(needed);
            }
            bits -= left.as_secs_f64() * step.bits_per_s as f64;
            time += left;
        }
        time
    }
}

impl FromStr for Link {
    type Err = String;

    /// `600kbps`, or steps such as `2Mbps:8s,300kbps:8s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let steps: Result<Vec<Step>, String> = text.split(',').map(step).collect();
        let steps = steps?;
        if steps.len() > STEPS_MAX {
            return Err(format!("a link of {} steps; at most {STEPS_MAX} are read", steps.len()));
        }
        Ok(Self { steps })
    }
}

fn step(text: &str) -> Result<Step, String> {
    let problem = || format!("{text:?} is no link; write 600kbps, or steps such as 2Mbps:8s,300kbps:8s");
    let (rate, lasts) = text.split_once(':').unwrap_or((text, "1h"));
    let split = rate.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(problem)?;
    let scale = match rate[split..].to_ascii_lowercase().as_str() {
        "bps" => 1,
        "kbps" => 1_000,
        "mbps" => 1_000_000,
        "gbps" => 1_000_000_000,
        _ => return Err(problem()),
    };
    let number: u64 = rate[..split].trim().parse().map_err(|_| problem())?;
    let bits_per_s = number.checked_mul(scale).filter(|rate| *rate > 0).ok_or_else(problem)?;
    let lasts = humantime::parse_duration(lasts).map_err(|_| problem())?;
    let usable = !lasts.is_zero() && lasts <= STEP_MAX;
    if usable { Ok(Step { bits_per_s, lasts }) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_of_the_steps_they_cross() {
        let link: Link = "8kbps:1s,80kbps:1s".parse().unwrap();
        assert_eq!(link.time_for(500, Duration::ZERO), Duration::from_millis(500));
        assert_eq!(link.time_for(2000, Duration::ZERO), Duration::from_millis(1100));
        assert_eq!(link.time_for(1000, Duration::from_secs(3)), Duration::from_millis(100));
        assert_eq!(link.time_for(500, Duration::from_secs(2)), Duration::from_millis(500));
    }

    #[test]
    fn a_link_without_a_unit_a_rate_or_a_time_is_refused() {
        for text in ["600", "0kbps", "fast", "1Mbps:0s", "1Mbps:x", "", "99999999999999999999Mbps", "1Mbps,"] {
            assert!(text.parse::<Link>().unwrap_err().contains("600kbps"), "{text}");
        }
        assert_eq!("600kbps".parse::<Link>().unwrap(), Link::steady(600));
    }
}
