//! Ranges of objects that are not whole in the cache: what is sent on, what is kept and joined, and what never is.

use littoral_testkit::{Body, Node, Origin, Reply, Request, Response};

use super::{BINARY, config, get, node_before};

const SITE: &str = "[site]\nranges = \"forward\"\n";
const LENGTH: usize = 1000;

fn body(version: u8) -> Vec<u8> {
    (0..LENGTH).map(|at| at as u8 ^ version).collect()
}

/// What an origin with ranges answers for `whole`: 304, 206 or 200.
fn ranged(request: &Request, whole: &[u8], tag: &str) -> Response {
    let fields = ["cache-control: max-age=60, stale-while-revalidate=0", &format!("etag: {tag}"), "surrogate-key: k"];
    if request.field("if-none-match") == Some(tag) {
        return Response { status: 304, fields: fields.map(str::to_owned).into(), body: Body::Nothing };
    }
    let condition = request.field("if-range").is_none_or(|named| named == tag);
    let range = request.field("range").filter(|_| condition);
    let Some((first, last)) = range.and_then(|field| field.strip_prefix("bytes=")?.split_once('-')) else {
        return Response::ok(&fields, whole);
    };
    let end = whole.len() - 1;
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) => (first, end),
        (Err(_), suffix) => (whole.len() - suffix.unwrap(), end),
    };
    let mut fields: Vec<String> = fields.map(str::to_owned).into();
    fields.push(format!("content-range: bytes {first}-{last}/{}", whole.len()));
    Response { status: 206, fields, body: Body::Whole(whole[first..=last].to_vec()) }
}

async fn origin() -> Origin {
    Origin::start(|request| ranged(request, &body(0), "\"a\"")).await
}

async fn part(node: &Node, range: &str) -> Reply {
    node.get("site.example", "/a", &[&format!("Range: bytes={range}")]).await
}

fn fetched(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|request| request.field("range").unwrap_or("whole").to_owned()).collect()
}

/// Whether a part was answered from the cache, with the right bytes.
async fn is_hit(node: &Node, range: &str, (first, end): (usize, usize)) -> bool {
    let reply = part(node, range).await;
    assert_eq!((reply.status, reply.whole), (206, true), "{range}");
    assert_eq!(reply.field("content-range"), format!("bytes {first}-{}/{LENGTH}", end - 1));
    assert!(reply.body == body(0)[first..end], "{range}");
    reply.field("cache-status").contains("littoral; hit")
}

#[tokio::test]
async fn a_piece_answers_what_lies_in_it_and_what_does_not_is_sent_on() {
    let origin = origin().await;
    let node = node_before(&origin, SITE).await;
    for (range, place, hit) in [
        ("100-199", (100, 200), false),
        ("100-199", (100, 200), true),
        ("120-130", (120, 131), true),
        ("150-249", (150, 250), false),
        ("100-249", (100, 250), true),
        ("-10", (990, 1000), false),
        ("995-", (995, 1000), true),
        ("-3", (997, 1000), true),
        ("100-250", (100, 251), false),
    ] {
        assert_eq!(is_hit(&node, range, place).await, hit, "{range}");
    }
    assert_eq!(fetched(&origin), ["bytes=100-199", "bytes=150-249", "bytes=-10", "bytes=100-250"]);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_objects"], 2.0);
    assert_eq!(metrics["littoral_http_requests_total{outcome=\"hit\"}"], 5.0);
}

#[tokio::test]
async fn when_nothing_is_missing_the_object_answers_everything() {
    let origin = origin().await;
    let node = node_before(&origin, SITE).await;
    let first = part(&node, "500-").await;
    assert!(first.field("cache-status").contains("fwd=uri-miss; stored"), "{}", first.field("cache-status"));
    let second = part(&node, "0-499").await;
    assert!(second.field("cache-status").contains("fwd=partial; stored"), "{}", second.field("cache-status"));
    let whole = get(&node, "/a").await;
    assert_eq!((whole.status, whole.body == body(0)), (200, true));
    assert!(whole.field("cache-status").contains("; hit"), "{}", whole.field("cache-status"));
    assert_eq!((whole.field("content-range"), whole.field("accept-ranges")), ("", "bytes"));
    assert!(is_hit(&node, "7-900", (7, 901)).await);
    assert_eq!(part(&node, "2000-").await.status, 416);
    assert_eq!(fetched(&origin), ["bytes=500-", "bytes=0-499"]);
}

#[tokio::test]
async fn all_from_the_first_byte_on_is_fetched_and_kept_as_the_whole() {
    let origin = origin().await;
    let node = node_before(&origin, SITE).await;
    assert_eq!(part(&node, "0-").await.status, 206);
    assert!(is_hit(&node, "10-19", (10, 20)).await);
    assert_eq!(fetched(&origin), ["whole"]);
}

#[tokio::test]
async fn an_origin_without_ranges_fills_the_whole_object() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60", "etag: \"a\""], &body(0))).await;
    let node = node_before(&origin, SITE).await;
    let reply = part(&node, "10-19").await;
    assert_eq!((reply.status, reply.body == body(0)), (200, true));
    assert!(is_hit(&node, "10-19", (10, 20)).await);
    assert!(get(&node, "/a").await.field("cache-status").contains("; hit"));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn pieces_of_another_version_or_of_no_sure_one_are_never_joined() {
    for (tags, kept) in [(["\"a\"", "\"b\""], false), (["W/\"w\"", "W/\"w\""], false), (["\"a\"", "\"a\""], true)] {
        let origin = Origin::start(move |request| {
            let is_first = request.field("range") == Some("bytes=0-499");
            ranged(request, &body(if is_first { 0 } else { 255 }), tags[usize::from(!is_first)])
        })
        .await;
        let node = node_before(&origin, SITE).await;
        part(&node, "0-499").await;
        part(&node, "500-999").await;
        let whole = get(&node, "/a").await;
        assert_eq!(whole.field("cache-status").contains("; hit"), kept, "{tags:?}");
        assert_eq!(whole.body[..500] == body(0)[..500], kept, "{tags:?}");
    }
}

#[tokio::test]
async fn a_whole_response_takes_the_place_of_the_pieces() {
    let origin = Origin::start(|request| {
        let (version, tag) = if request.field("range").is_some() { (0, "\"a\"") } else { (255, "\"b\"") };
        ranged(request, &body(version), tag)
    })
    .await;
    let node = node_before(&origin, SITE).await;
    part(&node, "10-19").await;
    get(&node, "/a").await;
    let reply = part(&node, "10-19").await;
    assert!(reply.body == body(255)[10..20] && reply.field("cache-status").contains("; hit"));
    assert_eq!(node.metrics().await["littoral_cache_objects"], 1.0);
}

#[tokio::test]
async fn stale_pieces_are_confirmed_by_a_304_and_purged_ones_are_gone() {
    let origin = origin().await;
    let node = node_before(&origin, SITE).await;
    for range in ["10-19", "50-59"] {
        part(&node, range).await;
    }
    for (order, hit) in [(r#"{"key": "k", "soft": true}"#, true), (r#"{"key": "k"}"#, false)] {
        assert_eq!(node.admin("POST", "/v1/purge", order).await.0, 200);
        let reply = part(&node, "12-15").await;
        assert_eq!((reply.status, reply.body == body(0)[12..16]), (206, true));
        let expected = if hit { "fwd=stale; fwd-status=304" } else { "fwd=uri-miss" };
        assert!(reply.field("cache-status").contains(expected), "{}", reply.field("cache-status"));
        assert_eq!(reply.field("connection"), if hit { "close" } else { "keep-alive" });
        // All pieces of the object are confirmed by it, and none is there after the purge.
        assert_eq!(is_hit(&node, "50-59", (50, 60)).await, hit);
    }
    let asked = origin.requests();
    let conditions: Vec<_> = asked.iter().map(|request| request.field("if-none-match").unwrap_or("")).collect();
    assert_eq!(conditions, ["", "", "\"a\"", "", ""]);
}

#[tokio::test]
async fn conditions_count_for_what_is_answered_from_pieces() {
    let origin = origin().await;
    let node = node_before(&origin, SITE).await;
    part(&node, "10-19").await;
    for (field, status, fetches) in [
        ("If-Range: \"a\"", 206, 1),
        ("If-None-Match: \"a\"", 304, 1),
        ("If-Match: \"b\"", 412, 1),
        ("Cache-Control: no-cache", 206, 2),
        // Another version than the client has: it gets the whole of this one.
        ("If-Range: \"old\"", 200, 3),
    ] {
        let reply = node.get("site.example", "/a", &["Range: bytes=10-19", field]).await;
        assert_eq!((reply.status, origin.count("/a")), (status, fetches), "{field}");
    }
}

#[tokio::test]
async fn a_piece_that_breaks_off_or_contradicts_itself_is_not_kept() {
    let origin = Origin::start(|request| {
        let fields = ["cache-control: max-age=60", "etag: \"a\"", "content-range: bytes 10-19/1000"].map(str::to_owned);
        let body = match request.path.as_str() {
            "/short" => Body::CutShort(10, body(0)[10..15].to_vec()),
            _ => Body::Whole(body(0)[10..15].to_vec()),
        };
        Response { status: 206, fields: fields.into(), body }
    })
    .await;
    let node = node_before(&origin, SITE).await;
    for (path, whole) in [("/short", false), ("/contradiction", true)] {
        for _ in 0..2 {
            let reply = node.get("site.example", path, &["Range: bytes=10-19"]).await;
            assert_eq!((reply.status, reply.whole), (206, whole), "{path}");
        }
        assert_eq!(origin.count(path), 2, "{path}");
    }
    // What the last one brought is let go of when its request has ended, which is after its client knows.
    node.until("littoral_cache_memory_bytes", 0.0).await;
    assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0);
}

#[tokio::test]
async fn variants_have_pieces_of_their_own() {
    let origin = Origin::start(|request| {
        let version = u8::from(request.field("x-kind") == Some("b"));
        let mut response = ranged(request, &body(version), &format!("\"{version}\""));
        response.fields.push("vary: x-kind".to_owned());
        response
    })
    .await;
    let node = node_before(&origin, SITE).await;
    for round in 0..2 {
        for (kind, version) in [("a", 0), ("b", 1)] {
            let fields = [&format!("X-Kind: {kind}"), "Range: bytes=10-19"];
            let reply = node.get("site.example", "/a", &fields).await;
            assert!(reply.body == body(version)[10..20], "{kind}");
            assert_eq!(reply.field("cache-status").contains("; hit"), round == 1, "{kind}");
        }
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn only_whole_objects_go_to_disk() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let disk = format!("disk = {{ path = {:?}, size = \"64MiB\", min_free = \"0\" }}", directory.path());
    let config = config(&[&origin], &format!("[cache]\n{disk}\n{SITE}"));
    let mut node = Node::start(BINARY, &config, &[]).await;
    node.get("site.example", "/piece", &["Range: bytes=10-19"]).await;
    part(&node, "0-499").await;
    part(&node, "500-").await;
    node.signal("TERM");
    node.ended().await;
    let node = Node::start(BINARY, &config, &[]).await;
    for (path, status) in [("/a", "littoral; hit"), ("/piece", "fwd=uri-miss")] {
        let reply = node.get("site.example", path, &["Range: bytes=10-19"]).await;
        assert!(reply.field("cache-status").contains(status), "{path}: {}", reply.field("cache-status"));
        assert!(reply.body == body(0)[10..20], "{path}");
    }
}
