//! TLS towards clients: certificates by name, reloads, versions, resumption, client certificates.

use littoral_testkit::tls::{Authority, Issued, Staples, TlsClient, agreed, der, is_resumed, shown};
use littoral_testkit::{Client, Node, Origin, Response, refused};
use rustls::version::{TLS12, TLS13};

use super::{BINARY, noise};

/// A TLS listener with these lines in its table, before `origin`.
fn config(origin: &Origin, https: &str) -> String {
    format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\n[[listen.https]]\nbind = \"127.0.0.1:0\"\n{https}\n[[site]]\nhosts = [\"*\"]\norigin = [{:?}]\n",
        origin.url()
    )
}

const FIRST: &str = "cert = \"first.pem\"\nkey = \"first.key\"";

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await
}

fn files<'a>(named: &'a [(&'a str, &'a Issued)]) -> Vec<(String, &'a [u8])> {
    let both = |(name, issued): &(&str, &'a Issued)| {
        [(format!("{name}.pem"), issued.cert.as_bytes()), (format!("{name}.key"), issued.key.as_bytes())]
    };
    named.iter().flat_map(both).collect()
}

async fn start(config: &str, named: &[(&str, &Issued)], more: &[(&str, &[u8])]) -> Node {
    let all = files(named);
    let all: Vec<(&str, &[u8])> =
        all.iter().map(|(name, bytes)| (name.as_str(), *bytes)).chain(more.iter().copied()).collect();
    Node::start(BINARY, config, &all).await
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (authority, origin) = (Authority::default(), origin().await);
    let [first, exact, wild] = [&["first.example"][..], &["a.wild.example"], &["*.wild.example", "Upper.example"]]
        .map(|names| authority.issue(names));
    let certs = "certs = [{ cert = \"wild.pem\", key = \"wild.key\" }, { cert = \"exact.pem\", key = \"exact.key\" }]";
    let named = [("first", &first), ("exact", &exact), ("wild", &wild)];
    let node = start(&config(&origin, &format!("{FIRST}\n{certs}")), &named, &[]).await;
    let client = TlsClient::plain(&authority, &["http/1.1"]);
    for (name, expected) in [
        ("first.example", Some(&first)),
        ("a.wild.example", Some(&exact)),
        ("b.wild.example", Some(&wild)),
        ("upper.example", Some(&wild)),
        // A wildcard stands for one label; who fits nobody is shown the first, which is not for them.
        ("c.b.wild.example", None),
        ("wild.example", None),
    ] {
        let stream = client.connect(node.address("https"), name).await;
        assert_eq!(stream.ok().map(|stream| shown(&stream)), expected.map(|issued| der(&issued.cert)), "{name}");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_tls_handshakes_total"], 4.0);
    node.until("littoral_tls_failures_total{kind=\"refused_by_client\"}", 2.0).await;
    assert_eq!(metrics.keys().filter(|name| name.starts_with("littoral_tls_certificate_end_seconds")).count(), 3);
}

#[tokio::test]
async fn a_reload_brings_new_certificates_and_leaves_open_connections_alone() {
    let (authority, origin) = (Authority::default(), origin().await);
    let [old, new] = [(); 2].map(|()| authority.issue(&["first.example"]));
    let node = start(&config(&origin, FIRST), &[("first", &old)], &[]).await;
    let client = TlsClient::plain(&authority, &["http/1.1"]);
    let held = client.connect(node.address("https"), "first.example").await.unwrap();
    let mut held = Client::over(held);
    assert_eq!(held.get("first.example", "/a", &[]).await.status, 200);
    std::fs::write(node.file("first.pem"), "no certificate").unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("first.pem") && said.contains("no PEM block"), "{status} {said}");
    let seen = async || shown(&client.connect(node.address("https"), "first.example").await.unwrap());
    assert_eq!(seen().await, der(&old.cert), "the old one stays where the new one is bad");
    std::fs::write(node.file("first.pem"), &new.cert).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("do not belong together"), "{status} {said}");
    std::fs::write(node.file("first.key"), &new.key).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await, (200, r#"{"needs_restart":[],"reloaded":true}"#.into()));
    let fresh = TlsClient::plain(&authority, &["http/1.1"]);
    let stream = fresh.connect(node.address("https"), "first.example").await.unwrap();
    assert_eq!(shown(&stream), der(&new.cert));
    assert_eq!(held.get("first.example", "/a", &[]).await.status, 200);
}

#[tokio::test]
async fn sessions_are_resumed_on_every_worker_and_over_reloads() {
    let (authority, origin) = (Authority::default(), origin().await);
    let first = authority.issue(&["first.example"]);
    let node = start(&(config(&origin, FIRST) + "[limits]\nthreads = 4\n"), &[("first", &first)], &[]).await;
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = TlsClient::new(&authority, None, &["http/1.1"], versions);
        for round in 0..8 {
            let stream = client.connect(node.address("https"), "first.example").await.unwrap();
            assert_eq!(is_resumed(&stream), round > 0, "{versions:?} {round}");
            // Tickets of TLS 1.3 come with the first answer.
            assert_eq!(Client::over(stream).get("first.example", "/a", &[]).await.status, 200);
            assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
        }
    }
    assert_eq!(node.metrics().await["littoral_tls_resumed_total"], 14.0);
}

#[tokio::test]
async fn versions_below_the_least_are_refused_and_alpn_prefers_http_2() {
    let (authority, origin) = (Authority::default(), origin().await);
    let first = authority.issue(&["first.example"]);
    let node = start(&config(&origin, &format!("{FIRST}\nmin_version = \"1.3\"")), &[("first", &first)], &[]).await;
    let connect = async |alpn: &[&str], version| {
        let client = TlsClient::new(&authority, None, alpn, &[version]);
        client.connect(node.address("https"), "first.example").await
    };
    assert!(connect(&[], &TLS12).await.is_err());
    for (alpn, expected) in [(&["http/1.1", "h2"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        assert_eq!(agreed(&connect(alpn, &TLS13).await.unwrap()).as_deref(), expected);
    }
    assert!(connect(&["smtp"], &TLS13).await.is_err());
    node.until("littoral_tls_failures_total{kind=\"incompatible\"}", 2.0).await;
}

#[tokio::test]
async fn clients_without_a_good_certificate_stay_outside_where_one_is_required() {
    let (authority, other, origin) = (Authority::default(), Authority::default(), origin().await);
    let first = authority.issue(&["first.example"]);
    let [good, bad] = [authority.issue(&["client.example"]), other.issue(&["client.example"])];
    let pem = authority.pem();
    for (auth, own, expected) in [
        ("require", Some(&good), true),
        ("require", Some(&bad), false),
        ("require", None, false),
        ("request", Some(&good), true),
        ("request", Some(&bad), false),
        ("request", None, true),
    ] {
        let https = format!("{FIRST}\nclient_ca = \"ca.pem\"\nclient_auth = {auth:?}");
        let node = start(&config(&origin, &https), &[("first", &first)], &[("ca.pem", pem.as_bytes())]).await;
        let client = TlsClient::new(&authority, own, &["http/1.1"], rustls::ALL_VERSIONS);
        // In TLS 1.3 the client is done before its certificate is looked at: what counts is whether it is answered.
        let answered = match client.connect(node.address("https"), "first.example").await {
            Err(_) => false,
            Ok(stream) => {
                let mut client = Client::over(stream);
                client.send("GET /a HTTP/1.1\r\nHost: first.example\r\n\r\n").await;
                client.reply(false).await.is_some()
            }
        };
        assert_eq!(answered, expected, "{auth} {}", own.is_some());
        node.until("littoral_tls_failures_total{kind=\"client_certificate\"}", f64::from(u8::from(!expected))).await;
    }
}

#[tokio::test]
async fn a_session_from_before_certificates_were_asked_for_is_not_resumed() {
    let (authority, origin) = (Authority::default(), origin().await);
    let first = authority.issue(&["first.example"]);
    let pem = authority.pem();
    let node = start(&config(&origin, FIRST), &[("first", &first)], &[("ca.pem", pem.as_bytes())]).await;
    let client = TlsClient::new(&authority, None, &["http/1.1"], &[&TLS13]);
    let stream = client.connect(node.address("https"), "first.example").await.unwrap();
    assert_eq!(Client::over(stream).get("first.example", "/a", &[]).await.status, 200);
    std::fs::write(node.file("node.toml"), config(&origin, &format!("{FIRST}\nclient_ca = \"ca.pem\""))).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    let answered = match client.connect(node.address("https"), "first.example").await {
        Err(_) => false,
        Ok(stream) => {
            let mut client = Client::over(stream);
            client.send("GET /a HTTP/1.1\r\nHost: first.example\r\n\r\n").await;
            client.reply(false).await.is_some()
        }
    };
    assert!(!answered, "no certificate, no answer");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended_and_counted() {
    let (authority, origin) = (Authority::default(), origin().await);
    let first = authority.issue(&["first.example"]);
    let config = config(&origin, FIRST) + "[limits]\nhandshake_timeout = \"100ms\"\n";
    let node = start(&config, &[("first", &first)], &[]).await;
    let mut silent = Client::connect(node.address("https")).await;
    silent.send([22, 3, 1]).await;
    assert!(silent.bytes(1).await.is_empty());
    let mut plain = Client::connect(node.address("https")).await;
    plain.send("GET /a HTTP/1.1\r\nHost: first.example\r\n\r\n").await;
    plain.bytes(100).await;
    node.until("littoral_tls_failures_total{kind=\"timeout\"}", 1.0).await;
    node.until("littoral_tls_failures_total{kind=\"malformed\"}", 1.0).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_at_start() {
    let (authority, origin) = (Authority::default(), origin().await);
    let [first, other] = [authority.issue(&["first.example"]), authority.issue(&["other.example"])];
    let nameless = authority.issue(&[]);
    let named = [("first", &first), ("nameless", &nameless)];
    let mut all = files(&named);
    all.extend([("other.key".to_owned(), other.key.as_bytes()), ("text".to_owned(), &b"-----BEGIN"[..])]);
    let all: Vec<(&str, &[u8])> = all.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let more = |line: &str| format!("{FIRST}\n{line}");
    for (https, expected) in [
        ("cert = \"first.pem\"\nkey = \"other.key\"".to_owned(), "they do not belong together"),
        ("cert = \"first.pem\"".to_owned(), "cert and key belong together: give both"),
        (String::new(), "a TLS listener without a certificate"),
        ("cert = \"text\"\nkey = \"first.key\"".to_owned(), "cannot use the certificate"),
        ("cert = \"none.pem\"\nkey = \"first.key\"".to_owned(), "none.pem is not a readable file"),
        (more("certs = [{ cert = \"nameless.pem\", key = \"nameless.key\" }]"), "it has no DNS name"),
        (more("certs = [{ cert = \"first.pem\", key = \"first.key\", ocsp = \"text\" }]"), "it is no DER"),
        (more("client_ca = \"text\""), "cannot use the certificate"),
        (more("min_version = \"1.1\""), "1.1"),
        (more("mode = \"0600\""), "mode is for unix sockets"),
    ] {
        let (code, said) = refused(BINARY, &config(&origin, &https), &all);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{expected:?} is not in {said:?}");
    }
}

#[tokio::test]
async fn a_client_is_shown_the_very_ocsp_response_of_its_certificate_and_after_a_reload_the_new_one() {
    let (authority, origin) = (Authority::default(), origin().await);
    let [with, without] = [&["with.example"][..], &["without.example"]].map(|names| authority.issue(names));
    // What is stapled is passed on unread, but for its first byte: that of a SEQUENCE.
    let [old, new] = [1, 2].map(|seed| [vec![0x30, 0x82, 0x01, 0x2c], noise(300, seed)].concat());
    let certs = "certs = [{ cert = \"without.pem\", key = \"without.key\" }, \
                 { cert = \"with.pem\", key = \"with.key\", ocsp = \"with.ocsp\" }]";
    let named = [("with", &with), ("without", &without)];
    let node = start(&config(&origin, certs), &named, &[("with.ocsp", &old)]).await;
    let staple = async |name: &str, version| {
        let staples = Staples::default();
        let client = TlsClient::noting_staples(&[], &[version], &staples);
        client.connect(node.address("https"), name).await.unwrap();
        staples.last()
    };
    for version in [&TLS12, &TLS13] {
        assert!(staple("with.example", version).await == old, "{version:?}");
        assert_eq!(staple("without.example", version).await, b"", "{version:?}");
    }
    std::fs::write(node.file("with.ocsp"), "-----BEGIN OCSP RESPONSE-----").unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("with.ocsp") && said.contains("it is no DER"), "{status} {said}");
    assert!(staple("with.example", &TLS13).await == old, "the old one stays where the new one is bad");
    std::fs::write(node.file("with.ocsp"), &new).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert!(staple("with.example", &TLS13).await == new);
}
