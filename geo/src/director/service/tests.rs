//! Services in the tree of their zone, and what is said of those that cannot be.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::*;
use crate::answer::Reply;
use crate::{Director, GeoConfig, NativeGeo, Node, ZoneSource};

const ZONE: &str = "\
$ORIGIN kingcdn.example.
@ 60 IN SOA ns hostmaster 1 60 60 60 30
@ 60 IN NS ns
@ 60 IN MX 10 ns
* 60 IN A 192.0.2.99
ns 60 IN A 192.0.2.53
www 60 IN CNAME a.b
loop 60 IN CNAME pool.other.example.
sub 60 IN NS ns.elsewhere.example.
front 30 IN ALIAS a.b
plain 300 IN ALIAS www2
brief 10 IN ALIAS ns
www2 60 IN CNAME ns
astray 60 IN ALIAS nothing
to-front 60 IN CNAME front
around 60 IN ALIAS about.other.example.
";

/// What leads in a circle over two zones is seen when it is asked for.
const OTHER: &str = "\
$ORIGIN other.example.
@ 60 IN SOA ns.kingcdn.example. hostmaster 1 60 60 60 30
@ 60 IN NS ns.kingcdn.example.
pool 60 IN CNAME loop.kingcdn.example.
about 60 IN ALIAS around.kingcdn.example.
";

fn service(name: &str) -> Service {
    Service { name: name.into(), clusters: vec!["one".into()], ttl: Duration::from_secs(30), answers: 2 }
}

fn started(services: Vec<Service>) -> Result<Director, GeoError> {
    let directory = tempfile::tempdir().unwrap();
    let zone = |(name, text): (&str, &str)| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        ZoneSource { name: name.into(), file, ..ZoneSource::default() }
    };
    let zones = [("kingcdn.example.", ZONE), ("other.example.", OTHER)].map(zone).into();
    let cluster = |id: &str, (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>)| Cluster {
        id: id.into(),
        deep: false,
        at: [0.0, 0.0],
        capacity_mbps: 1,
        nodes: vec![Node { v4, v6, weight: 1 }],
        draining: false,
        prefixes: Vec::new(),
        systems: Vec::new(),
    };
    let one = cluster("one", (Some("203.0.113.1".parse().unwrap()), None));
    let six = cluster("six", (None, Some("2001:db8::1".parse().unwrap())));
    let config = GeoConfig {
        databases: Vec::new(),
        database_max_age: Duration::ZERO,
        coverage: Vec::new(),
        overrides: Vec::new(),
        secrets: Vec::new(),
        clusters: vec![one, six],
        zones,
        services,
    };
    Director::new(config, Arc::new(NativeGeo::default())).map(|(director, _)| director)
}

fn ask(director: &Director, name: &str, qtype: RecordType) -> Reply {
    director.answer(&domain_name(name).unwrap(), qtype, "192.0.2.7".parse().unwrap())
}

fn told(reply: &Reply) -> (ResponseCode, Vec<String>) {
    (reply.code, reply.answers.iter().map(|record| record.data.to_string()).collect())
}

#[test]
fn what_is_above_a_service_exists_and_no_wildcard_stands_for_what_is_below_it() {
    let director = started(vec![service("a.b.kingcdn.example")]).unwrap();
    let tell = |name: &str| told(&ask(&director, name, RecordType::A));
    assert_eq!(tell("a.b.kingcdn.example"), (ResponseCode::NoError, vec!["203.0.113.1".into()]));
    assert_eq!(tell("b.kingcdn.example"), (ResponseCode::NoError, Vec::new()));
    assert_eq!(tell("y.a.b.kingcdn.example"), (ResponseCode::NXDomain, Vec::new()));
    assert_eq!(tell("y.kingcdn.example"), (ResponseCode::NoError, vec!["192.0.2.99".into()]));
}

#[test]
fn a_service_at_the_apex_leaves_the_other_types_to_the_zone() {
    let director = started(vec![service("kingcdn.example")]).unwrap();
    let answers = |qtype: RecordType| told(&ask(&director, "kingcdn.example", qtype)).1;
    assert_eq!(answers(RecordType::A), ["203.0.113.1"]);
    assert_eq!(answers(RecordType::NS), ["ns.kingcdn.example."]);
    assert_eq!(answers(RecordType::MX), ["10 ns.kingcdn.example."]);
    assert_eq!(answers(RecordType::SOA).len(), 1);
    assert_eq!(ask(&director, "kingcdn.example", RecordType::TXT).authority.len(), 1);
}

#[test]
fn any_is_answered_with_ipv6_addresses_where_there_are_no_others_and_a_loop_is_told_once() {
    let services = vec![Service { clusters: vec!["six".into()], ..service("six.kingcdn.example") }];
    let director = started(services).unwrap();
    assert_eq!(told(&ask(&director, "six.kingcdn.example", RecordType::ANY)).1, ["2001:db8::1"]);
    assert_eq!(
        told(&ask(&director, "loop.kingcdn.example", RecordType::A)).1,
        ["pool.other.example.", "loop.kingcdn.example."]
    );
}

#[test]
fn an_alias_at_the_apex_or_elsewhere_has_the_addresses_of_a_service_or_a_name_of_ours_and_its_own_ttl_at_most() {
    let director = started(vec![service("a.b.kingcdn.example")]).unwrap();
    let reply = |name: &str, qtype| {
        let reply = ask(&director, &format!("{name}.kingcdn.example"), qtype);
        let line = |record: &hickory_proto::rr::Record| format!("{} {} {}", record.name, record.ttl, record.data);
        (reply.code, reply.answers.iter().map(line).collect::<Vec<_>>(), reply.authority.len())
    };
    let ok = |answers: &[&str], authority| {
        (ResponseCode::NoError, answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>(), authority)
    };
    assert_eq!(reply("front", RecordType::A), ok(&["front.kingcdn.example. 30 203.0.113.1"], 0));
    assert_eq!(reply("plain", RecordType::A), ok(&["plain.kingcdn.example. 60 192.0.2.53"], 0));
    assert_eq!(reply("brief", RecordType::A), ok(&["brief.kingcdn.example. 10 192.0.2.53"], 0));
    assert_eq!(reply("front", RecordType::ANY), ok(&["front.kingcdn.example. 30 203.0.113.1"], 0));
    let behind = ["to-front.kingcdn.example. 60 front.kingcdn.example.", "front.kingcdn.example. 30 203.0.113.1"];
    assert_eq!(reply("to-front", RecordType::A), ok(&behind, 0));
    // What it stands for is not told, nor that it has no such address or does not exist.
    for (name, qtype) in [
        ("front", RecordType::AAAA),
        ("front", RecordType::ANAME),
        ("front", RecordType::TXT),
        ("astray", RecordType::AAAA),
        ("around", RecordType::A),
    ] {
        assert_eq!(reply(name, qtype), ok(&[], 1), "{name} {qtype}");
    }
}

#[test]
fn a_service_beyond_ascii_is_found_by_its_name_in_wire_form_however_it_was_written() {
    for written in ["xn--bcher-kva.kingcdn.example", "bücher.kingcdn.example.", "XN--BCHER-KVA.kingcdn.example"] {
        let director = started(vec![service(written)]).unwrap();
        let name = LowerName::from(Name::from_ascii("xn--bcher-kva.kingcdn.example.").unwrap());
        let reply = director.answer(&name, RecordType::A, "192.0.2.7".parse().unwrap());
        assert_eq!(told(&reply).1, ["203.0.113.1"], "{written}");
        let explained = director.explain("192.0.2.7".parse().unwrap(), written).unwrap();
        assert_eq!(explained.name, "xn--bcher-kva.kingcdn.example.");
    }
}

#[test]
fn a_service_that_cannot_be_is_refused_with_its_name_and_what_to_do() {
    let refused = |services: Vec<Service>| started(services).err().expect("a refusal").to_string();
    let name = "a.kingcdn.example";
    let idle = Service { clusters: Vec::new(), ..service(name) };
    let brief = Service { ttl: Duration::from_millis(500), ..service(name) };
    let long = Service { ttl: Duration::from_secs(1 << 31), ..service(name) };
    for (services, expected) in [
        (vec![service("a..b")], "service \"a..b\" is no domain name"),
        (vec![service("a.example")], "is in no [[zone]] of this node: add its zone"),
        (vec![service(name), service("A.kingcdn.example.")], "service \"A.kingcdn.example.\" is there twice"),
        (vec![service("www.kingcdn.example")], "has CNAME records in the file of zone kingcdn.example."),
        (vec![service("ns.kingcdn.example")], "has A records in the file of zone kingcdn.example."),
        (vec![service("sub.kingcdn.example")], "is delegated to others"),
        (vec![service("x.sub.kingcdn.example")], "is delegated to others"),
        (vec![idle], "has no clusters: name some"),
        (vec![brief], "has a ttl out of bounds: it is 1s to 2147483647s"),
        (vec![long], "has a ttl out of bounds"),
    ] {
        let problem = refused(services);
        assert!(problem.contains(expected), "{problem}");
    }
}
