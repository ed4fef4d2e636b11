//! One connection of a swarm: bytes that come are told, what is queued is sent, and it ends.
//!
//! Invariants: what is not told yet is not read beyond one piece; it ends when its peer is gone, idle, or takes nothing, or when the guest has
//! closed it and all is sent; its end is told once, last.

use std::io::{ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use littoral_plugin_host::Place;
use littoral_plugin_host::service::swarm::Event;
use littoral_plugin_host::service::swarm::limits::READ_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::life::Letter;
use super::outgoing::{Outgoing, Piece};
use super::shard::Shard;
use crate::hits::{Paged, Unsent, Wire};
use crate::listen::linger::linger;

/// A connection that is there.
pub(super) struct Peer {
    pub(super) number: u32,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) events: mpsc::Sender<Letter>,
    pub(super) shard: Arc<Shard>,
}

/// What lives as long as a connection: its place among those of the swarm, and what its listener gave.
pub(super) type Held = (Place, Option<Box<dyn Send>>);

/// The side that is written to.
struct Out(OwnedWriteHalf);

impl AsyncRead for Out {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Poll::Ready(Err(ErrorKind::Unsupported.into()))
    }
}

impl AsyncWrite for Out {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Wire for Out {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_ref().as_fd())
    }
}

impl Peer {
    /// Serves it to its end.
    pub(super) async fn run(self, stream: TcpStream, held: Held) {
        let (mut reader, writer) = stream.into_split();
        let mut out = Out(writer);
        let is_whole = tokio::select! {
            written = self.write(&mut out) => written.is_ok(),
            () = self.read(&mut reader) => false,
        };
        let _ = self.events.send(Letter::Event(Event::Closed { connection: self.number })).await;
        if is_whole && let Ok(mut stream) = reader.reunite(out.0) {
            // What was sent last must not be taken away by a reset.
            linger(&mut stream).await;
        }
        drop(held);
    }

    /// Reads until the connection is to end.
    async fn read(&self, reader: &mut OwnedReadHalf) {
        let mut heard = Instant::now();
        loop {
            let idle = self.shard.listener(|swarm| swarm.idle.0);
            let mut bytes = Vec::with_capacity(READ_BYTES_MAX);
            let read = timeout_at(heard.max(self.outgoing.last_moved()) + idle, async {
                (&mut *reader).take(READ_BYTES_MAX as u64).read_buf(&mut bytes).await
            });
            let event = match read.await {
                Err(_) if heard.max(self.outgoing.last_moved()) + idle > Instant::now() => continue,
                Err(_) | Ok(Err(_)) => return,
                Ok(Ok(0)) => Event::Ended { connection: self.number },
                Ok(Ok(read)) => {
                    heard = Instant::now();
                    self.shard.figures().read.fetch_add(read as u64, Relaxed);
                    bytes.shrink_to_fit();
                    Event::Data { connection: self.number, bytes }
                }
            };
            let is_last = matches!(event, Event::Ended { .. });
            // What comes after the guest has closed it is nobody's.
            let is_told = self.outgoing.is_closing() || self.events.send(Letter::Event(event)).await.is_ok();
            if is_last || !is_told {
                // What is queued is sent; then it ends, or when the guest has had its time.
                return self.await_idle().await;
            }
        }
    }

    /// Waits until the peer has taken nothing for too long.
    async fn await_idle(&self) {
        let since = Instant::now();
        loop {
            let idle = self.shard.listener(|swarm| swarm.idle.0);
            let until = since.max(self.outgoing.last_moved()) + idle;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Writes what is queued until nothing more comes.
    async fn write(&self, out: &mut Out) -> Result<()> {
        let store = &self.shard.node().store;
        let paged = Paged { pages: store.pages().map(Arc::as_ref), socket: None };
        let figures = self.shard.figures();
        while let Some(piece) = self.outgoing.next().await {
            let patience = self.shard.listener(|swarm| swarm.write_timeout.0);
            let has_room = match piece {
                Piece::Bytes(bytes) => {
                    Unsent::new(&bytes, &[], paged).send(out, patience).await?;
                    figures.written.fetch_add(bytes.len() as u64, Relaxed);
                    self.outgoing.written(Some(bytes.len()))
                }
                Piece::Part(mut part) => {
                    while !part.is_empty() {
                        let block = part.next(store).await?;
                        let bytes = block.len() as u64;
                        Unsent::new(&[], &[block], paged).send(out, patience).await?;
                        figures.spliced.fetch_add(bytes, Relaxed);
                        self.outgoing.moved();
                    }
                    self.outgoing.written(None)
                }
            };
            if has_room {
                let _ = self.events.send(Letter::Event(Event::Writable { connection: self.number })).await;
            }
        }
        Ok(())
    }
}
