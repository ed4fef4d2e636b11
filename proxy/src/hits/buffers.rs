//! Buffers that a connection has only while it needs them: thousands of connections wait for their next request, and few are
//! being served at a time.
//!
//! Each thread has one place to read first bytes into and one for a piece of a file, and keeps some buffers for requests that are
//! read and heads that are written. Invariant: a connection that waits for a request holds none.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at first: many requests, or what of one comes at once.
const FIRST_BYTES: usize = 16 << 10;
/// Room of a buffer for requests at first: most fit.
const READ_BYTES: usize = 1 << 10;
/// The largest that is kept for the next.
const READ_BYTES_MAX: usize = 4 << 10;
/// Buffers for requests that a thread keeps.
const READS_MAX: usize = 32;
/// Buffers for heads that a thread keeps.
const HEADS_MAX: usize = 32;
/// First size of one.
const HEAD_BYTES: usize = 1 << 10;
/// The largest that is kept: a head and the body behind it.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Bytes of a piece of a file: it is copied twice, and is still in the processor's cache the second time.
const PIECE_BYTES: usize = 256 << 10;

thread_local! {
    static PIECE: RefCell<Box<[u8]>> = RefCell::new(Box::default());
    static FIRST: RefCell<Box<[u8]>> = RefCell::new(vec![0; FIRST_BYTES].into());
    static READS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static HEADS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Reads the first bytes of a request behind what `read` has, which is nothing: how many came, 0 at the end. While none comes,
/// `read` is without memory.
pub(super) fn poll_first<S: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    stream: &mut S,
    read: &mut BytesMut,
) -> Poll<std::io::Result<usize>> {
    FIRST.with_borrow_mut(|first| {
        let mut into = ReadBuf::new(first);
        match Pin::new(&mut *stream).poll_read(context, &mut into) {
            Poll::Ready(Ok(())) => {
                if read.capacity() == 0 {
                    *read = READS.with_borrow_mut(Vec::pop).unwrap_or_default();
                    read.reserve(READ_BYTES);
                }
                read.extend_from_slice(into.filled());
                Poll::Ready(Ok(into.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if read.capacity() > 0 {
                    let read = std::mem::take(read);
                    READS.with_borrow_mut(|reads| {
                        if reads.len() < READS_MAX && read.capacity() <= READ_BYTES_MAX {
                            reads.push(read);
                        }
                    });
                }
                Poll::Pending
            }
        }
    })
}

/// Gives a place for a piece of a file.
pub(super) fn with_piece<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    PIECE.with_borrow_mut(|piece| {
        if piece.is_empty() {
            *piece = vec![0; PIECE_BYTES].into();
        }
        read(piece)
    })
}

/// An empty buffer.
pub(super) fn take() -> Vec<u8> {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(HEAD_BYTES))
}

/// Gives one back.
pub(super) fn give(mut head: Vec<u8>) {
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < HEADS_MAX && head.capacity() <= HEAD_BYTES_MAX {
            head.clear();
            heads.push(head);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read_first(stream: &mut tokio::io::DuplexStream, read: &mut BytesMut) -> usize {
        poll_fn(|context| poll_first(context, stream, read)).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_waits_holds_no_buffer_and_the_next_gets_it() {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        for had in [READ_BYTES, READ_BYTES_MAX, READ_BYTES_MAX + 1] {
            let mut read = BytesMut::with_capacity(had);
            assert!(poll_fn(|context| Poll::Ready(poll_first(context, &mut near, &mut read))).await.is_pending());
            assert_eq!(read.capacity(), 0);
            far.write_all(b"GET").await.unwrap();
            assert_eq!(read_first(&mut near, &mut read).await, 3);
            assert_eq!(
                (&read[..], read.capacity()),
                (&b"GET"[..], if had > READ_BYTES_MAX { READ_BYTES } else { had })
            );
        }
        drop(far);
        assert_eq!(read_first(&mut near, &mut BytesMut::new()).await, 0);
    }

    #[tokio::test]
    async fn what_comes_at_once_is_read_at_once() {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        far.write_all(&[b'x'; FIRST_BYTES + 5]).await.unwrap();
        let mut read = BytesMut::new();
        assert_eq!(read_first(&mut near, &mut read).await, FIRST_BYTES);
        assert_eq!(read_first(&mut near, &mut read).await, 5);
        assert_eq!(read.len(), FIRST_BYTES + 5);
    }

    #[test]
    fn buffers_come_back_empty_and_none_is_kept_that_is_large() {
        give(b"before".to_vec());
        assert_eq!(take(), b"");
        give(Vec::with_capacity(HEAD_BYTES_MAX + 1));
        assert_eq!(take().capacity(), HEAD_BYTES);
        (0..2 * HEADS_MAX).for_each(|_| give(Vec::with_capacity(1)));
        assert_eq!(HEADS.with_borrow(Vec::len), HEADS_MAX);
    }
}
