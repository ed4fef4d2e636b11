//! Connections that are handed to plugins: from the runtime of the worker that accepted them to the threads of services.
//!
//! Invariant: what counts a connection among those of its worker and its client goes with it, and ends with it.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use littoral_plugin_host::Place;
use pingora::protocols::l4::stream::Stream as L4Stream;
use tokio::net::{TcpStream, UnixStream};

use super::Open;
use super::clients::Guest;
use super::front::Front;
use crate::config::Serve;
use crate::hits::Wire;
use crate::services::connection::{self, Accepted, Duplex};

/// A connection as it was accepted.
pub(super) trait Raw: Wire + AsRawFd + Into<L4Stream> + Send + 'static {
    /// The same where it belongs to no runtime.
    type Left: Send;
    /// Leaves this runtime.
    fn leave(self) -> std::io::Result<Self::Left>;
    /// The same if it is TCP.
    fn inet(left: Self::Left) -> Option<std::net::TcpStream>;
    /// Arrives at this runtime.
    fn arrive(left: Self::Left) -> std::io::Result<Box<dyn Duplex>>;
}

impl Raw for TcpStream {
    type Left = std::net::TcpStream;
    fn leave(self) -> std::io::Result<Self::Left> {
        self.into_std()
    }
    fn inet(left: Self::Left) -> Option<std::net::TcpStream> {
        Some(left)
    }
    fn arrive(left: Self::Left) -> std::io::Result<Box<dyn Duplex>> {
        Ok(Box::new(Self::from_std(left)?))
    }
}

impl Raw for UnixStream {
    type Left = std::os::unix::net::UnixStream;
    fn leave(self) -> std::io::Result<Self::Left> {
        self.into_std()
    }
    fn inet(_left: Self::Left) -> Option<std::net::TcpStream> {
        None
    }
    fn arrive(left: Self::Left) -> std::io::Result<Box<dyn Duplex>> {
        Ok(Box::new(Self::from_std(left)?))
    }
}

impl Open {
    /// Has a plugin serve a connection, on threads of its own: what a guest computes delays no request.
    pub(super) fn hand_to_service<S: Raw>(
        self,
        stream: S,
        client: SocketAddr,
        guest: Guest,
        serve: Arc<Serve>,
        front: &Front,
    ) {
        let node = self.0.node.clone();
        let services = &node.plugins.services;
        let Some((running, runtime)) = services.named(&serve.plugin).zip(services.runtime().cloned()) else {
            return services.absent.turned_away(&serve.plugin);
        };
        let Some(place) = Place::take(&front.taken, serve.connections) else {
            return running.service.refused();
        };
        let tls = front.tls.load_full().map(|tls| tls.config.clone());
        let shutdown = self.0.shutdown.clone();
        let moved = stream.leave();
        runtime.spawn(async move {
            let _held = (self, guest, place);
            if let Ok(stream) = moved.and_then(S::arrive) {
                let accepted = Accepted { stream, client, serve, tls, shutdown };
                connection::serve(node, running, accepted).await;
            }
        });
    }

    /// Has a swarm take a connection in, on the threads of services.
    pub(super) fn hand_to_swarm<S: Raw>(self, stream: S, client: SocketAddr, guest: Guest, at: usize) {
        let node = self.0.node.clone();
        if let (Some(shard), Ok(Some(stream))) = (node.plugins.services.shard(at), stream.leave().map(S::inet)) {
            shard.accepted(stream, client, Box::new((self, guest)));
        }
    }
}
