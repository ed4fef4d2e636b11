//! Services that misbehave as their clients tell them, and these clients: so many, each connects, says how, and does not read.
//!
//! Invariant: clients come as long as [`Clients`] lives, and are gone when it was dropped.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::engine::{Guests, Place};

/// What `service-faults` is told.
const FAULTS: [&str; 9] = ["spin", "trap", "recurse", "grow", "log", "flood", "deaf", "polls", "hoard"];
/// Connections that one client of `service-gateway` has it open; 8 are let.
const DIALS: usize = 64;
/// Clients at a time.
const CLIENTS: usize = 4;
/// How long a client stays.
const STAYS: Duration = Duration::from_millis(250);

/// A service, and what its clients say.
pub(super) struct Service {
    pub(super) title: String,
    pub(super) guests: Guests,
    said: String,
}

/// All of them.
pub(super) fn all(place: &Place) -> Result<Vec<Service>> {
    let service = |title: &str, guest: &str, keys: &str, said: String| {
        let file = std::path::absolute(place.plugins.join(format!("{guest}.wasm")))?;
        let tables = format!(
            "\n[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"s\"\n\n[[plugin]]\nname = \"s\"\nfile = {file:?}\n{keys}\n"
        );
        let guests = Guests { tables, more: 1, ..Guests::default() };
        anyhow::Ok(Service { title: format!("service: {title}"), guests, said })
    };
    let told = FAULTS.iter().map(|how| service(how, "service-faults", "store = \"1MiB\"", format!("{how}\n")));
    let mut all = told.collect::<Result<Vec<_>>>()?;
    let dial = format!("dial {} {} plain\n", place.origin.ip(), place.origin.port());
    let keys = format!("dial = [\"{}\"]", place.origin);
    all.push(service("opens connections until it is refused", "service-gateway", &keys, dial.repeat(DIALS))?);
    Ok(all)
}

/// Clients that come again and again.
pub(super) struct Clients {
    go_home: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Those of a service.
    ///
    /// # Errors
    /// That its node says of no service where it is.
    pub(super) fn of(service: &Service, address: Option<SocketAddr>) -> Result<Self> {
        let address = address.context("the node tells no address of its service")?;
        let go_home = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (said, go_home) = (service.said.clone(), go_home.clone());
            std::thread::spawn(move || {
                while !go_home.load(Relaxed) {
                    // It may be refused, or ended while it speaks: that is what is tried here.
                    let _met = TcpStream::connect(address).and_then(|mut stream| {
                        stream.write_all(said.as_bytes())?;
                        Ok(stream)
                    });
                    std::thread::park_timeout(STAYS);
                }
            })
        };
        Ok(Self { threads: (0..CLIENTS).map(client).collect(), go_home })
    }
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
