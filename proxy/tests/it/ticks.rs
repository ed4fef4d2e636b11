//! Ticks: what plugins do by themselves, beside a node that answers.

use std::sync::Arc;

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, Origin, Response, refused};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::services::{self, PATIENCE};
use super::{BINARY, REQUIRED, config};

/// A port that nobody listens at, and no test is given.
const NOBODY: u16 = 1;

/// A node with a filter whose `[[plugin]]` has `keys` more.
async fn filtered(name: &str, keys: &str) -> Node {
    let origin = services::origin().await;
    let more =
        format!("[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nstore = \"1MiB\"\n{keys}\n[site]\nfilters = [\"f\"]\n");
    Node::start(BINARY, &config(&[&origin], &more), &[("f.wasm", &plugin(name))]).await
}

/// The fixture that ticks as `how` says; it may ask whoever listens here.
async fn ticking(how: &str, more: &str) -> Node {
    filtered("filter-ticks", &format!("http = [\"http://127.0.0.1:*\"]\nconfig = {{ how = \"{how}\"{more} }}")).await
}

async fn told(node: &Node) -> (u16, String) {
    let reply = node.get("site.example", "/a", &[]).await;
    (reply.status, String::from_utf8_lossy(&reply.body).trim_end().to_owned())
}

/// Waits until as many ticks of plugin `name` as `least` have ended so; how many there are.
async fn ticked_of(node: &Node, name: &str, outcome: &str, least: f64) -> f64 {
    let name = format!("littoral_plugin_ticks_total{{plugin=\"{name}\",outcome=\"{outcome}\"}}");
    let came = async {
        loop {
            match node.metrics().await.get(&name) {
                Some(count) if *count >= least => return *count,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, came).await.expect("it ticks")
}

async fn ticked(node: &Node, outcome: &str, least: f64) -> f64 {
    ticked_of(node, "f", outcome, least).await
}

/// What `/v1/plugins` says of its ticks.
async fn status(node: &Node) -> serde_json::Value {
    let (_, text) = node.admin("GET", "/v1/plugins", "").await;
    serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
}

#[tokio::test]
async fn a_filter_fetches_its_list_by_itself_and_refuses_who_is_on_it() {
    let list = Arc::new(Mutex::new((200, "# these\n127.0.0.0/8 us\n")));
    let shown = list.clone();
    let lists = Origin::start(move |_| {
        let (status, list) = *shown.lock();
        Response { status, ..Response::ok(&[], list.as_bytes()) }
    })
    .await;
    let keys =
        format!("http = [\"{0}\"]\nconfig = {{ url = \"{0}/list\", every_s = 1 }}\ndeadline = \"1s\"", lists.url());
    let node = filtered("filter-blocklist", &keys).await;
    // What is counted as done is in the store; one that is begun after a change sees it, and so the second that ends.
    let anew = async |outcome: &str| {
        let before = ticked(&node, outcome, 0.0).await;
        ticked(&node, outcome, before + 2.0).await;
    };
    ticked(&node, "done", 1.0).await;
    assert_eq!(told(&node).await.0, 403);
    *list.lock() = (200, "192.0.2.1\n");
    anew("done").await;
    assert_eq!(told(&node).await, (200, "page".to_owned()));
    *list.lock() = (200, "127.0.0.1\n");
    anew("done").await;
    assert_eq!(told(&node).await.0, 403);
    *list.lock() = (503, "");
    anew("gave-up").await;
    assert_eq!(told(&node).await.0, 403, "the last list holds");
    let told = status(&node).await;
    assert_eq!((&told["state"], &told["faults"]["trap"]), (&"running".into(), &0.into()), "{told}");
    assert!(lists.count("/list") >= 7);
}

#[tokio::test]
async fn a_tick_that_fails_fails_no_request_and_the_next_comes_later() {
    let url = format!(", url = \"http://127.0.0.1:{NOBODY}/\"");
    for (how, kind) in [("trap", "trap"), ("spin", "deadline"), ("forever", "deadline"), ("give-up", "gave-up")] {
        let node = ticking(how, &url).await;
        ticked(&node, kind, 2.0).await;
        let (code, said) = told(&node).await;
        assert!(code == 200 && said.split(' ').next().unwrap().parse::<u64>().unwrap() >= 2, "{how}: {said}");
        let metrics = node.metrics().await;
        let of = |name: &str, more: &str| metrics[&format!("littoral_plugin_{name}{{plugin=\"f\"{more}}}")];
        assert!(of("faults_total", &format!(",kind=\"{kind}\"")) >= 2.0, "{how}");
        assert_eq!([of("quarantined", ""), of("ticks_total", ",outcome=\"done\"")], [0.0, 0.0], "{how}");
        assert_eq!(metrics["littoral_filter_calls_total{plugin=\"f\",point=\"request\"}"], 1.0);
        // The second that failed is followed by two seconds, as long as the third has not begun.
        let later = async {
            loop {
                let told = status(&node).await;
                let [last, next] = ["last_ms", "next_ms"].map(|name| told["ticks"][name].as_u64().unwrap());
                if next >= last + 2_000 {
                    return told["last_fault"].as_str().unwrap_or_default().to_owned();
                }
            }
        };
        let fault = tokio::time::timeout(PATIENCE, later).await.expect("it is told when it ticks next");
        assert_eq!(fault.starts_with("at tick: "), how != "give-up", "{how}: {fault}");
    }
}

#[tokio::test]
async fn each_generation_ticks_at_once_and_one_that_wants_no_more_has_none() {
    let node = ticking("once", "").await;
    ticked(&node, "done", 1.0).await;
    assert_eq!(told(&node).await, (200, "1".to_owned()));
    assert_eq!(status(&node).await["ticks"]["next_ms"], 0);
    assert_eq!(node.admin("POST", "/v1/plugins/f/reload", "").await, (200, r#"{"generation":2}"#.into()));
    ticked(&node, "done", 2.0).await;
    assert_eq!(told(&node).await, (200, "2".to_owned()), "they share their store");
    // The same with a config that is another one.
    let file = node.file("node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"once\"", "\"often\", after_ms = 86400000")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    ticked(&node, "done", 3.0).await;
    let later = async {
        loop {
            let told = status(&node).await["ticks"].clone();
            if told["next_ms"].as_u64().unwrap() >= told["last_ms"].as_u64().unwrap() + 86_400_000 {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, later).await.expect("it is told when it ticks next");
    assert_eq!((&told["under_way"], &told["outcomes"]["done"]), (&false.into(), &3.into()));
}

#[tokio::test]
async fn a_filter_that_is_not_in_the_config_any_more_ticks_no_more() {
    let (asked, origin) = (Origin::start(|_| Response::ok(&[], b"hello")).await, services::origin().await);
    let own = format!(
        "[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nstore = \"1MiB\"\nhttp = [\"{0}\"]\nconfig = {{ how = \"fetch\", after_ms = 100, url = \"{0}/f\" }}\n",
        asked.url()
    );
    let other = own.replace("\"f\"", "\"g\"").replace("/f\"", "/g\"");
    let text = config(&[&origin], &format!("{own}{other}"));
    let node = Node::start(BINARY, &text, &[("f.wasm", &plugin("filter-ticks"))]).await;
    let [f, g] = [ticked_of(&node, "f", "done", 2.0).await, ticked_of(&node, "g", "done", 2.0).await];
    assert!(f >= 2.0 && g >= 2.0);
    std::fs::write(node.file("node.toml"), text.replace(&own, "")).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    // The one that was under way has ended when the other has ticked twice: they have one thread.
    ticked_of(&node, "g", "done", ticked_of(&node, "g", "done", 0.0).await + 2.0).await;
    let before = asked.count("/f");
    ticked_of(&node, "g", "done", ticked_of(&node, "g", "done", 0.0).await + 5.0).await;
    assert_eq!(asked.count("/f"), before);
}

#[tokio::test]
async fn a_tick_asks_by_http_whom_the_plugin_was_granted() {
    let far = Origin::start(|_| Response::ok(&[], b"hello")).await;
    let node = ticking("fetch", &format!(", after_ms = 86400000, url = \"{}/\"", far.url())).await;
    ticked(&node, "done", 1.0).await;
    assert_eq!(told(&node).await, (200, "1 hello".to_owned()));
    let node = ticking("fetch", ", after_ms = 86400000, url = \"http://192.0.2.1/\"").await;
    ticked(&node, "done", 1.0).await;
    assert_eq!(told(&node).await, (200, "1 it may not be asked".to_owned()));
}

#[tokio::test]
async fn services_of_connections_and_of_datagrams_tick_too() {
    let origin = services::origin().await;
    let text = services::config(&origin, services::STORE, "");
    let node = Node::start(BINARY, &text, &[("s.wasm", &plugin("service-ticks"))]).await;
    let least = ticked_of(&node, "s", "done", 2.0).await;
    let mut client = BufReader::new(TcpStream::connect(node.address("service")).await.unwrap());
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, client.read_line(&mut line)).await.expect("it answers").unwrap();
    assert!(line.trim_end().parse::<f64>().unwrap() >= least, "{line}");
    let text = text.replace("[[listen.service]]", "[[listen.datagram]]");
    let node = Node::start(BINARY, &text, &[("s.wasm", &plugin("datagram-ticks"))]).await;
    let least = ticked_of(&node, "s", "done", 2.0).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(node.address("datagram")).await.unwrap();
    client.send(b"how many?").await.unwrap();
    let mut buffer = [0; 64];
    let length = tokio::time::timeout(PATIENCE, client.recv(&mut buffer)).await.expect("it answers").unwrap();
    let said = String::from_utf8_lossy(&buffer[..length]);
    assert!(said.parse::<f64>().unwrap() >= least, "{said}");
}

#[tokio::test]
async fn what_a_tick_needs_is_granted_as_anything_else() {
    let origin = services::origin().await;
    let text = services::config(&origin, "", "") + REQUIRED;
    let (code, line) = refused(BINARY, &text, &[("s.wasm", &plugin("service-ticks"))]);
    assert!(code == Some(2) && line.contains("it wants a store: grant it one"), "{code:?} {line}");
}

/// A server that is said lines, a connection after the other, and answers each as `answers` says then; the port, and what it was said.
async fn collector(answers: Arc<Mutex<&'static str>>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, said) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let noted = said.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut stream, mut line) = (BufReader::new(stream), String::new());
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                noted.lock().push(line.trim_end().to_owned());
                let answer = *answers.lock();
                let _gone = stream.get_mut().write_all(answer.as_bytes()).await;
                line.clear();
            }
        }
    });
    (port, said)
}

/// The answer of the service at a node to a line.
async fn asked(node: &Node, line: &str) -> String {
    let mut client = BufReader::new(TcpStream::connect(node.address("service")).await.unwrap());
    client.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let mut told = String::new();
    tokio::time::timeout(PATIENCE, client.read_line(&mut told)).await.expect("it answers").unwrap();
    told.trim_end().to_owned()
}

#[tokio::test]
async fn a_service_delivers_what_is_on_its_disk_while_it_ticks_even_after_it_was_killed() {
    let (origin, data) = (services::origin().await, tempfile::tempdir().unwrap());
    let answers = Arc::new(Mutex::new("later\n"));
    let (port, said) = collector(answers.clone()).await;
    let keys = format!(
        "durable = \"1MiB\"\ndial = [\"127.0.0.1:{port}\"]\nconfig = {{ host = \"127.0.0.1\", port = {port}, every_ms = 100 }}"
    );
    let text = services::config(&origin, &keys, "").replace("\"data\"", &format!("{:?}", data.path()));
    let files = [("s.wasm", &*plugin("service-outbox"))];
    let node = Node::start(BINARY, &text, &files).await;
    assert_eq!([asked(&node, "one").await, asked(&node, "two").await], ["ok", "ok"]);
    ticked_of(&node, "s", "done", 3.0).await;
    assert_eq!(asked(&node, "").await, "2 wait", "who was told of them has not taken them");
    drop(node);
    *answers.lock() = "ok\n";
    said.lock().clear();
    let node = Node::start(BINARY, &text, &files).await;
    ticked_of(&node, "s", "done", 2.0).await;
    assert_eq!(asked(&node, "").await, "0 wait");
    // What the killed one had sent may come twice.
    said.lock().dedup();
    assert_eq!(**said.lock(), ["one", "two"]);
}
