//! Which cluster: the nearest, where a busy one has a price; some clients find it too high before others do.
//!
//! ```toml
//! config = { knee = 700, price = 1.0, busy_ttl = 0, lots_ms = 3.0 }
//! ```
//!
//! Where round-trip times are measured the node reckons prices, from the loads of all clusters together. The cost of a cluster is then the time of the
//! way, measured or reckoned from the distance, and its price; clients for whom two cost nearly the same, by less than `lots_ms`, draw lots,
//! so that a price that trembles moves few of them. The node shortens TTLs while prices change. The other keys are for where nothing is measured:
//!
//! The cost of a cluster is `1.001 - cos + price * busy² * lot`: `cos` is the cosine of the angle between the places of client and
//! cluster, `busy` grows from 0 at a load of `knee` permille to 1 at 1000 and on, and `lot`, from 0 to 2, is the client's own, always
//! the same for its prefix, its service and the cluster. So a load that grows sends a few more clients elsewhere, first those who lose
//! least by it, and one that trembles moves those few and nobody else: nothing swings from full to empty. The coverage zone a
//! client is in counts as no distance. A cluster whose round-trip time to the client was measured is as far away as one that lets expect
//! that time, once what the client's access network adds to all of them is taken off. With `busy_ttl` an answer holds for that many seconds only, once its first cluster is busy.

use littoral_plugin::policy::measured::{self, as_distance, estimated_us};
use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, Routing, Term, lot, priced};
use serde::Deserialize;

/// What the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The load in permille from which on a cluster has a price.
    knee: u16,
    /// What a full one costs on average, as a distance: 1 is a quarter of the way around the world.
    price: f32,
    /// TTL in seconds of answers that name a busy cluster first; 0: the service's.
    busy_ttl: u16,
    /// Milliseconds within which lots decide, where the node reckons prices.
    lots_ms: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { knee: 700, price: 1.0, busy_ttl: 0, lots_ms: 3.0 }
    }
}

/// What is known of a cluster, ready for the hot path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    place: [f32; 3],
    /// `2 * price * busy²`.
    toll: f32,
    /// The node's price, microseconds.
    price_us: f32,
    healthy: bool,
}

/// The policy.
#[derive(Debug)]
pub struct RouteLoad {
    config: Config,
    rows: [Row; CLUSTERS_MAX],
    /// Whether the node reckons prices.
    priced: bool,
}

impl RouteLoad {
    /// By the times of ways and the node's prices: the way, its price and the lot, in microseconds.
    #[inline]
    fn by_price(&self, flow: &Flow) -> impl Fn(u16) -> [f32; 3] {
        let place = flow.place;
        let (zone, rand, rows) = (flow.zone, flow.rand, &self.rows);
        let expected = move |index: u16| {
            let row = &rows[usize::from(index)];
            let cosine = row.place[0] * place[0] + row.place[1] * place[1] + row.place[2] * place[2];
            // Of an unknown place the cosine is 0: all are a quarter of the way around the world away.
            estimated_us(if index == zone && row.healthy { 1.0 } else { cosine })
        };
        let known = measured::clusters() & flow.candidates;
        let (mut left, mut slower) = (known, f32::INFINITY);
        while left != 0 {
            let index = left.trailing_zeros() as u16;
            left &= left - 1;
            slower = slower.min(measured::rtt_us(index) as f32 - expected(index));
        }
        let slower = if known == 0 { 0.0 } else { slower.max(0.0) };
        let lots_us = self.config.lots_ms * 1000.0;
        move |index| {
            let row = &rows[usize::from(index)];
            let way = match known >> index & 1 == 1 && !(index == zone && row.healthy) {
                true => measured::rtt_us(index) as f32,
                false => expected(index) + if index == zone { 0.0 } else { slower },
            };
            [way, row.price_us, lots_us * lot(rand, index)]
        }
    }

    /// By distance, measured where it is, and what load makes of it for those whose lot it is.
    #[inline]
    fn by_distance(&self, flow: &Flow) -> impl Fn(u16) -> [f32; 2] {
        let (place, placed) = (flow.place, flow.place != [0.0; 3]);
        let (zone, rand, rows) = (flow.zone, flow.rand, &self.rows);
        let cosine_to = move |row: &Row| row.place[0] * place[0] + row.place[1] * place[1] + row.place[2] * place[2];
        let known = if placed { measured::clusters() & flow.candidates } else { 0 };
        let slower = self.slower(known, cosine_to);
        move |index| {
            let row = &rows[usize::from(index)];
            let distance = match placed {
                _ if index == zone && row.healthy => 0.0,
                _ if known >> index & 1 == 1 => 0.001 + as_distance(measured::rtt_us(index) as f32 - slower),
                true => 1.001 - cosine_to(row),
                false => 1.0,
            };
            [distance, row.toll * lot(rand, index)]
        }
    }

    /// By how many microseconds the best of the measured ways (a mask) is slower than its distance lets expect, where it is.
    fn slower(&self, known: u64, cosine_to: impl Fn(&Row) -> f32) -> f32 {
        let (mut left, mut least) = (known, f32::INFINITY);
        while left != 0 {
            let index = left.trailing_zeros() as u16;
            left &= left - 1;
            let expected = estimated_us(cosine_to(&self.rows[usize::from(index)]));
            least = least.min(measured::rtt_us(index) as f32 - expected);
        }
        if known == 0 { 0.0 } else { least.max(0.0) }
    }
}

impl Routing for RouteLoad {
    fn new(config: &str) -> Result<Self, String> {
        let config: Config = littoral_plugin::config(config)?;
        if !(1..1000).contains(&config.knee) {
            return Err(format!("knee is 1 to 999 permille, not {}", config.knee));
        }
        if !(0.0..=100.0).contains(&config.price) {
            return Err(format!("price is 0 to 100, not {}", config.price));
        }
        if !(0.0..=1000.0).contains(&config.lots_ms) {
            return Err(format!("lots_ms is 0 to 1000, not {}", config.lots_ms));
        }
        Ok(Self { config, rows: [Row::default(); CLUSTERS_MAX], priced: false })
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.rows = [Row::default(); CLUSTERS_MAX];
        self.priced = priced::clusters() != 0;
        for cluster in all {
            let over = cluster.load_permille.saturating_sub(self.config.knee);
            let busy = f32::from(over) / f32::from(1000 - self.config.knee);
            let toll = 2.0 * self.config.price * busy * busy;
            let price_us = priced::price_us(cluster.index) as f32;
            self.rows[usize::from(cluster.index)] =
                Row { place: cluster.place, toll, price_us, healthy: cluster.healthy };
        }
    }

    fn decide(&self, flow: &Flow) -> Choice {
        if self.priced {
            let cost = self.by_price(flow);
            return Choice::cheapest(flow.candidates, |index| cost(index).iter().sum());
        }
        let cost = self.by_distance(flow);
        let mut choice = Choice::cheapest(flow.candidates, |index| cost(index).iter().sum());
        let first = self.rows.get(usize::from(choice.clusters[0]));
        if first.is_some_and(|row| row.toll > 0.0) {
            choice.ttl_s = self.config.busy_ttl;
        }
        choice
    }
}

impl Explained for RouteLoad {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        if self.priced {
            let cost = self.by_price(flow);
            return Term::of_each(flow.candidates, |index| {
                let [way, price, lot] = cost(index);
                [("way-us", way), ("price-us", price), ("lot-us", lot), ("cost-us", way + price + lot)]
            });
        }
        let cost = self.by_distance(flow);
        Term::of_each(flow.candidates, |index| {
            let [distance, toll] = cost(index);
            [("distance", distance), ("toll", toll), ("cost", distance + toll)]
        })
    }
}

littoral_plugin::export_policy!(RouteLoad, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    fn seat(config: &str, loads: [u16; 2]) -> Seat<RouteLoad> {
        let places = [[1.0, 0.0, 0.0], [0.8, 0.6, 0.0]];
        let row = |(index, (place, load_permille))| Cluster {
            index,
            healthy: true,
            place,
            load_permille,
            ..Cluster::default()
        };
        let clusters: Vec<_> = (0..).zip(places.into_iter().zip(loads)).map(row).collect();
        Seat::routing(config, &clusters).unwrap()
    }

    fn asks(seat: &Seat<RouteLoad>, rand: u64) -> Choice {
        seat.decide(&Flow { place: [1.0, 0.0, 0.0], candidates: 0b11, rand, ..Flow::default() }).unwrap()
    }

    /// Of a thousand clients beside the first cluster those who stay with it.
    fn stay(loads: [u16; 2]) -> Vec<bool> {
        let seat = seat("{}", loads);
        (0..1000).map(|rand| asks(&seat, rand).clusters[0] == 0).collect()
    }

    #[test]
    fn clients_leave_a_busy_cluster_a_few_at_a_time_and_none_comes_back_before_the_load_does() {
        let count = |stay: &[bool]| stay.iter().filter(|stay| **stay).count();
        let [idle, some, more, full] = [700, 850, 900, 1000].map(|load| stay([load, 0]));
        assert_eq!(count(&idle), 1000);
        assert!((300..500).contains(&count(&some)), "{}", count(&some));
        assert!((150..300).contains(&count(&more)), "{}", count(&more));
        assert!((50..150).contains(&count(&full)), "{}", count(&full));
        // Who left at a lower load has left at a higher one, and where both are full nearly all are back.
        assert!(some.iter().zip(&more).chain(more.iter().zip(&full)).all(|(less, more)| *less || !*more));
        assert!(count(&stay([1000, 1000])) > 500);
    }

    #[test]
    fn who_was_measured_is_as_far_away_as_that_lets_expect() {
        let first = |times: &[(u16, u32)]| {
            measured::tell(times);
            asks(&seat("{}", [0, 0]), 1).clusters[0]
        };
        assert_eq!(first(&[]), 0);
        assert_eq!(first(&[(0, 600_000)]), 0, "who is slow to everybody stays");
        assert_eq!(first(&[(0, 90_000), (1, 20_000)]), 1);
        assert_eq!(first(&[(0, 90_000), (1, 95_000)]), 0);
        measured::tell(&[]);
    }

    #[test]
    fn a_price_is_added_to_the_time_of_the_way_and_takes_the_place_of_the_knee() {
        let first = |prices: &[(u16, u32)], times: &[(u16, u32)]| {
            priced::tell(prices);
            measured::tell(times);
            asks(&seat(r#"{"lots_ms": 0}"#, [1000, 0]), 1).clusters[0]
        };
        let ways = [(0, 20_000), (1, 50_000)];
        assert_eq!(first(&[], &[]), 1, "nothing is priced: its load makes it too far away");
        assert_eq!(first(&[(0, 0), (1, 0)], &ways), 0);
        assert_eq!(first(&[(0, 29_999), (1, 0)], &ways), 0);
        assert_eq!(first(&[(0, 30_001), (1, 0)], &ways), 1);
        // Some 66 ms by distance, and the 15 that the measured way is slower than its own.
        assert_eq!((first(&[(0, 75_000), (1, 0)], &ways[..1]), first(&[(0, 60_000), (1, 0)], &ways[..1])), (1, 0));
        priced::tell(&[]);
        measured::tell(&[]);
    }

    #[test]
    fn who_finds_two_nearly_the_same_draws_lots() {
        priced::tell(&[(0, 30_000), (1, 0)]);
        measured::tell(&[(0, 20_000), (1, 50_000)]);
        let seat = seat("{}", [0, 0]);
        let there = (0..1000).filter(|rand| asks(&seat, *rand).clusters[0] == 0).count();
        assert!((400..600).contains(&there), "{there}");
        priced::tell(&[]);
        measured::tell(&[]);
    }

    #[test]
    fn what_is_told_to_people_is_what_decides() {
        for (prices, cost) in [(&[][..], "cost"), (&[(0, 30_000), (1, 0)], "cost-us")] {
            priced::tell(prices);
            measured::tell(&[(0, 20_000), (1, 50_000)]);
            let seat = seat("{}", [900, 0]);
            for rand in 0..100 {
                let flow = Flow { place: [1.0, 0.0, 0.0], candidates: 0b11, rand, ..Flow::default() };
                let terms = seat.terms(&flow).unwrap();
                let of =
                    |cluster| terms.iter().find(|term| (term.cluster, term.name) == (cluster, cost)).unwrap().value;
                assert_eq!(seat.decide(&flow).unwrap().clusters[0], u16::from(of(1) < of(0)), "{terms:?}");
            }
        }
        priced::tell(&[]);
        measured::tell(&[]);
    }

    #[test]
    fn an_answer_that_names_a_busy_cluster_holds_for_less() {
        let config = r#"{"busy_ttl": 5, "price": 0.0001}"#;
        assert_eq!((asks(&seat(config, [0, 0]), 1).ttl_s, asks(&seat(config, [900, 0]), 1).ttl_s), (0, 5));
        assert_eq!(asks(&seat("{}", [1000, 1000]), 1).ttl_s, 0);
        assert_eq!(seat("{}", [0, 0]).decide(&Flow::default()).unwrap(), Choice::NOBODY);
    }

    #[test]
    fn the_zone_counts_as_no_distance_and_a_config_out_of_bounds_is_refused() {
        let zone = Flow { place: [1.0, 0.0, 0.0], zone: 1, candidates: 0b11, ..Flow::default() };
        assert_eq!(seat("{}", [0, 0]).decide(&zone).unwrap().named(), [1, 0]);
        for (config, problem) in [
            (r#"{"knee": 1000}"#, "knee is 1 to 999 permille, not 1000"),
            (r#"{"price": -1}"#, "price is 0 to 100, not -1"),
            (r#"{"lots_ms": -1}"#, "lots_ms is 0 to 1000, not -1"),
            (r#"{"prize": 1}"#, "unknown field `prize`"),
        ] {
            assert!(RouteLoad::new(config).unwrap_err().contains(problem), "{config}");
        }
    }
}
