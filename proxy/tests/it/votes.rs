//! Deciders that vote on clusters over a real nats-server: each has a way of its own to the cluster that all of them probe.

use littoral_testkit::nats::{Nats, Way};
use littoral_testkit::{Node, Origin, PATIENCE, Response};
use serde_json::{Value, json};

use super::BINARY;
use super::control::{ZONE, asked, control, explained, until_answered};

/// Where the cluster `one` is, near the client, and `two`, which nobody probes.
const ONE: &str = "127.0.0.1";
const TWO: &str = "192.0.2.22";
/// Nobody is held for silent while these tests run.
const NEVER_SILENT: &str = "every = \"100ms\"\nsilent_after = \"1h\"\nmax_age = \"1h\"";

/// What answers the probes of the cluster `one`.
async fn cluster() -> Origin {
    Origin::start(|_| Response::ok(&[], b"{}")).await
}

/// A node that directs to both clusters and probes `one` by a way.
async fn decider(name: &str, way: &Way, url: &str, more: &str) -> Node {
    let cluster = |id: &str, place: &str, address: &str, health: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = {place}\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"{address}\" }}]\n{health}\n"
        )
    };
    let health =
        format!("health = {{ port = {}, every = \"50ms\", down_after = 2, up_after = 2 }}", way.address.port());
    let config = format!(
        "[node]\nname = \"{name}\"\n[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}{}{}\
         [geo]\noverride = [{{ prefix = \"198.51.0.0/16\", at = [48.9, 2.4] }}]\n\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n\
         [[service]]\nname = \"svc.cdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n",
        control(url, more),
        cluster("one", "[52.4, 4.9]", ONE, &health),
        cluster("two", "[40.7, -74.0]", TWO, ""),
    );
    Node::start(BINARY, &config, &[("k.zone", ZONE)]).await
}

async fn until_votes(node: &Node, up: u32, down: u32) {
    for (vote, count) in [("up", up), ("down", down)] {
        node.until(&format!("littoral_control_votes{{cluster=\"one\",vote=\"{vote}\"}}"), count.into()).await;
    }
}

async fn until_overruled(node: &Node) {
    node.until("littoral_control_overruled{cluster=\"one\"}", 1.0).await;
}

async fn until_logged(node: &Node, line: &str) {
    let logged = async { while !node.log().contains(line) && !node.metrics().await.is_empty() {} };
    tokio::time::timeout(PATIENCE, logged).await.unwrap_or_else(|_| panic!("no {line:?} in {}", node.log()));
}

/// What a decider says of the votes on `one`.
async fn quorum(node: &Node) -> Value {
    explained(node).await["control"]["quorum"]["one"].take()
}

#[tokio::test]
async fn one_decider_that_is_cut_off_from_a_cluster_does_not_take_it_out_and_two_of_three_do() {
    let (nats, cluster) = (Nats::start("", &[]).await, cluster().await);
    let ways = [Way::to(cluster.address).await, Way::to(cluster.address).await, Way::to(cluster.address).await];
    let url = nats.url();
    let mut deciders = Vec::new();
    for (name, way) in ["a", "b", "c"].iter().zip(&ways) {
        deciders.push(decider(name, way, &url, NEVER_SILENT).await);
    }
    for decider in &deciders {
        until_votes(decider, 3, 0).await;
    }
    ways[2].cut();
    for decider in &deciders {
        until_votes(decider, 2, 1).await;
    }
    until_overruled(&deciders[2]).await;
    for decider in &deciders {
        assert_eq!(asked(decider.address("dns")).await, ONE);
    }
    let told = quorum(&deciders[2]).await;
    assert_eq!((&told["state"], &told["by"]), (&"up".into(), &"quorum".into()), "{told}");
    assert_eq!(told["says"], "1 of 3 find it down, 2 are needed");
    assert_eq!(told["votes"][0], json!({ "node": "c", "vote": "down", "counts": true }));
    let others: Vec<_> = told["votes"].as_array().unwrap()[1..].iter().map(|of| (&of["node"], &of["vote"])).collect();
    assert_eq!(others, [(&"a".into(), &"up".into()), (&"b".into(), &"up".into())], "{told}");
    until_logged(&deciders[2], "deciders overrule what this node's own probes find").await;
    ways[1].cut();
    for decider in &deciders {
        until_answered(decider, TWO).await;
    }
    until_overruled(&deciders[0]).await;
    let told = explained(&deciders[0]).await;
    assert_eq!((&told["filtered"][0]["cluster"], &told["filtered"][0]["why"]), (&"one".into(), &"down".into()));
    assert_eq!(told["control"]["quorum"]["one"]["says"], "2 of 3 find it down, 2 are needed");
    ways[1].mend();
    for decider in &deciders {
        until_answered(decider, ONE).await;
    }
}

#[tokio::test]
async fn a_quorum_of_one_is_what_a_config_may_ask_for_and_a_reload_changes_it() {
    let (nats, cluster) = (Nats::start("", &[]).await, cluster().await);
    let ways = [Way::to(cluster.address).await, Way::to(cluster.address).await];
    let more = format!("{NEVER_SILENT}\nquorum = 1");
    let careful = decider("a", &ways[0], &nats.url(), &more).await;
    let other = decider("b", &ways[1], &nats.url(), NEVER_SILENT).await;
    for decider in [&careful, &other] {
        until_votes(decider, 2, 0).await;
    }
    ways[1].cut();
    until_answered(&careful, TWO).await;
    let config = std::fs::read_to_string(careful.file("node.toml")).unwrap();
    std::fs::write(careful.file("node.toml"), config.replace("quorum = 1", "quorum = \"majority\"")).unwrap();
    let told = careful.admin("POST", "/v1/reload", "").await;
    assert_eq!(told, (200, r#"{"needs_restart":[],"reloaded":true}"#.into()));
    until_answered(&careful, ONE).await;
}

#[tokio::test]
async fn a_decider_that_hears_nobody_keeps_what_was_decided_until_its_own_probes_find_something_new() {
    let (nats, cluster) = (Nats::start("", &[]).await, cluster().await);
    let ways = [Way::to(cluster.address).await, Way::to(cluster.address).await];
    let to_nats = Way::to(nats.address).await;
    let quick = "every = \"100ms\"\nsilent_after = \"3s\"\nmax_age = \"1h\"";
    let other = decider("a", &ways[0], &nats.url(), quick).await;
    let node = decider("b", &ways[1], &to_nats.url(), quick).await;
    for decider in [&other, &node] {
        until_votes(decider, 2, 0).await;
    }
    ways[1].cut();
    until_overruled(&node).await;
    to_nats.cut();
    node.until("littoral_control_state{state=\"kept\"}", 1.0).await;
    assert_eq!(asked(node.address("dns")).await, ONE, "what was decided is kept");
    assert_eq!(quorum(&node).await["by"], "quorum");
    // Of its own votes it knows the way to be there: the other one alone is silent.
    until_votes(&other, 1, 0).await;
    until_logged(&other, "no other decider's votes count any more").await;
    ways[1].mend();
    until_votes(&node, 1, 0).await;
    assert_eq!(quorum(&node).await["by"], "own probes");
    ways[1].cut();
    until_answered(&node, TWO).await;
    to_nats.mend();
    for decider in [&node, &other] {
        until_votes(decider, 1, 1).await;
        until_answered(decider, ONE).await;
    }
}

#[tokio::test]
async fn what_was_decided_is_given_up_for_the_own_probes_when_nobody_is_heard_for_too_long() {
    let (nats, cluster) = (Nats::start("", &[]).await, cluster().await);
    let ways = [Way::to(cluster.address).await, Way::to(cluster.address).await];
    let to_nats = Way::to(nats.address).await;
    let quick = "every = \"100ms\"\nsilent_after = \"2s\"\nmax_age = \"2s\"";
    let other = decider("a", &ways[0], &nats.url(), quick).await;
    let node = decider("b", &ways[1], &to_nats.url(), quick).await;
    for decider in [&other, &node] {
        until_votes(decider, 2, 0).await;
    }
    ways[1].cut();
    until_overruled(&node).await;
    until_answered(&node, ONE).await;
    to_nats.cut();
    node.until("littoral_control_state{state=\"old\"}", 1.0).await;
    until_answered(&node, TWO).await;
    assert_eq!(quorum(&node).await["by"], "own probes");
    until_logged(&node, "nothing was heard by the control plane for").await;
}
