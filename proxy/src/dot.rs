//! DNS over TLS (RFC 7858) and over HTTPS (RFC 8484): sockets and handshakes; what is said inside is `geo`'s.
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

/// What is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Messages behind their lengths.
    Dns,
    /// Messages as HTTP carries them.
    Https,
}

impl Inside {
    /// The key of its addresses in the config.
    fn key(self) -> &'static str {
        match self {
            Self::Dns => "listen.dot",
            Self::Https => "listen.doh",
        }
    }

    /// What both sides call it in the handshake.
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Dns => &[b"dot"],
            Self::Https => &[b"h2", b"http/1.1"],
        }
    }
}

/// How long accepting rests when it fails.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A socket for it, bound or taken over from another process.
///
/// # Errors
/// One line that names the address.
pub(crate) fn bind(
    inside: Inside,
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<std::net::TcpListener, String> {
    let listener = inherited.map_or_else(|| std::net::TcpListener::bind(address), Ok);
    let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| format!("cannot listen on {address} ({}): {error}", inside.key()))
}

/// Accepts for ever, with the certificates that `front` has at the time.
pub(crate) async fn serve(inside: Inside, listener: std::net::TcpListener, front: Arc<Front>, handler: Handler) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket for DNS over TLS or HTTPS is lost"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let (Some(place), Some(config)) = (handler.place(), front.tls_as(inside.protocols())) else {
                    continue;
                };
                let handler = handler.clone();
                tokio::spawn(async move {
                    let handshake = TlsAcceptor::from(config).accept(stream);
                    match timeout(Duration::from_secs(TCP_IDLE_SECONDS), handshake).await {
                        Ok(Ok(stream)) if inside == Inside::Https => handler.converse_https(stream, client).await,
                        Ok(Ok(stream)) => handler.converse_encrypted(stream, client).await,
                        Ok(Err(error)) => tracing::debug!(%client, ?inside, %error, "a handshake for DNS failed"),
                        Err(_) => tracing::debug!(%client, ?inside, "a handshake for DNS took too long"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for DNS over TLS or HTTPS");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}
