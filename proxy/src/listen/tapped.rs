//! A connection whose client is listened in on: what is read goes through a [`Tap`] first, everything else goes straight on.
//!
//! What is done to the bytes is the tap's: [`super::chunks`] finds where a request ends, [`super::h2`] watches frames. Invariant:
//! what is written, and what the connection tells of itself, is that of the stream below.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is done to the bytes a client sends.
pub(crate) trait Tap: Debug + Send + Sync + Unpin + 'static {
    /// Reads from `stream` into `buf`, or less than came; as [`AsyncRead::poll_read`].
    fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
}

/// A connection behind a tap.
#[derive(Debug)]
pub(crate) struct Tapped<T> {
    /// The connection.
    pub(crate) stream: Stream,
    /// The tap.
    pub(crate) tap: T,
}

impl<T: Tap> AsyncRead for Tapped<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = &mut *self;
        tap.poll_read(stream, cx, buf)
    }
}

impl<T: Tap> AsyncWrite for Tapped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: Tap> Shutdown for Tapped<T> {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl<T: Tap> UniqueID for Tapped<T> {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl<T: Tap> Ssl for Tapped<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<T: Tap> GetTimingDigest for Tapped<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<T: Tap> GetProxyDigest for Tapped<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<T: Tap> GetSocketDigest for Tapped<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl<T: Tap> Peek for Tapped<T> {}
