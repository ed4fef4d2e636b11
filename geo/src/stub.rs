//! A small stub resolver: asks given authoritative servers, with a given client subnet, and follows aliases across them.
//! For `littoral play`, the demo and tests; not a cache and not a recursive resolver.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::director::absolute;
use crate::limits::{RESOLVE_STEPS_MAX, UDP_BYTES_MAX};

/// How often a question is asked over UDP, where datagrams get lost.
const UDP_TRIES: u32 = 3;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// The server did not answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(SocketAddr),
    /// The server cannot be reached.
    #[error("{0}: {1}")]
    Unreachable(SocketAddr, String),
    /// The answer is no answer to the question.
    #[error("{0} sent an answer that cannot be read")]
    Malformed(SocketAddr),
    /// No server is known for the name.
    #[error("no DNS server is given for {0}")]
    NoServer(String),
    /// The name is no domain name.
    #[error("{0:?} is no domain name")]
    NoName(String),
    /// The server says no.
    #[error("{server} answers {code} for {name}")]
    Refused {
        /// The server.
        server: SocketAddr,
        /// The name asked for.
        name: String,
        /// The response code.
        code: String,
    },
    /// An alias leads on and on.
    #[error("{0}: the chain of aliases is too long")]
    TooLong(String),
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The response code, such as `No Error`.
    pub rcode: String,
    /// Whether it is authoritative.
    pub authoritative: bool,
    /// Aliases, in order, each with its target.
    pub aliases: Vec<(String, String)>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// The smallest TTL of the records, in seconds.
    pub ttl_s: u32,
    /// The scope of the client subnet, when there was one.
    pub scope: Option<u8>,
    /// Whether it came over TCP.
    pub tcp: bool,
}

/// One step of a resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Who was asked.
    pub server: SocketAddr,
    /// For which name.
    pub name: String,
    /// What it answered.
    pub answer: Answer,
}

/// A resolved name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The names on the way, the first as asked.
    pub chain: Vec<String>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The smallest TTL on the way.
    pub ttl_s: u32,
    /// Who was asked what.
    pub steps: Vec<Step>,
}

/// Asks `server` for the addresses of `name`, over UDP and, when that is cut, TCP.
///
/// # Errors
/// See [`StubError`].
pub async fn lookup(
    server: SocketAddr,
    name: &str,
    v6: bool,
    subnet: Option<IpNet>,
    patience: Duration,
) -> Result<Answer, StubError> {
    let question: Name = absolute(name).parse().map_err(|_| StubError::NoName(name.to_owned()))?;
    let kind = if v6 { RecordType::AAAA } else { RecordType::A };
    let query = query(question, kind, subnet);
    let bytes = query.to_vec().map_err(|_| StubError::NoName(name.to_owned()))?;
    let timed = |result| timeout_error(result, server);
    let mut reply = Err(StubError::TimedOut(server));
    for _ in 0..UDP_TRIES {
        reply = timed(timeout(patience / UDP_TRIES, udp(server, &bytes, &query)).await);
        if !matches!(reply, Err(StubError::TimedOut(_))) {
            break;
        }
    }
    let reply = reply?;
    if !reply.metadata.truncation {
        return Ok(read(&reply, false));
    }
    let reply = timed(timeout(patience, tcp(server, &bytes, &query)).await)?;
    Ok(read(&reply, true))
}

/// Follows `name` across the servers of `zones` (zone name and address; the longest matching zone counts).
///
/// # Errors
/// See [`StubError`].
pub async fn resolve(
    zones: &[(String, SocketAddr)],
    name: &str,
    subnet: Option<IpNet>,
    patience: Duration,
) -> Result<Resolved, StubError> {
    let mut at = absolute(name);
    let mut resolved = Resolved { chain: vec![at.clone()], addresses: Vec::new(), ttl_s: u32::MAX, steps: Vec::new() };
    for _ in 0..RESOLVE_STEPS_MAX {
        let server = server_for(zones, &at).ok_or_else(|| StubError::NoServer(at.clone()))?;
        let answer = lookup(server, &at, false, subnet, patience).await?;
        resolved.steps.push(Step { server, name: at.clone(), answer: answer.clone() });
        resolved.ttl_s = resolved.ttl_s.min(answer.ttl_s);
        resolved.chain.extend(answer.aliases.iter().map(|(_, target)| target.clone()));
        if !answer.addresses.is_empty() {
            resolved.addresses = answer.addresses;
            return Ok(resolved);
        }
        match answer.aliases.last() {
            Some((_, target)) if *target != at => at = target.clone(),
            _ => {
                return Err(StubError::Refused { server, name: at, code: answer.rcode });
            }
        }
    }
    Err(StubError::TooLong(name.to_owned()))
}

fn server_for(zones: &[(String, SocketAddr)], name: &str) -> Option<SocketAddr> {
    let within = |zone: &str| name == zone || zone == "." || name.ends_with(&format!(".{zone}"));
    let matching = zones.iter().map(|(zone, server)| (absolute(zone), server)).filter(|(zone, _)| within(zone));
    matching.max_by_key(|(zone, _)| zone.len()).map(|(_, server)| *server)
}

fn query(name: Name, kind: RecordType, subnet: Option<IpNet>) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    edns.set_version(0);
    if let Some(subnet) = subnet {
        let (address, length) = (subnet.trunc().addr(), subnet.prefix_len());
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, length, 0)));
    }
    message.set_edns(edns);
    message
}

fn timeout_error<T>(
    result: Result<Result<T, StubError>, tokio::time::error::Elapsed>,
    server: SocketAddr,
) -> Result<T, StubError> {
    result.unwrap_or(Err(StubError::TimedOut(server)))
}

async fn udp(server: SocketAddr, bytes: &[u8], query: &Message) -> Result<Message, StubError> {
    let unreachable = |error: std::io::Error| StubError::Unreachable(server, error.to_string());
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
    socket.connect(server).await.map_err(unreachable)?;
    socket.send(bytes).await.map_err(unreachable)?;
    let mut buffer = vec![0; usize::from(UDP_BYTES_MAX) + 1];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(unreachable)?;
        // What does not answer this very question may be forged: the true answer may still come.
        if let Some(reply) = matching(&buffer[..length], query) {
            return Ok(reply);
        }
    }
}

async fn tcp(server: SocketAddr, bytes: &[u8], query: &Message) -> Result<Message, StubError> {
    let unreachable = |error: std::io::Error| StubError::Unreachable(server, error.to_string());
    let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
    let length = u16::try_from(bytes.len()).map_err(|_| StubError::Malformed(server))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await.map_err(unreachable)?;
    let length = stream.read_u16().await.map_err(unreachable)?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await.map_err(unreachable)?;
    matching(&buffer, query).ok_or(StubError::Malformed(server))
}

fn matching(bytes: &[u8], query: &Message) -> Option<Message> {
    let reply = Message::from_vec(bytes).ok()?;
    let same = reply.metadata.id == query.metadata.id && reply.queries == query.queries;
    (same && reply.metadata.message_type == MessageType::Response).then_some(reply)
}

fn read(reply: &Message, tcp: bool) -> Answer {
    let mut answer = Answer {
        rcode: reply.metadata.response_code.to_string(),
        authoritative: reply.metadata.authoritative,
        aliases: Vec::new(),
        addresses: Vec::new(),
        ttl_s: reply.answers.iter().map(|record| record.ttl).min().unwrap_or(0),
        scope: None,
        tcp,
    };
    for record in &reply.answers {
        match &record.data {
            RData::A(address) => answer.addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => answer.addresses.push(IpAddr::V6(address.0)),
            RData::CNAME(target) => answer.aliases.push((record.name.to_string(), absolute(&target.0.to_string()))),
            _ => {}
        }
    }
    answer.scope = reply.edns.as_ref().and_then(|edns| match edns.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    });
    if reply.metadata.response_code == ResponseCode::NoError && reply.answers.is_empty() {
        answer.rcode = "No Data".into();
    }
    answer
}
