//! Figures that are taken once, each from a fresh instance: memory per object, per idle connection and per object in the index of a
//! disk, and time to start.
//!
//! Memory is the growth of resident memory, never what an engine says of itself. Memory of the kernel (sockets) is not in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use littoral_cache::disk::index::{DiskIndex, Item};

use super::{Bench, HITS_MIB, asked, skip, warm};
use crate::case::Case;
use crate::engine::{Engine, Running, Setup};
use crate::fetch::{self, HOST};
use crate::machine::{SERVER_CORE, directory_bytes, resident_bytes};
use crate::origin::Object;
use crate::report::{Idle, Index, Memory};
use crate::workload::Draws;

/// Size of the objects by which memory per object is measured, in bytes.
const OBJECT_BYTES: usize = 64 << 10;
/// Connections that are opened and closed again before idle ones are counted.
const IDLE_WARM_UP: u32 = 100;

impl Bench<'_> {
    /// Takes all figures that are wanted.
    pub(super) fn once(&mut self) {
        if self.options.wants(Case::Memory) {
            for engine in self.engines(&[Case::Memory]) {
                match self.memory(engine) {
                    Ok(memory) => self.results.memory.push(memory),
                    Err(reason) => skip(&mut self.results, &format!("memory of {}: {reason:#}", engine.name())),
                }
            }
        }
        if self.options.wants(Case::Idle) {
            for engine in self.engines(&[Case::Idle]) {
                match self.idle(engine) {
                    Ok(idle) => self.results.idle.push(idle),
                    Err(reason) => skip(&mut self.results, &format!("idle of {}: {reason:#}", engine.name())),
                }
            }
        }
        if self.options.wants(Case::Index) {
            match index_elsewhere(self.options.index_objects()) {
                Ok(index) => self.results.index = Some(index),
                Err(reason) => skip(&mut self.results, &format!("index: {reason:#}")),
            }
        }
        if self.options.wants(Case::Start)
            && let Err(reason) = self.time_starts()
        {
            skip(&mut self.results, &format!("time to start: {reason:#}"));
        }
    }

    /// Memory per cached object.
    fn memory(&self, engine: Engine) -> Result<Memory> {
        let object = |number| Object { bytes: OBJECT_BYTES, number };
        let count = self.options.memory_objects;
        let running = engine.start(&self.place, &Setup::memory("memory", HITS_MIB))?;
        // One object first, so that what is allocated once on the way of a miss does not count.
        warm(running.address, self.place.origin, &[object(0)])?;
        let before = held(&running)?;
        let objects: Vec<Object> = (1..=count).map(object).collect();
        warm(running.address, self.place.origin, &objects)?;
        let held_bytes = held(&running)?.saturating_sub(before);
        Ok(Memory { engine, objects: count, object_bytes: OBJECT_BYTES as u64, held_bytes })
    }

    /// Memory of connections that were used once and are kept.
    fn idle(&self, engine: Engine) -> Result<Idle> {
        let object = Object { bytes: 1 << 10, number: 0 };
        let running = engine.start(&self.place, &Setup::memory("idle", 64))?;
        warm(running.address, self.place.origin, &[object])?;
        let open = |count: u32| (0..count).map(|_| used_once(running.address, object)).collect::<Result<Vec<_>>>();
        drop(open(IDLE_WARM_UP)?);
        let before = resident_bytes(running.server.pid())?;
        let connections = open(self.options.idle).context("not all connections could be opened")?;
        let after = resident_bytes(running.server.pid())?;
        // Each is still there: a request on the first and the last is answered.
        for connection in [connections.first(), connections.last()].into_iter().flatten() {
            ask(connection, object)?;
        }
        let held_bytes = after.saturating_sub(before);
        Ok(Idle { engine, connections: connections.len() as u64, held_bytes, total_bytes: after })
    }

    /// From spawning littoral to its first proxied 200, with plugins compiled by a start before.
    fn time_starts(&mut self) -> Result<()> {
        if !self.results.versions.contains_key(&Engine::Littoral) {
            return Ok(());
        }
        let object = Object { bytes: 1 << 10, number: 1 };
        let setup = Setup::memory("start", HITS_MIB);
        drop(Engine::Littoral.start(&self.place, &setup)?);
        for _ in 0..self.options.starts {
            let spawned = Instant::now();
            let running = Engine::Littoral.start(&self.place, &setup)?;
            fetch::check(running.address, object)?;
            self.results.start_ms.push(spawned.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(asked(self.place.origin)? > 0, "the origin was never asked");
        Ok(())
    }
}

/// Resident memory plus, for an engine that stores in files on tmpfs, those files: tmpfs is memory too.
fn held(running: &Running) -> Result<u64> {
    let store = running.store.as_deref().map(directory_bytes).transpose()?;
    Ok(resident_bytes(running.server.pid())? + store.unwrap_or(0))
}

fn used_once(peer: SocketAddr, object: Object) -> Result<TcpStream> {
    let stream = TcpStream::connect(peer)?;
    ask(&stream, object)?;
    Ok(stream)
}

/// Asks once on a connection and reads the whole answer. No buffer is kept with it: ten thousand of them are held here too.
fn ask(mut stream: &TcpStream, object: Object) -> Result<()> {
    write!(stream, "GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", object.path())?;
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server closed a connection");
        seen.extend_from_slice(&buffer[..read]);
        let head = seen.windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|end| seen.len() >= end + 4 + object.bytes) {
            ensure!(seen.starts_with(b"HTTP/1.1 200 "), "an answer was no 200");
            return Ok(());
        }
    }
}

/// The index in a process of its own, so that nothing else is in its memory.
fn index_elsewhere(objects: u64) -> Result<Index> {
    let output = Command::new("taskset")
        .args(["-c", &SERVER_CORE.to_string()])
        .arg(std::env::current_exe()?)
        .args(["index", "--objects", &objects.to_string()])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Puts so many small objects into the index of a disk and prints how much memory the process grew by, as JSON.
///
/// # Errors
/// When the kernel does not tell the memory.
pub fn index(objects: u64) -> Result<()> {
    let pid = std::process::id();
    let before = resident_bytes(pid)?;
    let index = DiskIndex::default();
    let mut draws = Draws::new(4);
    for _ in 0..objects {
        let id = u128::from(draws.bits()) << 64 | u128::from(draws.bits());
        index.insert(Item::new(id, 1024));
    }
    ensure!(index.len() as u64 == objects, "the index holds {} of {objects}", index.len());
    let held_bytes = resident_bytes(pid)?.saturating_sub(before);
    println!("{}", serde_json::to_string(&Index { objects, held_bytes })?);
    Ok(())
}
