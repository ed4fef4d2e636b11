//! One connection of a service, from its handshake to its end.
//!
//! Invariant: it ends. The service is told when its time is over, and two seconds later nobody is asked any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use littoral_plugin_host::service::Wire;
use pingora::server::ShutdownWatch;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Running;
use super::wire::{Channel, Peer};
use crate::config::{Begins, Serve};
use crate::node::Node;

/// What a service has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Bytes to and from a client.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that was accepted.
pub(crate) struct Accepted {
    /// Bytes.
    pub(crate) stream: Box<dyn Duplex>,
    /// Whose.
    pub(crate) client: SocketAddr,
    /// What its listener says.
    pub(crate) serve: Arc<Serve>,
    /// Its certificates, where it has TLS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Turns true when the node stops.
    pub(crate) shutdown: ShutdownWatch,
}

/// Serves it to its end.
pub(crate) async fn serve(node: Arc<Node>, running: Running, accepted: Accepted) {
    let Accepted { stream, client, serve, tls, mut shutdown } = accepted;
    let Running { service, generation } = running;
    let mut generation = generation.subscribe();
    let (end, ending) = watch::channel(false);
    let mut peer = Peer::new(node, Channel::Plain(stream), client, &serve, tls, ending);
    if serve.tls == Some(Begins::Implicit) && peer.start_tls().await.is_err() {
        return;
    }
    // 0 until an instance serves it: numbers begin at 1.
    let begun = AtomicU64::new(0);
    let mut serving = std::pin::pin!(service.serve(Box::new(peer), |number| begun.store(number, Relaxed)));
    let superseded = async {
        let newer = |current: &u64| *current != begun.load(Relaxed);
        let _ = generation.wait_for(newer).await;
        sleep(serve.drain.0).await;
    };
    let stopping = async { while !*shutdown.borrow() && shutdown.changed().await.is_ok() {} };
    tokio::select! {
        biased;
        _ = &mut serving => return,
        () = stopping => {}
        () = superseded => {}
        () = sleep(serve.lifetime.0) => {}
    }
    let _ = end.send(true);
    let _ = timeout(GOODBYE, serving).await;
}
