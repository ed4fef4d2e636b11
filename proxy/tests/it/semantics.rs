//! HTTP caching as clients and origins see it: directives of requests, invalidation, conditions, ranges, keys, and what a site
//! adds to what its responses say. The tables behind these are tested beside the code; the public conformance suite judges
//! the whole (`make conformance`).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Request, Response};

use super::{get, node_before};

const FRESH: &str = "cache-control: max-age=60";
const STALE: &str = "cache-control: max-age=0";

/// An origin that confirms `"a"` and otherwise answers with these fields.
async fn confirming(fields: &'static [&'static str]) -> Origin {
    Origin::start(move |request| match request.field("if-none-match") {
        Some("\"a\"") => Response { status: 304, fields: vec!["etag: \"a\"".into()], body: Body::Nothing },
        _ => Response::ok(&[fields, &["etag: \"a\""]].concat(), b"hello"),
    })
    .await
}

async fn asking(node: &Node, path: &str, field: &str) -> Reply {
    node.get("site.example", path, &[field]).await
}

async fn send(node: &Node, method: &str, path: &str) -> Reply {
    let mut client = Client::connect(node.address("http")).await;
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n")).await;
    client.reply(false).await.unwrap()
}

#[tokio::test]
async fn a_client_may_insist_on_confirmation_and_gets_it_without_a_new_body() {
    let origin = confirming(&[FRESH]).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    for (count, field) in [(2, "Cache-Control: no-cache"), (3, "Pragma: no-cache"), (4, "Cache-Control: min-fresh=99")]
    {
        let reply = asking(&node, "/a", field).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]), "{field}");
        assert!(reply.field("cache-status").starts_with("littoral; fwd=request; fwd-status=304"), "{reply:?}");
        assert_eq!(origin.count("/a"), count, "{field}");
    }
    assert!(asking(&node, "/a", "Cache-Control: max-age=50").await.field("cache-status").contains("; hit"));
}

#[tokio::test]
async fn a_site_may_ignore_what_clients_ask_of_the_cache() {
    let origin = confirming(&[FRESH]).await;
    let node = node_before(&origin, "[site]\nclient_directives = false\n").await;
    get(&node, "/a").await;
    assert!(asking(&node, "/a", "Cache-Control: no-cache").await.field("cache-status").contains("; hit"));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn only_if_cached_never_reaches_the_origin() {
    let origin = confirming(&[FRESH]).await;
    let node = node_before(&origin, "").await;
    assert_eq!(asking(&node, "/a", "Cache-Control: only-if-cached").await.status, 504);
    assert_eq!(origin.count("/a"), 0);
    get(&node, "/a").await;
    assert_eq!(asking(&node, "/a", "Cache-Control: only-if-cached").await.body, b"hello");
}

#[tokio::test]
async fn a_patient_client_gets_what_is_stale_unless_the_response_forbids_that() {
    let origin = confirming(&[STALE]).await;
    let strict = confirming(&["cache-control: max-age=0, must-revalidate"]).await;
    for (origin, expected) in [(&origin, 1), (&strict, 2)] {
        let node = node_before(origin, "").await;
        get(&node, "/a").await;
        assert_eq!(asking(&node, "/a", "Cache-Control: max-stale=30").await.body, b"hello");
        assert_eq!(origin.count("/a"), expected);
    }
}

#[tokio::test]
async fn a_client_may_take_what_is_stale_when_the_origin_fails() {
    let origin = Origin::start(|request| match request.field("if-none-match") {
        Some(_) => Response { status: 503, fields: Vec::new(), body: Body::Whole(b"down".to_vec()) },
        None => Response::ok(&[STALE, "etag: \"a\""], b"hello"),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let reply = asking(&node, "/a", "Cache-Control: stale-if-error=60").await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(get(&node, "/a").await.status, 503);
}

#[tokio::test]
async fn a_successful_unsafe_request_invalidates_its_url_and_those_its_response_names_on_the_same_host() {
    let origin = Origin::start(|request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/fails") => Response { status: 500, fields: Vec::new(), body: Body::Whole(Vec::new()) },
        ("POST", _) => Response::ok(&["location: /b", "content-location: http://other.example/c"], b""),
        _ => Response::ok(&[FRESH], b"x"),
    })
    .await;
    let node = node_before(&origin, "").await;
    for path in ["/a", "/b", "/c", "/fails"] {
        get(&node, path).await;
    }
    send(&node, "POST", "/a").await;
    send(&node, "POST", "/fails").await;
    for (path, hit) in [("/a", false), ("/b", false), ("/c", true), ("/fails", true)] {
        assert_eq!(get(&node, path).await.field("cache-status").contains("; hit"), hit, "{path}");
    }
    assert_eq!(node.metrics().await["littoral_cache_invalidated_total"], 2.0);
}

#[tokio::test]
async fn a_head_asks_the_origin_as_a_get_so_that_it_fills_and_freshens_what_is_stored() {
    let asked = AtomicUsize::new(0);
    let origin = Origin::start(move |request| match (asked.fetch_add(1, Relaxed), request.method.as_str()) {
        (0, "GET") => Response::ok(&[STALE, "etag: \"a\"", "x-round: first"], b"hello"),
        (1, "GET") if request.field("if-none-match") == Some("\"a\"") => Response {
            status: 304,
            fields: [FRESH, "etag: \"a\"", "x-round: second"].map(str::to_owned).to_vec(),
            body: Body::Nothing,
        },
        _ => Response { status: 500, fields: Vec::new(), body: Body::Nothing },
    })
    .await;
    let node = node_before(&origin, "").await;
    let head = async || {
        let mut client = Client::connect(node.address("http")).await;
        client.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        client.reply(true).await.unwrap()
    };
    for (round, status) in [("first", "fwd=uri-miss"), ("second", "fwd-status=304"), ("second", "; hit")] {
        let reply = head().await;
        assert_eq!((reply.status, reply.field("x-round"), reply.field("content-length")), (200, round, "5"));
        assert!(reply.field("cache-status").contains(status), "{reply:?}");
        if round == "first" {
            // Its client has all of a HEAD's answer before the fill has its end.
            node.until("littoral_cache_published_total", 1.0).await;
        }
    }
    let whole = get(&node, "/a").await;
    assert_eq!((whole.field("x-round"), whole.body.as_slice()), ("second", &b"hello"[..]));
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_condition_that_fails_is_a_412_without_a_body() {
    let origin = confirming(&[FRESH, "last-modified: Sat, 01 Jan 2022 00:00:00 GMT"]).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let mut client = Client::connect(node.address("http")).await;
    for (field, expected) in [
        ("If-Match: \"b\"", 412),
        ("If-Match: \"a\"", 200),
        ("If-Unmodified-Since: Fri, 31 Dec 2021 00:00:00 GMT", 412),
        ("If-Match: \"b\"\r\nRange: bytes=0-1", 412),
    ] {
        let reply = client.get("site.example", "/a", &[field]).await;
        assert_eq!(reply.status, expected, "{field}");
        assert_eq!(reply.body.is_empty(), expected == 412, "{field}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn several_ranges_come_as_parts_each_with_its_place() {
    let body: Vec<u8> = (0..1000).map(|at| b'a' + (at % 26) as u8).collect();
    let sent = body.clone();
    let origin = Origin::start(move |_| Response::ok(&[FRESH, "content-type: text/x"], &sent)).await;
    let node = node_before(&origin, "").await;
    for filled in [false, true] {
        let reply = asking(&node, "/a", "Range: bytes=900-,0-9").await;
        assert_eq!((reply.status, reply.whole), (206, true), "filled: {filled}");
        let boundary = reply.field("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
        let part = |first: usize, last: usize| {
            let head =
                format!("\r\n--{boundary}\r\nContent-Type: text/x\r\nContent-Range: bytes {first}-{last}/1000\r\n\r\n");
            [head.into_bytes(), body[first..=last].to_vec()].concat()
        };
        let expected = [part(0, 9), part(900, 999), format!("\r\n--{boundary}--\r\n").into_bytes()].concat();
        assert_eq!(String::from_utf8(reply.body).unwrap(), String::from_utf8(expected).unwrap());
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn no_cache_is_stored_and_confirmed_each_time_and_private_fields_are_not_shared() {
    let origin = confirming(&["cache-control: no-cache, private=\"x-user\"", "x-user: me"]).await;
    let node = node_before(&origin, "").await;
    assert_eq!(get(&node, "/a").await.field("x-user"), "me");
    let second = get(&node, "/a").await;
    assert_eq!((second.body.as_slice(), second.field("x-user")), (&b"hello"[..], ""));
    assert!(second.field("cache-status").starts_with("littoral; fwd=stale; fwd-status=304"), "{second:?}");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_site_says_how_long_a_404_lasts_and_what_becomes_of_cookies() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/none" => Response { status: 404, fields: Vec::new(), body: Body::Whole(b"none".to_vec()) },
        _ => Response::ok(&[FRESH, "set-cookie: a=b"], b"x"),
    })
    .await;
    let node = node_before(&origin, "[site]\nset_cookie = \"strip\"\nttl = { 404 = \"30s\" }\n").await;
    for path in ["/none", "/cookie"] {
        get(&node, path).await;
        let hit = get(&node, path).await;
        assert!(hit.field("cache-status").contains("; hit"), "{hit:?}");
        assert_eq!(hit.field("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_key_has_the_parameters_in_order_and_the_origin_is_asked_for_just_that() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let node = node_before(&origin, "[site]\nkey = { query = \"sort\", drop = [\"utm_*\"] }\n").await;
    get(&node, "/a?b=2&utm_source=x&a=1").await;
    let hit = get(&node, "/a?utm_id=7&a=1&b=2").await;
    assert!(hit.field("cache-status").contains("; hit"), "{hit:?}");
    assert_eq!(origin.requests().iter().map(|request| request.path.clone()).collect::<Vec<_>>(), ["/a?a=1&b=2"]);
    let (status, _) = node.admin("POST", "/v1/purge", r#"{"url":"http://site.example/a?b=2&a=1&utm_x=1"}"#).await;
    assert_eq!(status, 200);
    assert!(get(&node, "/a?a=1&b=2").await.field("cache-status").contains("fwd=uri-miss"));
}

#[tokio::test]
async fn a_site_tells_variants_apart_by_its_own_fields_and_cookies_and_a_purge_takes_them_all() {
    let origin = Origin::start(|request: &Request| {
        let device = request.field("x-device").unwrap_or("none").to_owned();
        Response::ok(&[FRESH], device.as_bytes())
    })
    .await;
    let node = node_before(&origin, "[site]\nkey = { headers = [\"X-Device\"], cookies = [\"lang\"] }\n").await;
    let ask = async |device: &str, lang: &str| {
        let fields = [format!("X-Device: {device}"), format!("Cookie: id=1; lang={lang}")];
        node.get("site.example", "/a", &fields.each_ref().map(String::as_str)).await
    };
    for (device, lang, hit) in [("tv", "de", false), ("tv", "de", true), ("phone", "de", false), ("tv", "en", false)] {
        let reply = ask(device, lang).await;
        assert_eq!(reply.body, device.as_bytes());
        assert_eq!(reply.field("cache-status").contains("; hit"), hit, "{device} {lang}");
    }
    node.admin("POST", "/v1/purge", r#"{"url":"http://site.example/a"}"#).await;
    for (device, lang) in [("tv", "de"), ("phone", "de"), ("tv", "en")] {
        assert!(!ask(device, lang).await.field("cache-status").contains("; hit"), "{device} {lang}");
    }
}

#[tokio::test]
async fn negotiation_is_folded_to_what_the_origin_has_before_anybody_sees_it() {
    let origin = Origin::start(|request: &Request| {
        let coding = request.field("accept-encoding").unwrap_or("none").to_owned();
        Response::ok(&[FRESH, "vary: accept-encoding"], coding.as_bytes())
    })
    .await;
    let node = node_before(&origin, "[site]\nencodings = [\"br\", \"gzip\"]\n").await;
    for (accepted, body) in
        [("gzip, deflate, br", "br"), ("br;q=0.9", "br"), ("gzip;q=1.0, x", "gzip"), ("deflate", "none")]
    {
        let reply = asking(&node, "/a", &format!("Accept-Encoding: {accepted}")).await;
        assert_eq!(String::from_utf8_lossy(&reply.body), body, "{accepted}");
    }
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn requests_for_what_is_not_stored_do_not_wait_for_each_other_after_the_first() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.field("x-held") {
        Some(_) => Response {
            status: 200,
            fields: vec!["cache-control: no-store".into()],
            body: Body::HeadGated(held.clone()),
        },
        None => Response::ok(&["cache-control: no-store"], b"x"),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(node.address("http")).await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\nX-Held: 1\r\n\r\n").await;
        clients.push(client);
    }
    // All three are at the origin although none has been answered.
    origin.asked("/a", 4).await;
    gate.open();
    for mut client in clients {
        assert!(client.head().await.unwrap().field("cache-status").contains("fwd=bypass; detail=no-store"));
    }
}

/// A body of which every coding makes something shorter.
fn wordy() -> Vec<u8> {
    (0..4000).flat_map(|at| format!("line {at} of a text that repeats itself\n").into_bytes()).collect()
}

/// What curl makes of it, the judge of the codings.
async fn curl(node: &Node, path: &str, more: &[&str]) -> Vec<u8> {
    let url = format!("http://{}{path}", node.address("http"));
    let mut command = tokio::process::Command::new("curl");
    let output = command.args(["-sS", "-H", "Host: site.example"]).args(more).arg(url).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn what_the_origin_sends_plain_is_compressed_once_for_each_coding_and_kept_apart() {
    let origin = Origin::start(|request: &Request| match request.path.as_str() {
        "/chunked" => Response::with(&[FRESH, "content-type: text/plain"], Body::Chunked(vec![wordy(), wordy()])),
        "/image" => Response::ok(&[FRESH, "content-type: image/png"], &wordy()),
        "/kept" => Response::ok(&["cache-control: max-age=60, no-transform", "content-type: text/plain"], &wordy()),
        "/short" => Response::ok(&[FRESH, "content-type: text/plain"], b"short"),
        _ => Response::ok(&[FRESH, "content-type: text/plain; charset=utf-8", "etag: \"a\""], &wordy()),
    })
    .await;
    let node = node_before(&origin, "[site]\ncompress = {}\n").await;
    for coding in ["br", "zstd", "gzip"] {
        for filled in [false, true] {
            let accept = format!("Accept-Encoding: {coding}");
            let reply = asking(&node, "/a", &accept).await;
            assert_eq!((reply.field("content-encoding"), reply.field("etag"), reply.whole), (coding, "W/\"a\"", true));
            assert!(reply.body.len() < wordy().len() / 4, "{coding}: {} bytes", reply.body.len());
            assert_eq!(reply.field("cache-status").contains("; hit"), filled, "{coding}");
            assert_eq!(curl(&node, "/a", &["--compressed", "-H", &accept]).await, wordy(), "{coding}");
        }
    }
    assert_eq!(origin.count("/a"), 3);
    let plain = get(&node, "/a").await;
    assert_eq!(
        (plain.body, plain.fields.iter().any(|(name, value)| name == "vary" && value == "accept-encoding")),
        (wordy(), true)
    );
    assert_eq!(curl(&node, "/chunked", &["--compressed"]).await, [wordy(), wordy()].concat());
    for path in ["/image", "/kept", "/short"] {
        let reply = asking(&node, path, "Accept-Encoding: gzip, br").await;
        assert_eq!(reply.field("content-encoding"), "", "{path}");
    }
}

#[tokio::test]
async fn a_range_is_of_the_plain_bytes_also_where_the_site_compresses() {
    let origin = Origin::start(|_| Response::ok(&[FRESH, "content-type: text/plain"], &wordy())).await;
    let node = node_before(&origin, "[site]\ncompress = {}\n").await;
    asking(&node, "/a", "Accept-Encoding: gzip").await;
    let reply = asking(&node, "/a", "Accept-Encoding: gzip\r\nRange: bytes=5-9").await;
    assert_eq!((reply.status, reply.body.as_slice(), reply.field("content-encoding")), (206, &wordy()[5..10], ""));
}

#[tokio::test]
async fn a_full_answer_to_a_revalidation_ends_what_is_stored_also_when_it_is_not_kept() {
    let stale = "cache-control: max-age=0, stale-while-revalidate=600, stale-if-error=600";
    for (status, fields, is_obsolete) in [
        (404, "cache-control: no-store", true),
        (200, "cache-control: private", true),
        (304, "cache-control: no-store", true),
        (503, "cache-control: no-store", false),
        (429, "cache-control: no-store", false),
    ] {
        let asked = AtomicUsize::new(0);
        let origin = Origin::start(move |_| match asked.fetch_add(1, Relaxed) {
            0 => Response::ok(&[stale, "etag: \"a\""], b"old"),
            _ => Response { status, fields: vec![fields.into()], body: Body::Nothing },
        })
        .await;
        let node = node_before(&origin, "").await;
        get(&node, "/a").await;
        assert_eq!(get(&node, "/a").await.body, b"old", "{status}");
        // The answer in the background is the second; when it has come, it is decided what becomes of what is stored.
        origin.asked("/a", 2).await;
        node.until(&format!("littoral_origin_requests_open{{origin=\"{}\"}}", origin.url()), 0.0).await;
        node.until("littoral_cache_objects", f64::from(u8::from(!is_obsolete))).await;
        assert_eq!(node.metrics().await["littoral_cache_discarded_total"] > 0.0, is_obsolete, "{status}");
    }
}

#[tokio::test]
async fn a_revalidation_asks_for_the_representation_that_was_chosen_and_chooses_none_again() {
    let mpd = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd"))
        .unwrap();
    let origin = Origin::start(move |request| match request.path.ends_with(".mpd") {
        true => Response::ok(&[FRESH], &mpd),
        false => Response::ok(&["cache-control: max-age=0, stale-while-revalidate=600"], b"segment"),
    })
    .await;
    let node = node_before(&origin, "[site]\ndash = { auto = true }\n").await;
    get(&node, "/title/manifest.mpd").await;
    for _ in 0..2 {
        assert_eq!(get(&node, "/title/seg-auto-00003.m4s").await.body, b"segment");
    }
    node.until("littoral_cache_published_total", 3.0).await;
    let asked: Vec<String> = origin.requests().into_iter().map(|request| request.path).collect();
    assert_eq!((asked.len(), &asked[1]), (3, &asked[2]), "{asked:?}");
    assert_eq!(node.metrics().await["littoral_rate_decisions_total{by=\"native\"}"], 2.0);
}

#[tokio::test]
async fn a_page_under_a_manifests_name_is_asked_for_and_read_once_and_the_manifest_behind_it_at_once() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd");
    let mpd = std::fs::read(path).unwrap();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/sorry/manifest.mpd" => Response::ok(&["cache-control: no-store"], b"<html>sorry</html>"),
        "/kept/manifest.mpd" => Response::ok(&[FRESH], b"<html>sorry</html>"),
        path if path.ends_with("/manifest.mpd") => Response::ok(&[FRESH], &mpd),
        _ => Response::ok(&[FRESH], b"segment"),
    })
    .await;
    let node = node_before(&origin, "[site]\ndash = { auto = true }\n").await;
    let refused = async || {
        let metrics = node.metrics().await;
        ["read", "remembered"].map(|found| metrics[&format!("littoral_manifests_refused_total{{found=\"{found}\"}}")])
    };
    for _ in 0..3 {
        assert_eq!(get(&node, "/sorry/seg-auto-00003.m4s").await.status, 404);
    }
    assert_eq!((origin.count("/sorry/manifest.mpd"), refused().await), (1, [1.0, 2.0]));
    // What is stored is read when it is met first.
    get(&node, "/kept/manifest.mpd").await;
    node.until("littoral_cache_objects", 1.0).await;
    for _ in 0..3 {
        assert_eq!(get(&node, "/kept/seg-auto-00003.m4s").await.status, 404);
    }
    assert_eq!((origin.count("/kept/manifest.mpd"), refused().await), (1, [2.0, 4.0]));
    assert_eq!(get(&node, "/title/seg-auto-00003.m4s").await.body, b"segment");
    assert_eq!(refused().await, [2.0, 4.0]);
}

#[tokio::test]
async fn a_manifest_that_is_not_there_takes_no_auto_url_from_the_one_that_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd");
    let mpd = std::fs::read(path).unwrap();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/title/film.mpd" => Response::ok(&[FRESH], &mpd),
        path if path.ends_with(".mpd") => Response { status: 404, fields: vec![FRESH.into()], body: Body::Nothing },
        _ => Response::ok(&[FRESH], b"segment"),
    })
    .await;
    let node = node_before(&origin, "[site]\ndash = { auto = true }\n").await;
    assert_eq!(get(&node, "/title/film.mpd").await.status, 200);
    assert_eq!(get(&node, "/title/nothing.mpd").await.status, 404);
    assert_eq!(get(&node, "/title/seg-auto-00003.m4s").await.body, b"segment");
}
