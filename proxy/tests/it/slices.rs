//! Large objects in slices: what is fetched, what is kept, and what happens when the object changes between two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::{Body, Client, Node, Origin, Reply, Request, Response};

use super::node_before;

const SIZE: usize = 64 << 10;
const SITE: &str = "[site]\nslice = \"64KiB\"\n";

fn body(length: usize, version: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 1000) as u8 ^ version).collect()
}

/// The part of `whole` that a request asks for, as an origin with ranges answers it.
fn ranged(request: &Request, whole: &[u8], tag: &str) -> Response {
    let range = request.field("range").and_then(|field| field.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        return Response::ok(&["cache-control: max-age=60", tag], whole);
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse::<usize>().unwrap().min(whole.len() - 1));
    if first > last {
        let field = format!("content-range: bytes */{}", whole.len());
        return Response { status: 416, fields: vec![field], body: Body::Whole(Vec::new()) };
    }
    let field = format!("content-range: bytes {first}-{last}/{}", whole.len());
    let fields = vec!["cache-control: max-age=60".into(), tag.to_owned(), field];
    Response { status: 206, fields, body: Body::Whole(whole[first..=last].to_vec()) }
}

async fn origin_of(length: usize) -> Origin {
    Origin::start(move |request| ranged(request, &body(length, 0), "etag: \"a\"")).await
}

async fn part(node: &Node, range: &str) -> Reply {
    node.get("site.example", "/a", &[&format!("Range: bytes={range}")]).await
}

fn fetched(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|request| request.field("range").unwrap_or("whole").to_owned()).collect()
}

#[tokio::test]
async fn of_a_large_object_only_the_slices_asked_for_are_fetched_and_kept() {
    let length = 10 * SIZE + 123;
    let origin = origin_of(length).await;
    let node = node_before(&origin, SITE).await;
    for round in ["miss", "hit"] {
        let reply = part(&node, "200000-270000").await;
        assert_eq!((reply.status, reply.whole), (206, true), "{round}");
        assert_eq!(reply.field("content-range"), format!("bytes 200000-270000/{length}"));
        assert!(reply.body == body(length, 0)[200_000..=270_000], "{round}");
        assert_eq!(reply.field("cache-status").contains("; hit"), round == "hit", "{}", reply.field("cache-status"));
    }
    assert_eq!(fetched(&origin), ["bytes=196608-262143", "bytes=262144-327679"]);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_objects"], 2.0);
    let answered = |outcome: &str| metrics[&format!("littoral_http_requests_total{{outcome=\"{outcome}\"}}")];
    assert_eq!((answered("miss"), answered("hit")), (1.0, 1.0), "one for each request of the client");
}

#[tokio::test]
async fn a_sliced_answer_is_counted_by_what_was_done_for_it() {
    let origin = Origin::start(|request| match request.field("if-none-match") {
        Some(_) => Response { status: 304, fields: vec!["etag: \"a\"".into()], ..Response::default() },
        None => ranged(request, &body(SIZE, 0), "etag: \"a\""),
    })
    .await;
    let node = node_before(&origin, SITE).await;
    for (fields, outcome) in [(&[][..], "miss"), (&["Cache-Control: no-cache"], "revalidated"), (&[], "hit")] {
        let reply = node.get("site.example", "/a", fields).await;
        assert!(reply.status == 200 && reply.body == body(SIZE, 0), "{outcome}: {}", reply.status);
        node.until(&format!("littoral_http_requests_total{{outcome=\"{outcome}\"}}"), 1.0).await;
    }
}

#[tokio::test]
async fn the_whole_the_end_and_what_lies_behind_it_are_answered_from_slices() {
    let length = 3 * SIZE + 5;
    let origin = origin_of(length).await;
    let node = node_before(&origin, SITE).await;
    let whole = node.get("site.example", "/a", &[]).await;
    assert_eq!((whole.status, whole.field("content-length")), (200, length.to_string().as_str()));
    assert!(whole.body == body(length, 0) && whole.whole);
    for (range, first, last) in [("-5", length - 5, length - 1), ("196608-", 3 * SIZE, length - 1), ("0-0", 0, 0)] {
        let reply = part(&node, range).await;
        assert_eq!(
            (reply.status, reply.field("content-range")),
            (206, format!("bytes {first}-{last}/{length}").as_str())
        );
        assert!(reply.body == body(length, 0)[first..=last], "{range}");
    }
    let behind = part(&node, "9000000-").await;
    assert_eq!((behind.status, behind.field("content-range")), (416, format!("bytes */{length}").as_str()));
    let mut client = Client::connect(node.address("http")).await;
    client.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let head = client.reply(true).await.unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, length.to_string().as_str()));
    assert_eq!(client.get("site.example", "/a", &["If-None-Match: \"a\""]).await.status, 304);
    let slices = ["bytes=0-65535", "bytes=65536-131071", "bytes=131072-196607", "bytes=196608-262143"];
    assert_eq!(fetched(&origin), [&slices[..], &["bytes=8978432-9043967"]].concat());
}

#[tokio::test]
async fn several_ranges_are_the_parts_of_one_answer_and_only_their_slices_are_fetched() {
    let length = 6 * SIZE + 5;
    let origin = origin_of(length).await;
    let (sliced, whole) = (node_before(&origin, SITE).await, node_before(&origin, "").await);
    // The second goes over an edge between two slices; they come in order.
    let asked = "131000-131100,0-9,-5";
    let [reply, other] = [part(&sliced, asked).await, part(&whole, asked).await];
    let boundary =
        |reply: &Reply| reply.field("content-type").split_once("byteranges; boundary=").unwrap().1.to_owned();
    for of in [&reply, &other] {
        assert_eq!((of.status, of.whole, of.field("content-range")), (206, true, ""));
        assert_eq!(of.field("content-length"), of.body.len().to_string());
    }
    // What the framework makes of the whole is the judge.
    let text = |reply: &Reply| String::from_utf8_lossy(&reply.body).replace(&boundary(reply), "B");
    assert_eq!(text(&reply), text(&other));
    assert!(text(&reply).contains(&format!("Content-Range: bytes 131000-131100/{length}\r\n\r\n")));
    let slices = ["bytes=65536-131071", "bytes=0-65535", "bytes=131072-196607", "bytes=393216-458751"];
    let asked = fetched(&origin);
    assert!(slices.iter().all(|slice| asked.contains(&(*slice).to_owned())) && asked.len() == 5, "{asked:?}");
}

#[tokio::test]
async fn an_object_that_changes_between_two_slices_breaks_and_is_fetched_anew() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = Origin::start(move |request| match count.fetch_add(1, Relaxed) {
        0 => ranged(request, &body(2 * SIZE, 0), "etag: \"a\""),
        _ => ranged(request, &body(2 * SIZE, 9), "etag: \"b\""),
    })
    .await;
    let node = node_before(&origin, SITE).await;
    let broken = node.get("site.example", "/a", &[]).await;
    assert!(!broken.whole && broken.body == body(SIZE, 0), "{} bytes", broken.body.len());
    let fresh = node.get("site.example", "/a", &[]).await;
    assert!(fresh.whole && fresh.body == body(2 * SIZE, 9));
}

#[tokio::test]
async fn a_client_that_leaves_takes_no_slice_away() {
    let length = 64 * SIZE;
    let origin = origin_of(length).await;
    let node = node_before(&origin, SITE).await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.bytes(100).await.len(), 100);
    drop(client);
    while node.metrics().await["littoral_http_broken_total"] == 0.0 {}
    assert!(part(&node, "0-9").await.field("cache-status").contains("; hit"));
}

#[tokio::test]
async fn an_origin_without_ranges_is_passed_on_and_a_purge_takes_every_slice() {
    let length = 2 * SIZE;
    let plain = Origin::start(move |_| Response::ok(&["cache-control: max-age=60"], &body(length, 0))).await;
    let node = node_before(&plain, SITE).await;
    assert!(node.get("site.example", "/a", &[]).await.body == body(length, 0));
    let origin = origin_of(length).await;
    let node = node_before(&origin, SITE).await;
    node.get("site.example", "/a", &[]).await;
    node.admin("POST", "/v1/purge", r#"{"url":"http://site.example/a"}"#).await;
    assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0);
    part(&node, "70000-70001").await;
    assert_eq!(fetched(&origin), ["bytes=0-65535", "bytes=65536-131071", "bytes=65536-131071"]);
}

#[tokio::test]
async fn nobody_outside_can_ask_for_a_slice() {
    let origin = origin_of(SIZE).await;
    let node = node_before(&origin, SITE).await;
    let reply = node.get("site.example", "/a", &["X-Littoral-Slice: 0000 0"]).await;
    assert_eq!((reply.status, reply.body.len()), (200, SIZE));
    assert!(origin.requests().iter().all(|request| request.field("x-littoral-slice").is_none()));
}

/// What a warm job for the object tells when it has ended.
async fn warmed(node: &Node, dry_run: bool) -> serde_json::Value {
    let order = serde_json::json!({ "list": "http://site.example/a\n", "dry_run": dry_run });
    let (_, told) = node.admin("POST", "/v1/warm", &order.to_string()).await;
    let id = serde_json::from_str::<serde_json::Value>(&told).unwrap()["id"].clone();
    loop {
        let (_, told) = node.admin("GET", &format!("/v1/warm/{id}"), "").await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        if !["waiting", "running"].contains(&told["state"].as_str().unwrap()) {
            return told;
        }
    }
}

#[tokio::test]
async fn a_warm_job_takes_an_object_for_stored_when_each_of_its_slices_is() {
    let length = 3 * SIZE + 5;
    let origin = origin_of(length).await;
    let node = node_before(&origin, SITE).await;
    assert_eq!(part(&node, "0-5").await.status, 206);
    assert_eq!(warmed(&node, true).await["expected"]["stored"], 0, "one of four");
    let job = warmed(&node, false).await;
    assert_eq!((&job["state"], &job["hits"]), (&"done".into(), &0.into()), "{job}");
    assert_eq!(fetched(&origin).len(), 4);
    assert_eq!(warmed(&node, true).await["expected"]["stored"], 1);
    assert_eq!((warmed(&node, false).await["hits"].clone(), fetched(&origin).len()), (1.into(), 4));
}

#[tokio::test]
async fn a_warm_job_takes_an_object_for_stored_when_its_own_variant_is() {
    let fields = ["cache-control: max-age=60", "vary: accept-language"];
    let origin = Origin::start(move |_| Response::ok(&fields, b"x")).await;
    let node = node_before(&origin, "").await;
    assert_eq!(node.get("site.example", "/a", &["Accept-Language: de"]).await.status, 200);
    assert_eq!(warmed(&node, true).await["expected"]["stored"], 0, "another one's");
    assert_eq!(warmed(&node, false).await["state"], "done");
    assert_eq!(warmed(&node, true).await["expected"]["stored"], 1);
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn an_object_that_nothing_tells_from_its_next_version_is_fetched_whole() {
    let (length, now) = (3 * SIZE + 5, httpdate::fmt_http_date(std::time::SystemTime::now()));
    let made = format!("date: {now}\r\nlast-modified: {now}");
    for (tag, is_strong) in [("etag: W/\"a\"", false), ("x-a: b", false), (&made, false), ("etag: \"a\"", true)] {
        let sent = tag.to_owned();
        let origin = Origin::start(move |request| ranged(request, &body(length, 0), &sent)).await;
        let node = node_before(&origin, SITE).await;
        for _ in 0..2 {
            let whole = node.get("site.example", "/a", &[]).await;
            assert!((whole.status, whole.whole) == (200, true) && whole.body == body(length, 0), "{tag}");
            let two = part(&node, "65000-66000").await;
            assert!((two.status, two.whole) == (206, true) && two.body == body(length, 0)[65_000..=66_000], "{tag}");
        }
        let asked = fetched(&origin);
        assert_eq!(asked.contains(&"whole".to_owned()), !is_strong, "{tag}: {asked:?}");
        assert_eq!(asked.len(), if is_strong { 4 } else { 2 }, "{tag}: the rest are hits: {asked:?}");
        // Of one slice there is nothing to mix up.
        assert_eq!(part(&node, "70000-70009").await.body, body(length, 0)[70_000..70_010], "{tag}");
    }
}

#[tokio::test]
async fn slices_are_asked_for_with_the_fields_of_the_request_and_kept_by_those_that_count() {
    let length = 2 * SIZE + 5;
    let origin = Origin::start(move |request| {
        let version = u8::from(request.field("x-kind") == Some("b"));
        let mut reply = ranged(request, &body(length, version), "etag: \"a\"");
        reply.fields.push("vary: x-kind".into());
        match request.field("authorization") {
            Some("Basic x") => reply.fields[0] = "cache-control: private".into(),
            Some(_) => return Response { status: 401, ..Response::default() },
            None => {}
        }
        reply
    })
    .await;
    let node = node_before(&origin, SITE).await;
    for (fields, version, asked) in [
        (&["X-Kind: a"][..], 0, 3),
        (&["X-Kind: b"], 1, 3),
        (&["X-Kind: a"], 0, 0),
        (&["X-Kind: a", "Authorization: Basic x"], 0, 0),
        (&["X-Kind: c", "Authorization: Basic x", "Cookie: c=1"], 0, 3),
        (&["X-Kind: c", "Authorization: Basic x", "Cookie: c=1"], 0, 3),
        (&["X-Kind: a", "Cache-Control: no-cache"], 0, 3),
    ] {
        let before = origin.requests().len();
        let reply = node.get("site.example", "/a", fields).await;
        assert!((reply.status, reply.whole) == (200, true) && reply.body == body(length, version), "{fields:?}");
        assert_eq!(origin.requests().len() - before, asked, "{fields:?}");
    }
    let cookies = origin.requests().iter().filter(|request| request.field("cookie") == Some("c=1")).count();
    assert_eq!(cookies, 6, "each slice had it");
    assert_eq!(node.get("site.example", "/a", &["X-Kind: d", "Authorization: Basic y"]).await.status, 401);
}
