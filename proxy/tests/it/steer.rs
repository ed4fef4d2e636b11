//! The doors beside DNS: clients that come to the wrong cluster are redirected, and players ask where to go.

use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Client, Node, Origin, Reply, Response};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::BINARY;

/// A node of the cluster `one` that serves a site of both; clients say who they are by PROXY headers.
fn config(origin: &Origin, steer: &str) -> String {
    let cluster = |id: &str, prefix: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nhost = \"{id}.cdn.example\"\n\
             nodes = [{{ v4 = \"203.0.113.1\" }}]\nprefixes = [\"{prefix}\"]\n"
        )
    };
    format!(
        "[node]\ncluster = \"one\"\n[listen]\nadmin = \"127.0.0.1:0\"\n\
         http = [{{ bind = \"127.0.0.1:0\", proxy_protocol = [\"127.0.0.1\"] }}, \"127.0.0.1:0\"]\n{}{}\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n[[service]]\nname = \"svc.cdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n\
         [[site]]\nhosts = [\"www.example\", \"one.cdn.example\", \"two.cdn.example\"]\norigin = [{:?}]\nsteer = {steer}\n",
        cluster("one", "10.1.0.0/16"),
        cluster("two", "10.2.0.0/16"),
        origin.url()
    )
}

const ZONE: &[u8] = b"$ORIGIN cdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\n";

async fn node(steer: &str) -> (Node, Origin) {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = Node::start(BINARY, &config(&origin, steer), &[("k.zone", ZONE)]).await;
    (node, origin)
}

/// What a client at this address gets.
async fn ask(node: &Node, client: &str, request: &str) -> Reply {
    let mut connection = Client::connect(node.address("http")).await;
    connection.send(format!("PROXY TCP4 {client} 10.0.0.1 4660 80\r\n{request}\r\n\r\n")).await;
    connection.reply(request.starts_with("HEAD")).await.unwrap()
}

#[tokio::test]
async fn a_client_of_another_cluster_is_redirected_there_once() {
    let (node, _origin) = node("{ service = \"svc.cdn.example\", redirect = true }").await;
    // Its own clients are served, the second time from memory, and the others are still sent on.
    for _ in 0..2 {
        let own = ask(&node, "10.1.7.7", "GET /a?b=c HTTP/1.1\r\nHost: www.example").await;
        assert_eq!((own.status, own.body), (200, b"x".to_vec()));
        for method in ["GET", "HEAD"] {
            let sent = ask(&node, "10.2.7.7", &format!("{method} /a?b=c HTTP/1.1\r\nHost: www.example:8080")).await;
            assert_eq!((sent.status, sent.field("location")), (302, "http://two.cdn.example:8080/a?b=c"));
            assert_eq!(sent.field("cache-control"), "private, max-age=20");
        }
    }
    for (why, request) in [
        ("it has been sent", "GET /a HTTP/1.1\r\nHost: two.cdn.example"),
        ("it asked for this cluster", "GET /a HTTP/1.1\r\nHost: one.cdn.example"),
        ("it is a node", "GET /a HTTP/1.1\r\nHost: www.example\r\nCDN-Loop: other"),
        ("it has a body", "POST /a HTTP/1.1\r\nHost: www.example\r\nContent-Length: 0"),
    ] {
        assert_eq!(ask(&node, "10.2.7.7", request).await.status, 200, "{why}");
    }
    assert_eq!(
        ask(&node, "127.0.0.1", "GET /a HTTP/1.1\r\nHost: www.example").await.status,
        200,
        "it is the node itself"
    );
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_steered_total{door=\"redirect\"}"], 4.0);
    assert_eq!(metrics["littoral_dns_decisions_total{reason=\"coverage\"}"], 6.0);
}

#[tokio::test]
async fn who_comes_by_tls_is_redirected_to_where_tls_is_spoken() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let https =
        "https = [{ bind = \"127.0.0.1:0\", cert = \"c.pem\", key = \"c.key\", proxy_protocol = [\"127.0.0.1\"] }]";
    let config = config(&origin, "{ service = \"svc.cdn.example\", redirect = true }");
    let config = config.replacen("[listen]\n", &format!("[listen]\n{https}\n"), 1);
    let issued = Authority::default().issue(&["www.example"]);
    let files = [("k.zone", ZONE), ("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let node = Node::start(BINARY, &config, &files).await;
    let shaken = async |alpn: &str| {
        let mut stream = TcpStream::connect(node.address("https")).await.unwrap();
        stream.write_all(b"PROXY TCP4 10.2.7.7 10.0.0.1 4660 443\r\n").await.unwrap();
        TlsClient::trusting_anybody(&[alpn]).over(stream, "www.example").await.unwrap()
    };
    let mut over_1 = Client::over(shaken("http/1.1").await);
    assert_eq!(over_1.get("www.example", "/a", &[]).await.field("location"), "https://two.cdn.example/a");
    let (mut over_2, connection) = h2::client::handshake(shaken("h2").await).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://www.example:8443/a?b").body(()).unwrap();
    let response = over_2.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"https://two.cdn.example:8443/a?b".parse().unwrap())
    );
}

#[tokio::test]
async fn a_player_is_told_its_clusters_in_order_and_when_to_ask_again() {
    let (node, _origin) = node("{ service = \"svc.cdn.example.\", path = \"/steering\" }").await;
    for (client, order) in [("10.1.7.7", ["one", "two"]), ("10.2.7.7", ["two", "one"])] {
        let asked = "GET /steering?_DASH_pathway=%22one%22&_DASH_throughput=5140000 HTTP/1.1\r\nHost: www.example";
        let told = ask(&node, client, asked).await;
        let fields = ["content-type", "cache-control", "access-control-allow-origin"].map(|name| told.field(name));
        assert_eq!(fields, ["application/json", "private, max-age=20", "*"]);
        let document: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        let expected = json!({ "VERSION": 1, "TTL": 20, "RELOAD-URI": "/steering", "PATHWAY-PRIORITY": order });
        assert_eq!((told.status, document), (200, expected));
        // Nobody is redirected.
        assert_eq!(ask(&node, client, "GET /a HTTP/1.1\r\nHost: www.example").await.status, 200);
    }
    assert_eq!(node.metrics().await["littoral_steered_total{door=\"content\"}"], 2.0);
}
