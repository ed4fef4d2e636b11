//! A node that is killed at any moment, over and over: whatever it serves afterwards is whole, and nothing that was purged.
//!
//! The origin's bodies tell their path and version, which grows with each purge. `LITTORAL_CRASH_ROUNDS` sets the rounds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use littoral_testkit::{Client, Node, Origin, Response};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{BINARY, config, noise};

const ROUNDS: u64 = 4;
const PATHS: usize = 40;
const TENANTS: usize = 4;

/// What the origin serves, and what may still be served of it.
struct Truth {
    versions: Vec<AtomicU64>,
    /// The lowest version of each path that may be served: those before were purged, and the purge was answered.
    floors: Mutex<Vec<u64>>,
    served: AtomicU64,
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

    /// Gets a path, if the node lives that long, and judges what came.
    async fn get(&self, client: &mut Option<Client>, node: std::net::SocketAddr, path: usize) {
        let floor = self.floor(path);
        let Some(mut connection) = client.take().or(connect(node).await) else { return };
        connection.send(format!("GET /{path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        let Some(reply) = connection.reply(false).await.filter(|reply| reply.whole) else { return };
        assert_eq!(reply.status, 200, "{:?}", reply.fields);
        let version = version_of(path, &reply.body);
        assert!(version >= floor, "version {version} of /{path} came back, purged below {floor}: {:?}", reply.fields);
        self.served.fetch_add(1, Relaxed);
        *client = Some(connection);
    }

    /// Purges some paths; when the node answers, what was before is gone for good.
    async fn purge(&self, admin: std::net::SocketAddr, order: &str, paths: impl Iterator<Item = usize>) {
        let new: Vec<(usize, u64)> = paths.map(|path| (path, self.versions[path].fetch_add(1, Relaxed) + 1)).collect();
        let Some(mut client) = connect(admin).await else { return };
        let head = format!(
            "POST /v1/purge HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
            order.len()
        );
        client.send(head).await;
        if client.reply(false).await.is_some_and(|reply| reply.whole && reply.status == 200) {
            let mut floors = self.floors.lock().unwrap();
            new.into_iter().for_each(|(path, version)| floors[path] = floors[path].max(version));
        }
    }

    /// So many steps: mostly requests, some purges.
    async fn walk(&self, node: &Node, steps: u64, mut random: StdRng) {
        let (http, admin) = (node.address("http"), node.address("admin"));
        let mut client = None;
        for _ in 0..steps {
            let path = random.random_range(0..PATHS);
            let tenant = path % TENANTS;
            match random.random_range(0..100) {
                0 => self.purge(admin, "{\"all\":true}", 0..PATHS).await,
                1..3 => {
                    let order = format!("{{\"key\":\"tenant{tenant}\"}}");
                    self.purge(admin, &order, (0..PATHS).filter(|path| path % TENANTS == tenant)).await;
                }
                3..5 => {
                    let order = format!("{{\"regex\":\"^site.example/{path}$\"}}");
                    self.purge(admin, &order, std::iter::once(path)).await;
                }
                5..15 => {
                    let order = format!("{{\"url\":\"http://site.example/{path}\"}}");
                    self.purge(admin, &order, std::iter::once(path)).await;
                }
                _ => self.get(&mut client, http, path).await,
            }
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

#[tokio::test]
async fn a_node_killed_at_any_moment_serves_no_torn_body_and_nothing_that_was_purged() {
    let rounds = std::env::var("LITTORAL_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let truth = Arc::new(Truth {
        versions: (0..PATHS).map(|_| AtomicU64::new(0)).collect(),
        floors: Mutex::new(vec![0; PATHS]),
        served: AtomicU64::new(0),
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
    let mut totals: HashMap<&str, f64> = HashMap::new();
    for round in 0..rounds {
        let mut node = Node::start(BINARY, &config, &[]).await;
        let mut random = StdRng::seed_from_u64(round);
        let steps = random.random_range(1..120);
        // One walks until the node is killed, while others are in the middle of something.
        let others: Vec<_> = (0..4).map(|walker| StdRng::seed_from_u64(round << 8 | walker)).collect();
        let walk_and_kill = async {
            truth.walk(&node, steps, random).await;
            let metrics = node.metrics().await;
            node.signal("KILL");
            metrics
        };
        let walk_on = async {
            let all = others.into_iter().map(|random| truth.walk(&node, u64::MAX, random));
            futures_util::future::join_all(all).await;
        };
        let metrics = tokio::select! {
            metrics = walk_and_kill => metrics,
            () = walk_on => HashMap::new(),
        };
        for name in ["hits", "writes", "corrupt", "evicted", "purged", "errors"] {
            *totals.entry(name).or_default() += metrics[&format!("littoral_cache_disk_{name}_total")];
        }
        node.ended().await;
    }
    assert_eq!((totals["corrupt"], totals["errors"]), (0.0, 0.0), "a kill tears nothing that is served");
    assert!(totals["hits"] > 0.0 && totals["writes"] > 0.0 && truth.served.load(Relaxed) > 0);
    println!("{rounds} rounds, {} bodies served whole, {totals:?}", truth.served.load(Relaxed));
}
