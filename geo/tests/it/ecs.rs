//! Thousands of client subnets, asked of a running server, and a reckoning by hand beside it: which cluster, and how wide its answer holds.
//!
//! The reckoning knows the lists that the config is made of and goes through all of them for each address; it knows nothing of the compiled map.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, RecordType};
use ipnet::IpNet;
use littoral_geo::address::masked;
use littoral_geo::routing::unit_vector;
use littoral_geo::{Cluster, Director, GeoConfig, NativeGeo, Node, Override, Service, ZoneSource};
use littoral_testkit::mmdb::Builder;
use tokio::net::UdpSocket;

use crate::dns::running_as;

const CLUSTERS: u16 = 12;
/// The last ones are deep: they serve their own prefixes only.
const DEEP_FROM: u16 = 8;
const PREFIXES: usize = 500;
const QUERIES: usize = 6000;

/// A splitmix64 generator.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An address where many prefixes are, so that they lie within each other.
    fn address(&mut self, v4: bool) -> IpAddr {
        if v4 {
            const FIRST: [u32; 4] = [20, 21, 90, 203];
            let first = FIRST[self.below(4) as usize];
            return IpAddr::V4((first << 24 | (self.next() as u32 & 0x00ff_ffff)).into());
        }
        const FIRST: [u128; 3] = [0x2001_0db8, 0x2001_0db9, 0x2a02_26f0];
        let (first, few) = (FIRST[self.below(3) as usize], u128::from(self.below(64)) << 58);
        IpAddr::V6((first << 96 | few << 26 | u128::from(self.next())).into())
    }

    fn prefix(&mut self, v4: bool) -> IpNet {
        let length = match (v4, self.below(20)) {
            (true, 0) => 32,
            (true, _) => 6 + self.below(23) as u8,
            (false, 0) => 128,
            (false, _) => 28 + self.below(45) as u8,
        };
        IpNet::new(self.address(v4), length).unwrap().trunc()
    }
}

/// The lists that the world is made of.
struct Lists {
    zones: Vec<(IpNet, u16)>,
    forced: Vec<(IpNet, u16)>,
    /// Places of corrections, and of the database.
    places: Vec<(IpNet, [f64; 2])>,
    cities: Vec<(IpNet, [f64; 2])>,
    /// Places of clusters.
    sites: Vec<[f64; 2]>,
}

/// All that a decision goes by.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    forced: Option<u16>,
    deep: Option<u16>,
    home: Option<u16>,
    at: Option<[f64; 2]>,
    in_city: bool,
}

impl Lists {
    fn new() -> Self {
        let mut draw = Draw(6);
        let mut places: Vec<[f64; 2]> = Vec::new();
        places.resize_with(usize::from(CLUSTERS) + 500, || {
            [draw.below(120) as f64 - 60.0 + draw.below(10) as f64 / 10.0, draw.below(360) as f64 - 180.0]
        });
        let sites = places[..usize::from(CLUSTERS)].to_vec();
        let list = |draw: &mut Draw, count: usize| {
            let one = |at: usize| (draw.prefix(at.is_multiple_of(2)), draw.below(CLUSTERS.into()) as u16);
            let mut list: Vec<(IpNet, u16)> = (0..count).map(one).collect();
            // Of one kind there is one cluster for a prefix.
            list.sort_unstable();
            list.dedup_by_key(|(net, cluster)| (*net, *cluster >= DEEP_FROM));
            list.dedup_by_key(|(net, _)| *net);
            list
        };
        let (zones, forced) = (list(&mut draw, 2 * PREFIXES), list(&mut draw, PREFIXES / 5));
        let mut corrected: Vec<IpNet> = (0..PREFIXES / 5).map(|at| draw.prefix(at.is_multiple_of(2))).collect();
        corrected.sort_unstable();
        corrected.dedup();
        let places: Vec<(IpNet, [f64; 2])> =
            corrected.into_iter().zip(places[usize::from(CLUSTERS)..].iter().copied()).collect();
        // Cities lie beside each other: what a database says of nested networks is the database's business.
        let city = |at: u64| {
            let network = match at % 2 {
                0 => IpNet::new(Ipv4Addr::from((20 << 24) + (at as u32) * 0x2_0000).into(), 15).unwrap(),
                _ => IpNet::new(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(at) << 84).into(), 44).unwrap(),
            };
            (network, [40.0 + at as f64 / 8.0, at as f64])
        };
        Self { zones, forced, places, cities: (0..60).map(city).collect(), sites }
    }

    fn known(&self, address: IpAddr) -> Known {
        fn longest<T: Copy>(list: &[(IpNet, T)], address: IpAddr, wanted: impl Fn(T) -> bool) -> Option<T> {
            let matching = list.iter().filter(|(net, value)| wanted(*value) && net.contains(&address));
            matching.max_by_key(|(net, _)| net.prefix_len()).map(|(_, value)| *value)
        }
        let city = longest(&self.cities, address, |_| true);
        Known {
            forced: longest(&self.forced, address, |_| true),
            deep: longest(&self.zones, address, |cluster| cluster >= DEEP_FROM),
            home: longest(&self.zones, address, |cluster| cluster < DEEP_FROM),
            at: longest(&self.places, address, |_| true).or(city),
            in_city: city.is_some(),
        }
    }

    /// Addresses of this family at which anything may begin to be otherwise, with what is known there; in order.
    fn edges(&self, v4: bool) -> Vec<(u128, Known)> {
        let nets = self.zones.iter().chain(&self.forced).map(|(net, _)| net);
        let nets = nets.chain(self.places.iter().chain(&self.cities).map(|(net, _)| net));
        let ends = |net: &IpNet| [Some(bits(net.network())), bits(net.broadcast()).checked_add(1)];
        let mut edges: Vec<u128> = nets.filter(|net| net.addr().is_ipv4() == v4).flat_map(ends).flatten().collect();
        edges.push(0);
        edges.sort_unstable();
        edges.dedup();
        edges
            .into_iter()
            .filter(|edge| !v4 || *edge <= u32::MAX.into())
            .map(|at| (at, self.known(address(at, v4))))
            .collect()
    }

    /// The cluster for what is known: prescribed, own deep, own home, nearest, the first.
    fn cluster(&self, known: &Known) -> u16 {
        if let Some(own) = known.forced.or(known.deep).or(known.home) {
            return own;
        }
        let Some([latitude, longitude]) = known.at else { return 0 };
        let place = unit_vector(latitude, longitude);
        let far = |cluster: &u16| {
            let [latitude, longitude] = self.sites[usize::from(*cluster)];
            let site = unit_vector(latitude, longitude);
            1.001 - place.iter().zip(site).map(|(one, other)| one * other).sum::<f32>()
        };
        (0..DEEP_FROM).min_by(|one, other| far(one).total_cmp(&far(other))).unwrap()
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(bits: u128, v4: bool) -> IpAddr {
    if v4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) }
}

/// Where IPv4 addresses are written as IPv6, and the bits before them.
const INSIDE: [(&str, u8); 5] =
    [("::ffff:0:0/96", 96), ("::ffff:0:0:0/96", 96), ("64:ff9b::/96", 96), ("2002::/16", 16), ("2001::/32", 96)];

/// The length of the widest prefix around an address in which everywhere the same is known, and no IPv4 address is.
fn widest(edges: &[(u128, Known)], of: IpAddr) -> u8 {
    let most = if of.is_ipv4() { 32 } else { 128 };
    let inside: Vec<(IpNet, u8)> = INSIDE.iter().map(|(net, before)| (net.parse().unwrap(), *before)).collect();
    // Of one that is among those not enough is known.
    if let Some((_, before)) = inside.iter().find(|(net, _)| net.contains(&of)) {
        return before + 1;
    }
    let is_same = |length: &u8| {
        let net = IpNet::new(masked(of, *length), *length).unwrap();
        if inside.iter().any(|(other, _)| net.contains(other)) {
            return false;
        }
        let (first, last) = (bits(net.network()), bits(net.broadcast()));
        let from = edges.partition_point(|(edge, _)| *edge <= first) - 1;
        let until = edges.partition_point(|(edge, _)| *edge <= last);
        edges[from..until].iter().all(|(_, known)| *known == edges[from].1)
    };
    (0..=most).find(is_same).unwrap()
}

fn director(lists: &Lists, directory: &std::path::Path) -> Director {
    let file = directory.join("zone");
    std::fs::write(&file, "$TTL 60\n@ SOA ns h 1 3600 600 86400 30\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    let (coverage, database) = (directory.join("nets.csv"), directory.join("city.mmdb"));
    // Half of the prefixes are in a file, half are the clusters' own.
    let lines = lists.zones.iter().step_by(2).map(|(net, cluster)| format!("{net},c{cluster}\n"));
    std::fs::write(&coverage, lines.collect::<String>()).unwrap();
    let mut builder = Builder::city();
    for (net, [latitude, longitude]) in &lists.cities {
        builder = builder.add_city(&net.to_string(), "NL", "City", *latitude, *longitude);
    }
    builder.write(&database);
    let own = |index: u16| lists.zones.iter().skip(1).step_by(2).filter(move |(_, cluster)| *cluster == index);
    let cluster = |index: u16| Cluster {
        id: format!("c{index}"),
        deep: index >= DEEP_FROM,
        at: lists.sites[usize::from(index)],
        capacity_mbps: 10_000,
        nodes: vec![Node {
            v4: Some([192, 0, 2, index as u8].into()),
            v6: Some((0x2001_0db8_ffff_u128 << 80 | u128::from(index)).into()),
            weight: 1,
        }],
        draining: false,
        prefixes: own(index).map(|(net, _)| *net).collect(),
        systems: Vec::new(),
    };
    let forced = lists.forced.iter().map(|(prefix, cluster)| Override {
        prefix: *prefix,
        cluster: Some(format!("c{cluster}")),
        at: None,
    });
    let placed = lists.places.iter().map(|(prefix, at)| Override { prefix: *prefix, cluster: None, at: Some(*at) });
    let config = GeoConfig {
        databases: vec![database],
        coverage: vec![coverage],
        overrides: forced.chain(placed).collect(),
        clusters: (0..CLUSTERS).map(cluster).collect(),
        zones: vec![ZoneSource { name: "cdn.example.".into(), file, ..ZoneSource::default() }],
        services: vec![Service {
            name: "svc.cdn.example.".into(),
            clusters: vec!["*".into()],
            ttl: Duration::from_secs(30),
            answers: 1,
        }],
        ..GeoConfig::default()
    };
    let (director, warnings) = Director::new(config, Arc::new(NativeGeo::default())).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    director
}

/// The cluster that a server answers to a subnet, and the scope.
async fn asked(server: SocketAddr, socket: &UdpSocket, subnet: (IpAddr, u8), kind: RecordType, id: u16) -> (u16, u8) {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query("svc.cdn.example.".parse().unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(subnet.0, subnet.1, 0)));
    message.edns = Some(edns);
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut response = [0; 1500];
    let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut response)).await;
    let response = Message::from_vec(&response[..received.expect("an answer").unwrap()]).unwrap();
    assert_eq!((response.metadata.id, response.metadata.response_code), (id, ResponseCode::NoError), "{subnet:?}");
    let cluster = match &response.answers[0].data {
        RData::A(a) => u16::from(a.0.octets()[3]),
        RData::AAAA(aaaa) => aaaa.0.segments()[7],
        other => panic!("{other:?}"),
    };
    match response.edns.unwrap().option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(told)) => {
            assert_eq!((told.addr(), told.source_prefix()), subnet);
            (cluster, told.scope_prefix())
        }
        other => panic!("{subnet:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subnet_gets_the_cluster_and_the_scope_that_brute_force_gives_it() {
    let (lists, directory) = (Lists::new(), tempfile::tempdir().unwrap());
    let edges = [lists.edges(false), lists.edges(true)];
    let server = running_as(director(&lists, directory.path()));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut draw = Draw(11);
    let (mut wrong, mut longer, mut by_cluster) = (0, 0, [0; CLUSTERS as usize]);
    for number in 0..QUERIES {
        let v4 = draw.below(2) == 0;
        let (mut client, kind) = (draw.address(v4), if number % 3 == 0 { RecordType::AAAA } else { RecordType::A });
        // At an edge, or beside it, as often as anywhere.
        if draw.below(2) == 0 {
            let list = &edges[usize::from(v4)];
            let edge = list[draw.below(list.len() as u64) as usize].0;
            let most = if v4 { u32::MAX.into() } else { u128::MAX };
            client = address(edge.saturating_sub(draw.below(2).into()).min(most), v4);
        }
        let most = if v4 { 32 } else { 128 };
        let source = if draw.below(3) == 0 { most } else { draw.below(u64::from(most) + 1) as u8 };
        // An IPv4 address inside an IPv6 one is that address (6to4), with the bits before it.
        let inside = v4 && source > 0 && draw.below(8) == 0;
        let known = masked(client, source);
        let (subnet, before) = match known {
            IpAddr::V4(known) if inside => {
                let six = 0x2002_u128 << 112 | u128::from(known.to_bits()) << 80;
                ((IpAddr::V6(six.into()), source + 16), 16)
            }
            known => ((known, source), 0),
        };
        // Who does not want to be placed is answered as his resolver is, for everybody.
        let subject = if source == 0 { "127.0.0.1".parse().unwrap() } else { known };
        let cluster = lists.cluster(&lists.known(subject));
        let widest = widest(&edges[usize::from(subject.is_ipv4())], subject);
        let scope = if source == 0 || widest == 0 { 0 } else { widest + before };
        let told = asked(server.address, &socket, subnet, kind, number as u16).await;
        if told != (cluster, scope) {
            wrong += 1;
            eprintln!("{}/{}: {told:?}, not {:?}", subnet.0, subnet.1, (cluster, scope));
        }
        longer += u32::from(scope > subnet.1);
        by_cluster[usize::from(cluster)] += 1;
    }
    assert_eq!(wrong, 0, "of {QUERIES}");
    assert!(by_cluster.iter().all(|count| *count > 20) && longer > 500, "{by_cluster:?} {longer}");
    println!(
        "{QUERIES} queries, {wrong} wrong; by cluster {by_cluster:?}; {longer} with a scope longer than the source"
    );
}
