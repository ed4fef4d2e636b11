//! What services keep on disk: it is there after everything that can happen to a node, whole, and within what was granted.
//!
//! `LITTORAL_CRASH_ROUNDS` sets how often a node is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, refused};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::services::PATIENCE;
use super::upgrade::upgrade;
use super::{BINARY, REQUIRED};

const ROUNDS: u64 = 6;
const WRITERS: usize = 4;

/// A client of `service-notes`.
struct Talk(BufReader<TcpStream>);

impl Talk {
    async fn with(node: &Node) -> Option<Self> {
        let stream = TcpStream::connect(node.address("service")).await.ok()?;
        Some(Self(BufReader::new(stream)))
    }

    /// The answer to a line; `None` from a node that was killed.
    async fn tried(&mut self, line: &str) -> Option<String> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.ok()?;
        self.next().await
    }

    async fn next(&mut self) -> Option<String> {
        let mut told = String::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut told)).await.expect("it answers");
        // A line without its end is one that was cut off.
        read.ok().filter(|_| told.ends_with('\n')).map(|_| told.trim_end().to_owned())
    }

    async fn ask(&mut self, line: &str) -> String {
        self.tried(line).await.expect("an answer")
    }

    async fn list(&mut self) -> Vec<String> {
        let mut names = vec![self.ask("list ").await];
        while names.last().is_some_and(|name| name != "ok") {
            names.push(self.next().await.expect("an answer"));
        }
        names.pop();
        names
    }
}

async fn talk(node: &Node) -> Talk {
    Talk::with(node).await.expect("a connection")
}

fn config(data: &Path, keys: &str) -> String {
    format!(
        "[node]\ndata = {data:?}\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"notes\"\n[[plugin]]\nname = \"notes\"\nfile = \"s.wasm\"\n{keys}\n[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:1\"]\n"
    )
}

async fn start(data: &Path, keys: &str) -> Node {
    Node::start(BINARY, &config(data, keys), &[("s.wasm", &plugin("service-notes"))]).await
}

#[tokio::test]
async fn what_was_committed_outlives_reload_restart_and_upgrade() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start(data.path(), "durable = \"1MiB\"").await;
    assert_eq!(talk(&node).await.ask("set a=1 b=2").await, "ok");
    let (status, told) = node.admin("POST", "/v1/plugins/notes/reload", "").await;
    assert_eq!(status, 200, "{told}");
    let mut other = talk(&node).await;
    assert_eq!([other.ask("get a").await, other.ask("del b").await], ["is 1", "ok"]);
    drop(other);
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));

    let mut node = start(data.path(), "durable = \"1MiB\"").await;
    let mut client = talk(&node).await;
    assert_eq!([client.ask("get a").await, client.ask("get b").await], ["is 1", "none"]);
    drop(client);
    upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0), "{}", node.log());
    let mut client = talk(&node).await;
    assert_eq!([client.ask("set c=3").await, client.ask("get a").await], ["ok", "is 1"], "{}", node.log());
    assert_eq!(client.list().await, ["a", "c"]);
}

#[tokio::test]
async fn a_service_has_as_much_on_disk_as_it_was_granted_and_the_operator_sees_it() {
    let data = tempfile::tempdir().unwrap();
    let node = start(data.path(), "durable = \"1KiB\"\ndurable_keys = 3").await;
    let mut client = talk(&node).await;
    assert_eq!(client.ask("set a=1 b=1").await, "ok");
    assert_eq!(client.ask("set c=1 d=1").await, "no: the durable store is full");
    assert_eq!(client.ask(&format!("set a={}", "x".repeat(1000))).await, "no: the durable store is full");
    assert_eq!(client.ask("new a=2").await, "no: what was read has changed");
    assert_eq!(client.ask("used").await, "2 of 3 notes, 68 of 1024 bytes");
    assert_eq!(client.ask("get a").await, "is 1");
    let metrics = node.metrics().await;
    let of = |name: &str, more: &str| metrics[&format!("littoral_plugin_durable_{name}{{plugin=\"notes\"{more}}}")];
    assert_eq!([of("bytes", ""), of("keys", ""), of("syncs_total", "")], [68.0, 2.0, 1.0]);
    assert_eq!(of("operations_total", ",kind=\"commit\""), 4.0);
    assert_eq!([",kind=\"full\"", ",kind=\"conflict\""].map(|kind| of("refused_total", kind)), [2.0, 1.0]);
    assert!(of("file_bytes", "") > 68.0);
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let plugin = told.as_array().or(told["plugins"].as_array()).unwrap().iter().find(|one| one["name"] == "notes");
    let plugin = plugin.unwrap();
    assert_eq!((&plugin["grants"]["durable_bytes"], &plugin["grants"]["durable_keys"]), (&1024.into(), &3.into()));
    assert_eq!(plugin["durable"]["keys"], 2);
}

/// What one writer has been told is there, and the last that it wrote.
#[derive(Default)]
struct Written {
    told: AtomicU64,
    last: AtomicU64,
}

fn number(said: &str) -> u64 {
    said.strip_prefix("is ").map_or(0, |text| text.split(':').next().unwrap().parse().unwrap())
}

/// Writes its number under two names in one commit, over and over, until the node is killed or it was told so often.
async fn write(node: &Node, writer: usize, written: &Written, mut random: StdRng, times: u64) {
    let Some(mut client) = Talk::with(node).await else { return };
    for _ in 0..times {
        let next = written.last.load(Relaxed) + 1;
        let (one, other) = (random.random_range(0..3000), random.random_range(0..3000));
        let text = |length: usize| format!("{next}:{}", "x".repeat(length));
        written.last.store(next, Relaxed);
        let line = format!("set w{writer}/one={} w{writer}/other={}", text(one), text(other));
        match client.tried(&line).await {
            Some(said) => assert_eq!(said, "ok", "{}", node.log()),
            None => return,
        }
        written.told.store(next, Relaxed);
    }
}

#[tokio::test]
async fn a_node_killed_at_any_moment_has_what_it_told_was_there_and_nothing_half() {
    let rounds = std::env::var("LITTORAL_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let data = tempfile::tempdir().unwrap();
    let written: Vec<Written> = (0..WRITERS).map(|_| Written::default()).collect();
    let mut found = BTreeMap::new();
    for round in 0..=rounds {
        let mut node = start(data.path(), "durable = \"1MiB\"").await;
        let mut client = talk(&node).await;
        for (writer, written) in written.iter().enumerate().filter(|_| round > 0) {
            let one = number(&client.ask(&format!("get w{writer}/one")).await);
            let other = number(&client.ask(&format!("get w{writer}/other")).await);
            let (told, last) = (written.told.load(Relaxed), written.last.load(Relaxed));
            assert_eq!(one, other, "round {round}: half a commit of writer {writer}");
            assert!((told..=last).contains(&one), "round {round}: {one} is there, {told} was told, {last} was written");
            written.told.store(one, Relaxed);
            *found.entry(if one > told { "not told" } else { "told" }).or_insert(0) += 1;
        }
        let used = client.ask("used").await;
        assert_eq!(used.split(' ').next(), Some(client.list().await.len().to_string().as_str()), "{used}");
        if round == rounds {
            break;
        }
        let mut random = StdRng::seed_from_u64(round);
        let times = random.random_range(1..60);
        let of = |writer: usize| StdRng::seed_from_u64(round << 8 | writer as u64);
        let until_killed = async {
            write(&node, 0, &written[0], of(0), times).await;
            node.signal("KILL");
        };
        let others = (1..WRITERS).map(|writer| write(&node, writer, &written[writer], of(writer), u64::MAX));
        tokio::join!(until_killed, futures_util::future::join_all(others));
        node.ended().await;
    }
    let told: u64 = written.iter().map(|written| written.told.load(Relaxed)).sum();
    println!("{rounds} rounds, {told} commits told, found {found:?}");
    assert!(told > rounds, "it wrote");
}

#[tokio::test]
async fn what_cannot_be_granted_is_told_before_a_node_starts() {
    let data = tempfile::tempdir().unwrap();
    let of = |keys: &str| config(data.path(), keys);
    let place = format!("data = {:?}\n", data.path());
    for (config, expected) in [
        (of("") + REQUIRED, "it wants a durable store: grant it one, such as `durable = \"64MiB\"`"),
        (of("durable = \"1MiB\"").replace(&place, ""), "durable needs node.data: name a directory there"),
        (of("durable = \"1B\""), "durable is 1KiB to 1TiB"),
        (of("durable_keys = 4"), "durable_keys needs durable"),
        (of("durable = \"1MiB\"\ndurable_keys = 0"), "durable_keys is 1 to 1000000000"),
        (of("durable = \"1MiB\"").replace("notes\"", "n/tes\""), "it names a file"),
    ] {
        let (code, told) = refused(BINARY, &config, &[("s.wasm", &plugin("service-notes"))]);
        assert!(code == Some(2) && told.contains(expected), "{expected}\n{code:?} {told}");
    }
    // A file that is something else is not written over.
    let file = data.path().join("durable/notes.redb");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, b"a diary, which is no store").unwrap();
    let (_, told) = refused(BINARY, &(of("durable = \"1MiB\"") + REQUIRED), &[("s.wasm", &plugin("service-notes"))]);
    assert!(told.contains("notes.redb") && told.contains("its durable store"), "{told}");
    assert_eq!(std::fs::read(&file).unwrap(), b"a diary, which is no store");
}
