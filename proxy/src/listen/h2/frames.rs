//! Watches the frames a client sends, without taking part: those that cost us something and ask for nothing are counted.
//!
//! The h2 crate answers each PING and SETTINGS and forgets each reset as it comes, without a bound in time (CVE-2019-9512,
//! -9514, -9515, -9518, CVE-2023-44487). Here each kind has a bucket; when one is empty nothing more is read from the client and
//! the connection is told ([`Flood::seen`]). Window updates are not counted: they come with every download.
//!
//! Invariant: bytes pass through unchanged; nothing is allocated per frame.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Bytes of the client's preface (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// PING, SETTINGS, PRIORITY, empty DATA and unknown frames at once, and how long one takes to come back.
const IDLE_FRAMES: (u32, Duration) = (1000, Duration::from_millis(10));
/// RST_STREAM at once, and how long one takes to come back.
const RESETS: (u32, Duration) = (200, Duration::from_millis(20));

/// Tells the connection of a flood.
#[derive(Debug, Default)]
pub(super) struct Flood {
    is: AtomicBool,
    told: Notify,
}

impl Flood {
    pub(super) async fn seen(&self) {
        while !self.is.load(Relaxed) {
            self.told.notified().await;
        }
    }
}

/// Frames of a kind that may come: full at first, and one more each interval.
#[derive(Debug)]
struct Bucket {
    left: u32,
    most: u32,
    interval: Duration,
    since: Instant,
}

impl Bucket {
    fn new((most, interval): (u32, Duration)) -> Self {
        Self { left: most, most, interval, since: Instant::now() }
    }

    fn take(&mut self) -> bool {
        if self.left == 0 {
            let back = self.since.elapsed().as_nanos() / self.interval.as_nanos().max(1);
            self.left = u32::try_from(back).unwrap_or(u32::MAX).min(self.most);
            self.since = Instant::now();
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// Where in a frame the next byte is, and what there was so far.
#[derive(Debug)]
struct Frames {
    /// Bytes to pass over: of the preface or of a payload.
    skip: usize,
    head: [u8; 9],
    have: usize,
    idle: Bucket,
    resets: Bucket,
}

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE_BYTES, head: [0; 9], have: 0, idle: Bucket::new(IDLE_FRAMES), resets: Bucket::new(RESETS) }
    }

    /// Follows what came; `false`: too much of one kind.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let over = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - over, &bytes[over..]);
            let part = bytes.len().min(self.head.len() - self.have);
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            (self.have, bytes) = (self.have + part, &bytes[part..]);
            if self.have < self.head.len() {
                return true;
            }
            self.have = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let fine = match kind {
                // DATA that carries nothing and ends nothing.
                0 if self.skip == 0 && flags & 1 == 0 => self.idle.take(),
                3 => self.resets.take(),
                // HEADERS and CONTINUATION have bounds of their own, window updates none.
                0 | 1 | 8 | 9 => true,
                _ => self.idle.take(),
            };
            if !fine {
                return false;
            }
        }
    }
}

/// A connection whose frames are watched.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    frames: Frames,
    flood: Arc<Flood>,
}

impl Watched {
    pub(super) fn new(stream: Stream, flood: Arc<Flood>) -> Self {
        Self { stream, frames: Frames::new(), flood }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.flood.is.load(Relaxed) {
            // Whoever waits for the flood's end is woken by its own timer.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() && !self.frames.follow(&buf.filled()[before..]) {
            buf.set_filled(before);
            self.flood.is.store(true, Relaxed);
            self.flood.told.notify_one();
            return Poll::Pending;
        }
        polled
    }
}

impl AsyncWrite for Watched {
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
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Watched {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; payload][..]].concat()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let preface = vec![b'x'; PREFACE_BYTES];
        for (kind, flags, payload, most) in [
            (6, 0, 8, Some(IDLE_FRAMES.0)),
            (3, 0, 4, Some(RESETS.0)),
            (0, 0, 0, Some(IDLE_FRAMES.0)),
            (0, 0, 1, None),
            (8, 0, 4, None),
        ] {
            for cut in [1, 5, 9, 1000] {
                let mut frames = Frames::new();
                assert!(frames.follow(&preface));
                let many = frame(kind, flags, payload).repeat(2 * IDLE_FRAMES.0 as usize);
                let passed = many.chunks(cut).take_while(|chunk| frames.follow(chunk)).map(<[u8]>::len).sum::<usize>();
                let whole = passed / (9 + payload);
                match most {
                    None => assert_eq!(passed, many.len()),
                    Some(most) => {
                        assert!(whole + 200 > most as usize && whole < 2 * most as usize, "{kind} {cut}: {whole}")
                    }
                }
            }
        }
    }
}
