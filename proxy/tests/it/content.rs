//! Redirects that go by what was pushed to clusters: real nodes that tell it to each other over a real nats-server, or when they are asked.

use littoral_testkit::nats::Nats;
use littoral_testkit::{Node, Origin, PATIENCE, Response};
use serde_json::{Value, json};

use super::BINARY;
use super::control::control;
use super::doors::{CLIENTS, NAME, by_redirect, chosen, config, littoral, origin, start};

/// The first client is of `one`, by its coverage zone.
const CLIENT: &str = CLIENTS[0];
const PUSHED: &str = "littoral_control_titles{cluster=\"two\"}";

/// A node that directs and goes by what was pushed.
async fn decider(nats: &Nats, origin: &Origin) -> Node {
    let config = config(origin, "", "").replace("redirect = true", "redirect = true, content = true");
    start(&format!("{config}{}", control(&nats.url(), "every = \"100ms\"\nrtt_every = \"1s\""))).await
}

/// A node of the cluster `two` to which titles are pushed.
async fn edge(nats: &Nats, origin: &Origin) -> Node {
    let config = format!(
        "[node]\nname = \"edge\"\ncluster = \"two\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[site]]\nhosts = [\"www.example\", \"two.cdn.example\"]\norigin = [{:?}]\n{}",
        origin.url(),
        control(&nats.url(), "every = \"100ms\"\nrtt_every = \"1s\"")
    );
    Node::start(BINARY, &config, &[]).await
}

/// Pushes objects to a node by a warm job, which ends in a state.
async fn push(edge: &Node, urls: &str, state: &str) {
    let order = json!({ "list": urls }).to_string();
    let (status, job) = edge.admin("POST", "/v1/warm", &order).await;
    assert_eq!(status, 200, "{job}");
    let id = serde_json::from_str::<Value>(&job).unwrap()["id"].clone();
    let ended = async {
        while !edge.admin("GET", &format!("/v1/warm/{id}"), "").await.1.contains(&format!("\"state\":\"{state}\"")) {}
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the end of the job");
}

async fn until_redirected(node: &Node, path: &str, cluster: &str) {
    let came = async { while by_redirect(node, CLIENT, path).await != cluster {} };
    tokio::time::timeout(PATIENCE, came).await.unwrap_or_else(|_| panic!("{path} is never {cluster}'s"));
}

#[tokio::test]
async fn a_client_is_redirected_to_where_a_title_was_pushed_and_for_all_else_to_its_own_cluster() {
    let (nats, origin) = (Nats::start("", &[]).await, origin().await);
    let (node, edge) = (decider(&nats, &origin).await, edge(&nats, &origin).await);
    assert_eq!(by_redirect(&node, CLIENT, "/t/a").await, "one");
    push(&edge, "http://www.example/t/a\nhttp://two.cdn.example/u/v/b?c=d\n", "done").await;
    node.until(PUSHED, 2.0).await;
    for (path, cluster) in
        [("/t/a", "two"), ("/t/b?x", "two"), ("/u/v/z", "two"), ("/t", "one"), ("/u/a", "one"), ("/t/x/a", "one")]
    {
        assert_eq!(by_redirect(&node, CLIENT, path).await, cluster, "{path}");
    }
    assert_eq!(by_redirect(&node, CLIENTS[1], "/x").await, "two", "its own");
    // A name says nothing of a title: the other doors decide as ever.
    assert_eq!(chosen(&node, CLIENT).await, ["one"; 5]);
    let url = "http://two.cdn.example/t/a";
    let (code, told) = littoral(&node, &["explain", "--client", CLIENT, "--name", NAME, "--url", url]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["clusters"]), (Some(0), &json!(["two"])), "{told}");
    let content = json!({ "site": "www.example", "directory": "/t/", "held_by": ["two"], "decides": true });
    assert_eq!((&told["content"], &told["filtered"][0]["why"]), (&content, &"does not hold what is asked for".into()));
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cluster_content_total{found=\"held\"}"], 3.0);
    // Who holds it is drained, or has it no more.
    assert_eq!(node.admin("POST", "/v1/clusters/two/drain", "").await.0, 200);
    assert_eq!(by_redirect(&node, CLIENT, "/t/a").await, "one");
    assert_eq!(node.admin("DELETE", "/v1/clusters/two/drain", "").await.0, 200);
    assert_eq!(by_redirect(&node, CLIENT, "/t/a").await, "two");
    let (status, said) = edge.admin("POST", "/v1/purge", "{\"prefix\":\"http://www.example/t/\"}").await;
    assert_eq!(status, 200, "{said}");
    until_redirected(&node, "/t/a", "one").await;
    assert_eq!(by_redirect(&node, CLIENT, "/u/v/b").await, "two", "it was not purged");
}

#[tokio::test]
async fn with_nothing_between_nodes_edges_are_asked_and_tell_whom_they_may() {
    let origin = origin().await;
    let edge = async |tell: &str| {
        let config = format!(
            "[node]\nname = \"edge\"\ncluster = \"two\"\n[listen]\nhttp = [\"127.0.0.2:0\"]\nadmin = \"127.0.0.1:0\"\n[rtt]\ntell = [\"{tell}\"]\n\
             [[site]]\nhosts = [\"www.example\", \"two.cdn.example\"]\norigin = [{:?}]\n",
            origin.url()
        );
        let edge = Node::start(BINARY, &config, &[]).await;
        push(&edge, "http://www.example/t/a\n", "done").await;
        edge
    };
    let decider = async |edge: &Node| {
        let health = format!("health = {{ port = {}, every = \"1h\" }}", edge.address("http").port());
        let config = config(&origin, "", &health).replace("redirect = true", "redirect = true, content = true");
        start(&format!("{config}[rtt]\nhear = \"50ms\"\n")).await
    };
    let open = edge("127.0.0.0/8").await;
    let node = decider(&open).await;
    until_redirected(&node, "/t/a", "two").await;
    assert_eq!(by_redirect(&node, CLIENT, "/u/a").await, "one");
    assert_eq!(node.metrics().await[PUSHED], 1.0);
    assert_eq!(open.admin("POST", "/v1/purge", "{\"all\":true}").await.0, 200);
    until_redirected(&node, "/t/a", "one").await;
    let shut = edge("192.0.2.0/24").await;
    let node = decider(&shut).await;
    let refused =
        async { while node.metrics().await["littoral_control_titles_asked_total{outcome=\"failed\"}"] < 2.0 {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("a refusal");
    assert_eq!(by_redirect(&node, CLIENT, "/t/a").await, "one");
}

#[tokio::test]
async fn a_title_with_its_manifest_is_told_whole_and_one_of_which_an_object_could_not_be_had_is_not() {
    let nats = Nats::start("", &[]).await;
    let playlist = |file: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{file}\n#EXT-X-ENDLIST\n");
    let origin = Origin::start(move |request| {
        let ok = |body: &str| Response::ok(&["cache-control: max-age=60"], body.as_bytes());
        match &*request.path {
            path if path.ends_with("gone") => Response { status: 404, ..Response::default() },
            "/f/index.m3u8" => ok(&playlist("v/1.ts")),
            "/g/index.m3u8" => ok(&playlist("v/gone")),
            _ => ok("x"),
        }
    })
    .await;
    let (node, edge) = (decider(&nats, &origin).await, edge(&nats, &origin).await);
    let wanted = ["/t/a", "/t/gone", "/u/a", "/f/index.m3u8", "/g/index.m3u8"];
    push(&edge, &wanted.map(|path| format!("http://www.example{path}\n")).concat(), "incomplete").await;
    node.until(PUSHED, 3.0).await;
    for (path, cluster) in [
        ("/t/a", "one"),
        ("/u/a", "two"),
        ("/f/index.m3u8", "two"),
        ("/f/v/1.ts", "two"),
        ("/g/index.m3u8", "one"),
        ("/g/v/1.ts", "one"),
    ] {
        assert_eq!(by_redirect(&node, CLIENT, path).await, cluster, "{path}");
    }
}
