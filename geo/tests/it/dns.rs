//! The server as others see it: asked with `dig`, with our own stub, and with bytes that are no question.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use littoral_geo::Director;
use littoral_geo::server::{Listeners, Settings, serve};
use littoral_geo::stub::resolver::{Authority, Resolver};
use littoral_geo::stub::{Answer, lookup};
use littoral_testkit::outsider::absent;
use tokio::sync::watch;

use crate::world::{self, director};

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) director: Arc<Director>,
    stop: watch::Sender<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

pub(crate) async fn running() -> Running {
    running_on(Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 2, |_| None).unwrap())
}

fn running_on(listeners: Listeners) -> Running {
    serving(listeners, director())
}

/// A server of another world.
pub(crate) fn running_as(director: Director) -> Running {
    serving(Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 2, |_| None).unwrap(), director)
}

/// A server on sockets that are there already, which looks after its zones.
pub(crate) fn serving(listeners: Listeners, director: Director) -> Running {
    let director = Arc::new(director);
    let address = listeners.addresses()[0];
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(serve(listeners, director.clone(), Settings::default(), stopped.clone()));
    let keep = littoral_geo::copies::keep(director.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = keep => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
    Running { address, director, stop }
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
            absent("dig", "bind9-dnsutils", &error);
            None
        }
    }
}

pub(crate) fn has(text: &str, expected: &[&str]) {
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
    let folded = dig(running.address, &["a1105.kingcdn.example", "A", "+subnet=::ffff:10.2.3.0/120", "+dnssec"]).await;
    has(&folded.unwrap(), &["203.0.113.2", "/120/112", "flags: do"]);
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
    has(&dig(running.address, &["kingcdn.example", "AXFR", "+all"]).await.unwrap(), &["Transfer failed"]);
    has(&dig(running.address, &["kingcdn.example", "IXFR=1", "+notcp", "+all"]).await.unwrap(), &["status: REFUSED"]);
    for meta in ["TYPE0", "TYPE41", "TYPE128", "TYPE249", "TYPE250"] {
        has(&dig(running.address, &["kingcdn.example", meta]).await.unwrap(), &["status: FORMERR"]);
    }
    has(&dig(running.address, &["version.bind", "TXT", "CH"]).await.unwrap(), &["status: REFUSED"]);
    has(&dig(running.address, &["ns.kingcdn.example", "A", "+edns=1", "+noednsneg"]).await.unwrap(), &["BADVERS"]);
    has(
        &dig(running.address, &["loop.netcinema.example", "A"]).await.unwrap(),
        &["status: NOERROR", "ANSWER: 2", "loop.kingcdn.example."],
    );
}

/// What kdig prints of every type that a zone file may have.
#[tokio::test(flavor = "multi_thread")]
async fn kdig_reads_every_type_of_a_zone_file() {
    let running = running().await;
    let ask = |name: &str, kind: &str| {
        let mut command = Command::new("kdig");
        let (server, port) = (format!("@{}", running.address.ip()), running.address.port().to_string());
        command.args([&server, "-p", &port, "+norec", "+short", name, kind]);
        command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    for (name, kind, expected) in world::TYPES {
        let name = if name.is_empty() { "types.example".into() } else { format!("{name}.types.example") };
        match ask(&name, kind) {
            Ok(told) => assert_eq!(told, *expected, "{name} {kind}"),
            Err(error) => return absent("kdig", "knot-dnsutils", &error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_finds_the_service_that_an_alias_at_the_apex_stands_for_with_its_scope() {
    let running = running().await;
    for (subnet, address) in [("10.1.9.0/24", "203.0.113.1"), ("10.2.9.0/24", "203.0.113.2")] {
        let Some(told) = dig(running.address, &["netcinema.example", "A", &format!("+subnet={subnet}")]).await else {
            return;
        };
        has(&told, &["status: NOERROR", "ANSWER: 1,", address, &format!("CLIENT-SUBNET: {subnet}/16")]);
        assert!(!told.contains("a1105"), "{told}");
    }
    // Of anything else the apex has its own.
    has(&dig(running.address, &["netcinema.example", "NS", "+short"]).await.unwrap(), &["ns.netcinema.example."]);
    has(&dig(running.address, &["netcinema.example", "AAAA"]).await.unwrap(), &["NOERROR", "ANSWER: 0", "SOA"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_gets_one_set_for_any_and_a_chain_of_aliases_as_far_as_it_is_followed() {
    let running = running().await;
    let Some(any) = dig(running.address, &["ns.types.example", "ANY", "+notcp"]).await else { return };
    has(&any, &["status: NOERROR", "ANSWER: 1,", "(UDP)"]);
    let chain = dig(running.address, &["chain0.netcinema.example", "A"]).await.unwrap();
    has(&chain, &["status: NOERROR", "ANSWER: 9,", "chain9.netcinema.example."]);
    let end = dig(running.address, &["chain15.netcinema.example", "A"]).await.unwrap();
    has(&end, &["status: NXDOMAIN", "ANSWER: 5,"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_finds_the_names_of_addresses() {
    let running = running().await;
    // What stands between columns is dig's business.
    let reverse = async |address: &str| {
        let told = dig(running.address, &["-x", address]).await?;
        Some(told.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
    };
    let Some(of_ipv4) = reverse("192.0.2.55").await else { return };
    has(&of_ipv4, &["status: NOERROR", " aa", "55.2.0.192.in-addr.arpa. 60 IN PTR ns.types.example."]);
    has(&reverse("2001:db8::55").await.unwrap(), &["status: NOERROR", "ip6.arpa. 60 IN PTR ns.types.example."]);
    // Its zone is somebody else's: where an alias leads there, the resolver is told whom to ask.
    let delegated = reverse("192.0.2.56").await.unwrap();
    has(
        &delegated,
        &["CNAME 56.48-63.2.0.192.in-addr.arpa.", "48-63.2.0.192.in-addr.arpa. 60 IN NS ns.types.example."],
    );
    has(&reverse("192.0.2.57").await.unwrap(), &["7.types.example. 60 IN PTR www.types.example."]);
    has(&reverse("192.0.2.99").await.unwrap(), &["status: NXDOMAIN", "SOA ns.types.example."]);
    has(&reverse("198.51.100.1").await.unwrap(), &["status: REFUSED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_meets_a_cut_answer_and_comes_back_over_tcp() {
    let running = running().await;
    let Some(cut) = dig(running.address, &["big.kingcdn.example", "TXT", "+ignore"]).await else {
        return;
    };
    has(&cut, &[" tc", "ANSWER: 0"]);
    has(&dig(running.address, &["big.kingcdn.example", "TXT"]).await.unwrap(), &["ANSWER: 41", "(TCP)"]);
    assert!(running.director.counters().truncated.load(Relaxed) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_resolver_walks_from_one_authoritative_server_to_the_other() {
    let running = running().await;
    let authority = |zone: &str| Authority { zone: zone.into(), owner: String::new(), server: running.address };
    let resolver = Resolver::start(["netcinema.example.", "kingcdn.example."].map(authority).into()).await.unwrap();
    let asks = async |name: &str| -> Answer {
        lookup(resolver.address(), name, "10.1.9.0/24".parse().ok(), PATIENCE).await.unwrap()
    };
    let found = asks("video.netcinema.example").await;
    assert_eq!(found.addresses(), ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((found.final_name(), found.scope), ("a1105.kingcdn.example.", Some(16)));
    assert_eq!(asks("nothing.kingcdn.example").await.code, 3, "no NXDOMAIN");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_from_the_address_that_was_asked_though_the_server_listens_on_all() {
    for all in ["0.0.0.0:0", "[::]:0"] {
        let Ok(listeners) = Listeners::bind(&[all.parse().unwrap()], 2, |_| None) else {
            println!("skipped: no {all} on this host");
            continue;
        };
        let running = running_on(listeners);
        // The stub takes no answer from anywhere else; left alone, the kernel answers from 127.0.0.1.
        for asked in ["127.0.0.1", "127.0.0.2"] {
            let server = SocketAddr::new(asked.parse().unwrap(), running.address.port());
            let answer = lookup(server, "ns.kingcdn.example", None, PATIENCE).await;
            assert_eq!(answer.unwrap().addresses(), ["192.0.2.54".parse::<IpAddr>().unwrap()], "{all} {asked}");
        }
        if all.starts_with('[') {
            let server = SocketAddr::new("::1".parse().unwrap(), running.address.port());
            assert!(lookup(server, "ns.kingcdn.example", None, PATIENCE).await.is_ok());
        }
    }
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
    let answer = lookup(running.address, "ns.kingcdn.example", None, PATIENCE).await.unwrap();
    assert_eq!(answer.addresses(), ["192.0.2.54".parse::<IpAddr>().unwrap()]);
    let counters = running.director.counters();
    // The other thread may have some of them still before it.
    let counting = async {
        while counters.malformed.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, counting).await.is_ok());
    assert!(counters.udp.load(Relaxed) > counters.malformed.load(Relaxed));
}
