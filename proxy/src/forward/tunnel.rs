//! CONNECT: a way for bytes between a client of the explicit proxy and a server (RFC 9110 §9.3.6).
//!
//! Who may open one is [`super::Policy`]'s. A side that says it has sent everything is passed on, and the other may go on
//! sending. Invariant: a tunnel ends, and is counted, within its bounds in silence, time and bytes, and with the node.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Forward, Policy, Refusal, Target};
use crate::hits::Client;
use crate::node::Node;
use crate::observe::access::Tunnel as Told;

/// Bytes that are read at a time, in each direction.
const BUFFER_BYTES: usize = 16 << 10;
/// Addresses of a host that are tried.
pub const ADDRESSES_TRIED_MAX: usize = 4;
/// What says that the tunnel is open.
const OPENED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides had sent everything.
    Closed,
    /// One of them was gone.
    Broken,
    /// Nothing came for `forward.tunnel_idle`.
    Idle,
    /// It was open for `forward.tunnel_time`.
    Time,
    /// It moved `forward.tunnel_bytes`.
    Bytes,
}

impl Ended {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 5] = ["closed", "broken", "idle", "time", "bytes"];
}

/// What one tunnel has moved, and when it last did.
struct Meter {
    begun: Instant,
    /// Milliseconds from there to the last byte.
    last_ms: AtomicU64,
    moved: [AtomicU64; 2],
    bound: u64,
}

/// From whom bytes come, as places in [`Meter::moved`].
const FROM_CLIENT: usize = 0;
const TO_CLIENT: usize = 1;

/// One side of a tunnel; what is read from it is counted.
struct Side<'a, S> {
    inner: S,
    meter: &'a Meter,
    direction: usize,
}

/// Counts a tunnel as open while it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn join(open: &'a AtomicUsize, bound: usize) -> Option<Self> {
        let joined = open.fetch_update(Relaxed, Relaxed, |now| (now < bound).then_some(now + 1));
        joined.is_ok().then(|| Self(open))
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Meter {
    fn new(bound: Option<u64>) -> Self {
        let moved = [AtomicU64::new(0), AtomicU64::new(0)];
        Self { begun: Instant::now(), last_ms: AtomicU64::new(0), moved, bound: bound.unwrap_or(u64::MAX) }
    }

    fn note(&self, direction: usize, bytes: usize) {
        self.moved[direction].fetch_add(bytes as u64, Relaxed);
        self.last_ms.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn sums(&self) -> [u64; 2] {
        self.moved.each_ref().map(|moved| moved.load(Relaxed))
    }

    fn is_spent(&self) -> bool {
        self.sums().iter().sum::<u64>() >= self.bound
    }

    /// Returns once nothing has come for so long.
    async fn silence(&self, idle: Duration) {
        loop {
            let due = self.begun + Duration::from_millis(self.last_ms.load(Relaxed)) + idle;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.meter.is_spent() {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            self.meter.note(self.direction, came);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Answers a CONNECT whose `head` was read; `rest` came behind it. The connection is over afterwards.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    node: &Node,
    client: Client,
    stream: &mut S,
    head: &[u8],
    rest: &[u8],
) {
    let mut told = Told::new(head, client.address);
    match open(node, &mut told).await {
        Ok((_open, server, policy)) => {
            node.figures.request(None, 200);
            told.status = 200;
            let meter = Meter::new(policy.config.tunnel_bytes.map(|bytes| bytes.0));
            let ended = carry(stream, server, rest, &meter, &policy).await;
            let forward = &node.forward;
            forward.ended[ended as usize].add(1);
            for (counter, moved) in forward.moved.iter().zip(meter.sums()) {
                counter.add(moved);
            }
            (told.received, told.bytes) = (meter.sums()[FROM_CLIENT], meter.sums()[TO_CLIENT]);
            told.whole = ended == Ended::Closed;
        }
        Err(why) => {
            let (status, sentence) = node.forward.refuse(why).told();
            node.figures.request(None, status);
            told.status = status;
            let response = refusal(status, sentence, &node.name);
            let answered = timeout(node.hot().write_timeout, stream.write_all(response.as_bytes())).await;
            told.whole = matches!(answered, Ok(Ok(())));
        }
    }
    let _ = stream.shutdown().await;
    if let Some(log) = node.access.log() {
        log.tunnel(&told);
    }
}

fn refusal(status: u16, sentence: &str, node: &str) -> String {
    let status = http::StatusCode::from_u16(status).unwrap_or_default();
    let length = sentence.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\ncache-control: no-store\r\n\
         x-served-by: {node}\r\nconnection: close\r\n\r\n{sentence}\n"
    )
}

/// Connects to where the client wants to.
async fn open<'a>(
    node: &'a Node,
    told: &mut Told<'_>,
) -> Result<(Open<'a>, TcpStream, std::sync::Arc<Policy>), Refusal> {
    let forward: &Forward = &node.forward;
    let policy = forward.policy();
    let target = Target::of_authority(told.target, None)?;
    policy.may_connect(&target)?;
    let open = Open::join(&forward.open, policy.config.tunnels).ok_or(Refusal::Tunnels)?;
    let addresses = forward.addresses(node, &target).await?;
    told.asked = Some(std::time::Instant::now());
    let server = connect(&addresses, policy.config.timeouts.connect.0, &mut told.attempts).await?;
    told.connected = Some(std::time::Instant::now());
    Ok((open, server, policy))
}

/// The first address that answers.
async fn connect(addresses: &[SocketAddr], patience: Duration, attempts: &mut usize) -> Result<TcpStream, Refusal> {
    let mut why = Refusal::Unreachable;
    for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
        *attempts += 1;
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(server)) => {
                let _ = server.set_nodelay(true);
                return Ok(server);
            }
            Ok(Err(_)) => why = Refusal::Unreachable,
            Err(_) => why = Refusal::Late,
        }
    }
    Err(why)
}

/// Says that the tunnel is open and carries bytes until it ends.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    server: TcpStream,
    rest: &[u8],
    meter: &Meter,
    policy: &Policy,
) -> Ended {
    let mut client = Side { inner: stream, meter, direction: FROM_CLIENT };
    let mut server = Side { inner: server, meter, direction: TO_CLIENT };
    let carrying = async {
        client.write_all(OPENED).await?;
        client.flush().await?;
        meter.note(FROM_CLIENT, rest.len());
        server.write_all(rest).await?;
        copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await
    };
    let config = &policy.config;
    let time = async {
        match config.tunnel_time.0.is_zero() {
            true => std::future::pending().await,
            false => sleep_until(meter.begun + config.tunnel_time.0).await,
        }
    };
    tokio::select! {
        carried = carrying => match carried {
            Ok(_) => Ended::Closed,
            Err(_) if meter.is_spent() => Ended::Bytes,
            Err(_) => Ended::Broken,
        },
        () = meter.silence(config.tunnel_idle.0) => Ended::Idle,
        () = time => Ended::Time,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::net::TcpListener;

    use super::*;

    /// A tunnel: the client's end, the server's end, and how it will end.
    async fn tunnel(config: &str) -> (tokio::io::DuplexStream, TcpStream, tokio::task::JoinHandle<(Ended, [u64; 2])>) {
        let policy = Policy::new(&toml::from_str(config).unwrap());
        let (mut near, far) = duplex(64 << 10);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        let meter = Meter::new(policy.config.tunnel_bytes.map(|bytes| bytes.0));
        let carrying = tokio::spawn(async move {
            let mut far = far;
            let ended = carry(&mut far, server, b"early", &meter, &policy).await;
            (ended, meter.sums())
        });
        let mut opened = vec![0; OPENED.len()];
        near.read_exact(&mut opened).await.unwrap();
        assert_eq!(opened, OPENED);
        (near, other, carrying)
    }

    #[tokio::test]
    async fn a_side_that_has_sent_everything_still_gets_the_rest_of_the_other() {
        let (mut client, mut server, carrying) = tunnel("").await;
        client.write_all(b" and late").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = String::new();
        server.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "early and late");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        got.clear();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!((got.as_str(), carrying.await.unwrap()), ("answer", (Ended::Closed, [14, 6])));
    }

    #[tokio::test]
    async fn a_tunnel_ends_at_its_bound_of_bytes() {
        let (mut client, mut server, carrying) = tunnel("tunnel_bytes = \"1000B\"").await;
        server.write_all(&[7; 4000]).await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(carrying.await.unwrap().0, Ended::Bytes);
        assert!(got.len() <= BUFFER_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_ends_and_so_does_one_that_is_open_too_long() {
        let (_client, _server, carrying) = tunnel("tunnel_idle = \"10s\"").await;
        assert_eq!(carrying.await.unwrap().0, Ended::Idle);
        let (_client, _server, carrying) = tunnel("tunnel_idle = \"10s\"\ntunnel_time = \"9s\"").await;
        assert_eq!(carrying.await.unwrap().0, Ended::Time);
    }

    #[test]
    fn tunnels_beyond_the_bound_are_refused_and_closed_ones_make_room() {
        let open = AtomicUsize::new(0);
        let first = Open::join(&open, 1);
        assert!(first.is_some() && Open::join(&open, 1).is_none());
        drop(first);
        assert!(Open::join(&open, 1).is_some());
    }
}
