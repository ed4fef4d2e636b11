//! Several origins: whose turn it is, who waits, who is asked again, who is left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Response};

use super::{BINARY, config, get};

const PASSING: &str = "cache-control: no-store";

async fn passing() -> Origin {
    Origin::start(|_| Response::ok(&[PASSING], b"x")).await
}

/// An address nobody listens on.
async fn nobody() -> Origin {
    let mut origin = passing().await;
    origin.address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    origin
}

/// A node whose origins have more said of them: the same of all, and of the site.
async fn node_of(origins: &[&Origin], each: &str, site: &str) -> Node {
    let mut text = config(origins, &format!("[site]\n{site}"));
    for origin in origins {
        text = text.replace(&format!("{:?}", origin.url()), &format!("{{ url = {:?}{each} }}", origin.url()));
    }
    Node::start(BINARY, &text, &[]).await
}

fn of(name: &str, origin: &Origin) -> String {
    format!("{name}{{origin=\"{}\"}}", origin.url())
}

#[tokio::test]
async fn origins_are_asked_by_weight_and_a_url_alone_weighs_one() {
    let (heavy, light) = (passing().await, passing().await);
    let text = config(&[&heavy, &light], "");
    let text = text.replace(&format!("{:?}", heavy.url()), &format!("{{ url = {:?}, weight = 3 }}", heavy.url()));
    let node = Node::start(BINARY, &text, &[]).await;
    for _ in 0..8 {
        assert_eq!(get(&node, "/a").await.status, 200);
    }
    assert_eq!([heavy.count("/a"), light.count("/a")], [6, 2]);
}

#[tokio::test]
async fn with_hashing_an_object_always_comes_from_the_same_origin() {
    let three = [passing().await, passing().await, passing().await];
    let node = node_of(&three.each_ref(), "", "balance = \"hash\"").await;
    for path in (0..60).map(|number| format!("/{}", number % 20)) {
        get(&node, &path).await;
    }
    let counts = (0..20).map(|path| three.each_ref().map(|origin| origin.count(&format!("/{path}"))));
    let all: Vec<[usize; 3]> = counts.collect();
    assert!(all.iter().all(|counts| counts.contains(&3)), "{all:?}");
    assert!((0..3).all(|origin| all.iter().any(|counts| counts[origin] > 0)), "{all:?}");
}

#[tokio::test]
async fn an_origin_that_has_enough_to_do_is_waited_for_and_who_finds_the_queue_full_is_told_when_to_come_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin =
        Origin::start(move |_| Response::with(&[PASSING], Body::Gated(Vec::new(), held.clone(), b"x".to_vec()))).await;
    let node = Arc::new(node_of(&[&origin], ", max_connections = 1, queue = 1, queue_timeout = \"60s\"", "").await);
    let ask = |path: &'static str| {
        let node = node.clone();
        tokio::spawn(async move { get(&node, path).await.status })
    };
    let first = ask("/1");
    origin.asked("/1", 1).await;
    let second = ask("/2");
    while node.metrics().await[&of("littoral_origin_requests_waiting", &origin)] < 1.0 {}
    let refused = get(&node, "/3").await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, "1"));
    assert_eq!(refused.field("cache-status"), "littoral; fwd=uri-miss; detail=origin-busy");
    assert_eq!(node.metrics().await[&of("littoral_origin_requests_open", &origin)], 1.0);
    gate.open();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    assert_eq!(node.metrics().await["littoral_origin_queue_full_total"], 1.0);
    while node.metrics().await[&of("littoral_origin_requests_open", &origin)] > 0.0 {}
}

#[tokio::test]
async fn nobody_waits_longer_for_an_origin_than_was_set_and_who_leaves_makes_room() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/silent" => Response::with(&[], Body::Silence),
        _ => Response::ok(&[PASSING], b"x"),
    })
    .await;
    let node = node_of(&[&origin], ", max_connections = 1, queue = 9, queue_timeout = \"50ms\"", "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("POST /silent HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx").await;
    origin.asked("/silent", 1).await;
    assert_eq!(get(&node, "/a").await.status, 503);
    assert_eq!(node.metrics().await["littoral_origin_queue_timeouts_total"], 1.0);
    drop(client);
    while get(&node, "/a").await.status == 503 {}
    while node.metrics().await[&of("littoral_origin_requests_open", &origin)] > 0.0 {}
}

#[tokio::test]
async fn an_origin_has_room_again_when_it_is_done_though_the_client_is_slow() {
    let large = vec![7; 4 << 20];
    let origin = Origin::start(move |_| Response::ok(&["cache-control: max-age=60"], &large)).await;
    let node = node_of(&[&origin], ", max_connections = 1", "").await;
    let mut slow = Client::connect(node.address("http")).await;
    slow.send("GET /large HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    slow.head().await.unwrap();
    while node.metrics().await[&of("littoral_origin_requests_open", &origin)] > 0.0 {}
    assert_eq!(get(&node, "/other").await.status, 200);
    assert_eq!(slow.bytes(4 << 20).await.len(), 4 << 20);
}

#[tokio::test]
async fn each_retry_goes_to_the_next_origin() {
    let (dead, also, alive) = (nobody().await, nobody().await, passing().await);
    let node = node_of(&[&dead, &also, &alive], "", "retry = { times = 2 }").await;
    assert_eq!(get(&node, "/a").await.status, 200);
    assert_eq!(node.metrics().await["littoral_origin_retries_total"], 2.0);
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let (dead, alive) = (nobody().await, passing().await);
    let node = node_of(&[&dead, &alive], "", "retry = { budget_percent = 50, budget_least = 0 }").await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&node, "/a").await.status);
    }
    // Whose turn: dead, alive, dead, alive. Half of one request is no retry, half of three is one.
    assert_eq!(statuses, [502, 200, 200, 200]);
    let metrics = node.metrics().await;
    let counted = ["littoral_origin_retries_total", "littoral_origin_retries_refused_total"].map(|name| metrics[name]);
    assert_eq!(counted, [1.0, 1.0]);
}

#[tokio::test]
async fn an_origin_whose_probes_fail_is_not_asked_until_they_go_well_again() {
    let ill = Arc::new(AtomicBool::new(true));
    let state = ill.clone();
    let first = Origin::start(move |request| match (request.path.as_str(), state.load(Relaxed)) {
        ("/healthz", true) => Response { status: 500, ..Response::default() },
        _ => Response::ok(&[PASSING], b"x"),
    })
    .await;
    let second = passing().await;
    let node = node_of(&[&first, &second], "", "health = { path = \"/healthz\", every = \"10ms\" }").await;
    let healthy = of("littoral_origin_healthy", &first);
    while node.metrics().await[&healthy] > 0.0 {}
    let before = first.count("/a");
    for _ in 0..6 {
        assert_eq!(get(&node, "/a").await.status, 200);
    }
    assert_eq!(first.count("/a"), before);
    ill.store(false, Relaxed);
    while node.metrics().await[&healthy] < 1.0 {}
    for _ in 0..6 {
        get(&node, "/a").await;
    }
    assert!(first.count("/a") > before);
    let probe = first.requests().into_iter().find(|request| request.path == "/healthz").unwrap();
    assert_eq!((probe.method.as_str(), probe.field("host")), ("GET", Some("site.example")));
    // Without the key, nobody probes, and what probes met is forgotten.
    ill.store(true, Relaxed);
    while node.metrics().await[&healthy] > 0.0 {}
    std::fs::write(node.file("node.toml"), config(&[&first, &second], "")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(node.metrics().await[&healthy], 1.0);
}

#[tokio::test]
async fn an_object_that_is_stale_is_served_while_the_origins_are_busy() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/silent" => Response::with(&[], Body::Silence),
        _ => Response::ok(&["cache-control: max-age=0, stale-if-error=60"], b"old"),
    })
    .await;
    let node = node_of(&[&origin], ", max_connections = 1", "").await;
    assert_eq!(get(&node, "/a").await.status, 200);
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /silent HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    origin.asked("/silent", 1).await;
    let Reply { status, body, .. } = get(&node, "/a").await;
    assert_eq!((status, body.as_slice()), (200, &b"old"[..]));
    assert_eq!(get(&node, "/b").await.status, 503);
}

#[tokio::test]
async fn an_origin_that_came_back_is_given_little_at_first_where_its_site_says_so() {
    for (slow_start, expected) in [("", [22, 22]), ("slow_start = \"1h\"", [4, 40])] {
        let ill = Arc::new(AtomicBool::new(true));
        let state = ill.clone();
        let back = Origin::start(move |request| match (request.path.as_str(), state.load(Relaxed)) {
            ("/healthz", true) => Response { status: 500, ..Response::default() },
            _ => Response::ok(&[PASSING], b"x"),
        })
        .await;
        let other = passing().await;
        let site = format!("health = {{ path = \"/healthz\", every = \"10ms\" }}\n{slow_start}");
        let node = node_of(&[&back, &other], "", &site).await;
        let healthy = of("littoral_origin_healthy", &back);
        while node.metrics().await[&healthy] > 0.0 {}
        ill.store(false, Relaxed);
        while node.metrics().await[&healthy] < 1.0 {}
        for _ in 0..44 {
            assert_eq!(get(&node, "/a").await.status, 200);
        }
        assert_eq!([back.count("/a"), other.count("/a")], expected, "{slow_start:?}");
    }
}

#[tokio::test]
async fn a_connection_to_an_origin_is_used_again_and_closed_when_it_was_idle_for_as_long_as_the_site_says() {
    // One worker: it has put a connection back before it reads what the client asks next.
    let more = |idle: &str| format!("[limits]\nthreads = 1\n[site]\ntimeouts = {{ idle = \"{idle}\" }}");
    let origin = passing().await;
    let node = Node::start(BINARY, &config(&[&origin], &more("1h")), &[]).await;
    for _ in 0..4 {
        assert_eq!(get(&node, "/a").await.status, 200);
    }
    origin.has_open(1).await;
    assert_eq!(origin.connections(), 1);
    let origin = passing().await;
    let node = Node::start(BINARY, &config(&[&origin], &more("20ms")), &[]).await;
    for connections in 1..=3 {
        assert_eq!(get(&node, "/a").await.status, 200);
        // Nobody asks for anything and nobody closes but the node.
        origin.has_open(0).await;
        assert_eq!(origin.connections(), connections);
    }
}

#[tokio::test]
async fn no_more_idle_connections_to_all_origins_are_kept_than_the_limit() {
    let three = [passing().await, passing().await, passing().await];
    let text =
        |kept: usize| config(&three.each_ref(), &format!("[limits]\nthreads = 1\norigin_connections_idle = {kept}"));
    for (kept, made) in [(3, [1, 1, 1]), (2, [5, 5, 5])] {
        let node = Node::start(BINARY, &text(kept), &[]).await;
        for _ in 0..4 {
            // In turn, so that with less room than origins it is always the next one's connection that was closed.
            for _ in &three {
                assert_eq!(get(&node, "/a").await.status, 200);
            }
        }
        assert_eq!(three.each_ref().map(Origin::connections), made, "{kept} kept");
    }
}
