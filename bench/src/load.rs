//! Runs the load generators and reads what they print: wrk for rates and latency, h2load for TLS, HTTP/2 and a second opinion.
//!
//! Both are closed loops: a connection asks again when it was answered. [`open`] is the open one, for latency at a fixed rate.
//! Invariant: a run with any failed, refused or non-2xx answer is an error, never a number.

pub mod open;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fetch::HOST;
use crate::machine::GENERATOR_CORE;

/// A generator that has not ended this long after its time is ended (h2load retries refused requests for ever).
const GRACE_SECONDS: u64 = 15;
/// Requests at a time on a connection of HTTP/2.
const STREAMS: &str = "-m10";
/// One suite for all: engines differ in which they prefer.
const SUITE: &str = "--tls13-ciphers=TLS_AES_128_GCM_SHA256";

/// Which program makes the load, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generator {
    /// wrk: one thread, connections kept open, reports latency percentiles.
    Wrk,
    /// wrk with a new connection for each request.
    WrkClose,
    /// h2load --h1: one thread.
    H2load,
    /// h2load --h1 over TLS 1.3.
    H2loadTls,
    /// h2load with HTTP/2 over TLS 1.3.
    H2loadH2,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One path.
    Path(String),
    /// What a script of wrk says.
    Script(PathBuf),
}

/// What one run of a generator saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Complete 2xx answers.
    pub requests: u64,
    /// Answers per second.
    pub requests_per_second: f64,
    /// Median latency in µs, where the generator tells it.
    pub p50_us: Option<f64>,
    /// 99th percentile of latency in µs, where the generator tells it.
    pub p99_us: Option<f64>,
}

impl Generator {
    /// The name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrk | Self::WrkClose => "wrk",
            Self::H2load | Self::H2loadTls | Self::H2loadH2 => "h2load",
        }
    }

    /// Loads a server for some time, with so many connections, from the generator's core. `peer` is the address over TLS where
    /// the generator speaks it.
    ///
    /// # Errors
    /// When the program cannot be run, or any answer failed or was not 2xx.
    pub fn run(self, peer: SocketAddr, ask: &Ask, connections: u32, time: Duration) -> Result<Load> {
        let output = self.command(peer, ask, connections, time).output().context("cannot run the load generator")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{self:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        self.read(&printed)
    }

    /// The command of [`Self::run`], for who wants to run it beside other things.
    #[must_use]
    pub fn command(self, peer: SocketAddr, ask: &Ask, connections: u32, time: Duration) -> Command {
        let (core, connections, seconds) = (GENERATOR_CORE.to_string(), connections.to_string(), time.as_secs().max(1));
        let mut command = Command::new("timeout");
        command.arg((seconds + GRACE_SECONDS).to_string()).args(["taskset", "-c", &core]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let path = match ask {
            Ask::Path(path) => path,
            Ask::Script(_) => "/",
        };
        if matches!(self, Self::Wrk | Self::WrkClose) {
            command.args(["wrk", "-t1", "--latency", "-c", &connections]).arg(format!("-d{seconds}s"));
            command.args(["-H", &format!("Host: {HOST}")]);
            if self == Self::WrkClose {
                command.args(["-H", "Connection: close"]);
            }
            if let Ask::Script(script) = ask {
                command.arg("-s").arg(script);
            }
            command.arg(format!("http://{peer}{path}"));
            return command;
        }
        // A Host header given to h2load goes out beside its own, and two of them are a bad request.
        command.args(["h2load", "-t1", "-c", &connections, &format!("-D{seconds}"), &format!("--connect-to={peer}")]);
        let scheme = if self == Self::H2load { "http" } else { "https" };
        match self {
            Self::H2loadH2 => command.args([SUITE, STREAMS]),
            _ => command.args([SUITE, "--h1"]),
        };
        command.arg(format!("{scheme}://{HOST}{path}"));
        command
    }

    /// What it printed.
    ///
    /// # Errors
    /// When any answer failed or was not 2xx, or there was none.
    pub fn read(self, printed: &str) -> Result<Load> {
        match self {
            Self::Wrk | Self::WrkClose => read_wrk(printed),
            Self::H2load | Self::H2loadTls | Self::H2loadH2 => read_h2load(printed),
        }
        .with_context(|| format!("{self:?}"))
    }
}

/// h2load at a fixed rate over HTTP/2 and TLS: paths of a list, `per_connection` requests a second on each connection.
#[must_use]
pub fn paced_h2load(peer: SocketAddr, paths: &Path, connections: u32, per_connection: f64, time: Duration) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &GENERATOR_CORE.to_string(), "h2load", "-t1", "-c", &connections.to_string(), STREAMS, SUITE]);
    command.args([format!("-D{}", time.as_secs()), format!("--rps={per_connection:.2}")]);
    command.args([format!("--connect-to={peer}"), format!("--base-uri=https://{HOST}")]);
    command.arg("-i").arg(paths);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read_wrk(printed: &str) -> Result<Load> {
    let mut load = Load::default();
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["50%", time] => load.p50_us = Some(micros(time)?),
            ["99%", time] => load.p99_us = Some(micros(time)?),
            [count, "requests", "in", ..] => load.requests = count.parse()?,
            ["Requests/sec:", rate] => load.requests_per_second = rate.parse()?,
            ["Non-2xx", .., count] => bail!("{count} answers were not 2xx"),
            ["Socket", "errors:", ..] => bail!("{}", line.trim()),
            _ => {}
        }
    }
    complete(load)
}

fn read_h2load(printed: &str) -> Result<Load> {
    let mut load = Load::default();
    for line in printed.lines() {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["finished", "in", _, rate, "req/s", ..] => load.requests_per_second = rate.parse()?,
            ["requests:", _, "total", _, "started", done, "done", good, "succeeded", ..] => {
                if done != good {
                    bail!("{}", line.trim());
                }
                load.requests = good.parse()?;
            }
            // 2xx may exceed the requests done: it counts heads, also of answers cut off by the end of the time.
            ["status", "codes:", _, "2xx", "0", "3xx", "0", "4xx", "0", "5xx"] => {}
            ["status", "codes:", ..] => bail!("{}", line.trim()),
            _ => {}
        }
    }
    complete(load)
}

fn complete(load: Load) -> Result<Load> {
    if load.requests == 0 {
        bail!("no request was answered");
    }
    Ok(load)
}

/// Reads wrk's times: `260.00us`, `1.46ms`, `2.01s`.
fn micros(time: &str) -> Result<f64> {
    let unit = time.find(|letter: char| letter.is_ascii_alphabetic()).context("time without unit")?;
    let value: f64 = time[..unit].parse()?;
    match &time[unit..] {
        "us" => Ok(value),
        "ms" => Ok(value * 1e3),
        "s" => Ok(value * 1e6),
        other => bail!("unknown unit {other} in a time of wrk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "  Latency Distribution\n     50%  260.00us\n     75%  820.00us\n     99%    6.88ms\n  \
                       22803 requests in 1.01s, 27.49MB read\nRequests/sec:  22674.57\n";
    const H2LOAD: &str = "finished in 1.00s, 21378.00 req/s, 25.77MB/s\n\
        requests: 21378 total, 21386 started, 21378 done, 21378 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 21378 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn wrk_output_gives_rate_and_percentiles() {
        let load = read_wrk(WRK).expect("a good run");
        let expected =
            Load { requests: 22803, requests_per_second: 22674.57, p50_us: Some(260.0), p99_us: Some(6880.0) };
        assert_eq!(load, expected);
    }

    #[test]
    fn h2load_output_gives_rate() {
        let load = read_h2load(H2LOAD).expect("a good run");
        assert_eq!((load.requests, load.requests_per_second), (21378, 21378.0));
        assert!(read_h2load(&H2LOAD.replace("21378 2xx", "21380 2xx")).is_ok(), "two answers were cut off by the end");
    }

    #[test]
    fn a_run_with_any_bad_answer_is_refused() {
        assert!(read_wrk(&format!("{WRK}  Non-2xx or 3xx responses: 1\n")).is_err());
        assert!(read_wrk(&format!("{WRK}  Socket errors: connect 0, read 1, write 0, timeout 0\n")).is_err());
        assert!(read_h2load(&H2LOAD.replace("21378 succeeded, 0 failed", "21377 succeeded, 1 failed")).is_err());
        assert!(read_h2load(&H2LOAD.replace("21378 2xx, 0 3xx", "21370 2xx, 8 3xx")).is_err());
        assert!(read_wrk("").is_err() && read_h2load("").is_err());
    }
}
