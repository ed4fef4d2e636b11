//! A running node whose config changes: by signal, by the admin API, by both at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Node, Origin, Response};

use super::load::{Load, Speaks};
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

#[tokio::test]
async fn reloads_under_load_fail_no_request_and_close_no_connection() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await;
    let authority = Authority::default();
    let top = "[limits]\nthreads = 2\n[[listen.https]]\nbind = \"127.0.0.1:0\"\ncert = \"c.pem\"\nkey = \"c.key\"";
    let issued = authority.issue(&["site.example"]);
    let files = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let text = config(&[&origin], top);
    let node = Node::start(BINARY, &text, &files).await;
    let [h1, h2] = [["http/1.1"], ["h2"]].map(|alpn| Arc::new(TlsClient::plain(&authority, &alpn)));
    let (http, https) = (node.address("http"), node.address("https"));
    let clients = [
        (Speaks::Plain(true), http),
        (Speaks::Plain(true), http),
        (Speaks::Tls(h1, true), https),
        (Speaks::H2(h2), https),
        (Speaks::Plain(false), http),
    ];
    let (load, clients) = Load::start(clients.to_vec());
    for round in 0..20 {
        load.answers(5).await;
        // Each time another site, other limits, another certificate, and each third time a config that is refused.
        let issued = authority.issue(&["site.example"]);
        std::fs::write(node.file("c.pem"), &issued.cert).unwrap();
        std::fs::write(node.file("c.key"), &issued.key).unwrap();
        let more = if round % 3 == 2 { "hots" } else { "hosts" };
        let site = format!("[[site]]\n{more} = [\"{round}.example\"]\norigin = [{:?}]\n", origin.url());
        let text = text.replace("threads = 2", &format!("threads = 2\nuri_bytes = \"{}KiB\"", 4 + round));
        std::fs::write(node.file("node.toml"), text + &site).unwrap();
        let (status, said) = node.admin("POST", "/v1/reload", "").await;
        assert_eq!(status, if round % 3 == 2 { 422 } else { 200 }, "{said}");
        let expected = if round % 3 == 2 { 421 } else { 200 };
        let reply = node.get(&format!("{round}.example"), "/a", &[]).await;
        assert_eq!(reply.status, expected, "{round}");
    }
    load.answers(5).await;
    assert_eq!(load.end(clients).await, (0, 0), "{}", node.log());
    assert_eq!(load.closed.load(Relaxed), 0, "every kept connection is still the first one");
}
