//! DNS over UDP: a thread for each socket, which answers one query after the other without a switch to another task. Those
//! that [`super::hot`] knows are answered in two system calls and nothing else. Several are not received or sent at once: that is
//! known to save 3 % of an echo, and would take a buffer for each.
//!
//! Invariant: a response comes from the address that was asked (RFC 2181 §4.1), else the client would pass it over.

use std::io::{ErrorKind, IoSlice, IoSliceMut, PipeReader, PipeWriter};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};

use super::crowd::Crowd;
use super::hot::Hot;
use super::late::{Late, Waiting};
use super::update::Pending;
use super::{Handler, Made, since_1970};
use crate::limits::{UDP_BYTES_MAX, UDP_QUERY_BYTES_MAX};

/// How long receiving rests when it fails, in milliseconds.
const RECEIVE_REST_MS: u16 = 100;
/// How long a response waits for room in its socket, in milliseconds.
const SEND_REST_MS: u16 = 1000;

/// Dropped, it ends all threads that have its counterpart.
pub(super) struct Stop {
    told: Arc<AtomicBool>,
    _writer: PipeWriter,
}

/// Whether to go on: a flag for a thread that is busy, the end of a pipe for one that waits.
#[derive(Clone)]
pub(super) struct Stopping {
    told: Arc<AtomicBool>,
    reader: Arc<PipeReader>,
}

pub(super) fn stop() -> std::io::Result<(Stop, Stopping)> {
    let (reader, writer) = std::io::pipe()?;
    let told = Arc::new(AtomicBool::new(false));
    Ok((Stop { told: told.clone(), _writer: writer }, Stopping { told, reader: reader.into() }))
}

impl Stopping {
    /// A while, or until all are to stop.
    fn rest(&self) {
        let mut polled = [PollFd::new(self.reader.as_fd(), PollFlags::empty())];
        let _ = poll(&mut polled, RECEIVE_REST_MS);
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.told.store(true, Relaxed);
    }
}

/// Asks the kernel to tell how many it has dropped, and the address that each datagram came to, where there are several.
pub(super) fn tell_more(socket: &UdpSocket) -> std::io::Result<()> {
    setsockopt(socket, sockopt::RxqOvfl, &1)?;
    match socket.local_addr()? {
        address if !address.ip().is_unspecified() => {}
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Answers on a thread of its own until it is to stop.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn start(socket: UdpSocket, handler: Handler, late: Late, stopping: Stopping) -> std::io::Result<()> {
    let everywhere = socket.local_addr()?.ip().is_unspecified();
    let desk = Desk {
        socket: Arc::new(socket),
        everywhere,
        late,
        crowd: Crowd::new(),
        lost: 0,
        query: Box::new([0; UDP_QUERY_BYTES_MAX]),
        response: Box::new([0; UDP_BYTES_MAX as usize]),
        control: cmsg_space!(in6_pktinfo, u32),
    };
    std::thread::Builder::new().name("dns-udp".into()).spawn(move || desk.serve(&handler, &stopping))?;
    Ok(())
}

/// Where a thread reads and writes.
struct Desk {
    socket: Arc<UdpSocket>,
    /// Whether it was bound to all addresses.
    everywhere: bool,
    /// Where changes of zones wait.
    late: Late,
    crowd: Crowd,
    /// Queries that the kernel has dropped and that were not counted yet.
    lost: u64,
    query: Box<[u8; UDP_QUERY_BYTES_MAX]>,
    response: Box<[u8; UDP_BYTES_MAX as usize]>,
    control: Vec<u8>,
}

impl Desk {
    /// A query whose answer panics or cannot be sent is lost, and the next one comes.
    fn serve(mut self, handler: &Handler, stopping: &Stopping) {
        while !stopping.told.load(Relaxed) {
            match self.receive() {
                Ok((length, client, to)) => {
                    let now = since_1970();
                    self.crowd.came(client.ip(), now, &self.socket);
                    if self.lost > 0 {
                        handler.director.counters().dropped.fetch_add(std::mem::take(&mut self.lost), Relaxed);
                    }
                    let answer = || self.answer(handler, length, client, to.as_ref(), now);
                    let answered = catch_unwind(AssertUnwindSafe(answer));
                    let Ok(Some(response)) = answered else { continue };
                    let mut sent = self.send(&response, client, to.as_ref());
                    if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                        self.wait(PollFlags::POLLOUT, stopping);
                        sent = self.send(&response, client, to.as_ref());
                    }
                    if let Err(error) = sent {
                        tracing::debug!(%client, %error, "a DNS response could not be sent");
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.crowd.emptied();
                    self.wait(PollFlags::POLLIN, stopping);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot receive DNS queries");
                    stopping.rest();
                }
            }
        }
    }

    fn answer(
        &mut self,
        handler: &Handler,
        length: usize,
        client: SocketAddr,
        to: Option<&ControlMessageOwned>,
        now: Duration,
    ) -> Option<Written> {
        match handler.datagram(&self.query[..length], client, now, &mut self.response) {
            Given::Response(response) => response,
            Given::Pending(change) => {
                let waiting = Waiting { change, client, to: to.cloned(), socket: self.socket.clone() };
                let refused = self.late.wait(waiting).err();
                refused.and_then(|refused| handler.postponed(&refused.change)).map(Written::There)
            }
        }
    }

    /// Until the socket can do what is wanted, or all are to stop.
    fn wait(&self, wanted: PollFlags, stopping: &Stopping) {
        let stop = PollFd::new(stopping.reader.as_fd(), PollFlags::empty());
        let mut polled = [PollFd::new(self.socket.as_fd(), wanted), stop];
        // Interrupted, it is as if it could: trying tells.
        let _ = poll(&mut polled, PollTimeout::NONE);
    }

    /// The length of the next query, who sent it, and to which of our addresses, where there are several. The kernel tells what it has
    /// dropped once there is any.
    fn receive(&mut self) -> std::io::Result<(usize, SocketAddr, Option<ControlMessageOwned>)> {
        if !self.everywhere && !self.crowd.is_to_look() {
            let (length, client) = self.socket.recv_from(&mut self.query[..])?;
            return Ok((length, client, None));
        }
        let mut slices = [IoSliceMut::new(&mut self.query[..])];
        let socket = self.socket.as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(socket, &mut slices, Some(&mut self.control), MsgFlags::empty())?;
        let sender = message.address.as_ref();
        let v4 = sender.and_then(SockaddrStorage::as_sockaddr_in).map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
        let v6 = sender.and_then(SockaddrStorage::as_sockaddr_in6).map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)));
        let client = v4.or(v6).ok_or_else(|| std::io::Error::other("a datagram without a sender"))?;
        let (bytes, mut to, mut dropped) = (message.bytes, None, 0);
        for told in message.cmsgs()? {
            match told {
                ControlMessageOwned::RxqOvfl(count) => dropped = count,
                other => to = Some(other),
            }
        }
        self.lost += u64::from(self.crowd.dropped(dropped));
        Ok((bytes, client, to))
    }

    fn send(&self, response: &Written, client: SocketAddr, to: Option<&ControlMessageOwned>) -> std::io::Result<usize> {
        let response = match response {
            Written::Here(length) => &self.response[..*length],
            Written::There(response) => response,
        };
        send(&self.socket, response, client, to)
    }
}

/// Sends from the address that the query came to. The way is the routing table's choice, which no address of one link has.
fn send(
    socket: &UdpSocket,
    response: &[u8],
    client: SocketAddr,
    to: Option<&ControlMessageOwned>,
) -> std::io::Result<usize> {
    let (v4, v6);
    let from = match to {
        Some(ControlMessageOwned::Ipv4PacketInfo(info)) => {
            v4 = in_pktinfo { ipi_ifindex: 0, ..*info };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        Some(ControlMessageOwned::Ipv6PacketInfo(info)) => {
            let link_local = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
            v6 = in6_pktinfo { ipi6_ifindex: if link_local { info.ipi6_ifindex } else { 0 }, ..*info };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
        _ => return socket.send_to(response, client),
    };
    let client = SockaddrStorage::from(client);
    Ok(sendmsg(socket.as_raw_fd(), &[IoSlice::new(response)], &[from], MsgFlags::empty(), Some(&client))?)
}

/// The same; where the socket has no room it is waited for, [`SEND_REST_MS`] at most.
pub(super) fn send_patiently(
    socket: &UdpSocket,
    response: &[u8],
    client: SocketAddr,
    to: Option<&ControlMessageOwned>,
) -> std::io::Result<usize> {
    match send(socket, response, client, to) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], SEND_REST_MS);
            send(socket, response, client, to)
        }
        sent => sent,
    }
}

/// A response: so many bytes of the desk's, or its own.
pub(super) enum Written {
    Here(usize),
    There(Vec<u8>),
}

/// What a datagram leads to.
pub(super) enum Given {
    /// A response, or silence.
    Response(Option<Written>),
    /// A change of a zone, which takes a while.
    Pending(Box<Pending>),
}

impl Handler {
    /// What a query over UDP leads to, by [`super::hot`] where that knows it: all that a thread does between receiving and sending.
    pub(super) fn datagram(
        &self,
        query: &[u8],
        client: SocketAddr,
        now: Duration,
        response: &mut [u8; UDP_BYTES_MAX as usize],
    ) -> Given {
        match self.hot(query, client, now, response) {
            Some(Hot::Answered(length)) => Given::Response(Some(Written::Here(length))),
            Some(Hot::Silent) => Given::Response(None),
            None => match self.made(query.to_vec(), client, Protocol::Udp, now) {
                Made::Response(response) => Given::Response(response.map(Written::There)),
                Made::Pending(change) => Given::Pending(change),
            },
        }
    }
}
