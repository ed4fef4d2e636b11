//! Buffers that a connection has only while it needs them: thousands of connections wait for their next request, and few are
//! being served at a time.
//!
//! Each thread has one place to read first bytes into and one for a piece of a file, and keeps some buffers for heads that are written. Invariant: what a
//! connection holds while it waits is at most [`KEPT_BYTES`].

use std::cell::RefCell;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at first: many requests, or what of one comes at once.
const FIRST_BYTES: usize = 16 << 10;
/// A read buffer of up to this size stays with its connection: most requests fit, and none of them needs a new one.
const KEPT_BYTES: usize = 512;
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
    static HEADS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Reads the first bytes of a request behind what `read` has, which is nothing. Returns how many, 0 at the end.
pub(super) async fn read_first<S: AsyncRead + Unpin>(stream: &mut S, read: &mut BytesMut) -> std::io::Result<usize> {
    std::future::poll_fn(|context| {
        FIRST.with_borrow_mut(|first| {
            let mut into = ReadBuf::new(first);
            match Pin::new(&mut *stream).poll_read(context, &mut into) {
                Poll::Ready(Ok(())) => {
                    read.extend_from_slice(into.filled());
                    Poll::Ready(Ok(into.filled().len()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => {
                    if read.capacity() > KEPT_BYTES {
                        *read = BytesMut::new();
                    }
                    Poll::Pending
                }
            }
        })
    })
    .await
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
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_connection_that_waits_lets_go_of_a_large_buffer_and_keeps_a_small_one() {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        for (had, keeps) in [(KEPT_BYTES, true), (KEPT_BYTES + 1, false)] {
            let mut read = BytesMut::with_capacity(had);
            {
                let mut reading = std::pin::pin!(read_first(&mut near, &mut read));
                assert!(futures_util::poll!(reading.as_mut()).is_pending());
                far.write_all(b"GET").await.unwrap();
                assert_eq!(reading.await.unwrap(), 3);
            }
            assert_eq!((&read[..], read.capacity() == had), (&b"GET"[..], keeps));
        }
        drop(far);
        assert_eq!(read_first(&mut near, &mut BytesMut::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_comes_at_once_is_read_at_once() {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        far.write_all(&[b'x'; FIRST_BYTES + 5]).await.unwrap();
        let mut read = BytesMut::new();
        assert_eq!(read_first(&mut near, &mut read).await.unwrap(), FIRST_BYTES);
        assert_eq!(read_first(&mut near, &mut read).await.unwrap(), 5);
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
