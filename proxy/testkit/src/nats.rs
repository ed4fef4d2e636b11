//! A server of NATS as a real process, a way to it that can be cut, and a client that writes what no node would.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// A running server with JetStream. Dropped, it is killed.
pub struct Nats {
    _child: Child,
    directory: tempfile::TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nats {
    /// Starts one; `more` is added to its config, in which `DIR` stands for a directory with these files.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(more: &str, files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().display().to_string();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).expect("a file");
        }
        let config = format!(
            "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{path}\" }}\n{}\n",
            more.replace("DIR", &path)
        );
        std::fs::write(directory.path().join("nats.conf"), config).expect("a file");
        // Debian has it where only root looks.
        let installed = Path::new("/usr/sbin/nats-server");
        let program = if installed.exists() { installed } else { Path::new("nats-server") };
        let mut child = Command::new(program)
            .arg("-c")
            .arg(directory.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server is not installed, and the control plane is tested with it: run `scripts/setup.sh packages build`, or apt-get install nats-server");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let (mut address, mut said) = (None, String::new());
        loop {
            let line =
                lines.next_line().await.expect("its stderr").unwrap_or_else(|| panic!("it does not start:\n{said}"));
            if let Some((_, at)) = line.split_once("Listening for client connections on ") {
                address = at.trim().parse().ok();
            }
            if line.contains("Server is ready") {
                break;
            }
            said.push_str(&(line + "\n"));
        }
        // It must never wait for somebody to read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, directory, address: address.expect("where it listens") }
    }

    /// As a URL.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Writes to a subject, and waits until the server has taken it.
    ///
    /// # Panics
    /// When it does not.
    pub async fn publish(&self, subject: &str, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.address).await.expect("the server");
        let head = format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n", bytes.len());
        stream.write_all(&[head.as_bytes(), bytes, b"\r\nPING\r\n"].concat()).await.expect("it reads");
        until(&mut stream, b"PONG\r\n").await;
    }

    /// Asks something of the server: what it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn request(&self, subject: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("the server");
        let ask = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n",
            body.len()
        );
        stream.write_all(ask.as_bytes()).await.expect("it reads");
        let mut told = until(&mut stream, b"MSG answer").await;
        told.extend(until(&mut stream, b"}\r\n").await);
        String::from_utf8_lossy(&told).into_owned()
    }
}

async fn until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let reading = async {
        let mut told = Vec::new();
        while !told.ends_with(end) {
            told.push(stream.read_u8().await.expect("the server says more"));
        }
        told
    };
    tokio::time::timeout(crate::PATIENCE, reading).await.expect("an answer of the server")
}

/// A way to a server that can be cut.
pub struct Way {
    /// Where it begins.
    pub address: SocketAddr,
    is_open: Arc<watch::Sender<bool>>,
}

impl Way {
    /// A way there.
    ///
    /// # Panics
    /// When nobody can listen.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        let is_open = Arc::new(watch::Sender::new(true));
        let opened = is_open.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut open = opened.subscribe();
                // Cut, a connection is closed as soon as it is made.
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = open.wait_for(|is_open| !is_open) => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Self { address, is_open }
    }

    /// As a URL.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends all connections, and lets none through.
    pub fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets them through again.
    pub fn mend(&self) {
        self.is_open.send_replace(true);
    }
}
