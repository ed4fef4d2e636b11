//! The node as others meet it: real processes, real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod absent;
mod access_log;
mod acme;
mod admin;
mod advice;
mod author;
mod bad_input;
mod cache;
mod canaries;
mod cli;
mod clocks;
mod compilers;
mod content;
mod contract;
mod control;
mod copies;
mod crash;
mod dashboard;
mod datagrams;
mod demo;
mod dial;
mod disk;
mod dns;
mod documents;
mod doors;
mod drains;
mod durable;
mod exact;
mod examples;
mod faults;
mod fetch;
mod fills;
mod filters;
mod forward;
mod h2;
mod h2_conformance;
mod h2_sessions;
mod hostile;
mod http;
mod itself;
mod languages;
mod limits;
mod listen;
mod load;
mod loops;
mod manifests;
mod memory;
mod names;
mod origin;
mod outside;
mod pacing;
mod passing;
mod pieces;
mod pins;
mod plugins;
mod poisoning;
mod posts;
mod prefetch;
mod projects;
mod purge;
mod push;
mod queries;
mod records;
mod reload;
mod rollouts;
mod rtt;
mod s3;
mod secure;
mod semantics;
mod services;
mod shield;
mod slices;
mod smuggling;
mod standing;
mod steer;
mod swarms;
mod ticks;
mod tidy;
mod tls;
mod trace;
mod upgrade;
mod upstreams;
mod video;
mod votes;
mod warm;

use littoral_testkit::{Node, Origin, Reply};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_littoral");

/// Ends the start of a node whose plugins cannot be loaded.
const REQUIRED: &str = "[plugins]\nrequired = true\n";

/// A node with one site, `site.example`, before `origin`; `more` is appended to the config.
async fn node_before(origin: &Origin, more: &str) -> Node {
    Node::start(BINARY, &config(&[origin], more), &[]).await
}

fn config(origins: &[&Origin], more: &str) -> String {
    let urls: Vec<String> = origins.iter().map(|origin| format!("{:?}", origin.url())).collect();
    let (top, site) = more.split_once("[site]").unwrap_or((more, ""));
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{top}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{}]\n{site}\n",
        urls.join(", ")
    )
}

/// GET on `site.example`.
async fn get(node: &Node, path: &str) -> Reply {
    node.get("site.example", path, &[]).await
}

/// Bytes that repeat nowhere, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
