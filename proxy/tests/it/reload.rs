//! A running node whose config changes: by signal, by the admin API, by both at once.

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, get};

#[tokio::test]
async fn sighup_reloads_and_sigterm_ends_it_with_code_0() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let mut node = Node::start(BINARY, &config(&[&origin], ""), &[]).await;
    let good = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), good.replace("site.example", "other.example")).unwrap();
    node.signal("HUP");
    while node.get("other.example", "/a", &[]).await.status != 200 {}
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn origins_named_by_host_answer_right_after_a_reload() {
    let [first, second] =
        [Origin::start(|_| Response::ok(&[], b"1")).await, Origin::start(|_| Response::ok(&[], b"2")).await];
    let named = |origin: &Origin| config(&[origin], "").replace("http://127.0.0.1:", "http://localhost:");
    let node = Node::start(BINARY, &named(&first), &[]).await;
    assert_eq!(get(&node, "/a").await.status, 200);
    // One site as before and one that is new: the names of both have addresses when the reload is answered.
    let site = named(&second).split_once("[[site]]").unwrap().1.replace("site.example", "other.example");
    std::fs::write(node.file("node.toml"), format!("{}[[site]]{site}", named(&first))).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(&get(&node, "/b").await.body[..], b"1");
    assert_eq!(&node.get("other.example", "/b", &[]).await.body[..], b"2");
}

#[tokio::test]
async fn reloads_at_once_are_made_one_after_another() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let node = Node::start(BINARY, &config(&[&origin], ""), &[]).await;
    let reloads = (0..8).map(|_| node.admin("POST", "/v1/reload", ""));
    for (status, said) in futures_util::future::join_all(reloads).await {
        assert_eq!((status, said.as_str()), (200, r#"{"needs_restart":[],"reloaded":true}"#));
    }
    assert_eq!(get(&node, "/a").await.status, 200);
}
