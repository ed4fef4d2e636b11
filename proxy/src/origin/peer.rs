//! How an origin is connected to: the framework's view of it.

use std::net::SocketAddr;

use pingora::upstreams::peer::HttpPeer;

use super::Origin;
use crate::config::Timeouts;

impl Origin {
    /// The connection to one of its addresses.
    pub fn peer(&self, address: SocketAddr, timeouts: &Timeouts) -> Box<HttpPeer> {
        let mut peer = Box::new(HttpPeer::new(address, self.tls, self.host.clone()));
        peer.options.connection_timeout = Some(timeouts.connect.0);
        peer.options.total_connection_timeout = Some(timeouts.connect.0);
        peer.options.read_timeout = Some(timeouts.read.0);
        peer.options.write_timeout = Some(timeouts.send.0);
        peer.options.idle_timeout = Some(timeouts.idle.0);
        peer
    }
}
