//! Purges remove what they name, and what was on its way.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::{Body, Client, Gate, Node, Origin, Response};

use super::{BINARY, config, get, node_before};

const FRESH: &str = "cache-control: max-age=60";

/// Purges and tells how many objects went.
async fn purge(node: &Node, order: &str) -> u64 {
    let (status, said) = node.admin("POST", "/v1/purge", order).await;
    assert_eq!(status, 200, "{said}");
    serde_json::from_str::<serde_json::Value>(&said).unwrap()["purged"].as_u64().unwrap()
}

#[tokio::test]
async fn a_purge_by_url_takes_that_object_and_one_by_surrogate_key_all_that_carry_it() {
    let origin = Origin::start(|request| {
        let tag = match request.path.as_str() {
            "/1" | "/2" => "surrogate-key: red other",
            "/3" => "cache-tag: red,blue",
            _ => "x: y",
        };
        Response::ok(&[FRESH, tag], b"x")
    })
    .await;
    let node = node_before(&origin, "").await;
    for path in ["/1", "/2", "/3", "/4"] {
        get(&node, path).await;
    }
    assert_eq!(purge(&node, r#"{"url": "http://site.example/4"}"#).await, 1);
    assert_eq!(purge(&node, r#"{"tag": "red"}"#).await, 3);
    for path in ["/1", "/2", "/3", "/4"] {
        assert!(get(&node, path).await.field("cache-status").contains("uri-miss"), "{path}");
    }
    assert_eq!(node.metrics().await["littoral_cache_purged_total"], 4.0);
}

#[tokio::test]
async fn one_call_purges_by_prefix_host_expression_and_key_together_and_says_how_many_and_how_long() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/4" => Response::ok(&[FRESH, "surrogate-key: red"], b"x"),
        _ => Response::ok(&[FRESH], b"x"),
    })
    .await;
    let site = "[[site]]\nhosts = [\"b.example\"]\norigin = [\"ORIGIN\"]\n".replace("ORIGIN", &origin.url());
    let node = Node::start(BINARY, &(config(&[&origin], "") + &site), &[]).await;
    for path in ["/t/1", "/t/2?q", "/T/3", "/4", "/5.m4s"] {
        get(&node, path).await;
        node.get("b.example", path, &[]).await;
    }
    assert_eq!(purge(&node, r#"{"prefix": "http://site.example/t/"}"#).await, 2);
    assert_eq!(purge(&node, r#"{"regex": "^site.example/T/|m4s$"}"#).await, 3);
    assert_eq!(purge(&node, r#"{"host": ["B.example:80"], "key": ["red", "blue"]}"#).await, 5);
    assert_eq!(purge(&node, r#"{"all": true}"#).await, 0);
    get(&node, "/t/1").await;
    let (status, said) = node.admin("POST", "/v1/purge", r#"{"prefix": "http://site.example/t", "soft": true}"#).await;
    let done: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(status == 200 && done["purged"] == 1 && done["soft"] == true && done["took_ms"].is_f64(), "{said}");
    assert!(get(&node, "/t/1").await.field("cache-status").contains("fwd=stale"));
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_purges_total{kind=\"prefix\"}"], 2.0);
    assert_eq!(metrics["littoral_cache_purges_total{kind=\"key\"}"], 2.0);
    assert_eq!([metrics["littoral_cache_purged_total"], metrics["littoral_cache_expired_total"]], [10.0, 1.0]);
}

#[tokio::test]
async fn a_soft_purge_makes_an_object_stale_and_it_is_revalidated() {
    let origin = Origin::start(|request| match request.field("if-none-match") {
        Some(_) => Response { status: 304, fields: vec!["etag: \"a\"".into(), FRESH.into()], body: Body::Nothing },
        None => Response::ok(&[FRESH, "etag: \"a\""], b"x"),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    node.admin("POST", "/v1/purge", r#"{"url": "http://site.example/a", "soft": true}"#).await;
    assert!(get(&node, "/a").await.field("cache-status").contains("fwd-status=304"));
    assert!(get(&node, "/a").await.field("cache-status").starts_with("littoral; hit; ttl="));
}

#[tokio::test]
async fn a_fill_that_began_before_a_purge_does_not_bring_the_object_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_| {
        Response::with(&[FRESH, "surrogate-key: t"], Body::Gated(b"o".to_vec(), held.clone(), b"ld".to_vec()))
    })
    .await;
    let node = node_before(&origin, "").await;
    for purge in [
        r#"{"url": "http://site.example/a"}"#,
        r#"{"prefix": "http://site.example/"}"#,
        r#"{"host": "site.example"}"#,
        r#"{"regex": "/a$"}"#,
        r#"{"tag": "t"}"#,
        r#"{"all": true}"#,
    ] {
        let mut client = Client::connect(node.address("http")).await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        client.head().await.unwrap();
        node.admin("POST", "/v1/purge", purge).await;
        gate.open();
        assert_eq!(client.bytes(3).await, b"old");
        assert!(get(&node, "/a").await.field("cache-status").contains("uri-miss"), "{purge}");
        node.admin("POST", "/v1/purge", r#"{"all": true}"#).await;
    }
    assert!(node.metrics().await["littoral_cache_fills_purged_total"] >= 1.0);
}

#[tokio::test]
async fn a_purge_finds_a_path_as_it_was_asked_for() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let node = node_before(&origin, "").await;
    for path in ["/{x}", "/a/../b", "/./k", "/q?x='1'", "//d", "/%7e", "/q?"] {
        assert_eq!(get(&node, path).await.status, 200, "{path}");
        let url = format!(r#"{{"url": "HTTP://Site.example:80{path}#top"}}"#);
        assert_eq!(purge(&node, &url).await, 1, "{path}");
    }
}

#[tokio::test]
async fn a_purge_is_heeded_by_requests_after_it_while_an_older_fill_still_runs() {
    for soft in [false, true] {
        let gate = Gate::default();
        let (held, asked) = (gate.clone(), AtomicUsize::new(0));
        let origin = Origin::start(move |_| match asked.fetch_add(1, Relaxed) {
            0 => Response::with(&[FRESH], Body::Gated(b"o".to_vec(), held.clone(), b"ld".to_vec())),
            _ => Response::ok(&[FRESH], b"new"),
        })
        .await;
        let node = node_before(&origin, "").await;
        let mut client = Client::connect(node.address("http")).await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        client.head().await.unwrap();
        let order = format!(r#"{{"url": "http://site.example/a", "soft": {soft}}}"#);
        assert_eq!(purge(&node, &order).await, 1, "the fill counts");
        assert_eq!(get(&node, "/a").await.body, b"new");
        gate.open();
        assert_eq!(client.bytes(3).await, b"old");
        assert_eq!(get(&node, "/a").await.body, b"new");
        assert_eq!(origin.count("/a"), 2);
    }
}

#[tokio::test]
async fn a_304_to_what_was_asked_before_a_soft_purge_leaves_the_object_stale() {
    let gate = Gate::default();
    let (held, asked) = (gate.clone(), AtomicUsize::new(0));
    let origin = Origin::start(move |_| match asked.fetch_add(1, Relaxed) {
        0 => Response::ok(&["cache-control: max-age=0, stale-while-revalidate=60", "etag: \"a\""], b"x"),
        1 => Response { status: 304, fields: vec![FRESH.into()], body: Body::HeadGated(held.clone()) },
        _ => Response { status: 304, fields: vec![FRESH.into()], body: Body::Nothing },
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    get(&node, "/a").await;
    origin.asked("/a", 2).await;
    node.admin("POST", "/v1/purge", r#"{"url": "http://site.example/a", "soft": true}"#).await;
    gate.open();
    // Stale it stays until a request after the purge has asked.
    while !get(&node, "/a").await.field("cache-status").starts_with("littoral; hit; ttl=5") {}
    assert_eq!(origin.count("/a"), 3);
}
