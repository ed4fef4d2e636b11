//! The few DNS messages a player needs on the wire: one question, A and CNAME answers, EDNS client subnet (RFC 7871).
//!
//! This is the client side, kept apart from the servers so that player and demo check them from outside with a codec of
//! their own. Invariant: decoding never panics and never reads outside the message; a message it does not understand is an
//! error, a record type it does not need is kept as its number.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail, ensure};
use serde::Serialize;

/// Largest UDP answer asked for, as EDNS payload size (octets).
pub(crate) const PAYLOAD_MAX: u16 = 1232;
/// Records read from one message; more is refused.
const RECORDS_MAX: u16 = 64;
/// Compression pointers followed in one name; a longer chain is a loop.
const POINTERS_MAX: usize = 32;
/// Octets of a name (RFC 1035 section 3.1).
const NAME_MAX: usize = 255;

pub(crate) const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const OPTION_CLIENT_SUBNET: u16 = 8;

/// A message with one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u16,
    pub(crate) response: bool,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) rcode: u8,
    /// Absolute name in lower case, with the final dot.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) answers: Vec<Record>,
    pub(crate) subnet: Option<ClientSubnet>,
}

/// A record of the answer section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An alias.
    Cname(String),
    /// Any other type, by number; its content is left out.
    Other(u16),
}

/// The EDNS client subnet option: `scope` is 0 in a query (RFC 7871 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ClientSubnet {
    pub(crate) network: Ipv4Addr,
    pub(crate) source: u8,
    pub(crate) scope: u8,
}

impl Message {
    /// A query for the A records of `name`.
    pub(crate) fn query(id: u16, name: &str, subnet: Option<ClientSubnet>) -> Self {
        Self { id, name: absolute(name), kind: TYPE_A, subnet, ..Self::default() }
    }

    /// The bytes of this message, names uncompressed.
    ///
    /// # Errors
    /// When a name has an empty or overlong label.
    pub(crate) fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(512);
        put(&mut out, self.id);
        let flags = u16::from(self.response) << 15
            | u16::from(self.authoritative) << 10
            | u16::from(self.truncated) << 9
            | u16::from(!self.response) << 8
            | u16::from(self.rcode & 15);
        put(&mut out, flags);
        put(&mut out, 1);
        put(&mut out, u16::try_from(self.answers.len())?);
        put(&mut out, 0);
        put(&mut out, 1);
        put_name(&mut out, &self.name)?;
        put(&mut out, self.kind);
        put(&mut out, CLASS_IN);
        for record in &self.answers {
            put_record(&mut out, record)?;
        }
        put_opt(&mut out, self.subnet);
        Ok(out)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is cut short, has a name that loops, not exactly one question, or too many records.
    pub(crate) fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut at = Reader { bytes, offset: 0 };
        let id = at.u16()?;
        let flags = at.u16()?;
        let [questions, answers, authority, additional] = [at.u16()?, at.u16()?, at.u16()?, at.u16()?];
        ensure!(questions == 1, "a DNS message with {questions} questions");
        let records = u32::from(answers) + u32::from(authority) + u32::from(additional);
        ensure!(records <= u32::from(RECORDS_MAX), "a DNS message with {records} records");
        let mut message = Self {
            id,
            response: flags & 0x8000 != 0,
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            rcode: (flags & 15) as u8,
            name: at.name()?,
            kind: at.u16()?,
            ..Self::default()
        };
        at.u16().context("a question without a class")?;
        for index in 0..records {
            at.record(&mut message, index < u32::from(answers))?;
        }
        Ok(message)
    }

    /// The addresses among the answers.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let address = |record: &Record| match record.data {
            Data::A(address) => Some(IpAddr::V4(address)),
            _ => None,
        };
        self.answers.iter().filter_map(address).collect()
    }

    /// The name at the end of the chain of aliases that starts at the question.
    pub(crate) fn final_name(&self) -> &str {
        let mut name = self.name.as_str();
        for _ in 0..self.answers.len() {
            let alias = self.answers.iter().find_map(|record| match &record.data {
                Data::Cname(target) if record.name == name => Some(target.as_str()),
                _ => None,
            });
            let Some(target) = alias else { break };
            name = target;
        }
        name
    }
}

impl ClientSubnet {
    /// The /24 that `address` is in, as a resolver that cares for privacy sends it (RFC 7871 section 11.1).
    pub(crate) fn of(address: Ipv4Addr) -> Self {
        Self { network: Ipv4Addr::from(u32::from(address) & 0xffff_ff00), source: 24, scope: 0 }
    }
}

impl std::fmt::Display for ClientSubnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.source)
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.data {
            Data::A(address) => write!(f, "{} {} A {address}", self.name, self.ttl),
            Data::Cname(target) => write!(f, "{} {} CNAME {target}", self.name, self.ttl),
            Data::Other(kind) => write!(f, "{} {} TYPE{kind}", self.name, self.ttl),
        }
    }
}

/// The name in lower case with its final dot.
pub(crate) fn absolute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.ends_with('.') { name } else { name + "." }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let (taken, _) = rest.split_at_checked(length).context("a DNS message cut short")?;
        self.offset += length;
        Ok(taken)
    }

    fn u16(&mut self) -> anyhow::Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn name(&mut self) -> anyhow::Result<String> {
        let mut name = String::new();
        let mut pointers = 0;
        let mut after_pointer = None;
        loop {
            let length = usize::from(self.take(1)?[0]);
            match length {
                0 => break,
                1..=63 => {
                    let label = self.take(length)?;
                    name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    name.push('.');
                    ensure!(name.len() <= NAME_MAX, "a DNS name longer than {NAME_MAX} octets");
                }
                192..=255 => {
                    pointers += 1;
                    ensure!(pointers <= POINTERS_MAX, "a DNS name whose compression loops");
                    let target = (length & 63) << 8 | usize::from(self.take(1)?[0]);
                    after_pointer.get_or_insert(self.offset);
                    self.offset = target;
                }
                _ => bail!("a DNS label of reserved type {length}"),
            }
        }
        self.offset = after_pointer.unwrap_or(self.offset);
        Ok(if name.is_empty() { ".".into() } else { name })
    }

    fn record(&mut self, message: &mut Message, in_answer: bool) -> anyhow::Result<()> {
        let name = self.name()?;
        let kind = self.u16()?;
        self.u16()?;
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let end = self.offset + length;
        let data = match kind {
            TYPE_A if length == 4 => {
                let octets = self.take(4)?;
                Data::A(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
            }
            TYPE_CNAME => Data::Cname(self.name()?),
            TYPE_OPT => {
                message.subnet = client_subnet(self.take(length)?)?;
                Data::Other(kind)
            }
            _ => {
                self.take(length)?;
                Data::Other(kind)
            }
        };
        ensure!(self.offset == end, "a DNS record whose length is not that of its content");
        if in_answer {
            message.answers.push(Record { name, ttl, data });
        }
        Ok(())
    }
}

fn client_subnet(options: &[u8]) -> anyhow::Result<Option<ClientSubnet>> {
    let mut at = Reader { bytes: options, offset: 0 };
    while at.offset < options.len() {
        let code = at.u16()?;
        let length = usize::from(at.u16()?);
        let content = at.take(length)?;
        if code != OPTION_CLIENT_SUBNET {
            continue;
        }
        let [0, 1, source, scope, octets @ ..] = content else {
            return Ok(None);
        };
        ensure!(octets.len() <= 4 && *source <= 32 && *scope <= 32, "an IPv4 client subnet of impossible length");
        let mut network = [0; 4];
        network[..octets.len()].copy_from_slice(octets);
        return Ok(Some(ClientSubnet { network: network.into(), source: *source, scope: *scope }));
    }
    Ok(None)
}

fn put(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_be_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &str) -> anyhow::Result<()> {
    for label in name.trim_end_matches('.').split('.').filter(|_| name != ".") {
        ensure!((1..=63).contains(&label.len()), "`{name}` is no DNS name");
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    Ok(())
}

fn put_record(out: &mut Vec<u8>, record: &Record) -> anyhow::Result<()> {
    let (kind, data) = match &record.data {
        Data::A(address) => (TYPE_A, address.octets().to_vec()),
        Data::Cname(target) => {
            let mut data = Vec::new();
            put_name(&mut data, target)?;
            (TYPE_CNAME, data)
        }
        Data::Other(_) => return Ok(()),
    };
    put_name(out, &record.name)?;
    put(out, kind);
    put(out, CLASS_IN);
    out.extend(record.ttl.to_be_bytes());
    put(out, u16::try_from(data.len())?);
    out.extend(data);
    Ok(())
}

fn put_opt(out: &mut Vec<u8>, subnet: Option<ClientSubnet>) {
    out.push(0);
    put(out, TYPE_OPT);
    put(out, PAYLOAD_MAX);
    out.extend([0; 4]);
    let Some(subnet) = subnet else { return put(out, 0) };
    let octets = subnet.network.octets();
    let octets = &octets[..usize::from(subnet.source.min(32).div_ceil(8))];
    put(out, octets.len() as u16 + 8);
    put(out, OPTION_CLIENT_SUBNET);
    put(out, octets.len() as u16 + 4);
    put(out, 1);
    out.extend([subnet.source, subnet.scope]);
    out.extend(octets);
}

#[cfg(test)]
#[path = "wire/tests.rs"]
mod tests;
