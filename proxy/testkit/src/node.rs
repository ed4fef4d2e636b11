//! A node as a real process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::client::{Client, Reply};

/// A running node. Dropped, it is killed.
pub struct Node {
    child: Child,
    addresses: HashMap<String, Vec<SocketAddr>>,
    directory: tempfile::TempDir,
    successors: Vec<u32>,
}

impl Drop for Node {
    fn drop(&mut self) {
        for pid in &self.successors {
            let _ = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

impl Node {
    /// Starts `binary` with a config and more files beside it, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; its stderr is in the message.
    pub async fn start(binary: &str, config: &str, files: &[(&str, &[u8])]) -> Self {
        let directory = prepare(config, files);
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let mut child = tokio::process::Command::new(binary)
            .args(["run", "-c"])
            .arg(directory.path().join("node.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let line = lines.next_line().await.expect("its stdout").unwrap_or_default();
        let told = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        assert!(line.starts_with("ready "), "not ready: {line}\n{told}");
        let pairs = line.split(' ').skip(1).filter_map(|part| part.split_once('='));
        let of = |list: &str| list.split(',').filter_map(|address| address.parse().ok()).collect();
        let addresses = pairs.map(|(name, list)| (name.to_owned(), of(list))).collect();
        Self { child, addresses, directory, successors: Vec::new() }
    }

    /// Where it listens first for `http`, `https`, `admin` or `dns`.
    ///
    /// # Panics
    /// When it does not.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.addresses(name)[0]
    }

    /// Everywhere it listens for `name`, in the order of its config; unix sockets are not among them.
    ///
    /// # Panics
    /// When it does not.
    pub fn addresses(&self, name: &str) -> &[SocketAddr] {
        &self.addresses[name]
    }

    /// A file beside its config.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// A GET on a connection of its own.
    pub async fn get(&self, host: &str, path: &str, fields: &[&str]) -> Reply {
        Client::connect(self.address("http")).await.get(host, path, fields).await
    }

    /// A call of the admin API: status and body.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut client = Client::connect(self.address("admin")).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(head + body).await;
        let reply = client.reply(false).await.expect("a response");
        (reply.status, String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// All samples of `/metrics`, by name and labels as they are written.
    pub async fn metrics(&self) -> HashMap<String, f64> {
        let (_, text) = self.admin("GET", "/metrics", "").await;
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// Waits until a sample of `/metrics` has this value: what is counted after a client was told.
    ///
    /// # Panics
    /// When it does not get it within [`PATIENCE`](crate::PATIENCE).
    pub async fn until(&self, sample: &str, value: f64) {
        let came = async { while self.metrics().await.get(sample) != Some(&value) {} };
        if tokio::time::timeout(crate::PATIENCE, came).await.is_err() {
            panic!("{sample} is {:?}, not {value}", self.metrics().await.get(sample));
        }
    }

    /// Bytes of its memory that are in use by the system's account (proc_pid_statm(5)).
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 4096;
        let path = format!("/proc/{}/statm", self.child.id().expect("running"));
        let told = std::fs::read_to_string(path).expect("a running process");
        told.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * PAGE_BYTES
    }

    /// Sends a signal by its name.
    ///
    /// # Panics
    /// When `kill` cannot be run.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("running").to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Another process has taken over; it is killed with the node.
    pub fn succeeded_by(&mut self, pid: u32) {
        self.successors.push(pid);
    }

    /// Waits for its end; the exit code.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.expect("its end").code()
    }
}

fn prepare(config: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files.iter().copied().chain([("node.toml", config.as_bytes())]) {
        std::fs::write(directory.path().join(name), bytes).expect("a file");
    }
    directory
}

/// Runs `binary` with a config it must refuse: its exit code and what it said.
///
/// # Panics
/// When it cannot be run.
pub fn refused(binary: &str, config: &str, files: &[(&str, &[u8])]) -> (Option<i32>, String) {
    let directory = prepare(config, files);
    let file: &Path = &directory.path().join("node.toml");
    let output = Command::new(binary).args(["run", "-c"]).arg(file).output().expect("the binary");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Where a component built for tests is: in `$LITTORAL_PLUGINS` or `target/plugins`.
pub fn plugin_file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = std::env::var_os("LITTORAL_PLUGINS").map_or_else(|| root.join("target/plugins"), PathBuf::from);
    built.join(format!("{name}.wasm"))
}

/// A component built for tests, as bytes.
///
/// # Panics
/// When it has not been built.
pub fn plugin(name: &str) -> Vec<u8> {
    let file = plugin_file(name);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", file.display()))
}
