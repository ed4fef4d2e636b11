//! DNS over UDP. A socket may listen on all addresses of its host: a response leaves from the address that its query came
//! to (RFC 2181 §4.1), else the client would pass it over.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::Handler;
use crate::limits::UDP_QUERY_BYTES_MAX;

/// How long receiving rests when it fails.
const RECEIVE_REST: Duration = Duration::from_millis(100);

/// A datagram: its bytes, who sent it, and to which of our addresses.
struct Datagram {
    bytes: Vec<u8>,
    client: SocketAddr,
    to: Option<ControlMessageOwned>,
}

/// Asks the kernel to tell the address that each datagram came to.
pub(super) fn tell_destinations(socket: &std::net::UdpSocket) -> std::io::Result<()> {
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Answers for ever. A query whose answer panics or cannot be sent is lost, and the next one comes.
pub(super) async fn serve(socket: UdpSocket, handler: Handler) {
    let mut buffer = vec![0; UDP_QUERY_BYTES_MAX];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await;
        let Datagram { bytes, client, to } = match received {
            Ok(datagram) => datagram,
            Err(error) => {
                tracing::warn!(%error, "cannot receive DNS queries");
                tokio::time::sleep(RECEIVE_REST).await;
                continue;
            }
        };
        let answered = catch_unwind(AssertUnwindSafe(|| handler.response(bytes, client, Protocol::Udp)));
        let Ok(Some(response)) = answered else { continue };
        let sent = socket.async_io(Interest::WRITABLE, || send(&socket, &response, client, to.as_ref())).await;
        if let Err(error) = sent {
            tracing::debug!(%client, %error, "a DNS response could not be sent");
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<Datagram> {
    let mut space = cmsg_space!(in6_pktinfo);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty())?;
    let sender = message.address.as_ref();
    let v4 = sender.and_then(SockaddrStorage::as_sockaddr_in).map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    let v6 = sender.and_then(SockaddrStorage::as_sockaddr_in6).map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)));
    let client = v4.or(v6).ok_or_else(|| std::io::Error::other("a datagram without a sender"))?;
    let (length, to) = (message.bytes, message.cmsgs()?.next());
    Ok(Datagram { bytes: buffer[..length].to_vec(), client, to })
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
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(ControlMessageOwned::Ipv6PacketInfo(info)) => {
            let link_local = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
            v6 = in6_pktinfo { ipi6_ifindex: if link_local { info.ipi6_ifindex } else { 0 }, ..*info };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        _ => None,
    };
    let client = SockaddrStorage::from(client);
    let slices = [IoSlice::new(response)];
    Ok(sendmsg(socket.as_raw_fd(), &slices, from.as_slice(), MsgFlags::empty(), Some(&client))?)
}
