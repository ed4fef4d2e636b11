//! DNS of the node: zones, services and probes, asked with dig.

use std::process::Command;

use littoral_testkit::tls::Authority;
use littoral_testkit::{Node, Origin, Response};

use super::BINARY;

/// The file `k.zone` of [`config`].
pub(crate) const ZONE: &str =
    "$ORIGIN kingcdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\nwww IN CNAME a1105\n";

/// A node that directs, with two clusters and the service `a1105.kingcdn.example.`.
pub(crate) fn config() -> String {
    let cluster = |id: &str, node: &str, prefix: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"{node}\" }}]\nprefixes = [\"{prefix}\"]\n"
        )
    };
    format!(
        "[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}{}[[zone]]\nname = \"kingcdn.example.\"\nfile = \"k.zone\"\n\
         [[service]]\nname = \"a1105.kingcdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n",
        cluster("one", "203.0.113.1", "10.1.0.0/16"),
        cluster("two", "203.0.113.2", "10.2.0.0/16"),
    )
}

async fn dig(node: &Node, arguments: &[&str]) -> String {
    let address = node.address("dns");
    let mut command = Command::new("dig");
    command
        .args([format!("@{}", address.ip()), "-p".into(), address.port().to_string()])
        .args(["+norec", "+tries=2"])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    String::from_utf8_lossy(&output.expect("dig; `make setup` installs it").stdout).into_owned()
}

/// Whether it answers for its zone over both transports.
pub(crate) async fn is_answered(node: &Node) -> bool {
    let udp = dig(node, &["ns.kingcdn.example", "A"]).await;
    let tcp = dig(node, &["ns.kingcdn.example", "A", "+tcp"]).await;
    udp.contains("192.0.2.1") && tcp.contains("192.0.2.1")
}

#[tokio::test]
async fn the_cluster_follows_the_clients_subnet_through_the_alias_and_the_api_explains_it() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    for (subnet, address, id) in [("10.1.7.0/24", "203.0.113.1", "one"), ("10.2.7.0/24", "203.0.113.2", "two")] {
        let text = dig(&node, &["www.kingcdn.example", "A", &format!("+subnet={subnet}")]).await;
        assert!(text.contains(address) && text.contains(&format!("CLIENT-SUBNET: {subnet}/16")), "{text}");
        let client = subnet.split('/').next().unwrap();
        let (_, told) = node.admin("GET", &format!("/v1/explain?client={client}&name=a1105.kingcdn.example"), "").await;
        assert!(
            told.contains(&format!("\"clusters\":[\"{id}\"")) && told.contains("\"reason\":\"coverage\""),
            "{told}"
        );
        assert!(told.contains("\"source\":\"cluster.prefixes\"") && told.contains("\"policy\":\"native\""), "{told}");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_dns_queries_total{transport=\"udp\"}"], 2.0);
    assert_eq!(metrics["littoral_dns_ecs_total"], 2.0);
    assert_eq!(metrics["littoral_dns_responses_total{rcode=\"noerror\"}"], 2.0);
    assert_eq!(metrics["littoral_cluster_healthy{cluster=\"one\"}"], 1.0);
}

#[tokio::test]
async fn a_zone_is_reloaded_and_a_broken_one_is_not() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    std::fs::write(node.file("k.zone"), format!("{ZONE}new IN A 192.0.2.9\n")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert!(dig(&node, &["new.kingcdn.example", "A"]).await.contains("192.0.2.9"));
    std::fs::write(node.file("k.zone"), "nonsense").unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 200 && said.contains("k.zone:1:") && said.contains("stays as it was"), "{said}");
    assert!(dig(&node, &["new.kingcdn.example", "A"]).await.contains("192.0.2.9"));
    std::fs::write(node.file("k.zone"), format!("{ZONE}x IN CNAME y\ny IN CNAME x\n")).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 200 && said.contains("k.zone:7: an alias that leads back to itself (x.kingcdn"), "{said}");
    assert!(dig(&node, &["new.kingcdn.example", "A"]).await.contains("192.0.2.9"));
    let check = Command::new(BINARY).args(["check", "-c"]).arg(node.file("node.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.code() == Some(2) && said.contains("k.zone:7: an alias that leads back"), "{said}");
}

#[tokio::test]
async fn one_zone_is_read_again_by_the_api_and_stays_as_it_was_when_its_file_is_broken() {
    let other = "[[zone]]\nname = \"other.example\"\nfile = \"o.zone\"\n[[zone]]";
    let of_other = ZONE.replace("kingcdn", "other");
    let files = [("k.zone", ZONE.as_bytes()), ("o.zone", of_other.as_bytes())];
    let node = Node::start(BINARY, &config().replacen("[[zone]]", other, 1), &files).await;
    let reload = async |name: &str| {
        let (status, told) = node.admin("POST", &format!("/v1/zones/{name}/reload"), "").await;
        (status, serde_json::from_str::<serde_json::Value>(&told).unwrap())
    };
    let has_new = async |zone: &str| dig(&node, &[&format!("new.{zone}"), "A"]).await.contains("192.0.2.9");
    for (file, zone) in [("k.zone", ZONE), ("o.zone", &of_other)] {
        std::fs::write(node.file(file), format!("{}new IN A 192.0.2.9\n", zone.replace("h 1 1", "h 2 1"))).unwrap();
    }
    let (status, told) = reload("KINGcdn.example").await;
    let expected = serde_json::json!({ "reloaded": true, "zone": "kingcdn.example.", "serial": 2, "serial_before": 1 });
    assert_eq!((status, told), (200, expected));
    assert!(has_new("kingcdn.example").await && !has_new("other.example").await, "the other one is not read");
    // The service in it is chosen as before.
    assert!(dig(&node, &["www.kingcdn.example", "A", "+subnet=10.2.7.0/24"]).await.contains("203.0.113.2"));
    for (broken, problem) in [
        ("nonsense".to_owned(), "k.zone:1: "),
        (format!("{ZONE}a1105 IN A 192.0.2.7\n"), "remove one of them; the zone stays as it was"),
    ] {
        std::fs::write(node.file("k.zone"), broken).unwrap();
        let (status, told) = reload("kingcdn.example.").await;
        let said = told["error"].as_str().unwrap_or_default();
        assert!(status == 422 && said.contains(problem) && said.ends_with("; the zone stays as it was"), "{told}");
        assert!(has_new("kingcdn.example").await);
    }
    let (status, told) = reload("no%20zone").await;
    let problem = "no [[zone]] of this node has the name \"no zone\"; there are: other.example, kingcdn.example.";
    assert_eq!((status, &told["error"]), (404, &problem.into()));
}

#[tokio::test]
async fn sighup_reads_zones_again_and_keeps_one_whose_file_is_broken() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    std::fs::write(node.file("k.zone"), format!("{ZONE}new IN A 192.0.2.9\n")).unwrap();
    node.signal("HUP");
    let told = async || dig(&node, &["new.kingcdn.example", "A"]).await;
    let came = async { while !told().await.contains("192.0.2.9") {} };
    tokio::time::timeout(littoral_testkit::PATIENCE, came).await.expect("the new record");
    std::fs::write(node.file("k.zone"), "nonsense").unwrap();
    node.signal("HUP");
    let said = async { while !node.log().contains("stays as it was") && told().await.contains("192.0.2.9") {} };
    tokio::time::timeout(littoral_testkit::PATIENCE, said).await.expect("a word of the broken file");
    assert!(node.log().contains("k.zone:1: "), "{}", node.log());
    assert!(told().await.contains("192.0.2.9"));
}

#[tokio::test]
async fn a_server_names_itself_and_bounds_its_answers_as_the_config_says() {
    let more = "[dns]\nnsid = \"ams1-a\"\nversion = \"edge\"\nanswers_per_second = 1\nslip = 1\n";
    let node = Node::start(BINARY, &format!("{}{more}", config()), &[("k.zone", ZONE.as_bytes())]).await;
    let text = dig(&node, &["ns.kingcdn.example", "A", "+nsid"]).await;
    assert!(text.contains("(\"ams1-a\")") && text.contains("COOKIE: ") && text.contains("(good)"), "{text}");
    assert!(dig(&node, &["version.bind", "TXT", "CH"]).await.contains("\"edge\""));
    let limited = async || node.metrics().await["littoral_dns_rate_limited_total{action=\"cut\"}"];
    // A cut answer brings dig back over TCP, where it is answered whatever came before.
    while limited().await == 0.0 {
        assert!(dig(&node, &["ns.kingcdn.example", "A", "+nocookie"]).await.contains("192.0.2.1"));
    }
}

#[tokio::test]
async fn a_coverage_file_is_followed_and_a_broken_one_changes_nothing() {
    let config = format!("{}[geo]\ncoverage = [\"zones.csv\"]\n", config());
    let files = [("k.zone", ZONE.as_bytes()), ("zones.csv", &b"10.3.0.0/16,two\n"[..])];
    let node = Node::start(BINARY, &config, &files).await;
    let asked = async || dig(&node, &["a1105.kingcdn.example", "A", "+subnet=10.3.7.0/24"]).await;
    let first = asked().await;
    assert!(first.contains("203.0.113.2") && first.contains("10.3.7.0/24/15"), "{first}");
    let generation = async || node.metrics().await["littoral_geo_map_generation"];
    std::fs::write(node.file("zones.csv"), "10.3.0.0/16\n").unwrap();
    // What is wrong with the file is no reason to forget what it said.
    while generation().await < 1.0 {}
    assert!(asked().await.contains("203.0.113.2"));
    std::fs::write(node.file("new.csv"), "10.3.0.0/17,one\n").unwrap();
    std::fs::rename(node.file("new.csv"), node.file("zones.csv")).unwrap();
    while generation().await < 2.0 {}
    let then = asked().await;
    assert!(then.contains("203.0.113.1") && then.contains("10.3.7.0/24/17"), "{then}");
}

#[tokio::test]
async fn probes_follow_a_reload_and_believe_nobody_a_node_redirects_to() {
    let healthy = Origin::start(|_| Response::ok(&[], b"{}")).await;
    let elsewhere = format!("location: {}", healthy.url());
    let redirecting = Origin::start(move |_| Response { status: 302, ..Response::ok(&[&elsewhere], b"") }).await;
    let probed = |port: u16| {
        let health = format!("health = {{ port = {port}, every = \"10ms\", down_after = 1, up_after = 1 }}\n");
        config().replacen("prefixes", &format!("{health}prefixes"), 1).replace("203.0.113.1", "127.0.0.1")
    };
    let node = Node::start(BINARY, &probed(redirecting.address.port()), &[("k.zone", ZONE.as_bytes())]).await;
    let until = async |state: f64| while node.metrics().await["littoral_cluster_healthy{cluster=\"one\"}"] != state {};
    until(0.0).await;
    for (next, state) in [
        (probed(healthy.address.port()), 1.0),
        (probed(redirecting.address.port()), 0.0),
        // Not probed any more: it counts as healthy.
        (config(), 1.0),
    ] {
        std::fs::write(node.file("node.toml"), next).unwrap();
        let told = node.admin("POST", "/v1/reload", "").await;
        assert_eq!(told, (200, r#"{"needs_restart":[],"reloaded":true}"#.into()));
        until(state).await;
    }
}

#[tokio::test]
async fn a_cluster_that_is_asked_for_connections_is_down_while_it_makes_none_and_explained_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound is not listening, and keeps the port.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let probed = |port: u16| {
        let health =
            format!("health = {{ kind = \"tcp\", port = {port}, every = \"10ms\", down_after = 3, up_after = 2 }}\n");
        config().replacen("prefixes", &format!("{health}prefixes"), 1).replace("203.0.113.1", "127.0.0.1")
    };
    let node = Node::start(BINARY, &probed(deaf.local_addr().unwrap().port()), &[("k.zone", ZONE.as_bytes())]).await;
    let explained = async || {
        let (_, told) = node.admin("GET", "/v1/explain?client=10.1.7.1&name=a1105.kingcdn.example", "").await;
        serde_json::from_str::<serde_json::Value>(&told).unwrap()
    };
    let counted = async |outcome: &str| {
        node.metrics().await[&format!("littoral_cluster_probes_total{{kind=\"tcp\",outcome=\"{outcome}\"}}")]
    };
    node.until("littoral_cluster_healthy{cluster=\"one\"}", 0.0).await;
    assert!(counted("unreachable").await >= 3.0 && counted("well").await == 0.0);
    let told = explained().await;
    assert_eq!(
        (&told["clusters"], &told["filtered"][0]["why"]),
        (&serde_json::json!(["two"]), &"down".into()),
        "{told}"
    );
    let probes = &told["probes"]["one"];
    let says = "no connection: Connection refused (os error 111)";
    assert_eq!((&probes["kind"], &probes["nodes"][0]["says"]), (&"tcp".into(), &says.into()), "{told}");
    assert!(told["probes"].get("two").is_none(), "nobody probes it: {told}");
    std::fs::write(node.file("node.toml"), probed(listener.local_addr().unwrap().port())).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    node.until("littoral_cluster_healthy{cluster=\"one\"}", 1.0).await;
    assert!(counted("well").await >= 2.0);
    let told = explained().await;
    assert_eq!(
        (&told["clusters"][0], &told["probes"]["one"]["nodes"][0]["well"]),
        (&"one".into(), &true.into()),
        "{told}"
    );
}

/// What takes connections there until it is aborted.
pub(crate) async fn taking(
    address: std::net::SocketAddr,
) -> std::io::Result<(std::net::SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((address, tokio::spawn(async move { while listener.accept().await.is_ok() {} })))
}

#[tokio::test]
async fn the_address_of_a_node_that_is_down_is_answered_again_when_its_probes_are_well_again() {
    let (one, _taking) = taking("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let other = format!("127.0.0.2:{}", one.port()).parse().unwrap();
    let (_, other_taking) = taking(other).await.unwrap();
    let health = format!(
        "health = {{ kind = \"tcp\", port = {}, every = \"10ms\", down_after = 3, up_after = 2 }}\n",
        one.port()
    );
    let config = config()
        .replacen("prefixes", &format!("{health}prefixes"), 1)
        .replace("{ v4 = \"203.0.113.1\" }", "{ v4 = \"127.0.0.1\" }, { v4 = \"127.0.0.2\" }");
    let node = Node::start(BINARY, &format!("{config}answers = 2\n"), &[("k.zone", ZONE.as_bytes())]).await;
    let answered = async || {
        let text = dig(&node, &["a1105.kingcdn.example", "A", "+subnet=10.1.7.0/24", "+short"]).await;
        let mut addresses: Vec<String> = text.lines().map(str::to_owned).collect();
        addresses.sort();
        addresses
    };
    let explained = async || {
        let (_, told) = node.admin("GET", "/v1/explain?client=10.1.7.1&name=a1105.kingcdn.example", "").await;
        serde_json::from_str::<serde_json::Value>(&told).unwrap()
    };
    let down = "littoral_cluster_nodes_down{cluster=\"one\"}";
    assert_eq!(answered().await, ["127.0.0.1", "127.0.0.2"]);
    other_taking.abort();
    node.until(down, 1.0).await;
    assert_eq!(answered().await, ["127.0.0.1"]);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cluster_healthy{cluster=\"one\"}"], 1.0);
    let failed = "littoral_cluster_probes_total{kind=\"tcp\",outcome=\"unreachable\"}";
    assert!(metrics[failed] >= 3.0, "it takes down_after rounds: {}", metrics[failed]);
    let told = explained().await;
    assert_eq!(told["nodes_down"], serde_json::json!(["127.0.0.2"]), "{told}");
    assert_eq!(told["probes"]["one"]["nodes"][1]["up"], false, "{told}");
    let (_, clusters) = node.admin("GET", "/v1/clusters", "").await;
    assert!(clusters.contains("\"nodes_down\":[\"127.0.0.2\"]"), "{clusters}");
    let _taking_again = taking(other).await.unwrap();
    node.until(down, 0.0).await;
    assert_eq!(answered().await, ["127.0.0.1", "127.0.0.2"]);
    assert_eq!(explained().await["nodes_down"], serde_json::json!([]));
}

#[tokio::test]
async fn the_certificates_of_https_serve_dns_over_tls_and_over_https_too() {
    let issued = Authority::default().issue(&["dns.example"]);
    let listen = "dns = [\"127.0.0.1:0\"]\ndot = [\"127.0.0.1:0\"]\ndoh = [\"127.0.0.1:0\"]\n\
                  https = [{ bind = \"127.0.0.1:0\", cert = \"d.pem\", key = \"d.key\" }]\n";
    let site = "[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:9\"]\n";
    let config = config().replace("dns = [\"127.0.0.1:0\"]\n", listen) + site;
    let files = [("k.zone", ZONE.as_bytes()), ("d.pem", issued.cert.as_bytes()), ("d.key", issued.key.as_bytes())];
    let node = Node::start(BINARY, &config, &files).await;
    for (name, way, transport) in [("dot", "+tls", "tls"), ("doh", "+https", "https")] {
        let address = node.address(name);
        let mut command = Command::new("kdig");
        let (server, port) = (format!("@{}", address.ip()), address.port().to_string());
        command.args([&server, "-p", &port, way, "+edns", "+padding", "www.kingcdn.example", "A"]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let text = String::from_utf8_lossy(&output.expect("kdig; `make setup` installs it").stdout).into_owned();
        assert!(text.contains("203.0.113.") && text.contains("Received 468 B"), "{text}");
        node.until(&format!("littoral_dns_queries_total{{transport=\"{transport}\"}}"), 1.0).await;
    }
    let url = format!("https://{}/", node.address("doh"));
    let curl = Command::new("curl").args(["-sko", "/dev/null", "-w", "%{http_code}", &url]).output();
    assert_eq!(curl.expect("curl; `make setup` installs it").stdout, b"404");
    node.until("littoral_dns_https_refused_total", 1.0).await;
}

/// What a node answers to a question over UDP, byte by byte; dig would take it apart.
async fn answer(node: &Node, name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0x4c, 0x69, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([&[0][..], &kind.to_be_bytes(), &[0, 1]].concat());
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(node.address("dns")).await.unwrap();
    socket.send(&query).await.unwrap();
    let mut bytes = vec![0; 4096];
    let received = tokio::time::timeout(littoral_testkit::PATIENCE, socket.recv(&mut bytes)).await;
    bytes.truncate(received.expect("an answer").unwrap());
    bytes
}

#[tokio::test]
async fn a_zone_in_toml_answers_byte_by_byte_as_the_same_zone_in_a_master_file() {
    let records = [
        ("@", "SOA", "ns h 1 1h 1 1 30"),
        ("@", "NS", "ns"),
        ("@", "MX", "10 mail"),
        ("ns", "A", "192.0.2.1"),
        ("ns", "A", "192.0.2.2"),
        ("www", "CNAME", "a1105"),
        ("alias", "CNAME", "ns"),
        ("*.w", "TXT", "\"a ; b\" c"),
        ("d", "NS", "ns.d"),
        ("ns.d", "AAAA", "2001:db8::3"),
        ("h", "HTTPS", "1 . alpn=h2"),
        ("_s._tcp", "SRV", "0 5 443 ns"),
    ];
    let master = records.map(|(name, kind, data)| format!("{name} 60 IN {kind} {data}\n")).concat();
    let tables = |table: &str| {
        let record = |(name, kind, data)| format!("[[{table}]]\nname = {name:?}\ntype = {kind:?}\ndata = {data:?}\n");
        format!("ttl = \"1m\"\n{}", records.map(record).concat())
    };
    let of_file = |file: &str| config().replace("k.zone", file);
    let of_config = config().replace("file = \"k.zone\"\n", &tables("zone.record"));
    let master = Node::start(BINARY, &of_file("k.zone"), &[("k.zone", master.as_bytes())]).await;
    let in_file = Node::start(BINARY, &of_file("k.toml"), &[("k.toml", tables("record").as_bytes())]).await;
    let in_config = Node::start(BINARY, &of_config, &[]).await;
    for owner in ["", "ns.", "www.", "alias.", "x.w.", "w.", "d.", "deep.d.", "h.", "_s._tcp.", "none.", "a1105."] {
        let name = format!("{owner}kingcdn.example");
        for kind in [1, 2, 5, 6, 15, 16, 28, 33, 65, 255] {
            let wanted = answer(&master, &name, kind).await;
            assert!(wanted.len() > 12 && wanted[3] & 0xf != 2, "{name} {kind}: {wanted:x?}");
            for node in [&in_file, &in_config] {
                assert_eq!(answer(node, &name, kind).await, wanted, "{name} {kind}");
            }
        }
    }
    std::fs::write(in_file.file("k.toml"), tables("record").replace("10 mail", "mail")).unwrap();
    let (status, said) = in_file.admin("POST", "/v1/reload", "").await;
    assert!(status == 200 && said.contains("k.toml:13: record.2.data: MX takes") && said.contains("stays"), "{said}");
    std::fs::write(in_config.file("node.toml"), of_config.replace("10 mail", "mail")).unwrap();
    let (status, said) = in_config.admin("POST", "/v1/reload", "").await;
    assert!(status != 200 && said.contains("MX takes a preference and a name"), "{status} {said}");
    assert!(dig(&in_config, &["kingcdn.example", "MX"]).await.contains("10 mail.kingcdn.example."));
}
