//! A node that is killed at any moment, over and over: whatever it serves afterwards is whole, and nothing that was purged.
//!
//! The origin's bodies tell their path and version, which grows with each purge. `LITTORAL_CRASH_ROUNDS` sets the rounds.
//! Until the moment it is killed, the node must answer everything, and a run that saw no eviction, or no purge of some kind,
//! proves nothing and fails.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use littoral_testkit::{Client, Node, Origin, Response};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{BINARY, config, noise};

const ROUNDS: u64 = 4;
const PATHS: usize = 40;
const TENANTS: usize = 4;
/// Of a hundred steps so many are purges.
const PURGED_PERCENT: usize = 16;
/// All that can be purged by, hard and soft.
const PURGES: [&str; 12] = [
    "all",
    "all soft",
    "host",
    "host soft",
    "key",
    "key soft",
    "prefix",
    "prefix soft",
    "regex",
    "regex soft",
    "url",
    "url soft",
];

/// What the origin serves, and what may still be served of it.
struct Truth {
    versions: Vec<AtomicU64>,
    /// The lowest version of each path that may be served: those before were purged, and the purge was answered.
    floors: Mutex<Vec<u64>>,
    served: AtomicU64,
    /// Purges that were answered, by kind.
    purges: Mutex<BTreeMap<String, u64>>,
    /// Purges ordered.
    turns: AtomicU64,
    /// The node has not been killed yet, so it has no excuse.
    lives: AtomicBool,
}

fn body_of(path: usize, version: u64) -> Vec<u8> {
    let length = 200 + (path * 7919 + version as usize * 104_729) % 150_000;
    let mut body = format!("{path} {version} ").into_bytes();
    body.extend(noise(length, (path as u64) << 32 | version | 1 << 63));
    body
}

/// The version a whole body is of; it must be that of its path, byte for byte.
fn version_of(path: usize, body: &[u8]) -> u64 {
    let mut words = body.splitn(3, |byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
    let (told, version) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    assert_eq!(told, path.to_string(), "another path's body");
    assert!(body == body_of(path, version), "the body of /{path}, version {version}, is not as it was");
    version
}

impl Truth {
    fn floor(&self, path: usize) -> u64 {
        self.floors.lock().unwrap()[path]
    }

    /// What a node that lives must have given; `None` from one that was killed.
    fn due<T>(&self, answer: Option<T>, what: &str) -> Option<T> {
        assert!(answer.is_some() || !self.lives.load(Relaxed), "{what}, and the node was not killed yet");
        answer
    }

    /// Gets a path, if the node lives that long, and judges what came.
    async fn get(&self, client: &mut Option<Client>, node: std::net::SocketAddr, path: usize) {
        let floor = self.floor(path);
        let connection = client.take().or(connect(node).await);
        let Some(mut connection) = self.due(connection, "no connection") else { return };
        connection.send(format!("GET /{path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        let reply = connection.reply(false).await.filter(|reply| reply.whole);
        let Some(reply) = self.due(reply, "no whole reply") else { return };
        assert_eq!(reply.status, 200, "{:?}", reply.fields);
        let version = version_of(path, &reply.body);
        assert!(version >= floor, "version {version} of /{path} came back, purged below {floor}: {:?}", reply.fields);
        self.served.fetch_add(1, Relaxed);
        *client = Some(connection);
    }

    /// Purges some paths; when the node answers, what was before is gone for good. So it is after a soft purge: this origin's
    /// bodies have no validator to be confirmed by.
    async fn purge(&self, admin: std::net::SocketAddr, by: &str, what: &str, soft: bool, paths: &[usize]) {
        let new: Vec<(usize, u64)> =
            paths.iter().map(|path| (*path, self.versions[*path].fetch_add(1, Relaxed) + 1)).collect();
        let Some(mut client) = self.due(connect(admin).await, "no connection for a purge") else { return };
        let order = format!("{{\"{by}\":{what},\"soft\":{soft}}}");
        let head = format!(
            "POST /v1/purge HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
            order.len()
        );
        client.send(head).await;
        let reply = client.reply(false).await.filter(|reply| reply.whole);
        let Some(reply) = self.due(reply, "no answer to a purge") else { return };
        assert_eq!(reply.status, 200, "{order}: {}", String::from_utf8_lossy(&reply.body));
        *self.purges.lock().unwrap().entry(format!("{by}{}", if soft { " soft" } else { "" })).or_default() += 1;
        let mut floors = self.floors.lock().unwrap();
        new.into_iter().for_each(|(path, version)| floors[path] = floors[path].max(version));
    }

    /// So many steps: mostly requests, some purges.
    async fn walk(&self, node: &Node, steps: u64, mut random: StdRng) {
        let (http, admin) = (node.address("http"), node.address("admin"));
        let mut client = None;
        for _ in 0..steps {
            let path = random.random_range(0..PATHS);
            if random.random_range(0..100) >= PURGED_PERCENT {
                self.get(&mut client, http, path).await;
                continue;
            }
            // Each kind in its turn, two thirds by URL, so that others leave something in the cache.
            let turn = self.turns.fetch_add(1, Relaxed) as usize % (3 * PURGES.len());
            let by = PURGES.get(turn).unwrap_or(&PURGES[PURGES.len() - 2 + turn % 2]);
            let (by, soft) = by.strip_suffix(" soft").map_or((*by, false), |by| (by, true));
            let (tenant, digit) = (path % TENANTS, &path.to_string()[..1]);
            let of = |wanted: &dyn Fn(usize) -> bool| (0..PATHS).filter(|path| wanted(*path)).collect::<Vec<_>>();
            let (what, paths) = match by {
                "all" => ("true".to_owned(), of(&|_| true)),
                "host" => ("\"site.example\"".to_owned(), of(&|_| true)),
                "key" => (format!("\"tenant{tenant}\""), of(&|path| path % TENANTS == tenant)),
                "prefix" => {
                    (format!("\"http://site.example/{digit}\""), of(&|path| path.to_string().starts_with(digit)))
                }
                "regex" => (format!("\"^site.example/{path}$\""), vec![path]),
                _ => (format!("\"http://site.example/{path}\""), vec![path]),
            };
            self.purge(admin, by, &what, soft, &paths).await;
        }
    }
}

async fn connect(address: std::net::SocketAddr) -> Option<Client> {
    tokio::net::TcpStream::connect(address).await.ok().map(Client::over)
}

fn node_config(origin: &Origin, directory: &Path) -> String {
    // Room for a third in memory and half on disk, so that both evict.
    let disk = format!("disk = {{ path = {directory:?}, size = \"2MiB\", min_free = \"0\" }}");
    config(&[origin], &format!("[cache]\nmemory = \"1MiB\"\nmax_object = \"512KiB\"\n{disk}"))
}

impl Truth {
    /// One life of a node: used by several at once, and killed while they are in the middle of something. What it counted.
    async fn live_and_die(&self, config: &str, round: u64) -> HashMap<String, f64> {
        let mut node = Node::start(BINARY, config, &[]).await;
        self.lives.store(true, Relaxed);
        let mut random = StdRng::seed_from_u64(round);
        let steps = random.random_range(1..120);
        let others: Vec<_> = (0..4).map(|walker| StdRng::seed_from_u64(round << 8 | walker)).collect();
        let walk_and_kill = async {
            self.walk(&node, steps, random).await;
            let metrics = node.metrics().await;
            self.lives.store(false, Relaxed);
            node.signal("KILL");
            metrics
        };
        let walk_on = async {
            let all = others.into_iter().map(|random| self.walk(&node, u64::MAX, random));
            futures_util::future::join_all(all).await;
        };
        let metrics = tokio::select! {
            metrics = walk_and_kill => metrics,
            () = walk_on => HashMap::new(),
        };
        node.ended().await;
        metrics
    }
}

#[tokio::test]
async fn a_node_killed_at_any_moment_serves_no_torn_body_and_nothing_that_was_purged() {
    let rounds = std::env::var("LITTORAL_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let truth = Arc::new(Truth {
        versions: (0..PATHS).map(|_| AtomicU64::new(0)).collect(),
        floors: Mutex::new(vec![0; PATHS]),
        served: AtomicU64::new(0),
        purges: Mutex::new(PURGES.iter().map(|kind| ((*kind).to_owned(), 0)).collect()),
        turns: AtomicU64::new(0),
        lives: AtomicBool::new(false),
    });
    let known = truth.clone();
    let origin = Origin::start(move |request| {
        let path: usize = request.path[1..].parse().unwrap();
        let key = format!("surrogate-key: tenant{}", path % TENANTS);
        Response::ok(&["cache-control: max-age=600", &key], &body_of(path, known.versions[path].load(Relaxed)))
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let config = node_config(&origin, directory.path());
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for round in 0..rounds {
        let metrics = truth.live_and_die(&config, round).await;
        for name in ["hits", "writes", "evicted", "purged", "corrupt", "errors"] {
            *totals.entry(name).or_default() += metrics[&format!("littoral_cache_disk_{name}_total")];
        }
    }
    let (served, purges) = (truth.served.load(Relaxed), truth.purges.lock().unwrap().clone());
    println!("{rounds} rounds, {served} bodies served whole; on disk {totals:?}; purges {purges:?}");
    assert_eq!((totals["corrupt"], totals["errors"]), (0.0, 0.0), "a kill tears nothing that is served");
    for name in ["hits", "writes", "evicted", "purged"] {
        assert!(totals[name] > 0.0, "no {name} on disk in {rounds} rounds: {totals:?}");
    }
    let none: Vec<_> = purges.iter().filter(|(_, times)| **times == 0).collect();
    assert!(served > 0 && none.is_empty(), "never purged: {none:?}");
}
