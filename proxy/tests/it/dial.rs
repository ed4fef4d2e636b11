//! Connections that services make: to whom they were granted, under TLS where they ask, within bounds, and to nobody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::node::plugin;
use littoral_testkit::tls::{Authority, server};
use littoral_testkit::{Node, refused};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::services::PATIENCE;
use super::{BINARY, REQUIRED};

/// A port that nobody listens at, and no test is given.
const NOBODY: u16 = 1;

/// Answers each line with what it is and `text` before it, until one is `quit`.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S, text: &str) -> Option<S> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        stream.write_all(format!("{text} {line}").as_bytes()).await.ok()?;
        if line == "starttls\n" {
            // What it has read ahead would be plain bytes where the handshake belongs.
            assert!(stream.buffer().is_empty());
            return Some(stream.into_inner());
        }
    }
}

/// A server at 127.0.0.1 that counts who connects; with TLS from the first byte, or after `starttls`.
struct Far {
    address: SocketAddr,
    met: Arc<AtomicUsize>,
}

async fn far(tls: Option<TlsAcceptor>, at_once: bool) -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, met) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = met.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            let tls = tls.clone();
            tokio::spawn(async move {
                let stream = if at_once { stream } else { echo(stream, "plain").await? };
                echo(tls?.accept(stream).await.ok()?, "secret").await.map(drop)
            });
        }
    });
    Far { address, met }
}

struct Talk(BufReader<TcpStream>);

impl Talk {
    async fn with(node: &Node) -> Self {
        Self(BufReader::new(TcpStream::connect(node.address("service")).await.unwrap()))
    }

    async fn ask(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut told = String::new();
        tokio::time::timeout(PATIENCE, self.0.read_line(&mut told)).await.expect("it answers").unwrap();
        told.trim_end().to_owned()
    }
}

fn config(keys: &str) -> String {
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"gate\"\n[[plugin]]\nname = \"gate\"\nfile = \"s.wasm\"\n{keys}\n[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:1\"]\n"
    )
}

async fn start(keys: &str, more: &[(&str, &[u8])]) -> Node {
    let guest = plugin("service-gateway");
    Node::start(BINARY, &config(keys), &[&[("s.wasm", guest.as_slice())], more].concat()).await
}

#[tokio::test]
async fn a_service_dials_whom_it_was_granted_and_the_operator_sees_it() {
    let (granted, other) = (far(None, false).await, far(None, false).await);
    let port = granted.address.port();
    // The name alone does not lead to an address that is not public.
    let node = start(&format!("dial = [\"127.0.0.1:{port}\", \"localhost:{}\"]", other.address.port()), &[]).await;
    let mut client = Talk::with(&node).await;
    assert_eq!(client.ask(&format!("dial 127.0.0.1 {port} plain")).await, "0 is 127.0.0.1");
    assert_eq!([client.ask("ask 0 a").await, client.ask("ask 0 b").await], ["is plain a", "is plain b"]);
    let no = "no: it may not be dialled";
    for target in [
        format!("127.0.0.1 {}", other.address.port()),
        format!("localhost {}", other.address.port()),
        format!("localhost {port}"),
        format!("127.0.0.2 {port}"),
        format!("nobody.example {port}"),
        "198.41.0.4 80".to_owned(),
        "http://a 80".to_owned(),
    ] {
        assert_eq!(client.ask(&format!("dial {target} plain")).await, no, "{target}");
    }
    assert_eq!((granted.met.load(Relaxed), other.met.load(Relaxed)), (1, 0));
    let metrics = node.metrics().await;
    let of = |name: &str, more: &str| metrics[&format!("littoral_plugin_{name}{{plugin=\"gate\"{more}}}")];
    assert_eq!([of("dialled", ""), of("dials_total", ",outcome=\"connected\"")], [1.0, 1.0]);
    assert_eq!(of("dials_total", ",outcome=\"not-granted\""), 7.0);
    assert_eq!(of("dialled_bytes_total", ",direction=\"in\""), 16.0);
    assert_eq!(of("dialled_bytes_total", ",direction=\"out\""), 4.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(told.contains(&format!("\"dial\":[\"127.0.0.1/32:{port}\"")), "{told}");
    // It is closed with its connection.
    assert_eq!(client.ask("close 0").await, "closed");
    node.until("littoral_plugin_dialled{plugin=\"gate\"}", 0.0).await;
    client.ask(&format!("dial 127.0.0.1 {port} plain")).await;
    drop(client);
    node.until("littoral_plugin_dialled{plugin=\"gate\"}", 0.0).await;
}

#[tokio::test]
async fn an_instance_has_eight_such_connections_and_what_refuses_one_is_told() {
    let granted = far(None, false).await;
    let keys = format!("dial = [\"127.0.0.1:{}\", \"127.0.0.1:{NOBODY}\"]", granted.address.port());
    let node = start(&keys, &[]).await;
    let mut client = Talk::with(&node).await;
    let dial = format!("dial 127.0.0.1 {} plain", granted.address.port());
    for number in 0..8 {
        assert_eq!(client.ask(&dial).await, format!("{number} is 127.0.0.1"));
    }
    assert_eq!(client.ask(&dial).await, "no: too many connections are open");
    assert_eq!(client.ask("close 3").await, "closed");
    let unreachable = format!("dial 127.0.0.1 {NOBODY} plain");
    assert_eq!(client.ask(&unreachable).await, "no: it cannot be connected to");
    assert_eq!(client.ask(&dial).await, "8 is 127.0.0.1");
    assert_eq!(client.ask("ask 8 x").await, "is plain x");
    assert_eq!(granted.met.load(Relaxed), 9);
}

#[tokio::test]
async fn tls_is_the_nodes_and_a_certificate_that_is_not_believed_is_refused() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    let acceptor = |of: &Authority, name: &str| Some(TlsAcceptor::from(server(&of.issue(&[name]), None, &[])));
    let good = far(acceptor(&authority, "127.0.0.1"), true).await;
    let bad = far(acceptor(&stranger, "127.0.0.1"), true).await;
    let named = far(acceptor(&authority, "mail.example"), true).await;
    let later = far(acceptor(&authority, "127.0.0.1"), false).await;
    let pem = authority.pem();
    let node = start("dial = [\"127.0.0.1:*\"]\ndial_ca = \"ca.pem\"", &[("ca.pem", pem.as_bytes())]).await;
    let mut client = Talk::with(&node).await;
    let dial = |far: &Far, how: &str| format!("dial 127.0.0.1 {} {how}", far.address.port());
    assert_eq!(client.ask(&dial(&good, "tls")).await, "0 is 127.0.0.1");
    assert_eq!(client.ask("ask 0 hi").await, "is secret hi");
    for wrong in [&bad, &named] {
        assert_eq!(client.ask(&dial(wrong, "tls")).await, "no: the handshake failed");
    }
    assert_eq!(client.ask(&dial(&later, "starttls")).await, "1 is 127.0.0.1");
    assert_eq!(
        [client.ask("ask 1 hi").await, client.ask("ask 1 starttls").await],
        ["is plain hi", "is plain starttls"]
    );
    assert_eq!([client.ask("tls 1").await, client.ask("ask 1 more").await], ["begun", "is secret more"]);
    assert_eq!(client.ask("tls 1").await, "no: there is no TLS", "once");
    assert_eq!(client.ask("ask 1 on").await, "is secret on", "and it goes on");
}

#[test]
fn what_cannot_be_granted_is_told_before_a_node_starts() {
    let guest = plugin("service-gateway");
    for (keys, expected) in [
        ("", "it dials: say whom it may, such as `dial = [\"mail.example.org:25\"]`"),
        ("dial = [\"mail.example.org\"]", "is nobody to dial"),
        ("dial = []", "plugin.dial has 1 to 256 entries"),
        ("dial_ca = \"ca.pem\"", "plugin.dial_ca needs plugin.dial"),
        ("dial = [\"*:25\"]\ndial_ca = \"s.wasm\"", "has to hold certificates, PEM"),
    ] {
        let (code, told) = refused(BINARY, &(config(keys) + REQUIRED), &[("s.wasm", &guest)]);
        assert!(code == Some(2) && told.contains(expected), "{expected}\n{code:?} {told}");
    }
}
