//! How an origin is connected to: the framework's view of it.

use std::net::SocketAddr;

use pingora::upstreams::peer::{ALPN, HttpPeer};

use super::Origin;
use crate::config::Timeouts;

/// Requests at a time over one connection of HTTP/2.
pub const H2_STREAMS_MAX: usize = 100;

impl Origin {
    /// The connection to one of its addresses.
    pub fn peer(&self, address: SocketAddr, timeouts: &Timeouts) -> Box<HttpPeer> {
        let mut peer = Box::new(HttpPeer::new(address, self.tls, self.host.clone()));
        if let Some(secure) = &self.secure {
            secure.apply(&mut peer);
        }
        if self.h2 {
            // Without TLS nothing can be agreed on, and an origin that knows only HTTP/1.1 fails.
            peer.options.alpn = if self.tls { ALPN::H2H1 } else { ALPN::H2 };
            peer.options.max_h2_streams = H2_STREAMS_MAX;
        }
        bound(&mut peer, timeouts);
        peer
    }
}

/// Bounds what a connection may take.
pub(crate) fn bound(peer: &mut HttpPeer, timeouts: &Timeouts) {
    peer.options.connection_timeout = Some(timeouts.connect.0);
    peer.options.total_connection_timeout = Some(timeouts.connect.0);
    peer.options.read_timeout = Some(timeouts.read.0);
    peer.options.write_timeout = Some(timeouts.send.0);
    peer.options.idle_timeout = Some(timeouts.idle.0);
}
