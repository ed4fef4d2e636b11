//! A client's connection, or one that was dialled, as the plugin host wants to see one: bytes, TLS, and the time that each may take.
//!
//! Invariant: nothing is read that is not returned. What a client sent in plain and nobody read is what its handshake begins with, which then
//! fails.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use littoral_plugin_host::service::{DialSpec, Dialling, Nowhere, Step, Target, Trouble, Wire};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::connection::Duplex;
use crate::config::{Begins, Serve};
use crate::listen::linger::linger;
use crate::listen::tls;
use crate::node::Node;

/// How long somebody may be silent, and a write or handshake takes, who was dialled where there is no listener to say so. The contract says so.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a connection.
pub(super) enum Channel {
    Plain(Box<dyn Duplex>),
    Secure(Box<dyn Duplex>),
    /// A handshake failed, or is under way.
    Gone,
}

/// The side of a handshake that is taken.
pub(super) enum Hands {
    /// The one with the certificate.
    Serve(Arc<ServerConfig>),
    /// The one that asks for a name's.
    Call(Arc<ClientConfig>, ServerName<'static>),
}

/// A client, or who was dialled.
pub(crate) struct Peer {
    pub(super) node: Arc<Node>,
    channel: Channel,
    address: SocketAddr,
    /// What TLS would be started with.
    tls: Option<Hands>,
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
        let tls = tls.map(Hands::Serve);
        Self { node, channel, address, tls, may_start_tls, idle, write_timeout, ending, is_told: false }
    }

    /// No connection, which others are dialled from: what is outside of one.
    fn none(node: Arc<Node>, ending: watch::Receiver<bool>) -> Self {
        let (channel, address) = (Channel::Gone, SocketAddr::from(([0, 0, 0, 0], 0)));
        let (idle, write_timeout, tls) = (PATIENCE, PATIENCE, None);
        Self { node, channel, address, tls, may_start_tls: false, idle, write_timeout, ending, is_told: false }
    }

    /// The same of a node, as long as it is there. `ending` turns true when it stops.
    pub(crate) fn none_of(node: &Weak<Node>, ending: &watch::Receiver<bool>) -> Box<dyn Wire> {
        match node.upgrade() {
            Some(node) => Box::new(Self::none(node, ending.clone())),
            None => Box::new(Nowhere),
        }
    }

    /// Who was dialled for this one, with its time-outs and its end.
    pub(super) fn far(&self, stream: TcpStream, address: SocketAddr, tls: Option<Hands>, may_start_tls: bool) -> Self {
        let Self { node, idle, write_timeout, ending, .. } = self;
        let (node, ending, channel) = (node.clone(), ending.clone(), Channel::Plain(Box::new(stream)));
        let (idle, write_timeout) = (*idle, *write_timeout);
        Self { node, channel, address, tls, may_start_tls, idle, write_timeout, ending, is_told: false }
    }

    fn stream(&mut self) -> Result<&mut dyn Duplex, Trouble> {
        match &mut self.channel {
            Channel::Plain(stream) => Ok(&mut **stream),
            Channel::Secure(stream) => Ok(&mut **stream),
            Channel::Gone => Err(Trouble::Closed),
        }
    }

    async fn shake_hands(&mut self) -> Result<(), Trouble> {
        let channel = std::mem::replace(&mut self.channel, Channel::Gone);
        self.may_start_tls = false;
        match (channel, self.tls.take()) {
            (Channel::Plain(stream), Some(Hands::Serve(config))) => self.accept(stream, config).await,
            (Channel::Plain(stream), Some(Hands::Call(config, name))) => {
                let connecting = TlsConnector::from(config).connect(name, stream);
                match timeout(self.write_timeout, connecting).await {
                    Ok(Ok(stream)) => self.channel = Channel::Secure(Box::new(stream)),
                    Ok(Err(_)) => return Err(Trouble::Tls),
                    Err(_) => return Err(Trouble::Timeout),
                }
                Ok(())
            }
            _ => Err(Trouble::Tls),
        }
    }

    /// Shakes hands as the side with the certificate.
    async fn accept(&mut self, stream: Box<dyn Duplex>, config: Arc<ServerConfig>) -> Result<(), Trouble> {
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

    fn dial<'a>(&'a mut self, target: Target, granted: &'a DialSpec) -> Dialling<'a> {
        Box::pin(self.dialled(target, granted))
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
