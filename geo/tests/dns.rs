//! The server as others see it: asked with `dig`, with our own stub, and with bytes that are no question.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use littoral_geo::server::{Listeners, serve};
use littoral_geo::{Cluster, Director, GeoConfig, NativeGeo, Service, ZoneSource, stub};
use tokio::sync::watch;

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

struct Running {
    address: SocketAddr,
    director: Arc<Director>,
    stop: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

async fn running() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let big: String = (0..40).map(|number| format!("big IN TXT \"{number:090}\"\n")).collect();
    let mut zones = Vec::new();
    for (name, text) in [("netcinema.example.", NETCINEMA.to_owned()), ("kingcdn.example.", format!("{KINGCDN}{big}"))]
    {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        zones.push(ZoneSource { name: name.into(), file });
    }
    let cluster = |id: &str, node: &str, prefix: &str| Cluster {
        id: id.into(),
        deep: false,
        at: [0.0, 0.0],
        capacity_mbps: 1,
        nodes: vec![(Some(node.parse().unwrap()), None)],
        prefixes: vec![prefix.parse().unwrap()],
    };
    let service = Service {
        name: "a1105.kingcdn.example.".into(),
        clusters: vec!["*".into()],
        ttl: Duration::from_secs(30),
        answers: 2,
    };
    let clusters = vec![cluster("one", "203.0.113.1", "10.1.0.0/16"), cluster("two", "203.0.113.2", "10.2.0.0/16")];
    let config = GeoConfig { databases: Vec::new(), clusters, zones, services: vec![service] };
    let (director, _) = Director::new(config, Arc::new(NativeGeo::default())).unwrap();
    let director = Arc::new(director);
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = listeners.addresses()[0];
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listeners, director.clone(), stopped));
    Running { address, director, stop, _directory: directory }
}

/// What dig prints, or `None`, said aloud, where dig is not installed.
async fn dig(server: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("dig");
    command
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+norec", "+tries=1"])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            println!("skipped: dig cannot be run ({error}); Debian has it in bind9-dnsutils");
            None
        }
    }
}

fn has(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_follows_the_alias_into_the_service_with_the_scope_of_its_coverage_zone() {
    let running = running().await;
    let Some(text) = dig(running.address, &["video.netcinema.example", "A", "+subnet=10.2.3.0/24"]).await else {
        return;
    };
    has(&text, &["status: NOERROR", " aa", "a1105.kingcdn.example.", "203.0.113.2", "CLIENT-SUBNET: 10.2.3.0/24/16"]);
    let other = dig(running.address, &["a1105.kingcdn.example", "A", "+subnet=10.1.3.0/24"]).await.unwrap();
    has(&other, &["30\tIN\tA\t203.0.113.1", "CLIENT-SUBNET: 10.1.3.0/24/16"]);
    let nobody = dig(running.address, &["a1105.kingcdn.example", "A", "+subnet=0.0.0.0/0"]).await.unwrap();
    has(&nobody, &["status: NOERROR", "CLIENT-SUBNET: 0.0.0.0/0/0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_sees_negatives_with_their_soa_and_refusals() {
    let running = running().await;
    let Some(text) = dig(running.address, &["nothing.kingcdn.example", "A"]).await else {
        return;
    };
    has(&text, &["status: NXDOMAIN", "30\tIN\tSOA"]);
    has(&dig(running.address, &["ns.kingcdn.example", "AAAA"]).await.unwrap(), &["status: NOERROR", "30\tIN\tSOA"]);
    has(&dig(running.address, &["a1105.kingcdn.example", "AAAA"]).await.unwrap(), &["status: NOERROR", "IN\tSOA"]);
    has(&dig(running.address, &["www.elsewhere.example", "A"]).await.unwrap(), &["status: REFUSED"]);
    has(&dig(running.address, &["version.bind", "TXT", "CH"]).await.unwrap(), &["status: REFUSED"]);
    has(&dig(running.address, &["ns.kingcdn.example", "A", "+edns=1", "+noednsneg"]).await.unwrap(), &["BADVERS"]);
    has(
        &dig(running.address, &["loop.netcinema.example", "A"]).await.unwrap(),
        &["status: NOERROR", "loop2.netcinema.example."],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_meets_a_cut_answer_and_comes_back_over_tcp() {
    let running = running().await;
    let Some(cut) = dig(running.address, &["big.kingcdn.example", "TXT", "+ignore"]).await else {
        return;
    };
    has(&cut, &[" tc", "ANSWER: 0"]);
    has(&dig(running.address, &["big.kingcdn.example", "TXT"]).await.unwrap(), &["ANSWER: 41", "(TCP)"]);
    assert!(running.director.counters().truncated.load(std::sync::atomic::Ordering::Relaxed) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_stub_walks_from_one_authoritative_server_to_the_other() {
    let running = running().await;
    let zones = [("netcinema.example".to_owned(), running.address), ("kingcdn.example".to_owned(), running.address)];
    let subnet = "10.1.9.0/24".parse().ok();
    let resolved = stub::resolve(&zones, "video.netcinema.example", subnet, Duration::from_secs(5)).await.unwrap();
    assert_eq!(resolved.addresses, ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(resolved.chain, ["video.netcinema.example.", "a1105.kingcdn.example."]);
    let refused = stub::resolve(&zones, "nothing.kingcdn.example", None, Duration::from_secs(5)).await.unwrap_err();
    assert!(refused.to_string().contains("Non-Existent Domain"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_question_do_not_stop_it() {
    let running = running().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut state = 7_u64;
    for length in 0..400_usize {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        socket.send_to(&bytes, running.address).await.unwrap();
    }
    let answer =
        stub::lookup(running.address, "ns.kingcdn.example", false, None, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.addresses, ["192.0.2.54".parse::<IpAddr>().unwrap()]);
}
