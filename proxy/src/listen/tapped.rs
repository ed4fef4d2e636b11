//! A connection whose client is listened in on: what is read goes through a [`Tap`] first, everything else goes straight on.
//!
//! What is done to the bytes is the tap's: [`super::chunks`] finds where a request ends, [`super::h2`] watches frames. Invariant:
//! what is written and flushed, and what the connection tells of itself, is that of the stream below.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

/// Slices of one vectored write.
const SLICES_MAX: usize = 16;

/// What is done to the bytes a client sends.
pub(crate) trait Tap: Debug + Send + Sync + Unpin + 'static {
    /// So many bytes that are written are held until more come, they are flushed, or whoever wrote them reads: a head and its body
    /// make one packet.
    fn holds(&self) -> usize {
        0
    }

    /// Reads from `stream` into `buf`, or less than came; as [`AsyncRead::poll_read`].
    fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Whoever had the connection has dropped it: who gets it now, if it is not to be closed.
    fn dropped(&mut self) -> Option<oneshot::Sender<Stream>> {
        None
    }
}

/// A connection behind a tap.
#[derive(Debug)]
pub(crate) struct Tapped<T: Tap> {
    /// The connection.
    stream: Stream,
    /// Written, and not sent.
    held: BytesMut,
    /// The tap.
    pub(crate) tap: T,
}

impl<T: Tap> Tapped<T> {
    /// This connection behind this tap.
    pub(crate) fn over(stream: Stream, tap: T) -> Self {
        Self { stream, held: BytesMut::new(), tap }
    }

    /// The connection, which takes what was held if it can; what is left reads as closed.
    pub(crate) fn take(&mut self) -> Stream {
        let _ = self.flush().now_or_never();
        std::mem::replace(&mut self.stream, Box::new(io::Cursor::new(Vec::new())))
    }
}

impl<T: Tap> Drop for Tapped<T> {
    fn drop(&mut self) {
        match self.tap.dropped() {
            // Who is gone has no use for it.
            Some(back) => drop(back.send(self.take())),
            // As the stream below does with what it holds itself.
            None => drop(self.flush().now_or_never()),
        }
    }
}

impl<T: Tap> AsyncRead for Tapped<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Who reads has nothing more to write for now.
        if !self.held.is_empty()
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        let Self { stream, tap, .. } = &mut *self;
        tap.poll_read(stream, cx, buf)
    }
}

impl<T: Tap> Tapped<T> {
    /// Writes what is held.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Holds what is small; the rest goes out with one call behind what is held.
    fn poll_slices(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes + self.held.len() <= self.tap.holds() {
            slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
            return Poll::Ready(Ok(bytes));
        }
        while !self.held.is_empty() {
            let mut all = [io::IoSlice::new(&[]); SLICES_MAX];
            all[0] = io::IoSlice::new(&self.held);
            let taken = slices.len().min(SLICES_MAX - 1);
            all[1..=taken].copy_from_slice(&slices[..taken]);
            match ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all[..=taken]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written if written <= self.held.len() => self.held.advance(written),
                written => {
                    let beyond = written - self.held.len();
                    self.held.clear();
                    return Poll::Ready(Ok(beyond));
                }
            }
        }
        match slices {
            [one] => Pin::new(&mut self.stream).poll_write(cx, one),
            slices => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }
}

impl<T: Tap> AsyncWrite for Tapped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_slices(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: Tap> Shutdown for Tapped<T> {
    async fn shutdown(&mut self) {
        // Who does not take it is not waited for any longer than by the stream below.
        let _ = self.flush().now_or_never();
        Shutdown::shutdown(&mut *self.stream).await;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Holding;

    impl Tap for Holding {
        fn holds(&self) -> usize {
            8
        }

        fn poll_read(
            &mut self,
            stream: &mut Stream,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(stream).poll_read(cx, buf)
        }
    }

    /// What came, and how many bytes with each call.
    type Seen = Arc<Mutex<(Vec<u8>, Vec<usize>)>>;

    /// Takes so many bytes with a call.
    #[derive(Debug)]
    struct Narrow(usize, Seen);

    impl AsyncRead for Narrow {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = all.len().min(self.0);
            let mut seen = self.1.lock().unwrap();
            seen.0.extend_from_slice(&all[..taken]);
            seen.1.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[async_trait]
    impl Shutdown for Narrow {
        async fn shutdown(&mut self) {}
    }

    impl UniqueID for Narrow {
        fn id(&self) -> i32 {
            0
        }
    }

    impl Ssl for Narrow {}
    impl Peek for Narrow {}

    impl GetTimingDigest for Narrow {
        fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
            Vec::new()
        }
    }

    impl GetProxyDigest for Narrow {
        fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
            None
        }
    }

    impl GetSocketDigest for Narrow {
        fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
            None
        }
    }

    fn over(room: usize) -> (Tapped<Holding>, Seen) {
        let seen = Arc::new(Mutex::default());
        (Tapped::over(Box::new(Narrow(room, seen.clone())), Holding), seen)
    }

    #[tokio::test]
    async fn a_head_its_first_bytes_and_the_rest_go_out_with_one_call() {
        let (mut tapped, seen) = over(usize::MAX);
        for piece in ["head", "body", "and the rest", "more"] {
            tapped.write_all(piece.as_bytes()).await.unwrap();
        }
        assert_eq!(seen.lock().unwrap().1, [20], "what is small is held again");
        tapped.flush().await.unwrap();
        assert_eq!(*seen.lock().unwrap(), (b"headbodyand the restmore".to_vec(), vec![20, 4]));
    }

    #[tokio::test]
    async fn what_is_held_goes_out_when_nothing_more_is_written() {
        let (mut tapped, seen) = over(usize::MAX);
        tapped.write_all(b"head").await.unwrap();
        let _ = tokio::io::AsyncReadExt::read(&mut tapped, &mut [0]).await;
        assert_eq!(seen.lock().unwrap().0, b"head");
    }

    #[tokio::test]
    async fn nothing_is_lost_or_sent_twice_however_little_is_taken() {
        for room in 1..24 {
            let (mut tapped, seen) = over(room);
            for piece in ["head", "body", "and the rest", "more", "and more than fits"] {
                tapped.write_all(piece.as_bytes()).await.unwrap();
            }
            drop(tapped);
            assert_eq!(seen.lock().unwrap().0, b"headbodyand the restmoreand more than fits", "with room for {room}");
        }
    }
}
