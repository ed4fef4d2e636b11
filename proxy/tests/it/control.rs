//! Nodes that hear of each other by a real nats-server: purges, how they are, how far clients are, and what holds when nothing is heard.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_testkit::nats::{Nats, Way};
use littoral_testkit::node::plugin;
use littoral_testkit::tls::Authority;
use littoral_testkit::{Node, Origin, PATIENCE, Response};
use serde_json::{Value, json};

use super::BINARY;

pub(crate) const ZONE: &[u8] =
    b"$ORIGIN cdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\n";
/// A client near the cluster `one`.
const CLIENT: &str = "198.51.100.0/24";
/// The addresses of the clusters, which nobody has to listen at.
const ONE: &str = "192.0.2.11";
const TWO: &str = "192.0.2.22";

pub(crate) fn control(url: &str, more: &str) -> String {
    format!("[control]\nplane = \"nats\"\nservers = [\"{url}\"]\n{more}\n")
}

/// A node that serves `site.example` from an origin.
async fn edge(name: &str, cluster: &str, url: &str, origin: &Origin, more: &str) -> Node {
    let (top, keys) = more.split_once("[more]").unwrap_or(("", more));
    let config = format!(
        "[node]\nname = \"{name}\"\n{cluster}\n{top}\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}\n\
         [[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        control(url, keys),
        origin.url()
    );
    Node::start(BINARY, &config, &[]).await
}

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=3600"], b"what is kept")).await
}

async fn get(node: &Node, path: &str) {
    assert_eq!(node.get("site.example", path, &[]).await.status, 200);
}

async fn purge(node: &Node, path: &str) -> (u16, Value) {
    let order = json!({ "url": format!("http://site.example{path}") }).to_string();
    let (status, told) = node.admin("POST", "/v1/purge", &order).await;
    (status, serde_json::from_str(&told).unwrap())
}

/// A node that directs to two clusters, `one` nearer to [`CLIENT`], by what it hears at `url`.
async fn director(url: &str, more: &str) -> Node {
    let cluster = |id: &str, place: &str, address: &str| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = {place}\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"{address}\" }}]\n"
        )
    };
    let config = format!(
        "[node]\nname = \"director\"\n[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}{}{}\
         [geo]\noverride = [{{ prefix = \"198.51.0.0/16\", at = [48.9, 2.4] }}]\n\
         [[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\nvectors = \"p.toml\"\n[policy]\nroute = \"p\"\n\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n\
         [[service]]\nname = \"svc.cdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n",
        control(url, more),
        cluster("one", "[52.4, 4.9]", ONE),
        cluster("two", "[40.7, -74.0]", TWO),
    );
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/policy/route-rtt/vectors.toml");
    let vectors = std::fs::read(vectors).unwrap();
    let files: [(&str, &[u8]); 3] = [("p.wasm", &plugin("route-rtt")), ("p.toml", &vectors), ("k.zone", ZONE)];
    Node::start(BINARY, &config, &files).await
}

pub(crate) async fn asked(address: SocketAddr) -> String {
    let mut command = Command::new("dig");
    command
        .args([format!("@{}", address.ip()), "-p".into(), address.port().to_string(), format!("+subnet={CLIENT}")])
        .args(["+norec", "+tries=2", "+short", "svc.cdn.example", "A"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.expect("dig; `make setup` installs it").stdout).into_owned();
    told.lines().next().unwrap_or_default().to_owned()
}

pub(crate) async fn until_answered(node: &Node, address: &str) {
    let asking = async { while asked(node.address("dns")).await != address {} };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{CLIENT} never gets {address}"));
}

async fn until_at_least(node: &Node, sample: &str, value: f64) {
    let came = async { while node.metrics().await.get(sample).is_none_or(|now| *now < value) {} };
    tokio::time::timeout(PATIENCE, came).await.unwrap_or_else(|_| panic!("{sample} never gets {value}"));
}

fn report(seq: u64, load: u64) -> Vec<u8> {
    let report = json!({ "v": 1, "run": 1, "seq": seq, "up": true, "load": load, "program": "0", "serving": null,
        "directing": null, "generation": 1 });
    report.to_string().into_bytes()
}

/// A node `x` of the cluster `one` that has no room, and says so for as long as this is held.
struct Crowded(tokio::task::JoinHandle<()>);

impl Crowded {
    fn at(nats: &Arc<Nats>) -> Self {
        static SEQ: AtomicU64 = AtomicU64::new(1);
        let nats = nats.clone();
        Self(tokio::spawn(async move {
            let mut every = tokio::time::interval(std::time::Duration::from_millis(50));
            loop {
                every.tick().await;
                nats.publish("littoral.state.one.x", &report(SEQ.fetch_add(1, Relaxed), 2000)).await;
            }
        }))
    }
}

impl Drop for Crowded {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn explained(node: &Node) -> Value {
    let (_, told) = node.admin("GET", "/v1/explain?client=198.51.100.7&name=svc.cdn.example", "").await;
    serde_json::from_str(&told).unwrap()
}

#[tokio::test]
async fn a_purge_at_one_node_is_done_at_the_others_and_who_differs_is_told() {
    let (nats, origin) = (Nats::start("", &[]).await, origin().await);
    let one = edge("one.a", "", &nats.url(), &origin, "every = \"100ms\"").await;
    let two = edge("two.a", "", &nats.url(), &origin, "every = \"100ms\"").await;
    for node in [&one, &two] {
        get(node, "/kept").await;
        get(node, "/purged").await;
        node.until("littoral_control_nodes{state=\"up\"}", 2.0).await;
    }
    let (status, told) = purge(&one, "/purged").await;
    assert_eq!((status, &told["purged"], &told["others"]), (200, &1.into(), &"told".into()));
    two.until("littoral_control_purges_total{outcome=\"done\"}", 1.0).await;
    one.until("littoral_control_purges_total{outcome=\"own\"}", 1.0).await;
    for path in ["/kept", "/purged"] {
        get(&two, path).await;
    }
    assert_eq!((origin.count("/kept"), origin.count("/purged")), (2, 3));
    let config = std::fs::read_to_string(two.file("node.toml")).unwrap();
    std::fs::write(two.file("node.toml"), config.replace("\"site.example\"", "\"site.example\", \"more.example\""))
        .unwrap();
    assert_eq!(two.admin("POST", "/v1/reload", "").await.0, 200);
    one.until("littoral_control_nodes{state=\"differing\"}", 1.0).await;
    let admin = one.address("admin").to_string();
    let told = Command::new(BINARY).args(["nodes", "--admin", &admin]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout);
    let line =
        |name: &str| told.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default().to_owned();
    assert!(line("two.a").ends_with("differs: serving") && line("one.a").ends_with("same"), "{told}");
    assert!(told.starts_with("one.a: nats, connected; other nodes are heard"), "{told}");
}

#[tokio::test]
async fn a_node_that_was_down_does_the_purges_it_missed_and_says_which_it_cannot_get() {
    let (nats, origin) = (Nats::start("", &[]).await, origin().await);
    let directory = tempfile::tempdir().unwrap();
    let kept = format!(
        "data = \"{0}/data\"\n[cache]\nmemory = \"16MiB\"\ndisk = [{{ path = \"{0}/disk\", size = \"64MiB\" }}]\n[more]",
        directory.path().display()
    );
    let one = edge("one", "", &nats.url(), &origin, "").await;
    let url = nats.url();
    let start = || edge("two", "", &url, &origin, &kept);
    let paths = ["/kept", "/purged", "/purged/again"];
    let mut two = start().await;
    for path in paths {
        get(&two, path).await;
    }
    two.until("littoral_cache_disk_writes_total", 3.0).await;
    assert_eq!(purge(&one, "/first").await.0, 200);
    two.until("littoral_control_purges_total{outcome=\"done\"}", 1.0).await;
    two.signal("TERM");
    assert_eq!(two.ended().await, Some(0));
    for path in &paths[1..] {
        assert_eq!(purge(&one, path).await.0, 200);
    }
    let mut two = start().await;
    two.until("littoral_control_purges_total{outcome=\"done\"}", 2.0).await;
    for path in paths {
        get(&two, path).await;
    }
    assert_eq!(paths.map(|path| origin.count(path)), [1, 2, 2], "what was not purged came from its disk");
    assert_eq!(two.metrics().await["littoral_control_purges_missed_total"], 0.0);
    two.signal("TERM");
    assert_eq!(two.ended().await, Some(0));
    // Away for longer than the stream keeps them.
    for path in paths {
        assert_eq!(purge(&one, path).await.0, 200);
    }
    let told = nats.request("$JS.API.STREAM.PURGE.littoral-purges", "").await;
    assert!(told.contains("\"success\":true"), "{told}");
    let two = start().await;
    two.until("littoral_control_purges_missed_total", 3.0).await;
    assert!(two.log().contains("order `littoral purge --all` at this node"), "{}", two.log());
    assert_eq!(purge(&one, "/kept").await.0, 200);
    two.until("littoral_control_purges_total{outcome=\"done\"}", 1.0).await;
    assert_eq!(two.metrics().await["littoral_control_purges_missed_total"], 3.0, "and goes on with the next");
}

#[tokio::test]
async fn a_purge_that_cannot_be_told_waits_and_is_done_everywhere_when_the_way_is_back() {
    let (nats, origin) = (Nats::start("", &[]).await, origin().await);
    let way = Way::to(nats.address).await;
    let one = edge("one", "", &way.url(), &origin, "").await;
    let two = edge("two", "", &nats.url(), &origin, "").await;
    get(&two, "/purged").await;
    for node in [&one, &two] {
        node.until("littoral_control_connected", 1.0).await;
    }
    way.cut();
    one.until("littoral_control_connected", 0.0).await;
    let (status, told) = purge(&one, "/purged").await;
    assert_eq!((status, &told["others"]), (202, &"waiting".into()));
    assert_eq!(one.metrics().await["littoral_control_purges_waiting"], 1.0);
    way.mend();
    two.until("littoral_control_purges_total{outcome=\"done\"}", 1.0).await;
    one.until("littoral_control_purges_waiting", 0.0).await;
    get(&two, "/purged").await;
    assert_eq!(origin.count("/purged"), 2);
}

#[tokio::test]
async fn how_edges_are_and_how_far_clients_are_from_them_changes_where_clients_are_sent() {
    let (nats, origin) = (Arc::new(Nats::start("", &[]).await), origin().await);
    let node = director(&nats.url(), "every = \"100ms\"\nsilent_after = \"1s\"").await;
    until_answered(&node, ONE).await;
    let often = "every = \"100ms\"\nrtt_every = \"100ms\"";
    let one = edge("a", "cluster = \"one\"", &nats.url(), &origin, often).await;
    let mut two = edge("b", "cluster = \"two\"", &nats.url(), &origin, often).await;
    node.until("littoral_control_nodes{state=\"up\"}", 3.0).await;
    for (edge, us) in [(&one, 90_000), (&two, 12_000)] {
        let text = format!("littoral-rtt 1\n{CLIENT} {us} 9 0\n");
        assert_eq!(edge.admin("POST", "/v1/rtt", &text).await.0, 200);
    }
    until_answered(&node, TWO).await;
    let told = explained(&node).await;
    assert_eq!((&told["reason"], &told["clusters"][0]), (&"rtt".into(), &"two".into()));
    let rtt = &told["candidates"][1]["rtt"];
    assert_eq!((&rtt["us"], &rtt["by"]), (&12_000.into(), &"b".into()));
    two.signal("TERM");
    assert_eq!(two.ended().await, Some(0));
    until_answered(&node, ONE).await;
    let told = explained(&node).await;
    assert_eq!((&told["filtered"][0]["cluster"], &told["filtered"][0]["why"]), (&"two".into(), &"down".into()));
    assert!(["stopping", "silent"].map(Value::from).contains(&told["control"]["clusters"]["two"]["state"]), "{told}");
    let _crowded = Crowded::at(&nats);
    drop(one);
    // Whoever is left has no room: it gets the clients all the same.
    until_answered(&node, ONE).await;
    node.until("littoral_control_nodes{state=\"silent\"}", 2.0).await;
    until_at_least(&node, "littoral_cluster_load_permille{cluster=\"one\"}", 2000.0).await;
}

#[tokio::test]
async fn who_hears_nothing_keeps_the_last_state_says_so_and_gives_it_up_after_its_bound() {
    let nats = Arc::new(Nats::start("", &[]).await);
    let way = Way::to(nats.address).await;
    let quick = "every = \"100ms\"\nsilent_after = \"1s\"";
    let patient = director(&way.url(), &format!("{quick}\nmax_age = \"1h\"")).await;
    let hasty = director(&way.url(), &format!("{quick}\nmax_age = \"2s\"")).await;
    let _crowded = Crowded::at(&nats);
    for node in [&patient, &hasty] {
        until_answered(node, TWO).await;
        node.until("littoral_control_state{state=\"fresh\"}", 1.0).await;
    }
    way.cut();
    hasty.until("littoral_control_state{state=\"old\"}", 1.0).await;
    patient.until("littoral_control_state{state=\"kept\"}", 1.0).await;
    until_answered(&hasty, ONE).await;
    assert_eq!(asked(patient.address("dns")).await, TWO, "the last state is kept");
    let (kept, old) = (explained(&patient).await, explained(&hasty).await);
    assert_eq!((&kept["control"]["state"], &kept["control"]["clusters"]["one"].is_object()), (&"kept".into(), &true));
    assert_eq!((&old["control"]["state"], &old["control"]["clusters"]), (&"old".into(), &json!({})));
    for (node, line) in [(&patient, "the last state is kept"), (&hasty, "nothing was heard by the control plane for")] {
        let logged = async {
            while !node.log().contains(line) {
                node.until("littoral_control_connected", 0.0).await
            }
        };
        tokio::time::timeout(PATIENCE, logged).await.unwrap_or_else(|_| panic!("no {line:?} in {}", node.log()));
    }
    assert!(!patient.log().contains("nothing was heard by the control plane for"));
    way.mend();
    for node in [&patient, &hasty] {
        node.until("littoral_control_state{state=\"fresh\"}", 1.0).await;
        until_answered(node, TWO).await;
    }
}

#[tokio::test]
async fn what_strangers_and_hostile_nodes_write_is_refused_counted_and_changes_nothing() {
    let (nats, origin) = (Nats::start("", &[]).await, origin().await);
    let node = director(&nats.url(), "nodes = [\"x\", \"director\"]\nsilent_after = \"1h\"\nmax_age = \"1h\"").await;
    let one = edge("one", "", &nats.url(), &origin, "nodes = [\"x\", \"one\"]").await;
    get(&one, "/kept").await;
    for of in [&node, &one] {
        of.until("littoral_control_state{state=\"fresh\"}", 1.0).await;
    }
    let full = report(5, 2000);
    for (subject, bytes) in [
        ("littoral.state.one.x", b"\xff\x00{".to_vec()),
        ("littoral.state.one.x", vec![b' '; 2000]),
        ("littoral.state.one.x", String::from_utf8(full.clone()).unwrap().replace("\"v\":1", "\"v\":9").into_bytes()),
        ("littoral.state.three.x", full.clone()),
        ("littoral.state.one.stranger", full.clone()),
        ("littoral.state._zz.x", full.clone()),
        ("littoral.votes._.x", b"{\"v\":1}".to_vec()),
        ("littoral.votes._.stranger", br#"{"v":1,"run":1,"seq":1,"up":[],"down":["one"]}"#.to_vec()),
        ("littoral.rtt.one.x", b"littoral-rtt 1\n198.51.100.0/24 0 1 1\n".to_vec()),
        ("littoral.rtt.one.stranger", b"littoral-rtt 1\n198.51.100.0/24 9000 1 1\n".to_vec()),
        ("littoral.rtt.one.x", vec![b'x'; 600 << 10]),
    ] {
        nats.publish(subject, &bytes).await;
    }
    for (outcome, count) in [("malformed", 4.0), ("large", 2.0), ("version", 1.0), ("cluster", 1.0), ("node", 4.0)] {
        // The edge, which is no director's, is a stranger here, too, and speaks again and again.
        until_at_least(&node, &format!("littoral_control_heard_total{{outcome=\"{outcome}\"}}"), count).await;
    }
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_rtt_known"], metrics["littoral_cluster_load_permille{cluster=\"one\"}"]), (0.0, 0.0));
    assert_eq!(asked(node.address("dns")).await, ONE);
    let all = |more: &str| format!("{{\"v\":1,\"run\":1,\"seq\":1,\"order\":{{\"all\":true{more}}}}}");
    for (from, text) in [("x", "nonsense".to_owned()), ("x", all(",\"every\":1")), ("stranger", all(""))] {
        nats.publish(&format!("littoral.purge.{from}"), text.as_bytes()).await;
    }
    one.until("littoral_control_purges_total{outcome=\"refused\"}", 3.0).await;
    get(&one, "/kept").await;
    assert_eq!(origin.count("/kept"), 1);
    nats.publish("littoral.purge.x", all("").as_bytes()).await;
    one.until("littoral_control_purges_total{outcome=\"done\"}", 1.0).await;
    get(&one, "/kept").await;
    assert_eq!(origin.count("/kept"), 2, "whom it knows it believes");
}

#[tokio::test]
async fn a_server_that_asks_for_tls_and_a_password_gets_both() {
    let authority = Authority::default();
    let issued = authority.issue(&["localhost"]);
    let conf = "tls { cert_file: \"DIR/cert.pem\", key_file: \"DIR/key.pem\" }\n\
                authorization { users = [ { user: \"edge\", password: \"s3cret\" } ] }";
    let nats = Nats::start(conf, &[("cert.pem", issued.cert.as_bytes()), ("key.pem", issued.key.as_bytes())]).await;
    std::fs::write(nats.file("ca.pem"), authority.pem()).unwrap();
    std::fs::write(nats.file("password"), "s3cret\n").unwrap();
    std::fs::write(nats.file("wrong"), "guess\n").unwrap();
    let (origin, url) = (origin().await, format!("tls://localhost:{}", nats.address.port()));
    let keys = |ca: &str, password: &str| {
        let file = |name: &str| nats.file(name).display().to_string();
        let ca = if ca.is_empty() { String::new() } else { format!("ca = {:?}\n", file(ca)) };
        format!("{ca}user = \"edge\"\npassword_file = {:?}", file(password))
    };
    let one = edge("one", "", &url, &origin, &keys("ca.pem", "password")).await;
    one.until("littoral_control_state{state=\"fresh\"}", 1.0).await;
    let wrong = edge("two", "", &url, &origin, &keys("ca.pem", "wrong")).await;
    let strange = edge("three", "", &url, &origin, &keys("", "password")).await;
    let (status, told) = purge(&one, "/x").await;
    assert_eq!((status, &told["others"]), (200, &"told".into()));
    for node in [&wrong, &strange] {
        let (status, told) = purge(node, "/x").await;
        assert_eq!((status, &told["others"]), (202, &"waiting".into()));
        assert_eq!(node.metrics().await["littoral_control_connected"], 0.0);
        get(node, "/x").await;
    }
    assert!(!one.log().contains("s3cret"), "{}", one.log());
}
