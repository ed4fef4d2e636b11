//! Services: plugins that have connections of their own, beside a node that answers HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use littoral_testkit::node::plugin;
use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Node, Origin, Response, refused};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::{BINARY, REQUIRED};

/// More than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the fixture needs, whether it is asked to count or not.
pub(super) const STORE: &str = "store = \"64KiB\"";

/// A line-wise client.
pub(super) struct Talk<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    async fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line, or what there is before the end; `None` at the end or when the connection is reset.
    async fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("it answers") {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    pub(super) async fn ask(&mut self, line: &str) -> Option<String> {
        let _ = self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await;
        self.hear().await
    }
}

pub(super) async fn talk(address: SocketAddr) -> Talk<TcpStream> {
    Talk::over(TcpStream::connect(address).await.unwrap())
}

/// As a client of its own: 127.0.0.`number`.
async fn talk_as(number: u8, address: SocketAddr) -> Talk<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), 0))).unwrap();
    Talk::over(socket.connect(address).await.unwrap())
}

/// A node before `origin` with a service `name` at one listener; `keys` are of the plugin, `listener` of the listener.
pub(super) fn config(origin: &Origin, keys: &str, listener: &str) -> String {
    format!(
        "[node]\ndata = \"data\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"s\"\n{listener}\n[[plugin]]\nname = \"s\"\nfile = \"s.wasm\"\n{keys}\n[[site]]\nhosts = [\"*\"]\norigin = [{:?}]\ndefault_ttl = \"1m\"\n",
        origin.url()
    )
}

pub(super) async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&[], b"page")).await
}

async fn start(origin: &Origin, name: &str, keys: &str, listener: &str) -> Node {
    let keys = if name == "service-faults" { format!("{STORE}\n{keys}") } else { keys.to_owned() };
    Node::start(BINARY, &config(origin, &keys, listener), &[("s.wasm", &plugin(name))]).await
}

pub(super) async fn serves_http(node: &Node) {
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
}

#[tokio::test]
async fn the_textbooks_server_answers_in_upper_case_beside_http() {
    let origin = origin().await;
    let node = start(&origin, "service-uppercase", "", "").await;
    let mut first = talk(node.address("service")).await;
    let mut second = talk(node.address("service")).await;
    assert_eq!(first.ask("hello").await.unwrap(), "HELLO");
    assert_eq!(second.ask("blåbær").await.unwrap(), "BLÅBÆR");
    // In pieces, and the last one without its end.
    first.say("in pie").await;
    serves_http(&node).await;
    assert_eq!(first.ask("ces").await.unwrap(), "IN PIECES");
    first.say("end").await;
    first.0.get_mut().shutdown().await.unwrap();
    assert_eq!([first.hear().await, first.hear().await], [Some("END".into()), None]);
    node.until("littoral_service_connections_total{plugin=\"s\",outcome=\"done\"}", 1.0).await;
    let metrics = node.metrics().await;
    let of = |name: &str| metrics[&format!("littoral_service_{name}")];
    assert_eq!(of("connections{plugin=\"s\"}"), 1.0);
    assert_eq!(of("bytes_total{plugin=\"s\",direction=\"in\"}"), of("bytes_total{plugin=\"s\",direction=\"out\"}"));
    assert!(of("busy_seconds_total{plugin=\"s\"}") > 0.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(r#""interfaces":["service"]"#) && told.contains(r#""open":1"#), "{told}");
}

#[tokio::test]
async fn tls_from_the_first_byte_is_the_nodes() {
    let (origin, authority) = (origin().await, Authority::default());
    let issued = authority.issue(&["mail.example"]);
    let listener = "tls = \"implicit\"\ncert = \"c.pem\"\nkey = \"c.key\"";
    let files: [(&str, &[u8]); 3] =
        [("s.wasm", &plugin("service-faults")), ("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let node = Node::start(BINARY, &config(&origin, STORE, listener), &files).await;
    // What the client offers in the handshake is no matter: it is the port that says what is spoken.
    for alpn in [&["smtp"][..], &[]] {
        let stream = TlsClient::plain(&authority, alpn).connect(node.address("service"), "mail.example").await.unwrap();
        let mut client = Talk::over(stream);
        assert_eq!(client.ask("secure").await.unwrap(), "true false");
        assert_eq!(client.ask("quit").await.unwrap(), "bye");
        assert_eq!(client.hear().await, None);
    }
    // Who speaks no TLS is not served.
    let mut plain = talk(node.address("service")).await;
    assert_ne!(plain.ask("echo x").await, Some("x".into()));
    node.until("littoral_tls_failures_total{kind=\"malformed\"}", 1.0).await;
}

async fn with_starttls(origin: &Origin, authority: &Authority) -> Node {
    let issued = authority.issue(&["mail.example"]);
    let listener = "tls = \"starttls\"\ncert = \"c.pem\"\nkey = \"c.key\"";
    let files: [(&str, &[u8]); 3] =
        [("s.wasm", &plugin("service-faults")), ("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    Node::start(BINARY, &config(origin, STORE, listener), &files).await
}

#[tokio::test]
async fn tls_begins_when_the_service_says_so() {
    let (origin, authority) = (origin().await, Authority::default());
    let node = with_starttls(&origin, &authority).await;
    let mut client = talk(node.address("service")).await;
    assert_eq!(client.ask("secure").await.unwrap(), "false true");
    assert_eq!(client.ask("starttls").await.unwrap(), "go");
    let stream = TlsClient::plain(&authority, &[]).over(client.0.into_inner(), "mail.example").await.unwrap();
    let mut client = Talk::over(stream);
    assert_eq!(client.ask("secure").await.unwrap(), "true false");
    assert_eq!(client.ask("starttls").await.unwrap(), "go");
    assert_eq!(client.hear().await, None, "TLS begins once");
    assert_eq!(node.metrics().await["littoral_tls_handshakes_total"], 1.0);
}

#[tokio::test]
async fn nothing_that_was_sent_in_plain_is_read_after_tls_has_begun() {
    let (origin, authority) = (origin().await, Authority::default());
    let node = with_starttls(&origin, &authority).await;
    // In one packet with the wish for TLS: it is thrown away.
    let mut client = talk(node.address("service")).await;
    client.say("starttls\necho injected\n").await;
    assert_eq!(client.hear().await.unwrap(), "go");
    let stream = TlsClient::plain(&authority, &[]).over(client.0.into_inner(), "mail.example").await.unwrap();
    let mut client = Talk::over(stream);
    assert_eq!(client.ask("echo after").await.unwrap(), "after");
    assert_eq!(node.metrics().await["littoral_service_bytes_total{plugin=\"s\",direction=\"discarded\"}"], 14.0);
    // Where the handshake belongs: it is no handshake, and the connection is over.
    let mut client = talk(node.address("service")).await;
    assert_eq!(client.ask("starttls").await.unwrap(), "go");
    client.say("echo injected\n").await;
    while let Some(heard) = client.hear_bytes().await {
        assert!(!String::from_utf8_lossy(&heard).contains("injected"));
    }
    node.until("littoral_service_troubles_total{plugin=\"s\",kind=\"tls\"}", 1.0).await;
    // And a service that has been refused TLS goes on in plain where it wants to: without certificates there is none to start.
    let plain = start(&origin, "service-faults", "", "").await;
    let mut client = talk(plain.address("service")).await;
    assert_eq!(client.ask("secure").await.unwrap(), "false false");
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn hear_bytes(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        match tokio::time::timeout(PATIENCE, self.0.read(&mut bytes)).await.expect("it ends") {
            Ok(length @ 1..) => Some(bytes[..length].to_vec()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn a_guest_that_misbehaves_costs_its_own_connection_and_nobody_elses() {
    let origin = origin().await;
    // Two faults for each plugin: a third would put it in quarantine, as it should.
    let kinds = [
        ("spin", "deadline"),
        ("trap", "trap"),
        ("grow", "memory"),
        ("recurse", "trap"),
        ("huge", "nonsense"),
        ("polls", "deadline"),
        ("work 1000", "deadline"),
    ];
    let mut text = config(&origin, STORE, "");
    for number in 0..kinds.len().div_ceil(2) {
        text += &format!(
            "[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"s{number}\"\n[[plugin]]\nname = \"s{number}\"\nfile = \"s.wasm\"\n{STORE}\n"
        );
    }
    let node = Node::start(BINARY, &text, &[("s.wasm", &plugin("service-faults"))]).await;
    for (number, (how, kind)) in kinds.into_iter().enumerate() {
        let address = node.addresses("service")[1 + number / 2];
        let (mut good, mut bad) = (talk(address).await, talk_as(9, address).await);
        assert_eq!(good.ask("echo before").await.unwrap(), "before");
        bad.say(&format!("{how}\n")).await;
        if how == "polls" {
            bad.0.get_mut().shutdown().await.unwrap();
        }
        // While it does what it does.
        serves_http(&node).await;
        assert_eq!(good.ask("echo meanwhile").await.unwrap(), "meanwhile", "{how}");
        assert_eq!(bad.hear().await, None, "{how}");
        assert_eq!(good.ask("echo after").await.unwrap(), "after", "{how}");
        let sample = format!("littoral_plugin_faults_total{{plugin=\"s{}\",kind=\"{kind}\"}}", number / 2);
        assert!(node.metrics().await[&sample] >= 1.0, "{how} {kind}");
    }
}

#[tokio::test]
async fn what_is_no_fault_is_bounded_all_the_same() {
    let origin = origin().await;
    let listener = "idle = \"300ms\"\nwrite_timeout = \"300ms\"";
    let node = start(&origin, "service-faults", "", listener).await;
    let address = node.address("service");
    // It writes and nobody reads: to the bound of one write.
    let mut flood = talk(address).await;
    flood.say("flood\n").await;
    // It never reads: to the bound of silence.
    let mut deaf = talk(address).await;
    deaf.say(&format!("deaf\n{}", "x".repeat(1000))).await;
    // Nobody says anything.
    let mut silent = talk(address).await;
    assert_eq!(silent.hear().await, None);
    node.until("littoral_service_troubles_total{plugin=\"s\",kind=\"timeout\"}", 2.0).await;
    let mut talker = talk(address).await;
    assert_eq!(talker.ask("log").await.unwrap(), "what");
    assert_eq!(
        [talker.ask("count 3").await, talker.ask("count 99").await],
        [Some("counted".into()), Some("counted".into())]
    );
    for expected in ["1", "2"] {
        assert_eq!(talk(address).await.ask("add visitors").await.unwrap(), expected, "shared by all connections");
    }
    let metrics = node.metrics().await;
    assert!(metrics["littoral_plugin_dropped_total{plugin=\"s\",what=\"line\"}"] >= 900.0);
    assert_eq!(metrics["littoral_plugin_dropped_total{plugin=\"s\",what=\"count\"}"], 1.0);
    assert_eq!(metrics["littoral_plugin_counts_total{plugin=\"s\",counter=\"3\"}"], 1.0);
    assert!(metrics["littoral_service_store_bytes{plugin=\"s\"}"] > 0.0);
    let faults = metrics.iter().filter(|(name, _)| name.starts_with("littoral_plugin_faults_total"));
    assert_eq!(faults.map(|(_, count)| count).sum::<f64>(), 0.0);
    drop(flood);
    serves_http(&node).await;
}

#[tokio::test]
async fn time_that_a_service_waits_is_not_held_against_it() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "deadline = \"20ms\"", "").await;
    let mut client = talk(node.address("service")).await;
    // Far longer than its deadline together, and each wait too.
    for _ in 0..30 {
        assert_eq!(client.ask("sleep 30").await.unwrap(), "awake");
        assert_eq!(client.ask("work 5").await.unwrap(), "done");
    }
    assert_eq!(client.ask("idle 100").await.unwrap(), "limited");
    assert_eq!(client.hear().await, None, "the service's own bound on silence");
}

#[tokio::test]
async fn a_client_that_makes_a_service_fail_is_refused_and_the_others_are_served_until_they_do_too() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "", "").await;
    let address = node.address("service");
    for _ in 0..3 {
        assert_eq!(talk_as(2, address).await.ask("trap").await, None);
    }
    assert_eq!(talk_as(2, address).await.ask("echo x").await, None, "refused");
    assert_eq!(talk_as(3, address).await.ask("echo x").await.unwrap(), "x");
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_service_clients_refused{plugin=\"s\"}"], 1.0);
    assert_eq!(metrics["littoral_plugin_quarantined{plugin=\"s\"}"], 0.0);
    // Three clients: it is not they.
    for client in [4, 5] {
        assert_eq!(talk_as(client, address).await.ask("trap").await, None);
    }
    assert_eq!(node.metrics().await["littoral_plugin_quarantined{plugin=\"s\"}"], 1.0);
    assert_eq!(talk_as(3, address).await.ask("echo x").await, None, "nobody is served");
    serves_http(&node).await;
    let (status, said) = node.admin("POST", "/v1/plugins/s/reload", "").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(talk_as(2, address).await.ask("echo x").await.unwrap(), "x", "a new generation is a new chance");
    assert!(node.metrics().await["littoral_service_connections_total{plugin=\"s\",outcome=\"refused\"}"] >= 2.0);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_counted() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "", "connections = 2").await;
    let address = node.address("service");
    let mut held = [talk(address).await, talk(address).await];
    for client in &mut held {
        assert_eq!(client.ask("echo in").await.unwrap(), "in");
    }
    assert_eq!(talk(address).await.ask("echo out").await, None);
    assert_eq!(node.metrics().await["littoral_service_connections_total{plugin=\"s\",outcome=\"refused\"}"], 1.0);
    assert_eq!(held[0].ask("quit").await.unwrap(), "bye");
    assert_eq!(held[0].hear().await, None);
    drop(held);
    node.until("littoral_service_connections{plugin=\"s\"}", 0.0).await;
    assert_eq!(talk(address).await.ask("echo in").await.unwrap(), "in");
}

#[tokio::test]
async fn a_reload_is_for_new_connections_and_open_ones_have_their_time_to_end() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "config = { greeting = \"one\\n\" }", "drain = \"1s\"").await;
    let address = node.address("service");
    let mut old = talk(address).await;
    assert_eq!(old.hear().await.unwrap(), "one");
    let text = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), text.replace("one\\n", "two\\n")).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(talk(address).await.hear().await.unwrap(), "two");
    assert_eq!(old.ask("echo still").await.unwrap(), "still", "on the generation it began with");
    assert_eq!([old.hear().await, old.hear().await], [Some("bye".into()), None]);
    // What is no service stays out, and what was there before serves on.
    std::fs::write(node.file("s.wasm"), plugin("filter-cors")).unwrap();
    let (status, said) = node.admin("POST", "/v1/plugins/s/reload", "").await;
    assert!(status != 200 && said.contains("world stream-service"), "{said}");
    assert_eq!(talk(address).await.hear().await.unwrap(), "two");
}

#[tokio::test]
async fn a_generation_that_fails_at_once_is_taken_back() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "config = { greeting = \"one\\n\" }", "").await;
    let address = node.address("service");
    let text = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), text.replace("greeting = \"one\\n\"", "at = \"start\"")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    for _ in 0..3 {
        assert_eq!(talk(address).await.hear().await, None);
    }
    assert_eq!(talk(address).await.hear().await.unwrap(), "one", "the client was not to blame");
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(r#""state":"rolled-back""#), "{told}");
}

#[tokio::test]
async fn a_node_that_stops_lets_its_services_say_goodbye() {
    let origin = origin().await;
    let mut node = start(&origin, "service-faults", "", "").await;
    let (mut one, mut other) = (talk(node.address("service")).await, talk(node.address("service")).await);
    assert_eq!(one.ask("echo a").await.unwrap(), "a");
    other.say("spin\n").await;
    node.signal("TERM");
    assert_eq!([one.hear().await, one.hear().await], [Some("bye".into()), None]);
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn the_client_is_whom_a_believed_proxy_header_names_and_lists_say_who_may_come() {
    let origin = origin().await;
    let listener = "proxy_protocol = [\"127.0.0.1\"]\ndeny = [\"192.0.2.9\"]";
    let node = start(&origin, "service-faults", "", listener).await;
    let address = node.address("service");
    let mut client = talk(address).await;
    client.say("PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n").await;
    assert_eq!(client.ask("peer").await.unwrap(), "192.0.2.7");
    let mut denied = talk(address).await;
    denied.say("PROXY TCP4 192.0.2.9 192.0.2.1 4000 25\r\n").await;
    assert_eq!(denied.ask("peer").await, None);
}

#[tokio::test]
async fn any_bytes_come_through_and_any_lines_are_survived() {
    let origin = origin().await;
    let node = start(&origin, "service-faults", "", "").await;
    let address = node.address("service");
    let noise = super::noise(3 << 20, 7);
    let mut client = talk(address).await;
    client.say("binary\n").await;
    let (mut reading, mut writing) = tokio::io::split(client.0.into_inner());
    let sent = noise.clone();
    let sender = tokio::spawn(async move {
        writing.write_all(&sent).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    let mut echoed = Vec::new();
    tokio::time::timeout(PATIENCE, reading.read_to_end(&mut echoed)).await.unwrap().unwrap();
    sender.await.unwrap();
    assert!(echoed == noise, "{} of {} bytes", echoed.len(), noise.len());
    let mut long = talk(address).await;
    long.say(&"x".repeat(5000)).await;
    assert_eq!(long.hear().await.unwrap(), "too long");
    for number in 0..20_u64 {
        let mut hostile = TcpStream::connect(address).await.unwrap();
        let _ = hostile.write_all(&super::noise(2000, number)).await;
    }
    assert_eq!(talk(address).await.ask("echo x").await.unwrap(), "x");
    let metrics = node.metrics().await;
    let faults = metrics.iter().filter(|(name, _)| name.starts_with("littoral_plugin_faults_total"));
    assert_eq!(faults.map(|(_, count)| count).sum::<f64>(), 0.0);
}

#[tokio::test]
async fn what_cannot_serve_is_told_before_anybody_connects() {
    let origin = origin().await;
    let service = plugin("service-faults");
    let filter = plugin("filter-cors");
    for (name, bytes, keys, listener, expected) in [
        ("s.wasm", &filter, "config = { origins = [\"https://a.example\"] }", "", "plugin \"s\" is no service"),
        ("s.wasm", &service, "on_fault = \"open\"\nstore = \"1MiB\"", "", "on_fault is not for services"),
        ("s.wasm", &service, "", "", "it wants a store: grant it one"),
        ("s.wasm", &service, "store = \"1MiB\"\nconfig = { greting = \"x\" }", "", "unknown field `greting`"),
        ("s.wasm", &service, "store = \"1MiB\"\nconfig = { at = \"init\" }", "", "its init failed"),
        ("s.wasm", &service, "store = \"1MiB\"", "tls = \"starttls\"", "without a certificate"),
        ("s.wasm", &service, "store = \"1MiB\"", "connections = 5000", "connections is 1 to 4096"),
        ("s.wasm", &service, "store = \"1MiB\"", "idle = \"0s\"", "idle is more than 0s"),
    ] {
        let (code, said) = refused(BINARY, &(config(&origin, keys, listener) + REQUIRED), &[(name, bytes)]);
        assert!(code == Some(2) && said.contains(expected), "{expected}: {said}");
    }
    let text = config(&origin, "store = \"1MiB\"", "").replace("plugin = \"s\"", "plugin = \"t\"");
    let (code, said) = refused(BINARY, &text, &[("s.wasm", &service)]);
    assert!(code == Some(2) && said.contains("names no [[plugin]]"), "{said}");
}

#[test]
fn the_guide_shows_the_examples_as_they_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let guide = read("docs/plugins/services.md");
    for (name, block) in ["service-uppercase", "datagram-uppercase"].iter().zip(guide.split("```rust,ignore\n").skip(1))
    {
        let source = read(&format!("plugins/examples/{name}/src/lib.rs"));
        for line in block.split("```").next().unwrap().lines() {
            assert!(source.lines().any(|of| of == line), "{line:?} is not in {name}");
        }
    }
}
