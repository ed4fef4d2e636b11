//! Zones sent to other servers: whole (AXFR, RFC 5936), or what has changed since a serial (IXFR, RFC 1995), to those who may. Over
//! UDP go only changes that one datagram holds.
//!
//! Services are config, not records, and signatures are each server's own: neither is sent. Invariant: a copy is of one version
//! of the zone, however long it takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, LowerQuery, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::authentic::Signed;
use super::{Handler, RESPONSE_BIT, repeatable, signed_by, since_1970};
use crate::answer::Reply;
use crate::counters::count;
use crate::limits::{TRANSFER_MESSAGE_BYTES, UDP_BYTES_MAX};
use crate::tsig::{Behind, Key};
use crate::wire::{HEADER_BYTES, behind_name, encoded, number};
use crate::zone::{Change, Zone, newer};

/// Messages that wait for a slow client.
const WAITING_MESSAGES: usize = 2;
const OPCODE: u8 = 0x78;

/// What answers a request for a copy.
pub(super) enum Sent {
    One(Vec<u8>),
    Many(mpsc::Receiver<Vec<u8>>),
}

/// What of a zone is sent.
enum Part {
    /// The SOA record: nothing is newer.
    Soa,
    Whole,
    Changes(Vec<Arc<Change>>),
}

impl Part {
    /// What is sent, in its order.
    fn records<'a>(&'a self, zone: &'a Zone) -> Box<dyn Iterator<Item = &'a Record> + 'a> {
        use std::iter::once;
        let soa = zone.body().soa();
        match self {
            Self::Soa => Box::new(once(soa)),
            Self::Whole => Box::new(once(soa).chain(zone.body().records()).chain(once(soa))),
            Self::Changes(changes) => {
                let of_one = |change: &'a Arc<Change>| {
                    let gone = once(&change.from).chain(&change.removed);
                    gone.chain(once(&change.to)).chain(&change.added)
                };
                Box::new(once(soa).chain(changes.iter().flat_map(of_one)).chain(once(soa)))
            }
        }
    }
}

/// Whether a request in a datagram is for what has changed in a zone.
pub(super) fn is_datagram(request: &Request) -> bool {
    let query = request.queries.queries().first().filter(|_| repeatable(&request.queries));
    let asks = query.is_some_and(|query| (query.query_type(), query.query_class()) == (RecordType::IXFR, DNSClass::IN));
    let plain = request.edns.as_ref().is_none_or(|edns| edns.version() == 0);
    request.protocol() == Protocol::Udp && request.metadata.op_code == OpCode::Query && asks && plain
}

impl Handler {
    /// Answers a request over UDP for what has changed: in this one message, or by the SOA record alone where that has no room, upon
    /// which the client comes by TCP (RFC 1995 §2).
    pub(super) fn changes(&self, request: &Request, signed: Option<&Signed>, now_s: u64) -> Option<Vec<u8>> {
        let (counters, query) = (self.director.counters(), request.queries.queries().first()?);
        counters.query(Protocol::Udp);
        let found = self.part(request, query, request.src(), signed.map(|signed| &signed.key.name));
        let code = found.as_ref().err().copied().unwrap_or(ResponseCode::NoError);
        counters.rcode(u16::from(code));
        let mut metadata = Metadata::response_from_request(&request.metadata);
        (metadata.response_code, metadata.authoritative) = (code, found.is_ok());
        let bound = self.size_bound(request, signed.is_some());
        let edns = request.edns.as_ref().map(|_| plain_edns());
        let message = |answers: Vec<Record>| {
            let mut reply = Reply { answers, ..Reply::empty(code) };
            let message = encoded(metadata, Some(query.original()), &mut reply, edns.as_ref(), bound).ok()??;
            Some(signed_by(signed, message, now_s)).filter(|message| message.len() <= usize::from(bound))
        };
        let Ok((zone, part)) = found else { return message(Vec::new()) };
        // Of the shortest records there is no room for more.
        const RECORDS_MAX: usize = UDP_BYTES_MAX as usize / 11;
        let changes: Option<Vec<Record>> = match &part {
            Part::Changes(_) => Some(part.records(&zone).take(RECORDS_MAX + 1).cloned().collect()),
            Part::Soa | Part::Whole => None,
        };
        let whole = changes.filter(|records| records.len() <= RECORDS_MAX).and_then(message);
        whole.inspect(|_| count(&counters.transfers)).or_else(|| message(vec![zone.body().soa().clone()]))
    }

    /// Answers a request over TCP for a copy; `None` for any other message.
    pub(super) fn copy(&self, message: &[u8], client: SocketAddr, now: Duration) -> Option<Sent> {
        let kind = behind_name(message, HEADER_BYTES).and_then(|at| number(message, at)).map(RecordType::from);
        let is_query = message.get(2)? & (RESPONSE_BIT | OPCODE) == 0;
        kind.filter(|kind| is_query && matches!(kind, RecordType::AXFR | RecordType::IXFR))?;
        let request = Request::from_bytes(message.to_vec(), client, Protocol::Tcp).ok()?;
        let query = request.queries.queries().first().filter(|_| repeatable(&request.queries))?.clone();
        Some(()).filter(|()| query.query_class() == DNSClass::IN)?;
        self.director.counters().query(Protocol::Tcp);
        let signed = match self.authenticated(message, now.as_secs()) {
            Ok(signed) => signed,
            Err(refusal) => return Some(Sent::One(refusal)),
        };
        let edns = request.edns.as_ref().map(|_| plain_edns());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let found = self.part(&request, &query, client, signed.as_ref().map(|signed| &signed.key.name));
        let found = found.and_then(|found| {
            let place = self.copies.clone().try_acquire_owned();
            let full = |_| {
                count(&self.director.counters().transfers_refused);
                ResponseCode::Refused
            };
            place.map(|place| (found, place)).map_err(full)
        });
        let code = found.as_ref().err().copied().unwrap_or(ResponseCode::NoError);
        (metadata.response_code, metadata.authoritative) = (code, found.is_ok());
        self.director.counters().rcode(u16::from(code));
        let ((zone, part), place) = match found {
            Ok(found) => found,
            Err(code) => {
                let reply = &mut Reply::empty(code);
                let mut refusal = encoded(metadata, Some(query.original()), reply, edns.as_ref(), u16::MAX).ok()??;
                signed.iter().for_each(|signed| drop(signed.sign(&mut refusal, now.as_secs())));
                return Some(Sent::One(refusal));
            }
        };
        count(&self.director.counters().transfers);
        let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
        let sheet = Sheet {
            metadata,
            query: query.original().clone(),
            edns,
            signed,
            prior: None,
            records: Vec::new(),
            bytes: 0,
            sender,
        };
        tokio::task::spawn_blocking(move || sheet.write(&zone, &part, place));
        Some(Sent::Many(receiver))
    }

    /// The zone that is asked for and what of it is to be sent.
    fn part(
        &self,
        request: &Request,
        query: &LowerQuery,
        client: SocketAddr,
        signer: Option<&LowerName>,
    ) -> Result<(Zone, Part), ResponseCode> {
        let snapshot = self.director.snapshot();
        let zone = snapshot.zones.named(query.name()).ok_or(ResponseCode::NotAuth)?;
        let permitted = zone.relations().transfer.as_ref().is_some_and(|access| access.permits(client.ip(), signer));
        if !permitted {
            count(&self.director.counters().transfers_refused);
            return Err(ResponseCode::Refused);
        }
        if zone.is_silent() {
            return Err(ResponseCode::ServFail);
        }
        let known = request.authorities.first().and_then(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        });
        let part = match (query.query_type(), known) {
            (RecordType::AXFR, _) => Part::Whole,
            (_, None) => return Err(ResponseCode::FormErr),
            (_, Some(known)) if !newer(zone.serial(), known) => Part::Soa,
            (_, Some(known)) => {
                zone.history().since(known).map_or(Part::Whole, |changes| Part::Changes(changes.to_vec()))
            }
        };
        Ok((zone.clone(), part))
    }
}

fn plain_edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    edns
}

/// A message that is being filled, one after the other.
struct Sheet {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
    signed: Option<Signed>,
    /// The signature of the message before.
    prior: Option<Vec<u8>>,
    records: Vec<Record>,
    bytes: usize,
    sender: mpsc::Sender<Vec<u8>>,
}

/// The client is gone, or a record cannot be written.
struct Ended;

impl Sheet {
    fn write(mut self, zone: &Zone, part: &Part, place: OwnedSemaphorePermit) {
        let written = part.records(zone).try_for_each(|record| self.put(record));
        if written.and_then(|()| self.send()).is_err() {
            tracing::debug!(zone = %zone.name(), "a copy of a zone was not sent to its end");
        }
        drop(place);
    }

    fn put(&mut self, record: &Record) -> Result<(), Ended> {
        let length = record.to_bytes().map_err(|_| Ended)?.len();
        if self.bytes + length > TRANSFER_MESSAGE_BYTES && !self.records.is_empty() {
            self.send()?;
        }
        self.bytes += length;
        self.records.push(record.clone());
        Ok(())
    }

    fn send(&mut self) -> Result<(), Ended> {
        let mut reply = Reply { answers: std::mem::take(&mut self.records), ..Reply::empty(ResponseCode::NoError) };
        self.bytes = 0;
        let message = encoded(self.metadata, Some(&self.query), &mut reply, self.edns.as_ref(), u16::MAX);
        let mut message = message.ok().flatten().ok_or(Ended)?;
        if let Some(signed) = &self.signed {
            let (key, now_s): (&Key, u64) = (&signed.key, since_1970().as_secs());
            self.prior = Some(match self.prior.take() {
                None => signed.sign(&mut message, now_s),
                Some(prior) => key.sign(&mut message, Behind::Message { mac: &prior, unsigned: &[] }, now_s),
            });
        }
        self.sender.blocking_send(message).map_err(|_| Ended)
    }
}
