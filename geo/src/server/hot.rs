//! Answers to the questions that most clients ask, without an allocation: addresses of a service, and what a zone file says of
//! a name. [`query`] tells such a question from all others, which are the library's.
//!
//! Invariant: for a question in small letters the bytes are those that [`Handler::response`] gives; for any other spelling they
//! are the same but for the question.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use hickory_server::net::xfer::Protocol;

use super::rate::Passage;
use super::{Cookie, Handler, PLAIN_UDP_BYTES, subject, widened};
use crate::counters::count;
use crate::director::Snapshot;
use crate::limits::UDP_BYTES_MAX;
use crate::wire::{HEADER_BYTES, Ready};
use query::{Options, Plain};

mod query;

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hot {
    /// So many bytes answer it.
    Answered(usize),
    /// Nothing is sent.
    Silent,
}

/// Bits of the second half of a header's flags and of the first.
const AUTHORITATIVE_RESPONSE: u8 = 0x84;
const TRUNCATED: u8 = 0x02;
const NOERROR: u16 = 0;
/// The owner of a record is the name at the head of the question.
const OWNER: [u8; 2] = [0xc0, HEADER_BYTES as u8];

/// A message being written; `None` when it has no more room.
struct Draft<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

/// What was written of records: how many of answer and authority, for how long a prefix they hold, and what decided.
struct Records {
    counts: [u16; 2],
    scope: u8,
    reason: Option<&'static str>,
}

impl Draft<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    fn number(&mut self, number: u16) -> Option<()> {
        self.put(&number.to_be_bytes())
    }

    fn address(&mut self, address: IpAddr, ttl_s: u32) -> Option<()> {
        let kind = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        self.put(&OWNER)?;
        self.number(kind.into())?;
        self.number(1)?;
        self.put(&ttl_s.to_be_bytes())?;
        match address {
            IpAddr::V4(v4) => {
                self.number(4)?;
                self.put(&v4.octets())
            }
            IpAddr::V6(v6) => {
                self.number(16)?;
                self.put(&v6.octets())
            }
        }
    }
}

impl Handler {
    /// Answers a query over UDP into `response`; `None` when it is one for [`Handler::response`]. Then nothing was counted.
    pub(super) fn hot(
        &self,
        query: &[u8],
        client: SocketAddr,
        now: Duration,
        response: &mut [u8; UDP_BYTES_MAX as usize],
    ) -> Option<Hot> {
        let query_bytes = query.len();
        let query = Plain::read(query)?;
        let now_s = now.as_secs() as u32;
        let edns = query.edns.as_ref();
        let cookie =
            edns.and_then(|edns| edns.cookie).map(|bytes| Cookie::read(bytes, client.ip(), &self.secret, now_s));
        if cookie == Some(Cookie::Malformed) {
            return None;
        }
        let bound = edns.map_or(PLAIN_UDP_BYTES, |edns| edns.payload.clamp(PLAIN_UDP_BYTES, UDP_BYTES_MAX));
        let mut draft = Draft { bytes: &mut response[..usize::from(bound)], length: HEADER_BYTES };
        draft.put(query.question)?;
        let behind_question = draft.length;
        let Records { mut counts, scope, reason } = self.records(&mut draft, &query, client.ip(), now)?;
        let behind_records = draft.length;
        if let Some(edns) = edns {
            self.options(&mut draft, edns, cookie, scope)?;
        }
        // Nothing can go wrong any more.
        let counters = self.director.counters();
        counters.query(Protocol::Udp);
        reason.into_iter().for_each(|reason| counters.reason(reason));
        if edns.is_some_and(|edns| edns.subnet.is_some()) {
            count(&counters.ecs);
        }
        let mut flags = [AUTHORITATIVE_RESPONSE | query.recursion_desired, query.checking_disabled];
        let known = cookie.is_some_and(Cookie::is_known);
        let rate = self.rate.as_ref().filter(|_| !known);
        let is_long = !known && draft.length > usize::from(self.unverified_bound(query_bytes));
        let cut = match rate.map_or(Passage::Sent, |rate| rate.pass(client.ip(), NOERROR, query.name(), now_s)) {
            Passage::Dropped => {
                count(&counters.rate_dropped);
                return Some(Hot::Silent);
            }
            Passage::Cut => Some(&counters.rate_cut),
            Passage::Sent => is_long.then_some(&counters.truncated),
        };
        if let Some(counter) = cut {
            count(counter);
            flags[0] |= TRUNCATED;
            counts = [0, 0];
            draft.bytes.copy_within(behind_records..draft.length, behind_question);
            draft.length -= behind_records - behind_question;
        }
        counters.rcode(NOERROR);
        let length = draft.length;
        let mut header = Draft { bytes: response, length: 0 };
        header.put(&query.id)?;
        header.put(&flags)?;
        [1, counts[0], counts[1], u16::from(edns.is_some())].into_iter().try_for_each(|count| header.number(count))?;
        Some(Hot::Answered(length))
    }

    /// The records for a question: of a service, or ready ones.
    fn records(&self, draft: &mut Draft, query: &Plain, client: IpAddr, now: Duration) -> Option<Records> {
        let snapshot = self.director.snapshot();
        let signatures = query.edns.as_ref().is_some_and(|edns| edns.dnssec_ok != 0);
        let of_address = matches!(query.kind.into(), RecordType::A | RecordType::AAAA);
        let Some(service) = snapshot.service(query.name()).filter(|_| of_address) else {
            let Ready { answers, authority, bytes } = snapshot.zones.ready(query.name(), query.kind, signatures)?;
            draft.put(bytes)?;
            return Some(Records { counts: [*answers, *authority], scope: 0, reason: None });
        };
        if signatures && service.signed {
            return None;
        }
        let subnet = query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let subnet = subnet.map(|subnet| (subnet.address, subnet.source));
        let (subject, before) = subject(subnet, client);
        let decided = self.director.decide_for(&snapshot, service, subject, now, 0);
        let counts = addresses(draft, &snapshot, &decided, query.kind, &service.negative)?;
        let scope = widened(decided.decision.scope, subnet, before);
        Some(Records { counts, scope, reason: Some(decided.decision.reason) })
    }

    /// OPT with what was asked for, in the order of [`Handler::response`].
    fn options(&self, draft: &mut Draft, edns: &Options, cookie: Option<Cookie>, scope: u8) -> Option<()> {
        const CODE_AND_LENGTH: usize = 4;
        draft.put(&[0])?;
        draft.number(RecordType::OPT.into())?;
        draft.number(UDP_BYTES_MAX)?;
        draft.put(&[0, 0, edns.dnssec_ok, 0])?;
        let cookie = match cookie {
            Some(Cookie::Of { answer, .. }) => Some(answer),
            _ => None,
        };
        let name = self.settings.identity.name.as_ref().filter(|_| edns.identity).map(String::as_bytes);
        let subnet = edns.subnet.as_ref();
        let lengths =
            [subnet.map(|subnet| subnet.octets.len() + 4), cookie.map(|cookie| cookie.len()), name.map(<[u8]>::len)];
        let total: usize = lengths.into_iter().flatten().map(|length| CODE_AND_LENGTH + length).sum();
        draft.number(total as u16)?;
        if let Some(subnet) = subnet {
            draft.number(query::SUBNET)?;
            draft.number(4 + subnet.octets.len() as u16)?;
            draft.number(if subnet.address.is_ipv4() { 1 } else { 2 })?;
            draft.put(&[subnet.source, scope])?;
            draft.put(subnet.octets)?;
        }
        for (code, bytes) in [(query::COOKIE, cookie.as_ref().map(<[u8; 24]>::as_slice)), (query::IDENTITY, name)] {
            if let Some(bytes) = bytes {
                draft.number(code)?;
                draft.number(bytes.len() as u16)?;
                draft.put(bytes)?;
            }
        }
        Some(())
    }
}

/// The addresses of a decision, or that there are none of this type: how many records of the two sections.
fn addresses(
    draft: &mut Draft,
    snapshot: &Snapshot,
    decided: &crate::director::Decided,
    kind: u16,
    negative: &Ready,
) -> Option<[u16; 2]> {
    let mut written = 0;
    for address in snapshot.addresses(decided, RecordType::AAAA == kind.into()) {
        draft.address(address, decided.decision.ttl_s)?;
        written += 1;
    }
    if written > 0 {
        return Some([written, 0]);
    }
    draft.put(&negative.bytes)?;
    Some([negative.answers, negative.authority])
}
