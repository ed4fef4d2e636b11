//! Services that answer datagrams, beside a node that answers HTTP.

use std::net::SocketAddr;

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, Origin, refused};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::services::{PATIENCE, STORE, config, origin, serves_http};
use super::{BINARY, REQUIRED};

/// A node with `name` at a UDP address.
fn datagrams(origin: &Origin, keys: &str, listener: &str) -> String {
    let stream = "[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"s\"\n";
    let text = config(origin, keys, listener);
    assert!(text.contains(stream));
    text.replace(stream, "[[listen.datagram]]\nbind = \"127.0.0.1:0\"\nplugin = \"s\"\n")
}

/// A client of UDP.
struct Sender(tokio::net::UdpSocket);

impl Sender {
    async fn to(address: SocketAddr) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        Self(socket)
    }

    async fn say(&self, text: &str) {
        self.0.send(text.as_bytes()).await.unwrap();
    }

    async fn hear(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let length = tokio::time::timeout(PATIENCE, self.0.recv(&mut buffer)).await.expect("it answers").unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    async fn ask(&self, text: &str) -> String {
        self.say(text).await;
        self.hear().await
    }
}

#[tokio::test]
async fn the_textbooks_datagrams_come_back_in_upper_case() {
    let origin = origin().await;
    let files: [(&str, &[u8]); 1] = [("s.wasm", &plugin("datagram-uppercase"))];
    let node = Node::start(BINARY, &datagrams(&origin, "", ""), &files).await;
    let [one, other] = [Sender::to(node.address("datagram")).await, Sender::to(node.address("datagram")).await];
    assert_eq!(one.ask("input lowercase sentence").await, "INPUT LOWERCASE SENTENCE");
    for number in 0..100 {
        assert_eq!(other.ask(&format!("blåbær {number}")).await, format!("BLÅBÆR {number}"));
    }
    let long = "x".repeat(60_000);
    assert_eq!(one.ask(&long).await.len(), long.len());
    serves_http(&node).await;
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_service_connections_total{plugin=\"s\",outcome=\"done\"}"], 102.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(r#""interfaces":["datagrams"]"#), "{told}");
}

#[tokio::test]
async fn a_datagram_that_makes_a_service_fail_is_not_answered_and_the_next_one_is() {
    let origin = origin().await;
    let files: [(&str, &[u8]); 1] = [("s.wasm", &plugin("datagram-faults"))];
    let node = Node::start(BINARY, &datagrams(&origin, STORE, ""), &files).await;
    let client = Sender::to(node.address("datagram")).await;
    for how in ["spin", "trap", "grow", "trap", "trap", "trap"] {
        client.say(how).await;
        assert_eq!(client.ask("echo next").await, "next", "{how}");
    }
    assert_eq!(
        [client.ask("add hits").await, client.ask("add hits").await],
        ["1", "2"],
        "the store outlives instances"
    );
    assert_eq!(client.ask("sender").await, "127.0.0.1");
    for sample in ["kind=\"trap\"", "kind=\"deadline\"", "kind=\"memory\""] {
        let sample = format!("littoral_plugin_faults_total{{plugin=\"s\",{sample}}}");
        node.until(&sample, if sample.contains("trap") { 4.0 } else { 1.0 }).await;
    }
    assert_eq!(node.metrics().await["littoral_plugin_quarantined{plugin=\"s\"}"], 0.0, "anybody could have sent them");
    serves_http(&node).await;
}

#[tokio::test]
async fn what_goes_out_is_bounded_by_what_came_in() {
    let origin = origin().await;
    let files: [(&str, &[u8]); 1] = [("s.wasm", &plugin("datagram-faults"))];
    let node = Node::start(BINARY, &datagrams(&origin, STORE, "amplification = 2"), &files).await;
    let client = Sender::to(node.address("datagram")).await;
    // Nine bytes have room for eighteen.
    assert_eq!(client.ask("large  18").await.len(), 0, "two blanks are no number");
    client.say("large 19 ").await;
    client.say("many 5000").await;
    for _ in 0..8 {
        assert_eq!(client.hear().await, "x");
    }
    assert_eq!(client.ask("large 18 ").await.len(), 18);
    let dropped = node.metrics().await["littoral_service_answers_dropped_total{plugin=\"s\"}"];
    assert_eq!(dropped, 4993.0, "one of nineteen bytes, and all beyond eight");
}

#[tokio::test]
async fn a_service_answers_what_it_is_made_for() {
    let origin = origin().await;
    let uppercase = plugin("datagram-uppercase");
    let (code, said) = refused(BINARY, &config(&origin, "", ""), &[("s.wasm", &uppercase)]);
    assert!(code == Some(2) && said.contains("is no service: name another"), "{said}");
    let streams = plugin("service-uppercase");
    let (code, said) = refused(BINARY, &datagrams(&origin, "", ""), &[("s.wasm", &streams)]);
    assert!(code == Some(2) && said.contains("is no service of datagrams"), "{said}");
    let text = datagrams(&origin, "", "amplification = 101");
    let (code, said) = refused(BINARY, &text, &[("s.wasm", &uppercase)]);
    assert!(code == Some(2) && said.contains("amplification is 1 to 100"), "{said}");
    let node = Node::start(BINARY, &datagrams(&origin, "", ""), &[("s.wasm", &uppercase)]).await;
    std::fs::write(node.file("s.wasm"), &streams).unwrap();
    let (status, said) = node.admin("POST", "/v1/plugins/s/reload", "").await;
    assert!(status != 200 && said.contains("what it would replace datagrams"), "{said}");
    assert_eq!(Sender::to(node.address("datagram")).await.ask("still").await, "STILL");
}

/// A port that nobody listens at, and no test is given.
const NOBODY: u16 = 1;

/// A server at 127.0.0.1 that answers each line with `is` before it.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut stream, mut line) = (BufReader::new(stream), String::new());
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let _ = stream.get_mut().write_all(format!("is {line}").as_bytes()).await;
                    line.clear();
                }
            });
        }
    });
    port
}

/// The fixture that dials and keeps on disk; its answers are larger than questions.
async fn outside(origin: &Origin, keys: &str) -> Node {
    let text = datagrams(origin, keys, "amplification = 100");
    Node::start(BINARY, &text, &[("s.wasm", &plugin("datagram-outside"))]).await
}

#[tokio::test]
async fn what_a_service_of_datagrams_commits_is_kept_and_what_it_only_notes_is_not() {
    let origin = origin().await;
    let node = outside(&origin, "durable = \"1MiB\"\ndial = [\"127.0.0.1:1\"]").await;
    let client = Sender::to(node.address("datagram")).await;
    assert_eq!([client.ask("get a").await, client.ask("put a one").await], ["none", "kept"]);
    // Handlers share it, and nothing that was not committed is left in one of them.
    for _ in 0..20 {
        assert_eq!([client.ask("note a two").await, client.ask("get a").await], ["noted", "one"]);
    }
    assert_eq!(client.ask("put b three").await, "kept");
    assert_eq!(node.admin("POST", "/v1/plugins/s/reload", "").await.0, 200);
    assert_eq!([client.ask("get a").await, client.ask("get b").await], ["one", "three"]);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_plugin_durable_keys{plugin=\"s\"}"], 2.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(r#""durable_bytes":1048576"#), "{told}");
}

#[tokio::test]
async fn datagrams_do_not_have_a_disk_commit_without_end() {
    let origin = origin().await;
    let node = outside(&origin, "durable = \"1MiB\"\ndial = [\"127.0.0.1:1\"]\ndeadline = \"1s\"").await;
    let client = Sender::to(node.address("datagram")).await;
    let since = std::time::Instant::now();
    let made: u64 = client.ask("commits 200").await.parse().unwrap();
    // However long the disk takes for one.
    assert!(made <= 64 * (since.elapsed().as_secs() + 2), "{made}");
    let busy = node.metrics().await["littoral_plugin_durable_refused_total{plugin=\"s\",kind=\"busy\"}"];
    assert_eq!(made as f64 + busy, 200.0);
}

#[tokio::test]
async fn a_service_of_datagrams_dials_whom_it_was_granted_until_it_has_answered() {
    let origin = origin().await;
    let port = echo().await;
    let node =
        outside(&origin, &format!("durable = \"1MiB\"\ndial = [\"127.0.0.1:{port}\", \"127.0.0.1:{NOBODY}\"]")).await;
    let client = Sender::to(node.address("datagram")).await;
    assert_eq!(client.ask(&format!("ask 127.0.0.1 {port} hello")).await, "is hello");
    assert_eq!(client.ask(&format!("ask 127.0.0.1 {NOBODY} x")).await, "no: it cannot be connected to");
    for target in ["127.0.0.2 80", "localhost 80", "198.41.0.4 80"] {
        assert_eq!(client.ask(&format!("ask {target} x")).await, "no: it may not be dialled", "{target}");
    }
    assert_eq!(client.ask(&format!("many 127.0.0.1 {port}")).await, "8");
    for _ in 0..20 {
        assert_eq!(client.ask(&format!("hold 127.0.0.1 {port}")).await, "held");
    }
    assert_eq!(client.ask(&format!("ask 127.0.0.1 {port} more")).await, "is more");
    node.until("littoral_plugin_dialled{plugin=\"s\"}", 0.0).await;
    let metrics = node.metrics().await;
    let of = |outcome: &str| metrics[&format!("littoral_plugin_dials_total{{plugin=\"s\",outcome=\"{outcome}\"}}")];
    assert_eq!([of("connected"), of("too-many"), of("not-granted"), of("unreachable")], [30.0, 1.0, 3.0, 1.0]);
    assert_eq!(metrics["littoral_plugin_faults_total{plugin=\"s\",kind=\"trap\"}"], 0.0);
    serves_http(&node).await;
}

#[tokio::test]
async fn a_service_of_datagrams_that_was_not_granted_what_it_uses_is_refused() {
    let origin = origin().await;
    for (keys, expected) in [
        ("dial = [\"127.0.0.1:1\"]", "it wants a durable store: grant it one"),
        ("durable = \"1MiB\"", "it dials: say whom it may"),
    ] {
        let (code, line) =
            refused(BINARY, &(datagrams(&origin, keys, "") + REQUIRED), &[("s.wasm", &plugin("datagram-outside"))]);
        assert!(code == Some(2) && line.contains(expected), "{keys}: {code:?} {line}");
    }
}
