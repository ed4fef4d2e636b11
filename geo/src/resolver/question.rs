//! Questions of clients as bytes, and the replies to them.
//!
//! Invariants: what is no question gets no reply, so that two servers never answer each other's answers; a reply over UDP is no
//! longer than the client takes, and never more than [`UDP_BYTES_MAX`].

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use ipnet::IpNet;

use super::cache::{Found, Key, Whom};
use crate::address::{canonical, masked};
use crate::limits::UDP_BYTES_MAX;

/// Bytes of a DNS message without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP_BYTES: u16 = 512;
/// The bit of a header's third byte that tells a response from a query (RFC 1035 §4.1.1).
const RESPONSE_BIT: u8 = 0x80;
const HEADER_BYTES: usize = 12;

/// A client's question.
#[derive(Debug)]
pub(super) struct Asked {
    message: Message,
    pub(super) key: Key,
    /// The client's own subnet option: what is known of it, nothing with a length of 0, which asks that nobody be told.
    pub(super) subnet: Option<ClientSubnet>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Read {
    Asked(Box<Asked>),
    /// It is refused with this.
    Refused(Vec<u8>),
    /// It is passed over.
    Nothing,
}

impl Asked {
    pub(super) fn read(bytes: &[u8]) -> Read {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>().filter(|header| header[2] & RESPONSE_BIT == 0) else {
            return Read::Nothing;
        };
        let Ok(message) = Message::from_vec(bytes) else {
            return Read::Refused(unreadable(*header));
        };
        match refusal(&message) {
            Some(code) => Read::Refused(coded(&message, code)),
            None => {
                let query = &message.queries[0];
                let unchecked = message.metadata.checking_disabled;
                let key = Key { name: LowerName::from(query.name()), kind: query.query_type(), unchecked };
                let subnet = subnet(&message);
                Read::Asked(Box::new(Self { message, key, subnet }))
            }
        }
    }

    /// The subnet that servers of chosen zones are told: the client's own word for it where that is believed, else its address.
    /// Nobody is told of addresses that mean nothing elsewhere, nor where the client does not want it.
    pub(super) fn subnet_of(&self, client: IpAddr, believed: bool) -> Option<IpNet> {
        match self.subnet {
            Some(subnet) if subnet.source_prefix() == 0 => None,
            Some(subnet) if believed => IpNet::new(subnet.addr(), subnet.source_prefix()).ok(),
            _ => Some(canonical(client)).filter(|address| is_global(*address)).map(IpNet::from),
        }
    }

    /// The reply; its code is known.
    pub(super) fn refused(&self, code: ResponseCode) -> Vec<u8> {
        coded(&self.message, code)
    }

    /// The bytes of the reply, cut when they are more than the client takes, and whether they were.
    pub(super) fn reply(&self, found: &Found, over_udp: bool) -> Option<(Vec<u8>, bool)> {
        let wants_signatures = self.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let mut reply = Message::response(self.message.metadata.id, OpCode::Query);
        let head = &mut reply.metadata;
        head.recursion_desired = true;
        head.recursion_available = true;
        head.checking_disabled = self.message.metadata.checking_disabled;
        head.authentic_data = found.secure && (wants_signatures || self.message.metadata.authentic_data);
        head.response_code = found.code;
        let query = &self.message.queries[0];
        reply.add_query(query.clone());
        let shown = |record: &&Record| wants_signatures || !is_of_dnssec(record, query.query_type());
        let mut answers: Vec<Record> = found.answers.iter().filter(shown).cloned().collect();
        if found.whom == Whom::All {
            take_turns(&mut answers);
        }
        for mut record in answers {
            if record.name == *query.name() {
                record.name.clone_from(query.name());
            }
            reply.add_answer(record);
        }
        reply.add_authorities(found.authority.iter().filter(shown).filter(|_| found.answers.is_empty()).cloned());
        if self.message.edns.is_some() {
            reply.set_edns(self.edns(found.whom.scope(), wants_signatures));
        }
        let bytes = reply.to_vec().ok()?;
        let bound = match &self.message.edns {
            _ if !over_udp => u16::MAX,
            Some(edns) => edns.max_payload().clamp(PLAIN_UDP_BYTES, UDP_BYTES_MAX),
            None => PLAIN_UDP_BYTES,
        };
        if bytes.len() <= usize::from(bound) {
            return Some((bytes, false));
        }
        Some((reply.truncate().to_vec().ok()?, true))
    }

    fn edns(&self, scope: u8, wants_signatures: bool) -> Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        edns.set_dnssec_ok(wants_signatures);
        if let Some(subnet) = self.subnet {
            let scope = if subnet.source_prefix() == 0 { 0 } else { scope };
            edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(
                subnet.addr(),
                subnet.source_prefix(),
                scope,
            )));
        }
        edns
    }
}

/// A name in small letters: where they were mixed for a question, servers repeat them.
pub(super) fn in_small_letters(record: &mut Record) {
    record.name = record.name.to_lowercase();
    match &mut record.data {
        RData::CNAME(target) => target.0 = target.0.to_lowercase(),
        RData::NS(server) => server.0 = server.0.to_lowercase(),
        RData::PTR(name) => name.0 = name.0.to_lowercase(),
        RData::MX(mail) => mail.exchange = mail.exchange.to_lowercase(),
        RData::SOA(soa) => {
            soa.mname = soa.mname.to_lowercase();
            soa.rname = soa.rname.to_lowercase();
        }
        _ => {}
    }
}

/// Another one of a name's addresses is first each time, so that its servers share the clients. Where a server chose for the client
/// the order is its own.
fn take_turns(answers: &mut [Record]) {
    let is_address = |record: &Record| record.data.ip_addr().is_some();
    let Some(first) = answers.iter().position(is_address) else { return };
    let count = answers[first..].iter().take_while(|record| is_address(record)).count();
    let turn = rand::random_range(0..count.max(1));
    answers[first..first + count].rotate_left(turn);
}

/// Whether a record proves others and was not asked for itself.
fn is_of_dnssec(record: &Record, asked: RecordType) -> bool {
    let kind = record.record_type();
    kind != asked && matches!(kind, RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3)
}

/// Why a question is not answered.
fn refusal(message: &Message) -> Option<ResponseCode> {
    if message.metadata.op_code != OpCode::Query || message.metadata.message_type != MessageType::Query {
        return Some(ResponseCode::NotImp);
    }
    let [query] = &message.queries[..] else {
        return Some(ResponseCode::FormErr);
    };
    let kind = u16::from(query.query_type());
    match () {
        () if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) => Some(ResponseCode::BADVERS),
        // Reserved, OPT, and what only stands in messages (RFC 6895 §3.1).
        () if matches!(kind, 0 | 41 | 128..=250) => Some(ResponseCode::FormErr),
        // Whole zones, and what others asked before.
        () if matches!(kind, 251..=254) || !message.metadata.recursion_desired => Some(ResponseCode::Refused),
        // Everything of a name (RFC 8482 §4).
        () if kind == 255 => Some(ResponseCode::NotImp),
        () if query.query_class() != DNSClass::IN => Some(ResponseCode::Refused),
        () if subnet(message).is_some_and(|subnet| !is_well_formed(&subnet)) => Some(ResponseCode::FormErr),
        () => None,
    }
}

/// RFC 7871 §6: in a query the scope is 0 and no bit is set beyond the source prefix.
fn is_well_formed(subnet: &ClientSubnet) -> bool {
    let bits = if subnet.addr().is_ipv4() { 32 } else { 128 };
    let length = subnet.source_prefix();
    subnet.scope_prefix() == 0 && length <= bits && masked(subnet.addr(), length) == subnet.addr()
}

fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(*subnet),
        _ => None,
    }
}

/// Whether an address says something about a client's place to others.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

/// The question again with a code; of several questions none.
fn coded(message: &Message, code: ResponseCode) -> Vec<u8> {
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.metadata.recursion_desired = message.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    if let [query] = &message.queries[..] {
        reply.add_query(query.clone());
    }
    if message.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        edns.set_rcode_high(code.high());
        reply.set_edns(edns);
    }
    reply.to_vec().unwrap_or_default()
}

/// A FORMERR for a message of which only the header can be read.
fn unreadable(query: [u8; HEADER_BYTES]) -> Vec<u8> {
    const OPCODE_AND_RD: u8 = 0x79;
    const FORMERR: u8 = 1;
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&[query[0], query[1], RESPONSE_BIT | query[2] & OPCODE_AND_RD, FORMERR]);
    header.into()
}

/// For fuzzing: whether bytes are a question that is looked up; a refusal must be readable.
#[doc(hidden)]
pub fn is_question(bytes: &[u8]) -> bool {
    match Asked::read(bytes) {
        Read::Asked(asked) => {
            let _told = asked.subnet_of(IpAddr::from([192, 0, 2, 1]), true);
            true
        }
        Read::Refused(reply) => {
            let is_header = reply.len() == HEADER_BYTES;
            assert!(is_header || Message::from_vec(&reply).is_ok(), "a refusal that cannot be read");
            false
        }
        Read::Nothing => false,
    }
}
