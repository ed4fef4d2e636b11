//! DNS of the node: zones, services and probes, asked with dig.

use std::process::Command;

use littoral_testkit::Node;

use super::BINARY;

const ZONE: &str =
    "$ORIGIN kingcdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\nwww IN CNAME a1105\n";

fn config() -> String {
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
    assert!(status == 422 && said.contains("k.zone"), "{said}");
    assert!(dig(&node, &["new.kingcdn.example", "A"]).await.contains("192.0.2.9"));
}
