//! HTTP between a client, the node and an origin: targets, framing, what ends at a hop.

use littoral_testkit::origin::{Body, Gate};
use littoral_testkit::{Client, Node, Origin, Reply, Response};

use super::{get, node_before};

const KEPT: &[&str] = &["cache-control: max-age=60"];

async fn raw(node: &Node, request: &str) -> Option<Reply> {
    let mut client = Client::connect(node.address("http")).await;
    client.send(request).await;
    client.reply(request.starts_with("HEAD")).await
}

#[tokio::test]
async fn a_target_that_is_no_path_is_refused_and_fills_nothing() {
    let origin = Origin::start(|request| Response::ok(KEPT, request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    for target in ["evil/thing", "*", "*x", "foo:80", "?q", "ftp://site.example/a"] {
        let reply = raw(&node, &format!("GET {target} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        assert_eq!(reply.map(|reply| reply.status), Some(400), "{target}");
    }
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(get(&node, "/").await.body, b"/");
}

#[tokio::test]
async fn an_origin_is_asked_for_what_the_key_says() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"x")).await;
    let node = node_before(&origin, "").await;
    raw(&node, "GET http://site.example/a?b HTTP/1.1\r\nHost: site.example\r\n\r\n").await.unwrap();
    raw(&node, "GET /c HTTP/1.1\r\nHost: Site.Example:6666\r\n\r\n").await.unwrap();
    let asked: Vec<_> =
        origin.requests().into_iter().map(|asked| (asked.field("host").unwrap().to_owned(), asked.path)).collect();
    assert_eq!(asked, [("site.example".into(), "/a?b".into()), ("site.example".into(), "/c".into())]);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let origin = Origin::start(|_| Response::with(KEPT, Body::Chunked(vec![b"ab".to_vec(), b"cd".to_vec()]))).await;
    let node = node_before(&origin, "").await;
    for told in ["", "Connection: keep-alive\r\n"] {
        let reply =
            raw(&node, &format!("GET /a{} HTTP/1.0\r\nHost: site.example\r\n{told}\r\n", told.len())).await.unwrap();
        assert_eq!((reply.field("transfer-encoding"), reply.field("connection")), ("", "close"), "{reply:?}");
        assert_eq!(reply.body, b"abcd");
    }
}

#[tokio::test]
async fn who_asks_for_the_last_time_gets_the_hit_and_the_end() {
    let origin = Origin::start(|request| Response::ok(KEPT, request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let mut client = Client::connect(node.address("http")).await;
    // What comes behind it is not looked at (RFC 9112 §9.6).
    let after = "GET /b HTTP/1.1\r\nHost: site.example\r\n\r\n";
    client.send(format!("GET /a HTTP/1.1\r\nHost: site.example\r\nConnection: Close\r\n\r\n{after}")).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!((reply.field("connection"), &reply.body[..]), ("close", &b"/a"[..]), "{reply:?}");
    assert!(reply.field("cache-status").starts_with("littoral; hit"), "{reply:?}");
    assert!(client.reply(false).await.is_none());
    assert_eq!(origin.count("/b"), 0);
}

#[tokio::test]
async fn many_fields_do_not_lift_the_bounds_on_a_head() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"x")).await;
    let node = node_before(&origin, "[limits]\nheader_bytes = \"8KiB\"\nheader_timeout = \"200ms\"").await;
    let head = |fields: usize, last: &str| {
        let fields: String = (0..fields).map(|number| format!("X{number}: y\r\n")).collect();
        format!("GET /a HTTP/1.1\r\nHost: site.example\r\n{fields}{last}")
    };
    for (request, expected) in [
        (head(100, "\r\n"), 200),
        (head(100, &format!("Z: {}\r\n\r\n", "z".repeat(9000))), 431),
        (head(300, "\r\n"), 431),
        (head(100, "Z: "), 408),
    ] {
        assert_eq!(raw(&node, &request).await.map(|reply| reply.status), Some(expected));
    }
}

#[tokio::test]
async fn a_length_said_twice_never_reaches_an_origin() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"x")).await;
    let node = node_before(&origin, "").await;
    for length in ["3\r\nContent-Length: 3", "3, 3", "+3", ""] {
        let request = format!("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: {length}\r\n\r\nabc");
        assert_eq!(raw(&node, &request).await.map(|reply| reply.status), Some(400), "{length:?}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_request_pipelined_behind_a_body_is_answered() {
    let origin = Origin::start(|request| Response::ok(&[], request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    assert_eq!(client.reply(false).await.unwrap().body, b"/a");
    assert_eq!(client.reply(false).await.unwrap().body, b"/b");
}

#[tokio::test]
async fn what_ends_at_a_hop_is_not_passed_on() {
    let fields = [
        "cache-control: no-store",
        "connection: x-hop",
        "x-hop: 1",
        "keep-alive: timeout=5",
        "proxy-connection: x",
        "x-end: 1",
    ];
    let origin = Origin::start(move |_| Response::ok(&fields, b"x")).await;
    let node = node_before(&origin, "").await;
    let reply = get(&node, "/a").await;
    for (name, value) in [("x-hop", ""), ("keep-alive", ""), ("proxy-connection", ""), ("x-end", "1")] {
        assert_eq!(reply.field(name), value, "{name}");
    }
}

#[tokio::test]
async fn what_was_old_when_it_came_says_so_from_the_first_answer_on() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=120", "age: 100"], b"x")).await;
    let node = node_before(&origin, "").await;
    for _ in 0..2 {
        let age: u64 = get(&node, "/a").await.field("age").parse().unwrap();
        assert!((100..110).contains(&age), "{age}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn ranges_are_for_get_and_a_star_matches_whatever_is_stored() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"0123456789")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let asked = |method: &str, field: &str| format!("{method} /a HTTP/1.1\r\nHost: site.example\r\n{field}\r\n\r\n");
    for (request, expected) in [
        (asked("GET", "Range: bytes=0-1"), 206),
        (asked("HEAD", "Range: bytes=0-1"), 200),
        (asked("GET", "Range: bytes=0-1\r\nRange: bytes=3-4"), 200),
        (asked("GET", "If-None-Match: *"), 304),
    ] {
        assert_eq!(raw(&node, &request).await.map(|reply| reply.status), Some(expected), "{request}");
    }
}

#[tokio::test]
async fn a_hit_is_the_same_whichever_way_it_goes() {
    let fields = ["cache-control: max-age=60", "x-served-by: parent", "accept-ranges: none", "etag: \"a\""];
    let origin = Origin::start(move |_| Response::ok(&fields, b"x")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let (hot, framework) = (get(&node, "/a").await, node.get("site.example", "/a", &["Range: none=1"]).await);
    let same = |reply: &Reply| {
        let mut fields = reply.fields.clone();
        // The connection's own, and what passes with time.
        fields.retain(|(name, _)| !["connection", "date", "age", "cache-status"].contains(&name.as_str()));
        fields.sort();
        fields
    };
    assert_eq!(same(&hot), same(&framework));
    assert!(hot.field("accept-ranges") == "bytes" && !hot.field("date").is_empty(), "{hot:?}");
}

#[tokio::test]
async fn a_confirmation_without_a_date_makes_an_object_fresh_again() {
    let old = "date: Sun, 06 Nov 1994 08:49:37 GMT";
    let origin = Origin::start(move |request| match request.field("if-none-match") {
        Some(_) => Response { status: 304, fields: vec!["etag: \"a\"".into(), KEPT[0].into()], body: Body::Nothing },
        None => Response::ok(&[KEPT[0], "etag: \"a\"", old], b"x"),
    })
    .await;
    let node = node_before(&origin, "").await;
    for _ in 0..4 {
        get(&node, "/a").await;
    }
    assert_eq!(origin.count("/a"), 2, "asked once, confirmed once, then fresh");
}

#[tokio::test]
async fn a_client_of_http_1_0_need_not_say_a_host_where_a_site_takes_every_other() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"x")).await;
    let node = node_before(&origin, "").await;
    assert_eq!(raw(&node, "GET /a HTTP/1.0\r\n\r\n").await.map(|reply| reply.status), Some(400));
    let text = std::fs::read_to_string(node.file("node.toml")).unwrap().replace("\"site.example\"", "\"*\"");
    std::fs::write(node.file("node.toml"), text).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    for expected in ["miss", "hit"] {
        let reply = raw(&node, "GET /a HTTP/1.0\r\n\r\n").await.unwrap();
        assert_eq!((reply.status, reply.field("connection")), (200, "close"));
        assert!(reply.field("cache-status").contains(expected), "{reply:?}");
    }
    assert_eq!(origin.requests()[0].field("host"), Some("127.0.0.1"));
    assert_eq!(raw(&node, "GET /a HTTP/1.1\r\n\r\n").await.map(|reply| reply.status), Some(400));
}

#[tokio::test]
async fn requests_pipelined_behind_chunks_and_hits_are_answered_in_order() {
    let fields = [KEPT[0], "connection: close"];
    let origin = Origin::start(move |request| Response::ok(&fields, request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    get(&node, "/hit").await;
    let host = "HTTP/1.1\r\nHost: site.example\r\n";
    let chunks = format!("GET /a {host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let (hit, miss) = (format!("GET /hit {host}\r\n"), format!("GET /miss {host}\r\n"));
    let all = [hit.clone(), chunks, hit.clone(), miss, hit].concat();
    let expected = ["/hit", "/a", "/hit", "/miss", "/hit"];
    // Between any two bytes, also behind a request that is on its way to the origin.
    for cut in (1..=8).chain([50, 108, 113, 118, all.len() / 2, all.len()]) {
        let mut client = Client::connect(node.address("http")).await;
        for piece in all.as_bytes().chunks(cut) {
            client.send(piece).await;
        }
        for path in expected {
            assert_eq!(client.reply(false).await.map(|reply| reply.body), Some(path.into()), "{cut}");
        }
    }
}

#[tokio::test]
async fn a_request_sent_while_the_one_before_is_at_the_origin_is_answered_after_it() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/a" => Response::with(KEPT, Body::Gated(b"a".to_vec(), held.clone(), b"b".to_vec())),
        _ => Response::ok(KEPT, b"c"),
    })
    .await;
    let node = node_before(&origin, "").await;
    for method in ["GET", "POST"] {
        let mut client = Client::connect(node.address("http")).await;
        client.send(format!("{method} /a HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        assert_eq!(client.head().await.map(|head| head.status), Some(200));
        client.send("GET /c HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        gate.open();
        assert_eq!(client.bytes(2).await, b"ab");
        assert_eq!(client.reply(false).await.map(|reply| reply.body), Some(b"c".to_vec()), "{method}");
    }
}

#[tokio::test]
async fn an_origin_that_answers_before_the_body_has_come_is_heard_or_has_failed() {
    let origin =
        Origin::start(|_| Response { status: 403, fields: vec![], body: Body::CutShort(2, b"no".to_vec()) }).await;
    let node = node_before(&origin, "").await;
    for _ in 0..20 {
        let mut client = Client::connect(node.address("http")).await;
        client.send("POST /a HTTP/1.1\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        origin.asked("/a", 1).await;
        client.send("3\r\nabc\r\n").await;
        client.send("0\r\n\r\n").await;
        let status = client.reply(false).await.map(|reply| reply.status);
        assert!(matches!(status, Some(403 | 502)), "{status:?} {}", node.log());
    }
}

#[tokio::test]
async fn trace_reflects_nothing_and_reaches_no_origin() {
    let origin = Origin::start(|_| Response::ok(KEPT, b"x")).await;
    let node = node_before(&origin, "").await;
    let reply = raw(&node, "TRACE /a HTTP/1.1\r\nHost: site.example\r\nCookie: secret\r\n\r\n").await.unwrap();
    assert_eq!((reply.status, reply.field("allow").contains("GET"), reply.body.len() < 99), (405, true, true));
    assert!(!String::from_utf8_lossy(&reply.body).contains("secret") && origin.requests().is_empty());
}
