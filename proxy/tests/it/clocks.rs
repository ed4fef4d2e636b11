//! The clock is set forth and back while a node runs: nothing is served for longer than it may be, and what waits for a while
//! waits for that while.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, get};

/// A node whose clock is off by what a file says, and that file.
struct Adrift {
    node: Node,
    offset: PathBuf,
    _directory: tempfile::TempDir,
}

impl Adrift {
    async fn start(origins: &[&Origin], more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (offset, wrapped) = (directory.path().join("offset"), directory.path().join("littoral"));
        std::fs::write(&offset, "+0").unwrap();
        let environment = format!(
            "LD_PRELOAD={:?} FAKETIME_TIMESTAMP_FILE={offset:?} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            faking_library()
        );
        std::fs::write(&wrapped, format!("#!/bin/sh\n{environment} exec {BINARY:?} \"$@\"\n")).unwrap();
        std::fs::set_permissions(&wrapped, std::fs::Permissions::from_mode(0o755)).unwrap();
        let node = Node::start(&wrapped.display().to_string(), &config(origins, more), &[]).await;
        Self { node, offset, _directory: directory }
    }

    /// From now on the clock is off by so many seconds.
    fn set(&self, offset_s: i32) {
        // In one step, so that the node never reads half of it.
        let next = self.offset.with_extension("next");
        std::fs::write(&next, format!("{offset_s:+}")).unwrap();
        std::fs::rename(&next, &self.offset).unwrap();
    }
}

/// Of Debian's package faketime, which `make setup` installs.
fn faking_library() -> PathBuf {
    let of = |directory: PathBuf| directory.join("faketime/libfaketimeMT.so.1");
    let known = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|directory| of(directory.path()));
    known.chain([of(Path::new("/usr/lib").into())]).find(|file| file.exists()).expect("faketime: run make setup")
}

#[tokio::test]
async fn nothing_is_served_for_longer_than_it_may_be_when_the_clock_is_set_back() {
    let origin = Origin::start(|request| match request.field("if-none-match") {
        Some(_) => Response { status: 304, ..Response::ok(&["cache-control: max-age=60", "etag: \"a\""], b"") },
        None => Response::ok(&["cache-control: max-age=60", "etag: \"a\""], b"body"),
    })
    .await;
    let adrift = Adrift::start(&[&origin], "").await;
    let status = async || get(&adrift.node, "/a").await.field("cache-status").to_owned();
    assert!(status().await.contains("fwd=uri-miss"));
    assert!(status().await.contains("hit"));
    // Back by hours, by seconds as clocks are corrected, and forth over the end of its time.
    for (offset_s, expected) in [(-7200, "fwd=stale"), (-7203, "; hit;"), (-10, "fwd=stale"), (7200, "fwd=stale")] {
        adrift.set(offset_s);
        let told = status().await;
        assert!(told.contains(expected), "{offset_s}: {told}");
        let told = status().await;
        assert!(told.contains("; hit; ttl=") && !told.contains("fwd"), "{offset_s}, then: {told}");
    }
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn an_origin_that_is_out_stays_out_for_its_while_whatever_the_clock_says() {
    let bad = Origin::start(|_| Response { status: 503, ..Response::ok(&["cache-control: no-store"], b"") }).await;
    let good = Origin::start(|_| Response::ok(&["cache-control: no-store"], b"good")).await;
    let adrift = Adrift::start(&[&bad, &good], "").await;
    let is_in = format!("littoral_origin_healthy{{origin=\"{}\"}}", bad.url());
    let up = async || adrift.node.metrics().await[&is_in];
    for request in 0..200 {
        get(&adrift.node, &format!("/{request}")).await;
        if up().await == 0.0 {
            break;
        }
    }
    assert_eq!(up().await, 0.0, "it never goes out");
    for offset_s in [7200, -7200] {
        adrift.set(offset_s);
        assert_eq!(up().await, 0.0, "{offset_s}");
    }
    assert_eq!(get(&adrift.node, "/last").await.status, 200);
}
