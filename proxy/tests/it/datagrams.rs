//! Services that answer datagrams, beside a node that answers HTTP.

use std::net::SocketAddr;

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, Origin, refused};

use super::BINARY;
use super::services::{PATIENCE, STORE, config, origin, serves_http};

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
