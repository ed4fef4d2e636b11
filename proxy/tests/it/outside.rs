//! What filters have outside of a request, where they are granted it: what they keep on disk, and whom they dial.

use std::path::Path;
use std::time::Duration;

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, refused};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::upgrade::upgrade;
use super::{BINARY, REQUIRED, config, services};

const DISK: &str = "durable = \"1MiB\"\ndial = [\"127.0.0.1:*\"]\n";

/// The config of a node with the filter that does as requests say, whose `[[plugin]]` has `keys`.
async fn text(data: &Path, keys: &str) -> String {
    let origin = services::origin().await;
    let more = format!(
        "[node]\ndata = {data:?}\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\n{keys}\n[site]\nfilters = [\"f\"]\ndefault_ttl = \"1m\"\n"
    );
    config(&[&origin], &more)
}

async fn start(data: &Path, keys: &str) -> Node {
    Node::start(BINARY, &text(data, keys).await, &[("f.wasm", &plugin("filter-outside"))]).await
}

/// What the filter says that it has done.
async fn done(node: &Node, what: &str) -> String {
    let reply = node.get("site.example", "/a", &[&format!("x-do: {what}")]).await;
    String::from_utf8_lossy(&reply.body).trim_end().to_owned()
}

async fn sample(node: &Node, name: &str) -> f64 {
    node.metrics().await.get(&format!("littoral_plugin_{name}")).copied().unwrap_or(-1.0)
}

/// Somebody who answers each line in upper case; its port.
async fn upper() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut stream, mut line) = (BufReader::new(stream), String::new());
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let answer = std::mem::take(&mut line).to_uppercase();
                    if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn what_a_filter_has_committed_outlives_reload_restart_and_upgrade_and_nothing_else_does() {
    let data = tempfile::tempdir().unwrap();
    let node = start(data.path(), DISK).await;
    assert_eq!([done(&node, "put a 1").await, done(&node, "note b 2").await], ["kept", "noted"]);
    assert_eq!(
        [done(&node, "get a").await, done(&node, "get b").await],
        ["1", "none"],
        "what is only noted ends with its call"
    );
    let (status, told) = node.admin("POST", "/v1/plugins/f/reload", "").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(done(&node, "get a").await, "1");
    node.signal("TERM");
    let mut node = node;
    assert_eq!(node.ended().await, Some(0));

    let mut node = start(data.path(), DISK).await;
    assert_eq!(done(&node, "get a").await, "1");
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0), "{}", node.log());
    assert_eq!([done(&node, "get a").await, done(&node, "put c 3").await], ["1", "kept"], "{}", node.log());
    assert_eq!(sample(&node, "durable_keys{plugin=\"f\"}").await, 2.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let told = &told[0];
    assert_eq!((&told["grants"]["durable_bytes"], &told["durable"]["keys"]), (&(1 << 20).into(), &2.into()));
    assert_eq!(told["manifest"]["capabilities"]["dial"]["granted"], true);
}

#[tokio::test]
async fn a_filter_dials_whom_it_was_granted_and_nobody_stays_connected_behind_a_call() {
    let (data, port, other) = (tempfile::tempdir().unwrap(), upper().await, upper().await);
    let node =
        start(data.path(), &format!("durable = \"1MiB\"\ndial = [\"127.0.0.1:{port}\", \"127.0.0.1:1\"]\n")).await;
    for word in ["one", "two"] {
        assert_eq!(done(&node, &format!("ask 127.0.0.1 {port} {word}")).await, word.to_uppercase());
    }
    assert_eq!(done(&node, &format!("ask 127.0.0.1 {other} x")).await, "no: it may not be dialled");
    assert_eq!(done(&node, "ask 127.0.0.1 1 x").await, "no: it cannot be connected to");
    for _ in 0..20 {
        assert_eq!(done(&node, &format!("hold 127.0.0.1 {port}")).await, "held", "the one before has ended");
    }
    let of = async |outcome: &str| sample(&node, &format!("dials_total{{plugin=\"f\",outcome=\"{outcome}\"}}")).await;
    assert_eq!([of("connected").await, of("not-granted").await, of("unreachable").await], [22.0, 1.0, 1.0]);
    assert_eq!(sample(&node, "dialled{plugin=\"f\"}").await, 0.0);
    assert_eq!(done(&node, &format!("ask 127.0.0.1 {port} three")).await, "THREE");
    assert_eq!(sample(&node, "faults_total{plugin=\"f\",kind=\"trap\"}").await, 0.0);
}

#[tokio::test]
async fn at_the_response_neither_is_there_and_clients_are_answered_all_the_same() {
    let (data, port) = (tempfile::tempdir().unwrap(), upper().await);
    let node = start(data.path(), DISK).await;
    for (what, faults) in [("put a 1".to_owned(), 1.0), (format!("ask 127.0.0.1 {port} x"), 2.0)] {
        let reply = node.get("site.example", "/a", &[&format!("x-do-later: {what}")]).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"page"[..]), "{what}");
        assert_eq!(sample(&node, "faults_total{plugin=\"f\",kind=\"nonsense\"}").await, faults, "{what}");
    }
    assert_eq!(done(&node, "get a").await, "none");
}

#[tokio::test]
async fn strangers_have_a_filter_commit_so_often_in_a_second_and_no_more() {
    let data = tempfile::tempdir().unwrap();
    let node = start(data.path(), &format!("{DISK}deadline = \"1s\"\n")).await;
    let made: u64 = done(&node, "commits 400").await.parse().unwrap();
    // As many as there are in one second; a second that begins meanwhile brings as many again.
    assert!((64..400).contains(&made), "{made}");
    let busy = sample(&node, "durable_refused_total{plugin=\"f\",kind=\"busy\"}").await;
    assert_eq!(busy as u64, 400 - made);
}

/// Somebody who says an octet now and then, and never ends a line; the port.
async fn dripping() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut drops = tokio::time::interval(Duration::from_millis(100));
        while stream.write_all(b"x").await.is_ok() {
            drops.tick().await;
        }
    });
    port
}

#[tokio::test]
async fn somebody_who_never_comes_to_an_end_keeps_a_call_waiting_for_its_bound_and_no_longer() {
    let (data, port) = (tempfile::tempdir().unwrap(), dripping().await);
    let node = start(data.path(), DISK).await;
    // No single wait of it is long; a line of the 1024 octets that are asked for would be there after two minutes.
    assert_eq!(done(&node, &format!("ask 127.0.0.1 {port} x")).await, "no: the peer was silent for too long");
    assert_eq!(sample(&node, "dialled_troubles_total{plugin=\"f\",kind=\"timeout\"}").await, 1.0);
    assert_eq!(sample(&node, "faults_total{plugin=\"f\",kind=\"deadline\"}").await, 0.0, "it has waited, not computed");
    assert_eq!(done(&node, "put a 1").await, "kept", "the next call has time of its own");
}

#[tokio::test]
async fn a_tick_asks_somebody_and_keeps_what_it_heard() {
    let (data, port) = (tempfile::tempdir().unwrap(), upper().await);
    let node = start(data.path(), &format!("{DISK}config = {{ tick = \"ask 127.0.0.1 {port}\" }}\n")).await;
    node.until("littoral_plugin_ticks_total{plugin=\"f\",outcome=\"done\"}", 1.0).await;
    assert_eq!(done(&node, "get answer").await, "TICK");
}

#[tokio::test]
async fn a_filter_that_is_not_granted_what_it_asks_for_is_refused_with_what_to_write() {
    let data = tempfile::tempdir().unwrap();
    let guest = plugin("filter-outside");
    for (keys, said) in [
        ("", "grant it one, such as `durable = \"64MiB\"`"),
        ("durable = \"1MiB\"", "say whom it may, such as `dial = "),
        ("durable = \"1MiB\"\ndial = [\"*\"]", "dial"),
        ("durable = \"1MiB\"\ndial = [\"*:25\"]\ncontent = [\"a.example/*\"]", "content is for swarms"),
    ] {
        let text = text(data.path(), keys).await;
        let (code, told) = refused(BINARY, &(text + REQUIRED), &[("f.wasm", &guest)]);
        assert!(code == Some(2) && told.contains(said), "{keys}: {told}");
    }
    let policy = plugin("route-geo");
    let (code, told) = refused(BINARY, &text(data.path(), "durable = \"1MiB\"").await, &[("f.wasm", &policy)]);
    assert!(code == Some(2) && told.contains("durable is for filters and services, and this is a policy"), "{told}");
}
