//! Cache policies with state of their own, in a running node: they hit what a replay says, and cost no request when they fault.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

use littoral_testkit::node::{plugin, plugin_file};
use littoral_testkit::{Client, Node, Origin, Response};

use super::{BINARY, config};

/// Bytes of the memory tier.
const MEMORY: u64 = 4 << 20;
/// Of that what an exact policy is given: what is below the low watermark.
const CAPACITY: u64 = MEMORY / 1000 * 955;
/// More than any object takes.
const OBJECT_BYTES_MAX: u64 = 24_000;
/// Requests of the trace.
const REQUESTS: u64 = 2_000;
/// A node decides beside its requests and not before them, so that a hit may come a little earlier or later than in a replay: this share of
/// all requests, in permille.
const TOLERANCE: u64 = 20;

fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// One request of viewers who play titles from their start and leave at some point; popular titles more often.
struct Asked {
    title: u64,
    rung: u64,
    segment: u64,
}

impl Asked {
    fn path(&self) -> String {
        format!("/t{}/seg-{}p-{:05}.m4s", self.title, self.rung, self.segment)
    }

    /// The name of the object in the trace.
    fn id(&self) -> u64 {
        1 + self.title * 1_000_000 + self.rung * 10_000 + self.segment
    }

    fn bytes(&self) -> u64 {
        4_000 + 6_000 * self.rung + mix(self.id()) % 4_000
    }

    fn of_path(path: &str) -> Option<Self> {
        let (title, name) = path.strip_prefix("/t")?.split_once("/seg-")?;
        let (rung, segment) = name.strip_suffix(".m4s")?.split_once("p-")?;
        Some(Self { title: title.parse().ok()?, rung: rung.parse().ok()?, segment: segment.parse().ok()? })
    }
}

fn viewers() -> impl Iterator<Item = Asked> {
    let mut viewers = [(0, 0, 0); 12];
    (0..REQUESTS).map(move |number| {
        let random = mix(number);
        let viewer = &mut viewers[(random % 12) as usize];
        if (random >> 8).is_multiple_of(25) || viewer.2 >= 40 {
            *viewer = (((random >> 16) % 9) * ((random >> 24) % 9), (random >> 32) % 3, 0);
        }
        viewer.2 += 1;
        let (title, rung, segment) = *viewer;
        Asked { title, rung, segment }
    })
}

async fn origin() -> Origin {
    Origin::start(|request| {
        let bytes = Asked::of_path(&request.path).map_or(20_000, |asked| asked.bytes());
        Response::ok(&["cache-control: max-age=600"], &vec![7; bytes as usize])
    })
    .await
}

fn seated(origin: &Origin, policy: &str, plugins: &str) -> String {
    let cache = format!("[cache]\nmemory = \"4MiB\"\nmax_object = \"1MiB\"\n{plugins}[policy]\nevict = \"{policy}\"\n");
    config(&[origin], &cache)
}

fn table(name: &str) -> String {
    format!("[[plugin]]\nname = \"{name}\"\nfile = \"{name}.wasm\"\n")
}

/// Waits until what has come was decided on. A connection may hold what it sent last, though that is gone.
async fn decided(node: &Node) {
    while node.metrics().await["littoral_cache_memory_bytes"] > (CAPACITY + OBJECT_BYTES_MAX) as f64 {
        tokio::task::yield_now().await;
    }
}

/// Hits of the trace, and the trace as it was asked, with what each object takes in memory.
async fn played(node: &Node) -> (u64, String) {
    let mut client = Client::connect(node.address("http")).await;
    let (mut hits, mut trace, began) = (0, "time_ms,obj_id,size,title,rung,seg\n".to_owned(), Instant::now());
    let mut overhead = 0;
    for (number, asked) in viewers().enumerate() {
        let now_ms = began.elapsed().as_millis();
        let reply = client.get("site.example", &asked.path(), &[]).await;
        assert_eq!((reply.status, reply.body.len() as u64), (200, asked.bytes()));
        hits += u64::from(reply.field("cache-status").starts_with("littoral; hit"));
        if number == 0 {
            overhead = node.metrics().await["littoral_cache_memory_bytes"] as u64 - asked.bytes();
        }
        if number % 20 == 0 {
            decided(node).await;
        }
        let (Asked { title, rung, segment }, bytes) = (&asked, asked.bytes() + overhead);
        writeln!(trace, "{now_ms},{},{bytes},{},{rung},{segment}", asked.id(), title + 1).unwrap();
    }
    (hits, trace)
}

/// Hits that `littoral replay` says.
fn replayed(directory: &std::path::Path, trace: &str, policy: &str) -> u64 {
    let file = directory.join("trace.csv");
    std::fs::write(&file, trace).unwrap();
    let size = CAPACITY.to_string();
    let ended = Command::new(BINARY)
        .args(["replay", "--json", "--policy", policy, "--size", &size])
        .arg(&file)
        .env_remove("LITTORAL_PLUGINS")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    told["replays"][0]["hits"].as_u64().unwrap()
}

#[tokio::test]
async fn an_exact_policy_hits_in_a_node_what_a_replay_of_the_same_requests_says() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let mut of_all = Vec::new();
    for policy in ["evict-lru", "evict-littoral", "sieve"] {
        let guest = policy.starts_with("evict-");
        let wasm = if guest { plugin(policy) } else { Vec::new() };
        let (file, plugins) = (format!("{policy}.wasm"), if guest { table(policy) } else { String::new() });
        let node = Node::start(BINARY, &seated(&origin, policy, &plugins), &[(file.as_str(), wasm.as_slice())]).await;
        let (hits, trace) = played(&node).await;
        let named = if guest { plugin_file(policy).display().to_string() } else { policy.to_owned() };
        let said = replayed(directory.path(), &trace, &named);
        let metrics = node.metrics().await;
        assert_eq!((metrics["littoral_cache_exact"], metrics["littoral_cache_exact_broken_total"]), (1.0, 0.0));
        assert_eq!(metrics["littoral_cache_exact_nonsense_total"], 0.0, "{policy}");
        assert!(
            hits.abs_diff(said) * 1000 <= REQUESTS * TOLERANCE,
            "{policy}: {hits} hits in the node, {said} in the replay"
        );
        assert!(metrics["littoral_cache_evicted_total"] + metrics["littoral_cache_not_admitted_total"] > 200.0);
        of_all.push((policy, hits, said));
    }
    // Told of titles, ours hits more than one that is not.
    assert!(of_all[1].1 > of_all[0].1, "{of_all:?}");
}

#[tokio::test]
async fn an_exact_guest_that_faults_under_load_costs_no_request_and_a_good_one_takes_over() {
    let origin = origin().await;
    let (bad, good) = (plugin("exact-faults"), plugin("evict-lru"));
    for how in ["trap", "spin", "grow", "lie", "mute"] {
        let plugins = format!("{}config = {{ how = \"{how}\", after = 100 }}\n", table("p"));
        let plugins = plugins.clone() + "[[plugin]]\nname = \"g\"\nfile = \"g.wasm\"\n";
        let node = Node::start(BINARY, &seated(&origin, "p", &plugins), &[("p.wasm", &bad), ("g.wasm", &good)]).await;
        let load = |seed: u64| {
            let address = node.address("http");
            async move {
                let mut client = Client::connect(address).await;
                for number in 0..120 {
                    // What nobody else asks for and what all do, by turns: more than there is room for.
                    let path = if number % 2 == 0 { format!("/{seed}/{number}") } else { format!("/{}", number % 7) };
                    let reply = client.get("site.example", &path, &[]).await;
                    assert_eq!((reply.status, reply.whole, reply.body.len()), (200, true, 20_000));
                }
            }
        };
        tokio::join!(load(1), load(2), load(3), load(4));
        while how != "mute" && node.metrics().await["littoral_cache_exact_broken_total"] == 0.0 {
            tokio::task::yield_now().await;
        }
        let metrics = node.metrics().await;
        let bound = metrics["littoral_cache_memory_bound_bytes"];
        assert!(metrics["littoral_cache_memory_bytes"] <= bound, "{how}");
        assert_eq!(metrics["littoral_http_broken_total"], 0.0, "{how}");
        if how != "mute" {
            let faults = metrics.iter().filter(|(key, _)| key.starts_with("littoral_plugin_faults_total{plugin=\"p\""));
            assert!(faults.map(|(_, count)| count).sum::<f64>() > 0.0, "{how}");
        }
        // Another policy in the seat: it is told of what is there, and decides.
        let objects = metrics["littoral_cache_objects"];
        std::fs::write(node.file("node.toml"), seated(&origin, "g", &plugins)).unwrap();
        assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200, "{how}");
        tokio::join!(load(5), load(6));
        node.until("littoral_cache_exact", 1.0).await;
        decided(&node).await;
        let metrics = node.metrics().await;
        assert_eq!((metrics["littoral_cache_exact"], metrics["littoral_http_broken_total"]), (1.0, 0.0), "{how}");
        assert_eq!(metrics["littoral_plugin_faults_total{plugin=\"g\",kind=\"trap\"}"], 0.0, "{how}");
        assert!(objects > 100.0 && metrics["littoral_cache_objects"] > 100.0, "{how}: {metrics:?}");
    }
}
