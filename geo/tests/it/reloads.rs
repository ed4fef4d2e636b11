//! A big map is replaced while queries come over UDP: none is lost, and none is told anything else than what the old or the new map says.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use littoral_geo::{Director, GeoConfig, NativeGeo, Service, ZoneSource};

use crate::dns::running_as;
use crate::edns::{opt, query};
use crate::world::cluster;

const PREFIXES: u32 = 100_000;
const RELOADS: u32 = 4;
/// Threads that ask, and how many queries each has under way.
const CLIENTS: u32 = 2;
const UNDER_WAY: u32 = 8;
/// What is not answered by then is lost.
const PATIENCE: Duration = Duration::from_secs(20);
const SERVICE: &str = "a1105.kingcdn.example";
const ZONE: &str = "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns\nns IN A 192.0.2.54\n";
const NODES: [&str; 2] = ["203.0.113.1", "203.0.113.2"];

fn prefix(number: u32) -> Ipv4Addr {
    Ipv4Addr::from((16 << 24) + (number << 8))
}

/// A config whose map gives neighbours to different clusters, and each prefix to the other one in the next generation.
fn config(directory: &Path, generation: u32) -> GeoConfig {
    let file = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let line = |number| format!("{}/24,{}\n", prefix(number), ["one", "two"][((number + generation) % 2) as usize]);
    let lines: String = (0..PREFIXES).map(line).collect();
    let zone = file("zone", ZONE);
    let name = format!("{SERVICE}.");
    GeoConfig {
        coverage: vec![file(&format!("nets{generation}.csv"), &lines)],
        clusters: vec![cluster("one", NODES[0], "10.1.0.0/16"), cluster("two", NODES[1], "10.2.0.0/16")],
        zones: vec![ZoneSource { name: "kingcdn.example.".into(), file: zone, ..ZoneSource::default() }],
        services: vec![Service { name, clusters: vec!["*".into()], ttl: Duration::from_secs(30), answers: 1 }],
        ..GeoConfig::default()
    }
}

/// Asks for some prefixes at once and waits for all: which cluster each was told, by the number of its prefix.
fn asked(server: SocketAddr, socket: &UdpSocket, numbers: impl Iterator<Item = u32>) -> Vec<(u32, usize)> {
    let numbers: Vec<u32> = numbers.collect();
    for (id, number) in numbers.iter().enumerate() {
        let option = [&[0, 1, 24, 0][..], &prefix(*number).octets()[..3]].concat();
        let mut question = query(SERVICE, 1, 1, &[opt(1232, 0, &[(8, &option)])]);
        question[1] = id as u8;
        socket.send_to(&question, server).unwrap();
    }
    let told = numbers.iter().map(|_| {
        let mut response = [0; 1500];
        let length = socket.recv(&mut response).expect("a query was lost");
        let response = Message::from_vec(&response[..length]).unwrap();
        let scope = response.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
        assert!(matches!(scope, Some(EdnsOption::Subnet(subnet)) if subnet.scope_prefix() == 24), "{scope:?}");
        let address = response.answers.first().expect("an address").data.to_string();
        let cluster = NODES.iter().position(|node| *node == address).expect("an address of a cluster");
        (numbers[usize::from(response.metadata.id)], cluster)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_is_lost_while_a_map_of_100_000_prefixes_is_replaced_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let director = Director::new(config(directory.path(), 0), Arc::new(NativeGeo::default())).unwrap().0;
    let running = running_as(director);
    let (server, director) = (running.address, running.director.clone());
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let socket = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (done, answered, socket) = (done.clone(), answered.clone(), socket());
            std::thread::spawn(move || {
                let mut at = client * PREFIXES / CLIENTS;
                while !done.load(Relaxed) {
                    let numbers = (at..at + UNDER_WAY).map(|number| number % PREFIXES);
                    answered.fetch_add(asked(server, &socket, numbers).len() as u64, Relaxed);
                    at += UNDER_WAY;
                }
            })
        })
        .collect();
    let path = directory.path().to_owned();
    let reloading = tokio::task::spawn_blocking(move || {
        for generation in 1..=RELOADS {
            let before = answered.load(Relaxed);
            director.reload(config(&path, generation)).unwrap();
            assert!(answered.load(Relaxed) > before, "no query was answered during a reload");
            // From now on everybody is told what the new map says.
            let told = asked(server, &socket(), (0..UNDER_WAY).map(|number| number * (PREFIXES / UNDER_WAY)));
            assert!(told.iter().all(|(number, cluster)| *cluster as u32 == (number + generation) % 2), "{told:?}");
        }
    });
    let reloaded = reloading.await;
    done.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no query is lost"));
    reloaded.unwrap();
}
