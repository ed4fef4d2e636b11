//! The contract holds on a node: guests that were built for 0.1.0, and are kept as they were, serve as they did. Policies that
//! are kept too are asked by `plugins/host/tests/it/contract.rs`.

use std::path::Path;

use littoral_testkit::{Node, Origin, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::services::PATIENCE;
use super::{BINARY, config};

fn kept(name: &str) -> Vec<u8> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/host/tests/it/contract-0.1.0");
    std::fs::read(place.join(format!("{name}.wasm"))).unwrap()
}

/// What comes of a text sent to a service of streams.
async fn hear(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("it answers").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A node with each of them, in the seat that it is for.
async fn node(origin: &Origin) -> Node {
    let plugin = |(name, keys)| format!("[[plugin]]\nname = \"{name}\"\nfile = \"{name}.wasm\"\n{keys}\n");
    let store = "store = \"64KiB\"\non_fault = \"closed\"\ndeadline = \"1s\"";
    let plugins: String =
        [("exact", ""), ("filter", store), ("timed", store), ("stream", ""), ("datagram", ""), ("swarm", "")]
            .map(plugin)
            .concat();
    let listeners: String = ["service", "datagram", "swarm"]
        .into_iter()
        .zip(["stream", "datagram", "swarm"])
        .map(|(kind, name)| format!("[[listen.{kind}]]\nbind = \"127.0.0.1:0\"\nplugin = \"{name}\"\n"))
        .collect();
    let sites = format!(
        "filters = [\"filter\"]\ndefault_ttl = \"1m\"\n[[site]]\nhosts = [\"timed.example\"]\norigin = [{:?}]\nfilters = [\"timed\"]\n",
        origin.url()
    );
    let text = config(&[origin], &format!("{plugins}{listeners}[policy]\nevict = \"exact\"\n[site]\n{sites}"));
    let files = [
        ("exact.wasm", kept("evict-lru")),
        ("filter.wasm", kept("filter")),
        ("timed.wasm", kept("timed-filter")),
        ("stream.wasm", kept("service-uppercase")),
        ("datagram.wasm", kept("datagram-uppercase")),
        ("swarm.wasm", kept("swarm")),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    Node::start(BINARY, &text, &files).await
}

#[tokio::test]
async fn guests_built_for_0_1_0_keep_serving() {
    let origin = Origin::start(|_| Response::ok(&["content-type: text/plain"], b"hello")).await;
    let node = node(&origin).await;

    // At all points of a request: what is answered, looked up, rewritten and added.
    assert_eq!(node.get("site.example", "/no", &[]).await.status, 403);
    for query in ["?a", "?b", ""] {
        let reply = node.get("site.example", &format!("/a{query}"), &[]).await;
        assert_eq!((reply.status, &reply.body[..], reply.field("x-kept")), (200, &b"HELLO"[..], "0.1.0"));
    }
    assert_eq!(origin.requests().len(), 1, "the query is no part of the key");
    assert_eq!(node.metrics().await["littoral_cache_exact"], 1.0, "who keeps what is told of all of it");

    // By itself: two ticks, and requests are answered by the filter.
    while node.get("timed.example", "/", &[]).await.status != 503 {}

    let mut stream = TcpStream::connect(node.address("service")).await.unwrap();
    stream.write_all("bl\u{e5}b\u{e6}r\n".as_bytes()).await.unwrap();
    assert_eq!(hear(&mut stream, 9).await, "BL\u{c5}B\u{c6}R\n");

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(node.address("datagram")).await.unwrap();
    socket.send(b"hello").await.unwrap();
    let mut buffer = [0; 64];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("it answers").unwrap();
    assert_eq!(&buffer[..length], b"HELLO");

    let [mut one, mut other] = [
        TcpStream::connect(node.address("swarm")).await.unwrap(),
        TcpStream::connect(node.address("swarm")).await.unwrap(),
    ];
    node.until("littoral_swarm_events_total{plugin=\"swarm\",event=\"opened\"}", 2.0).await;
    one.write_all(b"to all").await.unwrap();
    assert_eq!([hear(&mut one, 6).await, hear(&mut other, 6).await], ["TO ALL", "TO ALL"]);
}
