//! Clients of services and swarms that misbehave as they are told: so many, each comes, says how, and does not read.
//!
//! Invariant: clients come as long as [`Clients`] lives, and are gone when it was dropped.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clients at a time.
const CLIENTS: usize = 4;
/// How long a client stays.
const STAYS: Duration = Duration::from_millis(250);

/// Where clients come, and what they say there.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    /// What the ready line calls it: `service`, `swarm` or `datagram`.
    pub(super) door: &'static str,
    /// What each says.
    pub(super) said: String,
}

/// Clients that come again and again.
pub(super) struct Clients {
    go_home: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Those of a node that has told where its doors are.
    ///
    /// # Errors
    /// That it has not told of this one.
    pub(super) fn come(saying: &Saying, ready: &BTreeMap<String, SocketAddr>) -> Result<Self> {
        let Saying { door, said } = saying.clone();
        let address = *ready.get(door).with_context(|| format!("the node tells no address of its {door}"))?;
        let go_home = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (said, go_home) = (said.clone(), go_home.clone());
            std::thread::spawn(move || {
                while !go_home.load(Relaxed) {
                    // It may be refused, or ended while it speaks: that is what is tried here.
                    let _met =
                        if door == "datagram" { sent(address, &said).map(drop) } else { met(address, &said).map(drop) };
                }
            })
        };
        Ok(Self { threads: (0..CLIENTS).map(client).collect(), go_home })
    }
}

/// Connects, speaks, and stays for a while.
fn met(address: SocketAddr, said: &str) -> std::io::Result<TcpStream> {
    let met = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(said.as_bytes())?;
        Ok(stream)
    });
    std::thread::park_timeout(STAYS);
    met
}

/// Sends one datagram, as often as a client of the other doors comes.
fn sent(address: SocketAddr, said: &str) -> std::io::Result<usize> {
    let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(said.as_bytes(), address));
    std::thread::park_timeout(STAYS);
    sent
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.go_home.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _gone = thread.join();
        }
    }
}
