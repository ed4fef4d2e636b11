//! Replacing this process by a new one of the same program, which may be a newer one by now, without losing a connection.
//!
//! The new process is started with this one's arguments and handed the listening sockets ([`crate::handover`]). When it says
//! that it serves, this one stops accepting and drains; when it ends or says nothing in time, this one goes on as before. What
//! is in memory is not handed over, but for round-trip times by way of a file in `node.data`; the cache's directories are, as the last thing before the new process is ready. From then on the
//! two are a pair ([`twin`]). Invariant: until it is ready, nothing else of this one has changed.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::watch;

use crate::handover::{Handed, MISSING, VARIABLE, hand_over, is_ready};
use crate::node::Node;
use twin::Twin;

pub(crate) mod twin;

/// How long a new process may take to become ready.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a running process needs to be replaced.
#[derive(Debug)]
pub struct Upgrade {
    /// Where the program lies, however often the file there is replaced.
    program: Result<PathBuf, String>,
    /// Duplicates of the listening sockets, until this process stops.
    sockets: Mutex<Arc<Vec<Handed>>>,
    under_way: tokio::sync::Mutex<()>,
    done: watch::Sender<bool>,
    /// The other processes of an upgrade that is not over: two when another began meanwhile.
    twins: Mutex<Vec<Arc<Twin>>>,
}

impl Default for Upgrade {
    fn default() -> Self {
        let program = std::env::current_exe().map_err(|error| error.to_string());
        Self {
            program,
            sockets: Mutex::default(),
            under_way: tokio::sync::Mutex::default(),
            done: watch::Sender::new(false),
            twins: Mutex::default(),
        }
    }
}

impl Upgrade {
    /// Keeps what would be handed over.
    pub(crate) fn keep(&self, sockets: Vec<Handed>) {
        *self.sockets.lock() = Arc::new(sockets);
    }

    /// Lets go of it: this process no longer listens, and nobody shall wait in a backlog it does not look at.
    pub(crate) fn forget(&self) {
        *self.sockets.lock() = Arc::default();
    }

    /// Whether a new process has taken over.
    pub(crate) fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Waits until a new process has taken over.
    pub async fn done(&self) {
        let mut done = self.done.subscribe();
        // The sender lives as long as this.
        let _ = done.wait_for(|done| *done).await;
    }

    /// Starts the new process and hands over to it. Returns its id.
    ///
    /// # Errors
    /// One sentence that says why this process goes on.
    pub async fn start(&self, node: &Arc<Node>) -> Result<u32, String> {
        let Ok(_alone) = self.under_way.try_lock() else {
            return Err("an upgrade is under way".into());
        };
        if self.is_done() {
            return Err("this process has handed over already".into());
        }
        let (near, mut child) = self.spawn(&node.plugins.absent.names())?;
        let (pid, sockets) = (child.id(), self.sockets.lock().clone());
        tracing::info!(pid, sockets = sockets.len(), "upgrade: handing over");
        let (goes_on, node, replaced) = (node, node.clone(), node.clone());
        let release = move |time| {
            // First: what is purged from here on is told to the new process, what was before is in the journals it reads.
            let far = twin::pair(&node);
            node.rtt.hand_over();
            node.directing.iter().for_each(|directing| directing.drains().hand_over());
            node.store.disks().into_iter().for_each(|disks| disks.release(Instant::now() + time));
            far
        };
        let waiting = move || {
            if !(hand_over(&near, &sockets).is_ok() && is_ready(&near, PATIENCE, release)) {
                return Err(end(&mut child));
            }
            // The new one waits for it when the first of its connections asks.
            replaced.plugins.services.release();
            replaced.plugins.filters.release();
            Ok(())
        };
        let waited = tokio::task::spawn_blocking(waiting).await.map_err(|error| error.to_string())?;
        if let Err(why) = waited {
            goes_on.rtt.take_back();
            goes_on.directing.iter().for_each(|directing| directing.drains().take_back());
            return Err(format!("the new process {pid} {why}; this one goes on"));
        }
        // With `Type=notify`, systemd would take the end of this process for that of the service.
        notify(&format!("MAINPID={pid}"));
        self.done.send_replace(true);
        Ok(pid)
    }

    fn spawn(&self, missing: &HashSet<String>) -> Result<(OwnedFd, Child), String> {
        let program =
            self.program.as_ref().map_err(|error| format!("where this program lies is not known: {error}"))?;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| format!("no socket for the new process: {error}"))?;
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, "stdin").stdin(Stdio::from(far));
        // It may do without those too, and without no other: what works here stays until it works there.
        command.env(MISSING, serde_json::to_string(missing).unwrap_or_default());
        for given_to_this_one in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
            command.env_remove(given_to_this_one);
        }
        let child = command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        Ok((near, child))
    }
}

/// Ends a process that did not become ready, and says how it went.
fn end(child: &mut Child) -> String {
    // It closed its socket by ending, or is alive and late.
    let late = matches!(child.try_wait(), Ok(None)) && child.kill().is_ok();
    match child.wait() {
        Ok(status) if !late || status.code().is_some() => format!("ended with {status}, its stderr says why"),
        _ => format!("was not ready after {}s", PATIENCE.as_secs()),
    }
}

/// Tells systemd, if it started this (sd_notify(3)).
pub(crate) fn notify(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => std::os::unix::net::SocketAddr::from_abstract_name(name),
        None => std::os::unix::net::SocketAddr::from_pathname(&path),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, "systemd could not be told of {state}");
    }
}
