//! Bound sockets that come from, or go to, another process: the older one of an upgrade, or systemd (`sd_listen_fds`).
//!
//! An upgrade passes them over the new process's standard input, which is a socket: one message per listening socket with
//! its name and its descriptor (unix(7), SCM_RIGHTS), an empty name after the last; the new process asks for the cache's directories
//! when it has everything else, and is given with them a socket for what the two have to tell each other; it answers [`READY`] when it
//! serves. It is the very sockets that are passed, so that no connection in a backlog is lost. Starting the new process, and what the
//! two say then, is [`crate::upgrade`]'s. Invariant: what nobody takes is closed and told.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::plugins::Tolerated;
use listenfd::ListenFd;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, send, sendmsg,
};

/// In the environment of a process whose standard input hands sockets over.
pub const VARIABLE: &str = "LITTORAL_HANDOVER";
/// In its environment: the names of the plugins that the older one runs without, a list in JSON.
pub const MISSING: &str = "LITTORAL_PLUGINS_MISSING";
/// What the new process says when it serves.
pub const READY: &[u8] = b"ready";
/// What the new process asks for last: the directories of the cache, which only one process uses.
const DISKS: &[u8] = b"disks";
/// What it is told when it may have them.
const GIVEN: &[u8] = b"given";
/// Bytes of a socket's name.
const NAME_BYTES_MAX: usize = 1024;
/// Sockets handed over at most.
const SOCKETS_MAX: usize = 64 << 10;
/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A listener of the data port.
    Data,
    /// The admin API.
    Admin,
    /// DNS over UDP.
    DnsUdp,
    /// DNS over TCP.
    DnsTcp,
    /// Datagrams of services.
    Datagram,
    /// DNS over TLS.
    DnsTls,
    /// DNS over HTTPS.
    DnsHttps,
}

/// A socket to hand over.
#[derive(Debug)]
pub struct Handed {
    /// What it is for.
    pub kind: Kind,
    /// Its address as the config writes it.
    pub written: String,
    /// Its address.
    pub bound: String,
    /// It.
    pub socket: OwnedFd,
}

/// The sockets of one listener, from another process.
#[derive(Debug)]
struct Group {
    /// `None`: from systemd, which does not say.
    kind: Option<Kind>,
    /// Empty from systemd.
    written: String,
    bound: String,
    sockets: Vec<OwnedFd>,
}

/// What this process was handed.
#[derive(Debug, Default)]
pub struct Inherited {
    groups: Vec<Group>,
    /// To the process that handed them over.
    channel: Option<OwnedFd>,
    /// To the same one, for as long as both are there.
    twin: Option<OwnedFd>,
}

impl Kind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Data, "data"),
        (Self::Admin, "admin"),
        (Self::DnsUdp, "dns-udp"),
        (Self::DnsTcp, "dns-tcp"),
        (Self::Datagram, "datagram"),
        (Self::DnsTls, "dns-tls"),
        (Self::DnsHttps, "dns-https"),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
    }
}

impl Handed {
    /// A duplicate of `socket` to hand over.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn of(kind: Kind, written: String, bound: String, socket: &impl AsFd) -> std::io::Result<Self> {
        Ok(Self { kind, written, bound, socket: socket.as_fd().try_clone_to_owned()? })
    }
}

impl Inherited {
    /// Which plugins this process may start without: whichever, but for one that replaces another, which has them.
    pub fn tolerated(&self) -> Tolerated {
        match self.channel {
            None => Tolerated::All,
            Some(_) => {
                let told = std::env::var(MISSING).ok().and_then(|told| serde_json::from_str(&told).ok());
                Tolerated::Those(told.unwrap_or_default())
            }
        }
    }

    /// What the environment says was handed over; nothing in most processes.
    ///
    /// # Errors
    /// One line when what was promised does not come.
    pub fn receive() -> Result<Self, String> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(Self::from_systemd(ListenFd::from_env()));
        }
        let lost = |error: std::io::Error| format!("the sockets of the older process did not come: {error}");
        let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(lost)?;
        let mut inherited = Self::default();
        for _ in 0..SOCKETS_MAX {
            match next(&channel).map_err(lost)? {
                Some((name, socket)) => inherited.add(&name, socket)?,
                None => break,
            }
        }
        inherited.channel = Some(channel);
        Ok(inherited)
    }

    fn from_systemd(mut given: ListenFd) -> Self {
        let mut groups = Vec::new();
        let mut add = |bound: Option<String>, socket: OwnedFd| {
            let bound = bound.unwrap_or_default();
            groups.push(Group { kind: None, written: String::new(), bound, sockets: vec![socket] });
        };
        for at in 0..given.len() {
            if let Ok(Some(socket)) = given.take_tcp_listener(at) {
                add(socket.local_addr().ok().map(|address| address.to_string()), socket.into());
            } else if let Ok(Some(socket)) = given.take_udp_socket(at) {
                add(socket.local_addr().ok().map(|address| address.to_string()), socket.into());
            } else if let Ok(Some(socket)) = given.take_unix_listener(at) {
                let path = socket.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
                add(path.map(|path| format!("unix:{}", path.display())), socket.into());
            }
        }
        Self { groups, channel: None, twin: None }
    }

    fn add(&mut self, name: &str, socket: OwnedFd) -> Result<(), String> {
        let mut parts = name.splitn(3, '\t');
        let (kind, written, bound) = (parts.next().and_then(Kind::of), parts.next(), parts.next());
        let (Some(kind), Some(written), Some(bound)) = (kind, written, bound) else {
            return Err(format!("the older process handed over something unknown: {name:?}"));
        };
        match self.groups.last_mut().filter(|group| group.kind == Some(kind) && group.bound == bound) {
            Some(group) => group.sockets.push(socket),
            None => self.groups.push(Group {
                kind: Some(kind),
                written: written.to_owned(),
                bound: bound.to_owned(),
                sockets: vec![socket],
            }),
        }
        Ok(())
    }

    /// The sockets of a listener that the config writes as `written`; empty when they have to be bound.
    pub fn take(&mut self, kind: Kind, written: &str) -> Vec<OwnedFd> {
        let udp = matches!(kind, Kind::DnsUdp | Kind::Datagram);
        let fits = |group: &Group| match group.kind {
            Some(of) => of == kind && (group.written == written || group.bound == written),
            // A port of systemd may be open for UDP and TCP.
            None => group.bound == written && group.sockets.iter().all(|socket| is_datagram(socket) == udp),
        };
        match self.groups.iter().position(fits) {
            Some(at) => self.groups.remove(at).sockets,
            None => Vec::new(),
        }
    }

    /// The addresses of what nobody took, which is closed with this.
    pub fn untaken(&self) -> Vec<&str> {
        self.groups.iter().map(|group| group.bound.as_str()).collect()
    }

    /// Asks whoever handed over for the directories of the cache, and waits until it lets go of them. To be asked by a process
    /// without directories, too: from then on it is told what is purged.
    pub fn ask_for_disks(&mut self) {
        let Some(channel) = &self.channel else { return };
        let timeout = rustix::net::sockopt::Timeout::Recv;
        let asked = send(channel, DISKS, SendFlags::NOSIGNAL).is_ok()
            && rustix::net::sockopt::set_socket_timeout(channel, timeout, Some(2 * PATIENCE)).is_ok();
        // Should it not answer, the directories say so: they are still locked.
        if asked {
            self.twin = receive(channel, &mut [0; GIVEN.len()]).ok().and_then(|(_, _, socket)| socket);
        }
    }

    /// The socket for what the two processes have to tell each other.
    pub fn take_twin(&mut self) -> Option<OwnedFd> {
        self.twin.take()
    }

    /// Tells whoever handed over that this process serves now.
    pub fn ready(self) {
        if let Some(channel) = self.channel {
            // Should it be gone, it has nothing left to do.
            let _ = send(&channel, READY, SendFlags::NOSIGNAL);
        }
    }
}

fn is_datagram(socket: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_type(socket) == Ok(rustix::net::SocketType::DGRAM)
}

/// Hands sockets over to the process at the other end.
///
/// # Errors
/// When it is gone, or takes too long.
pub fn hand_over(channel: &OwnedFd, sockets: &[Handed]) -> std::io::Result<()> {
    rustix::net::sockopt::set_socket_timeout(channel, rustix::net::sockopt::Timeout::Send, Some(PATIENCE))?;
    for handed in sockets {
        let name = format!("{}\t{}\t{}", handed.kind.name(), handed.written, handed.bound);
        pass(channel, name.as_bytes(), &handed.socket)?;
    }
    send(channel, b"\n", SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One message with one descriptor.
fn pass(channel: &OwnedFd, message: &[u8], socket: &OwnedFd) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    rights.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(channel, &[IoSlice::new(message)], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits until the new process says that it is ready; `false` when it ends or `patience` does. Before that it may ask for the
/// directories of the cache: `release` lets go of them, and returns what the new process is told over from then on.
pub fn is_ready(channel: &OwnedFd, patience: Duration, mut release: impl FnMut(Duration) -> Option<OwnedFd>) -> bool {
    let timeout = rustix::net::sockopt::Timeout::Recv;
    if rustix::net::sockopt::set_socket_timeout(channel, timeout, Some(patience)).is_err() {
        return false;
    }
    loop {
        let mut said = [0; READY.len()];
        match rustix::net::recv(channel, &mut said[..], RecvFlags::empty()) {
            Ok((_, bytes)) if bytes == DISKS.len() && said == *DISKS => {
                // Should it be gone, that is found out next.
                let _ = match release(PATIENCE) {
                    Some(twin) => pass(channel, GIVEN, &twin),
                    None => send(channel, GIVEN, SendFlags::NOSIGNAL).map(drop).map_err(Into::into),
                };
            }
            Ok((_, bytes)) => return bytes == READY.len() && said == *READY,
            Err(_) => return false,
        }
    }
}

/// The next socket and its name; `None` after the last.
fn next(channel: &OwnedFd) -> std::io::Result<Option<(String, OwnedFd)>> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut name = [0; NAME_BYTES_MAX];
    let (bytes, is_cut, socket) = receive(channel, &mut name)?;
    if is_cut {
        return Err(wrong("a socket's name is too long"));
    }
    let name = std::str::from_utf8(&name[..bytes]).map_err(|_| wrong("a socket's name is no text"))?;
    if name == "\n" {
        return Ok(None);
    }
    let socket = socket.ok_or_else(|| wrong("it ended before the last socket"))?;
    Ok(Some((name.to_owned(), socket)))
}

/// One message: its bytes, whether it had more, and the descriptor that came with it.
fn receive(channel: &OwnedFd, into: &mut [u8]) -> std::io::Result<(usize, bool, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(channel, &mut [IoSliceMut::new(into)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let socket = sockets.flatten().next();
    Ok((got.bytes, got.flags.contains(ReturnFlags::TRUNC), socket))
}

/// A TCP listener of a handed socket, ready for a runtime.
///
/// # Errors
/// When it cannot be set.
pub fn tcp(socket: OwnedFd) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A UDP socket of a handed one.
///
/// # Errors
/// When it cannot be set.
pub fn udp(socket: OwnedFd) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A unix listener of a handed socket.
///
/// # Errors
/// When it cannot be set.
pub fn unix(socket: OwnedFd) -> std::io::Result<UnixListener> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn inherited_over(channel: OwnedFd) -> Inherited {
        let mut inherited = Inherited::default();
        while let Some((name, socket)) = next(&channel).unwrap() {
            inherited.add(&name, socket).unwrap();
        }
        inherited.channel = Some(channel);
        inherited
    }

    #[test]
    fn the_very_sockets_arrive_under_the_names_they_have_in_the_config() {
        let (near, far) = pair();
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let bound = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let handed = |at: usize| {
            let written = "127.0.0.1:0".to_owned();
            Handed::of(Kind::Data, written, bound[at].to_string(), &listeners[at]).unwrap()
        };
        hand_over(&near, &[handed(0), handed(0), handed(1), handed(2)]).unwrap();
        drop(listeners);
        let mut inherited = inherited_over(far);
        assert!(inherited.take(Kind::Admin, "127.0.0.1:0").is_empty());
        let first = inherited.take(Kind::Data, "127.0.0.1:0");
        assert_eq!(first.len(), 2, "two sockets of one listener stay together");
        let third = inherited.take(Kind::Data, &bound[2].to_string());
        assert_eq!(tcp(third.into_iter().next().unwrap()).unwrap().1, bound[2]);
        assert_eq!(inherited.untaken(), [bound[1].to_string()]);
        let waiting = std::net::TcpStream::connect(bound[0]).unwrap();
        assert!(tcp(first.into_iter().next().unwrap()).unwrap().0.accept().is_ok(), "{waiting:?} was in its backlog");
        assert!(!is_ready(&near, Duration::from_millis(1), |_| None));
        let mut released = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                inherited.ask_for_disks();
                assert!(inherited.take_twin().is_some_and(|twin| !is_datagram(&twin)));
                inherited.ready();
            });
            let release = |_| {
                released += 1;
                Some(OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
            };
            assert!(is_ready(&near, PATIENCE, release));
        });
        assert_eq!(released, 1);
    }

    #[test]
    fn what_ends_early_or_is_unknown_is_an_error() {
        let (near, far) = pair();
        drop(near);
        assert_eq!(next(&far).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
        let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        for name in ["", "data", "data\tx", "other\tx\ty"] {
            assert!(Inherited::default().add(name, socket()).is_err(), "{name:?}");
        }
    }
}
