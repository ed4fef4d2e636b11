//! Swarms: one instance of a plugin that has all connections and datagrams of a listener, over real sockets.

use std::net::SocketAddr;

use littoral_testkit::node::plugin;
use littoral_testkit::origin::{Body, Gate};
use littoral_testkit::{Node, Origin, Response, refused};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{Duration, timeout};

use super::services::{PATIENCE, serves_http};
use super::{BINARY, REQUIRED};

const CONTENT: &str = "content = [\"site.example/*\"]";
const STARTS: &str = "littoral_swarm_starts_total{plugin=\"s\"}";

/// A node before `origin` with a swarm; `keys` are of the plugin, `listener` of the listener.
fn config(origin: &Origin, keys: &str, listener: &str) -> String {
    format!(
        "[node]\ndata = \"data\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[listen.swarm]]\nbind = \"127.0.0.1:0\"\ndatagrams = \"127.0.0.1:0\"\nplugin = \"s\"\n{listener}\n[[plugin]]\nname = \"s\"\nfile = \"s.wasm\"\n{keys}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\ndefault_ttl = \"10m\"\n",
        origin.url()
    )
}

/// Bytes that are nowhere the same.
fn body(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

async fn origin(length: usize) -> Origin {
    Origin::start(move |_| Response::ok(&[], &body(length))).await
}

/// With time enough for what a host that was not optimised does in one event, on a machine that has other things to do.
async fn start(origin: &Origin, name: &str, keys: &str, listener: &str) -> Node {
    let keys = format!("{keys}\ndeadline = \"500ms\"");
    Node::start(BINARY, &config(origin, &keys, listener), &[("s.wasm", &plugin(name))]).await
}

/// A peer that speaks lines.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn of(node: &Node) -> Self {
        Self(BufReader::new(TcpStream::connect(node.address("swarm")).await.unwrap()))
    }

    async fn say(&mut self, line: &str) {
        // One that has been closed says so when it is read from.
        let _ = self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await;
    }

    /// The next line; `None` at the end, or when the connection is reset.
    async fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("it answers") {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.hear().await.unwrap_or_else(|| panic!("{line}: it was closed"))
    }

    async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut bytes)).await.expect("they come").unwrap();
        bytes
    }
}

/// A client of UDP at the node's port.
async fn sender(node: &Node) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(node.address("swarm-datagram")).await.unwrap();
    socket
}

async fn heard(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("it answers").unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test]
async fn all_connections_are_in_one_instance_beside_http() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let mut peers = Vec::new();
    for number in 1..=60 {
        let mut peer = Peer::of(&node).await;
        assert_eq!(peer.ask("peers").await, number.to_string());
        peers.push(peer);
    }
    assert_eq!(peers[7].ask("echo still here").await, "still here");
    serves_http(&node).await;
    assert_eq!(peers[8].ask("timer 1").await, "tick");
    peers[9].say("echo last\nquit\necho never").await;
    assert_eq!([peers[9].hear().await, peers[9].hear().await], [Some("last".into()), None]);
    peers.truncate(9);
    node.until("littoral_swarm_events_total{plugin=\"s\",event=\"closed\"}", 51.0).await;
    assert_eq!(peers[0].ask("peers").await, "9");
    let metrics = node.metrics().await;
    assert_eq!(metrics[STARTS], 1.0);
    assert_eq!(metrics["littoral_swarm_events_total{plugin=\"s\",event=\"opened\"}"], 60.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(r#""interfaces":["swarm"]"#), "{told}");
}

#[tokio::test]
async fn pieces_go_from_the_cache_to_the_peer_and_not_through_the_guest() {
    const LENGTH: usize = 5_000_001;
    let origin = origin(LENGTH).await;
    let keys = format!("{CONTENT}\nmemory = \"3MiB\"\nconfig = {{ url = \"http://site.example/a\", bytes = 100000 }}");
    let node = start(&origin, "swarm-pieces", &keys, "").await;
    let mut peer = Peer::of(&node).await;
    // It is asked for before the cache has it, and looks for it until it does.
    peer.say("have").await;
    assert_eq!(node.get("site.example", "/a", &[]).await.body.len(), LENGTH);
    assert_eq!(peer.hear().await.unwrap(), format!("have {LENGTH} 100000 0"));
    let (body, mut all) = (body(LENGTH), Vec::new());
    // As many at once as a peer may ask for; more than its queue takes.
    let asked: String = (0..51).map(|number| format!("piece {number}\n")).collect();
    peer.say(asked.trim_end()).await;
    for number in 0..51 {
        let length = if number == 50 { 1 } else { 100_000 };
        assert_eq!(peer.hear().await.unwrap(), format!("piece {number} {length}"));
        all.extend(peer.bytes(length).await);
    }
    assert!(all == body, "byte for byte what the origin has");
    node.until("littoral_swarm_spliced_bytes_total{plugin=\"s\"}", LENGTH as f64).await;
    let metrics = node.metrics().await;
    assert!(metrics["littoral_plugin_memory_bytes{plugin=\"s\"}"] < 3_200_000.0, "less than what it served");
    assert_eq!(peer.ask("have").await, format!("have {LENGTH} 100000 51"));
    let mut many = Vec::new();
    for _ in 0..16 {
        many.push(Peer::of(&node).await);
    }
    for (number, peer) in many.iter_mut().enumerate() {
        peer.say(&format!("piece {number}\npiece 49")).await;
    }
    for (number, peer) in many.iter_mut().enumerate() {
        for number in [number, 49] {
            assert_eq!(peer.hear().await.unwrap(), format!("piece {number} 100000"));
            assert!(peer.bytes(100_000).await == body[number * 100_000..][..100_000]);
        }
    }
    let socket = sender(&node).await;
    socket.send(b"ping").await.unwrap();
    assert_eq!(heard(&socket).await, "pong");
}

#[tokio::test]
async fn contents_are_those_that_were_granted_and_are_whole_and_fresh() {
    const LENGTH: usize = 300_000;
    let origin = origin(LENGTH).await;
    let node = start(&origin, "swarm-faults", "content = [\"site.example/a*\"]", "").await;
    let (mut peer, body) = (Peer::of(&node).await, body(LENGTH));
    assert_eq!(peer.ask("find http://site.example/a").await, "none");
    for url in ["http://site.example/b", "http://other.example/a", "site.example/a", ""] {
        assert_eq!(peer.ask(&format!("find {url}")).await, "NotGranted", "{url}");
    }
    node.get("site.example", "/a", &[]).await;
    assert_eq!(peer.ask("find http://site.example/a").await, LENGTH.to_string());
    let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(peer.ask("sum http://site.example/a").await, sum);
    peer.say("splice http://site.example/a 1000 250000").await;
    assert!(peer.bytes(250_000).await == body[1000..251_000]);
    assert_eq!(peer.ask("splice http://site.example/a 299999 2").await, "TooFar");
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_swarm_summed_bytes_total{plugin=\"s\"}"], LENGTH as f64);
    assert_eq!(metrics["littoral_swarm_contents{plugin=\"s\"}"], 0.0);
    let (status, _) = node.admin("POST", "/v1/purge", r#"{"url": "http://site.example/a"}"#).await;
    assert_eq!(status, 200);
    assert_eq!(peer.ask("find http://site.example/a").await, "none");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_nobody() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut peer = Peer::of(&node).await;
        peer.say("mute").await;
        deaf.push(peer);
    }
    let mut peer = Peer::of(&node).await;
    assert_eq!(peer.ask("echo hello").await, "hello");
    // What it takes of a flood is what comes, and it is told when there is room again.
    peer.say("flood").await;
    let flood = peer.hear().await.unwrap();
    assert!(flood.bytes().all(|byte| byte == b'x'));
    assert_eq!(peer.hear().await.unwrap(), flood.len().to_string());
    assert!(flood.len() >= 256 << 10, "{}", flood.len());
    assert_eq!(peer.ask("echo goodbye").await, "goodbye");
    drop(deaf);
    node.until("littoral_swarm_events_total{plugin=\"s\",event=\"closed\"}", 8.0).await;
    node.until("littoral_swarm_queued_bytes{plugin=\"s\"}", 0.0).await;
}

#[tokio::test]
async fn timers_are_bounded() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let mut peer = Peer::of(&node).await;
    assert_eq!(peer.ask("timers").await, "1024");
    assert_eq!(node.metrics().await["littoral_swarm_timers{plugin=\"s\"}"], 1024.0);
}

#[tokio::test]
async fn one_that_fails_loses_its_connections_and_another_one_starts() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let [mut one, mut other] = [Peer::of(&node).await, Peer::of(&node).await];
    assert_eq!(other.ask("timer 100000000\necho here").await, "here");
    one.say("trap").await;
    assert_eq!([one.hear().await, other.hear().await], [None, None]);
    node.until(STARTS, 2.0).await;
    serves_http(&node).await;
    let mut next = Peer::of(&node).await;
    assert_eq!(next.ask("peers").await, "1");
    let socket = sender(&node).await;
    socket.send(b"spin").await.unwrap();
    assert_eq!(next.hear().await, None);
    node.until(STARTS, 3.0).await;
    assert_eq!(Peer::of(&node).await.ask("peers").await, "1");
    let metrics = node.metrics().await;
    for kind in ["trap", "deadline"] {
        assert_eq!(metrics[&format!("littoral_plugin_faults_total{{plugin=\"s\",kind=\"{kind}\"}}")], 1.0);
    }
    assert_eq!(metrics["littoral_swarm_timers{plugin=\"s\"}"], 0.0);
    node.until("littoral_service_connections{plugin=\"s\"}", 0.0).await;
}

#[tokio::test]
async fn a_reload_hands_over_what_the_older_one_gives() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let mut peer = Peer::of(&node).await;
    assert_eq!([peer.ask("given").await, peer.ask("hand the baton").await], ["nothing", "noted"]);
    let (status, said) = node.admin("POST", "/v1/plugins/s/reload", "").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(peer.hear().await, None);
    node.until(STARTS, 2.0).await;
    let mut peer = Peer::of(&node).await;
    assert_eq!(peer.ask("given").await, "the baton");
    // One that fails has handed nothing on, and what it was handed is used up.
    peer.say("trap").await;
    assert_eq!(peer.hear().await, None);
    node.until(STARTS, 3.0).await;
    assert_eq!(Peer::of(&node).await.ask("given").await, "nothing");
}

#[tokio::test]
async fn one_that_fails_when_it_is_to_stop_is_replaced_all_the_same() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "config = { at = \"stop\" }", "").await;
    let mut peer = Peer::of(&node).await;
    assert_eq!(peer.ask("hand the baton").await, "noted");
    assert_eq!(node.admin("POST", "/v1/plugins/s/reload", "").await.0, 200);
    node.until(STARTS, 2.0).await;
    assert_eq!(Peer::of(&node).await.ask("given").await, "nothing");
    assert_eq!(node.metrics().await["littoral_plugin_faults_total{plugin=\"s\",kind=\"trap\"}"], 1.0);
}

#[tokio::test]
async fn datagrams_that_go_out_are_bounded_by_what_came_and_by_what_may_be_asked() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "dial = [\"127.0.0.0/8:*\"]", "amplification = 1").await;
    let socket = sender(&node).await;
    socket.send(b"echo datagram").await.unwrap();
    assert_eq!(heard(&socket).await, "datagram");
    // Of the first five bytes are left; these have room for one answer, and the second is asked for: nobody said that it may be.
    let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut peer = Peer::of(&node).await;
    let asked = format!("ask {} who are you", far.local_addr().unwrap());
    peer.say(&asked).await;
    let mut buffer = [0; 64];
    let (length, from) = timeout(PATIENCE, far.recv_from(&mut buffer)).await.expect("it asks").unwrap();
    assert_eq!(&buffer[..length], b"who are you");
    far.send_to(b"nobody", from).await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), "answer: nobody");
    let sent: u32 = peer.ask(&format!("asks {} 1000", far.local_addr().unwrap())).await.parse().unwrap();
    assert!((1..1000).contains(&sent), "{sent}");
    assert!(node.metrics().await["littoral_swarm_datagrams_total{plugin=\"s\",outcome=\"refused\"}"] > 0.0);
}

#[tokio::test]
async fn nobody_is_asked_or_dialled_who_is_not_listed() {
    let origin = origin(10).await;
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: SocketAddr = far.local_addr().unwrap();
    let node = start(&origin, "swarm-faults", "dial = [\"*:*\"]", "").await;
    let mut peer = Peer::of(&node).await;
    assert_eq!(peer.ask(&format!("ask {at} x")).await, "not sent", "loopback is not public");
    assert_eq!(peer.ask(&format!("dial 127.0.0.1 {}", at.port())).await, "far is gone");
    let keys = format!("dial = [\"127.0.0.1:{}\"]", at.port());
    let node = start(&origin, "swarm-faults", &keys, "").await;
    let mut peer = Peer::of(&node).await;
    for wrong in ["dial 127.0.0.2 9", "dial other.example 25"] {
        assert_eq!(peer.ask(wrong).await, "NotGranted");
    }
    peer.say(&format!("dial 127.0.0.1 {}", at.port())).await;
    let (mut accepted, _) = timeout(PATIENCE, far.accept()).await.expect("it dials").unwrap();
    let mut hello = [0; 6];
    accepted.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello\n");
    accepted.write_all(b"hi\n").await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), "far: hi");
    assert_eq!(accepted.read(&mut hello).await.unwrap(), 0, "it is closed");
}

#[tokio::test]
async fn datagrams_that_come_while_it_is_behind_are_dropped_and_counted() {
    let origin = origin(10).await;
    let node = start(&origin, "swarm-faults", "", "").await;
    let socket = sender(&node).await;
    socket.send(b"spin").await.unwrap();
    let dropped = "littoral_swarm_datagrams_total{plugin=\"s\",outcome=\"dropped\"}";
    while node.metrics().await[dropped] < 1.0 {
        for _ in 0..500 {
            let _ = socket.send(b"echo lost").await;
        }
    }
    node.until(STARTS, 2.0).await;
    serves_http(&node).await;
    // What was still in the system's buffers may come before it.
    loop {
        socket.send(b"echo found").await.unwrap();
        let mut buffer = [0; 64];
        let answer = timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await;
        if matches!(answer, Ok(Ok(length)) if &buffer[..length] == b"found") {
            return;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let origin = origin(10).await;
    let (swarm, service) = (plugin("swarm-faults"), plugin("service-uppercase"));
    for (file, keys, listener, expected) in [
        (&service, "", "", "is no swarm: name another, or build it for the world swarm-service"),
        (&swarm, "config = { at = \"start\" }", "", "its start failed"),
        (&swarm, "config = { att = \"x\" }", "", "unknown field `att`"),
        (&swarm, "memory = \"257MiB\"", "", "memory is at most 268435456"),
        (&swarm, "content = [\"site.example\"]", "", "is no content"),
        (&swarm, "content = []", "", "plugin.content has 1 to 256 entries"),
        (&swarm, "", "cpu = 0", "listen.swarm.cpu is 1 to 100"),
        (&swarm, "", "connections = 0", "listen.swarm.connections is 1 to 65536"),
        (&swarm, "", "idle = \"0s\"", "idle is more than 0s"),
    ] {
        let (code, said) = refused(BINARY, &(config(&origin, keys, listener) + REQUIRED), &[("s.wasm", file)]);
        assert!(code == Some(2) && said.contains(expected), "{expected}: {said}");
    }
    let text =
        config(&origin, "", "").replace("bind = \"127.0.0.1:0\"\n", "").replace("datagrams = \"127.0.0.1:0\"\n", "");
    let (code, said) = refused(BINARY, &text, &[("s.wasm", &swarm)]);
    assert!(code == Some(2) && said.contains("give bind, datagrams or both"), "{said}");
}

/// Whom swarms ask.
async fn far() -> Origin {
    Origin::start(|request| match request.path.as_str() {
        "/silent" => Response::with(&[], Body::Gated(b"a".to_vec(), Gate::default(), b"b".to_vec())),
        "/gone" => Response { status: 404, ..Response::ok(&[], b"no such torrent") },
        path => Response::ok(&[], format!("peers for {path}").as_bytes()),
    })
    .await
}

#[tokio::test]
async fn a_swarm_asks_by_http_whom_it_was_granted_and_answers_others_meanwhile() {
    let (origin, far) = (origin(10).await, far().await);
    let keys = format!("http = [{:?}]\nhttp_timeout = \"1s\"", far.url());
    let node = start(&origin, "swarm-fetch", &keys, "").await;
    let (mut one, mut other) = (Peer::of(&node).await, Peer::of(&node).await);
    assert_eq!(one.ask(&format!("get {}/announce", far.url())).await, "200 peers for /announce");
    assert_eq!(one.ask(&format!("get {}/gone", far.url())).await, "404 no such torrent");
    assert_eq!(one.ask("get http://127.0.0.1:1/").await, "it may not be asked");
    assert_eq!(far.requests()[0].field("cdn-loop"), Some("littoral"));
    // Nobody else waits for one that is not answered.
    one.say(&format!("get {}/silent", far.url())).await;
    assert_eq!(other.ask("echo still").await, "still");
    assert_eq!(one.hear().await.as_deref(), Some("it took too long"));
    assert_eq!(other.ask(&format!("many {}/silent 100", far.url())).await, "16", "no more are under way at a time");
    node.until("littoral_swarm_events_total{plugin=\"s\",event=\"answered\"}", 19.0).await;
    let metrics = node.metrics().await;
    let of = |outcome: &str| metrics[&format!("littoral_plugin_fetches_total{{plugin=\"s\",outcome=\"{outcome}\"}}")];
    assert_eq!([of("answered"), of("not-granted"), of("timeout")], [2.0, 1.0, 17.0]);
    assert_eq!(metrics["littoral_plugin_fetches_open{plugin=\"s\"}"], 0.0);
    assert_eq!(metrics[STARTS], 1.0);
    assert_eq!(one.ask(&format!("get {}/again", far.url())).await, "200 peers for /again", "there is room again");
}

#[tokio::test]
async fn a_swarm_asks_nobody_in_its_start_and_nobody_whom_it_was_not_granted() {
    let origin = origin(10).await;
    for (keys, expected) in [
        ("", "it asks by HTTP: say whom it may"),
        ("http = [\"http://127.0.0.1:1\"]\nconfig = { at = \"start\" }", "more than timers in its `start`"),
    ] {
        let text = config(&origin, keys, "") + REQUIRED;
        let (code, said) = refused(BINARY, &text, &[("s.wasm", &plugin("swarm-fetch"))]);
        assert!(code == Some(2) && said.contains(expected), "{said}");
    }
}
