//! DNS over TCP (RFC 7766): so many connections and no more, on each one message after the other.
//!
//! Invariant: clients that hold connections open cost this node no more than [`TCP_CONNECTIONS_MAX`] descriptors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::copy::Sent;
use super::{Handler, since_1970};
use crate::accept;
use crate::counters::count;
use crate::limits::{TCP_CONNECTIONS_MAX, TCP_IDLE_SECONDS};

/// Room for the connections of all listeners.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(TCP_CONNECTIONS_MAX))
}

/// Accepts for ever; dropped, it closes its connections. One for which there is no place is closed at once and counted.
pub(super) async fn serve(listener: TcpListener, handler: Handler, places: Arc<Semaphore>) {
    let begin = |mut stream: TcpStream, client| {
        let Ok(place) = places.clone().try_acquire_owned() else {
            count(&handler.director.counters().tcp_refused);
            return None;
        };
        let handler = handler.clone();
        Some(async move {
            if let Err(error) = converse(&mut stream, client, &handler, false).await {
                tracing::debug!(%client, %error, "a DNS connection broke");
            }
            // Before the client sees the end, so that it finds room when it comes back.
            drop(place);
        })
    };
    accept::each(listener, begin).await;
}

/// Answers message by message until the client ends, sends an empty message or is too slow: [`TCP_IDLE_SECONDS`] are for
/// a whole message, and again for taking its answer. A client that sends ahead waits in its own socket.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    client: SocketAddr,
    handler: &Handler,
    encrypted: bool,
) -> std::io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(TCP_IDLE_SECONDS);
    let mut stream = BufReader::new(stream);
    while let Some(message) = timeout(PATIENCE, message(&mut stream)).await?? {
        let now = since_1970();
        let (one, mut many) = match handler.copy(&message, client, now) {
            Some(Sent::One(response)) => (Some(response), None),
            Some(Sent::Many(responses)) => (None, Some(responses)),
            None if encrypted => (handler.respond_encrypted(message, client).await, None),
            None => (handler.awaited(message, client).await, None),
        };
        let mut next = one;
        loop {
            if let (None, Some(many)) = (&next, &mut many) {
                next = many.recv().await;
            }
            let Some(response) = next.take() else { break };
            let length = u16::try_from(response.len()).map_err(std::io::Error::other)?;
            timeout(PATIENCE, stream.write_all(&[&length.to_be_bytes(), &response[..]].concat())).await??;
            // What encrypts may hold it back.
            timeout(PATIENCE, stream.flush()).await??;
        }
    }
    Ok(())
}

/// The next message behind its length (RFC 1035 §4.2.2); `None` at the end and for one of no bytes.
async fn message<S: AsyncRead + Unpin>(stream: &mut BufReader<&mut S>) -> std::io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        length => usize::from(length?),
    };
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some(message).filter(|message| !message.is_empty()))
}
