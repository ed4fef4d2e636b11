//! From a question to the records of its answer: zones, aliases, services. No packets here.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use crate::director::{Decided, Director, Snapshot};
use crate::limits::CNAME_CHAIN_MAX;
use crate::zone::{Told, Zone};

mod signed;

pub(crate) use signed::Wanted;

/// What is sent back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The response code.
    pub code: ResponseCode,
    /// Whether this node is authoritative for it.
    pub authoritative: bool,
    /// Answer section.
    pub answers: Vec<Record>,
    /// Authority section.
    pub authority: Vec<Record>,
    /// Additional section, without OPT.
    pub additional: Vec<Record>,
    /// For how long a prefix around the client it holds; 0: for everybody, as what a zone file says does.
    pub scope: u8,
    /// What it says is not there.
    pub(crate) denied: Option<Denied>,
}

/// A name or a type of it that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) name: LowerName,
    pub(crate) kind: RecordType,
    /// Whether the name is there.
    pub(crate) exists: bool,
}

impl Reply {
    /// A reply without records.
    pub fn empty(code: ResponseCode) -> Self {
        let (answers, authority, additional) = (Vec::new(), Vec::new(), Vec::new());
        Self { code, authoritative: false, answers, authority, additional, scope: 0, denied: None }
    }

    /// Says that something of a zone is not there.
    fn deny(&mut self, zone: &Zone, name: LowerName, kind: RecordType, exists: bool) {
        self.authority.push(zone.negative_soa());
        self.denied = Some(Denied { name, kind, exists });
    }
}

impl Director {
    /// Answers a question of class IN as seen from `client`.
    pub fn answer(&self, name: &LowerName, qtype: RecordType, client: IpAddr) -> Reply {
        let snapshot = self.snapshot();
        let mut reply = Reply::empty(ResponseCode::Refused);
        let (mut at, mut qtype) = (name.clone(), qtype);
        // The name that answers for others, once an ALIAS was met, and the TTL that it may have at most.
        let mut owner: Option<(LowerName, u32)> = None;
        for _ in 0..=CNAME_CHAIN_MAX {
            let Some(zone) = snapshot.zones.of_question(&at, qtype) else {
                // Outside our zones: refused when asked for, left to the resolver when an alias leads there.
                return in_place_of(owner, reply, &snapshot, qtype);
            };
            if zone.is_silent() {
                // Nothing is better known than that it is not known.
                return Reply::empty(ResponseCode::ServFail);
            }
            (reply.code, reply.authoritative) = (ResponseCode::NoError, true);
            // Of any other type a service may have records in the zone file.
            let is_address = matches!(qtype, RecordType::A | RecordType::AAAA | RecordType::ANY);
            if is_address && let Some(decided) = self.decide_in(&snapshot, &at, client, 0) {
                self.serve(&snapshot, &at, qtype, &decided, &mut reply);
                if reply.answers.last().is_none_or(is_alias) {
                    reply.deny(zone, at, qtype, true);
                }
                return in_place_of(owner, reply, &snapshot, qtype);
            }
            match self.tell(zone, &at, qtype) {
                // A loop: no record is sent twice (RFC 2181 §5).
                Told::Alias(record, _) if reply.answers.contains(&record) => return reply,
                Told::Alias(record, target) => {
                    let ttl = record.ttl;
                    match &mut owner {
                        // What lies behind an ALIAS is not told, only how long it holds.
                        Some((_, least)) => *least = ttl.min(*least),
                        None => reply.answers.push(record),
                    }
                    at = target;
                }
                Told::StandIn(ttl, target) => {
                    let (_, least) = owner.get_or_insert_with(|| (at.clone(), ttl));
                    *least = ttl.min(*least);
                    at = target;
                    // Of the other name only addresses are wanted.
                    qtype = if qtype == RecordType::ANY { RecordType::A } else { qtype };
                }
                told => {
                    finish(told, zone, (at, qtype), &mut reply);
                    return in_place_of(owner, reply, &snapshot, qtype);
                }
            }
        }
        // The chain is longer than any honest one: what was found is sent, the resolver may go on from there.
        in_place_of(owner, reply, &snapshot, qtype)
    }

    /// A service's own answer: addresses of the chosen cluster.
    fn serve(&self, snapshot: &Snapshot, name: &LowerName, qtype: RecordType, decided: &Decided, reply: &mut Reply) {
        let decision = decided.decision;
        self.counters().reason(decision.reason);
        reply.scope = decision.scope;
        let mut add = |v6: bool| {
            for address in snapshot.addresses(decided, v6) {
                let data = match address {
                    IpAddr::V4(v4) => RData::A(v4.into()),
                    IpAddr::V6(v6) => RData::AAAA(v6.into()),
                };
                reply.answers.push(Record::from_rdata(Name::from(name), decision.ttl_s, data));
            }
        };
        let before = snapshot.addresses(decided, false).next();
        add(match qtype {
            RecordType::AAAA => true,
            RecordType::ANY => before.is_none(),
            _ => false,
        });
    }
}

/// What an ALIAS stands for is told under its own name, which exists even where the other does not.
fn in_place_of(owner: Option<(LowerName, u32)>, mut reply: Reply, snapshot: &Snapshot, qtype: RecordType) -> Reply {
    let Some((owner, ttl)) = owner else {
        return reply;
    };
    (reply.code, reply.authoritative) = (ResponseCode::NoError, true);
    (reply.authority, reply.additional, reply.denied) = (Vec::new(), Vec::new(), None);
    // The aliases that led to it come first.
    for record in reply.answers.iter_mut().filter(|record| !is_alias(record)) {
        (record.name, record.ttl) = (Name::from(&owner), record.ttl.min(ttl));
    }
    if reply.answers.last().is_none_or(is_alias)
        && let Some(zone) = snapshot.zones.of(&owner)
    {
        reply.deny(zone, owner, qtype, true);
    }
    reply
}

fn is_alias(record: &Record) -> bool {
    record.record_type() == RecordType::CNAME
}

fn finish(told: Told, zone: &Zone, (at, qtype): (LowerName, RecordType), reply: &mut Reply) {
    match told {
        Told::Answer(records) => reply.answers.extend(records),
        Told::NoData => reply.deny(zone, at, qtype, true),
        Told::NoName => {
            reply.code = ResponseCode::NXDomain;
            reply.deny(zone, at, qtype, false);
        }
        Told::Referral(servers, glue) => {
            // A referral alone is not authoritative; behind our own alias the answer is (RFC 1034 §4.3.2).
            reply.authoritative = !reply.answers.is_empty();
            reply.authority.extend(servers);
            reply.additional.extend(glue);
        }
        Told::Alias(record, _) => reply.answers.push(record),
        // Followed by the caller.
        Told::StandIn(..) => {}
    }
}
