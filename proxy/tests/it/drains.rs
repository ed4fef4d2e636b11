//! Clusters that an operator drains by command: at once by every door, over reloads and restarts, and at the other deciders.

use littoral_testkit::Node;
use littoral_testkit::nats::Nats;
use serde_json::Value;

use super::control::{ZONE, control, until_answered};
use super::doors::{CLIENTS, NAME, all_get, config, littoral, origin, start};
use super::upgrade::upgrade;
use super::{BINARY, get};

async fn drain(node: &Node, method: &str, cluster: &str) -> (u16, Value) {
    let (status, told) = node.admin(method, &format!("/v1/clusters/{cluster}/drain"), "").await;
    (status, serde_json::from_str(&told).unwrap())
}

#[tokio::test]
async fn a_drained_cluster_is_answered_by_no_door_at_once_and_again_when_that_is_taken_back() {
    let origin = origin().await;
    let node = start(&config(&origin, "", "")).await;
    all_get(&node, ["one", "two", "isp"]).await;
    let (code, said) = littoral(&node, &["drain", "two"]).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(code == Some(0) && lines[0].starts_with("two is drained (by command since 20"), "{said}");
    assert!(lines[0].ends_with("others may come for 20 s more"), "{said}");
    assert_eq!(lines[1], "a restart of the node ends that: it has no node.data");
    assert_eq!(lines[2], "it is this node's alone: say it to each node that directs");
    all_get(&node, ["one", "one", "isp"]).await;
    let query = format!("/v1/explain?client={}&name={NAME}", CLIENTS[1]);
    let told: Value = serde_json::from_str(&node.admin("GET", &query, "").await.1).unwrap();
    let why = told["filtered"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("draining (by command since 20") && why.ends_with("Z, at n)"), "{told}");
    let draining = "littoral_cluster_draining{cluster=\"two\"}";
    assert_eq!(node.metrics().await[draining], 1.0);
    // Said once more it changes nothing.
    let (status, again) = drain(&node, "POST", "two").await;
    assert_eq!((status, &again["changed"], &again["draining"]), (200, &false.into(), &true.into()));
    assert!(why.contains(again["by"].as_str().unwrap()), "{again}");
    // The deep one, too, is left to those of its own.
    drain(&node, "POST", "isp").await;
    all_get(&node, ["one", "one", "one"]).await;
    // Whom nobody else may serve is served all the same.
    drain(&node, "POST", "one").await;
    all_get(&node, ["one", "one", "one"]).await;
    for cluster in ["one", "isp"] {
        assert_eq!(drain(&node, "DELETE", cluster).await.1["changed"], true);
    }
    let (code, said) = littoral(&node, &["undrain", "two"]).await;
    assert!(code == Some(0) && said.starts_with("two takes clients again"), "{said}");
    all_get(&node, ["one", "two", "isp"]).await;
    assert_eq!(drain(&node, "DELETE", "two").await.1["changed"], false);
    assert_eq!(node.metrics().await[draining], 0.0);
}

#[tokio::test]
async fn what_is_drained_stays_so_over_reloads_and_restarts() {
    let data = tempfile::tempdir().unwrap();
    let place = format!("data = {:?}", data.path());
    let origin = origin().await;
    let mut node = start(&config(&origin, &place, "")).await;
    let (status, told) = drain(&node, "POST", "two").await;
    assert_eq!((status, &told["kept"], &told["others"]), (200, &true.into(), &"alone".into()), "{told}");
    std::fs::write(node.file("node.toml"), config(&origin, &place, "drain = false")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    all_get(&node, ["one", "one", "isp"]).await;
    node.signal("KILL");
    node.ended().await;
    let node = start(&config(&origin, &place, "")).await;
    all_get(&node, ["one", "one", "isp"]).await;
    let (_, clusters) = node.admin("GET", "/v1/clusters", "").await;
    let clusters: Value = serde_json::from_str(&clusters).unwrap();
    assert_eq!(clusters[1]["draining_by"], told["by"], "since when is told as before");
    let (_, back) = drain(&node, "DELETE", "two").await;
    assert_eq!((&back["changed"], &back["kept"]), (&true.into(), &true.into()));
    all_get(&node, ["one", "two", "isp"]).await;
    drain(&node, "POST", "two").await;
    let mut node = node;
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
    all_get(&node, ["one", "one", "isp"]).await;
    assert_eq!(drain(&node, "DELETE", "two").await.1["changed"], true);
    // What the config says a command does not take back.
    std::fs::write(node.file("node.toml"), config(&origin, &place, "drain = true")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    let (_, told) = drain(&node, "DELETE", "two").await;
    assert_eq!((&told["draining"], &told["by"]), (&true.into(), &"by the config".into()), "{told}");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_not_drained_and_those_that_are_there_are_named() {
    let origin = origin().await;
    let node = start(&config(&origin, "", "")).await;
    for (method, command) in [("POST", "drain"), ("DELETE", "undrain")] {
        let (status, told) = drain(&node, method, "a%20b").await;
        let problem = "no [[cluster]] of this node has the id \"a b\"; there are: one, two, isp";
        assert_eq!((status, &told["error"]), (404, &problem.into()));
        let (code, said) = littoral(&node, &[command, "a b"]).await;
        assert!(code == Some(1) && said.contains(problem.split('"').next().unwrap()), "{said}");
    }
    let edge = Node::start(BINARY, &super::config(&[&origin], ""), &[]).await;
    assert_eq!(get(&edge, "/a").await.status, 200);
    let (status, told) = drain(&edge, "POST", "one").await;
    assert_eq!((status, told["error"].as_str().unwrap().contains("no [[zone]] or [[service]]")), (404, true));
}

/// A node that directs by what it hears at `url`, to `one`, near the client, and to `two`.
async fn decider(name: &str, url: &str) -> Node {
    let cluster = |id: &str, place: &str, address: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = {place}\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"{address}\" }}]\n"
        )
    };
    let config = format!(
        "[node]\nname = \"{name}\"\n[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}{}{}\
         [geo]\noverride = [{{ prefix = \"198.51.0.0/16\", at = [48.9, 2.4] }}]\n\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n\
         [[service]]\nname = \"svc.cdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n",
        control(url, "every = \"100ms\""),
        cluster("one", "[52.4, 4.9]", "192.0.2.11"),
        cluster("two", "[40.7, -74.0]", "192.0.2.22"),
    );
    Node::start(BINARY, &config, &[("k.zone", ZONE)]).await
}

#[tokio::test]
async fn the_other_deciders_hear_of_it_and_one_that_starts_later_does_too() {
    let nats = Nats::start("", &[]).await;
    let (here, there) = (decider("a", &nats.url()).await, decider("b", &nats.url()).await);
    for decider in [&here, &there] {
        until_answered(decider, "192.0.2.11").await;
        decider.until("littoral_control_connected", 1.0).await;
    }
    let (_, told) = drain(&here, "POST", "one").await;
    assert_eq!(told["others"], "told");
    until_answered(&there, "192.0.2.22").await;
    let (_, clusters) = there.admin("GET", "/v1/clusters", "").await;
    assert!(clusters.contains(told["by"].as_str().unwrap()), "{clusters}");
    let later = decider("c", &nats.url()).await;
    until_answered(&later, "192.0.2.22").await;
    // Whoever says so last is obeyed, wherever it is said.
    drain(&there, "DELETE", "one").await;
    for decider in [&here, &there, &later] {
        until_answered(decider, "192.0.2.11").await;
    }
}
