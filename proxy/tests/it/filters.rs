//! Filters: what they may change, what they may not, and what becomes of requests when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Reply, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{BINARY, config};

/// A node before `origin` with one filter, `name`, whose `[[plugin]]` has `keys` more.
async fn filtered(origin: &Origin, name: &str, keys: &str, site: &str) -> Node {
    let more = format!(
        "[node]\ndata = \"data\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\n{keys}\n[site]\nfilters = [\"f\"]\ndefault_ttl = \"1m\"\n{site}"
    );
    Node::start(BINARY, &config(&[origin], &more), &[("f.wasm", &plugin(name))]).await
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// An origin that tells in its body what it was asked for.
async fn telling() -> Origin {
    Origin::start(|request| {
        let told = format!("{} tier={}", request.path, request.field("x-tier").unwrap_or_default());
        Response::ok(&["server: secret", "content-type: text/html"], told.as_bytes())
    })
    .await
}

#[tokio::test]
async fn fields_are_changed_on_misses_and_hits_and_what_is_stored_stays_apart() {
    let origin = telling().await;
    let keys = "config = { request = { set = { x-tier = \"edge\" } }, origin = { set = { x-stored = \"1\" } }, response = { remove = [\"server\"], set = { x-frame-options = \"DENY\" } } }";
    let node = filtered(&origin, "filter-headers", keys, "").await;
    for expected in ["fwd=uri-miss", "hit"] {
        let reply = node.get("site.example", "/a", &[]).await;
        assert!(reply.field("cache-status").contains(expected), "{reply:?}");
        assert_eq!((reply.status, text(&reply)), (200, "/a tier=edge".into()));
        assert_eq!([reply.field("x-frame-options"), reply.field("x-stored"), reply.field("server")], ["DENY", "1", ""]);
    }
    let metrics = node.metrics().await;
    let calls = |point: &str| metrics[&format!("littoral_filter_calls_total{{plugin=\"f\",point=\"{point}\"}}")];
    assert_eq!([calls("request"), calls("origin"), calls("response"), calls("body")], [2.0, 1.0, 2.0, 0.0]);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(
        told.contains(r#""points":["request","origin","response"]"#) && told.contains(r#""on_fault":"open""#),
        "{told}"
    );
}

#[tokio::test]
async fn what_filters_see_and_change_of_a_plain_hit_is_what_they_do_of_every_other() {
    let origin = Origin::start(|_| {
        let fields = ["etag: \"v1\"", "surrogate-key: k", "x-two: one", "x-two: two", "x-gone: x", "age: 7"];
        Response::ok(&fields, b"body")
    })
    .await;
    let twice = "[[plugin]]\nname = \"g\"\nfile = \"f.wasm\"\nconfig = { how = \"tell\", at = \"\" }\n[site]\n";
    let keys = "config = { how = \"tell\", at = \"\" }";
    let more = format!(
        "[node]\ndata = \"data\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\n{keys}\n{twice}filters = [\"f\", \"g\"]\ndefault_ttl = \"1m\"\ncompress = {{}}\n"
    );
    let node = Node::start(BINARY, &config(&[&origin], &more), &[("f.wasm", &plugin("filter-faults"))]).await;
    node.get("site.example", "/a?b", &[]).await;
    let asked = ["Accept-Encoding: br;q=0.5, gzip", "X-Asked: yes"];
    let plain = node.get("site.example", "/a?b", &asked).await;
    // A condition that does not hold is nothing for the hot path.
    let other = node.get("site.example", "/a?b", &[asked[0], asked[1], "If-None-Match: \"v0\""]).await;
    let told = |reply: &Reply| {
        let mut fields = reply.fields.clone();
        // The framework says that it keeps the connection, which goes without saying.
        fields.retain(|(name, _)| name != "date" && name != "connection");
        fields.sort();
        (reply.status, text(reply), fields)
    };
    assert_eq!(told(&plain), told(&other));
    assert!(plain.field("x-saw").contains("/a?b") && plain.field("cache-status").contains("hit"), "{plain:?}");
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_filter_calls_total{plugin=\"f\",point=\"response\"}"], 3.0);
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_origin() {
    let origin = telling().await;
    let node = filtered(&origin, "filter-cors", "config = { origins = [\"https://a.example\"] }", "").await;
    let mut client = Client::connect(node.address("http")).await;
    let preflight = ["Origin: https://a.example", "Access-Control-Request-Method: GET"];
    let fields = preflight.join("\r\n");
    client.send(format!("OPTIONS / HTTP/1.1\r\nHost: site.example\r\n{fields}\r\n\r\n")).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!((reply.status, reply.field("access-control-allow-origin")), (204, "https://a.example"));
    let reply = client.get("site.example", "/", &preflight[..1]).await;
    assert_eq!((reply.status, reply.field("access-control-allow-origin")), (200, "https://a.example"));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn signed_urls_share_what_is_stored_and_others_get_403() {
    let origin = telling().await;
    let node = filtered(
        &origin,
        "filter-signed-url",
        "on_fault = \"closed\"\nconfig = { keys = { k = \"0123456789abcdef\" } }",
        "",
    )
    .await;
    // HMAC-SHA256 of `/a?expires=99999999999&key=k`, and of the same with one second less, by `openssl dgst -hmac`.
    for (expires, signature) in [SIGNED_1, SIGNED_2] {
        let reply = node.get("site.example", &format!("/a?expires={expires}&key=k&sig={signature}"), &[]).await;
        assert_eq!((reply.status, text(&reply)), (200, "/a tier=".into()));
    }
    assert_eq!(origin.requests().len(), 1);
    let (expires, signature) = SIGNED_1;
    for wrong in ["/a".to_owned(), format!("/b?expires={expires}&key=k&sig={signature}")] {
        assert_eq!(node.get("site.example", &wrong, &[]).await.status, 403, "{wrong}");
    }
}

const SIGNED_1: (&str, &str) = ("99999999999", "8de124322048dac1daab7c0107df4e8256592c3ce072274c7676891abae4c23b");
const SIGNED_2: (&str, &str) = ("99999999998", "4dd4d1334ca69cdecc8b1871f144342ad4ccefa9645d5aa144cf1e95fdbf7d73");

#[tokio::test]
async fn ten_thousand_redirects_fit_and_lead_on() {
    let origin = telling().await;
    let rules: Vec<_> = (0..10_000).map(|rule| format!("\"/old/{rule}\" = \"/new/{rule}\"")).collect();
    let keys = format!("memory = \"16MiB\"\n[plugin.config.rules]\n{}", rules.join("\n"));
    let node = filtered(&origin, "filter-redirects", &keys, "").await;
    let reply = node.get("site.example", "/old/9999?q", &[]).await;
    assert_eq!((reply.status, reply.field("location")), (301, "/new/9999?q"));
    assert_eq!(node.get("site.example", "/other", &[]).await.status, 200);
}

#[tokio::test]
async fn a_bucket_is_shared_by_all_connections_and_needs_a_granted_store() {
    let origin = telling().await;
    let keys = "store = \"1MiB\"\nconfig = { per_second = 0.001, burst = 2 }";
    let node = filtered(&origin, "filter-rate-limit", keys, "").await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(node.get("site.example", "/a", &[]).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert!(node.metrics().await["littoral_filter_store_bytes{plugin=\"f\"}"] > 0.0);
    let without = std::fs::read_to_string(node.file("node.toml")).unwrap().replace("store = \"1MiB\"\n", "");
    std::fs::write(node.file("node.toml"), without).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("grant it one, such as `store = "), "{said}");
}

#[tokio::test]
async fn another_key_keeps_what_a_filter_tells_apart_apart_also_when_it_is_revalidated() {
    let origin = Origin::start(|request| {
        let format = request.field("accept").unwrap_or_default().to_owned();
        Response::ok(&["cache-control: max-age=0, stale-while-revalidate=600"], format.as_bytes())
    })
    .await;
    let node = filtered(&origin, "filter-accept", "config = { formats = [\"image/webp\"] }", "").await;
    let get = async |accept: &str| text(&node.get("site.example", "/a.png", &[&format!("Accept: {accept}")]).await);
    for accept in ["image/webp,*/*", "image/png", "image/webp;q=0.5"] {
        let expected = if accept.contains("webp") { "image/webp" } else { "*/*" };
        assert_eq!(get(accept).await, expected);
    }
    // The third was stale, and has its own format fetched again, under its own key.
    node.until("littoral_cache_published_total", 3.0).await;
    assert_eq!(origin.requests()[2].field("accept"), Some("image/webp"));
    assert_eq!(node.metrics().await["littoral_cache_objects"], 2.0);
}

#[tokio::test]
async fn a_body_is_rewritten_once_however_it_comes_and_stored_so() {
    let body = "x old.example y".repeat(20_000);
    let sent = body.clone();
    let origin =
        Origin::start(move |_| Response::ok(&["content-type: text/html", "etag: \"v1\""], sent.as_bytes())).await;
    let keys = "config = { replace = { \"old.example\" = \"new.example.net\" } }";
    let node = filtered(&origin, "filter-replace", keys, "").await;
    let expected = body.replace("old.example", "new.example.net");
    for _ in 0..2 {
        let reply = node.get("site.example", "/a", &["Accept-Encoding: gzip"]).await;
        assert!(reply.status == 200 && reply.whole && text(&reply) == expected);
        assert_eq!(reply.field("etag"), "W/\"v1\"", "it is not what the origin sent byte by byte");
    }
    assert_eq!(origin.requests().len(), 1);
}

/// Sends so many bytes of text to whom asks for `/long`, who may not keep them, and counts what it got rid of; others get nothing.
async fn sending(bytes: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, sent) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let counted = sent.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") && stream.read_buf(&mut asked).await? > 0 {}
                let length = if asked.starts_with(b"GET /long ") { bytes } else { 0 };
                let head = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-type: text/html\r\n";
                stream.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await?;
                let piece = [b'x'; 1 << 16];
                for _ in 0..length / piece.len() {
                    stream.write_all(&piece).await?;
                    counted.fetch_add(piece.len(), Relaxed);
                }
                std::io::Result::Ok(())
            });
        }
    });
    (url, sent)
}

#[tokio::test]
async fn an_origin_is_read_no_faster_than_a_client_takes_what_a_filter_makes_of_it() {
    // What two connections hold between them, which the kernel decides, is far less than half of it.
    const BYTES: usize = 128 << 20;
    let (url, sent) = sending(BYTES).await;
    let config = format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nconfig = {{ replace = {{ y = \"z\" }} }}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{url:?}]\nfilters = [\"f\"]\n"
    );
    let node = Node::start(BINARY, &config, &[("f.wasm", &plugin("filter-replace"))]).await;
    let mut slow = Client::connect(node.address("http")).await;
    slow.send("GET /long HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let mut reply = slow.head().await.unwrap();
    slow.chunks_until(&mut reply, 1 << 20).await;
    // As long as others take for this many requests it could be read on.
    for number in 0..500 {
        assert_eq!(node.get("site.example", &format!("/{number}"), &[]).await.status, 200);
    }
    assert!(sent.load(Relaxed) < BYTES / 2, "{} bytes were read ahead", sent.load(Relaxed));
    slow.chunks_until(&mut reply, usize::MAX).await;
    assert!(reply.whole && reply.body.len() == BYTES);
    let called = "littoral_filter_calls_total{plugin=\"f\",point=\"body\"}";
    assert!(node.metrics().await[called] > 0.0, "it was rewritten");
}

#[tokio::test]
async fn a_filter_that_misbehaves_anywhere_costs_no_request_when_it_is_open() {
    let origin = telling().await;
    let faults = [
        ("spin", "request", "deadline"),
        ("grow", "request", "memory"),
        ("trap", "request", "trap"),
        ("recurse", "origin", "trap"),
        ("header", "response", "nonsense"),
        ("framing", "origin", "nonsense"),
        ("flood", "response", "nonsense"),
        ("status", "request", "nonsense"),
        ("none", "lookup", "nonsense"),
        ("spin", "body", "deadline"),
        ("trap", "body", "trap"),
        ("hold", "body", "nonsense"),
    ];
    let keys = |how: &str, at: &str| format!("config = {{ how = \"{how}\", at = \"{at}\" }}\ndeadline = \"4ms\"");
    let (how, at, _) = faults[0];
    let node = filtered(&origin, "filter-faults", &keys(how, at), "").await;
    let toml = std::fs::read_to_string(node.file("node.toml")).unwrap();
    for (number, (next_how, next_at, kind)) in faults.into_iter().enumerate() {
        std::fs::write(node.file("node.toml"), toml.replace(&keys(how, at), &keys(next_how, next_at))).unwrap();
        assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
        let fault = format!("littoral_filter_faults_total{{plugin=\"f\",point=\"{next_at}\",kind=\"{kind}\"}}");
        let before = node.metrics().await.get(&fault).copied().unwrap_or(0.0);
        for request in 0..5 {
            let path = format!("/{number}/{request}");
            let reply = node.get("site.example", &path, &[]).await;
            assert_eq!((reply.status, reply.whole), (200, true), "{next_how} at {next_at}: {reply:?}");
            assert_eq!(text(&reply), format!("{path} tier="), "{next_how} at {next_at}");
            assert_eq!([reply.field("x-half"), reply.field("set-cookie")], ["", ""], "{next_how} at {next_at}");
        }
        let metrics = node.metrics().await;
        let counted = metrics.get(&fault).copied().unwrap_or(0.0) - before;
        assert!(counted >= 1.0, "{next_how} at {next_at}: {:?}", node.admin("GET", "/v1/plugins", "").await.1);
        assert_eq!(metrics["littoral_http_broken_total"], 0.0);
    }
}

#[tokio::test]
async fn a_filter_that_must_not_be_gone_past_costs_a_503_and_in_quarantine_too() {
    let origin = telling().await;
    for at in ["request", "origin", "response"] {
        let keys = format!("on_fault = \"closed\"\nconfig = {{ how = \"trap\", at = \"{at}\" }}");
        let node = filtered(&origin, "filter-faults", &keys, "").await;
        for request in 0..5 {
            let reply = node.get("site.example", &format!("/{request}"), &[]).await;
            assert_eq!(reply.status, 503, "{at}: {reply:?}");
        }
        let (_, told) = node.admin("GET", "/v1/plugins", "").await;
        assert!(told.contains(r#""state":"quarantined""#) && told.contains("unreachable"), "{told}");
    }
}

#[tokio::test]
async fn a_body_that_a_closed_filter_gives_up_is_cut_off_and_not_stored() {
    let origin = telling().await;
    let keys = "on_fault = \"closed\"\nconfig = { how = \"trap\", at = \"body\" }";
    let node = filtered(&origin, "filter-faults", keys, "").await;
    let reply = node.get("site.example", "/a", &[]).await;
    assert!(!reply.whole || reply.status == 503, "{reply:?}");
    assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0);
}

#[tokio::test]
async fn what_is_no_filter_or_cannot_start_is_refused_with_the_fix() {
    let origin = telling().await;
    let node = filtered(&origin, "filter-headers", "config = {}", "").await;
    let toml = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("p.wasm"), plugin("route-geo")).unwrap();
    std::fs::write(node.file("x.wasm"), plugin("filter-faults")).unwrap();
    let case = "[[case]]\nname = \"n\"\norigin = {}\nexpect = { response = { fields = { x-a = \"1\" } } }\n";
    std::fs::write(node.file("f.vectors.toml"), case).unwrap();
    let trust = format!("[plugins]\ntrusted_keys = [\"ed25519:{}\"]\n[[plugin]]", "07".repeat(32));
    for (from, to, expected) in [
        ("[[plugin]]", &*trust, "it is not signed: sign it with"),
        ("f.wasm", "p.wasm", "is no filter: name another in site.filters"),
        ("config = {}", "config = { respones = {} }", "respones"),
        ("config = {}", "fuel = 5", "use deadline"),
        ("config = {}", "vectors = \"f.vectors.toml\"", "1 of 1 vectors of"),
        ("config = {}", "deadline = \"2s\"", "plugin.deadline is 1ms to 1s"),
        ("filters = [\"f\"]", "filters = [\"g\"]", "site.filters names no [[plugin]]"),
        ("filters = [\"f\"]", "filters = [\"f\", \"f\"]", "is there twice: keep one"),
        (
            "file = \"f.wasm\"\nconfig = {}",
            "file = \"x.wasm\"\nconfig = { how = \"init\", at = \"\" }",
            "its init failed",
        ),
        (
            "file = \"f.wasm\"\nconfig = {}",
            "file = \"x.wasm\"\nconfig = { how = \"\", at = \"\" }\n#",
            "remove slice or ranges",
        ),
    ] {
        let slice = if expected.contains("slice") { "slice = \"64KiB\"\n" } else { "" };
        std::fs::write(node.file("node.toml"), toml.replace(from, to) + slice).unwrap();
        let (status, said) = node.admin("POST", "/v1/reload", "").await;
        assert!(status == 422 && said.contains(expected), "{to}: {said}");
        assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn a_filter_is_replaced_under_traffic_by_its_changed_file() {
    let origin = telling().await;
    let node = filtered(&origin, "filter-headers", "config = { response = { set = { x-a = \"1\" } } }", "").await;
    assert_eq!(node.get("site.example", "/a", &[]).await.field("x-a"), "1");
    let changed = [&plugin("filter-headers")[..], b"\0\x02\x01x"].concat();
    std::fs::write(node.file("f.new"), changed).unwrap();
    std::fs::rename(node.file("f.new"), node.file("f.wasm")).unwrap();
    while node.metrics().await["littoral_plugin_generation{plugin=\"f\"}"] < 2.0 {
        assert_eq!(node.get("site.example", "/a", &[]).await.field("x-a"), "1");
    }
    assert_eq!(node.admin("POST", "/v1/plugins/f/reload", "").await, (200, r#"{"generation":3}"#.into()));
    assert_eq!(node.get("site.example", "/a", &[]).await.field("x-a"), "1");
}
