//! Configs and requests that are wrong: one clear line, nothing half-started, nothing let through.

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Response, refused};

use super::{BINARY, REQUIRED, get, node_before};

const GOOD: &str =
    "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"a.example\"]\norigin = [\"http://127.0.0.1:9\"]\n";

#[test]
fn a_wrong_config_ends_with_code_2_and_one_line_with_file_place_and_fix() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("http = [\"{}\"]", listener.local_addr().unwrap());
    let zone = "[[zone]]\nname = \"z.example.\"\nfile = \"z.zone\"\n";
    let with_plugin =
        |file: &str| format!("{GOOD}{REQUIRED}[[plugin]]\nname = \"p\"\nfile = \"{file}\"\n[policy]\nroute = \"p\"\n");
    let (rate, bad_zone) =
        (plugin("rate-throughput"), b"$ORIGIN z.example.\n@ 60 IN SOA ns h 1 1 1 1 1\n@ IN A 1.2.3.999\n");
    let files: &[(&str, &[u8])] = &[("no.wasm", b"no component"), ("rate.wasm", &rate), ("z.zone", bad_zone)];
    for (config, expected) in [
        (GOOD.replace("origin =", "orgin ="), "node.toml:5:1: unknown key \"orgin\"; did you mean \"origin\"?"),
        (format!("{GOOD}[cache]\nmemory = \"64 parsecs\"\n"), "node.toml:7:10: \"64 parsecs\" is no size"),
        (GOOD.replace("127.0.0.1:0", "127.0.0.1:99999"), "write ADDRESS:PORT, such as"),
        (GOOD.replace("hosts = [\"a.example\"]\n", ""), "missing field `hosts`: add this key"),
        (with_plugin("missing.wasm"), "missing.wasm: cannot be read"),
        (with_plugin("no.wasm"), "no.wasm: it is no WebAssembly component"),
        (with_plugin("rate.wasm"), "expected littoral:plugin/routing@0.1.x"),
        (GOOD.replace("http = [\"127.0.0.1:0\"]", &taken), "cannot listen on"),
        (format!("{GOOD}[limits]\nconnections = 0\n"), "node.toml:7:15: limits.connections is at least 1"),
        (format!("{GOOD}{zone}"), "z.zone:3: A takes one IPv4 address"),
        (format!("{GOOD}{}", zone.replace("z.zone", "none.zone")), "none.zone: cannot be read"),
    ] {
        let (code, said) = refused(BINARY, &config, files);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{expected:?} is not in {said:?}");
        let lines = said.lines().filter(|line| line.starts_with("littoral: ")).count();
        assert_eq!((lines, said.lines().count()), (1, 1), "{said}");
    }
}

#[tokio::test]
async fn an_unreadable_database_is_a_loud_warning_and_the_node_serves() {
    let zone: (&str, &[u8]) =
        ("z.zone", b"$ORIGIN z.example.\n@ 60 IN SOA ns h 1 1 1 1 1\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n");
    let config = format!(
        "{GOOD}[geo]\ndatabase = [\"bad.mmdb\", \"none.mmdb\"]\n[[zone]]\nname = \"z.example.\"\nfile = \"z.zone\"\n"
    );
    let node = Node::start(BINARY, &config, &[("bad.mmdb", b"no database"), zone]).await;
    let log = node.log();
    assert!(log.contains("bad.mmdb: not usable as a geo-IP database") && log.contains("none.mmdb"), "{log}");
    assert!(log.contains("ERROR"), "loud: {log}");
}

#[tokio::test]
async fn a_bad_reload_changes_nothing_and_says_why() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    let good = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), good.replace("hosts", "hots")).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert_eq!(status, 422);
    assert!(said.contains("did you mean") && said.contains("hosts"), "{said}");
    assert_eq!(get(&node, "/a").await.status, 200);
    std::fs::write(node.file("node.toml"), good.replace("site.example", "other.example")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(get(&node, "/a").await.status, 421);
    assert_eq!(node.get("other.example", "/a", &[]).await.status, 200);
}

#[tokio::test]
async fn requests_that_could_be_read_two_ways_are_refused() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    for (request, expected) in [
        ("GET /a HTTP/1.1\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: site.example\r\nHost: site.example\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: site.example@evil\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 421),
        ("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        ("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: x\r\n\r\n", 400),
        ("GET http://other.example/a HTTP/1.1\r\nHost: site.example\r\n\r\n", 400),
        ("GE T /a HTTP/1.1\r\nHost: site.example\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: site.example\r\n folded: x\r\n\r\n", 400),
        ("\x16\x03\x01 nonsense\r\n\r\n", 400),
    ] {
        let mut client = Client::connect(node.address("http")).await;
        client.send(request).await;
        let status = client.reply(false).await.map(|reply| reply.status);
        // Closing without a word is a refusal too.
        assert!(status.is_none_or(|status| status == expected), "{request:?}: {status:?}, not {expected}");
    }
    assert_eq!(get(&node, "/a").await.status, 200, "the node is none the worse");
}

#[tokio::test]
async fn length_and_chunks_together_never_smuggle_a_second_request() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: no-store"], b"x")).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client
        .send(
            "POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: site.example\r\n\r\n",
        )
        .await;
    while client.reply(false).await.is_some() {}
    assert_eq!(origin.count("/smuggled"), 0);
}

#[tokio::test]
async fn an_absolute_target_names_the_host_and_agrees_with_the_key_of_a_plain_one() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET http://site.example/a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.field("cache-status").contains("; hit"), "{reply:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431_and_one_that_takes_too_long_408() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "[limits]\nheader_bytes = \"4KiB\"\nheader_timeout = \"200ms\"").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send(format!("GET /a HTTP/1.1\r\nHost: site.example\r\nX: {}\r\n", "x".repeat(8000))).await;
    assert_eq!(client.reply(false).await.unwrap().status, 431);
    let mut slow = Client::connect(node.address("http")).await;
    slow.send("GET /a HTTP/1.1\r\nHost: site").await;
    assert_eq!(slow.reply(false).await.unwrap().status, 408);
    assert_eq!(node.metrics().await["littoral_http_header_timeouts_total"], 1.0);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_counted() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "[limits]\nconnections = 2").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(node.address("http")).await;
        assert_eq!(client.get("site.example", "/a", &[]).await.status, 200);
        held.push(client);
    }
    let mut refused = Client::connect(node.address("http")).await;
    refused.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    assert!(refused.reply(false).await.is_none());
    assert_eq!(node.metrics().await["littoral_http_connections_refused_total"], 1.0);
}
