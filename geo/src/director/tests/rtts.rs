//! Decisions by round-trip times that clusters have told: whom they move, for how long, and which scope says so.

use super::*;
use crate::rtt::{Means, Row, Told, merged};

/// The candidate with the lowest known time, else the native policy; so does a guest, in short.
#[derive(Default)]
struct Fastest {
    native: NativeGeo,
    is_blind: bool,
}

impl Routing for Fastest {
    fn push(&self, version: u64, clusters: &[ClusterRow]) {
        self.native.push(version, clusters);
    }
    fn reads_rtts(&self) -> bool {
        !self.is_blind
    }
    fn decide(&self, flow: &Flow) -> Option<Choice> {
        let known = flow.rtts.iter().filter(|(cluster, _)| flow.candidates >> cluster & 1 == 1);
        match known.min_by_key(|(_, us)| *us) {
            Some((fastest, _)) => Some(Choice { clusters: [fastest, NONE, NONE], ttl_s: 0 }),
            None => self.native.decide(flow),
        }
    }
}

const NONE: u16 = crate::routing::NONE;
const HEARD_S: u64 = 1_800_000_000;

fn directing(is_blind: bool) -> (tempfile::TempDir, Director) {
    let (directory, config) = world();
    let routing = Fastest { is_blind, ..Fastest::default() };
    (directory, Director::new(config, Arc::new(routing)).unwrap().0)
}

/// What a cluster tells at [`HEARD_S`] and what holds for a minute.
fn told(cluster: &str, rows: &[(&str, u32)]) -> (String, Told) {
    let row = |(prefix, rtt_us): &(&str, u32)| Row {
        prefix: prefix.parse().unwrap(),
        rtt_us: *rtt_us,
        samples: 4,
        age_s: 5,
        means: Means::Connections,
    };
    let (rows, _) = merged(rows.iter().map(row).collect());
    let heard_ms = HEARD_S * 1000;
    (cluster.into(), Told { heard_ms, until_ms: heard_ms + 60_000, by: format!("{cluster}:80"), rows })
}

/// The first cluster for a client so many seconds after what was told, why, and for which scope.
fn decided(director: &Director, client: &str, seconds: u64) -> (String, &'static str, u8) {
    let snapshot = director.snapshot();
    let service = snapshot.services.by_name.values().next().unwrap();
    let now = Duration::from_secs(HEARD_S + seconds);
    let decision = director.decide_for(&snapshot, service, client.parse().unwrap(), now, 0).decision;
    (snapshot.config.clusters[usize::from(decision.choice[0])].id.clone(), decision.reason, decision.scope)
}

#[test]
fn a_time_that_was_told_decides_until_it_is_too_old_and_then_distance_does_again() {
    let (_directory, director) = directing(false);
    let near_paris = "198.18.1.5";
    assert_eq!(decided(&director, near_paris, 0), ("ams1".into(), "geo", 25));
    let rows = [("198.18.1.0/24", 80_000)];
    director.hear_rtts([told("ams1", &rows), told("nyc1", &[("198.18.1.0/24", 20_000)])], HEARD_S * 1000);
    assert_eq!(decided(&director, near_paris, 0), ("nyc1".into(), "rtt", 25), "never wider than the map has it");
    assert_eq!(decided(&director, near_paris, 59), ("nyc1".into(), "rtt", 25));
    assert_eq!(decided(&director, near_paris, 60), ("ams1".into(), "geo", 25), "nothing more was heard");
    // One goes on telling: of the other nothing is left.
    let (id, again) = told("ams1", &rows);
    let later = Told { heard_ms: again.heard_ms + 50_000, until_ms: again.until_ms + 50_000, ..again };
    director.hear_rtts([(id, later)], HEARD_S * 1000 + 50_000);
    assert_eq!(decided(&director, near_paris, 70).0, "ams1");
    assert_eq!(director.rtts_heard().len(), 2);
    director.hear_rtts([], HEARD_S * 1000 + 60_000);
    assert_eq!(director.rtts_heard(), [("ams1".into(), HEARD_S * 1000 + 50_000, HEARD_S * 1000 + 110_000)]);
}

#[test]
fn scopes_tell_measured_prefixes_from_the_others_for_a_policy_that_reads_times_only() {
    let (_directory, director) = directing(false);
    let (_other, blind) = directing(true);
    for director in [&director, &blind] {
        director.hear_rtts([told("nyc1", &[("203.0.113.0/24", 9_000)])], HEARD_S * 1000);
    }
    let scope_of_map = decided(&blind, "203.0.113.9", 0).2;
    assert!(scope_of_map < 24);
    assert_eq!(decided(&director, "203.0.113.9", 0), ("nyc1".into(), "rtt", 24));
    assert_eq!(decided(&director, "203.0.112.9", 0), ("ams1".into(), "load", 24), "its neighbour shares 23 bits");
    assert_eq!(decided(&director, "203.0.115.9", 0).2, 23);
    assert_eq!(decided(&director, "203.0.115.9", 61).2, scope_of_map, "what is too old tells nobody apart");
    // Against brute force, all around the measured prefix.
    for third in 96_u8..128 {
        let client = format!("203.0.{third}.1");
        let (cluster, _, scope) = decided(&director, &client, 0);
        let IpAddr::V4(first) = masked(client.parse().unwrap(), scope) else { unreachable!("IPv4") };
        for other in 0..1_u32 << (24 - scope.min(24)) {
            let other = Ipv4Addr::from(first.to_bits() + (other << 8));
            assert_eq!(decided(&director, &other.to_string(), 0).0, cluster, "{client}/{scope} and {other}");
        }
    }
}

#[test]
fn a_reload_keeps_the_times_and_an_explanation_tells_where_they_come_from() {
    let (_directory, mut config) = world();
    let (director, _) = Director::new(config.clone(), Arc::new(Fastest::default())).unwrap();
    let now_ms = u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let (id, told) = told("nyc1", &[("198.18.0.0/24", 30_500)]);
    let told = Told { heard_ms: now_ms - 2_000, until_ms: now_ms + 3_600_000, ..told };
    director.hear_rtts([(id, told), ("gone".into(), self::told("ams1", &[]).1)], now_ms);
    // The clusters change places.
    config.clusters.swap(0, 1);
    director.reload(config).unwrap();
    let explained = director.explain("198.18.0.9".parse().unwrap(), NAME).unwrap();
    assert_eq!((explained.clusters[0].as_str(), explained.reason), ("nyc1", "rtt"));
    let [nyc, ams] = ["nyc1", "ams1"]
        .map(|id| explained.candidates.iter().find(|candidate| candidate.cluster == id).unwrap().clone());
    assert_eq!((ams.rtt_us, ams.rtt), (0, None));
    let rtt = nyc.rtt.unwrap();
    assert_eq!((nyc.rtt_us, rtt.us, rtt.samples, rtt.by.as_str()), (30_500, 30_500, 4, "nyc1:80"));
    assert_eq!((rtt.prefix.to_string().as_str(), rtt.decides), ("198.18.0.0/24", true));
    assert!(rtt.heard_s >= 2 && rtt.age_s == rtt.heard_s + 5, "{rtt:?}");
    assert_eq!((director.rtt_prefixes(), director.rtts_heard().len()), (1, 1));
}

/// Goes by times and prices.
#[derive(Default)]
struct Cheapest(parking_lot::Mutex<Vec<ClusterRow>>);

impl Routing for Cheapest {
    fn push(&self, _version: u64, clusters: &[ClusterRow]) {
        *self.0.lock() = clusters.to_vec();
    }
    fn reads_rtts(&self) -> bool {
        true
    }
    fn reads_prices(&self) -> bool {
        true
    }
    fn decide(&self, flow: &Flow) -> Option<Choice> {
        let rows = self.0.lock();
        let cost =
            |cluster: u16| flow.rtts.to(cluster).unwrap_or(500_000) + rows[usize::from(cluster)].price_us.unwrap_or(0);
        let cheapest =
            (0..3).filter(|cluster| flow.candidates >> cluster & 1 == 1).min_by_key(|cluster| cost(*cluster))?;
        Some(Choice { clusters: [cheapest, NONE, NONE], ttl_s: 0 })
    }
}

#[test]
fn a_full_cluster_is_left_by_price_and_its_answers_hold_for_less_until_that_has_settled() {
    let (_directory, config) = world();
    let (director, _) = Director::new(config, Arc::new(Cheapest::default())).unwrap();
    let now_ms = |second: u64| HEARD_S * 1000 + second * 1000;
    let tick = |second: u64, loads: [u16; 2]| {
        director.set_cluster_state("ams1", true, loads[0]);
        director.set_cluster_state("nyc1", true, loads[1]);
        director.price(now_ms(second));
    };
    tick(0, [990, 100]);
    assert_eq!(director.prices_us(), None, "nothing is measured, and nothing priced");
    assert_eq!(decided(&director, "198.18.0.9", 0).0, "ams1");
    // One loses 20 ms by going to New York, the other 60.
    let rows = |near: u32, far: u32| [("198.18.0.0/24", near), ("198.18.1.0/24", far)];
    let (_, times) = told("ams1", &rows(10_000, 10_000));
    let until_ms = now_ms(3600);
    let ams = Told { until_ms, ..times };
    let nyc = Told { until_ms, ..told("nyc1", &rows(30_000, 70_000)).1 };
    director.hear_rtts([("ams1".into(), ams), ("nyc1".into(), nyc)], now_ms(0));
    (1..5).for_each(|second| tick(second, [1000, 100]));
    let prices = director.prices_us().unwrap();
    assert!((20_000..60_000).contains(&prices[0]) && prices[1] == 0, "{prices:?}");
    assert_eq!(
        (decided(&director, "198.18.0.9", 5).0, decided(&director, "198.18.1.9", 5).0),
        ("nyc1".into(), "ams1".into())
    );
    let ttl_s = |second: u64| {
        let client = "198.18.1.9".parse().unwrap();
        director.decide_at(NAME, client, Duration::from_millis(now_ms(second))).unwrap().ttl_s
    };
    assert_eq!(ttl_s(5), 5);
    let explained = director.explain("198.18.1.9".parse().unwrap(), NAME).unwrap();
    assert_eq!(explained.candidates[0].price_us, Some(prices[0]));
    (5..300).for_each(|second| tick(second, [890, 500]));
    assert_eq!(ttl_s(300), 30);
}
