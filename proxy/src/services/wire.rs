//! A client's connection as the plugin host wants to see one: bytes, TLS, and the time that each may take.
//!
//! Invariant: nothing is read that is not returned. What a client sent in plain and nobody read is what its handshake begins with, which then
//! fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use littoral_plugin_host::service::{Step, Trouble, Wire};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Duplex;
use crate::config::{Begins, Serve};
use crate::listen::linger::linger;
use crate::listen::tls;
use crate::node::Node;

/// The bytes of a connection.
pub(super) enum Channel {
    Plain(Box<dyn Duplex>),
    Secure(Box<TlsStream<Box<dyn Duplex>>>),
    /// A handshake failed, or is under way.
    Gone,
}

/// A client.
pub(super) struct Peer {
    node: Arc<Node>,
    channel: Channel,
    address: SocketAddr,
    /// What TLS would be started with.
    tls: Option<Arc<ServerConfig>>,
    may_start_tls: bool,
    idle: Duration,
    write_timeout: Duration,
    /// Turns true when the connection is to end.
    ending: watch::Receiver<bool>,
    is_told: bool,
}

impl Peer {
    pub(super) fn new(
        node: Arc<Node>,
        channel: Channel,
        address: SocketAddr,
        serve: &Serve,
        tls: Option<Arc<ServerConfig>>,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let may_start_tls = serve.tls == Some(Begins::Starttls) && tls.is_some();
        let (idle, write_timeout) = (serve.idle.0, serve.write_timeout.0);
        Self { node, channel, address, tls, may_start_tls, idle, write_timeout, ending, is_told: false }
    }

    fn stream(&mut self) -> Result<&mut dyn Duplex, Trouble> {
        match &mut self.channel {
            Channel::Plain(stream) => Ok(&mut **stream),
            Channel::Secure(stream) => Ok(&mut **stream),
            Channel::Gone => Err(Trouble::Closed),
        }
    }

    /// Shakes hands as the side with the certificate.
    async fn shake_hands(&mut self) -> Result<(), Trouble> {
        let channel = std::mem::replace(&mut self.channel, Channel::Gone);
        let (Channel::Plain(stream), Some(config)) = (channel, self.tls.take()) else {
            return Err(Trouble::Tls);
        };
        self.may_start_tls = false;
        let figures = &self.node.figures;
        let stream = match timeout(self.write_timeout, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                figures.tls_failures[tls::failure(&error)].add(1);
                return Err(Trouble::Tls);
            }
            Err(_) => {
                figures.tls_failures[tls::TIMEOUT].add(1);
                return Err(Trouble::Timeout);
            }
        };
        figures.tls_handshakes.add(1);
        if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            figures.tls_resumed.add(1);
        }
        self.channel = Channel::Secure(Box::new(stream));
        Ok(())
    }
}

/// Waits for it, unless the connection is to end and the service has not been told.
async fn unless_ending<T>(
    ending: &mut watch::Receiver<bool>,
    is_told: &mut bool,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    if *is_told {
        return work.await;
    }
    tokio::select! {
        biased;
        done = work => done,
        _ = ending.wait_for(|ending| *ending) => {
            *is_told = true;
            Err(Trouble::Ending)
        }
    }
}

impl Wire for Peer {
    fn peer(&self) -> SocketAddr {
        self.address
    }

    fn is_secure(&self) -> bool {
        matches!(self.channel, Channel::Secure(_))
    }

    fn may_start_tls(&self) -> bool {
        self.may_start_tls
    }

    fn read<'a>(&'a mut self, into: &'a mut [u8], silence: Option<Duration>) -> Step<'a, usize> {
        Box::pin(async move {
            let patience = silence.map_or(self.idle, |silence| silence.min(self.idle));
            let Self { channel, ending, is_told, .. } = self;
            let read = async {
                let read = match channel {
                    Channel::Plain(stream) => timeout(patience, stream.read(into)).await,
                    Channel::Secure(stream) => timeout(patience, stream.read(into)).await,
                    Channel::Gone => return Err(Trouble::Closed),
                };
                match read {
                    Ok(Ok(read)) => Ok(read),
                    Ok(Err(_)) => Err(Trouble::Closed),
                    Err(_) => Err(Trouble::Timeout),
                }
            };
            unless_ending(ending, is_told, read).await
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a, ()> {
        Box::pin(async move {
            let patience = self.write_timeout;
            let stream = self.stream()?;
            let written = async {
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            match timeout(patience, written).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Trouble::Closed),
                Err(_) => Err(Trouble::Timeout),
            }
        })
    }

    fn finish(&mut self) -> Step<'_, ()> {
        Box::pin(async move {
            let patience = self.write_timeout;
            match timeout(patience, self.stream()?.shutdown()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Trouble::Closed),
                Err(_) => Err(Trouble::Timeout),
            }
        })
    }

    fn start_tls(&mut self) -> Step<'_, ()> {
        Box::pin(self.shake_hands())
    }

    fn sleep(&mut self, time: Duration) -> Step<'_, ()> {
        Box::pin(async move {
            let time = time.min(self.idle);
            let slept = async {
                tokio::time::sleep(time).await;
                Ok(())
            };
            unless_ending(&mut self.ending, &mut self.is_told, slept).await
        })
    }

    fn close(&mut self) -> Step<'_, ()> {
        Box::pin(async move {
            // What was written last must not be taken away by a reset.
            match &mut self.channel {
                Channel::Plain(stream) => linger(stream).await,
                Channel::Secure(stream) => linger(stream).await,
                Channel::Gone => {}
            }
            Ok(())
        })
    }
}
