//! The messages of the client side: the question for addresses with a client subnet (RFC 7871), what of a reply counts,
//! and the reply of the resolver. No sockets here.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{self, Name, RData, RecordType};
use ipnet::IpNet;

use super::absolute;
use super::cache::Found;
use crate::limits::UDP_BYTES_MAX;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name asked for, in lower case and with its final dot.
    pub name: String,
    /// The response code (RFC 6895 §2.3); 0 is no error.
    pub code: u16,
    /// Whether the server is authoritative for it.
    pub authoritative: bool,
    /// The answer section, in order.
    pub records: Vec<Record>,
    /// For how long a prefix around the client's subnet it holds, when the server says so.
    pub scope: Option<u8>,
    /// Whether it was cut to fit into UDP.
    pub truncated: bool,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is, in lower case and with the final dot.
    pub name: String,
    /// For how many seconds it may be kept.
    pub ttl_s: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An address.
    Address(IpAddr),
    /// An alias, and for what name.
    Alias(String),
    /// Any other type, by its number; its content is left out.
    Other(u16),
}

impl Answer {
    /// Its addresses, in order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let address = |record: &Record| match record.data {
            Data::Address(address) => Some(address),
            _ => None,
        };
        self.records.iter().filter_map(address).collect()
    }

    /// The name at the end of the chain of aliases that starts at the question; a chain that loops ends anywhere in it.
    pub fn final_name(&self) -> &str {
        let mut name = self.name.as_str();
        for _ in &self.records {
            let target = self.records.iter().find_map(|record| match &record.data {
                Data::Alias(target) if record.name == name => Some(target),
                _ => None,
            });
            let Some(target) = target else { break };
            name = target;
        }
        name
    }

    /// For how many seconds all of it may be kept; 0 when there is nothing to keep.
    pub fn ttl_s(&self) -> u32 {
        self.records.iter().map(|record| record.ttl_s).min().unwrap_or(0)
    }
}

impl std::fmt::Display for Record {
    /// As in a master file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, ttl_s, data } = self;
        match data {
            Data::Address(IpAddr::V4(address)) => write!(f, "{name} {ttl_s} A {address}"),
            Data::Address(IpAddr::V6(address)) => write!(f, "{name} {ttl_s} AAAA {address}"),
            Data::Alias(target) => write!(f, "{name} {ttl_s} CNAME {target}"),
            Data::Other(kind) => write!(f, "{name} {ttl_s} TYPE{kind}"),
        }
    }
}

impl From<&rr::Record> for Record {
    fn from(record: &rr::Record) -> Self {
        let data = match &record.data {
            RData::A(address) => Data::Address(address.0.into()),
            RData::AAAA(address) => Data::Address(address.0.into()),
            RData::CNAME(target) => Data::Alias(absolute(&target.0.to_string())),
            _ => Data::Other(record.record_type().into()),
        };
        Self { name: absolute(&record.name.to_string()), ttl_s: record.ttl, data }
    }
}

impl Record {
    /// For the wire; nothing for what was not kept of it.
    fn to_wire(&self) -> Option<rr::Record> {
        let data = match &self.data {
            Data::Address(IpAddr::V4(address)) => RData::A((*address).into()),
            Data::Address(IpAddr::V6(address)) => RData::AAAA((*address).into()),
            Data::Alias(target) => RData::CNAME(CNAME(target.parse().ok()?)),
            Data::Other(_) => return None,
        };
        Some(rr::Record::from_rdata(self.name.parse().ok()?, self.ttl_s, data))
    }
}

/// The question for the IPv4 addresses of `name`; nothing when it is no domain name.
pub(super) fn question(id: u16, name: &str, subnet: Option<IpNet>) -> Option<Message> {
    question_of(id, name, RecordType::A, subnet)
}

/// The question for records of a type.
pub(super) fn question_of(id: u16, name: &str, kind: RecordType, subnet: Option<IpNet>) -> Option<Message> {
    let name: Name = absolute(name).parse().ok()?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    let subnet = subnet.map(|subnet| ClientSubnet::new(subnet.trunc().addr(), subnet.prefix_len(), 0));
    message.set_edns(edns(subnet));
    Some(message)
}

/// What `bytes` answer to `question`; nothing when they are not its answer.
pub(super) fn read(bytes: &[u8], question: &Message) -> Option<Answer> {
    let reply = Message::from_vec(bytes).ok()?;
    let metadata = &reply.metadata;
    let same = metadata.id == question.metadata.id && reply.queries == question.queries;
    if !same || metadata.message_type != MessageType::Response {
        return None;
    }
    Some(Answer {
        name: absolute(&question.queries.first()?.name().to_string()),
        code: metadata.response_code.into(),
        authoritative: metadata.authoritative,
        records: reply.answers.iter().map(Record::from).collect(),
        scope: scope(subnet(&reply), subnet(question))?,
        truncated: metadata.truncation,
    })
}

/// The scope of an answer, if any. RFC 7871 §7.3: an answer for another subnet than `asked` is no answer, and a subnet
/// that nobody asked for counts for nothing.
fn scope(given: Option<ClientSubnet>, asked: Option<ClientSubnet>) -> Option<Option<u8>> {
    let (Some(given), Some(asked)) = (given, asked) else { return Some(None) };
    let bits = if asked.addr().is_ipv4() { 32 } else { 128 };
    let fits = (given.addr(), given.source_prefix()) == (asked.addr(), asked.source_prefix());
    (fits && given.scope_prefix() <= bits).then_some(Some(given.scope_prefix()))
}

/// [`lookup`](super::lookup)'s reading of a reply to the question with this `id` for `name` and `subnet`: for tests and
/// fuzzing, which have no sockets.
#[doc(hidden)]
pub fn read_reply(id: u16, name: &str, subnet: Option<IpNet>, reply: &[u8]) -> Option<Answer> {
    read(reply, &question(id, name, subnet)?)
}

/// A client's question to the resolver.
pub(super) struct Asked {
    message: Message,
    /// In lower case and with its final dot.
    pub(super) name: String,
    /// Whether it is one for IPv4 addresses.
    pub(super) for_addresses: bool,
    /// The client's subnet, when it gives one.
    pub(super) subnet: Option<IpNet>,
}

impl Asked {
    /// Reads a question; nothing when it is none, so that two servers never answer each other's answers.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let message = Message::from_vec(bytes).ok()?;
        let is_query = message.metadata.message_type == MessageType::Query;
        if !is_query || message.metadata.op_code != OpCode::Query || message.queries.len() != 1 {
            return None;
        }
        let query = &message.queries[0];
        let network = |subnet: ClientSubnet| IpNet::new(subnet.addr(), subnet.source_prefix()).ok();
        Some(Self {
            name: absolute(&query.name().to_string()),
            for_addresses: query.query_type() == RecordType::A,
            subnet: subnet(&message).and_then(network).map(|network| network.trunc()),
            message,
        })
    }

    /// The bytes of the reply, cut when they are more than the client takes.
    pub(super) fn reply(&self, found: &Found) -> Option<Vec<u8>> {
        let mut reply = Message::response(self.message.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = self.message.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = found.code.into();
        reply.add_queries(self.message.queries.iter().cloned());
        reply.add_answers(found.records.iter().filter_map(Record::to_wire));
        if self.message.edns.is_some() {
            let scoped = |subnet: IpNet| ClientSubnet::new(subnet.addr(), subnet.prefix_len(), found.scope);
            reply.set_edns(edns(self.subnet.map(scoped)));
        }
        let bytes = reply.to_vec().ok()?;
        let bound = self.message.max_payload().min(UDP_BYTES_MAX);
        if bytes.len() <= usize::from(bound) { Some(bytes) } else { reply.truncate().to_vec().ok() }
    }
}

fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(*subnet),
        _ => None,
    }
}

fn edns(subnet: Option<ClientSubnet>) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    edns.set_version(0);
    if let Some(subnet) = subnet {
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
    }
    edns
}

#[cfg(test)]
mod tests;
