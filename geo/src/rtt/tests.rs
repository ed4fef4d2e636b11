//! What is told, found and read of round-trip times; scopes against brute force.

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn row(of: &str, rtt_us: u32) -> Row {
    Row { prefix: prefix(of), rtt_us, samples: 3, age_s: 0, means: Means::Connections }
}

fn told(rows: Vec<Row>) -> Told {
    Told { heard_ms: 1_000, until_ms: 61_000, by: "edge".into(), rows: merged(rows).0 }
}

#[test]
fn a_client_finds_the_times_of_its_prefix_until_they_are_too_old() {
    let (near, far) =
        (told(vec![row("192.0.2.0/24", 9_000), row("2001:db8:1::/48", 7)]), told(vec![row("192.0.2.0/24", 80_000)]));
    let (rtts, left_out) = Rtts::new([(3, &near), (63, &Told { until_ms: 31_000, ..far })].into_iter(), None);
    let at = |client: &str, now_ms| rtts.find(client.parse().unwrap(), now_ms).0.iter().collect::<Vec<_>>();
    assert_eq!((rtts.prefixes(), left_out), (2, 0));
    assert_eq!(at("192.0.2.77", 1_000), [(3, 9_000), (63, 80_000)]);
    assert_eq!(at("2001:db8:1:2::1", 1_000), [(3, 7)]);
    assert_eq!(at("192.0.3.77", 1_000), []);
    assert_eq!(at("192.0.2.77", 31_000), [(3, 9_000)], "of the one that fell silent nothing is left");
    assert_eq!(rtts.find("192.0.2.77".parse().unwrap(), 61_000), (Measured::NONE, 0));
}

#[test]
fn times_that_tremble_stay_as_they_were_and_those_that_move_follow() {
    let follow = |told_us: &[u32]| {
        let mut rtts = Rtts::default();
        told_us
            .iter()
            .map(|us| {
                rtts = Rtts::new([(0, &told(vec![row("192.0.2.0/24", *us)]))].into_iter(), Some(&rtts)).0;
                rtts.find("192.0.2.1".parse().unwrap(), 0).0.to(0).unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        follow(&[20_000, 21_900, 18_100, 22_000, 22_001, 20_500]),
        [20_000, 20_000, 20_000, 20_000, 22_001, 22_001]
    );
    assert_eq!(follow(&[500, 1_499, 1_501, 700]), [500, 500, 1_501, 1_501], "a millisecond is nothing");
}

#[test]
fn the_nodes_of_a_cluster_count_by_their_measurements_and_of_many_clusters_the_fastest_stay() {
    let some = |rtt_us, samples, age_s| Row { samples, age_s, ..row("192.0.2.0/24", rtt_us) };
    let (rows, over) = merged(vec![some(10_000, 3, 50), some(20_000, 1, 7), row("192.0.1.0/24", 1)]);
    assert_eq!((rows, over), (vec![row("192.0.1.0/24", 1), some(12_500, 4, 7)], 0));
    let all: Vec<_> = (0..20).map(|cluster| told(vec![row("192.0.2.0/24", 1_000 * (100 - cluster))])).collect();
    let (rtts, left_out) = Rtts::new((0..).zip(&all), None);
    let found: Vec<_> = rtts.find("192.0.2.1".parse().unwrap(), 0).0.iter().collect();
    assert_eq!((found.len(), left_out, found[0]), (RTT_CLUSTERS_MAX, 4, (4, 96_000)));
}

#[test]
fn more_prefixes_than_there_is_room_for_are_left_out_and_counted() {
    let many = |first: u32| {
        let prefix = |number: u32| Prefix::of(IpAddr::V4((number << 8).into()));
        (first..first + RTT_PREFIXES_MAX as u32 + 5)
            .map(|number| Row {
                prefix: prefix(number),
                rtt_us: 1,
                samples: 1 + number % 2,
                age_s: 0,
                means: Means::Connections,
            })
            .collect::<Vec<_>>()
    };
    let (rows, over) = merged(many(0));
    assert_eq!((rows.len(), over), (RTT_PREFIXES_MAX, 5));
    assert!(rows.is_sorted_by_key(|row| row.prefix), "and are still found");
    let other = told(many(RTT_PREFIXES_MAX as u32));
    let (rtts, left_out) = Rtts::new([(0, &told(many(0))), (1, &other)].into_iter(), None);
    assert!(rtts.prefixes() == RTT_PREFIXES_MAX && left_out > 0, "{left_out}");
}

#[test]
fn only_whole_prefixes_are_read_and_figures_within_their_bounds() {
    let good = "littoral-rtt 1\n192.0.2.0/24 21500 7 40\n\n2001:db8:1::/48 1 1 0\n";
    let rows = parse(good).unwrap();
    assert_eq!(
        rows[0],
        Row { prefix: prefix("192.0.2.0/24"), rtt_us: 21_500, samples: 7, age_s: 40, means: Means::Connections }
    );
    assert_eq!(write(rows.iter()), good.replace("\n\n", "\n"));
    for line in [
        "192.0.2.1/24 1 1 1",
        "192.0.2.0/25 1 1 1",
        "::ffff:192.0.2.0/24 1 1 1",
        "2001:db8::/32 1 1 1",
        "192.0.2.0/24 0 1 1",
        "192.0.2.0/24 10000001 1 1",
        "192.0.2.0/24 1 0 1",
        "192.0.2.0/24 +1 1 1",
        "192.0.2.0/24 1 1 4294967296",
        "192.0.2.0/24 1 1",
        "192.0.2.0/24 1 1 1 1",
        "192.0.2.0/24  1 1 1",
        "192.0.2.0/24 1 1 1\r",
    ] {
        assert!(parse(&format!("littoral-rtt 1\n{line}\n")).unwrap_err().starts_with("line 2: a prefix"), "{line}");
    }
    assert!(parse("").unwrap_err().starts_with("line 1: "));
    assert!(parse("littoral-rtt 2\n").is_err());
    let long = format!("littoral-rtt 1\n{}\n", "1".repeat(crate::limits::RTT_LINE_BYTES_MAX + 1));
    assert_eq!(parse(&long).unwrap_err(), "line 2: it is too long");
    let many = format!("littoral-rtt 1\n{}", "192.0.2.0/24 1 1 1\n".repeat(RTT_PREFIXES_MAX + 1));
    assert!(parse(&many).unwrap_err().contains("more than 65536 prefixes"));
}

proptest! {
    /// Against brute force: the scope around a client holds no measured prefix but its own, and one bit less would.
    #[test]
    fn the_scope_is_the_shortest_that_holds_no_other_measured_prefix(
        measured in proptest::collection::btree_set(0_u64..64, 1..12), client in 0_u64..64, high: bool,
    ) {
        let base = if high { 0xff_ff00 } else { 0x0a_0000 };
        let address = |number: u64| IpAddr::V4((((base + number) << 8) as u32).into());
        let rows = measured.iter().map(|number| Row { prefix: Prefix::of(address(*number)), rtt_us: 1, samples: 1, age_s: 0, means: Means::Connections });
        let (rtts, _) = Rtts::new([(0, &told(rows.collect()))].into_iter(), None);
        let (found, scope) = rtts.find(address(client), 0);
        prop_assert_eq!(found.to(0).is_some(), measured.contains(&client));
        let holds = |scope: u8| measured.iter().any(|number| {
            *number != client && crate::address::masked(address(*number), scope) == crate::address::masked(address(client), scope)
        });
        prop_assert!(!holds(scope));
        prop_assert!(measured.contains(&client) && scope == 24 || holds(scope - 1));
    }

    #[test]
    fn what_is_written_is_read_again(rows in proptest::collection::vec((any::<u128>(), any::<bool>(), 1..=10_000_000_u32, 1_u32.., any::<u32>()), 0..20), probed: bool) {
        let means = if probed { Means::Probes } else { Means::Connections };
        let address = |bits: u128, v6| if v6 { IpAddr::V6((bits | 1 << 125).into()) } else { IpAddr::V4((bits as u32).into()) };
        let rows: Vec<_> = rows.into_iter().map(|(bits, v6, rtt_us, samples, age_s)| Row { prefix: Prefix::of(address(bits, v6)), rtt_us, samples, age_s, means }).collect();
        prop_assert_eq!(parse(&write(rows.iter())).unwrap(), rows);
    }

    #[test]
    fn no_text_makes_it_panic(text: String, bytes in "[0-9a-f:./ \n]{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("littoral-rtt 1\n{bytes}"));
    }
}
