//! What clients are held to: how many, how often, how large, how slow.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::{Client, Node, Origin, Response, refused};

use super::{BINARY, get, node_before};

const GET: &str = "GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n";

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await
}

async fn bounded(origin: &Origin, limits: &str) -> Node {
    node_before(origin, &format!("[limits]\nclients_exempt = []\n{limits}")).await
}

async fn status(node: &Node, request: impl AsRef<[u8]>) -> Option<u16> {
    let mut client = Client::connect(node.address("http")).await;
    client.send(request).await;
    client.reply(false).await.map(|reply| reply.status)
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_gets_another_when_one_ends() {
    let origin = origin().await;
    let node = bounded(&origin, "client_connections = 2").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(node.address("http")).await;
        assert_eq!(client.get("site.example", "/a", &[]).await.status, 200);
        held.push(client);
    }
    assert_eq!(status(&node, GET).await, None);
    held.pop();
    node.until("littoral_http_connections_open", 1.0).await;
    assert_eq!(status(&node, GET).await, Some(200));
    assert_eq!(node.metrics().await["littoral_downstream_denied_total{reason=\"client_connections\"}"], 1.0);
}

#[tokio::test]
async fn a_client_that_connects_too_often_is_closed() {
    let origin = origin().await;
    let node = bounded(&origin, "client_connection_rate = 1\nclient_burst = \"3s\"").await;
    let mut answered = 0;
    for _ in 0..10 {
        answered += usize::from(status(&node, GET).await.is_some());
    }
    assert!((3..10).contains(&answered), "{answered}");
    let denied = node.metrics().await["littoral_downstream_denied_total{reason=\"client_rate\"}"];
    assert_eq!(denied, (10 - answered) as f64);
}

#[tokio::test]
async fn a_client_that_asks_too_often_gets_429_and_is_told_when_to_come_back() {
    let origin = origin().await;
    let node = bounded(&origin, "client_request_rate = 1\nclient_burst = \"4s\"").await;
    // Hits and misses, over several connections: one client is one client.
    let mut replies = Vec::new();
    for round in 0..3 {
        let mut client = Client::connect(node.address("http")).await;
        for path in ["/a", "/b", &format!("/c{round}")] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
            replies.extend(client.reply(false).await);
        }
    }
    let (good, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(good.len() >= 4 && good.len() < 7, "{}", good.len());
    for reply in &refused {
        assert_eq!((reply.status, reply.field("connection")), (429, "close"));
        assert!((1..=4).contains(&reply.field("retry-after").parse::<u32>().unwrap()), "{reply:?}");
    }
    assert_eq!(node.metrics().await["littoral_downstream_refused_total{reason=\"rate\"}"], refused.len() as f64);
}

#[tokio::test]
async fn whoever_is_exempt_is_not_bounded() {
    let origin = origin().await;
    let limits = "client_connections = 1\nclient_connection_rate = 1\nclient_request_rate = 1\nclient_burst = \"1s\"";
    let node = node_before(&origin, &format!("[limits]\n{limits}")).await;
    let _held = Client::connect(node.address("http")).await;
    for _ in 0..5 {
        assert_eq!(get(&node, "/a").await.status, 200);
    }
    assert_eq!(node.metrics().await["littoral_downstream_clients"], 0.0);
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_told_that_it_is() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nrequests = 3").await;
    get(&node, "/a").await;
    for last in ["/a", "/miss"] {
        let mut client = Client::connect(node.address("http")).await;
        for path in ["/a", "/b"] {
            let reply = client.get("site.example", path, &[]).await;
            assert_eq!((reply.status, reply.field("connection") == "close"), (200, false));
        }
        let reply = client.get("site.example", last, &[]).await;
        assert_eq!((reply.status, reply.field("connection")), (200, "close"), "{last}");
        client.send(GET).await;
        assert!(client.reply(false).await.is_none());
    }
}

#[tokio::test]
async fn heads_have_so_many_fields_and_targets_so_many_bytes() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nheader_fields = 10\nuri_bytes = \"64B\"\nheader_bytes = \"4KiB\"").await;
    let with = |fields: usize| {
        let fields: String = (0..fields).map(|number| format!("X{number}: y\r\n")).collect();
        format!("GET /a HTTP/1.1\r\nHost: site.example\r\n{fields}\r\n")
    };
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: site.example\r\n\r\n", "a".repeat(bytes - 1));
    for (request, expected) in
        [(with(9), 200), (with(10), 431), (with(100), 431), (target(64), 200), (target(65), 414), (target(9000), 414)]
    {
        assert_eq!(status(&node, &request).await, Some(expected), "{request}");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_downstream_refused_total{reason=\"head\"}"], 2.0);
    assert_eq!(metrics["littoral_downstream_refused_total{reason=\"uri\"}"], 2.0);
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413_whether_its_length_is_told_or_not() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nbody_bytes = \"10B\"").await;
    let post = |framing: &str| format!("POST /a HTTP/1.1\r\nHost: site.example\r\n{framing}");
    for (request, expected) in [
        (post("Content-Length: 10\r\n\r\n0123456789"), 200),
        (post("Content-Length: 11\r\n\r\n"), 413),
        (post("Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n678901\r\n0\r\n\r\n"), 413),
    ] {
        assert_eq!(status(&node, &request).await, Some(expected), "{request}");
    }
    assert_eq!(node.metrics().await["littoral_downstream_refused_total{reason=\"body\"}"], 2.0);
}

#[tokio::test]
async fn a_body_that_stops_gets_408() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nbody_timeout = \"200ms\"").await;
    let request = "POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 10\r\n\r\n012";
    assert_eq!(status(&node, request).await, Some(408));
}

#[tokio::test]
async fn a_body_that_drips_gets_408_although_it_never_stops() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nbody_timeout = \"300ms\"\nbody_rate = \"1MiB\"").await;
    let client = tokio::net::TcpStream::connect(node.address("http")).await.unwrap();
    let (read, mut write) = client.into_split();
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let dripping = tokio::spawn({
        let sent = sent.clone();
        async move {
            let head = "POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 100000000\r\n\r\n";
            let mut going = tokio::io::AsyncWriteExt::write_all(&mut write, head.as_bytes()).await.is_ok();
            let mut every = tokio::time::interval(std::time::Duration::from_millis(20));
            while going {
                every.tick().await;
                going = tokio::io::AsyncWriteExt::write_all(&mut write, b"x").await.is_ok();
                sent.fetch_add(1, Relaxed);
            }
        }
    });
    let (mut answer, mut read) = (String::new(), read);
    let end = tokio::io::AsyncReadExt::read_to_string(&mut read, &mut answer).await;
    assert!(end.is_ok(), "the client goes on, and still is not reset: {end:?} after {answer:?}");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?} after {} bytes", sent.load(Relaxed));
    dripping.abort();
    node.until("littoral_downstream_refused_total{reason=\"body_time\"}", 1.0).await;
}

#[tokio::test]
async fn a_client_that_still_sends_can_read_why_it_is_refused() {
    let origin = origin().await;
    let node = node_before(&origin, "[limits]\nbody_bytes = \"1KiB\"").await;
    let more = vec![b'x'; 256 << 10];
    for (head, status) in [
        ("GET /a HTTP/1.1\r\nHost : site.example\r\n\r\n", "400"),
        ("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 300000\r\n\r\n", "413"),
    ] {
        let mut client = tokio::net::TcpStream::connect(node.address("http")).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, &[head.as_bytes(), &more].concat()).await.unwrap();
        let mut answer = String::new();
        let end = tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        assert!(end.is_ok(), "{status}: {end:?}");
    }
}

#[test]
fn limits_that_cannot_work_are_told_their_place() {
    let good =
        "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:9\"]\n[limits]\n";
    for (line, expected) in [
        ("header_fields = 0", "node.toml:7:17: limits.header_fields is 1 to 256"),
        ("header_fields = 257", "limits.header_fields is 1 to 256"),
        ("uri_bytes = \"64KiB\"", "limits.uri_bytes is 16B to limits.header_bytes"),
        ("h2_streams = 0", "limits.h2_streams is 1 to 10000"),
        ("body_timeout = \"0s\"", "limits.body_timeout is more than 0s"),
        ("clients_exempt = [\"all\"]", "is no prefix: write"),
        ("client_request_rate = -1", "invalid value"),
    ] {
        let (code, said) = refused(BINARY, &format!("{good}{line}\n"), &[]);
        assert!(code == Some(2) && said.contains(expected), "{expected:?} is not in {said:?}");
    }
}
