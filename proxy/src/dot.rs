//! DNS over TLS (RFC 7858): sockets and handshakes; what is said inside is `geo`'s.
//!
//! The certificates are those of the first listener for HTTPS, so that they are renewed and reloaded with them. Invariant: who
//! does not end a handshake in time costs no more than a place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use littoral_geo::limits::TCP_IDLE_SECONDS;
use littoral_geo::server::Handler;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::listen::front::Front;

/// What both sides call it in the handshake.
const ALPN: &[u8] = b"dot";
/// How long accepting rests when it fails.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Sockets for it, bound or taken over from another process.
///
/// # Errors
/// One line that names the address.
pub(crate) fn bind(
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<std::net::TcpListener, String> {
    let listener = inherited.map_or_else(|| std::net::TcpListener::bind(address), Ok);
    let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| format!("cannot listen on {address} (listen.dot): {error}"))
}

/// Accepts for ever, with the certificates that `front` has at the time.
pub(crate) async fn serve(listener: std::net::TcpListener, front: Arc<Front>, handler: Handler) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket for DNS over TLS is lost"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let (Some(place), Some(config)) = (handler.place(), front.tls_as(ALPN)) else {
                    continue;
                };
                let handler = handler.clone();
                tokio::spawn(async move {
                    let handshake = TlsAcceptor::from(config).accept(stream);
                    match timeout(Duration::from_secs(TCP_IDLE_SECONDS), handshake).await {
                        Ok(Ok(stream)) => handler.converse_encrypted(stream, client).await,
                        Ok(Err(error)) => tracing::debug!(%client, %error, "a handshake for DNS over TLS failed"),
                        Err(_) => tracing::debug!(%client, "a handshake for DNS over TLS took too long"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for DNS over TLS");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}
