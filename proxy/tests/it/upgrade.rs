//! A node that is replaced or stopped while clients are at it: none of their requests fails.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_testkit::h2::{Frames, kind};
use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Body, Client, Gate, Node, Origin, Response};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::load::{Load, Speaks};
use super::{BINARY, config, dns, get, node_before};

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await
}

fn disk_in(directory: &tempfile::TempDir) -> String {
    format!("{{ path = {:?}, size = \"64MiB\", min_free = \"0\" }}", directory.path())
}

/// Upgrades by the admin API and minds the new process.
pub(super) async fn upgrade(node: &mut Node) -> u64 {
    let (status, said) = node.admin("POST", "/v1/upgrade", "").await;
    assert_eq!(status, 200, "{said}\n{}", node.log());
    let pid = serde_json::from_str::<serde_json::Value>(&said).unwrap()["pid"].as_u64().unwrap();
    node.succeeded_by(u32::try_from(pid).unwrap());
    pid
}

#[tokio::test]
async fn an_upgrade_under_load_fails_no_request_on_new_or_kept_connections() {
    let origin = origin().await;
    let mut node = node_before(&origin, "[limits]\nthreads = 2").await;
    let (load, clients) = Load::plain(node.address("http"));
    load.answers(30).await;
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
    load.answers(30).await;
    assert_eq!(load.end(clients).await, (0, 0), "{}", node.log());
    assert!(load.closed.load(Relaxed) >= 4, "the old process says that it closes the connections it kept");
    let (_, stats) = node.admin("GET", "/v1/stats", "").await;
    assert!(stats.contains("\"hit\":"), "the new process answers for itself: {stats}");
}

#[tokio::test]
async fn an_upgrade_under_load_fails_no_request_over_tls_or_http_2_either() {
    let (origin, authority) = (origin().await, Authority::default());
    let issued = authority.issue(&["site.example"]);
    let top = "[limits]\nthreads = 2\n[[listen.https]]\nbind = \"127.0.0.1:0\"\ncert = \"c.pem\"\nkey = \"c.key\"";
    let files = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let mut node = Node::start(BINARY, &config(&[&origin], top), &files).await;
    let [h1, h2] = [["http/1.1"], ["h2"]].map(|alpn| Arc::new(TlsClient::plain(&authority, &alpn)));
    let (http, https) = (node.address("http"), node.address("https"));
    let each = [
        (Speaks::Plain(true), http),
        (Speaks::Plain(false), http),
        (Speaks::Tls(h1.clone(), true), https),
        (Speaks::Tls(h1, false), https),
        (Speaks::H2(h2.clone()), https),
        (Speaks::H2(h2), https),
    ];
    let (load, clients) = Load::start([each.clone(), each].concat());
    for _ in 0..2 {
        load.answers(20).await;
        upgrade(&mut node).await;
    }
    assert_eq!(node.ended().await, Some(0));
    load.answers(20).await;
    assert_eq!(load.end(clients).await, (0, 0), "{}", node.log());
    assert!(load.closed.load(Relaxed) >= 8, "each process says that it closes the connections it kept");
}

#[tokio::test]
async fn what_runs_when_a_new_process_takes_over_is_finished_by_the_old_one() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin =
        Origin::start(move |_| Response::with(&[], Body::Gated(b"o".to_vec(), held.clone(), b"ne".to_vec()))).await;
    let mut node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status, 200);
    upgrade(&mut node).await;
    assert_eq!(node.admin("GET", "/readyz", "").await, (200, "ready\n".into()), "the new one is asked");
    gate.open();
    assert_eq!(client.bytes(3).await, b"one");
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn the_cache_on_disk_goes_to_the_new_process_and_a_purge_of_it_holds() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let mut node = node_before(&origin, &format!("[cache]\ndisk = {}", disk_in(&directory))).await;
    for path in ["/a", "/b"] {
        get(&node, path).await;
    }
    let (load, clients) = Load::plain(node.address("http"));
    load.answers(8).await;
    let in_use = format!("littoral_cache_disk_in_use{{disk=\"{}\"}}", directory.path().display());
    upgrade(&mut node).await;
    assert_eq!(node.metrics().await[&in_use], 1.0, "{}", node.log());
    assert_eq!(node.admin("POST", "/v1/purge", "{\"url\":\"http://site.example/b\"}").await.0, 200);
    assert_eq!(node.ended().await, Some(0));
    assert_eq!(load.end(clients).await, (0, 0), "{}", node.log());
    assert!(get(&node, "/a").await.field("cache-status").starts_with("littoral; hit"));
    assert!(!get(&node, "/b").await.field("cache-status").contains("; hit"));
    assert_eq!((origin.count("/a"), origin.count("/b")), (1, 2));
    assert!(!node.log().contains("a disk is out"), "{}", node.log());
}

/// A node that was upgraded, whose old process has a request under way and a kept connection.
struct Draining {
    node: Node,
    origin: Origin,
    _disk: tempfile::TempDir,
    /// Ends the request.
    gate: Gate,
    held: Client,
    /// Asked the old process for `/a` before.
    kept: Client,
}

impl Draining {
    async fn start() -> Self {
        let gate = Gate::default();
        let opens = gate.clone();
        let origin = Origin::start(move |request| match request.path.as_str() {
            "/held" => Response::with(&[], Body::Gated(b"o".to_vec(), opens.clone(), b"ne".to_vec())),
            _ => Response::ok(&["cache-control: max-age=60", "surrogate-key: k"], b"hello"),
        })
        .await;
        let disk = tempfile::tempdir().unwrap();
        let more = format!("[node]\nname = \"old\"\n[cache]\ndisk = {}", disk_in(&disk));
        let mut node = node_before(&origin, &more).await;
        let mut held = Client::connect(node.address("http")).await;
        held.send("GET /held HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        assert_eq!(held.head().await.unwrap().status, 200);
        let mut kept = Client::connect(node.address("http")).await;
        assert_eq!(kept.get("site.example", "/a", &[]).await.status, 200);
        let config = std::fs::read_to_string(node.file("node.toml")).unwrap();
        std::fs::write(node.file("node.toml"), config.replace("\"old\"", "\"new\"")).unwrap();
        upgrade(&mut node).await;
        Self { node, origin, _disk: disk, gate, held, kept }
    }

    /// Asks the new process. Right after an upgrade the old one still takes in whom it has accepted.
    async fn new_has(&self, path: &str) -> bool {
        loop {
            let reply = get(&self.node, path).await;
            if reply.field("x-served-by") == "new" {
                return reply.field("cache-status").starts_with("littoral; hit");
            }
        }
    }

    /// Purges at the new process.
    async fn purge(&self, order: &str) -> (u16, String) {
        loop {
            let mut admin = Client::connect(self.node.address("admin")).await;
            let asked = admin.get("admin", "/v1/stats", &[]).await;
            if String::from_utf8_lossy(&asked.body).contains("\"new\"") {
                let head = "POST /v1/purge HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\nContent-Length";
                admin.send(format!("{head}: {}\r\n\r\n{order}", order.len())).await;
                let reply = admin.reply(false).await.unwrap();
                return (reply.status, String::from_utf8_lossy(&reply.body).into_owned());
            }
        }
    }

    async fn end(mut self) {
        self.gate.open();
        assert_eq!(self.held.bytes(3).await, b"one");
        assert_eq!(self.node.ended().await, Some(0));
    }
}

#[tokio::test]
async fn what_is_purged_at_the_new_process_is_not_served_by_the_old_one_that_drains() {
    for order in ["{\"url\":\"http://site.example/a\"}", "{\"key\":\"k\"}", "{\"all\":true,\"soft\":true}"] {
        let mut draining = Draining::start().await;
        assert_eq!(draining.purge(order).await.0, 200, "{}", draining.node.log());
        let reply = draining.kept.get("site.example", "/a", &[]).await;
        assert!(!reply.field("cache-status").starts_with("littoral; hit"), "{order}: {:?}", reply.fields);
        assert_eq!(draining.origin.count("/a"), 2, "{order}");
        draining.end().await;
    }
}

#[tokio::test]
async fn what_an_unsafe_request_invalidates_at_the_old_process_is_gone_at_the_new_one() {
    let mut draining = Draining::start().await;
    assert!(draining.new_has("/a").await);
    draining.kept.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(draining.kept.reply(false).await.map(|reply| reply.status), Some(200));
    assert!(!draining.new_has("/a").await);
    assert_eq!(draining.node.metrics().await["littoral_upgrade_unconfirmed_total"], 0.0);
    draining.end().await;
}

#[tokio::test]
async fn a_purge_that_the_old_process_does_not_confirm_is_not_answered_as_done() {
    let draining = Draining::start().await;
    draining.node.signal("STOP");
    let (status, said) = draining.purge("{\"url\":\"http://site.example/a\"}").await;
    assert!(status == 503 && said.contains("did not confirm"), "{status} {said}");
    assert_eq!(draining.node.metrics().await["littoral_upgrade_unconfirmed_total"], 1.0);
    draining.node.signal("CONT");
    assert_eq!(draining.purge("{\"url\":\"http://site.example/a\"}").await.0, 200, "{}", draining.node.log());
    draining.end().await;
}

#[tokio::test]
async fn a_purge_at_the_old_process_holds_at_the_new_one_that_has_the_disks_and_does_not_serve_yet() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let mut node = node_before(&origin, &format!("[cache]\ndisk = {}", disk_in(&directory))).await;
    get(&node, "/b").await;
    // What the new process does between taking the disks and serving: it asks for the address of an origin, and nobody answers.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = std::fs::read_to_string(node.file("node.toml")).unwrap();
    let more = format!("[node]\nresolvers = [\"{}\"]\n", silent.local_addr().unwrap());
    let named = "[[site]]\nhosts = [\"other.example\"]\norigin = [\"http://www.o.example\"]\n";
    std::fs::write(node.file("node.toml"), format!("{more}{config}{named}")).unwrap();
    let purge = async {
        silent.recv_from(&mut [0; 512]).await.unwrap();
        node.admin("POST", "/v1/purge", "{\"url\":\"http://site.example/b\"}").await
    };
    let ((upgraded, pid), (purged, said)) = tokio::join!(node.admin("POST", "/v1/upgrade", ""), purge);
    assert_eq!((upgraded, purged), (200, 200), "{pid} {said} {}", node.log());
    let pid = serde_json::from_str::<serde_json::Value>(&pid).unwrap()["pid"].as_u64().unwrap();
    node.succeeded_by(u32::try_from(pid).unwrap());
    assert_eq!(node.ended().await, Some(0));
    assert!(!get(&node, "/b").await.field("cache-status").starts_with("littoral; hit"));
    assert_eq!(origin.count("/b"), 2);
}

#[tokio::test]
async fn a_new_process_that_cannot_start_leaves_the_old_one_serving() {
    let origin = origin().await;
    let mut node = node_before(&origin, "").await;
    let good = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), good.replace("hosts", "hots")).unwrap();
    let (load, clients) = Load::plain(node.address("http"));
    load.answers(8).await;
    let (status, said) = node.admin("POST", "/v1/upgrade", "").await;
    assert!(status == 500 && said.contains("this one goes on"), "{status} {said}");
    node.signal("USR2");
    while !node.log().contains("not upgraded") {}
    load.answers(8).await;
    std::fs::write(node.file("node.toml"), good).unwrap();
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
    load.answers(8).await;
    assert_eq!(load.end(clients).await, (0, 0), "{}", node.log());
}

#[tokio::test]
async fn a_node_upgraded_twice_still_has_its_sockets_and_more_workers_share_them() {
    let origin = origin().await;
    let mut node = node_before(&origin, "[limits]\nthreads = 1").await;
    for (before, after) in [("threads = 1", "threads = 3"), ("threads = 3", "threads = 2")] {
        let config = std::fs::read_to_string(node.file("node.toml")).unwrap();
        std::fs::write(node.file("node.toml"), config.replace(before, after)).unwrap();
        upgrade(&mut node).await;
        for _ in 0..20 {
            assert_eq!(get(&node, "/hit").await.status, 200);
        }
    }
}

#[tokio::test]
async fn dns_is_answered_over_the_same_sockets_after_an_upgrade() {
    let mut node = Node::start(BINARY, &dns::config(), &[("k.zone", dns::ZONE.as_bytes())]).await;
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
    assert!(dns::is_answered(&node).await);
}

#[tokio::test]
async fn a_stop_under_load_answers_every_kept_connection_and_says_that_it_closes() {
    let origin = origin().await;
    let mut node = node_before(&origin, "[limits]\nthreads = 2").await;
    let (load, clients) = Load::plain(node.address("http"));
    load.answers(30).await;
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    for client in clients {
        client.await.unwrap();
    }
    assert!(load.closed.load(Relaxed) >= 1);
    // One that connects the moment the last socket closes meets nobody; a kept connection is always answered.
    assert_eq!(load.failed_kept.load(Relaxed), 0, "{}", node.log());
}

#[tokio::test]
async fn sockets_of_systemd_are_used_instead_of_binding() {
    let origin = origin().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    let text = config(&[&origin], "").replacen("127.0.0.1:0", &address.to_string(), 1);
    std::fs::write(&file, text).unwrap();
    let script = "exec 3<&0; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" run -c \"$1\"";
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", script, BINARY])
        .arg(&file)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap().unwrap();
    assert!(ready.contains(&format!("http={address}")), "{ready}");
    assert_eq!(Client::connect(address).await.get("site.example", "/a", &[]).await.status, 200);
}

/// Waits for the answer of a stream on a connection that is told to end.
async fn answered(client: &mut Frames, stream: u32) -> bool {
    while let Some(frame) = client.next().await {
        if frame.kind == kind::HEADERS && frame.stream == stream {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn tls_http_2_and_unix_sockets_go_over_and_what_runs_on_them_is_finished() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/held" => Response::with(&[], Body::HeadGated(held.clone())),
        _ => Response::ok(&["cache-control: max-age=60"], b"x"),
    })
    .await;
    let authority = Authority::default();
    let issued = authority.issue(&["site.example"]);
    let text = format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [\"unix:s.sock\"]\n\
         https = [{{ bind = \"127.0.0.1:0\", cert = \"c.pem\", key = \"c.key\" }}]\n[limits]\nthreads = 2\n\
         [[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        origin.url()
    );
    let files = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let mut node = Node::start(BINARY, &text, &files).await;
    let (tls, path) = (TlsClient::plain(&authority, &["h2"]), node.file("s.sock"));
    let http_2 =
        async |node: &Node| Frames::begin(tls.connect(node.address("https"), "site.example").await.unwrap()).await;
    let unix = async || Client::over(UnixStream::connect(&path).await.unwrap());
    let (mut stream, mut socket) = (http_2(&node).await, unix().await);
    stream.get(1, "site.example", "/held").await;
    socket.send("GET /held HTTP/1.1\r\nHost: site.example\r\nCache-Control: no-store\r\n\r\n").await;
    while origin.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    upgrade(&mut node).await;
    for _ in 0..4 {
        let mut stream = http_2(&node).await;
        stream.get(1, "site.example", "/a").await;
        // The old one may have taken it, and says that it is to end.
        assert!(answered(&mut stream, 1).await, "{}", node.log());
        assert_eq!(unix().await.get("site.example", "/a", &[]).await.status, 200);
    }
    gate.open();
    assert!(answered(&mut stream, 1).await, "{}", node.log());
    assert_eq!(socket.reply(false).await.map(|reply| reply.status), Some(200));
    assert_eq!(node.ended().await, Some(0));
    assert_eq!(
        unix().await.get("site.example", "/a", &[]).await.status,
        200,
        "the old one leaves the socket where it is"
    );
}
