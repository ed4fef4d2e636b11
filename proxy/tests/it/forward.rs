//! The explicit proxy, as curl and others use it: what is kept, what is carried, who and what is refused.

use std::process::Stdio;

use littoral_testkit::tls::{Authority, server};
use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Response, refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::BINARY;

const FRESH: &str = "cache-control: max-age=60";

/// A node that is a proxy; `listen` and `forward` are more of their tables.
fn config(listen: &str, forward: &str) -> String {
    format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nforward = [{{ bind = \"127.0.0.1:0\"{listen} }}]\n[forward]\n{forward}\n"
    )
}

/// One that leads to these ports of this machine.
async fn proxy(ports: &[u16], more: &str) -> Node {
    let text = format!("private = [\"127.0.0.0/8\"]\nports = {ports:?}\nconnect_ports = {ports:?}\n{more}");
    Node::start(BINARY, &config("", &text), &[]).await
}

async fn ask(node: &Node, request: impl AsRef<[u8]>) -> Reply {
    let mut client = Client::connect(node.address("forward")).await;
    client.send(request).await;
    client.reply(false).await.expect("an answer")
}

fn get(url: &str) -> String {
    let host = url.split('/').nth(2).unwrap_or("x");
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// A server that sends back what it gets, until its client has sent everything.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    port
}

async fn curl(node: &Node, arguments: &[&str]) -> (Option<i32>, String) {
    let proxy = format!("http://{}", node.address("forward"));
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--noproxy", "", "-m", "20", "-x", &proxy]).args(arguments).stderr(Stdio::piped());
    let output = curl.output().await.expect("curl");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn curl_gets_a_page_through_the_proxy_and_the_next_one_from_the_cache() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"page")).await;
    let node = proxy(&[origin.address.port()], "").await;
    let url = format!("{}/a?b", origin.url());
    for expected in ["miss", "hit"] {
        let (code, said) = curl(&node, &["-i", "-U", "user:secret", "--proxy-basic", &url]).await;
        assert!(code == Some(0) && said.ends_with("page"), "{said}");
        let status = said.lines().find(|line| line.to_ascii_lowercase().starts_with("cache-status")).unwrap();
        assert!(status.contains("hit") == (expected == "hit"), "{said}");
    }
    assert_eq!(origin.count("/a?b"), 1);
    let asked = origin.requests().remove(0);
    assert_eq!(asked.field("host"), Some(origin.address.to_string().as_str()));
    assert_eq!(asked.field("via"), Some("1.1 littoral"));
    for gone in ["proxy-authorization", "proxy-connection", "cdn-loop", "surrogate-capability"] {
        assert_eq!(asked.field(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn what_is_kept_is_kept_under_its_whole_url_and_purged_by_it() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"one")).await;
    let other = Origin::start(|_| Response::ok(&[FRESH], b"other")).await;
    let node = proxy(&[origin.address.port(), other.address.port()], "").await;
    let (one, two) = (format!("{}/a", origin.url()), format!("{}/a", other.url()));
    for _ in 0..2 {
        assert_eq!(ask(&node, get(&one)).await.body, b"one");
        assert_eq!(ask(&node, get(&two)).await.body, b"other", "the port is part of the key");
    }
    assert_eq!((origin.count("/a"), other.count("/a")), (1, 1));
    let (status, said) = node.admin("POST", "/v1/purge", &format!("{{\"url\": {one:?}}}")).await;
    assert!(status == 200 && said.contains("\"purged\":1"), "{said}");
    ask(&node, get(&one)).await;
    ask(&node, get(&two)).await;
    assert_eq!((origin.count("/a"), other.count("/a")), (2, 1));
}

#[tokio::test]
async fn a_site_of_the_node_and_the_proxy_have_nothing_of_each_others_cache() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let port = origin.address.port();
    let text = config("", &format!("private = [\"127.0.0.1\"]\nports = [{port}]"));
    let site = format!("[[site]]\nhosts = [\"127.0.0.1\"]\norigin = [{:?}]\n", origin.url());
    let text = text.replacen("[listen]", "[listen]\nhttp = [\"127.0.0.1:0\"]", 1) + &site;
    let node = Node::start(BINARY, &text, &[]).await;
    for _ in 0..2 {
        assert_eq!(node.get("127.0.0.1", "/a", &[]).await.status, 200);
        assert_eq!(ask(&node, get(&format!("{}/a", origin.url()))).await.status, 200);
    }
    assert_eq!(origin.count("/a"), 2);
    let direct = ask(&node, "GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert_eq!(direct.status, 400, "what is no absolute form is for nobody");
    let mut reverse = Client::connect(node.address("http")).await;
    reverse.send(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")).await;
    assert_eq!(reverse.reply(false).await.unwrap().status, 405);
    for (target, host, expected) in
        [("127.0.0.1", "127.0.0.1", 200), ("o.test", "o.test", 421), ("127.0.0.1", "o.test", 400)]
    {
        let mut reverse = Client::connect(node.address("http")).await;
        reverse.send(format!("GET http://{target}/a HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(reverse.reply(false).await.unwrap().status, expected, "{target} {host}");
    }
}

#[tokio::test]
async fn directives_for_cdns_do_not_count_and_a_stale_answer_is_confirmed() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/cdn" => Response::ok(&["cdn-cache-control: max-age=60", "cache-control: no-store"], b"x"),
        _ if request.field("if-none-match").is_some() => Response { status: 304, ..Response::default() },
        _ => Response::ok(&["cache-control: max-age=0", "etag: \"1\""], b"y"),
    })
    .await;
    let node = proxy(&[origin.address.port()], "").await;
    for path in ["/cdn", "/cdn", "/etag", "/etag"] {
        assert_eq!(ask(&node, get(&format!("{}{path}", origin.url()))).await.status, 200, "{path}");
    }
    assert_eq!((origin.count("/cdn"), origin.count("/etag")), (2, 2));
    assert!(origin.requests().iter().any(|request| request.field("if-none-match") == Some("\"1\"")));
}

#[tokio::test]
async fn what_is_stale_is_served_while_the_node_asks_again_by_itself() {
    let gate = Gate::default();
    let held = gate.clone();
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        let fields = &["cache-control: max-age=0, stale-while-revalidate=60"];
        match seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Response::ok(fields, b"old"),
            _ => Response::with(&[FRESH], Body::Gated(b"n".to_vec(), held.clone(), b"ew".to_vec())),
        }
    })
    .await;
    let node = proxy(&[origin.address.port()], "").await;
    let url = format!("{}/a", origin.url());
    assert_eq!(ask(&node, get(&url)).await.body, b"old");
    assert_eq!(ask(&node, get(&url)).await.body, b"old");
    gate.open();
    while ask(&node, get(&url)).await.body != b"new" {}
}

#[tokio::test]
async fn curl_speaks_tls_through_a_tunnel_and_the_proxy_sees_only_bytes() {
    let authority = Authority::default();
    let issued = authority.issue(&["localhost"]);
    let origin = Origin::start_tls(server(&issued, None, &["http/1.1"]), |_| Response::ok(&[], b"secret")).await;
    let node = proxy(&[origin.address.port()], "connect = [\"localhost\"]").await;
    let file = node.file("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let url = format!("https://localhost:{}/a", origin.address.port());
    let (code, said) = curl(&node, &["--cacert", file.to_str().unwrap(), &url]).await;
    assert_eq!((code, said.as_str()), (Some(0), "secret"));
    node.until("littoral_forward_tunnels_total{end=\"closed\"}", 1.0).await;
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_forward_tunnels_open"], 0.0);
    assert!(metrics["littoral_forward_tunnel_bytes_total{from=\"client\"}"] > 100.0);
    assert!(metrics["littoral_forward_tunnel_bytes_total{from=\"server\"}"] > 100.0);
}

#[tokio::test]
async fn a_tunnel_carries_what_comes_with_its_request_and_half_closes() {
    let port = echo().await;
    let node = proxy(&[port], "connect = [\"127.0.0.1\"]").await;
    let mut stream = TcpStream::connect(node.address("forward")).await.unwrap();
    let early = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\nearly ");
    stream.write_all(early.as_bytes()).await.unwrap();
    stream.write_all(b"and late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nearly and late"), "{got}");
}

#[tokio::test]
async fn what_may_not_be_asked_is_refused_and_counted() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let port = origin.address.port();
    let text = format!(
        "ports = [{port}, 80]\nhosts = [\"localhost\", \"127.0.0.1\", \"nowhere.invalid\"]\nconnect = [\"localhost\"]"
    );
    let node = Node::start(BINARY, &config("", &text), &[]).await;
    let connect = |target: &str, more: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    for (request, status, reason) in [
        (get(&format!("http://127.0.0.1:{port}/")), 403, "address"),
        (get(&format!("http://localhost:{port}/")), 403, "address"),
        (get("http://127.0.0.1:81/"), 403, "port"),
        (get("http://other.example/"), 403, "host"),
        (get("http://nowhere.invalid/"), 502, "name"),
        (get("https://localhost/"), 400, "malformed"),
        (get("/"), 400, "malformed"),
        (connect("localhost:443", ""), 403, "address"),
        (connect("localhost:22", ""), 403, "port"),
        (connect("127.0.0.1:443", ""), 403, "host"),
        (connect("localhost", ""), 400, "malformed"),
        (connect("http://localhost:443/", ""), 400, "malformed"),
        (connect("localhost:443", "Content-Length: 3\r\n"), 400, ""),
    ] {
        let counted = async || {
            node.metrics().await.get(&format!("littoral_forward_refused_total{{reason=\"{reason}\"}}")).copied()
        };
        let before = counted().await;
        let reply = ask(&node, &request).await;
        assert_eq!(reply.status, status, "{request}");
        assert_eq!(counted().await, before.map(|before| before + 1.0), "{request}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn clients_that_are_not_listed_are_closed() {
    let node = Node::start(BINARY, &config(", allow = [\"192.0.2.0/24\"]", ""), &[]).await;
    let mut client = Client::connect(node.address("forward")).await;
    client.send(get("http://a.example/")).await;
    assert_eq!(client.reply(false).await, None);
    assert_eq!(node.metrics().await["littoral_downstream_denied_total{reason=\"list\"}"], 1.0);
}

#[tokio::test]
async fn tunnels_are_bounded_in_number_in_bytes_and_in_silence() {
    let port = echo().await;
    let more = "connect = [\"127.0.0.1\"]\ntunnels = 1\ntunnel_idle = \"100ms\"\ntunnel_bytes = \"64KiB\"";
    let node = proxy(&[port], more).await;
    let connect = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n");
    let open = async || {
        let mut client = Client::connect(node.address("forward")).await;
        client.send(&connect).await;
        let status = client.head().await.unwrap().status;
        (client, status)
    };
    let (mut first, status) = open().await;
    assert_eq!(status, 200);
    // The first may be over by now: what counts is that never two are open.
    let (_, second) = open().await;
    let refused = node.metrics().await["littoral_forward_refused_total{reason=\"tunnels\"}"];
    assert_eq!(refused, if second == 503 { 1.0 } else { 0.0 });
    assert_eq!(first.bytes(1).await, b"", "it is closed for being silent");
    node.until("littoral_forward_tunnels_open", 0.0).await;
    let (mut busy, status) = open().await;
    assert_eq!(status, 200);
    busy.send(vec![7; 200 << 10]).await;
    assert!(busy.bytes(200 << 10).await.len() < 200 << 10);
    node.until("littoral_forward_tunnels_total{end=\"bytes\"}", 1.0).await;
    assert!(node.metrics().await["littoral_forward_tunnels_total{end=\"idle\"}"] >= 1.0);
}

#[tokio::test]
async fn tunnels_and_requests_are_in_the_access_log() {
    let port = echo().await;
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let text = format!(
        "private = [\"127.0.0.1\"]\nconnect = [\"127.0.0.1\"]\nports = [{}]\nconnect_ports = [{port}]",
        origin.address.port()
    );
    let log = "[log]\naccess = { file = \"access\", format = \"$site $method $path $status $bytes $received $origin $end\" }\n";
    let mut node = Node::start(BINARY, &(config("", &text) + log), &[]).await;
    let mut client = Client::connect(node.address("forward")).await;
    client.send(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\nhello")).await;
    assert_eq!(client.head().await.unwrap().status, 200);
    assert_eq!(client.bytes(5).await, b"hello");
    client.finish().await;
    assert_eq!(client.bytes(1).await, b"");
    ask(&node, get(&format!("{}/a", origin.url()))).await;
    ask(&node, "CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    let written = std::fs::read_to_string(node.file("access")).unwrap();
    let expected = [
        format!("forward CONNECT 127.0.0.1:{port} 200 5 5 127.0.0.1:{port} ok"),
        "forward GET /a 200 1 0 - ok".to_owned(),
        "forward CONNECT a.example:443 403 0 0 - ok".to_owned(),
    ];
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    let mut wanted: Vec<&str> = expected.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn a_proxy_for_everybody_is_no_config_that_starts() {
    for (text, fix) in [
        ("[listen]\nforward = [\"0.0.0.0:0\"]\n", "give allow"),
        ("[listen]\nforward = [\"[::]:0\"]\n", "give allow"),
        ("[listen]\nforward = [{ bind = \"127.0.0.1:0\", h2c = true }]\n", "h2c is not for listen.forward"),
        ("[listen]\ndns = [\"127.0.0.1:0\"]\n[forward]\ntunnels = 1\n", "add"),
        ("[listen]\nforward = [\"127.0.0.1:0\"]\n[forward]\nports = [0]\n", "1 to 65535"),
        ("[listen]\nforward = [\"127.0.0.1:0\"]\n[forward]\ntunnel_idle = \"0s\"\n", "more than 0s"),
        ("[listen]\nforward = [\"127.0.0.1:0\"]\n[forward]\nconnect = [\"a:443\"]\n", "*.example.org"),
    ] {
        let (code, said) = refused(BINARY, text, &[]);
        assert!(code == Some(2) && said.contains(fix), "{text}{said}");
    }
}
