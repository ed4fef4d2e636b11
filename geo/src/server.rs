//! DNS on the wire: sockets and answers of our own around hickory's messages, because its server bounds no connections and
//! its catalogue can neither answer a client subnet nor keep an answer below the size we allow.
//!
//! What is odd is answered as the notes of RFC 1035, 6891 and 7871 say: several questions FORMERR, other opcodes NOTIMP,
//! other classes REFUSED, an unknown EDNS version BADVERS, a malformed client subnet FORMERR. Invariant: a response can be
//! read, and over UDP it is no longer than the client takes.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Edns, LowerQuery, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, LowerName, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::address::{embedded, masked};
use crate::answer::Reply;
use crate::counters::count;
use crate::director::Director;
use crate::limits::UDP_BYTES_MAX;

mod cookie;
mod identity;
mod octets;
mod rate;
mod tcp;
mod udp;

use cookie::Cookie;
pub use cookie::SECRET_BYTES;
pub use identity::{IDENTITY_BYTES_MAX, Identity};
pub use rate::RateLimit;
use rate::{Passage, Rate};

/// How often a pair of equal ports is tried for port 0.
const PORT_TRIES: usize = 32;
/// Bytes of a DNS message without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP_BYTES: u16 = 512;
/// Bytes of a header (RFC 1035 §4.1.1), and the bit of its third that tells a response from a query.
const HEADER_BYTES: usize = 12;
const RESPONSE_BIT: u8 = 0x80;

/// Bound sockets: UDP and TCP of each address on the same port.
#[derive(Debug)]
pub struct Listeners {
    pairs: Vec<(UdpSocket, TcpListener)>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Binds all `addresses` but those for which `inherited` has sockets bound by another process.
    ///
    /// # Errors
    /// One line that names the address.
    pub fn bind(
        addresses: &[SocketAddr],
        mut inherited: impl FnMut(SocketAddr) -> Option<(UdpSocket, TcpListener)>,
    ) -> Result<Self, String> {
        let mut listeners = Self { pairs: Vec::new(), addresses: Vec::new() };
        for address in addresses {
            let pair = inherited(*address).map_or_else(|| bind_pair(*address), ready);
            let (udp, tcp) = pair.map_err(|error| format!("cannot listen on {address} (listen.dns): {error}"))?;
            listeners.addresses.push(udp.local_addr().map_err(|error| error.to_string())?);
            listeners.pairs.push((udp, tcp));
        }
        Ok(listeners)
    }

    /// The sockets, in the order of the addresses.
    pub fn pairs(&self) -> &[(UdpSocket, TcpListener)] {
        &self.pairs
    }

    /// The addresses, with the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

fn bind_pair(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = TcpListener::bind(address)?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Err(_) if tries > 0 => {}
            udp => return ready((udp?, tcp)),
        }
    }
}

/// Sockets as they are served.
fn ready((udp, tcp): (UdpSocket, TcpListener)) -> std::io::Result<(UdpSocket, TcpListener)> {
    udp::tell_destinations(&udp)?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

/// How a server answers, whatever it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What it says of itself.
    pub identity: Identity,
    /// What its cookies are made with; without one, a secret of its own.
    pub cookie_secret: Option<[u8; SECRET_BYTES]>,
    /// Bounds on answers; without one, none.
    pub rate: Option<RateLimit>,
}

/// Serves until `shutdown` turns true.
///
/// # Errors
/// When a socket is lost.
pub async fn serve(
    listeners: Listeners,
    director: Arc<Director>,
    settings: Settings,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("a DNS socket is lost: {error}");
    let handler = Handler::with(director, settings);
    let (mut serving, places) = (JoinSet::new(), tcp::places());
    for (udp, tcp) in listeners.pairs {
        serving.spawn(udp::serve(tokio::net::UdpSocket::from_std(udp).map_err(problem)?, handler.clone()));
        let tcp = tokio::net::TcpListener::from_std(tcp).map_err(problem)?;
        serving.spawn(tcp::serve(tcp, handler.clone(), places.clone()));
    }
    let _ = shutdown.wait_for(|stop| *stop).await;
    Ok(())
}

/// Answers messages out of the director.
#[derive(Clone)]
pub struct Handler {
    director: Arc<Director>,
    settings: Arc<Settings>,
    secret: [u8; SECRET_BYTES],
    rate: Option<Arc<Rate>>,
}

/// What the options of a query ask for.
struct Asked {
    subnet: Option<ClientSubnet>,
    /// Octets of that option as it came.
    subnet_octets: Option<usize>,
    cookie: Cookie,
    identity: bool,
}

impl Handler {
    /// A handler for `director`, as servers are by default.
    pub fn new(director: Arc<Director>) -> Self {
        Self::with(director, Settings::default())
    }

    /// A handler for `director`.
    pub fn with(director: Arc<Director>, settings: Settings) -> Self {
        let secret = settings.cookie_secret.unwrap_or_else(rand::random);
        let rate = settings.rate.map(|limit| Arc::new(Rate::new(limit)));
        Self { director, settings: Arc::new(settings), secret, rate }
    }

    /// The response to a request over UDP, without a socket: for tests and fuzzing.
    #[doc(hidden)]
    pub fn respond(&self, request: Vec<u8>, client: SocketAddr) -> Option<Vec<u8>> {
        self.response(request, client, Protocol::Udp)
    }

    /// The response to a message; none to a response and to what is too short to have a header.
    fn response(&self, message: Vec<u8>, client: SocketAddr, protocol: Protocol) -> Option<Vec<u8>> {
        let header: Option<[u8; HEADER_BYTES]> = message.first_chunk().copied();
        let subnet_octets = octets::of_option(&message, EdnsCode::Subnet.into());
        let is_query = header.is_some_and(|header| header[2] & RESPONSE_BIT == 0);
        let Some(request) = Request::from_bytes(message, client, protocol).ok().filter(|_| is_query) else {
            let counters = self.director.counters();
            counters.query(protocol);
            count(&counters.malformed);
            let header = header.filter(|_| is_query)?;
            counters.rcode(u16::from(ResponseCode::FormErr));
            return Some(unreadable(header).into());
        };
        self.encoded(&request, subnet_octets)
    }

    fn encoded(&self, request: &Request, subnet_octets: Option<usize>) -> Option<Vec<u8>> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) as u32;
        let asked = self.asked(request, subnet_octets, now_s);
        let reply = self.reply(request, &asked);
        let counters = self.director.counters();
        let passage = self.passage(request, &asked, &reply, now_s);
        if passage == Passage::Dropped {
            count(&counters.rate_dropped);
            return None;
        }
        counters.rcode(u16::from(reply.code));
        let edns = request.edns.as_ref().map(|edns| self.response_edns(edns, &reply, &asked));
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = false;
        metadata.response_code = reply.code;
        let bound = size_bound(request);
        let nothing = Queries::read(&mut BinDecoder::new(&[]), 0).ok().filter(|_| !repeatable(&request.queries));
        let builder = MessageResponseBuilder::new(nothing.as_ref().unwrap_or(&request.queries), edns.as_ref());
        let mut response = Vec::with_capacity(usize::from(PLAIN_UDP_BYTES));
        let mut encoder = BinEncoder::new(&mut response);
        encoder.set_max_size(bound);
        let whole = passage == Passage::Sent && fits(&reply, bound);
        let encoded = if whole {
            let Reply { answers, authority, additional, .. } = &reply;
            builder
                .build(metadata, answers.iter(), authority.iter(), [].iter(), additional.iter())
                .destructive_emit(&mut encoder)
        } else {
            count(if passage == Passage::Cut { &counters.rate_cut } else { &counters.truncated });
            metadata.truncation = true;
            builder.build_no_records(metadata).destructive_emit(&mut encoder)
        };
        match encoded {
            Ok(_) => Some(response),
            Err(error) => {
                tracing::error!(%error, "a DNS response cannot be written");
                None
            }
        }
    }

    fn asked(&self, request: &Request, subnet_octets: Option<usize>, now_s: u32) -> Asked {
        let Some(edns) = &request.edns else {
            return Asked { subnet: None, subnet_octets, cookie: Cookie::None, identity: false };
        };
        let subnet = match edns.option(EdnsCode::Subnet) {
            Some(EdnsOption::Subnet(subnet)) => Some(*subnet),
            _ => None,
        };
        let cookie = Cookie::of(edns, request.src().ip(), &self.secret, now_s);
        Asked { subnet, subnet_octets, cookie, identity: edns.option(EdnsCode::NSID).is_some() }
    }

    /// What becomes of a reply: bounded is what goes by UDP to somebody who may not have asked.
    fn passage(&self, request: &Request, asked: &Asked, reply: &Reply, now_s: u32) -> Passage {
        let Some(rate) = self.rate.as_ref().filter(|_| request.protocol() == Protocol::Udp && !asked.cookie.is_known())
        else {
            return Passage::Sent;
        };
        let code = u16::from(reply.code);
        // Failures are of a zone: who asks for names by chance gets them for ever new ones.
        let zone = reply.authority.first().map(|record| LowerName::from(&record.name));
        let name = match reply.code {
            ResponseCode::NoError => request.queries.queries().first().map(|query| query.name().clone()),
            _ => zone,
        };
        rate.pass(request.src().ip(), (code, name), now_s)
    }

    fn reply(&self, request: &Request, asked: &Asked) -> Reply {
        let (counters, subnet) = (self.director.counters(), asked.subnet);
        counters.query(request.protocol());
        let malformed = |code| {
            count(&counters.malformed);
            Reply::empty(code)
        };
        if let Err(code) = allowed(request, asked) {
            return malformed(code);
        }
        let Ok(info) = request.request_info() else {
            return malformed(ResponseCode::FormErr);
        };
        if info.query.query_class() == DNSClass::CH {
            return self.settings.identity.answer(info.query.name(), info.query.query_type());
        }
        if subnet.is_some() {
            count(&counters.ecs);
        }
        // Source /0: the client does not want to be placed; the resolver's own address is (RFC 7871 §7.1.2).
        let subject = subnet.filter(|subnet| subnet.source_prefix() > 0);
        let subject = subject.map_or((request.src().ip(), u8::MAX), |subnet| (subnet.addr(), subnet.source_prefix()));
        let (client, before) = embedded(subject.0, subject.1);
        let name = info.query.name().clone();
        let mut reply = self.director.answer(&name, info.query.query_type(), client);
        if subnet.is_some_and(|subnet| subnet.source_prefix() == 0) {
            reply.scope = 0;
        }
        if reply.scope > 0 {
            reply.scope += before;
        }
        reply
    }

    fn response_edns(&self, edns: &Edns, reply: &Reply, asked: &Asked) -> Edns {
        let mut response = Edns::new();
        response.set_max_payload(UDP_BYTES_MAX);
        response.set_version(0);
        // RFC 3225 §3: the DO bit is copied.
        response.set_dnssec_ok(edns.flags().dnssec_ok);
        let options = response.options_mut();
        if let Some(subnet) = asked.subnet.filter(|_| reply.code != ResponseCode::FormErr) {
            let address: IpAddr = subnet.addr();
            options.insert(EdnsOption::Subnet(ClientSubnet::new(address, subnet.source_prefix(), reply.scope)));
        }
        asked.cookie.option().into_iter().for_each(|cookie| options.insert(cookie));
        if let Some(name) = self.settings.identity.name.as_ref().filter(|_| asked.identity) {
            options.insert(EdnsOption::Unknown(EdnsCode::NSID.into(), name.as_bytes().to_vec()));
        }
        response
    }
}

/// A FORMERR for a message of which only the header can be read: its id, opcode and RD bit, and nothing else.
fn unreadable(query: [u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    const OPCODE_AND_RD: u8 = 0x79;
    const FORMERR: u8 = 1;
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&[query[0], query[1], RESPONSE_BIT | query[2] & OPCODE_AND_RD, FORMERR]);
    header
}

/// What may be answered at all; else the code to refuse with.
fn allowed(request: &Request, asked: &Asked) -> Result<(), ResponseCode> {
    let metadata = &request.metadata;
    let edns_version = request.edns.as_ref().map_or(0, |edns| edns.version());
    match () {
        () if metadata.op_code != OpCode::Query => Err(ResponseCode::NotImp),
        () if !repeatable(&request.queries) => Err(ResponseCode::FormErr),
        () if edns_version > 0 => Err(ResponseCode::BADVERS),
        () if !matches!(request.queries.queries()[0].query_class(), DNSClass::IN | DNSClass::CH) => {
            Err(ResponseCode::Refused)
        }
        () if is_transfer(request.queries.queries()[0].query_type()) => Err(ResponseCode::Refused),
        () if is_meta(request.queries.queries()[0].query_type()) => Err(ResponseCode::FormErr),
        () if asked.subnet.is_some_and(|subnet| !well_formed(&subnet, asked.subnet_octets)) => {
            Err(ResponseCode::FormErr)
        }
        () if asked.cookie == Cookie::Malformed => Err(ResponseCode::FormErr),
        () => Ok(()),
    }
}

/// Zones are not handed out (RFC 5936 §2.2.1).
fn is_transfer(qtype: RecordType) -> bool {
    matches!(qtype, RecordType::AXFR | RecordType::IXFR)
}

/// Types that no question may have: reserved, OPT, and what only ever stands in messages (RFC 6895 §3.1).
fn is_meta(qtype: RecordType) -> bool {
    matches!(u16::from(qtype), 0 | 41 | 128..=250)
}

/// Whether there is one question, written out. Only such a one is sent back: several may need more room than the client
/// has, and a name that points into the header of the request reads differently behind that of the response.
fn repeatable(queries: &Queries) -> bool {
    const TYPE_AND_CLASS: usize = 4;
    let name_bytes = |query: &LowerQuery| if query.name().is_root() { 1 } else { query.name().len() + 1 };
    let written_out = |query: &LowerQuery| queries.as_bytes().len() == name_bytes(query) + TYPE_AND_CLASS;
    matches!(queries.queries(), [query] if written_out(query))
}

/// RFC 7871 §6: in a query the scope is 0, no bit is set beyond the source prefix, and there are as many octets as it needs.
fn well_formed(subnet: &ClientSubnet, octets: Option<usize>) -> bool {
    const FAMILY_AND_LENGTHS: usize = 4;
    let bits = if subnet.addr().is_ipv4() { 32 } else { 128 };
    let length = subnet.source_prefix();
    let needed = FAMILY_AND_LENGTHS + usize::from(length).div_ceil(8);
    let fits = octets.is_none_or(|octets| octets == needed);
    fits && subnet.scope_prefix() == 0 && length <= bits && masked(subnet.addr(), length) == subnet.addr()
}

/// Room kept for OPT with a client subnet, a cookie and a name.
const SLACK_FOR_OPT: usize = 64 + 28 + 4 + IDENTITY_BYTES_MAX;

fn sections(reply: &Reply) -> impl Iterator<Item = &hickory_proto::rr::Record> {
    reply.answers.iter().chain(&reply.authority).chain(&reply.additional)
}

/// Whether all records fit into `bound` bytes.
fn fits(reply: &Reply, bound: u16) -> bool {
    let size: usize = sections(reply).map(|record| record.to_bytes().map_or(0, |bytes| bytes.len())).sum();
    // Uncompressed sizes are an upper bound; the header and the question need at most this much more.
    size + 300 + SLACK_FOR_OPT <= usize::from(bound) || fits_compressed(reply, bound)
}

/// Whether the records fit once names are compressed: tried for real, and only when the bound is near.
fn fits_compressed(reply: &Reply, bound: u16) -> bool {
    let mut message = hickory_proto::op::Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answers(reply.answers.iter().cloned());
    message.add_authorities(reply.authority.iter().cloned());
    message.add_additionals(reply.additional.iter().cloned());
    // A question has at most 255 bytes of name; aliases repeat it, so it is usually compressed away.
    let question = reply.answers.first().map_or(255, |first| first.name.len());
    message.to_vec().is_ok_and(|bytes| bytes.len() + question + 4 + SLACK_FOR_OPT <= usize::from(bound))
}

/// Bytes a response may have: over UDP what the client offers, at least 512, at most [`UDP_BYTES_MAX`].
fn size_bound(request: &Request) -> u16 {
    if request.protocol() != Protocol::Udp {
        return u16::MAX;
    }
    request.edns.as_ref().map_or(PLAIN_UDP_BYTES, |edns| edns.max_payload().clamp(PLAIN_UDP_BYTES, UDP_BYTES_MAX))
}
