//! What of an answer is still to be written: a head, and blocks behind it.
//!
//! Blocks that lie in pages of the store are sent to a plain connection by the system, without a copy. Invariant: as few calls as
//! the slices of one allow, and none that was known to be in vain.

use std::future::poll_fn;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use littoral_cache::Pages;
use tokio::time::timeout;

use super::file::{FIRST_BYTES, Wire};

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// What is still to be written.
pub(crate) struct Unsent<'a> {
    head: &'a [u8],
    blocks: &'a [Bytes],
    /// Bytes of the first block that are written.
    skip: usize,
    /// Bytes that are written.
    pub(super) written: usize,
    paged: Paged<'a>,
    /// The connection took less than was to be sent: it is asked to say when it has room.
    full: bool,
}

/// What sending without a copy needs: the pages that blocks may lie in, and the socket of a plain connection that does not know it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Paged<'a> {
    pub(crate) pages: Option<&'a Pages>,
    pub(crate) socket: Option<BorrowedFd<'a>>,
}

impl<'a> Unsent<'a> {
    /// All of these.
    pub(crate) fn new(head: &'a [u8], blocks: &'a [Bytes], paged: Paged<'a>) -> Self {
        Self { head, blocks, skip: 0, written: 0, paged, full: false }
    }

    /// These but for the first bytes, which are `written`.
    pub(super) fn from(head: &'a [u8], blocks: &'a [Bytes], paged: Paged<'a>, written: usize) -> Self {
        let mut unsent = Self::new(head, blocks, paged);
        unsent.advance(written);
        unsent
    }

    /// Writes until all is written, and has a stream that keeps bytes back send them.
    pub(super) fn poll<S: Wire>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_once(context, stream))?;
        }
        Pin::new(stream).poll_flush(context)
    }

    /// Writes it all. The time-out is per call that makes progress.
    pub(crate) async fn send<S: Wire>(&mut self, stream: &mut S, patience: Duration) -> Result<()> {
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
    fn poll_once<S: Wire>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<Result<()>> {
        let run = self.run(stream);
        if self.head.is_empty()
            && !std::mem::take(&mut self.full)
            && let Some((pages, place, bytes)) = run
        {
            // What the stream has not sent yet comes before.
            ready!(Pin::new(&mut *stream).poll_flush(context))?;
            if let Some(to) = self.paged.socket.or_else(|| stream.socket())
                && let Some(sent @ 1..) = pages.send(place, bytes, to)?
            {
                self.full = sent < bytes;
                self.advance(sent);
                return Poll::Ready(Ok(()));
            }
        }
        let written = match (self.head, self.blocks) {
            (head, []) => ready!(Pin::new(stream).poll_write(context, head))?,
            ([], [block]) => ready!(Pin::new(stream).poll_write(context, &block[self.skip..]))?,
            (head, [block, ..]) if run.is_some() && !head.is_empty() => {
                let first = &block[self.skip..];
                let first = &first[..first.len().min(FIRST_BYTES)];
                let slices = [IoSlice::new(head), IoSlice::new(first)];
                ready!(Pin::new(stream).poll_write_vectored(context, &slices))?
            }
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

    /// What is next of the blocks and lies in one run in pages, if the system can send it: the pages, where in them, how many bytes.
    fn run<S: Wire>(&self, stream: &S) -> Option<(&'a Pages, u64, usize)> {
        let pages = self.paged.pages.filter(|_| self.paged.socket.is_some() || stream.socket().is_some())?;
        let (first, rest) = self.blocks.split_first()?;
        let first = &first[self.skip..];
        let place = pages.place(first)?;
        let follows = |bytes: &usize, block: &Bytes| {
            (pages.place(block) == Some(place + *bytes as u64)).then(|| *bytes + block.len())
        };
        let mut bytes = first.len();
        for block in rest.iter().take(SLICES_MAX) {
            let Some(more) = follows(&bytes, block) else { break };
            bytes = more;
        }
        Some((pages, place, bytes))
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
    use std::os::fd::AsFd;

    use littoral_pages::Writer;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

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
        Unsent::new(b"head", &blocks, Paged::default()).send(&mut near, Duration::from_secs(9)).await.unwrap();
        drop(near);
        let all = reading.await.unwrap();
        assert_eq!(all, [b"head".to_vec(), blocks.concat()].concat());
    }

    #[tokio::test]
    async fn a_body_in_pages_goes_out_whole_through_a_socket_that_is_read_slowly() {
        let pages = Pages::new(8).unwrap();
        let all: Vec<u8> = (0..3_700_001_u32).map(|at| (at / 7) as u8).collect();
        let mut writer = Writer::new(pages.clone());
        // A slot of somebody else lies between the first and the second.
        let mut others = Writer::new(pages.clone());
        let mut left = &all[..];
        while !left.is_empty() {
            left = &left[writer.write(left).unwrap().len()..];
            others.write(b"others").unwrap();
        }
        let mut blocks = writer.finish();
        blocks.push(Bytes::from_static(b"and what lies elsewhere"));
        for kept_apart in [false, true] {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let socket = kept_apart.then(|| near.as_fd().try_clone_to_owned().unwrap());
            let reading = tokio::spawn(async move {
                let (mut all, mut piece) = (Vec::new(), [0; 7777]);
                while let bytes @ 1.. = far.read(&mut piece).await.unwrap() {
                    all.extend_from_slice(&piece[..bytes]);
                    tokio::task::yield_now().await;
                }
                all
            });
            let paged = Paged { pages: Some(&pages), socket: socket.as_ref().map(AsFd::as_fd) };
            let mut unsent = Unsent::new(b"head", &blocks, paged);
            assert!(unsent.run(&near).is_some_and(|(_, place, bytes)| (place, bytes) == (0, 1 << 20)));
            unsent.send(&mut near, Duration::from_secs(9)).await.unwrap();
            drop((near, socket));
            assert!(reading.await.unwrap() == [b"head", &all[..], b"and what lies elsewhere"].concat());
        }
    }

    #[tokio::test]
    async fn what_was_taken_at_once_is_not_sent_again() {
        let blocks: Vec<Bytes> = [3_usize, 0, 5, 1].map(|bytes| vec![bytes as u8; bytes].into()).into();
        let all = [b"head".to_vec(), blocks.concat()].concat();
        for room in 1..=all.len() {
            let (mut near, mut far) = tokio::io::duplex(room);
            let mut unsent = Unsent::new(b"head", &blocks, Paged::default());
            let whole = poll_fn(|context| Poll::Ready(unsent.poll(context, &mut near))).await;
            assert_eq!((whole.is_ready(), unsent.written), (room == all.len(), room));
            let written = unsent.written;
            let reading = tokio::spawn(async move {
                let mut read = Vec::new();
                far.read_to_end(&mut read).await.unwrap();
                read
            });
            let mut rest = Unsent::from(b"head", &blocks, Paged::default(), written);
            rest.send(&mut near, Duration::from_secs(9)).await.unwrap();
            drop(near);
            assert_eq!(reading.await.unwrap(), all, "with room for {room} bytes");
        }
    }
}
