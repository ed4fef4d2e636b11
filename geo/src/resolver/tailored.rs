//! Questions that a client's subnet goes with (RFC 7871), which hickory's recursor cannot ask: one question to one server.
//!
//! The defences are those of its own questions: a socket with a random port, connected so that the kernel passes over other
//! senders; a random id; letters in mixed case, which the answer repeats. Invariant: an answer belongs to the question that was
//! sent, and of it only records of the zone that was asked are believed.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::net::NetError;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::counters::Counters;
use crate::counters::count;
use crate::limits::UDP_BYTES_MAX;

/// How often a question is sent over UDP, where datagrams get lost.
const UDP_TRIES: u32 = 2;
/// Sockets tried until one has a port that is free.
const PORT_TRIES: usize = 8;
/// Ports that are the system's, and not taken.
const PORT_MIN: u16 = 1024;

/// What a server said.
#[derive(Debug)]
pub(super) struct Said {
    /// Of it only what its zone may say.
    pub(super) message: Message,
    /// For how long a prefix it holds; 0 when the server took no note of the subnet.
    pub(super) scope: u8,
    /// Whether it took note.
    pub(super) scoped: bool,
}

/// Asks `server`, of the zone `zone`, over UDP and, where its answer is cut, over TCP; it has `patience` for each.
///
/// # Errors
/// When it gives no answer to just this question.
pub(super) async fn ask(
    server: SocketAddr,
    zone: &Name,
    query: &Query,
    subnet: Option<IpNet>,
    patience: Duration,
    counters: &Counters,
) -> Result<Said, NetError> {
    let question = question(rand::random(), query, subnet);
    let bytes = question.to_vec()?;
    count(&counters.asked_for_subnets);
    let said = over_udp(server, zone, &bytes, &question, patience, counters).await?;
    if !said.message.metadata.truncation {
        return Ok(said);
    }
    timeout(patience, over_tcp(server, zone, &bytes, &question)).await.unwrap_or(Err(NetError::Timeout))
}

/// The message of a question.
fn question(id: u16, query: &Query, subnet: Option<IpNet>) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let mut query = query.clone();
    query.name.randomize_label_case();
    message.add_query(query);
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    edns.set_dnssec_ok(true);
    if let Some(subnet) = subnet {
        let option = ClientSubnet::new(subnet.addr(), subnet.prefix_len(), 0);
        edns.options_mut().insert(EdnsOption::Subnet(option));
    }
    message.set_edns(edns);
    message
}

/// A message, when it answers `question`.
fn read(bytes: &[u8], question: &Message, zone: &Name) -> Option<Said> {
    let mut message = Message::from_vec(bytes).ok()?;
    let (head, asked) = (&message.metadata, &question.queries[0]);
    let is_reply = head.id == question.metadata.id && head.message_type == MessageType::Response;
    let repeats = matches!(&message.queries[..], [query] if query == asked && query.name.eq_case(&asked.name));
    if !is_reply || head.op_code != OpCode::Query || !repeats {
        return None;
    }
    let given = subnet(&message);
    let scope = match (given, subnet(question)) {
        (Some(given), Some(sent)) => {
            let same = given.addr() == sent.addr() && given.source_prefix() == sent.source_prefix();
            // An answer for another subnet is none (RFC 7871 §7.3).
            Some(given.scope_prefix()).filter(|_| same)?
        }
        // The whole Internet, or what was not asked for.
        _ => 0,
    };
    let within = |record: &Record| zone.zone_of(&record.name) && record.dns_class == asked.query_class;
    message.answers.retain(within);
    message.authorities.retain(within);
    message.additionals.clear();
    message.queries[0].name = asked.name.to_lowercase();
    Some(Said { message, scope, scoped: given.is_some() })
}

/// For fuzzing, which has no sockets: whether the bytes are an answer to a question with this id for `name` in `zone`.
///
/// # Errors
/// When these are no names.
#[doc(hidden)]
pub fn is_answer(bytes: &[u8], id: u16, name: &str, zone: &str) -> Result<bool, hickory_proto::ProtoError> {
    let (query, zone) = (Query::query(name.parse()?, RecordType::A), zone.parse()?);
    let mut question = question(id, &query, "198.18.3.0/24".parse().ok());
    question.queries[0].name = query.name;
    Ok(read(bytes, &question, &zone).is_some())
}

fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(*subnet),
        _ => None,
    }
}

/// A socket with a port by chance, which the system's own choice may not be.
async fn socket(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = |port| match server {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], port)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], port)),
    };
    for _ in 0..PORT_TRIES {
        if let Ok(socket) = UdpSocket::bind(any(rand::random_range(PORT_MIN..=u16::MAX))).await {
            return Ok(socket);
        }
    }
    UdpSocket::bind(any(0)).await
}

async fn over_udp(
    server: SocketAddr,
    zone: &Name,
    bytes: &[u8],
    question: &Message,
    patience: Duration,
    counters: &Counters,
) -> Result<Said, NetError> {
    let socket = socket(server).await?;
    socket.connect(server).await?;
    for _ in 0..UDP_TRIES {
        socket.send(bytes).await?;
        if let Ok(received) = timeout(patience / UDP_TRIES, receive(&socket, zone, question, counters)).await {
            return received;
        }
    }
    Err(NetError::Timeout)
}

/// The answer, whatever else comes before it.
async fn receive(socket: &UdpSocket, zone: &Name, question: &Message, counters: &Counters) -> Result<Said, NetError> {
    let mut buffer = [0; UDP_BYTES_MAX as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match read(&buffer[..length], question, zone) {
            Some(said) => return Ok(said),
            None => counters.forged.fetch_add(1, Relaxed),
        };
    }
}

async fn over_tcp(server: SocketAddr, zone: &Name, bytes: &[u8], question: &Message) -> Result<Said, NetError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| NetError::from("a question too long to be sent"))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    read(&reply, question, zone).ok_or_else(|| NetError::from("the server's answer is not to the question"))
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RData;
    use hickory_proto::rr::rdata::A;

    use super::*;

    const SUBNET: &str = "198.18.3.0/24";

    fn zone() -> Name {
        "chosen.example.".parse().unwrap()
    }

    fn asked() -> Message {
        question(7, &Query::query("www.chosen.example.".parse().unwrap(), RecordType::A), Some(SUBNET.parse().unwrap()))
    }

    fn record(name: &str) -> Record {
        Record::from_rdata(name.parse().unwrap(), 60, RData::A(A::new(192, 0, 2, 1)))
    }

    /// The answer to a question, changed.
    fn reply(change: impl FnOnce(&mut Message)) -> Option<Said> {
        let question = asked();
        let mut message = question.clone().into_response();
        message.add_answer(record("www.chosen.example."));
        change(&mut message);
        read(&message.to_vec().unwrap(), &question, &zone())
    }

    fn scoped(text: &str, scope: u8) -> Edns {
        let net: IpNet = text.parse().unwrap();
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(net.addr(), net.prefix_len(), scope)));
        edns
    }

    #[test]
    fn an_answer_with_another_id_question_spelling_or_subnet_is_none() {
        assert!(reply(|_| ()).is_some());
        assert!(reply(|message| message.metadata.id ^= 1).is_none());
        assert!(reply(|message| message.metadata.message_type = MessageType::Query).is_none());
        assert!(reply(|message| message.queries[0].query_type = RecordType::AAAA).is_none());
        assert!(reply(|message| message.queries.clear()).is_none());
        let other_case = |message: &mut Message| {
            let text = message.queries[0].name.to_ascii();
            let turned = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            message.queries[0].name = text.chars().map(turned).collect::<String>().parse().unwrap();
        };
        assert!(reply(other_case).is_none());
        assert!(reply(|message| message.edns = Some(scoped("198.18.4.0/24", 24))).is_none());
        let said = reply(|message| message.edns = Some(scoped(SUBNET, 16))).unwrap();
        assert_eq!((said.scope, said.scoped), (16, true));
        let said = reply(|message| message.edns = None).unwrap();
        assert_eq!((said.scope, said.scoped), (0, false));
    }

    #[test]
    fn records_of_other_zones_are_dropped_from_an_answer() {
        let said = reply(|message| {
            message.add_answer(record("www.bank.example."));
            message.add_authority(record("bank.example."));
            message.add_additional(record("ns.chosen.example."));
        });
        let message = said.unwrap().message;
        assert_eq!((message.answers.len(), message.authorities.len(), message.additionals.len()), (1, 0, 0));
        assert_eq!(message.queries[0].name.to_string(), "www.chosen.example.");
    }
}
