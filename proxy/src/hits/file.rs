//! Bodies that stay on disk: sent piece by piece from what the system has of the file in its memory.
//!
//! To a plain connection the system sends them itself (sendfile); elsewhere, and while a socket is full, a piece is read into a place
//! that the thread has, whenever the connection takes one: who waits for a slow client holds no piece, and reads it again. What has
//! to come from the medium, or was not verified yet, is read by [`Streamed::block`].
//!
//! Invariants: nothing is allocated per piece, but for blocks that come from the medium or are verified first; no call waits for the
//! medium.

use std::future::poll_fn;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::time::Duration;

use littoral_cache::Store;
use littoral_cache::disk::{Broken, Streamed};
use pingora::protocols::Stream;
use pingora::protocols::l4::ext::{TCP_INFO, get_tcp_info};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::buffers;
use super::unsent::{Paged, Unsent};

/// Bytes of a body that go out in one packet with its head, where the system sends the rest.
pub(super) const FIRST_BYTES: usize = 16 << 10;

/// A connection that hits are served on.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Its socket, if what is written to the connection is what goes out.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What the kernel knows of the way to the client.
    fn tcp_info(&self) -> Option<TCP_INFO> {
        self.socket().and_then(|socket| get_tcp_info(socket.as_raw_fd()).ok())
    }
}

impl Wire for TcpStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Wire for UnixStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

/// It may be TLS; what else there is to know is kept by [`super::Connection`].
impl Wire for Stream {
    fn tcp_info(&self) -> Option<TCP_INFO> {
        self.get_socket_digest().and_then(|socket| socket.tcp_info())
    }
}

/// Writes a head and the body behind it; `socket` is the connection's, where it does not know it itself. The time-out is per call
/// that makes progress.
pub(super) async fn write<S: Wire>(
    stream: &mut S,
    socket: Option<BorrowedFd<'_>>,
    head: &[u8],
    body: &Streamed,
    store: &Store,
    patience: Duration,
) -> Result<()> {
    let plain = socket.is_some() || stream.socket().is_some();
    let most = if plain { FIRST_BYTES } else { usize::MAX };
    let (mut head, mut at, mut buffered) = (head, 0, false);
    while !head.is_empty() || at < body.length() {
        if plain && head.is_empty() {
            if std::mem::take(&mut buffered) {
                // What the stream has not sent yet comes before.
                timeout(patience, stream.flush()).await.map_err(|_| ErrorKind::TimedOut)??;
            }
            // Nothing here waits, but others have their turn.
            tokio::task::coop::consume_budget().await;
            if let Some(to) = socket.or_else(|| stream.socket())
                && let Some(sent @ 1..) = body.send_at_once(at, to)?
            {
                at += sent as u64;
                continue;
            }
        }
        let written = timeout(patience, write_piece(stream, head, body, at, most)).await;
        let written = match written.map_err(|_| ErrorKind::TimedOut)?? {
            Some(0) => return Err(ErrorKind::WriteZero.into()),
            Some(written) => written,
            None => write_block(stream, head, body, at, (store, patience)).await?,
        };
        buffered = true;
        let of_head = written.min(head.len());
        head = &head[of_head..];
        at += (written - of_head) as u64;
    }
    stream.flush().await
}

/// Writes what the connection takes of the head and of the piece of the body that begins at `at` and has at most so many bytes.
/// `None` when that is not to be had at once.
async fn write_piece<S: Wire>(
    stream: &mut S,
    head: &[u8],
    body: &Streamed,
    at: u64,
    most: usize,
) -> Result<Option<usize>> {
    poll_fn(|context| {
        buffers::with_piece(|piece| match body.read_at_once(at, piece.split_at_mut(most.min(piece.len())).0) {
            Ok(Some(bytes)) => {
                let slices = [IoSlice::new(head), IoSlice::new(&piece[..bytes])];
                let slices = if head.is_empty() { &slices[1..] } else { &slices[..] };
                Pin::new(&mut *stream).poll_write_vectored(context, slices).map_ok(Some)
            }
            Ok(None) => std::task::Poll::Ready(Ok(None)),
            Err(broken) => std::task::Poll::Ready(Err(failed(broken))),
        })
    })
    .await
}

/// Writes the head, and the body from `at` to the end of the block that it lies in, which is read and verified.
async fn write_block<S: Wire>(
    stream: &mut S,
    head: &[u8],
    body: &Streamed,
    at: u64,
    (store, patience): (&Store, Duration),
) -> Result<usize> {
    let _room = store.room_for_block(body).ok_or(ErrorKind::OutOfMemory)?;
    let (from, block) = body.block(at).await.map_err(failed)?;
    let block = block.slice((at - from) as usize..);
    let bytes = head.len() + block.len();
    Unsent::new(head, &[block], Paged::default()).send(stream, patience).await?;
    Ok(bytes)
}

fn failed(broken: Broken) -> Error {
    Error::other(broken)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Instant, SystemTime};

    use http::{HeaderMap, StatusCode};
    use littoral_cache::disk::{DiskSettings, Disks};
    use littoral_cache::freshness::Lifetime;
    use littoral_cache::{Begin, Found, Head, Key, LfuSize, Settings};
    use tokio::io::AsyncReadExt;

    use super::*;

    impl Wire for tokio::io::DuplexStream {}

    /// A store with too little memory for anything, on this directory.
    fn store(path: &std::path::Path) -> Arc<Store> {
        let settings = Settings { memory_bytes: 2 << 20, object_bytes_max: 2 << 20 };
        let disk = DiskSettings { path: path.to_owned(), bytes: 1 << 30, min_free: 0, weight: 1, sync: false };
        Store::on_disks(settings, Box::new(LfuSize), Disks::open(vec![disk]).unwrap()).unwrap()
    }

    async fn on_disk(path: &std::path::Path, body: &[u8]) -> (Arc<Store>, Streamed) {
        let (filled, now, key) = (store(path), SystemTime::now(), Key::new("h", "/a"));
        let lifetime = Lifetime {
            born: now,
            fresh_until: now + Duration::from_secs(600),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            may_be_stale: false,
        };
        let head = Head { status: StatusCode::OK, headers: HeaderMap::new() };
        let length = Some(body.len() as u64);
        let begin = Begin { key: key.clone(), head, lifetime, length, begun: now, begun_purges: filled.purges() };
        let mut writer = filled.admit(begin).unwrap().start(None, None);
        writer.write(bytes::Bytes::copy_from_slice(body)).unwrap();
        writer.finish(now).unwrap().expect("published");
        filled.disks().unwrap().flush(Instant::now() + Duration::from_secs(60));
        drop(filled);
        let store = store(path);
        match store.find(&key, None).await {
            Some(Found::Streamed(_, body, _)) => (store, body),
            found => panic!("not on disk: {found:?}"),
        }
    }

    #[tokio::test]
    async fn a_body_on_disk_goes_out_whole_through_a_narrow_pipe_also_when_it_is_known_already() {
        let directory = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..700_001_u32).map(|at| (at / 7) as u8).collect();
        let (store, streamed) = on_disk(directory.path(), &body).await;
        for _ in 0..2 {
            let (mut near, mut far) = tokio::io::duplex(1000);
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                far.read_to_end(&mut all).await.unwrap();
                all
            });
            write(&mut near, None, b"head", &streamed, &store, Duration::from_secs(9)).await.unwrap();
            drop(near);
            assert!(reading.await.unwrap() == [b"head", &body[..]].concat());
        }
    }

    #[tokio::test]
    async fn a_body_on_disk_goes_out_whole_through_a_socket_that_is_read_slowly() {
        let directory = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..1_700_001_u32).map(|at| (at / 7) as u8).collect();
        let (store, streamed) = on_disk(directory.path(), &body).await;
        for kept_apart in [false, true] {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let socket = kept_apart.then(|| near.as_fd().try_clone_to_owned().unwrap());
            let reading = tokio::spawn(async move {
                let (mut all, mut piece) = (Vec::new(), [0; 777]);
                while let bytes @ 1.. = far.read(&mut piece).await.unwrap() {
                    all.extend_from_slice(&piece[..bytes]);
                    tokio::task::yield_now().await;
                }
                all
            });
            let patience = Duration::from_secs(9);
            write(&mut near, socket.as_ref().map(AsFd::as_fd), b"head", &streamed, &store, patience).await.unwrap();
            drop((near, socket));
            assert!(reading.await.unwrap() == [b"head", &body[..]].concat());
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_it() {
        let directory = tempfile::tempdir().unwrap();
        let (store, streamed) = on_disk(directory.path(), &[7; 1_700_000]).await;
        for _ in 0..2 {
            let (mut near, far) = UnixStream::pair().unwrap();
            let gone = async { drop(far) };
            let (sent, ()) =
                tokio::join!(write(&mut near, None, b"head", &streamed, &store, Duration::from_secs(9)), gone);
            assert_eq!(sent.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let (store, streamed) = on_disk(directory.path(), &[7; 700_000]).await;
        let (mut near, _far) = tokio::io::duplex(1000);
        let sent = write(&mut near, None, b"head", &streamed, &store, Duration::from_secs(9)).await;
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
