//! An open loop: requests come at a given rate, whether or not the earlier ones were answered, as users do.
//!
//! Latency is counted from when a request was due, not from when a connection was free for it, so that a server that stalls
//! does not hide it (coordinated omission). Arrivals are random with a fixed seed. The loop polls without sleeping on the
//! generator's core: timers of the kernel are coarser than what is measured.
//! Invariant: an answer that is not a 200 of the length it tells, or of whole chunks, ends the run with an error.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::fetch::HOST;
use crate::machine::GENERATOR_CORE;
use crate::workload::Draws;

use body::Body;

mod body;

/// Share of the time whose requests do not count.
const WARM_UP: f64 = 0.1;
/// What is still unanswered so long after the end is lost.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What `littoral-bench load` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Server to ask
    #[arg(long)]
    pub peer: SocketAddr,
    /// File of paths, one in a line, asked for in turn
    #[arg(long)]
    pub paths: PathBuf,
    /// Requests a second
    #[arg(long)]
    pub rate: f64,
    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Answers that count.
    pub requests: u64,
    /// Median from due to answered, in µs.
    pub p50_us: f64,
    /// 99th percentile, in µs.
    pub p99_us: f64,
    /// The same of 999 in a thousand.
    pub p999_us: f64,
    /// 99th percentile of how late a request left though a connection was free: the generator's own part of the latency, in µs.
    pub late_p99_us: f64,
    /// The slowest tenth, slowest first, in µs: what percentiles of several runs together are made of.
    pub slowest_us: Vec<f64>,
}

/// Runs whose percentiles can be told together: the slowest hundredth of all is within the slowest tenths of each, whoever has most of it.
pub const TOGETHER_MAX: u32 = 10;

/// The 99th percentile of runs of one length together, in µs; 0 of none. At most [`TOGETHER_MAX`].
#[must_use]
pub fn p99_together(runs: &[Latency]) -> f64 {
    let requests: u64 = runs.iter().map(|run| run.requests).sum();
    let mut slowest: Vec<f64> = runs.iter().flat_map(|run| run.slowest_us.iter().copied()).collect();
    let at = (requests.saturating_sub(1) as f64 * 0.01).round() as usize;
    if at >= slowest.len() {
        return slowest.last().copied().unwrap_or(0.0);
    }
    *slowest.select_nth_unstable_by(at, |one, other| other.total_cmp(one)).1
}

/// Runs the loop and prints what it saw as JSON.
///
/// # Errors
/// When the server cannot be reached, gives a wrong answer or none.
pub fn run(options: &Options) -> Result<()> {
    println!("{}", serde_json::to_string(&Loop::new(options)?.run()?)?);
    Ok(())
}

/// Runs the loop as a process of its own on the generator's core.
///
/// # Errors
/// As [`run`].
pub fn measure(peer: SocketAddr, paths: &Path, rate: f64, seconds: u64) -> Result<Latency> {
    let output = Command::new("taskset")
        .args(["-c", &GENERATOR_CORE.to_string()])
        .arg(std::env::current_exe()?)
        .args(["load", &format!("--peer={peer}"), &format!("--rate={rate}"), &format!("--seconds={seconds}")])
        .arg("--paths")
        .arg(paths)
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

struct Loop {
    poll: Poll,
    connections: Vec<Connection>,
    /// Connections nobody waits on; the last one used is used next.
    free: Vec<usize>,
    requests: Vec<Vec<u8>>,
    next: usize,
    rate: f64,
    time: Duration,
    seen: Vec<f64>,
    late: Vec<f64>,
}

struct Connection {
    stream: TcpStream,
    /// When the request it waits for was due; `None` when it is free.
    due: Option<Duration>,
    head: Vec<u8>,
    /// What is to come of the body; `None` before the head is whole.
    body: Option<Body>,
}

impl Loop {
    fn new(options: &Options) -> Result<Self> {
        ensure!(options.rate >= 1.0, "the rate is {}, less than 1 a second", options.rate);
        let list =
            fs::read_to_string(&options.paths).with_context(|| format!("cannot read {}", options.paths.display()))?;
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes();
        let requests: Vec<Vec<u8>> = list.lines().map(request).collect();
        ensure!(!requests.is_empty(), "{} is empty", options.paths.display());
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..options.connections as usize {
            let stream = std::net::TcpStream::connect(options.peer)
                .with_context(|| format!("cannot connect to {}", options.peer))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            connections.push(Connection { stream, due: None, head: Vec::new(), body: None });
        }
        let free = (0..connections.len()).collect();
        let (rate, time) = (options.rate, Duration::from_secs(options.seconds));
        Ok(Self { poll, connections, free, requests, next: 0, rate, time, seen: Vec::new(), late: Vec::new() })
    }

    fn run(mut self) -> Result<Latency> {
        let mut events = Events::with_capacity(self.connections.len());
        let mut scratch = vec![0; 256 << 10];
        let (mut arrivals, mut draws) = (Duration::ZERO, Draws::new(3));
        let mut waiting = VecDeque::new();
        let begun = Instant::now();
        loop {
            let now = begun.elapsed();
            while arrivals <= now && arrivals < self.time {
                waiting.push_back(arrivals);
                arrivals += Duration::from_secs_f64(-draws.unit().ln() / self.rate);
            }
            while let Some(&due) = waiting.front()
                && let Some(free) = self.free.pop()
            {
                waiting.pop_front();
                self.send(free, due)?;
                // One that had to wait for a connection is the server's matter.
                if waiting.is_empty() {
                    self.late.push((begun.elapsed() - due).as_secs_f64());
                }
            }
            if now >= self.time && waiting.is_empty() && self.free.len() == self.connections.len() {
                return self.latency();
            }
            ensure!(now < self.time + DRAIN, "{} requests were not answered", waiting.len());
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                self.read(event.token().0, begun, &mut scratch)?;
            }
        }
    }

    fn send(&mut self, number: usize, due: Duration) -> Result<()> {
        let connection = &mut self.connections[number];
        let request = &self.requests[self.next];
        self.next = (self.next + 1) % self.requests.len();
        let written = connection.stream.write(request).context("the server closed a connection")?;
        ensure!(written == request.len(), "the socket took {written} bytes of a request only");
        connection.due = Some(due);
        Ok(())
    }

    /// Reads until there is nothing more: readiness is told once.
    fn read(&mut self, number: usize, begun: Instant, scratch: &mut [u8]) -> Result<()> {
        loop {
            let connection = &mut self.connections[number];
            let read = match connection.stream.read(scratch) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if connection.take(&scratch[..read])? {
                let due = connection.due.take().context("an answer that nobody asked for")?;
                if due >= self.time.mul_f64(WARM_UP) {
                    self.seen.push((begun.elapsed() - due).as_secs_f64());
                }
                self.free.push(number);
            }
        }
    }

    fn latency(mut self) -> Result<Latency> {
        ensure!(!self.seen.is_empty(), "no request was answered");
        let late_p99_us = percentile(&mut self.late, 0.99) * 1e6;
        let p50_us = percentile(&mut self.seen, 0.50) * 1e6;
        let p99_us = percentile(&mut self.seen, 0.99) * 1e6;
        let p999_us = percentile(&mut self.seen, 0.999) * 1e6;
        let requests = self.seen.len() as u64;
        self.seen.sort_by(|one, other| other.total_cmp(one));
        let tenth = self.seen.len().div_ceil(TOGETHER_MAX as usize);
        let slowest_us = self.seen[..tenth].iter().map(|seconds| (seconds * 1e7).round() / 10.0).collect();
        Ok(Latency { requests, p50_us, p99_us, p999_us, late_p99_us, slowest_us })
    }
}

impl Connection {
    /// Takes bytes of an answer; whether it is whole.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let is_whole = match &mut self.body {
            Some(body) => body.take(bytes)?,
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                    ensure!(self.head.len() <= HEAD_BYTES_MAX, "the head of an answer does not end");
                    return Ok(false);
                };
                let body = self.body.insert(Body::of(&self.head[..end])?);
                let is_whole = body.take(&self.head[end + 4..])?;
                self.head.clear();
                is_whole
            }
        };
        if is_whole {
            self.body = None;
        }
        Ok(is_whole)
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(percentile(&mut values, 0.5), 50.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn a_percentile_of_runs_together_is_that_of_all_their_values() {
        let run = |values: &mut Vec<f64>| {
            values.sort_by(|one, other| other.total_cmp(one));
            let (requests, slowest_us) = (values.len() as u64, values[..values.len() / 10].to_vec());
            Latency { requests, p50_us: 0.0, p99_us: 0.0, p999_us: 0.0, late_p99_us: 0.0, slowest_us }
        };
        let mut draws = Draws::new(7);
        let mut runs: Vec<Vec<f64>> = (0..3).map(|_| (0..1000).map(|_| draws.unit()).collect()).collect();
        // One of them has all that is slow.
        runs[1].iter_mut().take(40).for_each(|value| *value += 10.0);
        let mut all = runs.concat();
        let runs: Vec<Latency> = runs.iter_mut().map(run).collect();
        assert_eq!(p99_together(&runs), percentile(&mut all, 0.99));
        assert_eq!(p99_together(&[]), 0.0);
    }
}
