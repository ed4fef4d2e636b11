//! Nodes before nodes: a parent tier, and the siblings of a cluster.

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, get};

const FRESH: &str = "cache-control: max-age=60";

/// A node called `name` before `origin`; `site` goes into its site.
async fn node(name: &str, origin: &Origin, site: &str) -> Node {
    Node::start(BINARY, &text(name, origin, site), &[]).await
}

fn text(name: &str, origin: &Origin, site: &str) -> String {
    config(&[origin], &format!("[node]\nname = {name:?}\n[site]\n{site}"))
}

fn url(node: &Node) -> String {
    format!("http://{}", node.address("http"))
}

/// `a` and `b` with each other in their lists.
pub(crate) async fn siblings(origin: &Origin, named: bool) -> [Node; 2] {
    let nodes = [node("a", origin, "").await, node("b", origin, "").await];
    let entry = |(name, node): (&str, &Node)| match named {
        true => format!("{{ url = {:?}, name = {name:?} }}", url(node)),
        false => format!("{:?}", url(node)),
    };
    let list: Vec<String> = ["a", "b"].into_iter().zip(&nodes).map(entry).collect();
    for (name, node) in ["a", "b"].into_iter().zip(&nodes) {
        let shield = format!("shield = {{ nodes = [{}] }}", list.join(", "));
        std::fs::write(node.file("node.toml"), text(name, origin, &shield)).unwrap();
        assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    }
    nodes
}

#[tokio::test]
async fn edges_share_what_their_parent_has_and_both_caches_are_told_of() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let parent = node("parent", &origin, "").await;
    let shield = format!("shield = {{ nodes = [{:?}] }}", url(&parent));
    let edges = [node("edge-1", &origin, &shield).await, node("edge-2", &origin, &shield).await];
    let mut told = Vec::new();
    for edge in &edges {
        let reply = get(edge, "/a").await;
        let statuses = reply.fields.iter().filter(|(name, _)| name == "cache-status");
        told.push(statuses.map(|(_, value)| value.clone()).collect::<Vec<_>>());
    }
    let miss = "littoral; fwd=uri-miss; stored";
    assert!(told[0][0].starts_with(miss) && told[0][1].starts_with(miss), "{told:?}");
    assert!(told[1][0].starts_with("littoral; hit") && told[1][1].starts_with(miss), "{told:?}");
    assert_eq!(origin.count("/a"), 1);
    assert_eq!(origin.requests()[0].field("cdn-loop").unwrap().split(';').next(), Some("edge-1"));
    assert!(origin.requests()[0].field("cdn-loop").unwrap().ends_with(", parent"));
}

#[tokio::test]
async fn siblings_ask_the_origin_once_for_each_object_and_never_each_other_in_turn() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let nodes = siblings(&origin, true).await;
    for path in (0..24).map(|number| format!("/{number}")) {
        for node in &nodes {
            assert_eq!(get(node, &path).await.status, 200);
        }
        assert_eq!(origin.count(&path), 1, "{path}");
    }
    for node in &nodes {
        let metrics = node.metrics().await;
        let names = ["littoral_origin_shield_requests_total", "littoral_origin_shield_failures_total"];
        let [asked, failed] = names.map(|name| metrics[name]);
        assert!(asked > 0.0 && asked < 24.0, "each has its share: {asked}");
        assert_eq!((failed, metrics["littoral_http_loops_total"]), (0.0, 0.0));
    }
}

#[tokio::test]
async fn a_node_that_does_not_know_itself_in_the_list_asks_the_origin_after_one_detour() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let nodes = siblings(&origin, false).await;
    for path in (0..12).map(|number| format!("/{number}")) {
        assert_eq!(get(&nodes[0], &path).await.status, 200);
        assert_eq!(origin.count(&path), 1, "{path}");
    }
    assert!(nodes[0].metrics().await["littoral_http_loops_total"] > 0.0);
}

#[tokio::test]
async fn a_shield_that_fails_or_has_no_answer_costs_no_request() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: no-store"], b"x")).await;
    for status in [502, 503, 504, 508, 421] {
        let ill = Origin::start(move |_| Response { status, ..Response::default() }).await;
        let edge = node("edge", &origin, &format!("retry.times = 0\nshield = {{ nodes = [{:?}] }}", ill.url())).await;
        assert_eq!((get(&edge, "/a").await.status, ill.count("/a")), (200, 1), "{status}");
        assert_eq!(edge.metrics().await["littoral_origin_shield_failures_total"], 1.0);
    }
    let mut dead = Origin::start(|_| Response::default()).await;
    dead.address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let edge = node("edge", &origin, &format!("retry.times = 0\nshield = {{ nodes = [{:?}] }}", dead.url())).await;
    for _ in 0..6 {
        assert_eq!(get(&edge, "/a").await.status, 200);
    }
    let metrics = edge.metrics().await;
    assert_eq!(metrics["littoral_origin_shield_requests_total"], 3.0, "then it is left out");
    // Any other answer is the answer.
    let says_no = Origin::start(|_| Response { status: 404, ..Response::default() }).await;
    let edge = node("edge", &origin, &format!("shield = {{ nodes = [{:?}] }}", says_no.url())).await;
    assert_eq!(get(&edge, "/a").await.status, 404);
}

#[tokio::test]
async fn what_came_by_the_list_is_not_sent_on_by_it() {
    let origin = Origin::start(|_| Response::ok(&[], b"origin")).await;
    let shield = Origin::start(|_| Response::ok(&[], b"shield")).await;
    let edge = node("edge", &origin, &format!("shield = {{ nodes = [{:?}] }}", shield.url())).await;
    assert_eq!(get(&edge, "/a").await.body, b"shield");
    let told = shield.requests()[0].field("cdn-loop").unwrap().replace("edge;", "CDN-Loop: sibling;");
    assert_eq!(edge.get("site.example", "/b", &[&told]).await.body, b"origin");
}
