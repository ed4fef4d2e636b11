//! Requests by HTTP that plugins make: of whom they were granted, within bounds, and what becomes of clients when nobody answers.

use littoral_testkit::node::plugin;
use littoral_testkit::origin::{Body, Gate};
use littoral_testkit::tls::{Authority, server};
use littoral_testkit::{Node, Origin, Response, refused};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};

use super::services::{self, PATIENCE};
use super::{BINARY, REQUIRED, config};

/// A port that nobody listens at, and no test is given.
const NOBODY: u16 = 1;

/// Whom plugins ask: what it answers is in the path.
fn answer(path: &str) -> Response {
    let fields = ["x-answer: yes", "connection: x-gone", "x-gone: 1"];
    match path {
        "/moved" => Response { status: 302, ..Response::ok(&["location: /ok"], b"") },
        "/large" => Response::ok(&fields, &[b'x'; 70_000]),
        "/silent" => Response::with(&fields, Body::Gated(b"a".to_vec(), Gate::default(), b"b".to_vec())),
        _ => Response::ok(&fields, b"hello\n"),
    }
}

async fn far() -> Origin {
    Origin::start(|request| answer(&request.path)).await
}

/// A node before an origin with the filter `name`, whose `[[plugin]]` has `keys` more.
async fn filtered(name: &str, keys: &str, files: &[(&str, &[u8])]) -> Node {
    let origin = services::origin().await;
    let more = format!(
        "[node]\nname = \"edge-1\"\ndata = \"data\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\n{keys}\n[site]\nfilters = [\"f\"]\ndefault_ttl = \"1m\"\n"
    );
    let guest = plugin(name);
    Node::start(BINARY, &config(&[&origin], &more), &[&[("f.wasm", guest.as_slice())], files].concat()).await
}

async fn told(node: &Node, fields: &[&str]) -> (u16, String) {
    let reply = node.get("site.example", "/a", fields).await;
    (reply.status, String::from_utf8_lossy(&reply.body).trim_end().to_owned())
}

/// What a filter that asks for `url` says of it.
async fn asked(node: &Node, url: &str) -> String {
    told(node, &[&format!("x-url: {url}")]).await.1
}

async fn sample(node: &Node, name: &str, labels: &str) -> f64 {
    node.metrics().await.get(&format!("littoral_{name}{{plugin=\"f\"{labels}}}")).copied().unwrap_or(-1.0)
}

#[tokio::test]
async fn a_filter_asks_whom_it_was_granted_and_the_operator_sees_it() {
    let (granted, other) = (far().await, far().await);
    let [port, alone] = [granted.address.port(), other.address.port()];
    // The name alone does not lead to an address that is not public.
    let keys = format!(
        "http = [\"http://127.0.0.1:{port}\", \"http://localhost:{alone}\", \"http://127.0.0.1:{NOBODY}\"]\nhttp_timeout = \"30s\"\nconfig = {{ how = \"once\" }}"
    );
    let node = filtered("filter-fetch", &keys, &[]).await;
    for round in 0..20 {
        assert_eq!(asked(&node, &format!("http://127.0.0.1:{port}/ok?{round}")).await, "200 6 yes");
    }
    assert!(granted.connections() < 20, "connections are used again");
    let no = "it may not be asked";
    for url in [
        format!("http://localhost:{alone}/"),
        format!("http://127.0.0.1:{alone}/"),
        format!("http://[::ffff:127.0.0.1]:{alone}/"),
        format!("https://127.0.0.1:{port}/"),
        "http://site.example/".to_owned(),
    ] {
        assert_eq!(asked(&node, &url).await, no, "{url}");
    }
    assert_eq!(asked(&node, &format!("http://127.0.0.1:{NOBODY}/")).await, "it cannot be connected to");
    assert_eq!(asked(&node, &format!("http://127.0.0.1:{port}/moved")).await, "302 0", "nothing is followed");
    assert_eq!(asked(&node, &format!("http://127.0.0.1:{port}/large")).await, "it is too large");
    assert_eq!((other.connections(), granted.count("/ok")), (0, 0));
    let request = &granted.requests()[0];
    let of = ["host", "cdn-loop", "accept-encoding"].map(|name| request.field(name).unwrap_or_default().to_owned());
    assert_eq!(of, [format!("127.0.0.1:{port}"), "edge-1".to_owned(), String::new()]);
    let of = async |outcome: &str| sample(&node, "plugin_fetches_total", &format!(",outcome=\"{outcome}\"")).await;
    assert_eq!([of("answered").await, of("not-granted").await, of("unreachable").await], [21.0, 5.0, 1.0]);
    assert_eq!([of("too-large").await, sample(&node, "plugin_fetches_open", "").await], [1.0, 0.0]);
    assert_eq!(sample(&node, "plugin_fetches_bytes_total", ",direction=\"in\"").await, 120.0);
    let (_, status) = node.admin("GET", "/v1/plugins", "").await;
    assert!(status.contains(&format!("\"http\":[\"http://127.0.0.1/32:{port}\"")), "{status}");
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_refused_and_the_client_is_answered() {
    let far = far().await;
    let url = format!("{}/silent", far.url());
    let keys =
        format!("http = [\"{}\"]\nhttp_timeout = \"100ms\"\nconfig = {{ how = \"once\", url = \"{url}\" }}", far.url());
    let node = filtered("filter-fetch", &keys, &[]).await;
    assert_eq!(told(&node, &[]).await, (200, "it took too long".to_owned()));
    assert_eq!(sample(&node, "plugin_fetches_open", "").await, 0.0);
    assert_eq!(sample(&node, "plugin_faults_total", ",kind=\"deadline\"").await, 0.0, "it has waited, not computed");
}

#[tokio::test]
async fn a_guest_may_want_it_sooner_than_the_operator() {
    let far = far().await;
    let url = format!("{}/silent", far.url());
    let keys = format!(
        "http = [\"{}\"]\nhttp_timeout = \"30s\"\nconfig = {{ how = \"once\", url = \"{url}\", within_ms = 50 }}",
        far.url()
    );
    let node = filtered("filter-fetch", &keys, &[]).await;
    assert_eq!(told(&node, &[]).await.1, "it took too long");
}

#[tokio::test]
async fn one_call_makes_eight_requests_and_one_without_end_is_a_fault() {
    let far = far().await;
    let keys = |how: &str| {
        format!("http = [\"{0}\"]\nhttp_timeout = \"30s\"\nconfig = {{ how = \"{how}\", url = \"{0}/ok\" }}", far.url())
    };
    let node = filtered("filter-fetch", &keys("many"), &[]).await;
    assert_eq!(told(&node, &[]).await, (200, "8".to_owned()));
    assert_eq!(sample(&node, "plugin_fetches_total", ",outcome=\"too-many\"").await, 12.0);
    let node = filtered("filter-fetch", &keys("forever"), &[]).await;
    assert_eq!(told(&node, &[]).await, (200, "page".to_owned()), "it goes on without the filter");
    assert_eq!(sample(&node, "plugin_faults_total", ",kind=\"deadline\"").await, 1.0);
    let node = filtered("filter-fetch", &keys("response"), &[]).await;
    assert_eq!(told(&node, &[]).await, (200, "page".to_owned()));
    assert_eq!(sample(&node, "plugin_faults_total", ",kind=\"nonsense\"").await, 1.0);
}

#[tokio::test]
async fn who_gives_up_is_gone_past_or_not_as_the_operator_says_and_stays_in_use() {
    for (on_fault, expected) in [("open", 200), ("closed", 503)] {
        let keys = format!(
            "http = [\"http://127.0.0.1:{NOBODY}\"]\non_fault = \"{on_fault}\"\nconfig = {{ how = \"give-up\", url = \"http://127.0.0.1:{NOBODY}/\" }}"
        );
        let node = filtered("filter-fetch", &keys, &[]).await;
        for _ in 0..8 {
            assert_eq!(told(&node, &[]).await.0, expected, "{on_fault}");
        }
        assert_eq!(sample(&node, "plugin_faults_total", ",kind=\"gave-up\"").await, 8.0);
        assert_eq!(sample(&node, "plugin_quarantined", "").await, 0.0, "it is not held against it");
    }
}

#[tokio::test]
async fn a_filter_that_asks_the_node_itself_goes_round_once() {
    let node = filtered(
        "filter-fetch",
        "http = [\"http://127.0.0.1:*\"]\nhttp_timeout = \"30s\"\nconfig = { how = \"once\" }",
        &[],
    )
    .await;
    let own = format!("http://{}/", node.address("http"));
    let told = asked(&node, &own).await;
    assert!(told.starts_with("508 "), "{told}");
}

#[tokio::test]
async fn under_tls_a_certificate_that_is_not_believed_is_a_refusal() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    let secure = async |authority: &Authority, names: &[&str]| {
        let tls = server(&authority.issue(names), None, &["http/1.1"]);
        Origin::start_tls(tls, |request| answer(&request.path)).await
    };
    let good = secure(&authority, &["127.0.0.1"]).await;
    let wrong = [secure(&authority, &["other.example"]).await, secure(&stranger, &["127.0.0.1"]).await];
    let pem = authority.pem();
    let keys =
        "http = [\"https://127.0.0.1:*\"]\nhttp_ca = \"ca.pem\"\nhttp_timeout = \"30s\"\nconfig = { how = \"once\" }";
    let node = filtered("filter-fetch", keys, &[("ca.pem", pem.as_bytes())]).await;
    assert_eq!(asked(&node, &format!("https://{}/ok", good.address)).await, "200 6 yes");
    for wrong in &wrong {
        assert_eq!(asked(&node, &format!("https://{}/ok", wrong.address)).await, "the handshake failed");
    }
}

/// An authorisation server: `Bearer ann` passes.
async fn authority() -> Origin {
    Origin::start(|request| match request.field("authorization") {
        Some("Bearer ann") => Response { status: 204, ..Response::ok(&["x-user: ann"], b"") },
        Some("Bearer slow") => answer("/silent"),
        Some("Bearer bad") => Response { status: 500, ..Response::ok(&[], b"") },
        _ => Response { status: 401, ..Response::ok(&["www-authenticate: Bearer"], b"who are you?") },
    })
    .await
}

#[tokio::test]
async fn an_authorisation_server_says_who_passes_hits_included() {
    let auth = authority().await;
    let keys = format!(
        "http = [\"{0}\"]\nhttp_timeout = \"5s\"\nstore = \"1MiB\"\non_fault = \"closed\"\nconfig = {{ url = \"{0}/check\", send = [\"authorization\"], take = [\"x-user\"], cache_s = 3600 }}",
        auth.url()
    );
    let node = filtered("filter-auth", &keys, &[]).await;
    let ann = &["authorization: Bearer ann"];
    for asked in [1, 1, 1] {
        assert_eq!(told(&node, ann).await, (200, "page".to_owned()));
        assert_eq!(auth.count("/check"), asked, "its answer is remembered");
    }
    let reply = node.get("site.example", "/a", &[]).await;
    assert_eq!((reply.status, reply.field("www-authenticate")), (401, "Bearer"), "what is stored is not for everybody");
    assert_eq!(told(&node, &["authorization: Bearer slow"]).await.0, 503);
    assert_eq!(told(&node, &["authorization: Bearer bad"]).await.0, 503);
    assert_eq!(told(&node, ann).await, (200, "page".to_owned()));
    assert_eq!(sample(&node, "plugin_faults_total", ",kind=\"gave-up\"").await, 2.0);
}

#[tokio::test]
async fn where_the_operator_says_open_clients_pass_while_nobody_answers() {
    let keys = format!(
        "http = [\"http://127.0.0.1:{NOBODY}\"]\nstore = \"1MiB\"\nconfig = {{ url = \"http://127.0.0.1:{NOBODY}/\" }}"
    );
    let node = filtered("filter-auth", &keys, &[]).await;
    assert_eq!(told(&node, &[]).await, (200, "page".to_owned()));
}

#[tokio::test]
async fn services_ask_too_of_connections_and_of_datagrams() {
    let (far, origin) = (far().await, services::origin().await);
    let [ok, silent] = ["/ok", "/silent"].map(|path| format!("{}{path}", far.url()));
    let keys = format!("http = [\"{}\"]\nhttp_timeout = \"5s\"", far.url());
    let text = services::config(&origin, &keys, "");
    let node = Node::start(BINARY, &text, &[("s.wasm", &plugin("service-fetch"))]).await;
    let mut client = BufReader::new(TcpStream::connect(node.address("service")).await.unwrap());
    for (url, expected) in [
        (ok.as_str(), "200 hello"),
        (&silent, "no: it took too long"),
        (&ok, "200 hello"),
        ("http://127.0.0.1:1/", "no: it may not be asked"),
    ] {
        client.get_mut().write_all(format!("{url}\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, client.read_line(&mut line)).await.expect("it answers").unwrap();
        assert_eq!(line.trim_end(), expected, "{url}");
    }
    let text = text.replace("[[listen.service]]", "[[listen.datagram]]").replace("connections = ", "");
    let node = Node::start(BINARY, &text, &[("s.wasm", &plugin("datagram-fetch"))]).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(node.address("datagram")).await.unwrap();
    for (url, expected) in [(&ok, "200 hello"), (&silent, "no: it took too long"), (&ok, "200 hello")] {
        client.send(url.as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        let length = tokio::time::timeout(PATIENCE, client.recv(&mut buffer)).await.expect("it answers").unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
    }
}

#[tokio::test]
async fn a_plugin_that_asks_without_a_grant_or_with_one_that_is_none_keeps_the_node_from_starting() {
    let origin = services::origin().await;
    let guest = plugin("filter-fetch");
    for (keys, expected) in [
        ("", "it asks by HTTP: say whom it may, such as `http = [\"https://api.example.org\"]`"),
        ("http = [\"api.example.org\"]", "is nobody to ask by HTTP"),
        ("http = []", "plugin.http has 1 to 256 entries"),
        ("http_timeout = \"1s\"", "plugin.http_timeout needs plugin.http"),
        ("http = [\"http://a\"]\nhttp_timeout = \"1m\"", "plugin.http_timeout is 10ms to 30s"),
        ("http = [\"http://a\"]\nhttp_body = \"2MiB\"", "plugin.http_body is at most 1MiB"),
        ("http = [\"https://a\"]\nhttp_ca = \"f.wasm\"", "has to hold certificates, PEM"),
    ] {
        let more = format!(
            "[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nconfig = {{ how = \"once\" }}\n{keys}\n[site]\nfilters = [\"f\"]\n"
        );
        let (code, line) = refused(BINARY, &(config(&[&origin], &more) + REQUIRED), &[("f.wasm", &guest)]);
        assert!(code == Some(2) && line.contains(expected), "{keys}: {code:?} {line}");
    }
}
