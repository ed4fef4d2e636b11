//! Certificates ordered by the node itself, from Pebble.

use std::os::unix::fs::PermissionsExt;

use littoral_testkit::pebble::Pebble;
use littoral_testkit::tls::{Authority, TlsClient, der, shown};
use littoral_testkit::{Node, Origin, Response, refused};

use super::BINARY;

const SOA: &str = "$ORIGIN o.example.\n$TTL 1\n@ IN SOA ns h 1 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n";

/// A name server, ours, that knows these records beside its own.
async fn name_server(records: &str) -> Node {
    let text = "[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[zone]]\nname = \"o.example.\"\nfile = \"o.zone\"\n";
    Node::start(BINARY, text, &[("o.zone", format!("{SOA}{records}").as_bytes())]).await
}

/// A node with a certificate of its own for `old.example`; `acme` is more of its listener, `more` of the config.
fn config(origin: &Origin, acme: &str, more: &str) -> String {
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         https = [{{ bind = \"127.0.0.1:0\", cert = \"old.pem\", key = \"old.key\"{acme} }}]\n\
         [[site]]\nhosts = [\"*\"]\norigin = [{:?}]\n{more}",
        origin.url()
    )
}

fn authority(pebble: &Pebble) -> String {
    format!(
        "[acme]\ndirectory = {:?}\nca = \"pebble.pem\"\nstate = \"state\"\nterms_agreed = true\ncontact = [\"mailto:a@o.example\"]\n",
        pebble.url
    )
}

struct Setting {
    node: Node,
    origin: Origin,
    old: Vec<u8>,
}

impl Setting {
    async fn new() -> Self {
        let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
        let authority = Authority::default();
        let old = authority.issue(&["old.example"]);
        let files = [("old.pem", old.cert.as_bytes()), ("old.key", old.key.as_bytes())];
        let node = Node::start(BINARY, &config(&origin, "", ""), &files).await;
        Self { node, origin, old: der(&old.cert) }
    }

    async fn order(&self, pebble: &Pebble, names: &str) {
        std::fs::write(self.node.file("pebble.pem"), &pebble.ca).unwrap();
        let text = config(&self.origin, &format!(", acme = {names}"), &authority(pebble));
        std::fs::write(self.node.file("node.toml"), text).unwrap();
        let (status, said) = self.node.admin("POST", "/v1/reload", "").await;
        assert_eq!(status, 200, "{said}");
    }

    /// The certificate a client of `name` is shown, whoever signed it.
    async fn shown(&self, name: &str) -> Vec<u8> {
        let client = TlsClient::trusting_anybody(&[]);
        shown(&client.connect(self.node.address("https"), name).await.unwrap())
    }
}

#[tokio::test]
async fn a_certificate_is_ordered_put_in_force_while_the_node_serves_and_renewed_before_it_ends() {
    let server = name_server("www IN A 127.0.0.1\nalt IN A 127.0.0.1\n").await;
    let setting = Setting::new().await;
    let node = &setting.node;
    let pebble = Pebble::start(node.address("http").port(), server.address("dns"), 6).await;
    setting.order(&pebble, "[\"www.o.example\", \"alt.o.example\"]").await;
    assert_eq!(setting.shown("old.example").await, setting.old, "others are served meanwhile");
    let mut first = setting.shown("www.o.example").await;
    while first == setting.old {
        first = setting.shown("www.o.example").await;
    }
    assert!(node.get("www.o.example", "/a", &[]).await.status == 200);
    while setting.shown("alt.o.example").await == first {}
    let metrics = node.metrics().await;
    assert!(metrics["littoral_acme_orders_total{outcome=\"issued\"}"] >= 2.0, "{}", node.log());
    assert_eq!(metrics["littoral_acme_failures{name=\"www.o.example\"}"], 0.0);
    assert!(metrics["littoral_acme_proofs_total"] >= 2.0);
    assert!(
        metrics.keys().any(|key| key.starts_with("littoral_tls_certificate_end_seconds") && key.contains("o.example"))
    );
    assert_eq!(setting.shown("old.example").await, setting.old);
    for file in std::fs::read_dir(node.file("state")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let token = node.get("www.o.example", "/.well-known/acme-challenge/unknown", &[]).await;
    assert_eq!(token.body, b"x", "what is no token of ours is the site's");
}

#[tokio::test]
async fn an_order_that_fails_says_why_and_leaves_what_there_is_in_force() {
    // The authority cannot find the name.
    let server = name_server("").await;
    let setting = Setting::new().await;
    let node = &setting.node;
    let pebble = Pebble::start(node.address("http").port(), server.address("dns"), 3600).await;
    setting.order(&pebble, "[\"www.o.example\"]").await;
    node.until("littoral_acme_failures{name=\"www.o.example\"}", 1.0).await;
    assert_eq!(node.metrics().await["littoral_acme_orders_total{outcome=\"failed\"}"], 1.0);
    let log = node.log();
    assert!(log.contains("no certificate was issued") && log.contains("60s"), "{log}");
    assert!(log.contains("www.o.example"), "{log}");
    assert_eq!(setting.shown("www.o.example").await, setting.old);
}

#[tokio::test]
async fn a_damaged_certificate_in_the_state_is_left_out_and_ordered_again() {
    let server = name_server("www IN A 127.0.0.1\n").await;
    let setting = Setting::new().await;
    let node = &setting.node;
    std::fs::create_dir(node.file("state")).unwrap();
    std::fs::write(node.file("state").join("www.o.example.pem"), "nonsense").unwrap();
    let pebble = Pebble::start(node.address("http").port(), server.address("dns"), 3600).await;
    setting.order(&pebble, "[\"www.o.example\"]").await;
    while setting.shown("www.o.example").await == setting.old {}
    assert!(node.log().contains("left out until another is issued"));
}

#[test]
fn what_cannot_be_ordered_is_no_config_that_starts() {
    let listen = |http: &str, acme: &str| {
        format!(
            "[listen]\n{http}https = [{{ bind = \"127.0.0.1:0\", acme = {acme} }}]\n[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:1\"]\n"
        )
    };
    let http = "http = [\"127.0.0.1:0\"]\n";
    let acme = "[acme]\nterms_agreed = true\nstate = \"s\"\n";
    for (text, fix) in [
        (listen(http, "[\"a.example\"]"), "add [acme]"),
        (listen("", "[\"a.example\"]") + acme, "add listen.http"),
        (listen(http, "[\"*.example\"]") + acme, "wildcards cannot be proven"),
        (listen(http, "[\"127.0.0.1\"]") + acme, "write whole names"),
        (listen(http, "[\"a.example\"]") + "[acme]\nterms_agreed = true\n", "give acme.state"),
        (listen(http, "[\"a.example\"]") + "[acme]\nterms_agreed = false\nstate = \"s\"\n", "read the terms"),
        (listen(http, "[\"a.example\"]") + acme + "directory = \"http://a\"\n", "https:// URL"),
        (listen(http, "[\"a.example\"]") + acme + "contact = [\"a@b\"]\n", "mailto:"),
        (listen(http, "[\"a.example\"]") + acme + "ca = \"nowhere.pem\"\n", "not a readable file"),
        (listen(http, "[]") + acme, "a TLS listener without a certificate"),
    ] {
        let (code, said) = refused(BINARY, &text, &[]);
        assert!(code == Some(2) && said.contains(fix), "{text}{said}");
    }
}
