//! What a node asks itself: over a socket of its own, whatever it listens on, and for nobody else.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Body, Client, Node, Origin, Request, Response};
use tokio::net::TcpStream;

use super::{BINARY, node_before};

const SIZE: usize = 64 << 10;

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 1000) as u8).collect()
}

/// The part of an object that a request asks for.
fn ranged(request: &Request, whole: &[u8]) -> Response {
    let range = request.field("range").and_then(|field| field.strip_prefix("bytes=")?.split_once('-'));
    let (first, last) = range.expect("a range");
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse::<usize>().unwrap().min(whole.len() - 1));
    let range = format!("content-range: bytes {first}-{last}/{}", whole.len());
    let fields = vec!["cache-control: max-age=60".into(), "etag: \"a\"".into(), range];
    Response { status: 206, fields, body: Body::Whole(whole[first..=last].to_vec()) }
}

async fn sliced(length: usize) -> Origin {
    let whole = body(length);
    Origin::start(move |request| ranged(request, &whole)).await
}

#[tokio::test]
async fn a_node_that_speaks_only_tls_or_over_a_path_answers_from_slices() {
    let length = 2 * SIZE + 5;
    let origin = sliced(length).await;
    let authority = Authority::default();
    let issued = authority.issue(&["site.example"]);
    let files = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let tls = "https = [{ bind = \"127.0.0.1:0\", cert = \"c.pem\", key = \"c.key\" }]";
    for listen in [tls, "http = [\"unix:s.sock\"]"] {
        let text = format!(
            "[listen]\nadmin = \"127.0.0.1:0\"\n{listen}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\nslice = \"64KiB\"\n",
            origin.url()
        );
        let node = Node::start(BINARY, &text, &files).await;
        let asked = origin.requests().len();
        for _ in 0..2 {
            let mut client = match listen == tls {
                true => {
                    let tls = TlsClient::plain(&authority, &["http/1.1"]);
                    Client::over(tls.connect(node.address("https"), "site.example").await.unwrap())
                }
                false => Client::over(tokio::net::UnixStream::connect(node.file("s.sock")).await.unwrap()),
            };
            let reply = client.get("site.example", "/a", &[]).await;
            assert!(
                (reply.status, reply.whole) == (200, true) && reply.body == body(length),
                "{listen}: {}",
                reply.status
            );
        }
        assert_eq!(origin.requests().len() - asked, 3, "{listen}: each slice once");
    }
}

#[tokio::test]
async fn what_a_node_asks_itself_is_bound_by_no_limit_on_clients() {
    let length = 2 * SIZE + 5;
    let origin = sliced(length).await;
    let limits =
        "[limits]\nclient_connections = 1\nclient_request_rate = 1\nclient_burst = \"1s\"\n[site]\nslice = \"64KiB\"\n";
    let node = node_before(&origin, limits).await;
    let reply = node.get("site.example", "/a", &[]).await;
    assert!((reply.status, reply.whole) == (200, true) && reply.body == body(length), "{}", reply.status);
}

#[tokio::test]
async fn an_answer_made_of_slices_is_finished_when_the_node_stops() {
    let length = 512 * SIZE;
    let origin = sliced(length).await;
    let mut node = node_before(&origin, "[site]\nslice = \"64KiB\"\n").await;
    let address = node.address("http");
    let mut client = Client::connect(address).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    client.head().await.unwrap();
    node.signal("TERM");
    while TcpStream::connect(address).await.is_ok() {}
    assert!(client.bytes(length).await == body(length));
    assert!(origin.requests().len() >= 512);
    drop(client);
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn the_nodes_own_socket_lets_nobody_else_in() {
    let origin = sliced(SIZE).await;
    let node = node_before(&origin, "").await;
    let prefix = format!("@littoral-{}-", node.pid());
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let mut own = sockets.lines().filter_map(|line| line.split_once('@').map(|(_, name)| format!("@{name}")));
    let own = own.find(|name| name.starts_with(&prefix)).expect("its own socket");
    let address = SocketAddr::from_abstract_name(&own[1..]).unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect_addr(&address)?;
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: site.example\r\nRange: bytes=0-9\r\n\r\n")?;
        let mut told = Vec::new();
        stream.read_to_end(&mut told).map(|_| told)
    });
    let told = asked.await.unwrap().unwrap_or_default();
    assert!(told.is_empty(), "{}", String::from_utf8_lossy(&told));
    assert!(origin.requests().is_empty());
    node.until("littoral_downstream_denied_total{reason=\"source\"}", 1.0).await;
}
