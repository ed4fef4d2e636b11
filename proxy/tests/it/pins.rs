//! `[[plugin]] sha256` and `candidate_sha256`: a node runs no other file than the one its config pins, whatever the plugin is for.

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, Origin, Response, refused};
use sha2::{Digest, Sha256};

use super::{BINARY, REQUIRED, config};

/// What a plugin is for, its component, and what has it called.
const SEATS: [(&str, &str, &str); 5] = [
    ("policy", "evict-lfu-size", "[policy]\nevict = \"p\"\n"),
    ("filter", "filter-trap", "[site]\nfilters = [\"p\"]\n"),
    ("stream service", "service-uppercase", "[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"p\"\n"),
    ("datagram service", "datagram-uppercase", "[[listen.datagram]]\nbind = \"127.0.0.1:0\"\nplugin = \"p\"\n"),
    (
        "swarm",
        "swarm-faults",
        "[[listen.swarm]]\nbind = \"127.0.0.1:0\"\nplugin = \"p\"\ndatagrams = \"127.0.0.1:0\"\n",
    ),
];

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The config of a node with a plugin in a seat; `keys` are the plugin's.
fn seated(origin: &Origin, seat: &str, keys: &str) -> String {
    // `[site]` in a seat says what follows to be the site's, as it does in `config`.
    config(&[origin], &format!("{REQUIRED}[[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\n{keys}\n{seat}"))
}

#[tokio::test]
async fn a_plugin_runs_in_every_seat_as_the_file_that_is_pinned_and_as_no_other() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    for (what, name, seat) in SEATS {
        let component = plugin(name);
        let files: [(&str, &[u8]); 1] = [("p.wasm", &component)];
        let with = |pin: &str| seated(&origin, seat, &format!("sha256 = {pin:?}"));
        let (ended, said) = refused(BINARY, &with(&digest(b"another file")), &files);
        let (own, pinned) = (digest(&component), digest(b"another file"));
        let expected = format!("its sha256 is {own}, the config pins {pinned}: put the right file there");
        assert!(ended.is_some_and(|code| code != 0) && said.contains(&expected), "{what}: {ended:?} {said}");
        for right in [own.clone(), own.to_uppercase()] {
            let node = Node::start(BINARY, &with(&right), &files).await;
            let (_, told) = node.admin("GET", "/v1/plugins", "").await;
            assert!(told.contains(&own), "{what}: {told}");
        }
    }
}

#[tokio::test]
async fn a_candidate_is_tried_as_the_file_that_is_pinned_and_as_no_other() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    for (what, name, seat) in &SEATS[..2] {
        let present = plugin(name);
        // The same component in other bytes.
        let candidate = [&present[..], &[0, 2, 1, b'x']].concat();
        let files: [(&str, &[u8]); 2] = [("p.wasm", &present), ("c.wasm", &candidate)];
        let with = |pin: &str| {
            let keys = format!("candidate = \"c.wasm\"\nsha256 = {:?}\ncandidate_sha256 = {pin:?}", digest(&present));
            seated(&origin, seat, &keys)
        };
        // The pin of what runs does not vouch for what is tried.
        let (ended, said) = refused(BINARY, &with(&digest(&present)), &files);
        let expected = format!("its sha256 is {}, the config pins {}", digest(&candidate), digest(&present));
        assert!(ended.is_some_and(|code| code != 0) && said.contains(&expected), "{what}: {ended:?} {said}");
        let node = Node::start(BINARY, &with(&digest(&candidate)), &files).await;
        let (_, told) = node.admin("GET", "/v1/plugins", "").await;
        assert!(told.contains(&digest(&candidate)), "{what}: {told}");
    }
}
