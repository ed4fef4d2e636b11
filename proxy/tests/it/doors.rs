//! One decision behind every door: DNS, the redirect, the document of content steering, and `explain` by the API and at the terminal.

use std::net::SocketAddr;
use std::process::Command;

use littoral_testkit::{Client, Node, Origin, Response};
use serde_json::Value;

use super::BINARY;
use super::dns::taking;

const ZONE: &[u8] = b"$ORIGIN cdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\n";
pub(crate) const NAME: &str = "svc.cdn.example";
/// The clusters with the addresses of their nodes; `isp` is deep, `two` probed where somebody listens.
const CLUSTERS: [(&str, &str); 3] = [("one", "203.0.113.1"), ("two", "127.0.0.2"), ("isp", "203.0.113.3")];
/// Clients of each, in that order.
pub(crate) const CLIENTS: [&str; 3] = ["10.1.7.7", "10.2.7.7", "10.1.9.9"];

/// The config of a node of the cluster `one` that directs to all of them, with more keys for `two` and beside all.
pub(crate) fn config(origin: &Origin, top: &str, of_two: &str) -> String {
    let cluster = |(id, address): (&str, &str), tier: &str, prefix: &str, more: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"{tier}\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nhost = \"{id}.cdn.example\"\n\
             nodes = [{{ v4 = \"{address}\" }}]\nprefixes = [\"{prefix}\"]\n{more}\n"
        )
    };
    format!(
        "[node]\nname = \"n\"\ncluster = \"one\"\n{top}\n[listen]\nadmin = \"127.0.0.1:0\"\ndns = [\"127.0.0.1:0\"]\n\
         http = [{{ bind = \"127.0.0.1:0\", proxy_protocol = [\"127.0.0.1\"] }}, \"127.0.0.1:0\"]\n{}{}{}\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n[[service]]\nname = \"{NAME}.\"\nclusters = [\"*\"]\nttl = \"20s\"\n\
         [[site]]\nhosts = [\"www.example\", \"one.cdn.example\", \"two.cdn.example\", \"isp.cdn.example\"]\norigin = [{:?}]\n\
         steer = {{ service = \"{NAME}.\", redirect = true, path = \"/steering\" }}\n",
        cluster(CLUSTERS[0], "home", "10.1.0.0/16", ""),
        cluster(CLUSTERS[1], "home", "10.2.0.0/16", of_two),
        cluster(CLUSTERS[2], "deep", "10.1.9.0/24", ""),
        origin.url()
    )
}

pub(crate) async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await
}

pub(crate) async fn start(config: &str) -> Node {
    Node::start(BINARY, config, &[("k.zone", ZONE)]).await
}

/// What this program prints of a command to a node.
pub(crate) async fn littoral(node: &Node, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--admin", &node.address("admin").to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The cluster whose address dig is told for a client's subnet.
async fn by_dns(dns: SocketAddr, client: &str) -> String {
    let mut command = Command::new("dig");
    command.args([format!("@{}", dns.ip()), "-p".into(), dns.port().to_string(), format!("+subnet={client}/32")]);
    command.args(["+norec", "+tries=2", "+short", NAME, "A"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.expect("dig; `make setup` installs it").stdout).into_owned();
    let of = CLUSTERS.iter().find(|(_, address)| told.trim() == *address);
    of.map_or_else(|| format!("nobody: {told}"), |(id, _)| (*id).to_owned())
}

/// What a client at an address gets for a path.
pub(crate) async fn fetched(node: &Node, client: &str, path: &str) -> littoral_testkit::Reply {
    let mut connection = Client::connect(node.address("http")).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: www.example\r\n\r\n");
    connection.send(format!("PROXY TCP4 {client} 10.0.0.1 4660 80\r\n{request}")).await;
    connection.reply(false).await.unwrap()
}

/// The cluster that a client is redirected to for a path; who is served is of `one`, as the node is.
pub(crate) async fn by_redirect(node: &Node, client: &str, path: &str) -> String {
    let reply = fetched(node, client, path).await;
    let end = format!(".cdn.example{path}");
    match reply.status {
        200 => "one".to_owned(),
        302 => reply.field("location").trim_start_matches("http://").trim_end_matches(&end).to_owned(),
        status => format!("nobody: {status}"),
    }
}

/// The cluster that a client gets by each door.
pub(crate) async fn chosen(node: &Node, client: &str) -> [String; 5] {
    let document: Value = serde_json::from_slice(&fetched(node, client, "/steering").await.body).unwrap();
    let query = format!("/v1/explain?client={client}&name={NAME}");
    let api: Value = serde_json::from_str(&node.admin("GET", &query, "").await.1).unwrap();
    let (code, printed) = littoral(node, &["explain", "--client", client, "--name", NAME]).await;
    assert_eq!(code, Some(0), "{printed}");
    let cli: Value = serde_json::from_str(&printed).unwrap();
    let first = |list: &Value| list[0].as_str().unwrap_or("nobody").to_owned();
    [
        by_dns(node.address("dns"), client).await,
        by_redirect(node, client, "/a").await,
        first(&document["PATHWAY-PRIORITY"]),
        first(&api["clusters"]),
        first(&cli["clusters"]),
    ]
}

/// By every door each of [`CLIENTS`] gets its cluster.
pub(crate) async fn all_get(node: &Node, clusters: [&str; 3]) {
    for (client, cluster) in CLIENTS.into_iter().zip(clusters) {
        assert_eq!(chosen(node, client).await, [cluster; 5], "{client}");
    }
}

#[tokio::test]
async fn a_client_gets_the_same_cluster_by_every_door_also_while_a_cluster_is_down() {
    let (two, taking_two) = taking("127.0.0.2:0".parse().unwrap()).await.unwrap();
    let health =
        format!("health = {{ kind = \"tcp\", port = {}, every = \"10ms\", down_after = 2, up_after = 1 }}", two.port());
    let origin = origin().await;
    let node = start(&config(&origin, "", &health)).await;
    all_get(&node, ["one", "two", "isp"]).await;
    taking_two.abort();
    node.until("littoral_cluster_healthy{cluster=\"two\"}", 0.0).await;
    all_get(&node, ["one", "one", "isp"]).await;
    let _again = taking(two).await.unwrap();
    node.until("littoral_cluster_healthy{cluster=\"two\"}", 1.0).await;
    all_get(&node, ["one", "two", "isp"]).await;
    let (code, said) = littoral(&node, &["explain", "--client", "10.1.7.7", "--name", "other.example"]).await;
    assert!(code == Some(1) && said.contains("is no [[service]] of this node"), "{code:?} {said}");
}
