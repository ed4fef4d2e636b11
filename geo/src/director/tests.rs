//! The decision: coverage before distance before load, health, and the promise of the scope.

use std::collections::HashSet;
use std::io::Write;
use std::time::SystemTime;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use littoral_testkit::mmdb::Builder;

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::address::masked;
use crate::database::Database;
use crate::routing::{Choice, ClusterRow, Flow, unit_vector};

mod rtts;

const ZONE: &str =
    "$ORIGIN kingcdn.example.\n@ 60 IN SOA ns hostmaster 1 60 60 60 30\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n";

const NAME: &str = "a1105.kingcdn.example.";

/// A config with three clusters, and a directory that holds its files.
pub(super) fn world() -> (tempfile::TempDir, GeoConfig) {
    let directory = tempfile::tempdir().unwrap();
    let zone = directory.path().join("kingcdn.zone");
    std::fs::File::create(&zone).unwrap().write_all(ZONE.as_bytes()).unwrap();
    let database = directory.path().join("city.mmdb");
    Builder::city()
        .add_city("198.18.0.0/24", "NL", "Amsterdam", 52.37, 4.9)
        .add_city("198.18.1.0/25", "FR", "Paris", 48.85, 2.35)
        .add_city("198.18.2.0/24", "JP", "Tokyo", 35.7, 139.7)
        .add_city("2001:db8:1::/48", "US", "New York", 40.7, -74.0)
        .write(&database);
    let cluster = |id: &str, deep: bool, at: [f64; 2], node: &str, prefixes: &[&str]| Cluster {
        id: id.into(),
        deep,
        at,
        capacity_mbps: 1000,
        nodes: vec![Node { v4: Some(node.parse().unwrap()), v6: None, weight: 1 }],
        draining: false,
        prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        systems: Vec::new(),
    };
    let config = GeoConfig {
        databases: vec![database],
        database_max_age: Duration::ZERO,
        coverage: Vec::new(),
        overrides: Vec::new(),
        secrets: Vec::new(),
        clusters: vec![
            cluster("ams1", false, [52.37, 4.9], "192.0.2.1", &["10.0.0.0/8"]),
            cluster("nyc1", false, [40.7, -74.0], "192.0.2.2", &[]),
            cluster("isp1", true, [35.7, 139.7], "192.0.2.3", &["10.7.0.0/16"]),
        ],
        zones: vec![ZoneSource { name: "kingcdn.example.".into(), file: zone, ..ZoneSource::default() }],
        services: vec![Service {
            name: "a1105.kingcdn.example".into(),
            clusters: vec!["*".into()],
            ttl: Duration::from_secs(30),
            answers: 2,
        }],
    };
    (directory, config)
}

fn director(config: GeoConfig) -> Director {
    let (director, warnings) = Director::new(config, Arc::new(NativeGeo::default())).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    director
}

pub(super) fn first(director: &Director, client: &str) -> (String, &'static str) {
    let explanation = director.explain(client.parse().unwrap(), "A1105.kingcdn.example").unwrap();
    (explanation.clusters[0].clone(), explanation.reason)
}

#[test]
fn coverage_comes_before_distance_and_deep_before_home_and_deep_serves_nobody_else() {
    let (_directory, config) = world();
    let director = director(config);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    assert_eq!(first(&director, "10.7.1.1"), ("isp1".into(), "deep"));
    assert_eq!(first(&director, "198.18.1.9"), ("ams1".into(), "geo"));
    assert_eq!(first(&director, "2001:db8:1::9"), ("nyc1".into(), "geo"));
    assert_eq!(first(&director, "::ffff:198.18.1.9"), ("ams1".into(), "geo"));
    // Tokyo is next door to isp1, which is not for it.
    assert_ne!(first(&director, "198.18.2.1").0, "isp1");
    assert_eq!(first(&director, "203.0.113.1").1, "load");
}

#[test]
fn a_cluster_that_is_down_is_left_out_and_when_all_are_an_answer_is_given_all_the_same() {
    let (_directory, config) = world();
    let director = director(config);
    assert!(director.set_cluster_state("ams1", false, 0));
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    assert!(director.set_cluster_state("nyc1", false, 0));
    assert_eq!(first(&director, "10.1.1.1").1, "all-down");
    assert!(director.set_cluster_state("ams1", true, 0));
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    assert!(!director.set_cluster_state("nowhere", true, 0));
}

#[test]
fn a_node_that_is_down_is_answered_only_when_no_other_of_its_family_is_up_and_a_reload_keeps_that() {
    let (_directory, mut config) = world();
    let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 11].into());
    let six = "2001:db8::11".parse().unwrap();
    config.clusters[0].nodes.push(Node { v4: Some(other), v6: Some(six), weight: 1 });
    let director = director(config.clone());
    let answered = || {
        let told = director.explain("10.1.1.1".parse().unwrap(), NAME).unwrap();
        let mut addresses = told.addresses;
        addresses.sort();
        (addresses, told.nodes_down)
    };
    let ([one, other, six], nyc) = ([IpAddr::V4(one), IpAddr::V4(other), IpAddr::V6(six)], [192, 0, 2, 2].into());
    assert_eq!(answered(), (vec![one, other, six], vec![]));
    assert!(director.set_nodes_down("ams1", &[other]));
    assert_eq!(answered(), (vec![one, six], vec![other]));
    assert_eq!(director.clusters()[0].nodes_down, [other]);
    director.reload(config.clone()).unwrap();
    assert_eq!(answered(), (vec![one, six], vec![other]));
    // A node that is up in another cluster comes before one that is not, and that one before none.
    assert!(director.set_nodes_down("ams1", &[one, other]));
    assert_eq!(answered(), (vec![nyc, six], vec![one, other]));
    assert!(director.set_nodes_down("ams1", &[six]));
    assert_eq!(answered(), (vec![one, other, six], vec![six]));
    // Of whom all nodes are down, the state of the cluster decides.
    assert!(director.set_nodes_down("ams1", &[one, other, six]));
    assert_eq!(answered().0, [one, other, six]);
    config.clusters[0].nodes.pop();
    director.reload(config).unwrap();
    assert_eq!(answered(), (vec![one], vec![one]));
    assert!(director.set_nodes_down("ams1", &[]) && !director.set_nodes_down("nowhere", &[one]));
    assert_eq!(answered(), (vec![one], vec![]));
}

#[test]
fn where_no_cluster_may_serve_the_denial_holds_for_the_clients_network_and_not_for_everybody() {
    let (_directory, mut config) = world();
    config.services[0].clusters = vec!["isp1".into()];
    let director = director(config);
    let asked = |client: &str| director.answer(&NAME.parse().unwrap(), RecordType::A, client.parse().unwrap());
    let denied = asked("10.6.0.1");
    assert_eq!((denied.code, denied.answers.len(), denied.scope), (ResponseCode::NoError, 0, 16));
    assert_eq!(denied.authority[0].record_type(), RecordType::SOA);
    assert_eq!(asked("10.7.0.1").answers.len(), 1);
    let counters = director.counters();
    assert_eq!(counters.reasons.each_ref().map(|count| count.load(Relaxed)), [1, 0, 0, 0, 0, 1, 0, 0, 0]);
    let told = director.explain("10.6.0.1".parse().unwrap(), NAME).unwrap();
    assert_eq!((told.clusters.len(), told.addresses.len(), told.reason), (0, 0, "no-candidate"));
    assert_eq!((told.scope.as_str(), told.zone), ("10.6.0.0/16", None));
    assert_eq!(counters.reasons[5].load(Relaxed), 1, "what is explained is counted as if it had been answered");
}

#[test]
fn the_nodes_of_a_cluster_share_the_clients_of_one_scope_and_each_client_comes_back_to_its_own() {
    let (_directory, mut config) = world();
    config.clusters.truncate(1);
    let node = |node| Node { v4: Some([192, 0, 2, node].into()), v6: None, weight: 1 };
    config.clusters[0].nodes = (1..=5).map(node).collect();
    let director = director(config);
    let asked = |client: &str| director.answer(&NAME.parse().unwrap(), RecordType::A, client.parse().unwrap());
    let met: HashSet<String> = (0..100)
        .flat_map(|client| asked(&format!("10.1.{client}.1")).answers)
        .map(|record| record.data.to_string())
        .collect();
    assert_eq!(met.len(), 5);
    assert_eq!(asked("10.1.7.1").answers.len(), 2);
    assert_eq!(asked("10.1.7.1").answers, asked("10.1.7.200").answers);
    // Nobody else may ever serve it, so that the answer is for everybody.
    assert_eq!(asked("10.1.7.1").scope, 0);
}

#[test]
fn a_full_cluster_has_room_again_well_below_its_capacity_and_a_draining_one_gets_nobody_whom_others_may_serve() {
    let (_directory, mut config) = world();
    let director = director(config.clone());
    let load = |id: &str, load: u16| assert!(director.set_cluster_state(id, true, load));
    load("ams1", 1000);
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    load("ams1", 950);
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1", "room at once");
    load("ams1", 899);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    load("ams1", 1000);
    load("nyc1", 1000);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "no-room"));
    load("ams1", 0);
    config.clusters[0].draining = true;
    director.reload(config.clone()).unwrap();
    assert_eq!(first(&director, "10.1.1.1"), ("nyc1".into(), "no-room"), "full before draining");
    load("nyc1", 0);
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    director.set_cluster_state("nyc1", false, 0);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "no-room"));
}

#[test]
fn a_cluster_that_is_drained_by_command_gets_nobody_whom_others_may_serve_until_it_is_taken_back() {
    let (_directory, mut config) = world();
    let director = director(config.clone());
    assert!(!director.set_draining("none", Some("by command")));
    assert!(director.set_draining("ams1", Some("by command")));
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    let told = director.explain("10.1.1.1".parse().unwrap(), NAME).unwrap();
    let why = told.filtered.iter().find(|filtered| filtered.cluster == "ams1").map(|filtered| &*filtered.why);
    assert_eq!(why, Some("draining (by command)"));
    // A probe, a reload and other loads leave it at that.
    director.set_cluster_state("ams1", false, 0);
    director.set_cluster_state("ams1", true, 100);
    director.reload(config.clone()).unwrap();
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    director.set_cluster_state("nyc1", false, 0);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "no-room"), "nobody else may");
    director.set_cluster_state("nyc1", true, 0);
    assert!(director.set_draining("ams1", None));
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    config.clusters[0].draining = true;
    director.reload(config).unwrap();
    assert_eq!(first(&director, "10.1.1.1").0, "nyc1");
    let by: Vec<_> = director.clusters().into_iter().map(|cluster| (cluster.draining, cluster.draining_by)).collect();
    assert_eq!(by[..2], [(true, Some("by the config".into())), (false, None)]);
}

#[test]
fn of_candidates_those_that_hold_what_is_asked_for_come_alone_and_nobody_goes_without() {
    let (_directory, mut config) = world();
    let director = director(config.clone());
    let steered = |client: &str, holders: &[&str]| {
        let holders: Vec<String> = holders.iter().map(|id| (*id).to_owned()).collect();
        let steered = director.steer(NAME, client.parse().unwrap(), &holders).unwrap();
        (steered.clusters.concat(), steered.is_held)
    };
    assert_eq!(steered("10.1.1.1", &[]), ("ams1nyc1".into(), false));
    assert_eq!(steered("10.1.1.1", &["nyc1"]), ("nyc1".into(), true));
    // Of all that hold it the best comes first; a deep one serves its own alone, whatever it holds.
    assert_eq!(steered("10.1.1.1", &["nyc1", "ams1", "none"]), ("ams1nyc1".into(), true));
    assert_eq!(steered("10.1.1.1", &["isp1"]), ("ams1nyc1".into(), false));
    director.set_cluster_state("nyc1", false, 0);
    assert_eq!(steered("10.1.1.1", &["nyc1"]), ("ams1".into(), false), "who holds it is down");
    director.set_cluster_state("nyc1", true, 0);
    let told = director.explain_held("10.1.1.1".parse().unwrap(), NAME, &["nyc1".into()]).unwrap();
    let why = told.filtered.iter().find(|filtered| filtered.cluster == "ams1").map(|filtered| &*filtered.why);
    assert_eq!((&told.clusters[0][..], why), ("nyc1", Some("does not hold what is asked for")));
    config.overrides =
        vec![crate::Override { prefix: "10.1.0.0/16".parse().unwrap(), cluster: Some("ams1".into()), at: None }];
    director.reload(config).unwrap();
    assert_eq!(steered("10.1.1.1", &["nyc1"]), ("ams1".into(), false), "what is prescribed comes first");
}

#[test]
fn an_explanation_names_what_matched_each_candidate_and_why_the_others_were_left_out() {
    let (_directory, mut config) = world();
    let database = config.databases[0].display().to_string();
    config.overrides =
        vec![crate::Override { prefix: "10.7.7.0/24".parse().unwrap(), cluster: Some("isp1".into()), at: None }];
    let director = director(config);
    director.set_cluster_state("nyc1", false, 0);
    let told = director.explain("198.18.0.9".parse().unwrap(), NAME).unwrap();
    let filtered: Vec<_> = told.filtered.iter().map(|filtered| (filtered.cluster.as_str(), &*filtered.why)).collect();
    assert_eq!(filtered, [("nyc1", "down"), ("isp1", "deep, and the client is not in its prefixes")]);
    let [candidate] = &told.candidates[..] else { panic!("{told:?}") };
    assert_eq!((candidate.cluster.as_str(), candidate.rank, candidate.distance_km), ("ams1", Some(1), Some(0)));
    assert_eq!((told.policy.as_deref(), told.policy_generation, told.map_generation), (Some("native"), 0, 0));
    let matched = |client: &str| {
        let told = director.explain(client.parse().unwrap(), NAME).unwrap();
        told.matched
            .into_iter()
            .map(|matched| format!("{}: {} {}", matched.source, matched.prefix, matched.says))
            .collect::<Vec<_>>()
    };
    assert_eq!(matched("198.18.0.9"), [format!("{database}: 198.18.0.0/24 NL, at 52.37, 4.90")]);
    let expected = [
        "geo.override: 10.7.7.0/24 prescribed cluster isp1",
        "cluster.prefixes: 10.7.0.0/16 deep cluster isp1",
        "cluster.prefixes: 10.0.0.0/8 home cluster ams1",
    ];
    assert_eq!(matched("10.7.7.1"), expected);
    let told = director.explain("10.7.7.1".parse().unwrap(), NAME).unwrap();
    assert_eq!(told.filtered[0].why, "another one is prescribed");
    assert_eq!(told.candidates.len(), 1);
}

#[test]
fn a_covering_home_cluster_takes_over_from_a_deep_one_that_is_down() {
    let (_directory, config) = world();
    let director = director(config);
    director.set_cluster_state("isp1", false, 0);
    director.set_cluster_state("ams1", true, 900);
    assert_eq!(first(&director, "10.7.1.1"), ("ams1".into(), "coverage"));
    let told = director.explain("10.7.1.1".parse().unwrap(), NAME).unwrap();
    assert_eq!(told.zone.as_deref(), Some("ams1"));
}

#[test]
fn every_client_of_a_scope_gets_the_same_answer() {
    let (_directory, config) = world();
    let director = director(config);
    let decide = |address: IpAddr| director.decide("a1105.kingcdn.example.", address).unwrap();
    for client in
        ["10.7.0.1", "10.6.255.255", "198.18.0.1", "198.18.1.200", "198.18.1.5", "203.0.113.9", "9.255.255.255"]
    {
        let client: IpAddr = client.parse().unwrap();
        let decision = decide(client);
        let IpAddr::V4(base) = masked(client, decision.scope) else { unreachable!("IPv4") };
        let size = 1_u64 << (32 - decision.scope);
        for step in 0..64 {
            let other = base.to_bits() + u32::try_from(step * (size / 64).max(1) % size).unwrap();
            let theirs = decide(IpAddr::V4(other.into()));
            assert_eq!(theirs.choice, decision.choice, "{client} and {} in /{}", Ipv4Addr::from(other), decision.scope);
        }
    }
}

/// A policy that answers nonsense.
struct Nonsense;

impl Routing for Nonsense {
    fn push(&self, _: u64, _: &[ClusterRow]) {}
    fn decide(&self, _: &Flow) -> Option<Choice> {
        Some(Choice { clusters: [63, 63, 700], ttl_s: 1 })
    }
}

#[test]
fn a_choice_outside_the_candidates_is_refused_and_the_native_policy_answers() {
    let (_directory, config) = world();
    let (director, _) = Director::new(config, Arc::new(Nonsense)).unwrap();
    assert_eq!(first(&director, "198.18.0.1").0, "ams1");
    assert_eq!(director.counters().refused_choices.load(Relaxed), 1);
}

#[test]
fn a_missing_or_broken_database_is_a_warning_and_the_next_rule_decides() {
    let (directory, mut config) = world();
    let broken = directory.path().join("broken.mmdb");
    std::fs::write(&broken, b"no database").unwrap();
    config.databases = vec![directory.path().join("missing.mmdb"), broken];
    let (director, warnings) = Director::new(config, Arc::new(NativeGeo::default())).unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("missing.mmdb: not usable as a geo-IP database"), "{}", warnings[0]);
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    assert_eq!(first(&director, "198.18.0.1").1, "load");
}

#[test]
fn a_database_that_is_old_is_a_warning_each_time_it_is_read_and_its_age_is_told() {
    let (directory, mut config) = world();
    let (file, day_s) = (directory.path().join("old.mmdb"), 86_400);
    let write = |days: u64| {
        let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        Builder::city()
            .add_city("198.18.0.0/15", "NL", "Amsterdam", 52.0, 5.0)
            .built(now_s - days * day_s)
            .write(&file);
    };
    write(61);
    (config.databases, config.database_max_age) = (vec![file.clone()], Duration::from_secs(60 * day_s));
    let (director, warnings) = Director::new(config.clone(), Arc::new(NativeGeo::default())).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("a geo-IP database of 61 days ago"), "{warnings:?}");
    assert!(director.reload(config.clone()).unwrap().is_empty(), "it was not read again");
    let [(path, age)] = &director.databases()[..] else { panic!("one database") };
    assert_eq!((path, age.as_secs() / day_s), (&file, 61));
    // As new files come: beside it, then in its place.
    std::fs::remove_file(&file).unwrap();
    write(59);
    assert_eq!(director.refresh().unwrap(), Some(Vec::new()));
    config.database_max_age = Duration::ZERO;
    write(10_000);
    let (_, warnings) = Director::new(config, Arc::new(NativeGeo::default())).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_reload_keeps_states_and_the_last_good_database_and_a_bad_one_changes_nothing() {
    let (directory, mut config) = world();
    let director = director(config.clone());
    director.set_cluster_state("nyc1", false, 0);
    std::fs::write(&config.databases[0], b"torn").unwrap();
    assert_eq!(director.reload(config.clone()).unwrap().len(), 1);
    assert_eq!(first(&director, "198.18.0.1"), ("ams1".into(), "geo"));
    assert!(!director.clusters()[1].healthy);
    config.services[0].ttl = Duration::ZERO;
    director.reload(config).unwrap_err();
    assert_eq!(first(&director, "198.18.0.1"), ("ams1".into(), "geo"));
    drop(directory);
}

#[test]
fn a_zone_that_breaks_stays_as_it_was_while_the_others_are_read_anew() {
    let (directory, mut config) = world();
    let other = directory.path().join("other.zone");
    std::fs::write(&other, ZONE.replace("kingcdn", "other")).unwrap();
    config.zones.push(ZoneSource { name: "other.example".into(), file: other.clone(), ..ZoneSource::default() });
    let director = director(config.clone());
    let address = |name: &str| {
        let reply = director.answer(&name.parse().unwrap(), RecordType::A, "192.0.2.7".parse().unwrap());
        reply.answers.first().map(|record| record.data.to_string())
    };
    std::fs::write(&config.zones[0].file, format!("{ZONE}ns 60 IN A nonsense\n")).unwrap();
    std::fs::write(&other, ZONE.replace("kingcdn", "other").replace("192.0.2.53", "192.0.2.54")).unwrap();
    let told = director.reload(config.clone()).unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kingcdn.zone:5: A takes") && told[0].ends_with("zone kingcdn.example. stays as it was"));
    assert_eq!(address("ns.kingcdn.example.").as_deref(), Some("192.0.2.53"));
    assert_eq!(address("ns.other.example.").as_deref(), Some("192.0.2.54"));
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
    // One that never could be read, and one that leads out of our zones, are refused whole.
    config.zones.push(ZoneSource {
        name: "new.example".into(),
        file: config.zones[0].file.clone(),
        ..ZoneSource::default()
    });
    director.reload(config.clone()).unwrap_err();
    config.zones.pop();
    std::fs::write(&other, format!("{}@ 60 IN ALIAS www.elsewhere.\n", ZONE.replace("kingcdn", "other"))).unwrap();
    let problem = director.reload(config).unwrap_err().to_string();
    assert!(
        problem.contains("other.zone: ALIAS of other.example. leads to www.elsewhere., which is in no"),
        "{problem}"
    );
}

#[test]
fn a_country_database_places_clients_roughly() {
    let (directory, mut config) = world();
    let path = directory.path().join("country.mmdb");
    Builder::country().add_country("198.19.0.0/16", "DE").add_country("198.20.0.0/16", "CA").write(&path);
    config.databases = vec![path];
    let director = director(config);
    assert_eq!(first(&director, "198.19.1.1"), ("ams1".into(), "geo"));
    assert_eq!(first(&director, "198.20.1.1"), ("nyc1".into(), "geo"));
}

#[test]
fn the_reference_databases_are_read_and_the_broken_ones_survived() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/mmdb");
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    let city = Database::open(&data.join("test-data/GeoIP2-City-Test.mmdb")).unwrap();
    let (london, prefix) = city.find("81.2.69.145".parse().unwrap());
    assert_eq!((london.place.country, prefix), (Some(*b"GB"), 28));
    let place = unit_vector(51.5142, -0.0931);
    assert!(london.place.at.unwrap().iter().zip(place).all(|(a, b)| (a - b).abs() < 1e-4));
    let asn = Database::open(&data.join("test-data/GeoLite2-ASN-Test.mmdb")).unwrap();
    let find = |address: &str| asn.find(address.parse().unwrap());
    assert_eq!((find("1.128.1.1").0.asn, find("12.81.92.1").0.asn, find("81.2.69.145").0.asn), (1221, 7018, 0));
    let mut survived = 0;
    for directory in ["bad-data/libmaxminddb", "bad-data/maxminddb-golang", "bad-data/maxminddb-python"] {
        for entry in std::fs::read_dir(data.join(directory)).unwrap() {
            if let Ok(database) = Database::open(&entry.unwrap().path()) {
                for address in ["1.1.1.1", "81.2.69.145", "2001:218::1"] {
                    let _ = database.find(address.parse().unwrap());
                }
            }
            survived += 1;
        }
    }
    assert!(survived > 10);
}
