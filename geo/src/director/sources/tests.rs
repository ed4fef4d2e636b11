//! Files of the map that change, break and come back while questions are answered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use littoral_testkit::mmdb::Builder;

use super::super::tests::{first, world};
use super::*;
use crate::{Director, NativeGeo, Override};

fn director(config: GeoConfig) -> Director {
    Director::new(config, Arc::new(NativeGeo::default())).unwrap().0
}

/// A directing config with a coverage file that says `text`.
fn covered(name: &str, text: &str) -> (tempfile::TempDir, GeoConfig) {
    let (directory, mut config) = world();
    config.coverage = vec![directory.path().join(name)];
    std::fs::write(&config.coverage[0], text).unwrap();
    (directory, config)
}

#[test]
fn a_coverage_file_counts_like_the_prefixes_of_its_clusters_and_is_followed() {
    let (_directory, config) = covered("zones.csv", "172.16.0.0/12,nyc1\n172.17.0.0/16,isp1\n");
    let file = config.coverage[0].clone();
    let director = director(config);
    assert_eq!(first(&director, "172.16.1.1"), ("nyc1".into(), "coverage"));
    assert_eq!(first(&director, "172.17.1.1"), ("isp1".into(), "deep"));
    assert_eq!(director.refresh().unwrap(), None);
    let before = director.map();
    std::fs::write(&file, "172.16.0.0/12,ams1\n").unwrap();
    assert_eq!(director.refresh().unwrap(), Some(Vec::new()));
    assert_eq!(first(&director, "172.17.1.1"), ("ams1".into(), "coverage"));
    assert_eq!(director.map().generation, before.generation + 1);
}

#[test]
fn a_file_that_breaks_is_told_once_and_what_it_said_holds_until_it_can_be_read_again() {
    let (_directory, config) = covered("zones.json", r#"{"172.16.0.0/12": "nyc1"}"#);
    let (file, database) = (config.coverage[0].clone(), config.databases[0].clone());
    let director = director(config.clone());
    std::fs::write(&file, "{\"172.16.0.0/12\": ").unwrap();
    std::fs::write(&database, "torn").unwrap();
    let told = director.refresh().unwrap().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("city.mmdb: not usable") && told[1].contains("zones.json:1:18: EOF"), "{told:?}");
    assert!(told[1].ends_with("; what it said before holds"), "{told:?}");
    assert_eq!(first(&director, "172.16.1.1"), ("nyc1".into(), "coverage"));
    assert_eq!(first(&director, "198.18.0.1"), ("ams1".into(), "geo"));
    assert_eq!(director.refresh().unwrap(), None, "told again");
    assert_eq!(director.reload(config).unwrap().len(), 2, "an order to reload tells it again");
    std::fs::write(&file, r#"{"172.16.0.0/13": "ams1"}"#).unwrap();
    Builder::city().add_city("198.18.0.0/24", "US", "New York", 40.7, -74.0).write(&database);
    assert_eq!(director.refresh().unwrap(), Some(Vec::new()));
    assert_eq!(first(&director, "172.16.1.1"), ("ams1".into(), "coverage"));
    assert_eq!(first(&director, "198.18.0.1"), ("nyc1".into(), "geo"));
}

#[test]
fn a_coverage_file_that_never_could_be_read_is_an_error_and_names_without_a_cluster_are_a_warning() {
    let (_directory, config) = covered("zones.csv", "172.16.0.0/12\n");
    let refused = |config: &GeoConfig| Director::new(config.clone(), Arc::new(NativeGeo::default()));
    let problem = refused(&config).err().unwrap().to_string();
    assert!(problem.contains("zones.csv:1: \"172.16.0.0/12\" has no comma"), "{problem}");
    std::fs::write(&config.coverage[0], "172.16.0.0/12,ams\n172.0.0.0/8,nyc1\n10.0.0.0/8,nyc1\n").unwrap();
    let (director, warnings) = refused(&config).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("zones.csv: \"ams\" is no [[cluster]] (1 such names): 1 prefixes"), "{warnings:?}");
    assert!(warnings[1].starts_with("10.0.0.0/8 is of cluster \"ams1\" and of cluster \"nyc1\""), "{warnings:?}");
    assert_eq!(first(&director, "172.16.1.1"), ("nyc1".into(), "coverage"));
}

#[test]
fn what_the_operator_prescribes_stands_before_deep_clusters_and_holds_while_its_cluster_is_up() {
    let (_directory, mut config) = world();
    let correction = |prefix: &str, cluster: Option<&str>, at| Override {
        prefix: prefix.parse().unwrap(),
        cluster: cluster.map(str::to_owned),
        at,
    };
    config.overrides = vec![
        correction("10.7.7.0/24", Some("nyc1"), None),
        correction("192.0.2.0/24", Some("isp1"), None),
        correction("198.18.0.0/25", None, Some([40.7, -74.0])),
    ];
    let director = director(config.clone());
    assert_eq!(first(&director, "10.7.7.1"), ("nyc1".into(), "override"));
    assert_eq!(first(&director, "192.0.2.1"), ("isp1".into(), "override"));
    assert_eq!(first(&director, "198.18.0.1"), ("nyc1".into(), "geo"));
    assert_eq!(first(&director, "198.18.0.129"), ("ams1".into(), "geo"));
    director.set_cluster_state("nyc1", false, 0);
    assert_eq!(first(&director, "10.7.7.1"), ("isp1".into(), "deep"));
    config.overrides = vec![correction("10.7.7.0/24", Some("nowhere"), None)];
    let problem = director.reload(config).unwrap_err().to_string();
    assert_eq!(problem, "geo.override: 10.7.7.0/24 names no [[cluster]]: \"nowhere\"");
}

#[test]
fn autonomous_systems_come_after_coverage_zones_and_before_distance() {
    let (directory, mut config) = world();
    let file = directory.path().join("asn.mmdb");
    let system = serde_json::json!({ "autonomous_system_number": 64500 });
    Builder::country().add("198.18.0.0/15", &system).add("10.0.0.0/8", &system).write(&file);
    config.databases.push(file);
    config.clusters[1].systems = vec![64500];
    let director = director(config);
    assert_eq!(first(&director, "198.18.0.1"), ("nyc1".into(), "coverage"));
    assert_eq!(first(&director, "10.1.1.1"), ("ams1".into(), "coverage"));
}

#[test]
fn no_question_waits_or_fails_while_the_map_is_replaced() {
    let (_directory, config) = covered("zones.csv", "172.16.0.0/12,nyc1\n");
    let (file, director) = (config.coverage[0].clone(), director(config));
    let (done, asked) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let decision = director.decide("a1105.kingcdn.example", "172.16.1.1".parse().unwrap()).unwrap();
                assert!(decision.clusters().next().is_some(), "no cluster between two maps");
                asked.fetch_add(1, Relaxed);
            }
        });
        for round in 0..20 {
            let cluster = if round % 2 == 0 { "ams1" } else { "nyc1" };
            // A file is told from its last content by its length, too: the clock may stand still between two of them.
            std::fs::write(&file, format!("172.16.0.0/12,{cluster}\n{}", "#".repeat(round))).unwrap();
            let (before, generation) = (asked.load(Relaxed), director.map().generation);
            director.refresh().unwrap();
            assert_eq!(director.map().generation, generation + 1);
            while asked.load(Relaxed) <= before {
                std::thread::yield_now();
            }
        }
        done.store(true, Relaxed);
    });
}
