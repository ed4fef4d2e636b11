//! Names of origins: they move, they vanish, and so do the servers that know them.

use std::net::SocketAddr;

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, get};

const SOA: &str = "$ORIGIN o.example.\n$TTL 1\n@ IN SOA ns h 1 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n";

/// A name server, ours, that knows these records beside its own.
async fn name_server(records: &str) -> Node {
    let text = "[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[zone]]\nname = \"o.example.\"\nfile = \"o.zone\"\n";
    Node::start(BINARY, text, &[("o.zone", format!("{SOA}{records}").as_bytes())]).await
}

async fn say(server: &Node, records: &str) {
    std::fs::write(server.file("o.zone"), format!("{SOA}{records}")).unwrap();
    assert_eq!(server.admin("POST", "/v1/reload", "").await.0, 200);
}

async fn failed(node: &Node) -> f64 {
    node.metrics().await["littoral_origin_lookups_total{outcome=\"failed\"}"]
}

#[tokio::test]
async fn an_origin_moves_with_its_name_and_stays_when_the_name_or_its_server_vanishes() {
    let passing = |body: &'static [u8]| move |_: &_| Response::ok(&["cache-control: no-store"], body);
    let one = Origin::start(passing(b"one")).await;
    let two = Origin::start_at(SocketAddr::from(([127, 0, 0, 2], one.address.port())), passing(b"two")).await;
    let server = name_server("www IN A 127.0.0.1\n").await;
    let resolvers = format!("[node]\nresolvers = [\"{}\"]", server.address("dns"));
    let text = config(&[&one], &resolvers).replace("http://127.0.0.1:", "http://www.o.example:");
    let node = Node::start(BINARY, &text, &[]).await;
    assert_eq!(get(&node, "/a").await.body, b"one", "it is known from the start");
    say(&server, "www IN CNAME two\ntwo IN A 127.0.0.2\n").await;
    while get(&node, "/a").await.body != b"two" {}
    say(&server, "").await;
    while failed(&node).await < 1.0 {}
    assert_eq!(get(&node, "/a").await.body, b"two");
    drop(server);
    let before = failed(&node).await;
    while failed(&node).await <= before {}
    assert_eq!(get(&node, "/a").await.body, b"two");
    assert!(two.count("/a") > 2);
}

#[tokio::test]
async fn an_origin_whose_name_nobody_knows_yet_is_a_502_until_somebody_does() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let server = name_server("").await;
    let resolvers = format!("[node]\nresolvers = [\"{}\"]", server.address("dns"));
    let text = config(&[&origin], &resolvers).replace("http://127.0.0.1:", "http://www.o.example:");
    let node = Node::start(BINARY, &text, &[]).await;
    assert_eq!(get(&node, "/a").await.status, 502);
    say(&server, "www IN A 127.0.0.1\n").await;
    while get(&node, "/a").await.status != 200 {}
}
