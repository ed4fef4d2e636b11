//! Pebble, Let's Encrypt's test authority, as a real process.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::tls::Authority;

/// A running authority. Dropped, it is killed.
pub struct Pebble {
    _child: Child,
    _directory: tempfile::TempDir,
    /// URL of its directory.
    pub url: String,
    /// Who signed its own certificate, PEM.
    pub ca: String,
}

impl Pebble {
    /// Starts one that asks for proof at `http_port` of the addresses that `dns` knows, and issues for so many seconds.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(http_port: u16, dns: std::net::SocketAddr, seconds: u64) -> Self {
        let authority = Authority::default();
        let issued = authority.issue(&["localhost"]);
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("cert.pem"), &issued.cert).expect("a file");
        std::fs::write(file("key.pem"), &issued.key).expect("a file");
        // It does not tell which port it got: it is given one that was free.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let config = serde_json::json!({"pebble": {
            "listenAddress": free.to_string(),
            "managementListenAddress": "",
            "certificate": file("cert.pem"),
            "privateKey": file("key.pem"),
            "httpPort": http_port,
            "tlsPort": 1,
            "certificateValidityPeriod": seconds,
        }});
        std::fs::write(file("pebble.json"), config.to_string()).expect("a file");
        let mut child = Command::new("pebble")
            .arg("-config")
            .arg(file("pebble.json"))
            .args(["-strict", "-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("pebble is not installed, and ACME is tested against it: run `scripts/setup.sh packages build`, or apt-get install pebble");
        let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        while let Some(line) = lines.next_line().await.expect("its stdout") {
            if line.contains("Listening on") {
                break;
            }
        }
        // It must never wait for somebody to read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let url = format!("https://localhost:{}/dir", free.port());
        Self { _child: child, _directory: directory, url, ca: authority.pem() }
    }
}
