//! DNS on the wire: sockets and answers of our own around hickory's messages, because its server bounds no connections and
//! its catalogue can neither answer a client subnet nor keep an answer below the size we allow.
//!
//! What is odd is answered as the notes of RFC 1035, 6891 and 7871 say: several questions FORMERR, other opcodes NOTIMP,
//! other classes REFUSED, an unknown EDNS version BADVERS, a malformed client subnet FORMERR. Invariant: a response can be
//! read, and over UDP it is no longer than the client takes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Edns, LowerQuery, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, LowerName, RecordType};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use hickory_server::zone_handler::Queries;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::address::{embedded, masked};
use crate::answer::{Reply, Wanted};
use crate::counters::count;
use crate::director::Director;
use crate::limits::{AMPLIFICATION_MAX, TCP_IDLE_SECONDS, TRANSFERS_MAX, UDP_BYTES_MAX, UNVERIFIED_BYTES};
use crate::wire::{HEADER_BYTES, encoded, lower};

mod authentic;
mod cookie;
mod copy;
mod crowd;
mod encrypted;
mod hot;
mod https;
mod identity;
mod late;
mod listeners;
mod octets;
mod rate;
mod sieve;
mod tcp;
mod told;
mod udp;
mod update;

use authentic::Signed;
use cookie::Cookie;
pub use cookie::SECRET_BYTES;
pub use identity::{IDENTITY_BYTES_MAX, Identity};
pub use listeners::{Bound, Listeners};
pub use rate::RateLimit;
use rate::{Passage, Rate};
use udp::{Given, Written};
use update::Pending;

/// Bytes of a DNS message without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP_BYTES: u16 = 512;
/// The bit of a header's third byte that tells a response from a query (RFC 1035 §4.1.1).
const RESPONSE_BIT: u8 = 0x80;

/// How long a connection is kept when nothing comes, as it is told: in tenths of a second (RFC 7828 §3.1).
const KEEPALIVE_TENTHS: u16 = TCP_IDLE_SECONDS as u16 * 10;

/// The bit beside DO: a denial may have the code NXDOMAIN (RFC 9824 §5.1).
const COMPACT_OK: u16 = 0x4000;

/// How a server answers, whatever it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it says of itself.
    pub identity: Identity,
    /// What its cookies are made with; without one, a secret of its own.
    pub cookie_secret: Option<[u8; SECRET_BYTES]>,
    /// Bounds on answers; without one, none.
    pub rate: Option<RateLimit>,
    /// Bytes of an answer over UDP to a client that may not have asked: it has neither a cookie of ours nor a secret. What is
    /// longer is cut, and so is what has more than [`AMPLIFICATION_MAX`] times the bytes of its query.
    pub bytes_without_cookie: u16,
}

impl Default for Settings {
    fn default() -> Self {
        let bytes_without_cookie = UNVERIFIED_BYTES;
        Self { identity: Identity::default(), cookie_secret: None, rate: None, bytes_without_cookie }
    }
}

/// Serves as a handler of its own does; see [`serve_with`].
///
/// # Errors
/// When a socket is lost.
pub async fn serve(
    listeners: Listeners,
    director: Arc<Director>,
    settings: Settings,
    shutdown: watch::Receiver<bool>,
) -> Result<(), String> {
    serve_with(listeners, Handler::with(director, settings), shutdown).await
}

/// Serves until `shutdown` turns true: each UDP socket on a thread of its own, connections on the runtime.
///
/// # Errors
/// When a socket is lost.
pub async fn serve_with(
    listeners: Listeners,
    handler: Handler,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("a DNS socket is lost: {error}");
    let (mut serving, places) = (JoinSet::new(), tcp::places());
    let (_stop, stopping) = udp::stop().map_err(problem)?;
    let late = late::start(handler.clone()).map_err(problem)?;
    for Bound { udp, tcp } in listeners.into_bound() {
        for socket in udp {
            udp::start(socket, handler.clone(), late.clone(), stopping.clone()).map_err(problem)?;
        }
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
    /// Room for copies of zones.
    copies: Arc<Semaphore>,
    /// Room for connections over TLS and HTTPS.
    encrypted: Arc<Semaphore>,
}

/// What a message leads to.
enum Made {
    /// A response, or silence.
    Response(Option<Vec<u8>>),
    /// A change of a zone, which takes a while: [`Handler::finished`] is not for threads that answer others.
    Pending(Box<Pending>),
}

/// What the options of a query ask for.
struct Asked {
    subnet: Option<ClientSubnet>,
    /// Octets of that option as it came.
    subnet_octets: Option<usize>,
    cookie: Cookie,
    identity: bool,
    /// How long the connection is kept when nothing comes, where there is one.
    keepalive: bool,
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
        let copies = Arc::new(Semaphore::new(TRANSFERS_MAX));
        Self { director, settings: Arc::new(settings), secret, rate, copies, encrypted: Self::places() }
    }

    /// The response to a request over UDP, without a socket: for tests and fuzzing, by the way that sockets take.
    #[doc(hidden)]
    pub fn respond(&self, request: &[u8], client: SocketAddr) -> Option<Vec<u8>> {
        let mut response = [0; UDP_BYTES_MAX as usize];
        match self.datagram(request, client, since_1970(), &mut response) {
            Given::Response(written) => written.map(|written| match written {
                Written::Here(length) => response[..length].to_vec(),
                Written::There(response) => response,
            }),
            Given::Pending(change) => self.finished(&change),
        }
    }

    /// The same by the library alone.
    #[doc(hidden)]
    pub fn respond_by_library(&self, request: &[u8], client: SocketAddr) -> Option<Vec<u8>> {
        self.response(request.to_vec(), client, Protocol::Udp, since_1970())
    }

    /// The same where it is answered without the library; `None` where it is not, `Some(None)` when nothing is sent.
    #[doc(hidden)]
    pub fn respond_hot(&self, request: &[u8], client: SocketAddr) -> Option<Option<Vec<u8>>> {
        let mut response = [0; UDP_BYTES_MAX as usize];
        Some(match self.hot(request, client, since_1970(), &mut response)? {
            hot::Hot::Answered(length) => Some(response[..length].to_vec()),
            hot::Hot::Silent => None,
        })
    }

    /// The response to a message; none to a response and to what is too short to have a header.
    fn response(&self, message: Vec<u8>, client: SocketAddr, protocol: Protocol, now: Duration) -> Option<Vec<u8>> {
        match self.made(message, client, protocol, now) {
            Made::Response(response) => response,
            Made::Pending(change) => self.finished(&change),
        }
    }

    /// The same for a connection, whose thread does not wait for the disk.
    async fn awaited(&self, message: Vec<u8>, client: SocketAddr) -> Option<Vec<u8>> {
        match self.made(message, client, Protocol::Tcp, since_1970()) {
            Made::Response(response) => response,
            Made::Pending(change) => {
                let handler = self.clone();
                tokio::task::spawn_blocking(move || handler.finished(&change)).await.ok().flatten()
            }
        }
    }

    fn made(&self, message: Vec<u8>, client: SocketAddr, protocol: Protocol, now: Duration) -> Made {
        let header: Option<[u8; HEADER_BYTES]> = message.first_chunk().copied();
        let subnet_octets = octets::of_option(&message, EdnsCode::Subnet.into());
        let is_query = header.is_some_and(|header| header[2] & RESPONSE_BIT == 0);
        let Some(request) = Request::from_bytes(message, client, protocol).ok().filter(|_| is_query) else {
            let counters = self.director.counters();
            counters.query(protocol);
            count(&counters.malformed);
            let header = header.filter(|_| is_query);
            header.iter().for_each(|_| counters.rcode(u16::from(ResponseCode::FormErr)));
            return Made::Response(header.map(|header| unreadable(header).into()));
        };
        let signed = match self.authenticated(request.as_slice(), now.as_secs()) {
            Ok(signed) => signed,
            Err(refusal) => return Made::Response(Some(refusal)),
        };
        let signer = signed.as_ref().map(|signed| &signed.key.name);
        let response = match request.metadata.op_code {
            OpCode::Notify => self.coded(&request, |handler| handler.told(&request, signer)),
            OpCode::Update => match self.permitted(&request, signer) {
                Ok(target) => return Made::Pending(Box::new(Pending::new(request, signed, target))),
                Err(code) => self.coded(&request, |_| code),
            },
            _ if copy::is_datagram(&request) => {
                return Made::Response(self.changes(&request, signed.as_ref(), now.as_secs()));
            }
            _ => self.written(&request, subnet_octets, signed.as_ref().map(Signed::bytes), now),
        };
        Made::Response(response.map(|response| signed_by(signed.as_ref(), response, now.as_secs())))
    }

    /// The response to a request that is no query: its question and a code.
    fn coded(&self, request: &Request, code: impl FnOnce(&Self) -> ResponseCode) -> Option<Vec<u8>> {
        let counters = self.director.counters();
        counters.query(request.protocol());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        (metadata.response_code, metadata.authoritative) = (code(self), true);
        counters.rcode(u16::from(metadata.response_code));
        let query =
            request.queries.queries().first().filter(|_| repeatable(&request.queries)).map(LowerQuery::original);
        let mut reply = Reply::empty(metadata.response_code);
        encoded(metadata, query, &mut reply, None, u16::MAX).ok().flatten()
    }

    /// The response to a query, with room left for a signature of so many bytes when the query has one.
    fn written(
        &self,
        request: &Request,
        subnet_octets: Option<usize>,
        signature: Option<u16>,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let now_s = now.as_secs() as u32;
        let asked = self.asked(request, subnet_octets, now_s);
        let mut reply = self.reply(request, &asked, now);
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
        let query =
            request.queries.queries().first().filter(|_| repeatable(&request.queries)).map(LowerQuery::original);
        let whole = match passage {
            Passage::Sent => {
                let known = asked.cookie.is_known() || signature.is_some();
                let bound = self.size_bound(request, known).saturating_sub(signature.unwrap_or(0));
                encoded(metadata, query, &mut reply, edns.as_ref(), bound)
            }
            Passage::Cut | Passage::Dropped => Ok(None),
        };
        let message = whole.and_then(|whole| match whole {
            Some(message) => Ok(Some(message)),
            None => {
                count(if passage == Passage::Cut { &counters.rate_cut } else { &counters.truncated });
                metadata.truncation = true;
                encoded(metadata, query, &mut Reply::empty(reply.code), edns.as_ref(), u16::MAX)
            }
        });
        message.unwrap_or_else(|error| {
            tracing::error!(%error, "a DNS response cannot be written");
            None
        })
    }

    /// Bytes a response may have: over UDP what the client offers, at least 512, at most [`UDP_BYTES_MAX`], and no more than a
    /// forged query may bring its victim.
    fn size_bound(&self, request: &Request, known: bool) -> u16 {
        if request.protocol() != Protocol::Udp {
            return u16::MAX;
        }
        let offered = request.edns.as_ref().map_or(PLAIN_UDP_BYTES, Edns::max_payload);
        let offered = offered.clamp(PLAIN_UDP_BYTES, UDP_BYTES_MAX);
        if known { offered } else { offered.min(self.unverified_bound(request.as_slice().len())) }
    }

    /// Bytes of an answer over UDP to a query of so many bytes whose sender may be somebody else.
    fn unverified_bound(&self, query_bytes: usize) -> u16 {
        let amplified = (query_bytes * AMPLIFICATION_MAX).min(usize::from(UDP_BYTES_MAX)) as u16;
        self.settings.bytes_without_cookie.min(amplified)
    }

    fn asked(&self, request: &Request, subnet_octets: Option<usize>, now_s: u32) -> Asked {
        let Some(edns) = &request.edns else {
            let cookie = Cookie::None;
            return Asked { subnet: None, subnet_octets, cookie, identity: false, keepalive: false };
        };
        let subnet = match edns.option(EdnsCode::Subnet) {
            Some(EdnsOption::Subnet(subnet)) => Some(*subnet),
            _ => None,
        };
        let cookie = match edns.option(EdnsCode::Cookie) {
            Some(EdnsOption::Unknown(_, bytes)) => Cookie::read(bytes, request.src().ip(), &self.secret, now_s),
            _ => Cookie::None,
        };
        let identity = edns.option(EdnsCode::NSID).is_some();
        // Over UDP it is passed over (RFC 7828 §3.2.1).
        let keepalive = request.protocol() != Protocol::Udp && edns.option(EdnsCode::Keepalive).is_some();
        Asked { subnet, subnet_octets, cookie, identity, keepalive }
    }

    /// What becomes of a reply: bounded is what goes by UDP to somebody who may not have asked.
    fn passage(&self, request: &Request, asked: &Asked, reply: &Reply, now_s: u32) -> Passage {
        let Some(rate) = self.rate.as_ref().filter(|_| request.protocol() == Protocol::Udp && !asked.cookie.is_known())
        else {
            return Passage::Sent;
        };
        // Failures are of a zone: who asks for names by chance gets them for ever new ones. A signed one may be called none.
        let missing = reply.denied.as_ref().is_some_and(|denied| !denied.exists);
        let code = if missing { ResponseCode::NXDomain } else { reply.code };
        let name = match code {
            ResponseCode::NoError => request.queries.queries().first().map(|query| lower(query.name())),
            _ => reply.authority.first().map(|record| lower(&LowerName::from(&record.name))),
        };
        rate.pass(request.src().ip(), u16::from(code), &name.unwrap_or_default(), now_s)
    }

    fn reply(&self, request: &Request, asked: &Asked, now: Duration) -> Reply {
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
        let subnet = subnet.map(|subnet| (subnet.addr(), subnet.source_prefix()));
        let (client, before) = subject(subnet, request.src().ip());
        let name = info.query.name().clone();
        let mut reply = self.director.answer(&name, info.query.query_type(), client);
        if let Some(flags) = request.edns.as_ref().map(Edns::flags).filter(|flags| flags.dnssec_ok) {
            self.director.sign(&mut reply, Wanted { compact: flags.z & COMPACT_OK != 0, now_s: now.as_secs() });
        }
        reply.scope = widened(reply.scope, subnet, before);
        reply
    }

    fn response_edns(&self, edns: &Edns, reply: &Reply, asked: &Asked) -> Edns {
        let mut response = Edns::new();
        response.set_max_payload(UDP_BYTES_MAX);
        response.set_version(0);
        // RFC 3225 §3: the DO bit is copied.
        response.set_dnssec_ok(edns.flags().dnssec_ok);
        // RFC 9824 §5.1: who understands it says so.
        response.flags_mut().z = if edns.flags().dnssec_ok { edns.flags().z & COMPACT_OK } else { 0 };
        let options = response.options_mut();
        if let Some(subnet) = asked.subnet.filter(|_| reply.code != ResponseCode::FormErr) {
            let address: IpAddr = subnet.addr();
            options.insert(EdnsOption::Subnet(ClientSubnet::new(address, subnet.source_prefix(), reply.scope)));
        }
        asked.cookie.option().into_iter().for_each(|cookie| options.insert(cookie));
        if let Some(name) = self.settings.identity.name.as_ref().filter(|_| asked.identity) {
            options.insert(EdnsOption::Unknown(EdnsCode::NSID.into(), name.as_bytes().to_vec()));
        }
        if asked.keepalive {
            options.insert(EdnsOption::Unknown(EdnsCode::Keepalive.into(), KEEPALIVE_TENTHS.to_be_bytes().to_vec()));
        }
        response
    }
}

/// A response as it goes to who signed the request.
fn signed_by(signed: Option<&Signed>, mut response: Vec<u8>, now_s: u64) -> Vec<u8> {
    signed.iter().for_each(|signed| drop(signed.sign(&mut response, now_s)));
    response
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whom an answer is for: the client subnet (address and source prefix), or the resolver. With source /0 the client does not want
/// to be placed; the resolver's own address is (RFC 7871 §7.1.2). With it come the bits before an IPv4 address inside IPv6.
fn subject(subnet: Option<(IpAddr, u8)>, resolver: IpAddr) -> (IpAddr, u8) {
    let (address, length) = subnet.filter(|(_, source)| *source > 0).unwrap_or((resolver, u8::MAX));
    embedded(address, length)
}

/// A scope as it is told of the subnet that came.
fn widened(scope: u8, subnet: Option<(IpAddr, u8)>, before: u8) -> u8 {
    match subnet {
        Some((_, 0)) => 0,
        _ if scope > 0 => scope + before,
        _ => 0,
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

/// Zones are not handed out in datagrams (RFC 5936 §2.2.1), changes of them by [`Handler::changes`].
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
