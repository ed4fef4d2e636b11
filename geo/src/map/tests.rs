//! The map against brute force, and what comes before what.

use littoral_testkit::mmdb::Builder;
use proptest::prelude::*;

use super::*;
use crate::address::masked;
use crate::database::Database;
use crate::routing::unit_vector;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn map(zones: &[(&str, As, u16)]) -> Map {
    let zones = zones.iter().map(|(prefix, serving, cluster)| (net(prefix), (*serving, *cluster))).collect();
    Map::compile(Sources { zones, ..Sources::default() }).unwrap()
}

fn find(map: &Map, address: &str) -> (Covered, u8) {
    let (spot, scope) = map.find(address.parse().unwrap());
    (spot.covered, scope)
}

fn covered(deep: impl Into<Option<u16>>, home: impl Into<Option<u16>>) -> Covered {
    Covered { forced: None, deep: deep.into(), home: home.into() }
}

#[test]
fn longest_prefixes_win_deep_and_home_apart_and_gaps_bound_the_scope() {
    let map = map(&[("10.0.0.0/8", As::Home, 1), ("10.1.0.0/16", As::Deep, 2), ("10.1.2.0/24", As::Home, 3)]);
    assert_eq!(find(&map, "10.1.2.9"), (covered(2, 3), 24));
    assert_eq!(find(&map, "10.1.9.9"), (covered(2, 1), 21));
    assert_eq!(find(&map, "10.128.0.1"), (covered(None, 1), 9));
    assert_eq!(find(&map, "192.0.2.1"), (Covered::default(), 1));
    assert_eq!(find(&map, "2001:db8::1"), (Covered::default(), 0));
}

#[test]
fn equal_neighbours_are_merged_to_a_wider_scope_and_hosts_are_not_lost() {
    let zones = [
        ("10.0.0.0/9", As::Home, 1),
        ("10.128.0.0/9", As::Home, 1),
        ("2001:db8::7/128", As::Home, 1),
        ("2001:db8:0:0:8000::/65", As::Home, 1),
        ("ffff::/16", As::Home, 1),
        ("255.255.255.255/32", As::Home, 1),
    ];
    let map = map(&zones);
    assert_eq!(find(&map, "10.1.1.1"), (covered(None, 1), 8));
    assert_eq!(find(&map, "2001:db8::7"), (covered(None, 1), 128));
    assert_eq!(find(&map, "2001:db8::6"), (Covered::default(), 128));
    assert_eq!(find(&map, "2001:db8:0:0:9000::"), (covered(None, 1), 65));
    assert_eq!(find(&map, "2001:db8:0:1::"), (Covered::default(), 64));
    assert_eq!(find(&map, "ffff:1::"), (covered(None, 1), 16));
    assert_eq!(find(&map, "255.255.255.255"), (covered(None, 1), 32));
}

#[test]
fn the_operator_comes_before_zones_zones_before_systems_and_the_first_database_that_knows_before_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    Builder::city().add_city("10.0.0.0/8", "NL", "Amsterdam", 52.0, 5.0).write(&file("city.mmdb"));
    Builder::country().add_country("10.0.0.0/7", "DE").write(&file("country.mmdb"));
    let system = serde_json::json!({ "autonomous_system_number": 64500 });
    Builder::country().add("10.4.0.0/15", &system).write(&file("asn.mmdb"));
    let databases = ["city.mmdb", "country.mmdb", "asn.mmdb"].map(|name| Database::open(&file(name)).unwrap());
    let at = Some(unit_vector(1.0, 2.0));
    let map = Map::compile(Sources {
        zones: vec![
            (net("10.4.0.0/16"), (As::Home, 1)),
            (net("10.4.4.0/24"), (As::Forced, 2)),
            (net("10.4.4.4/32"), (As::Home, 7)),
        ],
        systems: HashMap::from([(64500, covered(3, 4))]),
        places: vec![(net("10.9.0.0/16"), Place { at, country: None })],
        databases: databases.iter().collect(),
    })
    .unwrap();
    let find = |address: &str| map.find(address.parse().unwrap());
    let country = |address: &str| find(address).0.place.country.map(|code| String::from_utf8(code.to_vec()).unwrap());
    assert_eq!((find("10.4.1.1").0.covered, find("10.4.1.1").1), (covered(3, 1), 22));
    assert_eq!((find("10.5.1.1").0.covered, find("10.5.1.1").1), (covered(3, 4), 16));
    let forced = Covered { forced: Some(2), ..covered(3, 7) };
    assert_eq!((find("10.4.4.4").0.covered, find("10.4.4.4").1), (forced, 32));
    assert_eq!((find("10.9.1.1").0.place.at, find("10.9.1.1").1), (at, 16));
    assert_eq!(country("10.9.1.1").as_deref(), Some("NL"));
    assert_eq!((country("10.1.1.1").as_deref(), country("11.1.1.1").as_deref()), (Some("NL"), Some("DE")));
    assert_eq!((find("11.1.1.1").1, find("2001:db8::").0), (8, Spot::default()));
}

/// Prefixes with eight significant bits, so that they often lie within each other; in IPv6 around the 64th bit.
fn zones() -> impl Strategy<Value = Vec<(IpNet, Serving)>> {
    let serving = prop::sample::select(vec![As::Home, As::Deep, As::Forced]);
    let one = (any::<u8>(), 0_u8..=8, serving, 0_u16..4, any::<bool>());
    let one = one.prop_map(|(bits, length, serving, cluster, v4)| (prefix(bits, length, v4), (serving, cluster)));
    prop::collection::vec(one, 0..16)
}

fn address(bits: u8, v4: bool) -> IpAddr {
    match v4 {
        true => IpAddr::V4((u32::from(bits) << 24).into()),
        false => IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(bits) << 60).into()),
    }
}

fn prefix(bits: u8, length: u8, v4: bool) -> IpNet {
    IpNet::new(address(bits, v4), if v4 { length } else { length + 60 }).unwrap().trunc()
}

/// Per kind the cluster of the longest prefix, of equal ones the highest.
fn brute(zones: &[(IpNet, Serving)], address: IpAddr) -> Covered {
    let best = |wanted: As| {
        let matching = zones.iter().filter(|(net, (serving, _))| *serving == wanted && net.contains(&address));
        matching.max_by_key(|(net, (_, cluster))| (net.prefix_len(), *cluster)).map(|(_, (_, cluster))| *cluster)
    };
    Covered { forced: best(As::Forced), deep: best(As::Deep), home: best(As::Home) }
}

proptest! {
    #[test]
    fn the_answer_is_that_of_brute_force_and_the_scope_the_widest_in_which_it_is_the_same_everywhere(
        zones in zones(), bits in any::<u8>(), v4 in any::<bool>()
    ) {
        let map = Map::compile(Sources { zones: zones.clone(), ..Sources::default() }).unwrap();
        let asked = address(bits, v4);
        let (spot, scope) = map.find(asked);
        prop_assert_eq!(spot.covered, brute(&zones, asked));
        // Each value of the eight bits that matter stands for all addresses with it.
        let same = |length: u8| {
            let within = |other: &IpAddr| masked(*other, length) == masked(asked, length);
            let beyond = !v4 && length < 60;
            let differs = |other: IpAddr| brute(&zones, other) != spot.covered;
            let outside = beyond.then_some(IpAddr::V6(0.into()));
            !(0..=u8::MAX).map(|bits| address(bits, v4)).filter(within).chain(outside).any(differs)
        };
        prop_assert!(same(scope), "/{} crosses a boundary", scope);
        prop_assert!(scope == 0 || !same(scope - 1), "/{} is longer than it need be", scope);
    }
}
