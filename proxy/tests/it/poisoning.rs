//! What somebody sends to spoil a cache for others (cache poisoning), or to make it keep what is theirs (cache deception).

use littoral_testkit::{Body, Client, Origin, Request, Response};

use super::{get, node_before};

const FRESH: &str = "cache-control: max-age=60";

#[tokio::test]
async fn what_is_not_in_the_key_and_changes_what_applications_answer_does_not_reach_the_origin() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let node = node_before(&origin, "").await;
    let fields = [
        "X-Forwarded-Host: evil.example",
        "X-Host: evil.example",
        "X-Forwarded-Scheme: nothttps",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /evil",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: PUT",
        "X-Method-Override: PUT",
        "Forwarded: host=evil.example",
        "X-Other: kept",
    ];
    node.get("site.example", "/a", &fields).await;
    let seen = &origin.requests()[0];
    let names = fields.iter().filter_map(|field| field.split_once(':')).map(|(name, _)| name.to_lowercase());
    let passed: Vec<_> = names.filter(|name| seen.field(name).is_some()).collect();
    assert_eq!(passed, ["x-other"]);
}

#[tokio::test]
async fn what_a_site_keys_by_reaches_the_origin() {
    let origin = Origin::start(|request: &Request| {
        let host = request.field("x-forwarded-host").unwrap_or("none").to_owned();
        Response::ok(&[FRESH], host.as_bytes())
    })
    .await;
    let node = node_before(&origin, "[site]\nkey = { headers = [\"x-forwarded-host\"] }\n").await;
    for host in ["a", "b"] {
        let reply = node.get("site.example", "/a", &[&format!("X-Forwarded-Host: {host}")]).await;
        assert_eq!(reply.body, host.as_bytes());
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_neither_answered_from_the_cache_nor_stored() {
    // It reads no bodies: each connection is for one request.
    let origin = Origin::start(|_| Response::ok(&[FRESH, "connection: close"], b"x")).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    for body in ["Content-Length: 4\r\n\r\nevil", "Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"] {
        client.send(format!("GET /a HTTP/1.1\r\nHost: site.example\r\n{body}")).await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!(reply.field("cache-status"), "littoral; fwd=bypass; detail=body", "{body:?}");
    }
    assert!(get(&node, "/a").await.field("cache-status").contains("fwd=uri-miss"));
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn an_error_that_one_request_provoked_is_not_kept_for_the_others() {
    let origin = Origin::start(|request: &Request| match request.field("x-large") {
        Some(_) => Response { status: 400, fields: Vec::new(), body: Body::Whole(b"too large".to_vec()) },
        None => Response::ok(&[FRESH], b"x"),
    })
    .await;
    let node = node_before(&origin, "").await;
    let large = format!("X-Large: {}", "a".repeat(20_000));
    assert_eq!(node.get("site.example", "/a", &[&large]).await.status, 400);
    assert_eq!(get(&node, "/a").await.status, 200);
}

#[tokio::test]
async fn a_private_page_under_the_name_of_a_picture_is_not_kept_unless_it_says_so() {
    let origin = Origin::start(|_| Response::ok(&["content-type: text/html"], b"your account")).await;
    let node = node_before(&origin, "").await;
    for path in ["/account/x.css", "/account;x.css", "/account%2Fx.css", "/account?x.css", "/account/..%2fx.css"] {
        for _ in 0..2 {
            assert!(get(&node, path).await.field("cache-status").contains("no-lifetime"), "{path}");
        }
        assert_eq!(origin.count(path), 2, "asked for as it was written");
    }
}

#[tokio::test]
async fn paths_that_an_origin_may_take_for_the_same_are_different_keys() {
    let origin = Origin::start(|request: &Request| Response::ok(&[FRESH], request.path.as_bytes())).await;
    let node = node_before(&origin, "").await;
    for path in ["/a", "//a", "/./a", "/b/../a", "/%61", "/a/", "/a?", "/a;x", "/A"] {
        assert_eq!(get(&node, path).await.body, path.as_bytes());
    }
    assert_eq!(node.metrics().await["littoral_cache_objects"], 9.0);
}
