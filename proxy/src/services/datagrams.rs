//! Datagrams of services: received, handled, answered.
//!
//! As many tasks as there are threads take turns on a socket, each with an instance to itself; what comes while all are busy waits in the
//! kernel. Invariant: what goes out is bounded by what came in.

use std::net::{SocketAddr, UdpSocket as Bound};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use littoral_plugin_host::service::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_TIME_MAX};
use littoral_plugin_host::service::{Handler, Wires};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::handover::{Handed, Inherited, Kind};
use crate::node::Node;

use super::wire::Peer;

/// How long a task rests when its socket fails, or nobody handles.
const REST: Duration = Duration::from_millis(50);

/// Sockets bound for one node, in the order of the config.
#[derive(Default)]
pub(crate) struct Sockets(Vec<(String, Bound)>);

impl Sockets {
    /// Binds, or takes of what was `inherited`.
    ///
    /// # Errors
    /// One line that names the address.
    pub(crate) fn bind(
        listener: &str,
        addresses: impl Iterator<Item = SocketAddr>,
        inherited: &mut Inherited,
    ) -> Result<Self, String> {
        let bound = addresses.map(|address| {
            let problem = |error| format!("cannot listen on {address} ({listener}): {error}");
            let socket: Option<OwnedFd> = inherited.take(Kind::Datagram, &address.to_string()).into_iter().next();
            let socket = socket.map_or_else(|| Bound::bind(address), |socket| Ok(socket.into())).map_err(problem)?;
            socket.set_nonblocking(true).map_err(problem)?;
            Ok((address.to_string(), socket))
        });
        bound.collect::<Result<_, String>>().map(Self)
    }

    /// They, in their order.
    pub(crate) fn into_each(self) -> impl Iterator<Item = Bound> {
        self.0.into_iter().map(|(_, socket)| socket)
    }

    /// Where they are bound.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.0.iter().filter_map(|(_, socket)| Some(socket.local_addr().ok()?.to_string())).collect()
    }

    /// Duplicates, for a process that takes over.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub(crate) fn duplicates(&self) -> std::io::Result<Vec<Handed>> {
        let one = |(written, socket): &(String, Bound)| {
            Handed::of(Kind::Datagram, written.clone(), socket.local_addr()?.to_string(), socket)
        };
        self.0.iter().map(one).collect()
    }

    /// Answers on all of them, with so many tasks each, until the runtime of services ends.
    ///
    /// # Errors
    /// When a socket is lost.
    pub(crate) fn serve(self, node: &Arc<Node>, tasks: usize, stopped: &watch::Receiver<bool>) -> Result<(), String> {
        let Some(runtime) = node.plugins.services.runtime().cloned() else { return Ok(()) };
        let _entered = runtime.enter();
        for (at, (written, socket)) in self.0.into_iter().enumerate() {
            let socket = UdpSocket::from_std(socket).map_err(|error| format!("{written} is lost: {error}"))?;
            let socket = Arc::new(socket);
            for _ in 0..tasks {
                runtime.spawn(answer(node.clone(), at, socket.clone(), stopped.clone()));
            }
        }
        Ok(())
    }
}

/// Takes turns on a socket, the one of the listener at this place of the config.
async fn answer(node: Arc<Node>, at: usize, socket: Arc<UdpSocket>, stopped: watch::Receiver<bool>) {
    let (mut handler, mut buffer): (Option<(String, Handler)>, _) = (None, vec![0; DATAGRAM_BYTES_MAX]);
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let Some((plugin, times)) = told(&node, at) else { continue };
        if handler.as_ref().is_none_or(|(of, _)| *of != plugin) {
            let Some(running) = node.plugins.services.named(&plugin) else {
                node.plugins.services.absent.turned_away(&plugin);
                continue;
            };
            handler = Some((plugin, Handler::of(running.service, wires(&node, &stopped))));
        }
        let Some((_, handler)) = &mut handler else { continue };
        let handled = handler.handle(from, &buffer[..length], length.saturating_mul(times));
        let Ok(answers) = timeout(DATAGRAM_TIME_MAX, handled).await else {
            handler.overdue();
            continue;
        };
        for answer in answers {
            // A datagram may be lost anywhere.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// What a datagram's service dials by.
fn wires(node: &Arc<Node>, stopped: &watch::Receiver<bool>) -> Wires {
    let (node, stopped) = (Arc::downgrade(node), stopped.clone());
    Arc::new(move || Peer::none_of(&node, &stopped))
}

/// Who handles what comes there, and how many times its bytes the answers may have.
fn told(node: &Node, at: usize) -> Option<(String, usize)> {
    let settings = node.settings.load();
    let datagram = settings.listen.datagram.get(at)?;
    Some((datagram.plugin.clone(), datagram.amplification as usize))
}
