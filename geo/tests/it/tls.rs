//! DNS over TLS as `kdig` asks it: padded, and several questions on one connection.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_geo::server::{Handler, Settings};
use littoral_testkit::outsider::absent;
use littoral_testkit::tls::Authority;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::dns::has;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn kdig_asks_over_tls_and_what_it_pads_is_answered_padded() {
    let issued = Authority::default().issue(&["dns.example"]);
    let acceptor = TlsAcceptor::from(littoral_testkit::tls::server(&issued, None, &["dot"]));
    let director = Arc::new(world::director());
    let handler = Handler::with(director.clone(), Settings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                handler.converse_encrypted(stream, client).await;
            }
        }
    });
    let asked = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("kdig");
        let (server, port) = (format!("@{}", address.ip()), address.port().to_string());
        command.args([&server, "-p", &port, "+tls", "+keepopen", "+edns", "+padding"]);
        command.args(["ns.kingcdn.example", "A", "big.kingcdn.example", "TXT"]).output()
    });
    let text = match asked.await.unwrap() {
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Err(error) => return absent("kdig", "knot-dnsutils", &error),
    };
    has(&text, &["TLS session (TLS1.3)", "192.0.2.54", "PADDING", "Received 468 B", "(TCP)"]);
    let counters = director.counters();
    assert_eq!(
        (counters.encrypted.load(Relaxed), counters.tcp.load(Relaxed), counters.truncated.load(Relaxed)),
        (2, 2, 0)
    );
}
