//! What a header filter adds to an answer of Envoy, which runs it in V8, to be read beside what one adds to a hit of a node.
//!
//! Envoy answers by itself, with nothing behind it: no part of it is waited for but the filter. Both of its processes have one worker, and
//! are loaded in turn within each round. Invariant: what the filter is to do was seen to be done before anything is measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Figure, Unit};
use crate::fetch;
use crate::load::{Ask, Generator};
use crate::machine::{CpuTime, SERVER_CORE, Server, free_address, printed};

/// Connections of the generator, as for nodes.
const CONNECTIONS: u32 = 32;
/// Bytes of an answer, as of the object that nodes are asked for.
const BODY_BYTES: usize = 1 << 10;

/// Where Envoy is, and its filter.
#[derive(Args, Clone, Debug)]
pub struct Envoy {
    /// Envoy's program; without it Envoy is not measured
    #[arg(long, requires = "envoy_filter")]
    pub envoy: Option<PathBuf>,
    /// The filter of bench/envoy, as it is compiled
    #[arg(long, requires = "envoy")]
    pub envoy_filter: Option<PathBuf>,
}

struct Running {
    server: Server,
    address: SocketAddr,
}

/// An answer without and with the filter, and what it adds; nothing where there is no Envoy.
pub(super) fn answers(envoy: &Envoy, work: &Path, rounds: u32, time: Duration) -> Result<Vec<Figure>> {
    let (Some(program), Some(filter)) = (&envoy.envoy, &envoy.envoy_filter) else {
        println!("Envoy is not measured: --envoy names none");
        return Ok(Vec::new());
    };
    ensure!(filter.is_file(), "{} is missing; build it with make bench-plugins", filter.display());
    let filter = std::path::absolute(filter)?;
    let version = version(program)?;
    let servers = [start(program, work, "plain", None)?, start(program, work, "filter", Some(&filter))?];
    for (server, expected) in servers.iter().zip([None, Some("deny")]) {
        let head = fetch::head(server.address, "/")?;
        let found = head.iter().find_map(|line| line.strip_prefix("x-frame-options: "));
        let removed = !head.iter().any(|line| line.starts_with("x-powered-by:"));
        ensure!(found == expected && removed == expected.is_some(), "Envoy's filter is not as it should be: {head:?}");
    }
    let mut cpu_us = [Vec::new(), Vec::new()];
    for round in 0..rounds as usize {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            cpu_us[at].push(cpu_us_of(&servers[at], time)?);
        }
    }
    let [plain, filtered] = cpu_us;
    let added = filtered.iter().zip(&plain).map(|(with, without)| with - without).collect();
    Ok(vec![
        Figure::new(format!("Envoy {version}, an answer of 1 KiB of its own"), Unit::Micros, None, plain)?,
        Figure::new("Envoy, a header filter (V8), the same answer", Unit::Micros, None, filtered)?,
        Figure::new("Envoy, added by the header filter", Unit::Micros, None, added)?,
    ])
}

/// CPU time of the server for each request.
fn cpu_us_of(running: &Running, time: Duration) -> Result<f64> {
    let used = CpuTime::of_tree(running.server.pid())?;
    let load = Generator::Wrk.run(running.address, &Ask::Path("/".to_owned()), CONNECTIONS, time)?;
    let used = CpuTime::of_tree(running.server.pid())?.since(&used);
    Ok(used.as_secs_f64() * 1e6 / load.requests as f64)
}

fn version(program: &Path) -> Result<String> {
    let told = printed(&program.to_string_lossy(), &["--version"]);
    let told = told.with_context(|| format!("{} cannot be run", program.display()))?;
    Ok(number_in(&told)
        .with_context(|| format!("{} does not say which version it is: {told}", program.display()))?
        .to_owned())
}

/// It says "PROGRAM  version: HASH/NUMBER/…".
fn number_in(told: &str) -> Option<&str> {
    told.split_once("version:")?.1.split('/').nth(1)
}

fn start(program: &Path, work: &Path, label: &str, filter: Option<&Path>) -> Result<Running> {
    let (address, file) = (free_address()?, work.join(format!("envoy-{label}.yaml")));
    std::fs::write(&file, config(address, filter))?;
    let (program, file) = (program.to_string_lossy(), file.to_string_lossy());
    let alone = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    let mut server = Server::start(
        SERVER_CORE,
        &[&[&*program, "-c", &*file], &alone[..]].concat(),
        work.join(format!("{label}.err")),
    )?;
    server.accepts(address).with_context(|| format!("Envoy ({label}) did not start"))?;
    Ok(Running { server, address })
}

/// One listener and a route that answers.
fn config(address: SocketAddr, filter: Option<&Path>) -> String {
    let (ip, port, body) = (address.ip(), address.port(), "x".repeat(BODY_BYTES));
    let filter = filter.map_or_else(String::new, |file| {
        format!(
            "
          - name: envoy.filters.http.wasm
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: headers
                vm_config: {{ runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: {file:?} }} }} }}"
        )
    });
    format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{ prefix: / }}
                direct_response: {{ status: 200, body: {{ inline_string: {body} }} }}
                response_headers_to_add: [{{ header: {{ key: x-powered-by, value: origin }} }}]
          http_filters:{filter}
          - name: envoy.filters.http.router
            typed_config: {{ '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_envoy_prints() {
        let told = "/opt/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(number_in(told), Some("1.40.0"));
        assert_eq!(number_in("/opt/envoy: no such option"), None);
    }
}
