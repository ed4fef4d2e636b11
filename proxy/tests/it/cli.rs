//! The commands as people and scripts use them: what they say, and their exit codes.

use littoral_testkit::{Node, Origin, Response};

use super::dns;
use super::{BINARY, node_before};

/// An address where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// Runs a command with a proxy in its environment that does not exist: its exit code and all it said.
pub(super) async fn littoral(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(BINARY);
    command.args(arguments).env("http_proxy", format!("http://{NOBODY}")).kill_on_drop(true);
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

async fn check(arguments: &[&str], code: i32, expected: &str) {
    let (found, said) = littoral(arguments).await;
    assert!(found == Some(code) && said.contains(expected), "{arguments:?}: {found:?} {said}");
}

#[tokio::test]
async fn what_did_not_work_out_ends_with_code_1() {
    let missing = Origin::start(|_| Response { status: 404, ..Response::default() }).await;
    let node = node_before(&missing, "").await;
    let admin = node.address("admin").to_string();
    let there = format!("{}/m.mpd", missing.url());
    let title = "http://site.example/m.mpd";
    check(&["play", &there], 1, "status 404").await;
    check(&["play", title, "--dns", NOBODY, "--patience", "0s"], 1, "asking 127.0.0.1:1 for site.example").await;
    check(&["purge", "--all", "--admin", NOBODY], 1, "no node answers on").await;
    check(&["explain", "--client", "192.0.2.1", "--name", "x", "--admin", NOBODY], 1, "no node answers on").await;
    check(&["warm", title, "--admin", NOBODY], 1, "no node answers on").await;
    check(&["top", "--admin", NOBODY], 1, "no node answers on").await;
    check(&["explain", "--client", "192.0.2.1", "--name", "x", "--admin", &admin], 1, "no [[service]]").await;
    check(&["warm", "http://other.example/m.mpd", "--admin", &admin], 1, "no [[site]]").await;
}

#[tokio::test]
async fn wrong_use_ends_with_code_2() {
    let origin = Origin::start(|_| Response::default()).await;
    let node = node_before(&origin, "").await;
    let admin = node.address("admin").to_string();
    let title = "http://site.example/m.mpd";
    check(&["purge", "--url", "nonsense", "--admin", &admin], 2, "write a whole URL").await;
    check(&["warm", title, "--rate", "fast", "--admin", NOBODY], 2, "40Gbps").await;
    check(&["play", title, "--rule", "guest"], 2, "--rule guest needs --plugin").await;
    check(&["play", title, "--speed", "1e-300"], 2, "give 1 for real time").await;
    check(&["play", title, "--speed", "NaN"], 2, "give 1 for real time").await;
    check(&["play", "https://site.example/m.mpd"], 2, "only http is spoken").await;
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_manifest_that_lists_nothing_is_nothing_to_play_or_warm() {
    let empty =
        r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT8S"><Period/></MPD>"#;
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], empty.as_bytes())).await;
    let node = node_before(&origin, "").await;
    check(&["play", &format!("{}/m.mpd", origin.url())], 1, "nothing to play").await;
    let admin = node.address("admin").to_string();
    check(&["warm", "http://site.example/m.mpd", "--admin", &admin], 1, "nothing to warm").await;
}

#[tokio::test]
async fn the_admin_api_is_called_directly_and_with_what_was_written() {
    let node = Node::start(BINARY, &dns::config(), &[("k.zone", dns::ZONE.as_bytes())]).await;
    let admin = node.address("admin").to_string();
    check(&["top", "--once", "--admin", &admin], 0, "hit ratio 0.0%").await;
    check(&["purge", "--all", "--json", "--admin", &admin], 0, "\"purged\":0").await;
    check(&["purge", "--all", "--admin", &admin], 0, "purged 0 objects in ").await;
    let many = ["--prefix", "http://h/a", "--host", "h", "--regex", "x|y", "--key", "k", "--tag", "t", "--soft"];
    check(&[&["purge", "--admin", &admin], &many[..]].concat(), 0, "made stale 0 objects in ").await;
    check(&["purge", "--soft", "--admin", &admin], 2, "required arguments were not provided").await;
    check(&["explain", "--client", "::1", "--name", "a b&c", "--admin", &admin], 1, "\\\"a b&c\\\" is no").await;
}
