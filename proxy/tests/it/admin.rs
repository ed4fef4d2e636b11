//! The admin API.

use littoral_testkit::{Body, Client, Gate, Origin, Response};

use super::{get, node_before};

#[tokio::test]
async fn every_metric_told_is_documented_and_has_its_help() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let (status, text) = node.admin("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() > 20, "{text}");
    for name in names {
        assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[tokio::test]
async fn histograms_count_every_request_fill_and_object_once() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], &[b'x'; 300])).await;
    let node = node_before(&origin, "").await;
    for path in ["/a", "/a", "/a", "/b"] {
        get(&node, path).await;
    }
    // A time is known only when its response has ended, which the client sees first.
    let count = |name: &'static str| async { node.metrics().await[name] };
    while count("littoral_http_request_seconds_count{outcome=\"hit\"}").await < 2.0 {}
    while count("littoral_http_request_seconds_count{outcome=\"miss\"}").await < 2.0 {}
    let metrics = node.metrics().await;
    for (name, expected) in [
        ("littoral_http_request_seconds_count{outcome=\"hit\"}", 2.0),
        ("littoral_http_request_seconds_bucket{outcome=\"hit\",le=\"+Inf\"}", 2.0),
        ("littoral_http_request_seconds_count{outcome=\"miss\"}", 2.0),
        ("littoral_origin_first_byte_seconds_count", 2.0),
        ("littoral_cache_fill_seconds_count", 2.0),
        ("littoral_cache_object_bytes_bucket{le=\"256\"}", 0.0),
        ("littoral_cache_object_bytes_bucket{le=\"1024\"}", 2.0),
        ("littoral_cache_object_bytes_sum", 600.0),
    ] {
        assert_eq!(metrics[name], expected, "{name}");
    }
}

#[tokio::test]
async fn health_stats_and_objects_are_told() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    get(&node, "/a").await;
    assert_eq!(node.admin("GET", "/healthz", "").await, (200, "ok\n".into()));
    assert_eq!(node.admin("GET", "/readyz", "").await.0, 200);
    let (_, stats) = node.admin("GET", "/v1/stats", "").await;
    assert!(stats.contains("\"hit\":1") && stats.contains("\"objects\":1"), "{stats}");
    let (_, object) = node.admin("GET", "/v1/cache/object?url=http://site.example/a", "").await;
    assert!(
        object.contains("\"state\":\"fresh\"") && object.contains("\"bytes\":5") && object.contains("\"hits\":1"),
        "{object}"
    );
    let told: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&told["key"], &told["tier"]), (&"site.example /a".into(), &"memory".into()), "{object}");
    assert_eq!(told["variants"].as_array().map(Vec::len), Some(1), "{object}");
    let (_, absent) = node.admin("GET", "/v1/cache/object?url=http://site.example/b", "").await;
    assert!(absent.contains("\"state\":\"absent\""), "{absent}");
    let (_, page) = node.admin("GET", "/", "").await;
    assert!(page.contains("<!doctype html>") || page.contains("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_key_is_explained_and_so_is_the_variant_that_a_request_gets() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60", "vary: accept-encoding"], b"x")).await;
    let rules = "[site]\nencodings = [\"br\", \"gzip\"]\nkey = { query = \"sort\", drop = [\"utm_*\"], headers = [\"x-tier\"], cookies = [\"lang\"] }\n";
    let node = node_before(&origin, rules).await;
    for tier in ["gold", "iron"] {
        let fields =
            [format!("X-Tier: {tier}"), "Accept-Encoding: gzip;q=0.5, br".into(), "Cookie: a=b; lang=nl".into()];
        node.get("site.example", "/a?z=1&utm_source=x&b=2", &fields.each_ref().map(String::as_str)).await;
    }
    let ask = async |fields: &str| {
        let url = "http://site.example/a?z=1%26utm_source=y%26b=2";
        let (status, said) = node.admin("GET", &format!("/v1/cache/object?url={url}{fields}"), "").await;
        (status, serde_json::from_str::<serde_json::Value>(&said).unwrap_or_else(|_| said.into()))
    };
    let (_, told) = ask("&field=x-tier:iron&field=Accept-Encoding:br&field=cookie:lang=nl").await;
    let explained = &told["explained"];
    assert_eq!((&told["key"], &explained["path"]), (&"site.example /a?b=2&z=1".into(), &"/a?b=2&z=1".into()), "{told}");
    assert_eq!(explained["dropped"], serde_json::json!(["utm_source=y"]), "{told}");
    assert_eq!((&explained["headers"][0], &explained["cookies"][0]), (&"x-tier".into(), &"lang".into()), "{told}");
    assert_eq!(explained["folded"], serde_json::json!({ "accept-encoding": "br" }), "{told}");
    let selected = |told: &serde_json::Value| {
        let variants = told["variants"].as_array().unwrap().clone();
        (variants.len(), variants.iter().filter(|variant| variant["selected"] == true).count())
    };
    assert_eq!(selected(&told), (2, 1), "{told}");
    assert_eq!(selected(&ask("&field=x-tier:lead&field=accept-encoding:br&field=cookie:lang=nl").await.1), (2, 0));
    for (wrong, expected) in [("&field=x", "field=NAME:VALUE"), ("&feild=x:y", "unknown parameter \"feild\"")] {
        let (status, said) = ask(wrong).await;
        assert!(status == 400 && said.to_string().contains(&expected.replace('"', "\\\"")), "{said}");
    }
}

#[tokio::test]
async fn every_variant_of_a_url_and_what_is_on_its_way_is_told() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.field("x-slow") {
        Some(_) => Response::with(
            &["cache-control: max-age=60", "vary: x-kind, x-slow"],
            Body::Gated(b"o".to_vec(), held.clone(), b"ne".to_vec()),
        ),
        None => Response::ok(
            &["cache-control: max-age=60, stale-if-error=9", "vary: x-kind, x-slow", "surrogate-key: a b"],
            b"hello",
        ),
    })
    .await;
    let node = node_before(&origin, "").await;
    for kind in ["x-kind: 1", "x-kind: 2"] {
        node.get("site.example", "/a", &[kind]).await;
    }
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\nX-Slow: 1\r\n\r\n").await;
    client.head().await.unwrap();
    let (_, said) = node.admin("GET", "/v1/cache/object?url=http://site.example/a", "").await;
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    let (variants, in_flight) = (told["variants"].as_array().unwrap(), told["in_flight"].as_array().unwrap());
    assert_eq!((variants.len(), in_flight.len()), (2, 1), "{said}");
    for variant in variants {
        assert_eq!((&variant["surrogate_keys"], &variant["stale_if_error_s"]), (&2.into(), &9.into()), "{said}");
        assert_eq!((&variant["pinned"], &variant["vary"]), (&false.into(), &"x-kind, x-slow".into()), "{said}");
    }
    assert_eq!((&in_flight[0]["state"], &in_flight[0]["promised_bytes"]), (&"filling".into(), &3.into()));
    gate.open();
    assert_eq!(client.bytes(3).await, b"one");
}

#[tokio::test]
async fn top_tells_the_hottest_keys_first_and_the_origins() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await;
    let node = node_before(&origin, "").await;
    for (path, times) in [("/cold", 1), ("/hot", 5), ("/warm", 3)] {
        for _ in 0..times {
            get(&node, path).await;
        }
    }
    let (status, said) = node.admin("GET", "/v1/top", "").await;
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    let keys: Vec<&str> = told["hot"].as_array().unwrap().iter().map(|hot| hot["key"].as_str().unwrap()).collect();
    assert_eq!((status, keys), (200, vec!["site.example /hot", "site.example /warm", "site.example /cold"]));
    assert_eq!((&told["requests"]["hit"], &told["cache"]["objects"]), (&6.into(), &3.into()), "{said}");
    assert_eq!((&told["origins"][0]["origin"], &told["origins"][0]["asked"]), (&origin.url().into(), &true.into()));
}

#[tokio::test]
async fn wrong_calls_are_told_what_is_wrong() {
    let origin = Origin::start(|_| Response::default()).await;
    let node = node_before(&origin, "").await;
    for (method, path, body, status, expected) in [
        ("POST", "/v1/purge", "{}", 400, "give at least one"),
        ("POST", "/v1/purge", r#"{"host": "a/b"}"#, 400, "write the name of a host alone"),
        ("POST", "/v1/purge", r#"{"all": true, "regex": "("}"#, 400, "unclosed group"),
        ("POST", "/v1/purge", r#"{"regex": ["a{999999999}"]}"#, 400, "exceeds size limit"),
        ("POST", "/v1/purge", r#"{"url": "nonsense"}"#, 400, "write a whole URL"),
        ("POST", "/v1/plugins/none/reload", "", 422, "no plugin is called"),
        ("GET", "/v1/explain?client=192.0.2.1&name=x", "", 404, "no [[service]]"),
        ("GET", "/v1/nothing", "", 404, "no such path"),
        ("GET", "/v1/explain?client=x&name=y", "", 400, "client: invalid IP address syntax"),
        ("GET", "/v1/cache/object", "", 400, "missing field `url`"),
        ("GET", "/v1/warm/x", "", 400, "Cannot parse `x` to a `u64`"),
        ("POST", "/v1/purge", "{", 400, "EOF while parsing"),
        ("POST", "/v1/purge", r#"{"urls": "x"}"#, 422, "unknown field `urls`"),
        ("POST", "/v1/stats", "", 405, "405 Method Not Allowed"),
    ] {
        let (found, said) = node.admin(method, path, body).await;
        let told: serde_json::Value = serde_json::from_str(&said).unwrap();
        let said = told["error"].as_str().unwrap();
        assert!(found == status && said.contains(expected), "{path}: {found} {said}");
    }
}

#[tokio::test]
async fn the_data_port_answers_health_probes_and_nothing_of_the_admin_api() {
    let origin = Origin::start(|_| Response { status: 404, ..Response::default() }).await;
    let node = node_before(&origin, "").await;
    let health = node.get("any.example", "/.well-known/littoral", &[]).await;
    assert!(health.status == 200 && String::from_utf8_lossy(&health.body).contains("load_permille"));
    for path in ["/metrics", "/v1/purge", "/v1/stats"] {
        assert_eq!(get(&node, path).await.status, 404, "{path} goes to the origin like any other");
    }
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_runs_and_is_not_ready_for_more() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_| {
        Response::with(
            &["cache-control: max-age=60"],
            Body::Gated(b"first ".to_vec(), held.clone(), b"second".to_vec()),
        )
    })
    .await;
    let mut node = node_before(&origin, "").await;
    assert_eq!(node.admin("GET", "/readyz", "").await, (200, "ready\n".into()));
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    client.head().await.unwrap();
    node.signal("TERM");
    while node.admin("GET", "/readyz", "").await.0 != 503 {}
    gate.open();
    assert_eq!(client.bytes(12).await, b"first second");
    assert_eq!(node.ended().await, Some(0));
}
