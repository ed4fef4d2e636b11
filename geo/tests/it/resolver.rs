//! The local resolver in a small Internet on loopback: a root, a top-level domain and two zones, each on an address of its own,
//! all on one port. Poisoners and liars are in `resolver/forgers.rs`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use littoral_geo::dnssec::Dnssec;
use littoral_geo::resolver::{Resolver, Settings, Trust};
use littoral_geo::server::Listeners;
use littoral_geo::{Director, GeoConfig, NativeGeo, Service, ZoneSource};
use littoral_testkit::outsider::absent;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::dns::{Running, has, serving};
use crate::dnssec::KEYS;
use crate::world::cluster;

mod forgers;

/// How often a port is looked for that is free on all addresses.
const PORT_TRIES: usize = 64;
const SUBNET: &str = "10.1.3.0/24";

/// A server of the small Internet: the last octet of its address, its zones with their texts, and the key that signs each.
type Place = (u8, Vec<(&'static str, String, Option<usize>)>);

fn soa(origin: &str) -> String {
    format!("$ORIGIN {origin}\n$TTL 300\n@ IN SOA ns.example. hostmaster.example. 1 3600 600 86400 60\n")
}

/// The DS record that vouches for a key.
fn ds(zone: &str, key: usize) -> String {
    use base64::Engine;
    let (flags, tag, public, _) = KEYS[key];
    let public = base64::engine::general_purpose::STANDARD.decode(public.replace(' ', "")).unwrap();
    let labels: Vec<u8> =
        zone.split_terminator('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    let signed = [&labels[..], &[0], &u16::to_be_bytes(flags), &[3, 13], &public].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &signed);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{zone} IN DS {tag} 13 2 {hex}\n")
}

/// The root and the top-level domain, with what more they delegate; signed, with the three keys that there are.
fn upper(more: &str) -> Vec<Place> {
    let root = soa(".")
        + "@ IN NS a.root.example.\na.root.example. IN A 127.0.53.1\nexample. IN NS ns.example.\nns.example. IN A 127.0.53.2\n\
        127.in-addr.arpa. IN NS ns.netcinema.example.\nns.netcinema.example. IN A 127.0.53.3\n"
        + &ds("example.", 1);
    let top = soa("example.")
        + "@ IN NS ns\nns IN A 127.0.53.2\nnetcinema IN NS ns.netcinema\nns.netcinema IN A 127.0.53.3\n\
           kingcdn IN NS ns.kingcdn\nns.kingcdn IN A 127.0.53.4\n"
        + more;
    vec![(1, vec![(".", root, Some(0))]), (2, vec![("example.", top, Some(1))])]
}

/// A company and a CDN, as in the textbook.
fn lower() -> Vec<Place> {
    let company = soa("netcinema.example.")
        + "@ IN NS ns\nns IN A 127.0.53.3\nwww IN A 192.0.2.80\nwww IN A 192.0.2.81\n@ IN MX 10 mail\nmail IN A 192.0.2.25\n\
           video IN CNAME a1105.kingcdn.example.\nloop IN CNAME loop.kingcdn.example.\nbig IN TXT \""
        + &"x".repeat(250)
        + "\"\n"
        + &(0..8).map(|at| format!("big IN TXT \"{at}{}\"\n", "y".repeat(200))).collect::<String>();
    let reverse = soa("127.in-addr.arpa.") + "@ IN NS ns.netcinema.example.\n3.53.0 IN PTR ns.netcinema.example.\n";
    let cdn = soa("kingcdn.example.")
        + "@ IN NS ns\nns IN A 127.0.53.4\nplain IN A 192.0.2.90\nloop IN CNAME loop.netcinema.example.\n";
    vec![
        (3, vec![("netcinema.example.", company, None), ("127.in-addr.arpa.", reverse, None)]),
        (4, vec![("kingcdn.example.", cdn, None)]),
    ]
}

/// The running servers, and what is asked.
struct Internet {
    servers: Vec<Running>,
    port: u16,
    directory: tempfile::TempDir,
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 53, last])
}

/// Sockets for all places on one port that no other address has either.
fn sockets(places: &[Place]) -> (Vec<Listeners>, u16) {
    for _ in 0..PORT_TRIES {
        let first = Listeners::bind(&[SocketAddr::new(address(200), 0)], 1, |_| None).unwrap();
        let port = first.addresses()[0].port();
        let bound =
            places.iter().map(|(last, _)| Listeners::bind(&[SocketAddr::new(address(*last), port)], 1, |_| None));
        if let Ok(bound) = bound.collect::<Result<Vec<_>, _>>() {
            return (bound, port);
        }
    }
    panic!("no port is free on all addresses");
}

fn director(zones: &[(&'static str, String, Option<usize>)], directory: &Path) -> Director {
    let zones = zones.iter().map(|(name, text, key)| {
        let file = directory.join(format!("{name}zone"));
        std::fs::write(&file, text).unwrap();
        let dnssec = key.map(|at| {
            let (flags, tag, public, private) = KEYS[at];
            let file = |ending: &str| directory.join(format!("K{name}+013+{tag}.{ending}"));
            std::fs::write(file("key"), format!("{name} IN DNSKEY {flags} 3 13 {public}\n")).unwrap();
            let private = format!("Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {private}\n");
            std::fs::write(file("private"), private).unwrap();
            Dnssec { keys: directory.into(), validity: Duration::from_secs(86_400) }
        });
        ZoneSource { name: (*name).into(), file, dnssec, ..ZoneSource::default() }
    });
    let zones: Vec<ZoneSource> = zones.collect();
    let serves_cdn = zones.iter().any(|zone| zone.name == "kingcdn.example.");
    let service = Service {
        name: "a1105.kingcdn.example.".into(),
        clusters: vec!["*".into()],
        ttl: Duration::from_secs(30),
        answers: 2,
    };
    let clusters = vec![cluster("one", "203.0.113.1", "10.1.0.0/16"), cluster("two", "203.0.113.2", "10.2.0.0/16")];
    let services = if serves_cdn { vec![service] } else { Vec::new() };
    let config = GeoConfig { clusters, zones, services, ..GeoConfig::default() };
    Director::new(config, Arc::new(NativeGeo::default())).unwrap().0
}

/// Starts servers for these places.
fn internet(places: &[Place]) -> Internet {
    let directory = tempfile::tempdir().unwrap();
    let (listeners, port) = sockets(places);
    let servers = listeners.into_iter().zip(places);
    let servers =
        servers.map(|(listeners, (_, zones))| serving(listeners, director(zones, directory.path()))).collect();
    Internet { servers, port, directory }
}

impl Internet {
    /// Of the root's key.
    fn anchor(&self) -> String {
        let (flags, _, public, _) = KEYS[0];
        format!(". 3600 IN DNSKEY {flags} 3 13 {public}\n")
    }

    fn settings(&self) -> Settings {
        Settings {
            allow: vec!["127.0.0.1/32".parse().unwrap()],
            roots: vec![address(1)],
            port: self.port,
            private: vec!["127.0.53.0/24".parse().unwrap()],
            trust: Trust::Nothing,
            // A busy machine is no reason to give up.
            patience: Duration::from_secs(30),
            server_patience: Duration::from_secs(15),
            ..Settings::default()
        }
    }

    /// Questions that its servers were asked.
    fn asked(&self) -> u64 {
        let counters = self.servers.iter().map(|running| running.director.counters());
        counters.map(|counters| counters.udp.load(Relaxed) + counters.tcp.load(Relaxed)).sum()
    }
}

/// A running resolver.
struct Local {
    address: SocketAddr,
    resolver: Arc<Resolver>,
    stop: watch::Sender<bool>,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

fn local(settings: Settings) -> Local {
    let resolver = Resolver::new(settings).unwrap();
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1, |_| None).unwrap();
    let address = listeners.addresses()[0];
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(resolver.clone().serve(listeners, stopped));
    Local { address, resolver, stop }
}

/// A question as a client asks it.
fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.parse().unwrap(), kind));
    message
}

fn from(mut message: Message, subnet: &str) -> Message {
    let subnet: ipnet::IpNet = subnet.parse().unwrap();
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(subnet.addr(), subnet.prefix_len(), 0)));
    message.set_edns(edns);
    message
}

impl Local {
    async fn send_from(&self, client: [u8; 4], message: &Message) -> Message {
        let socket = UdpSocket::bind((IpAddr::from(client), 0)).await.unwrap();
        socket.send_to(&message.to_vec().unwrap(), self.address).await.unwrap();
        let mut buffer = [0; 4096];
        let length = tokio::time::timeout(Duration::from_secs(60), socket.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn send(&self, message: &Message) -> Message {
        self.send_from([127, 0, 0, 1], message).await
    }

    /// The code and the data of the answer section, with its TTLs.
    async fn ask(&self, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        said(&self.send(&question(name, kind)).await)
    }

    /// Servers asked so far.
    fn asked(&self) -> u64 {
        self.resolver.counters().asked.load(Relaxed)
    }

    fn limited(&self, limit: &str) -> u64 {
        let at = littoral_geo::resolver::Counters::LIMITS.iter().position(|known| *known == limit).unwrap();
        self.resolver.counters().limited[at].load(Relaxed)
    }
}

fn said(message: &Message) -> (ResponseCode, Vec<String>) {
    let mut data: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    (message.metadata.response_code, data)
}

fn good(data: &[&str]) -> (ResponseCode, Vec<String>) {
    (ResponseCode::NoError, data.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_found_down_from_the_root_and_kept() {
    let internet = internet(&[upper(""), lower()].concat());
    let local = local(internet.settings());
    let walk = local.resolver.explain("www.netcinema.example", "A", None).await.unwrap();
    let servers: Vec<(IpAddr, &str)> =
        walk.exchanges.iter().map(|exchange| (exchange.server.ip(), exchange.kind)).collect();
    assert_eq!(servers.first(), Some(&(address(1), "referral")), "{walk:#?}");
    assert!(servers.contains(&(address(2), "referral")), "{walk:#?}");
    assert_eq!(servers.last(), Some(&(address(3), "answer")), "{walk:#?}");
    let addresses = ["192.0.2.80", "192.0.2.81"];
    assert_eq!((local.asked(), internet.asked()), (servers.len() as u64, servers.len() as u64));
    assert_eq!(local.ask("www.netcinema.example.", RecordType::A).await, good(&addresses));
    assert_eq!(local.ask("WWW.NetCinema.example.", RecordType::A).await, good(&addresses));
    assert_eq!(internet.asked(), servers.len() as u64, "what is kept was asked for");
    // Mail, an address's name, an alias, and what is not there.
    assert_eq!(local.ask("netcinema.example.", RecordType::MX).await, good(&["10 mail.netcinema.example."]));
    assert_eq!(local.ask("3.53.0.127.in-addr.arpa.", RecordType::PTR).await, good(&["ns.netcinema.example."]));
    let (code, data) = local.ask("video.netcinema.example.", RecordType::A).await;
    assert_eq!((code, data.len(), data[1].as_str()), (ResponseCode::NoError, 2, "a1105.kingcdn.example."), "{data:?}");
    let nothing = local.send(&question("nothing.netcinema.example.", RecordType::A)).await;
    assert_eq!(nothing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(
        nothing.authorities.iter().map(|record| (record.record_type(), record.ttl)).collect::<Vec<_>>(),
        [(RecordType::SOA, 60)]
    );
    assert_eq!(said(&local.send(&question("www.netcinema.example.", RecordType::AAAA)).await), good(&[]));
    let asked = internet.asked();
    local.ask("nothing.netcinema.example.", RecordType::A).await;
    local.ask("www.netcinema.example.", RecordType::AAAA).await;
    assert_eq!(internet.asked(), asked, "a denial was not kept");
    // Servers that are gone are not missed while the TTL lasts.
    drop(internet);
    assert_eq!(local.ask("www.netcinema.example.", RecordType::A).await, good(&addresses));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_on_the_list_is_refused_and_nothing_is_asked_for_them() {
    let internet = internet(&[upper(""), lower()].concat());
    let local = local(internet.settings());
    let wanted = question("www.netcinema.example.", RecordType::A);
    let reply = local.send_from([127, 0, 0, 2], &wanted).await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::Refused, 0));
    assert!(reply.to_vec().unwrap().len() <= wanted.to_vec().unwrap().len(), "a refusal is longer than its question");
    assert_eq!((local.asked(), local.resolver.counters().refused.load(Relaxed)), (0, 1));
    // Nor does the list open the cache to them.
    assert_eq!(local.ask("www.netcinema.example.", RecordType::A).await.0, ResponseCode::NoError);
    let reply = local.send_from([127, 0, 0, 2], &wanted).await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::Refused, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_for_a_resolver_is_refused_with_the_code_that_says_why() {
    let local = local(internet(&[]).settings());
    let change = |change: fn(&mut Message)| {
        let mut message = question("www.netcinema.example.", RecordType::A);
        change(&mut message);
        message
    };
    for (message, code) in [
        (change(|message| message.metadata.recursion_desired = false), ResponseCode::Refused),
        (change(|message| message.queries[0].query_type = RecordType::AXFR), ResponseCode::Refused),
        (change(|message| message.queries[0].query_type = RecordType::ANY), ResponseCode::NotImp),
        (change(|message| message.queries[0].query_type = RecordType::Unknown(128)), ResponseCode::FormErr),
        (change(|message| message.metadata.op_code = OpCode::Status), ResponseCode::NotImp),
        (change(|message| message.queries.clear()), ResponseCode::FormErr),
        (change(|message| message.queries[0].query_class = hickory_proto::rr::DNSClass::CH), ResponseCode::Refused),
    ] {
        let reply = local.send(&message).await;
        assert_eq!(reply.metadata.response_code, code, "{message}");
    }
    assert_eq!((local.asked(), local.resolver.counters().malformed.load(Relaxed)), (0, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_chosen_zone_are_told_of_the_client_and_their_scope_is_kept_to() {
    let internet = internet(&[upper(""), lower()].concat());
    let subnets = vec!["kingcdn.example.".parse().unwrap()];
    let local = local(Settings { subnets, believe_subnets: true, ..internet.settings() });
    let video = |subnet: &str| from(question("video.netcinema.example.", RecordType::A), subnet);
    let reply = local.send(&video(SUBNET)).await;
    assert_eq!(said(&reply), good(&["203.0.113.1", "a1105.kingcdn.example."]));
    let scope = |reply: &Message| {
        let edns = reply.edns.as_ref().unwrap();
        let Some(EdnsOption::Subnet(subnet)) = edns.option(hickory_proto::rr::rdata::opt::EdnsCode::Subnet) else {
            panic!("{reply}")
        };
        subnet.scope_prefix()
    };
    assert_eq!(scope(&reply), 16);
    let asked = internet.asked();
    // Inside of the scope what is kept holds, outside it does not.
    assert_eq!(said(&local.send(&video("10.1.99.0/24")).await), good(&["203.0.113.1", "a1105.kingcdn.example."]));
    assert_eq!(internet.asked(), asked);
    assert_eq!(said(&local.send(&video("10.2.3.0/24")).await), good(&["203.0.113.2", "a1105.kingcdn.example."]));
    assert!(internet.asked() > asked);
    // Who does not want it is not told of; the other zone's servers never are.
    let told = local.resolver.counters().asked_for_subnets.load(Relaxed);
    assert_eq!(scope(&local.send(&video("0.0.0.0/0")).await), 0);
    let ecs = |at: usize| internet.servers[at].director.counters().ecs.load(Relaxed);
    assert_eq!((ecs(0), ecs(1), ecs(2), ecs(3)), (0, 0, 0, 2), "{told}");
    let walk =
        local.resolver.explain("a1105.kingcdn.example", "A", Some("10.2.7.9/32".parse().unwrap())).await.unwrap();
    assert_eq!(walk.exchanges.last().unwrap().subnet.as_deref(), Some("10.2.7.0/24, scope /16"), "{walk:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_word_is_not_believed_is_told_for_its_own_address() {
    let internet = internet(&[upper(""), lower()].concat());
    let subnets = vec!["kingcdn.example.".parse().unwrap()];
    let local = local(Settings { subnets, ..internet.settings() });
    let video = from(question("a1105.kingcdn.example.", RecordType::A), SUBNET);
    assert_eq!(local.send(&video).await.metadata.response_code, ResponseCode::NoError);
    // The address is loopback's, which means nothing to others.
    assert_eq!(internet.servers[3].director.counters().ecs.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_a_datagram_is_cut_and_comes_over_a_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let internet = internet(&[upper(""), lower()].concat());
    let local = local(internet.settings());
    let wanted = question("big.netcinema.example.", RecordType::TXT);
    let cut = local.send(&wanted).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.to_vec().unwrap().len() <= 512);
    let mut stream = tokio::net::TcpStream::connect(local.address).await.unwrap();
    let bytes = wanted.to_vec().unwrap();
    stream.write_all(&[&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat()).await.unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_up_when_one_of_two_servers_of_their_zone_is_gone() {
    // Nothing is bound at the address of the second one.
    let more = "netcinema IN NS ns2.netcinema\nns2.netcinema IN A 127.0.53.99\n";
    let internet = internet(&[upper(more), lower()].concat());
    for round in 0..2 {
        let server_patience = Duration::from_millis(littoral_geo::limits::RESOLVER_SERVER_MS);
        let local = local(Settings { server_patience, ..internet.settings() });
        let found = local.ask("www.netcinema.example.", RecordType::A).await;
        assert_eq!(found, good(&["192.0.2.80", "192.0.2.81"]), "in round {round}");
    }
}

/// The signed upper zones, and one below them whose key they vouch for.
fn signed(vouched: usize) -> Internet {
    let more = format!("{}signed IN NS ns.signed\nns.signed IN A 127.0.53.5\n", ds("signed.example.", vouched));
    let zone = soa("signed.example.")
        + "@ IN NS ns\nns IN A 127.0.53.5\nwww IN A 192.0.2.60\nout IN CNAME www.netcinema.example.\n";
    internet(&[upper(&more), lower(), vec![(5, vec![("signed.example.", zone, Some(2))])]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dnssec_proves_is_marked_what_it_disproves_is_not_told_and_what_is_unsigned_is() {
    let internet = signed(2);
    let trust = Trust::Keys(internet.anchor());
    let subnets = vec!["kingcdn.example.".parse().unwrap()];
    let local = local(Settings { trust, subnets, believe_subnets: true, ..internet.settings() });
    let ask = async |name: &str, kind| {
        let mut message = question(name, kind);
        message.metadata.authentic_data = true;
        let reply = local.send(&message).await;
        (said(&reply), reply.metadata.authentic_data)
    };
    assert_eq!(ask("www.signed.example.", RecordType::A).await, (good(&["192.0.2.60"]), true));
    assert_eq!(ask("www.signed.example.", RecordType::AAAA).await, (good(&[]), true));
    // Compact denial (RFC 9824): a name that is not there is proven to have nothing.
    assert_eq!(ask("nothing.signed.example.", RecordType::A).await, (good(&[]), true));
    assert_eq!(ask("www.netcinema.example.", RecordType::A).await, (good(&["192.0.2.80", "192.0.2.81"]), false));
    let half = good(&["192.0.2.80", "192.0.2.81", "www.netcinema.example."]);
    assert_eq!(ask("out.signed.example.", RecordType::A).await, (half, false));
    let video = from(question("video.netcinema.example.", RecordType::A), SUBNET);
    assert_eq!(said(&local.send(&video).await), good(&["203.0.113.1", "a1105.kingcdn.example."]));
    assert_eq!(local.resolver.counters().bogus.load(Relaxed), 0);
    let mut message = question("www.signed.example.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    message.set_edns(edns);
    let reply = local.send(&message).await;
    let kinds: Vec<RecordType> = reply.answers.iter().map(|record| record.record_type()).collect();
    assert_eq!((kinds, reply.metadata.authentic_data), (vec![RecordType::A, RecordType::RRSIG], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_signed_with_a_key_that_nobody_vouches_for_is_told_only_to_who_does_not_want_it_checked() {
    // Its parent vouches for another key.
    let internet = signed(1);
    let local = local(Settings { trust: Trust::Keys(internet.anchor()), ..internet.settings() });
    let mut message = question("www.signed.example.", RecordType::A);
    assert_eq!(said(&local.send(&message).await), (ResponseCode::ServFail, vec![]));
    assert!(local.resolver.counters().bogus.load(Relaxed) > 0);
    message.metadata.checking_disabled = true;
    let reply = local.send(&message).await;
    assert_eq!((said(&reply), reply.metadata.authentic_data), (good(&["192.0.2.60"]), false));
    message.metadata.checking_disabled = false;
    assert_eq!(local.send(&message).await.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test(flavor = "multi_thread")]
async fn delv_and_dig_get_from_the_resolver_what_they_can_prove_themselves() {
    let internet = signed(2);
    let local = local(Settings { trust: Trust::Keys(internet.anchor()), ..internet.settings() });
    let anchors = internet.directory.path().join("anchors");
    let (flags, _, public, _) = KEYS[0];
    std::fs::write(&anchors, format!("trust-anchors {{ \".\" static-key {flags} 3 13 \"{public}\"; }};\n")).unwrap();
    let (server, port) = (format!("@{}", local.address.ip()), local.address.port().to_string());
    let run = async |program: &'static str, arguments: Vec<String>| {
        let mut command = Command::new(program);
        command.args([&server, "-p", &port]).args(arguments);
        match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
            Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
            Err(error) => {
                absent(program, "bind9-dnsutils", &error);
                None
            }
        }
    };
    let delv = async |name: &str, kind: &str| {
        run("delv", ["-a", anchors.to_str().unwrap(), "+root=.", name, kind].map(str::to_owned).into()).await
    };
    let Some(text) = delv("www.signed.example", "A").await else { return };
    has(&text, &["; fully validated", "192.0.2.60"]);
    has(&delv("www.signed.example", "MX").await.unwrap(), &["; negative response, fully validated"]);
    has(&delv("www.netcinema.example", "A").await.unwrap(), &["; unsigned answer", "192.0.2.80"]);
    let Some(text) = run("dig", ["www.signed.example", "+dnssec", "+tries=1"].map(str::to_owned).into()).await else {
        return;
    };
    has(&text, &["status: NOERROR", "flags: qr rd ra ad", "RRSIG", "192.0.2.60"]);
}
