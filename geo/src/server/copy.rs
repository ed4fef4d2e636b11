//! Zones sent to other servers: whole (AXFR, RFC 5936), or what has changed since a serial (IXFR, RFC 1995), over TCP and to those
//! who may.
//!
//! Services are config, not records, and signatures are each server's own: neither is sent. Invariant: a copy is of one version
//! of the zone, however long it takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, LowerQuery, Metadata, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::authentic::Signed;
use super::{Handler, RESPONSE_BIT, repeatable, since_1970};
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

impl Handler {
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
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_BYTES_MAX);
            edns
        });
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
        tokio::task::spawn_blocking(move || sheet.write(&zone, part, place));
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
        count(&self.director.counters().transfers);
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
    fn write(mut self, zone: &Zone, part: Part, place: OwnedSemaphorePermit) {
        if self.part(zone, part).and_then(|()| self.send()).is_err() {
            tracing::debug!(zone = %zone.name(), "a copy of a zone was not sent to its end");
        }
        drop(place);
    }

    fn part(&mut self, zone: &Zone, part: Part) -> Result<(), Ended> {
        let body = zone.body();
        self.put(body.soa())?;
        match part {
            Part::Soa => return Ok(()),
            Part::Whole => body.records().try_for_each(|record| self.put(record))?,
            Part::Changes(changes) => {
                for change in &changes {
                    let gone = std::iter::once(&change.from).chain(&change.removed);
                    gone.chain(std::iter::once(&change.to))
                        .chain(&change.added)
                        .try_for_each(|record| self.put(record))?;
                }
            }
        }
        self.put(body.soa())
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
                Some(prior) => key.sign(&mut message, Behind::Message(&prior), now_s),
            });
        }
        self.sender.blocking_send(message).map_err(|_| Ended)
    }
}
