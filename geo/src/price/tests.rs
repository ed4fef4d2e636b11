//! Prices: near the optimum's from loads alone, without swinging, and answers that hold for less while they move.

use super::*;
use crate::rtt::Prefix;

/// Milliseconds to each of three clusters: half of the prefixes are near the first, and lose more and more by going to the second.
const PREFIXES: usize = 400;

fn rows() -> impl Iterator<Item = Row> {
    (0..PREFIXES).map(|at| {
        let prefix: Prefix = format!("10.{}.{}.0/24", at / 256, at % 256).parse().unwrap();
        let away = 100_000.0 * at as f32 / PREFIXES as f32;
        Row { prefix, cost_us: vec![10_000.0 + away, 60_000.0 + away / 2.0, 150_000.0] }
    })
}

/// A market and the clients it is about, whose resolvers keep answers for a TTL.
struct Play {
    market: Market,
    demand: Vec<f64>,
    at_s: usize,
    /// The cluster that each has, and until when.
    has: Vec<(usize, usize)>,
    open: [bool; 3],
    capacity: [f64; 3],
    ttl_s: usize,
}

impl Play {
    fn new() -> Self {
        let mut market = Market::default();
        market.remodel(Model::of(3, PREFIXES, rows()), 3);
        // Who is at the top demands more: what the model does not know.
        let demand = (0..PREFIXES).map(|at| 1.0 + 2.0 * (at % 7) as f64 / 7.0).collect();
        let has = (0..PREFIXES).map(|at| (0, at % 30)).collect();
        Self { market, demand, at_s: 0, has, open: [true; 3], capacity: [300.0, 800.0, 800.0], ttl_s: 30 }
    }

    /// Loads after so many seconds, the share of clients that moved, and the shortest TTL given.
    fn run(&mut self, seconds: usize) -> ([f64; 3], usize, u32) {
        let (mut loads, mut moved, mut shortest) = ([0.0; 3], 0, u32::MAX);
        for _ in 0..seconds {
            let (prices, settling) = (self.market.prices(), self.market.settling());
            for (has, row) in self.has.iter_mut().zip(rows()).filter(|(has, _)| has.1 <= self.at_s) {
                let cost =
                    |at: &usize| if self.open[*at] { row.cost_us[*at] + prices[*at] as f32 } else { f32::INFINITY };
                let best = (0..3).min_by(|one, other| cost(one).total_cmp(&cost(other))).unwrap();
                moved += usize::from(best != has.0);
                let ttl_s =
                    if settling >> best & 1 == 1 { settling_ttl_s(self.ttl_s as u32) } else { self.ttl_s as u32 };
                shortest = shortest.min(ttl_s);
                *has = (best, self.at_s + ttl_s as usize);
            }
            loads = [0.0; 3];
            self.has.iter().zip(&self.demand).for_each(|(has, demand)| loads[has.0] += demand);
            let standing = |at: usize| Standing {
                open: self.open[at],
                load: Some((loads[at] / self.capacity[at]).min(1.0)),
                capacity: self.capacity[at],
            };
            self.market.tick(1_000_000 + self.at_s as u64 * 1000, &[0, 1, 2].map(standing), self.ttl_s as u32);
            self.at_s += 1;
        }
        let share = |at: usize| loads[at] / self.capacity[at];
        ([share(0), share(1), share(2)], moved, shortest)
    }
}

#[test]
fn who_is_asked_for_too_much_costs_so_much_that_its_share_stays() {
    let mut play = Play::new();
    let (loads, ..) = play.run(300);
    assert!((0.85..=0.95).contains(&loads[0]), "{loads:?}");
    let (loads, moved, shortest) = play.run(300);
    assert!((0.85..=0.95).contains(&loads[0]) && loads[1] < 0.92, "{loads:?}");
    // At rest next to nobody moves in ten TTLs, and answers hold for as long as they may.
    assert!(moved < PREFIXES / 50 && shortest == 30, "{moved} {shortest}");
    assert_eq!(play.market.prices()[2], 0, "whoever has room costs nothing");
}

#[test]
fn a_crowd_and_a_loss_are_settled_within_three_ttls_and_answers_hold_for_less_meanwhile() {
    let mut play = Play::new();
    play.run(300);
    play.demand[..40].iter_mut().for_each(|demand| *demand *= 3.0);
    let (loads, _, shortest) = play.run(90);
    assert!(loads.iter().all(|load| *load < 1.0), "{loads:?}");
    assert_eq!(shortest, 5);
    let (_, moved, _) = play.run(300);
    assert!(moved < PREFIXES / 20, "{moved} swing");
    play.open[1] = false;
    let (loads, ..) = play.run(90);
    assert!(loads[0] < 1.0 && loads[1] == 0.0 && loads[2] > 0.5, "{loads:?}");
}

#[test]
fn who_tells_no_load_has_no_price_and_the_others_reckon_with_it() {
    let mut market = Market::default();
    market.remodel(Model::of(3, PREFIXES, rows()), 3);
    let load = |load: f64| Standing { open: true, load: Some(load), capacity: 300.0 };
    let silent = Standing { open: true, load: None, capacity: 1.0 };
    (0..60).for_each(|at| _ = market.tick(1000 + at * 1000, &[load(1.0), silent, load(0.0)], 30));
    let prices = market.prices();
    assert!(prices[0] > 1000 && prices[1] == 0 && prices[2] == 0, "{:?}", &prices[..3]);
}

#[test]
fn other_times_keep_what_was_learnt_of_the_same_prefixes_and_too_many_are_an_even_selection() {
    let mut play = Play::new();
    play.run(300);
    let before = play.market.prices();
    play.market.remodel(Model::of(3, PREFIXES, rows()), 3);
    assert_eq!(play.market.prices(), before);
    let (loads, moved, _) = play.run(120);
    assert!((0.85..=0.95).contains(&loads[0]) && moved < PREFIXES / 50, "{loads:?} {moved}");
    let many = crate::limits::PRICED_PREFIXES_MAX * 3;
    let row = |at: usize| Row {
        prefix: Prefix::of(std::net::Ipv4Addr::from_bits((at as u32) << 8).into()),
        cost_us: vec![1.0],
    };
    let model = Model::of(1, many, (0..many).map(row));
    assert_eq!(model.loads(&[0.0], 1)[0], crate::limits::PRICED_PREFIXES_MAX as f64);
    // Nobody is there to serve: nobody is asked.
    assert_eq!(model.loads(&[0.0], 0)[0], 0.0);
    assert!(Market::default().is_empty());
}
