//! Where the node listens and who may come in: lists, PROXY headers, unix sockets, file descriptors.

use std::os::unix::fs::PermissionsExt;

use littoral_testkit::{Client, Node, Origin, Reply, Response, refused};
use tokio::net::UnixStream;

use super::BINARY;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n";

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await
}

/// A node with these listeners, before `origin`.
fn config(origin: &Origin, http: &str) -> String {
    format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{http}]\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        origin.url()
    )
}

async fn status(mut client: Client, request: &str) -> Option<u16> {
    client.send(request).await;
    client.reply(false).await.map(|reply: Reply| reply.status)
}

#[tokio::test]
async fn lists_close_the_door_on_those_they_deny_and_a_reload_changes_them() {
    let origin = origin().await;
    let listener = |more: &str| format!("{{ bind = \"127.0.0.1:0\", {more} }}");
    let closed = listener("allow = [\"10.0.0.0/8\"]");
    let node = Node::start(BINARY, &config(&origin, &closed), &[]).await;
    let ask = async || status(Client::connect(node.address("http")).await, REQUEST).await;
    assert_eq!(ask().await, None);
    for (more, expected) in [
        ("allow = [\"127.0.0.0/8\"]", Some(200)),
        ("allow = [\"127.0.0.0/8\"], deny = [\"127.0.0.1\"]", None),
        ("deny = [\"127.0.0.0/8\"], allow = [\"127.0.0.1\"]", Some(200)),
        ("deny = [\"0.0.0.0/0\"]", None),
        ("deny = []", Some(200)),
    ] {
        std::fs::write(node.file("node.toml"), config(&origin, &listener(more))).unwrap();
        assert_eq!(node.admin("POST", "/v1/reload", "").await, (200, r#"{"needs_restart":[],"reloaded":true}"#.into()));
        assert_eq!(ask().await, expected, "{more}");
    }
    assert_eq!(node.metrics().await["littoral_downstream_denied_total{reason=\"list\"}"], 3.0);
}

#[tokio::test]
async fn a_believed_proxy_header_says_whom_a_connection_is_for() {
    let origin = origin().await;
    let listener = "{ bind = \"127.0.0.1:0\", proxy_protocol = [\"127.0.0.1\"], deny = [\"192.0.2.0/24\"] }";
    let node = Node::start(BINARY, &config(&origin, listener), &[]).await;
    let v2 = |client: [u8; 4]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([&client[..], &[10, 0, 0, 1, 0x12, 0x34, 0, 80]].concat());
        header
    };
    let line = |client: &str| format!("PROXY TCP4 {client} 10.0.0.1 4660 80\r\n").into_bytes();
    for (header, expected) in [
        (line("198.51.100.1"), Some(200)),
        (line("192.0.2.1"), None),
        (v2([198, 51, 100, 1]), Some(200)),
        (v2([192, 0, 2, 1]), None),
        (b"PROXY UNKNOWN\r\n".to_vec(), Some(200)),
        (Vec::new(), None),
        (b"PROXY TCP4 nonsense\r\n".to_vec(), None),
        (
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\nPROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n".to_vec(),
            Some(400),
        ),
    ] {
        let request = String::from_utf8([&header[..], REQUEST.as_bytes()].concat()).unwrap_or_default();
        let mut client = Client::connect(node.address("http")).await;
        client
            .send(match request.is_empty() {
                true => [&header[..], REQUEST.as_bytes()].concat(),
                false => request.into_bytes(),
            })
            .await;
        assert_eq!(client.reply(false).await.map(|reply| reply.status), expected, "{}", header.escape_ascii());
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_downstream_denied_total{reason=\"list\"}"], 2.0);
    assert_eq!(metrics["littoral_downstream_denied_total{reason=\"header\"}"], 2.0);
}

#[tokio::test]
async fn who_is_not_trusted_with_proxy_headers_is_closed() {
    let origin = origin().await;
    let listener = "{ bind = \"127.0.0.1:0\", proxy_protocol = [\"10.0.0.0/8\"] }";
    let node = Node::start(BINARY, &config(&origin, listener), &[]).await;
    for request in [REQUEST.to_owned(), format!("PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n{REQUEST}")] {
        assert_eq!(status(Client::connect(node.address("http")).await, &request).await, None);
    }
    assert_eq!(node.metrics().await["littoral_downstream_denied_total{reason=\"source\"}"], 2.0);
}

#[tokio::test]
async fn a_unix_socket_is_served_with_its_mode_and_a_stale_one_is_replaced() {
    let origin = origin().await;
    let config = config(&origin, "{ bind = \"unix:s.sock\", mode = \"0600\" }, \"127.0.0.1:0\"");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sock");
    let config = config.replace("s.sock", path.to_str().unwrap());
    // Bound and gone: nobody answers there any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let node = Node::start(BINARY, &config, &[]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for request in [
        "GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let client = Client::over(UnixStream::connect(&path).await.unwrap());
        assert_eq!(status(client, request).await, Some(200));
    }
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
    let (code, said) = refused(BINARY, &config, &[]);
    assert!(code == Some(2) && said.contains("another process listens there"), "{said}");
}

#[test]
fn a_path_with_something_else_is_never_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let config = format!(
        "[listen]\nhttp = [\"unix:{}\"]\n[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:9\"]\n",
        path.display()
    );
    let (code, said) = refused(BINARY, &config, &[]);
    assert!(code == Some(2) && said.contains("something that is no socket lies there"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"data");
}

#[test]
fn a_listener_that_cannot_work_is_told_its_place() {
    let site = "[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:9\"]\n";
    for (http, expected) in [
        ("{ bind = \"127.0.0.1:0\", alow = [] }", "unknown key \"alow\"; did you mean \"allow\"?"),
        ("{ bind = \"127.0.0.1:0\", allow = [\"10.0.0.1/8\"] }", "has bits beyond its length: write 10.0.0.0/8"),
        ("{ bind = \"127.0.0.1:0\", deny = [\"everybody\"] }", "is no prefix: write"),
        ("{ bind = \"127.0.0.1:0\", allow = [\"10.0.0.0/8\"], deny = [\"10.0.0.0/8\"] }", "both in allow and in deny"),
        ("{ bind = \"127.0.0.1:0\", backlog = 0 }", "node.toml:2:43: backlog is 1 to"),
        ("{ bind = \"127.0.0.1:0\", mode = \"0660\" }", "mode is for unix sockets"),
        ("{ bind = \"unix:/tmp/x\", mode = \"rw\" }", "is no mode: write octal digits"),
        ("\"unix:\"", "a unix socket without a path"),
        ("80", "invalid type: integer `80`, expected an address such as"),
    ] {
        let (code, said) = refused(BINARY, &format!("[listen]\nhttp = [{http}]\n{site}"), &[]);
        assert!(code == Some(2) && said.contains(expected), "{expected:?} is not in {said:?}");
    }
}

#[tokio::test]
async fn without_file_descriptors_new_connections_wait_and_nothing_breaks() {
    let origin = origin().await;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("few");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n 64\nexec {BINARY} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = config(&origin, "\"127.0.0.1:0\"") + "[limits]\nthreads = 1\n";
    let node = Node::start(script.to_str().unwrap(), &config, &[]).await;
    let mut admin = Client::connect(node.address("admin")).await;
    let mut held = vec![Client::connect(node.address("http")).await];
    assert_eq!(held[0].get("site.example", "/a", &[]).await.status, 200);
    for _ in 0..64 {
        held.push(Client::connect(node.address("http")).await);
    }
    let failures = async |admin: &mut Client| {
        let text = admin.get("admin", "/metrics", &[]).await.body;
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find(|line| line.starts_with("littoral_downstream_accept_failures_total")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    while failures(&mut admin).await == 0.0 {}
    assert_eq!(held[0].get("site.example", "/a", &[]).await.status, 200, "who is in is served");
    let mut last = held.pop().unwrap();
    held.clear();
    assert_eq!(last.get("site.example", "/a", &[]).await.status, 200, "who waited is served when there is room");
}
