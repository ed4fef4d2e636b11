//! Where a request ends; what a client sends is followed to there, and what comes behind is kept for the next request.
//!
//! The framework takes bodies apart itself, and more leniently: an empty size, a line that ends with LF, an extension without end.
//! It also takes a request that a client sends before the answer to the one before for a fault of that one. Here every byte is
//! looked at before it gets there, by [`follow`]'s rules. Invariant: the framework is never given a byte beyond a request, nor one of
//! a body that is broken up to there; what follows is kept for the next request.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

use super::tapped::{Tap, Tapped};

mod follow;
pub(crate) use follow::{Broken, Chunks, Rest};

/// Bytes of a response that are held for more: its head, and what of its body came with the head of the origin's.
const HELD_BYTES: usize = 8 << 10;

/// A connection that brings the rest of a request.
pub(crate) type Checked = Tapped<Following>;

/// Follows a request to its end.
#[derive(Debug)]
pub(crate) struct Following {
    rest: Rest,
    /// What came behind it.
    beyond: BytesMut,
    /// Where the connection goes when it is dropped before all of the request has come.
    back: Option<oneshot::Sender<Stream>>,
    /// See [`hold`].
    holds: AtomicBool,
}

/// The small pieces of a response that begins now may be held until whoever writes it waits and reads from the client meanwhile, as the
/// framework does while it passes on what an origin sends. It does not while it waits for a fill.
pub(crate) fn hold(session: &ServerSession) {
    let stream = session.stream().and_then(|stream| (**stream).as_any().downcast_ref::<Checked>());
    if let Some(checked) = stream {
        checked.tap.holds.store(true, Relaxed);
    }
}

impl Checked {
    /// A connection whose request has been followed up to `rest`. Dropped before that has come it goes `back`: its client still
    /// sends.
    pub(crate) fn new(stream: Stream, rest: Rest, back: Option<oneshot::Sender<Stream>>) -> Self {
        Self::over(stream, Following { rest, beyond: BytesMut::new(), back, holds: AtomicBool::new(false) })
    }

    /// The connection, and what came behind the request.
    pub(crate) fn into_parts(mut self) -> (Stream, BytesMut) {
        let beyond = std::mem::take(&mut self.tap.beyond);
        (self.take(), beyond)
    }
}

impl Tap for Following {
    fn holds(&self) -> usize {
        if self.holds.load(Relaxed) { HELD_BYTES } else { 0 }
    }

    fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_over() {
            // Only whether the client is still there is of interest now. What it sends is the next request's.
            if !self.beyond.is_empty() {
                return Poll::Pending;
            }
            let mut room = [0; 1024];
            let mut more = ReadBuf::new(&mut room);
            ready!(Pin::new(stream).poll_read(cx, &mut more))?;
            self.beyond.extend_from_slice(more.filled());
            return if self.beyond.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        match self.rest.follow(came) {
            Ok(None) => {}
            Ok(Some(end)) => {
                self.beyond.extend_from_slice(&came[end..]);
                buf.set_filled(before + end);
            }
            Err(Broken) => {
                buf.set_filled(before);
                let why = "a chunked body that could be read in two ways";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn dropped(&mut self) -> Option<oneshot::Sender<Stream>> {
        self.back.take().filter(|_| !self.rest.is_over())
    }
}
