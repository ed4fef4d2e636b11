//! DNS over HTTPS as `kdig` and `curl` ask it, and as somebody asks who means no good.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_geo::Director;
use littoral_geo::limits::{HTTPS_MESSAGE_BYTES_MAX, TCP_CONNECTIONS_MAX};
use littoral_geo::server::{Handler, Settings};
use littoral_testkit::outsider::absent;
use littoral_testkit::tls::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::dns::has;
use crate::world;

/// A question for the address of `ns.kingcdn.example`, and what answers it.
const QUESTION: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x02ns\x07kingcdn\x07example\0\0\x01\0\x01";
const ADDRESS: &[u8] = &[192, 0, 2, 54];

struct Served {
    port: u16,
    director: Arc<Director>,
    files: tempfile::TempDir,
}

async fn served() -> Served {
    let issued = Authority::default().issue(&["dns.example"]);
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("question"), QUESTION).unwrap();
    let acceptor = TlsAcceptor::from(littoral_testkit::tls::server(&issued, None, &["h2", "http/1.1"]));
    let director = Arc::new(world::director());
    let handler = Handler::with(director.clone(), Settings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                let handler = handler.clone();
                tokio::spawn(async move { handler.converse_https(stream, client).await });
            }
        }
    });
    Served { port, director, files }
}

/// What a program prints; `None`, said aloud, where it is not installed.
async fn said(program: &'static str, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments);
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => Some([output.stdout, output.stderr].concat()),
        Err(error) => {
            absent(program, if program == "curl" { "curl" } else { "knot-dnsutils" }, &error);
            None
        }
    }
}

impl Served {
    /// What `curl` prints of a request, head and body.
    async fn curl(&self, target: &str, arguments: &[&str]) -> Option<Vec<u8>> {
        let url = format!("https://127.0.0.1:{}{target}", self.port);
        said("curl", &[&["-sik", "-H", "accept: application/dns-message"], arguments, &[&url]].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kdig_asks_over_https_by_post_and_by_get_and_what_it_pads_is_answered_padded() {
    let served = served().await;
    let port = served.port.to_string();
    let ask = ["@127.0.0.1", "-p", &port, "+https", "+edns", "+padding", "ns.kingcdn.example", "A"];
    let Some(posted) = said("kdig", &ask).await else { return };
    let posted = String::from_utf8_lossy(&posted).into_owned();
    has(&posted, &["HTTP session (HTTP/2-POST)", "status: NOERROR", "192.0.2.54", "PADDING", "Received 468 B"]);
    let got = said("kdig", &[&ask[..4], &["+https-get", "big.kingcdn.example", "TXT"]].concat()).await.unwrap();
    let got = String::from_utf8_lossy(&got).into_owned();
    has(&got, &["(HTTP/2-GET)", "status: NOERROR", "ANSWER: 41"]);
    let counters = served.director.counters();
    let counts =
        [&counters.https, &counters.tcp, &counters.encrypted, &counters.truncated].map(|one| one.load(Relaxed));
    assert_eq!(counts, [2, 2, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_posts_messages_over_both_versions_and_is_told_how_long_the_answer_holds() {
    let served = served().await;
    let file = served.files.path().join("question");
    let data = format!("@{}", file.display());
    let posts = ["-H", "content-type: application/dns-message", "--data-binary", &data];
    for (version, line) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")] {
        let Some(told) = served.curl("/dns-query", &[&posts[..], &[version]].concat()).await else { return };
        assert!(told.ends_with(ADDRESS), "{}", String::from_utf8_lossy(&told));
        let head = String::from_utf8_lossy(&told).to_lowercase();
        has(
            &head,
            &[&line.to_lowercase(), "content-type: application/dns-message", "cache-control: private, max-age=60"],
        );
    }
    // As a resolver of curl's own: it asks for the addresses of a host before it goes there.
    let (doh, port) = (format!("https://127.0.0.1:{}/dns-query", served.port), served.port.to_string());
    let url = format!("https://ns.kingcdn.example:{port}/");
    let asked = ["-skv", "--connect-timeout", "1", "--doh-insecure", "--doh-url", &doh, &url];
    let told = String::from_utf8_lossy(&said("curl", &asked).await.unwrap()).into_owned();
    has(&told, &["192.0.2.54"]);
    assert_eq!(served.director.counters().https_refused.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_no_message_is_refused_with_the_reason_and_counted() {
    let served = served().await;
    let long = served.files.path().join("long");
    std::fs::write(&long, vec![0; HTTPS_MESSAGE_BYTES_MAX + 1]).unwrap();
    let long = format!("@{}", long.display());
    let kind = "content-type: application/dns-message";
    let wrong: [(&str, &[&str], u16); 10] = [
        ("/", &[], 404),
        ("/dns-query/more", &[], 404),
        ("/dns-query", &[], 400),
        ("/dns-query?dns=AA==", &[], 400),
        // A message of three bytes, and a response.
        ("/dns-query?dns=AAAB", &[], 400),
        ("/dns-query?dns=AACBAAABAAAAAAAAAAABAAE", &[], 400),
        ("/dns-query", &["-X", "PUT"], 405),
        ("/dns-query", &["--data", "x"], 415),
        ("/dns-query", &["-H", kind, "--data-binary", &long], 413),
        ("/dns-query", &["-H", kind, "-X", "POST"], 400),
    ];
    for (target, arguments, status) in wrong {
        let Some(told) = served.curl(target, arguments).await else { return };
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(
            told.lines().any(|line| line.starts_with(&format!("HTTP/2 {status}"))),
            "{target} {arguments:?}: {told}"
        );
        if status == 405 {
            has(&told, &["allow: GET, POST"]);
        }
    }
    // More than a head may have.
    let target = format!("/dns-query?dns={}", "A".repeat(20 << 10));
    let told = String::from_utf8_lossy(&served.curl(&target, &[]).await.unwrap()).into_owned();
    assert!(!told.contains("HTTP/2 200"), "{told}");
    // A message that cannot be read is answered as over any other way.
    let told = served.curl("/dns-query?dns=AAABAAABAAAAAAAAAA", &[]).await.unwrap();
    assert_eq!(told[told.len() - 12..], [0, 0, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(served.director.counters().https_refused.load(Relaxed), 10);
}

/// A connection whose other side is the test.
fn connected(handler: &Handler) -> DuplexStream {
    let (ours, theirs) = duplex(64 << 10);
    let handler = handler.clone();
    tokio::spawn(async move {
        let Some(place) = handler.place() else { return };
        handler.converse_https(theirs, "192.0.2.1:4".parse().unwrap()).await;
        drop(place);
    });
    ours
}

/// All that comes before the other side ends.
async fn to_end(stream: &mut DuplexStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_slowly_or_nothing_is_cut_off_and_who_finds_no_place_is_not_let_in() {
    let director = Arc::new(world::director());
    let handler = Handler::new(director.clone());
    assert_eq!(to_end(&mut connected(&handler)).await, "");
    for begun in ["GET /dns-query?dns=AA", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut slow = connected(&handler);
        slow.write_all(begun.as_bytes()).await.unwrap();
        let told = to_end(&mut slow).await;
        assert!(!told.contains(" 200 "), "{told}");
    }
    let mut body = connected(&handler);
    let head =
        "POST /dns-query HTTP/1.1\r\nhost: a\r\ncontent-type: application/dns-message\r\ncontent-length: 40\r\n\r\n";
    body.write_all(head.as_bytes()).await.unwrap();
    has(&to_end(&mut body).await, &["408 Request Timeout"]);
    // Each holds its place until its time is over.
    let mut held: Vec<DuplexStream> = (0..TCP_CONNECTIONS_MAX).map(|_| connected(&handler)).collect();
    tokio::task::yield_now().await;
    let refused = &director.counters().tcp_refused;
    assert_eq!(refused.load(Relaxed), 0);
    assert_eq!(to_end(&mut connected(&handler)).await, "");
    assert_eq!(refused.load(Relaxed), 1);
    for stream in &mut held {
        to_end(stream).await;
    }
    let mut again = connected(&handler);
    again.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    has(&to_end(&mut again).await, &["404 Not Found"]);
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    let handler = Handler::new(Arc::new(world::director()));
    let junk: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\0\x01",
        b"\0\r\n\r\n",
        b"GET  / \r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for bytes in junk {
        let mut stream = connected(&handler);
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!to_end(&mut stream).await.contains(" 200 "));
    }
}
