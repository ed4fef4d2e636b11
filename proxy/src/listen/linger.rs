//! The end of a connection whose client still sends.
//!
//! Who closes a socket with unread bytes in it has the system reset the connection, and a reset may take the last response away
//! before the client has read it (RFC 9112 §9.6). So the node says that it sends nothing more, and reads on for a while. Invariant: what
//! comes is dropped, and it comes to an end within [`LINGER`].

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// For how long a client may go on at most.
const LINGER: Duration = Duration::from_secs(10);
/// For how long it may be silent.
const SILENCE: Duration = Duration::from_secs(2);
/// Bytes read at a time.
const PIECE_BYTES: usize = 4 << 10;

/// Closes a connection for writing, and reads on until the client has closed it too, falls silent, or has had time enough.
pub(crate) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let ended = async {
        let _ = timeout(SILENCE, stream.shutdown()).await;
        let mut piece = [0; PIECE_BYTES];
        while matches!(timeout(SILENCE, stream.read(&mut piece)).await, Ok(Ok(1..))) {}
    };
    // However it ends, the connection is over.
    let _ = timeout(LINGER, ended).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_left_and_so_is_one_that_never_ends() {
        for (every, lasts) in [(SILENCE * 3, SILENCE), (SILENCE / 2, LINGER)] {
            let (mut near, far) = tokio::io::duplex(64);
            let (mut answer, mut sending) = tokio::io::split(far);
            let sent = Arc::new(AtomicUsize::new(0));
            let counted = sent.clone();
            let client = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    if sending.write_all(b"x").await.is_err() {
                        break;
                    }
                    counted.fetch_add(1, Relaxed);
                }
            });
            let begun = tokio::time::Instant::now();
            linger(&mut near).await;
            assert_eq!(begun.elapsed().as_secs(), lasts.as_secs());
            assert_eq!(answer.read(&mut [0]).await.unwrap(), 0, "the client is told that nothing more comes");
            assert_eq!(sent.load(Relaxed) > 0, lasts == LINGER);
            client.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_closes_ends_it_at_once() {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        far.write_all(&[b'x'; 50_000]).await.unwrap();
        drop(far);
        let begun = tokio::time::Instant::now();
        linger(&mut near).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
