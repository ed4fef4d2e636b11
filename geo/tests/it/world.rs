//! A small fixed world: two zones, a service, two clusters with a coverage zone each. Tests and fuzzers share it.

use std::sync::Arc;
use std::time::Duration;

use littoral_geo::{Cluster, Director, GeoConfig, NativeGeo, Node, Service, ZoneSource};

const NETCINEMA: &str = "\
$ORIGIN netcinema.example.
$TTL 60
@     IN SOA ns hostmaster 1 3600 600 86400 30
@     IN NS  ns
ns    IN A   192.0.2.53
video IN CNAME a1105.kingcdn.example.
loop  IN CNAME loop2
loop2 IN CNAME loop
";
const KINGCDN: &str = "\
$ORIGIN kingcdn.example.
$TTL 60
@   IN SOA ns hostmaster 1 3600 600 86400 30
@   IN NS  ns
ns  IN A   192.0.2.54
big IN TXT \"0123456789012345678901234567890123456789012345678901234567890123456789\"
";

/// The director of this world; its zone files are read and gone.
pub(crate) fn director() -> Director {
    let directory = tempfile::tempdir().unwrap();
    let big: String = (0..40).map(|number| format!("big IN TXT \"{number:090}\"\n")).collect();
    let zone = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        ZoneSource { name: name.into(), file }
    };
    let zones = vec![zone("netcinema.example.", NETCINEMA), zone("kingcdn.example.", &format!("{KINGCDN}{big}"))];
    let cluster = |id: &str, node: &str, prefix: &str| Cluster {
        id: id.into(),
        deep: false,
        at: [0.0, 0.0],
        capacity_mbps: 1,
        nodes: vec![Node { v4: Some(node.parse().unwrap()), v6: None, weight: 1 }],
        draining: false,
        prefixes: vec![prefix.parse().unwrap()],
        systems: Vec::new(),
    };
    let service = Service {
        name: "a1105.kingcdn.example.".into(),
        clusters: vec!["*".into()],
        ttl: Duration::from_secs(30),
        answers: 2,
    };
    let clusters = vec![cluster("one", "203.0.113.1", "10.1.0.0/16"), cluster("two", "203.0.113.2", "10.2.0.0/16")];
    let config = GeoConfig {
        databases: Vec::new(),
        coverage: Vec::new(),
        overrides: Vec::new(),
        clusters,
        zones,
        services: vec![service],
    };
    Director::new(config, Arc::new(NativeGeo::default())).unwrap().0
}
