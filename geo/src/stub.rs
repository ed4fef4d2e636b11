//! The client side of DNS: asks one server one question, for the player, the demo and tests.
//!
//! [`lookup`] is a stub without a memory; [`resolver`] is the demo's local resolver in front of several servers. Neither
//! walks from the root. Invariant: an answer belongs to the question that was sent (id, question, client subnet); anything
//! else that arrives is passed over, because it may be forged and the true answer may still come.

mod addresses;
mod cache;
mod message;
pub mod resolver;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use ipnet::{IpNet, Ipv4Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::limits::UDP_BYTES_MAX;

pub use addresses::{Addresses, addresses};
pub use message::{Answer, Data, Record, read_reply};

/// How often a question is asked over UDP, where datagrams get lost.
const UDP_TRIES: u32 = 3;
/// The prefix of a client that a resolver which cares for privacy passes on (RFC 7871 §11.1).
const SUBNET_BITS: u8 = 24;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// The server did not answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(SocketAddr),
    /// The server cannot be reached.
    #[error("{0}: {1}")]
    Unreachable(SocketAddr, String),
    /// The answer over TCP is no answer to the question.
    #[error("{0} sent an answer that cannot be read")]
    Malformed(SocketAddr),
    /// No server is known for the name.
    #[error("no DNS server is given for {0}")]
    NoServer(String),
    /// The name is no domain name.
    #[error("{0:?} is no domain name")]
    NoName(String),
    /// The server knows no address of the name; with the response code (RFC 6895 §2.3).
    #[error("{0} knows no address of {1} (response code {2})")]
    NoAddress(SocketAddr, String, u16),
    /// An alias leads on and on.
    #[error("{0}: the chain of aliases is too long")]
    TooLong(String),
}

/// The /24 that `client` is in, as it is sent for it.
pub fn subnet_of(client: Ipv4Addr) -> IpNet {
    Ipv4Net::new(client, SUBNET_BITS).expect("invariant: 24 bits are a prefix of IPv4").trunc().into()
}

/// Asks `server` for the IPv4 addresses of `name`, over UDP and, when the answer is cut, over TCP; `patience` is for each.
///
/// # Errors
/// See [`StubError`]. An answer with an error code is an answer.
pub async fn lookup(
    server: SocketAddr,
    name: &str,
    subnet: Option<IpNet>,
    patience: Duration,
) -> Result<Answer, StubError> {
    let no_name = || StubError::NoName(name.to_owned());
    let question = message::question(rand::random(), name, subnet).ok_or_else(no_name)?;
    ask(server, &question, patience).await
}

/// Asks over UDP and, when the answer is cut, over TCP.
async fn ask(server: SocketAddr, question: &Message, patience: Duration) -> Result<Answer, StubError> {
    let no_name = || StubError::NoName(question.queries[0].name().to_string());
    let bytes = question.to_vec().map_err(|_| no_name())?;
    let answer = udp(server, &bytes, question, patience).await?;
    if !answer.truncated {
        return Ok(answer);
    }
    timeout(patience, tcp(server, &bytes, question)).await.unwrap_or(Err(StubError::TimedOut(server)))
}

/// Asks again on the same socket, so that the answer to an earlier try still counts when it is late.
async fn udp(server: SocketAddr, bytes: &[u8], question: &Message, patience: Duration) -> Result<Answer, StubError> {
    let unreachable = |error: std::io::Error| StubError::Unreachable(server, error.to_string());
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
    socket.connect(server).await.map_err(unreachable)?;
    for _ in 0..UDP_TRIES {
        socket.send(bytes).await.map_err(unreachable)?;
        if let Ok(received) = timeout(patience / UDP_TRIES, receive(&socket, question)).await {
            return received.map_err(unreachable);
        }
    }
    Err(StubError::TimedOut(server))
}

async fn receive(socket: &UdpSocket, question: &Message) -> std::io::Result<Answer> {
    let mut buffer = [0; UDP_BYTES_MAX as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = message::read(&buffer[..length], question) {
            return Ok(answer);
        }
    }
}

async fn tcp(server: SocketAddr, bytes: &[u8], question: &Message) -> Result<Answer, StubError> {
    let unreachable = |error: std::io::Error| StubError::Unreachable(server, error.to_string());
    let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
    let length = u16::try_from(bytes.len()).map_err(|_| StubError::Malformed(server))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await.map_err(unreachable)?;
    let length = stream.read_u16().await.map_err(unreachable)?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await.map_err(unreachable)?;
    message::read(&buffer, question).ok_or(StubError::Malformed(server))
}

/// A name in lower case and with its final dot.
pub fn absolute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.ends_with('.') { name } else { format!("{name}.") }
}

#[cfg(test)]
mod tests;
