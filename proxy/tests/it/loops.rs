//! Requests that go round in circles (RFC 8586).

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, node_before};

#[tokio::test]
async fn an_origin_is_told_whom_a_request_has_passed_even_when_the_client_would_hide_it() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let node = node_before(&origin, "[node]\nname = \"ams1-a\"").await;
    let before = ["CDN-Loop: other; a=\"b, c\"", "CDN-Loop: third", "Connection: cdn-loop"];
    for fields in [&before[..0], &before[..2], &before[..]] {
        assert_eq!(node.get("site.example", "/a", fields).await.status, 200);
    }
    let told: Vec<_> = origin.requests().iter().map(|asked| asked.field("cdn-loop").unwrap().to_owned()).collect();
    assert_eq!(told, ["ams1-a", "other; a=\"b, c\", third, ams1-a", "other; a=\"b, c\", third, ams1-a"]);
}

#[tokio::test]
async fn what_has_passed_this_node_before_is_refused_and_counted() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "[limits]\npasses = 1").await;
    for (field, expected) in [
        ("CDN-Loop: other", 200),
        ("CDN-Loop: littoral", 200),
        ("CDN-Loop: littoral, other, Littoral;x=y", 508),
        ("Via: 1.1 littoral, 1.1 b, 1.1 littoral", 508),
    ] {
        // No plain hit, so that the request takes the long way.
        assert_eq!(node.get("site.example", "/a", &[field, "Range: none=1"]).await.status, expected, "{field}");
    }
    assert_eq!(node.metrics().await["littoral_http_loops_total"], 2.0);
}

#[tokio::test]
async fn a_node_whose_origin_is_itself_answers_508_at_once() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let node = Node::start(BINARY, &config(&[&origin], ""), &[]).await;
    let itself = format!("http://{}", node.address("http"));
    std::fs::write(node.file("node.toml"), config(&[&origin], "").replace(&origin.url(), &itself)).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 508);
    assert_eq!((origin.requests().len(), node.metrics().await["littoral_http_loops_total"]), (0, 1.0));
}
