//! Bound sockets of the data port: one per worker for an address, one shared by all for a path.
//!
//! Everything is bound before anything is started: a port in use is an error at start, not a listener that is missing
//! later. Accepting is [`super::Worker`]'s.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::front::Front;
use crate::config::{Bind, Door};
use crate::handover::{self, Handed, Kind};

/// Connections the kernel holds for us, where the config does not say.
const BACKLOG: u32 = 4096;
/// Permissions of a unix socket, where the config does not say: its owner and group may connect.
const MODE: u32 = 0o660;

/// A bound listener: one socket per worker.
pub struct Bound {
    /// Where, with the port that port 0 became.
    pub at: Bind,
    /// The same as the config writes it.
    written: String,
    /// Who may come in, and how it is spoken to.
    pub front: Arc<Front>,
    sockets: Vec<Listening>,
}

/// A worker's share of a listener.
pub struct Share {
    pub(super) socket: Listening,
    pub(super) front: Arc<Front>,
}

/// A listening socket of either kind.
pub(super) enum Listening {
    Inet(std::net::TcpListener),
    Unix(UnixListener),
    /// That of the node for itself: [`crate::itself`].
    Own(UnixListener),
}

impl Bound {
    /// Binds once per worker.
    ///
    /// # Errors
    /// One line that names the address or the path.
    pub fn new(bind: &Bind, door: &Door, workers: usize, front: Arc<Front>) -> Result<Self, String> {
        let written = bind.to_string();
        let backlog = i32::try_from(door.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX);
        match bind {
            Bind::Inet(address) => Self::inet(*address, backlog, workers, front, written),
            Bind::Unix(path) => {
                Self::unix(path, backlog, door.mode.map_or(MODE, |mode| mode.0), workers, front, written)
            }
        }
    }

    fn inet(
        address: SocketAddr,
        backlog: i32,
        workers: usize,
        front: Arc<Front>,
        written: String,
    ) -> Result<Self, String> {
        let problem = |error| format!("cannot listen on {address}: {error}");
        let first = bind_alone(address, backlog).map_err(problem)?;
        let address = first.local_addr().map_err(problem)?;
        // Our own sockets share the port with each other; if somebody else's already did, the first bind told.
        let rest = (1..workers).map(|_| bind_shared(address, backlog));
        let sockets = std::iter::once(Ok(first)).chain(rest).map(|socket| socket.map(Listening::Inet));
        let sockets = sockets.collect::<Result<Vec<_>, _>>().map_err(problem)?;
        Ok(Self { at: Bind::Inet(address), written, front, sockets })
    }

    fn unix(
        path: &Path,
        backlog: i32,
        mode: u32,
        workers: usize,
        front: Arc<Front>,
        written: String,
    ) -> Result<Self, String> {
        let problem = |error| format!("cannot listen on unix:{}: {error}", path.display());
        remove_stale(path).map_err(problem)?;
        let first = bind_unix(path, backlog, mode).map_err(|error| problem(error.to_string()))?;
        // A path has one socket; the workers take turns on it.
        let rest = (1..workers).map(|_| first.try_clone()).collect::<Result<Vec<_>, _>>();
        let rest = rest.map_err(|error| problem(error.to_string()))?;
        let sockets = std::iter::once(first).chain(rest).map(Listening::Unix).collect();
        Ok(Self { at: Bind::Unix(path.to_owned()), written, front, sockets })
    }

    /// Of sockets that another process has bound, all of which are served: each may have connections in its backlog.
    ///
    /// # Errors
    /// One line that names the address or the path.
    pub fn inherited(bind: &Bind, sockets: Vec<OwnedFd>, workers: usize, front: Arc<Front>) -> Result<Self, String> {
        let problem = |error: std::io::Error| format!("cannot use the inherited socket of {bind}: {error}");
        let listening = sockets.into_iter().map(|socket| match bind {
            Bind::Inet(_) => handover::tcp(socket).map(|(listener, _)| Listening::Inet(listener)),
            Bind::Unix(_) => handover::unix(socket).map(Listening::Unix),
        });
        let mut sockets = listening.collect::<Result<Vec<_>, _>>().map_err(problem)?;
        // Workers beyond share: to bind another would move connections that are about to be made to it.
        for shared in 0..workers.saturating_sub(sockets.len()) {
            sockets.push(sockets[shared].try_clone().map_err(problem)?);
        }
        let at = match (bind, sockets.first()) {
            (Bind::Inet(_), Some(Listening::Inet(first))) => Bind::Inet(first.local_addr().map_err(problem)?),
            _ => bind.clone(),
        };
        Ok(Self { at, written: bind.to_string(), front, sockets })
    }

    /// Duplicates of its sockets, for a process that takes over.
    pub(crate) fn duplicates(&self) -> std::io::Result<Vec<Handed>> {
        let (written, at) = (&self.written, self.at.to_string());
        let one = |socket: &Listening| match socket {
            Listening::Inet(socket) => Handed::of(Kind::Data, written.clone(), at.clone(), socket),
            Listening::Unix(socket) | Listening::Own(socket) => {
                Handed::of(Kind::Data, written.clone(), at.clone(), socket)
            }
        };
        self.sockets.iter().map(one).collect()
    }

    /// Shares for so many workers of the socket by which the node asks itself.
    ///
    /// # Errors
    /// One line.
    pub(crate) fn own(socket: &UnixListener, workers: usize) -> Result<Vec<Share>, String> {
        let front = Front::own();
        let each = (0..workers).map(|_| socket.try_clone().map(Listening::Own));
        let shares = each.map(|socket| Ok(Share { socket: socket?, front: front.clone() }));
        let problem = |error: std::io::Error| format!("cannot duplicate the node's own socket: {error}");
        shares.collect::<std::io::Result<_>>().map_err(problem)
    }

    /// One share for each worker.
    pub fn into_shares(self) -> impl Iterator<Item = Share> {
        let front = self.front;
        self.sockets.into_iter().map(move |socket| Share { socket, front: front.clone() })
    }
}

impl Listening {
    fn try_clone(&self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Inet(socket) => Self::Inet(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
            Self::Own(socket) => Self::Own(socket.try_clone()?),
        })
    }
}

/// Binds without sharing first, so that another process on the port is noticed, then again to be shared.
fn bind_alone(address: SocketAddr, backlog: i32) -> std::io::Result<std::net::TcpListener> {
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    bind_shared(address, backlog)
}

fn bind_shared(address: SocketAddr, backlog: i32) -> std::io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections have it from their listener: the last small piece of a response must not wait for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Makes room for a socket where an ended process left its own; never where somebody answers or something else lies.
fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err("something that is no socket lies there: remove it, or choose another path".into());
    }
    if UnixStream::connect(path).is_ok() {
        return Err("another process listens there: stop it, or choose another path".into());
    }
    std::fs::remove_file(path).map_err(|error| format!("the socket of an ended process cannot be removed: {error}"))
}

fn bind_unix(path: &Path, backlog: i32, mode: u32) -> std::io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it listens, nobody can connect: there is no moment with other permissions.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok(socket.into())
}
