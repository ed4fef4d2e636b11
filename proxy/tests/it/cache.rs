//! What the cache does with responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::{Body, Client, Gate, Origin, Response};

use super::{get, node_before, noise};

const FRESH: &str = "cache-control: max-age=60";

#[tokio::test]
async fn a_miss_is_stored_and_the_next_request_is_a_hit_and_both_say_so() {
    let origin = Origin::start(|_| Response::ok(&[FRESH, "etag: \"a\""], b"hello")).await;
    let node = node_before(&origin, "").await;
    let miss = get(&node, "/a").await;
    assert_eq!((miss.status, miss.body.as_slice()), (200, &b"hello"[..]));
    assert!(miss.field("cache-status").starts_with("littoral; fwd=uri-miss; stored; ttl="), "{miss:?}");
    let hit = get(&node, "/a").await;
    assert!(hit.field("cache-status").starts_with("littoral; hit; ttl="), "{hit:?}");
    assert_eq!((hit.body.as_slice(), hit.field("age"), hit.field("via")), (&b"hello"[..], "0", "1.1 littoral"));
    assert_eq!(origin.count("/a"), 1);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_http_requests_total{outcome=\"hit\"}"], 1.0);
    assert_eq!(metrics["littoral_http_requests_total{outcome=\"miss\"}"], 1.0);
    assert_eq!(metrics["littoral_cache_objects"], 1.0);
}

#[tokio::test]
async fn the_hot_path_and_the_framework_answer_a_hit_with_the_same_fields() {
    let origin =
        Origin::start(|_| Response::ok(&[FRESH, "etag: \"a\"", "x-own: 1", "surrogate-key: k"], b"hello")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let names = |reply: &littoral_testkit::Reply| {
        // Accept-Ranges is the framework's way to say that it looked for a range; Connection and Date are the connection's.
        let mut names: Vec<_> = reply
            .fields
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !["accept-ranges", "connection", "date"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    };
    let direct = get(&node, "/a").await;
    let through = node.get("site.example", "/a", &["If-None-Match: \"other\""]).await;
    assert_eq!((names(&direct), &direct.body), (names(&through), &through.body));
    assert_eq!(direct.field("surrogate-key"), "");
}

#[tokio::test]
async fn head_is_answered_from_the_cached_get() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"hello")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let reply = client.reply(true).await.unwrap();
    assert_eq!((reply.status, reply.field("content-length")), (200, "5"));
    assert!(reply.field("cache-status").contains("; hit"));
    assert_eq!(client.get("site.example", "/a", &[]).await.body, b"hello", "the connection is still in step");
}

#[tokio::test]
async fn conditions_of_the_client_are_answered_with_304() {
    let modified = "last-modified: Sat, 01 Jan 2022 00:00:00 GMT";
    let origin = Origin::start(move |_| Response::ok(&[FRESH, "etag: \"a\"", modified], b"hello")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    for (condition, expected) in [
        ("If-None-Match: \"a\"", 304),
        ("If-None-Match: W/\"a\"", 304),
        ("If-None-Match: \"b\"", 200),
        ("If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT", 304),
        ("If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT", 200),
    ] {
        assert_eq!(node.get("site.example", "/a", &[condition]).await.status, expected, "{condition}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_stale_response_is_revalidated_and_served_on_when_the_origin_confirms_it() {
    let origin = Origin::start(|request| match request.field("if-none-match") {
        Some("\"a\"") => {
            Response { status: 304, fields: vec!["etag: \"a\"".into(), FRESH.into()], body: Body::Nothing }
        }
        _ => Response::ok(&["cache-control: max-age=0", "etag: \"a\""], b"hello"),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let confirmed = get(&node, "/a").await;
    assert_eq!(confirmed.body, b"hello");
    assert!(confirmed.field("cache-status").starts_with("littoral; fwd=stale; fwd-status=304"), "{confirmed:?}");
    assert!(get(&node, "/a").await.field("cache-status").starts_with("littoral; hit; ttl="), "the 304 made it fresh");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn variants_are_kept_apart_and_each_is_a_hit_for_its_own_kind() {
    let origin = Origin::start(|request| {
        let language = request.field("accept-language").unwrap_or("none").to_owned();
        Response::ok(&[FRESH, "vary: Accept-Language"], language.as_bytes())
    })
    .await;
    let node = node_before(&origin, "").await;
    for (language, status) in [("de", "fwd=uri-miss"), ("en", "fwd=vary-miss"), ("de", "; hit"), ("en", "; hit")] {
        let reply = node.get("site.example", "/a", &[&format!("Accept-Language: {language}")]).await;
        assert_eq!(reply.body, language.as_bytes());
        assert!(reply.field("cache-status").contains(status), "{language}: {}", reply.field("cache-status"));
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn one_range_is_answered_from_the_cache_and_odd_ones_as_rfc_9110_says() {
    let origin =
        Origin::start(|request| Response::ok(&[FRESH], if request.path == "/empty" { b"" } else { b"0123456789" }))
            .await;
    let node = node_before(&origin, "").await;
    for path in ["/a", "/empty"] {
        get(&node, path).await;
    }
    for (path, range, status, body) in [
        ("/a", "bytes=0-3", 206, "0123"),
        ("/a", "bytes=7-", 206, "789"),
        ("/a", "bytes=-2", 206, "89"),
        ("/a", "bytes=5-99", 206, "56789"),
        ("/a", "bytes=10-", 416, ""),
        ("/a", "bytes=-0", 416, ""),
        ("/a", "bytes=5-2", 200, "0123456789"),
        ("/a", "bytes=x", 200, "0123456789"),
        ("/a", "bytes=0-1,3-4", 206, "01234"),
        ("/empty", "bytes=-5", 416, ""),
    ] {
        let reply = node.get("site.example", path, &[&format!("Range: {range}")]).await;
        assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).as_ref()), (status, body), "{path} {range}");
    }
    let part = node.get("site.example", "/a", &["Range: bytes=2-4"]).await;
    assert_eq!(part.field("content-range"), "bytes 2-4/10");
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_stale_response_is_served_while_it_is_revalidated() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, gate) = (asked.clone(), Gate::default());
    let held = gate.clone();
    let origin = Origin::start(move |_| match count.fetch_add(1, Relaxed) {
        0 => Response::ok(&["cache-control: max-age=0, stale-while-revalidate=60"], b"old"),
        _ => Response::with(&[FRESH], Body::Gated(Vec::new(), held.clone(), b"new".to_vec())),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    // The revalidation hangs at the gate; nobody waits for it.
    let stale = get(&node, "/a").await;
    assert_eq!(stale.body, b"old");
    assert!(stale.field("cache-status").contains("; hit; ttl="), "{stale:?}");
    gate.open();
    let mut fresh = get(&node, "/a").await;
    while fresh.body == b"old" {
        fresh = get(&node, "/a").await;
    }
    assert_eq!((fresh.body.as_slice(), asked.load(Relaxed)), (&b"new"[..], 2));
}

#[tokio::test]
async fn what_must_not_be_shared_is_never_stored() {
    let origin = Origin::start(|request| {
        let fields: &[&str] = match request.path.as_str() {
            "/private" => &["cache-control: private, max-age=60"],
            "/no-store" => &["cache-control: no-store"],
            "/cookie" => &[FRESH, "set-cookie: a=b"],
            "/silent" => &[],
            "/shared-auth" => &["cache-control: public, max-age=60"],
            _ => &[FRESH],
        };
        Response::ok(fields, b"x")
    })
    .await;
    let node = node_before(&origin, "").await;
    for (path, fields, stored) in [
        ("/private", &[][..], false),
        ("/no-store", &[], false),
        ("/cookie", &[], false),
        ("/silent", &[], false),
        ("/auth", &["Authorization: Basic eA=="], false),
        ("/shared-auth", &["Authorization: Basic eA=="], true),
    ] {
        for _ in 0..2 {
            node.get("site.example", path, fields).await;
        }
        assert_eq!(origin.count(path), if stored { 1 } else { 2 }, "{path}");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_unstorable_total{reason=\"set-cookie\"}"], 2.0);
    assert_eq!(metrics["littoral_cache_unstorable_total{reason=\"authorised\"}"], 2.0);
}

#[tokio::test]
async fn many_requests_for_one_object_are_one_fetch_and_stream_while_it_fills() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_| {
        Response::with(&[FRESH], Body::Gated(b"first ".to_vec(), held.clone(), b"second".to_vec()))
    })
    .await;
    let node = node_before(&origin, "").await;
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = Client::connect(node.address("http")).await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        // Head and first half come while the origin holds the second half back.
        let head = client.head().await.unwrap();
        assert_eq!(client.bytes(6).await, b"first ", "{number}");
        assert_eq!(head.field("cache-status").contains("collapsed"), number > 0, "{}", head.field("cache-status"));
        clients.push(client);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.bytes(6).await, b"second");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_or_reads_slowly_does_not_stop_the_fill() {
    let gate = Gate::default();
    let held = gate.clone();
    let large = vec![7; 4 << 20];
    let half = large.clone();
    let origin =
        Origin::start(move |_| Response::with(&[FRESH], Body::Gated(half.clone(), held.clone(), half.clone()))).await;
    let node = node_before(&origin, "").await;
    let mut leaver = Client::connect(node.address("http")).await;
    leaver.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    leaver.head().await.unwrap();
    let mut reader = Client::connect(node.address("http")).await;
    reader.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    reader.head().await.unwrap();
    drop(leaver);
    gate.open();
    assert_eq!(reader.bytes(8 << 20).await.len(), 8 << 20);
    assert_eq!(get(&node, "/a").await.body.len(), 8 << 20);
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn who_has_waited_for_anothers_fill_for_as_long_as_the_bound_goes_alone_and_the_log_says_how_long_that_was() {
    let gate = Gate::default();
    let held = gate.clone();
    let asked = AtomicUsize::new(0);
    let origin = Origin::start(move |_| match asked.fetch_add(1, Relaxed) {
        0 => Response::with(&[FRESH], Body::Held(held.clone(), b"leader".to_vec())),
        _ => Response::ok(&[FRESH], b"alone"),
    })
    .await;
    let log = "[log]\naccess = { file = \"a.log\", format = \"$user_agent $wait_us $total_us\" }";
    let node = node_before(&origin, &format!("[cache]\ncollapse_wait = \"150ms\"\n{log}")).await;
    let mut leader = Client::connect(node.address("http")).await;
    leader.send("GET /a HTTP/1.1\r\nHost: site.example\r\nUser-Agent: leader\r\n\r\n").await;
    origin.asked("/a", 1).await;
    // The one that leads has not a byte yet, and never has while this is answered.
    let follower = node.get("site.example", "/a", &["User-Agent: follower"]).await;
    assert_eq!((follower.status, follower.body.as_slice(), origin.count("/a")), (200, &b"alone"[..], 2));
    gate.open();
    assert_eq!(leader.reply(false).await.unwrap().body, b"leader");
    let lines = loop {
        let text = std::fs::read_to_string(node.file("a.log")).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() == 2 {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let waited = |who: &str| {
        let line = lines.lines().find_map(|line| line.strip_prefix(who)).unwrap_or_else(|| panic!("{lines}"));
        let (wait, total) = line.trim().split_once(' ').unwrap();
        (wait.parse::<u64>().ok(), total.parse::<u64>().unwrap())
    };
    let (wait, total) = waited("follower");
    // Far less than the ten seconds that it would be without the key.
    assert!((Some(150_000)..=Some(total.min(8_000_000))).contains(&wait), "{lines}");
    assert!(waited("leader").0.unwrap_or(0) < 150_000, "{lines}");
}

#[tokio::test]
async fn one_that_reads_nothing_holds_up_nobody_who_reads_the_same_fill_whoever_began_it() {
    // Far more than sockets take unread.
    let half: Vec<u8> = noise(16 << 20, 3);
    for first_stalls in [true, false] {
        let gate = Gate::default();
        let (held, sent) = (gate.clone(), half.clone());
        let origin =
            Origin::start(move |_| Response::with(&[FRESH], Body::Gated(sent.clone(), held.clone(), b"end".to_vec())))
                .await;
        let node = node_before(&origin, "").await;
        let mut readers = Vec::new();
        for _ in 0..2 {
            let mut reader = Client::connect(node.address("http")).await;
            reader.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
            assert_eq!(reader.head().await.unwrap().status, 200);
            readers.push(reader);
        }
        let (mut fast, mut stalled) = (readers.pop().unwrap(), readers.pop().unwrap());
        if !first_stalls {
            std::mem::swap(&mut fast, &mut stalled);
        }
        // All that the origin has sent, while it still has the end.
        assert!(fast.bytes(half.len()).await == half, "{first_stalls}");
        gate.open();
        assert_eq!(fast.bytes(3).await, b"end", "{first_stalls}");
        assert!(stalled.bytes(half.len()).await == half && stalled.bytes(3).await == b"end", "{first_stalls}");
        assert_eq!(origin.count("/a"), 1);
    }
}

#[tokio::test]
async fn an_origin_that_closes_early_never_becomes_a_complete_object() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/length" => Response::with(&[FRESH], Body::CutShort(100, b"only this".to_vec())),
        _ => Response::with(&[FRESH], Body::CutChunks(vec![b"only this".to_vec()])),
    })
    .await;
    let node = node_before(&origin, "").await;
    for path in ["/length", "/chunks"] {
        for round in 1..=2 {
            let mut client = Client::connect(node.address("http")).await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
            if let Some(reply) = client.reply(false).await.filter(|reply| reply.status == 200) {
                assert!(!reply.whole, "{path}: {reply:?}");
            }
            assert!(origin.count(path) >= round, "{path}: nothing of it was kept");
        }
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_objects"], 0.0);
    assert!(metrics["littoral_cache_fills_failed_total"] >= 4.0);
    assert!(metrics["littoral_origin_failures_total"] >= 4.0, "the origin failed, not the client");
}

#[tokio::test]
async fn a_chunked_object_is_stored_with_its_length_and_ranges_work_on_it() {
    let origin =
        Origin::start(|_| Response::with(&[FRESH], Body::Chunked(vec![b"abc".to_vec(), b"def".to_vec()]))).await;
    let node = node_before(&origin, "").await;
    assert_eq!(get(&node, "/a").await.body, b"abcdef");
    assert_eq!(get(&node, "/a").await.field("content-length"), "6");
    assert_eq!(node.get("site.example", "/a", &["Range: bytes=2-3"]).await.body, b"cd");
}

#[tokio::test]
async fn the_memory_bound_holds_when_four_times_as_much_is_filled() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], &vec![1; 256 << 10])).await;
    let node = node_before(&origin, "[cache]\nmemory = \"4MiB\"\nmax_object = \"1MiB\"").await;
    let mut client = Client::connect(node.address("http")).await;
    for number in 0..64 {
        // Twice: what was asked for before is admitted when it is crowded.
        for _ in 0..2 {
            assert_eq!(client.get("site.example", &format!("/{number}"), &[]).await.body.len(), 256 << 10);
        }
        let metrics = node.metrics().await;
        assert!(
            metrics["littoral_cache_memory_bytes"] <= metrics["littoral_cache_memory_bound_bytes"],
            "after {number}"
        );
    }
    let metrics = node.metrics().await;
    assert!(metrics["littoral_cache_evicted_total"] > 40.0 && metrics["littoral_cache_objects"] > 10.0, "{metrics:?}");
}

#[tokio::test]
async fn requests_sent_ahead_on_one_connection_are_answered_in_order() {
    let origin = Origin::start(|request| Response::ok(&[FRESH], request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    for path in ["/1", "/2", "/3"] {
        get(&node, path).await;
    }
    let mut client = Client::connect(node.address("http")).await;
    let ahead: String =
        ["/1", "/2", "/3", "/1"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).concat();
    client.send(ahead).await;
    for path in ["/1", "/2", "/3", "/1"] {
        assert_eq!(client.reply(false).await.unwrap().body, path.as_bytes());
    }
    // A hit, a miss and a hit on the same connection.
    for path in ["/1", "/new", "/2"] {
        assert_eq!(client.get("site.example", path, &[]).await.body, path.as_bytes());
    }
}
