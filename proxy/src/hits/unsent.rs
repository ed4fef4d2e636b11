//! What of an answer is still to be written: a head, and blocks behind it.
//!
//! Invariant: as few calls as the slices of one allow, and none that was known to be in vain.

use std::future::poll_fn;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// What is still to be written.
pub(super) struct Unsent<'a> {
    head: &'a [u8],
    blocks: &'a [Bytes],
    /// Bytes of the first block that are written.
    skip: usize,
    /// Bytes that are written.
    pub(super) written: usize,
}

impl<'a> Unsent<'a> {
    /// All of these.
    pub(super) fn new(head: &'a [u8], blocks: &'a [Bytes]) -> Self {
        Self { head, blocks, skip: 0, written: 0 }
    }

    /// These but for the first bytes, which are `written`.
    pub(super) fn from(head: &'a [u8], blocks: &'a [Bytes], written: usize) -> Self {
        let mut unsent = Self::new(head, blocks);
        unsent.advance(written);
        unsent
    }

    /// Writes until all is written, and has a stream that keeps bytes back send them.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_once(context, stream))?;
        }
        Pin::new(stream).poll_flush(context)
    }

    /// Writes it all. The time-out is per call that makes progress.
    pub(super) async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, patience: Duration) -> Result<()> {
        let late = |_| Error::from(ErrorKind::TimedOut);
        while !self.is_empty() {
            timeout(patience, poll_fn(|context| self.poll_once(context, stream))).await.map_err(late)??;
        }
        timeout(patience, poll_fn(|context| Pin::new(&mut *stream).poll_flush(context))).await.map_err(late)?
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.blocks.is_empty()
    }

    /// One call. The slices are put together whenever it is polled, so that no connection has a place for them while it waits.
    fn poll_once<S: AsyncWrite + Unpin>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<Result<()>> {
        let written = match (self.head, self.blocks) {
            (head, []) => ready!(Pin::new(stream).poll_write(context, head))?,
            ([], [block]) => ready!(Pin::new(stream).poll_write(context, &block[self.skip..]))?,
            (head, blocks) => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                slices[0] = IoSlice::new(head);
                let mut filled = usize::from(!head.is_empty());
                for (at, block) in blocks.iter().take(SLICES_MAX - 1).enumerate() {
                    slices[filled] = IoSlice::new(if at == 0 { &block[self.skip..] } else { block });
                    filled += 1;
                }
                ready!(Pin::new(stream).poll_write_vectored(context, &slices[..filled]))?
            }
        };
        if written == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut bytes: usize) {
        self.written += bytes;
        let of_head = bytes.min(self.head.len());
        self.head = &self.head[of_head..];
        bytes -= of_head;
        while let [block, rest @ ..] = self.blocks
            && bytes + self.skip >= block.len()
        {
            bytes -= block.len() - self.skip;
            (self.blocks, self.skip) = (rest, 0);
        }
        self.skip += bytes;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_body_in_many_blocks_goes_out_whole_through_a_narrow_pipe() {
        let blocks: Vec<Bytes> = (0..70u8).map(|byte| vec![byte; 997].into()).collect();
        let (mut near, mut far) = tokio::io::duplex(1000);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        Unsent::new(b"head", &blocks).send(&mut near, Duration::from_secs(9)).await.unwrap();
        drop(near);
        let all = reading.await.unwrap();
        assert_eq!(all, [b"head".to_vec(), blocks.concat()].concat());
    }

    #[tokio::test]
    async fn what_was_taken_at_once_is_not_sent_again() {
        let blocks: Vec<Bytes> = [3_usize, 0, 5, 1].map(|bytes| vec![bytes as u8; bytes].into()).into();
        let all = [b"head".to_vec(), blocks.concat()].concat();
        for room in 1..=all.len() {
            let (mut near, mut far) = tokio::io::duplex(room);
            let mut unsent = Unsent::new(b"head", &blocks);
            let whole = poll_fn(|context| Poll::Ready(unsent.poll(context, &mut near))).await;
            assert_eq!((whole.is_ready(), unsent.written), (room == all.len(), room));
            let written = unsent.written;
            let reading = tokio::spawn(async move {
                let mut read = Vec::new();
                far.read_to_end(&mut read).await.unwrap();
                read
            });
            Unsent::from(b"head", &blocks, written).send(&mut near, Duration::from_secs(9)).await.unwrap();
            drop(near);
            assert_eq!(reading.await.unwrap(), all, "with room for {room} bytes");
        }
    }
}
