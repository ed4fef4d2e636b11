//! What one policy call costs, fuel and thread-local lookup included. Guests as `make plugins` builds them.

use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use littoral_plugin_host::{Ask, ClusterRow, Flow, Host, HostSettings, Interface, Object, Plugin, PluginSpec};

fn load(name: &str, interface: Interface) -> Arc<Plugin> {
    let built = std::env::var_os("LITTORAL_PLUGINS").map(PathBuf::from);
    let directory = built.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"));
    let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 }).expect("a host");
    let file = directory.join(format!("{name}.wasm"));
    host.load(PluginSpec::new(name, file), Some(interface)).expect("run `make plugins` first")
}

fn policy_call(criterion: &mut Criterion) {
    let route = load("route-geo", Interface::Routing);
    let row = |index: u16| ClusterRow {
        index,
        deep: false,
        healthy: true,
        place: [f32::from(index) / 16.0, 0.5, 0.5],
        capacity_mbps: 1000,
        load_permille: 10 * index,
        rtt_us: 0,
    };
    route.push_clusters(1, (0..8).map(row).collect());
    let flow = Flow {
        key: 1,
        addr_hi: 0,
        addr_lo: 7,
        place: [0.6, 0.6, 0.5],
        zone: 65535,
        candidates: 0xff,
        now_ms: 1,
        rand: 2,
    };
    criterion
        .bench_function("decide among 8 clusters", |bench| bench.iter(|| route.decide(std::hint::black_box(&flow))));

    let rate = load("rate-throughput", Interface::Rate);
    rate.push_ladder(1, vec![100, 300, 700, 1500, 3000, 6000]);
    let ask = Ask {
        state: 0,
        est_kbps: 2500,
        buffer_ms: 9000,
        last_rung: 2,
        segment_ms: 2000,
        ladder: 1,
        now_ms: 1,
        rand: 2,
    };
    criterion.bench_function("select among 6 rungs", |bench| bench.iter(|| rate.select(std::hint::black_box(&ask), 6)));

    let evict = load("evict-lfu-size", Interface::Cache);
    let object = Object { id: 1, bytes: 65536, age_s: 5, idle_s: 3, ttl_s: 9, fetch_us: 900, hits: 4, class: 0 };
    criterion.bench_function("admit", |bench| bench.iter(|| evict.admit(std::hint::black_box(&object), 950, 1, 2)));
    let (sample, mut scores) = ([object; 16], [0.0; 16]);
    criterion.bench_function("score 16 objects", |bench| {
        bench.iter(|| evict.score(std::hint::black_box(&sample), 1, 2, &mut scores))
    });
}

criterion_group!(benches, policy_call);
criterion_main!(benches);
