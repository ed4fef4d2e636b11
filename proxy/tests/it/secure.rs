//! TLS and HTTP/2 towards origins.

use littoral_testkit::h2::{END_STREAM, Frames, Outcome, kind};
use littoral_testkit::origin::h2::H2Origin;
use littoral_testkit::tls::{Authority, server};
use littoral_testkit::{Node, Origin, Response, refused};
use tokio::net::TcpStream;

use super::{BINARY, get};

/// A node before an origin, of which this is said.
fn text(origin: &str) -> String {
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[site]]\nhosts = [\"site.example\"]\norigin = [{{ {origin} }}]\n"
    )
}

async fn status(origin: &str, files: &[(&str, &str)]) -> u16 {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    get(&Node::start(BINARY, &text(origin), &files).await, "/a").await.status
}

#[tokio::test]
async fn an_origin_is_asked_over_tls_only_with_a_certificate_of_its_name_by_its_authority() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    let tls = server(&authority.issue(&["o.example"]), None, &["http/1.1"]);
    let origin = Origin::start_tls(tls, |_| Response::ok(&[], b"x")).await;
    let url = format!("url = \"https://{}\"", origin.address);
    let (right, other) = (authority.pem(), stranger.pem());
    let files = [("ca.pem", right.as_str()), ("other.pem", &other)];
    for (said, expected) in [
        ("sni = \"o.example\", ca = \"ca.pem\"", 200),
        ("sni = \"o.example\", ca = \"other.pem\"", 502),
        ("sni = \"wrong.example\", ca = \"ca.pem\"", 502),
        ("ca = \"ca.pem\"", 502),
        ("sni = \"o.example\"", 502),
    ] {
        assert_eq!(status(&format!("{url}, {said}"), &files).await, expected, "{said}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn an_origin_that_wants_to_know_who_asks_is_shown_a_certificate() {
    let authority = Authority::default();
    let tls = server(&authority.issue(&["127.0.0.1"]), Some(&authority), &[]);
    let origin = Origin::start_tls(tls, |_| Response::ok(&[], b"x")).await;
    let (ca, own) = (authority.pem(), authority.issue(&["node.example"]));
    let files = [("ca.pem", ca.as_str()), ("own.pem", &own.cert), ("own.key", &own.key)];
    let said = format!("url = \"https://{}\", ca = \"ca.pem\"", origin.address);
    assert_eq!(status(&said, &files).await, 502);
    assert_eq!(status(&format!("{said}, cert = \"own.pem\", key = \"own.key\""), &files).await, 200);
}

#[tokio::test]
async fn http_2_is_spoken_over_tls_where_the_origin_agrees_and_without_tls_by_prior_knowledge() {
    let authority = Authority::default();
    let (issued, ca) = (authority.issue(&["127.0.0.1"]), authority.pem());
    let files = [("ca.pem", ca.as_bytes())];
    let (secure, plain) = (H2Origin::start(Some(server(&issued, None, &["h2"]))).await, H2Origin::start(None).await);
    let only_1 = Origin::start_tls(server(&issued, None, &["http/1.1"]), |_| Response::ok(&[], b"1.1")).await;
    for (origin, said, expected) in
        [(secure.address, "https", &b"h2"[..]), (plain.address, "http", b"h2"), (only_1.address, "https", b"1.1")]
    {
        let ca = if said == "https" { ", ca = \"ca.pem\"" } else { "" };
        let node = Node::start(BINARY, &text(&format!("url = \"{said}://{origin}\", h2 = true{ca}")), &files).await;
        for path in ["/a", "/b?c"] {
            assert_eq!(get(&node, path).await.body, expected, "{said}");
        }
    }
    let asked = |scheme: &str| ["/a", "/b?c"].map(|path| format!("{scheme}://site.example{path}")).to_vec();
    assert_eq!(secure.seen(), (1, asked("https")));
    assert_eq!(plain.seen(), (1, asked("http")));
}

#[tokio::test]
async fn an_origin_with_a_host_of_its_own_is_asked_for_that() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    assert_eq!(status(&format!("url = {:?}, host = \"bucket.example:8080\"", origin.url()), &[]).await, 200);
    assert_eq!(origin.requests()[0].field("host"), Some("bucket.example:8080"));
}

#[test]
fn what_cannot_be_used_for_tls_is_refused_at_start_with_the_file_and_the_reason() {
    let (one, two) = (Authority::default().issue(&["a"]), Authority::default().issue(&["a"]));
    let files: [(&str, &[u8]); 4] = [
        ("a.pem", one.cert.as_bytes()),
        ("a.key", one.key.as_bytes()),
        ("b.key", two.key.as_bytes()),
        ("no.pem", b"no"),
    ];
    for (said, expected) in [
        ("url = \"http://o.example\", ca = \"a.pem\"", "ca is for https:// origins"),
        ("url = \"https://o.example\", ca = \"no.pem\"", "no.pem has to hold certificates, PEM: it has none"),
        ("url = \"https://o.example\", ca = \"none.pem\"", "none.pem has to hold certificates, PEM"),
        ("url = \"https://o.example\", cert = \"a.pem\"", "a certificate without its key: add key"),
        ("url = \"https://o.example\", cert = \"a.pem\", key = \"b.key\"", "cannot use "),
        ("url = \"https://o.example\", sni = \"a b\"", "is no name for a certificate"),
        ("url = \"http://o.example\", host = \"a/b\"", "write a host name and perhaps a port"),
    ] {
        let (code, told) = refused(BINARY, &text(said), &files);
        assert!(code == Some(2) && told.contains(expected) && told.contains("node.toml:6:"), "{said}: {told}");
    }
}

#[tokio::test]
async fn trailers_of_http_2_origins_reach_http_2_clients_unless_the_response_is_stored() {
    let origin = H2Origin::start(None).await;
    let config = format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{{ bind = \"127.0.0.1:0\", h2c = true }}]\n[[site]]\nhosts = [\"site.example\"]\norigin = [{{ url = \"http://{}\", h2 = true }}]\n",
        origin.address
    );
    let node = Node::start(BINARY, &config, &[]).await;
    for (path, trailers) in [("/trailers", true), ("/trailers/kept", false), ("/trailers/kept", false)] {
        let mut client = Frames::begin(TcpStream::connect(node.address("http")).await.unwrap()).await;
        client.get(1, "site.example", path).await;
        assert_eq!(client.outcome(1).await, Outcome::Status(200));
        let mut body = Vec::new();
        let last = loop {
            let frame = client.next().await.unwrap();
            if frame.kind == kind::DATA {
                body.extend(frame.payload);
            }
            if frame.stream == 1 && frame.flags & END_STREAM > 0 {
                break frame.kind;
            }
        };
        assert_eq!((body.as_slice(), last == kind::HEADERS), (&b"h2"[..], trailers), "{path}");
        assert_eq!(get(&node, path).await.body, b"h2", "over HTTP/1.1 without them");
    }
}
