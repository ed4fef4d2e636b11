//! What a node takes of the system's memory, against the bound its operator gave.

use littoral_testkit::{Client, Node, Origin, Response};

use super::node_before;

const BOUND: u64 = 16 << 20;
/// Connections that fill at the same time.
const CLIENTS: usize = 8;

/// Fills `objects` of `length` bytes, each with a field of so many more; the most memory that was in use meanwhile, above what was before.
async fn most_used(objects: usize, length: usize, field: usize) -> u64 {
    let value = "x".repeat(field);
    let origin = Origin::start(move |_| {
        Response::ok(&["cache-control: max-age=600", &format!("x-more: {value}")], &vec![b'x'; length])
    })
    .await;
    let node = node_before(&origin, &format!("[cache]\nmemory = \"{BOUND}\"\nmax_object = \"2MiB\"")).await;
    // What connections and their buffers take.
    fill(&node, 0, CLIENTS, length).await;
    let before = node.resident_bytes();
    let mut most = 0;
    for from in (0..objects).step_by(objects / 8) {
        fill(&node, from, objects / 8, length).await;
        most = most.max(node.resident_bytes());
    }
    let kept = node.metrics().await["littoral_cache_objects"];
    assert!(kept < objects as f64, "all {kept} fit");
    most.saturating_sub(before)
}

async fn fill(node: &Node, from: usize, objects: usize, length: usize) {
    let clients = (0..CLIENTS).map(|client| async move {
        let mut connection = Client::connect(node.address("http")).await;
        for number in (from + client..from + objects).step_by(CLIENTS) {
            let reply = connection.get("site.example", &format!("/{number}"), &[]).await;
            assert_eq!((reply.status, reply.body.len()), (200, length));
        }
    });
    futures_util::future::join_all(clients).await;
}

#[tokio::test]
async fn what_is_stored_takes_no_more_memory_than_the_bound() {
    for (objects, length, field) in [(12_000, 1, 1), (4000, 1024, 3000), (400, 65_536, 1), (32, 1 << 20, 1)] {
        let used = most_used(objects, length, field).await;
        // Pages of an allocator are not full, and what was evicted a moment ago is not given back yet.
        assert!(used < BOUND * 3 / 2, "{objects} of {length} and {field} bytes: {used}");
    }
}
