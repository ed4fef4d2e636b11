//! Accepting connections of DNS over TCP, for the authoritative server and the resolver.
//!
//! Who may have a place, what is counted when nobody may, and what is said on a connection is theirs. Invariant: accepting goes on whatever
//! becomes of a connection, and a dropped loop closes all of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long accepting rests when it fails, as it does when the process is out of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Accepts for ever: `begin` makes of a connection what is to be done with it, or `None`, which closes it at once.
pub(crate) async fn each<F>(listener: TcpListener, begin: impl Fn(TcpStream, SocketAddr) -> Option<F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, client)) => {
                if let Some(serving) = begin(stream, client) {
                    open.spawn(serving);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
