//! Which cluster: the one with the shortest round-trip time to the client, measured where it is, else reckoned from the distance.
//!
//! ```toml
//! config = { margin_ms = 5, margin_percent = 10, explore = 0.0 }
//! ```
//!
//! Both are on one scale: a way without a measurement counts 5 ms and 15 µs for each kilometre, and what the client's best measured way takes
//! longer than that: an access network that is slow is slow to everybody. The coverage zone a client is in counts as no distance.
//!
//! Small differences move nobody. The cluster that distance alone would choose is left for another one only when that is faster by
//! `margin_ms` and by `margin_percent` of its time; and the times themselves stand still while they tremble, which is the node's doing.
//!
//! What nobody uses nobody measures. With `explore` each measured prefix has that share of hours in which its unmeasured clusters count their
//! distance alone, so that a faster one gets clients, and a time.

use littoral_plugin::policy::measured::{self, estimated_us};
use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, NONE, Routing, Term, lot};
use serde::Deserialize;

/// Milliseconds for which a prefix explores, or does not.
const EXPLORE_MS: u64 = 3_600_000;

/// What the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// By how much another cluster must be faster, in milliseconds.
    margin_ms: f32,
    /// And in percent.
    margin_percent: f32,
    /// Of a measured prefix's hours those in which it tries what is not measured, 0 to 1.
    explore: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { margin_ms: 5.0, margin_percent: 10.0, explore: 0.0 }
    }
}

/// What is known of a cluster, ready for the hot path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    place: [f32; 3],
    /// Its load in permille: what tells clusters apart where no place is known.
    load: f32,
    healthy: bool,
}

/// The policy.
#[derive(Debug)]
pub struct RouteRtt {
    config: Config,
    rows: [Row; CLUSTERS_MAX],
}

/// Times to the candidates.
struct Reckoned {
    /// Measured, or else what distance lets expect, in microseconds.
    times: [f32; CLUSTERS_MAX],
    known: u64,
    /// What is added to those that are not known.
    slower: f32,
    /// Who would be chosen by distance alone.
    home: u16,
    explores: bool,
}

impl Reckoned {
    #[inline]
    fn time(&self, index: u16) -> f32 {
        self.times[usize::from(index)] + if self.known >> index & 1 == 1 { 0.0 } else { self.slower }
    }
}

impl RouteRtt {
    /// What distance alone lets expect, in microseconds.
    fn expected(&self, flow: &Flow, index: u16) -> f32 {
        let (row, place) = (&self.rows[usize::from(index)], flow.place);
        let cosine = row.place[0] * place[0] + row.place[1] * place[1] + row.place[2] * place[2];
        match place {
            // Just before whoever is as near.
            _ if index == flow.zone && row.healthy => estimated_us(1.0).next_down(),
            // A quarter of the way around the world: whatever was measured is known better.
            [0.0, 0.0, 0.0] => estimated_us(0.0) + row.load,
            _ => estimated_us(cosine),
        }
    }

    /// The times of all candidates, with what is measured to those that are `known`.
    #[inline]
    fn reckon(&self, flow: &Flow, known: u64) -> Reckoned {
        let mut times = [0.0_f32; CLUSTERS_MAX];
        let mut home = (f32::INFINITY, NONE);
        each(flow.candidates, |index| {
            let expected = self.expected(flow, index);
            times[usize::from(index)] = expected;
            if expected < home.0 {
                home = (expected, index);
            }
        });
        let mut slower = f32::INFINITY;
        each(known, |index| {
            let time = &mut times[usize::from(index)];
            let us = measured::rtt_us(index) as f32;
            slower = slower.min(us - *time);
            *time = us;
        });
        let explores = self.explores(flow);
        let slower = if explores || known == 0 { 0.0 } else { slower.max(0.0) };
        Reckoned { times, known, slower, home: home.1, explores }
    }

    /// By how much somebody has to be faster than the cluster that distance alone would choose; 0 of the others.
    #[inline]
    fn margin_us(&self, reckoned: &Reckoned, index: u16) -> f32 {
        if index != reckoned.home || reckoned.explores {
            return 0.0;
        }
        f32::max(self.config.margin_ms * 1000.0, reckoned.time(index) * self.config.margin_percent / 100.0)
    }

    fn explores(&self, flow: &Flow) -> bool {
        let prefix = (flow.address >> 64) as u64 ^ flow.address as u64;
        let seed = flow.rand ^ prefix.rotate_left(32) ^ (flow.now_ms / EXPLORE_MS);
        self.config.explore > 0.0 && lot(seed, NONE) <= self.config.explore
    }
}

/// Each cluster of a mask.
fn each(mut mask: u64, mut of: impl FnMut(u16)) {
    while mask != 0 {
        of(mask.trailing_zeros() as u16);
        mask &= mask - 1;
    }
}

impl Routing for RouteRtt {
    fn new(config: &str) -> Result<Self, String> {
        let config: Config = littoral_plugin::config(config)?;
        let bounds = [
            ("margin_ms", config.margin_ms, 1000.0),
            ("margin_percent", config.margin_percent, 100.0),
            ("explore", config.explore, 1.0),
        ];
        match bounds.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((key, value, most)) => Err(format!("{key} is 0 to {most}, not {value}")),
            None => Ok(Self { config, rows: [Row::default(); CLUSTERS_MAX] }),
        }
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.rows = [Row::default(); CLUSTERS_MAX];
        for cluster in all {
            let load = f32::from(cluster.load_permille);
            self.rows[usize::from(cluster.index)] = Row { place: cluster.place, load, healthy: cluster.healthy };
        }
    }

    fn decide(&self, flow: &Flow) -> Choice {
        let known = measured::clusters() & flow.candidates;
        if known == 0 {
            return Choice::cheapest(flow.candidates, |index| self.expected(flow, index));
        }
        let reckoned = self.reckon(flow, known);
        Choice::cheapest(flow.candidates, |index| reckoned.time(index) - self.margin_us(&reckoned, index))
    }
}

impl Explained for RouteRtt {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        let known = measured::clusters() & flow.candidates;
        let reckoned = self.reckon(flow, known);
        Term::of_each(flow.candidates, |index| {
            let (is_measured, margin) = (known >> index & 1 == 1, self.margin_us(&reckoned, index));
            let slower = if is_measured { 0.0 } else { reckoned.slower };
            [
                (if is_measured { "measured-us" } else { "expected-us" }, reckoned.times[usize::from(index)]),
                ("slower-us", slower),
                ("margin-us", -margin),
                ("cost-us", reckoned.time(index) - margin),
            ]
        })
    }
}

littoral_plugin::export_policy!(RouteRtt, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    const HERE: [f32; 3] = [1.0, 0.0, 0.0];

    /// Clusters here, some 1,300 and some 4,100 km away: 5, 24 and 66 ms if not measured.
    fn seat(config: &str) -> Seat<RouteRtt> {
        let places = [HERE, [0.98, 0.199, 0.0], [0.8, 0.6, 0.0]];
        let row = |(index, place)| Cluster { index, healthy: true, place, ..Cluster::default() };
        Seat::routing(config, &(0..).zip(places).map(row).collect::<Vec<_>>()).unwrap()
    }

    fn chosen(config: &str, flow: Flow, times: &[(u16, u32)]) -> Vec<u16> {
        measured::tell(times);
        seat(config).decide(&Flow { candidates: 0b111, ..flow }).unwrap().named().to_vec()
    }

    fn here() -> Flow {
        Flow { place: HERE, ..Flow::default() }
    }

    #[test]
    fn the_fastest_measured_comes_first_and_distance_stands_in_for_the_others() {
        assert_eq!(chosen("{}", here(), &[]), [0, 1, 2]);
        assert_eq!(chosen("{}", here(), &[(0, 80_000), (1, 90_000), (2, 30_000)]), [2, 0, 1]);
        assert_eq!(chosen("{}", here(), &[(2, 4_000), (0, 30_000)]), [2, 1, 0], "1 counts its distance, 24 ms");
        assert_eq!(chosen("{}", Flow { zone: 2, ..here() }, &[]), [2, 0, 1]);
        assert_eq!(chosen("{}", Flow { zone: 2, ..here() }, &[(2, 70_000), (0, 30_000)]), [0, 1, 2]);
        assert_eq!(chosen("{}", Flow::default(), &[(1, 30_000)]), [1, 0, 2], "nobody knows where the client is");
        measured::tell(&[]);
        assert_eq!(seat("{}").decide(&Flow::default()).unwrap(), Choice::NOBODY);
    }

    #[test]
    fn what_is_told_to_people_is_what_decides() {
        for times in [&[][..], &[(0, 80_000), (1, 90_000), (2, 30_000)], &[(2, 4_000), (0, 30_000)], &[(0, 600_000)]] {
            let named = chosen("{}", here(), times);
            let terms = seat("{}").terms(&Flow { candidates: 0b111, ..here() }).unwrap();
            let mut costs: Vec<_> = terms.iter().filter(|term| term.name == "cost-us").collect();
            costs.sort_by(|one, other| one.value.total_cmp(&other.value));
            assert_eq!(costs.iter().map(|term| term.cluster).collect::<Vec<_>>(), named, "{terms:?}");
            for cost in costs {
                let of_it = terms.iter().filter(|term| term.cluster == cost.cluster && term.name != "cost-us");
                assert_eq!(of_it.map(|term| term.value).sum::<f32>(), cost.value, "{terms:?}");
            }
            let is_measured = |term: &&Term| term.name == "measured-us";
            assert_eq!(terms.iter().filter(is_measured).count(), times.len(), "{terms:?}");
        }
        measured::tell(&[]);
    }

    #[test]
    fn a_slow_access_network_sends_nobody_around_the_world() {
        assert_eq!(chosen("{}", here(), &[(0, 600_000)]), [0, 1, 2]);
        // Where two are measured the rest is as slow as the better of them.
        assert_eq!(chosen("{}", here(), &[(0, 600_000), (1, 500_000)]), [1, 0, 2]);
    }

    #[test]
    fn who_is_a_little_faster_moves_nobody() {
        for (home, other, first) in
            [(20_000, 15_001, 0), (20_000, 14_999, 1), (200_000, 180_001, 0), (200_000, 179_999, 1), (9_000, 8_000, 0)]
        {
            let times = [(0, home), (1, other), (2, 900_000)];
            assert_eq!(chosen("{}", here(), &times)[0], first, "{home} {other}");
            let none = r#"{"margin_ms": 0, "margin_percent": 0}"#;
            assert_eq!(chosen(none, here(), &times)[0], 1, "{home} {other}");
        }
    }

    #[test]
    fn a_share_of_hours_tries_what_is_not_measured() {
        let slow = [(0, 80_000)];
        let hour = |number: u64| Flow { now_ms: number * EXPLORE_MS, address: 7 << 8, ..here() };
        let tries = |config: &str| (0..1000).filter(|number| chosen(config, hour(*number), &slow)[0] == 1).count();
        assert_eq!(tries("{}"), 0);
        let some = tries(r#"{"explore": 0.1}"#);
        assert!((60..150).contains(&some), "{some}");
        assert_eq!(tries(r#"{"explore": 1}"#), 1000);
        // Once it is, it stays measured.
        assert_eq!(chosen(r#"{"explore": 1}"#, here(), &[(0, 20_000), (1, 90_000), (2, 95_000)]), [0, 1, 2]);
    }

    #[test]
    fn a_config_out_of_bounds_is_refused() {
        for (config, problem) in [
            (r#"{"margin_ms": -1}"#, "margin_ms is 0 to 1000, not -1"),
            (r#"{"explore": 1.5}"#, "explore is 0 to 1, not 1.5"),
            (r#"{"margin": 1}"#, "unknown field `margin`"),
        ] {
            assert!(RouteRtt::new(config).unwrap_err().contains(problem), "{config}");
        }
    }
}
