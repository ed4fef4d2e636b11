//! The sockets of the DNS side. Of each address there are as many for UDP as threads answer, among which the kernel divides the
//! clients (SO_REUSEPORT), and one for TCP.
//!
//! Invariant: the sockets of an address have one port.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::udp;
use crate::limits::UDP_THREADS_MAX;

/// How often a pair of equal ports is tried for port 0.
const PORT_TRIES: usize = 32;
/// Bytes of queries that wait for a thread; the kernel may allow fewer (net.core.rmem_max).
const UDP_RECEIVE_BYTES: usize = 4 << 20;

/// The sockets of one address.
#[derive(Debug)]
pub struct Bound {
    /// One for each thread.
    pub udp: Vec<UdpSocket>,
    /// On the same port.
    pub tcp: TcpListener,
}

/// Bound sockets.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Binds all `addresses`, with UDP sockets for `threads` each (0: one per core), but those for which `inherited` has sockets
    /// that another process bound. Where those are fewer they are filled up; where they are more all are served, because queries
    /// wait in each.
    ///
    /// # Errors
    /// One line that names the address.
    pub fn bind(
        addresses: &[SocketAddr],
        threads: usize,
        inherited: impl FnMut(SocketAddr) -> Option<Bound>,
    ) -> Result<Self, String> {
        Self::bind_for("listen.dns", addresses, threads, inherited)
    }

    /// The same for a key of the config.
    ///
    /// # Errors
    /// One line that names address and key.
    pub fn bind_for(
        key: &str,
        addresses: &[SocketAddr],
        threads: usize,
        mut inherited: impl FnMut(SocketAddr) -> Option<Bound>,
    ) -> Result<Self, String> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads }.min(UDP_THREADS_MAX);
        let mut listeners = Self { bound: Vec::new(), addresses: Vec::new() };
        for address in addresses {
            let bound = inherited(*address).map_or_else(|| pair(*address), Ok);
            let bound = bound.and_then(|bound| bound.ready(threads));
            let bound = bound.map_err(|error| format!("cannot listen on {address} ({key}): {error}"))?;
            listeners.addresses.push(bound.tcp.local_addr().map_err(|error| error.to_string())?);
            listeners.bound.push(bound);
        }
        Ok(listeners)
    }

    /// The sockets, in the order of the addresses.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    pub(crate) fn into_bound(self) -> Vec<Bound> {
        self.bound
    }

    /// The addresses, with the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Bound {
    /// Sockets as they are served.
    fn ready(mut self, threads: usize) -> std::io::Result<Self> {
        let address = self.tcp.local_addr()?;
        while self.udp.len() < threads {
            match datagrams(address) {
                Ok(socket) => self.udp.push(socket),
                // Sockets of a process that shared none: what there is serves.
                Err(error) if !self.udp.is_empty() => {
                    tracing::warn!(%address, %error, sockets = self.udp.len(), "fewer DNS sockets than threads");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        for socket in &self.udp {
            udp::tell_more(socket)?;
            socket.set_nonblocking(true)?;
        }
        self.tcp.set_nonblocking(true)?;
        Ok(self)
    }
}

fn pair(address: SocketAddr) -> std::io::Result<Bound> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = TcpListener::bind(address)?;
        match datagrams(tcp.local_addr()?) {
            Err(_) if tries > 0 => {}
            udp => return Ok(Bound { udp: vec![udp?], tcp }),
        }
    }
}

fn datagrams(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(UDP_RECEIVE_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_socket_for_each_thread_and_one_that_is_taken_is_refused() {
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 3, |_| None).unwrap();
        let address = listeners.addresses()[0];
        let ports: Vec<_> = listeners.bound()[0].udp.iter().map(|udp| udp.local_addr().unwrap()).collect();
        assert_eq!(ports, [address; 3]);
        let refused = Listeners::bind(&[address], 1, |_| None).unwrap_err();
        assert!(refused.starts_with(&format!("cannot listen on {address} (listen.dns): ")), "{refused}");
    }

    #[test]
    fn inherited_sockets_are_filled_up_and_none_of_them_is_left() {
        let bind = |threads, inherited: Option<Bound>| {
            let mut inherited = inherited;
            let address =
                inherited.as_ref().map_or("127.0.0.1:0".parse().unwrap(), |bound| bound.tcp.local_addr().unwrap());
            Listeners::bind(&[address], threads, |_| inherited.take()).unwrap().into_bound().remove(0)
        };
        let four = bind(4, Some(bind(2, None)));
        assert_eq!(four.udp.len(), 4);
        assert_eq!(bind(1, Some(four)).udp.len(), 4);
    }
}
