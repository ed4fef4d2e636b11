//! From a question to its answer: hickory's recursor walks down from the root; names of chosen zones are asked with the client's
//! subnet; both feed its validator.
//!
//! The recursor drops what lies outside of the zone that was asked and keeps no record but under the question it answers, so an
//! additional record is never told for a name of its own. Invariant: what [`Finder::find`] returns is proven by DNSSEC, or in no
//! zone that is, or an error; without validation it is what the servers say.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use hickory_proto::access_control::{AccessControlSet, AccessControlSetBuilder};
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::TtlConfig;
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::recursor::{DnssecPolicy, Recursor, RecursorOptions};

use super::Settings;
use super::counters::{Counters, Limit};
use super::network::{Exchange, Network, Walk};
use super::tailored::{Said, ask};
use crate::counters::count;
use crate::limits::{
    RESOLVER_ALIASES_MAX, RESOLVER_DEPTH_MAX, RESOLVER_INFRASTRUCTURE_MAX, RESOLVER_SERVERS_MAX, UDP_BYTES_MAX,
};

/// Validations remembered: signatures of the upper zones above all.
const VALIDATIONS: usize = 4096;

/// What was found, before it is kept.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) secure: bool,
}

/// Finds answers.
pub(super) struct Finder {
    walker: Walker,
    validator: Option<DnssecDnsHandle<Walker>>,
    counters: Arc<Counters>,
}

impl Finder {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Result<Self, String> {
        let walker = Walker::new(settings, counters.clone())?;
        let anchors = settings.anchors()?;
        let validator = anchors.map(|anchors| {
            let handle = DnssecDnsHandle::with_trust_anchor(walker.clone(), Arc::new(anchors));
            handle.validation_cache_size(VALIDATIONS)
        });
        Ok(Self { walker, validator, counters })
    }

    /// Whether a name is in a zone whose servers are told of clients.
    pub(super) fn is_chosen(&self, name: &Name) -> bool {
        self.walker.chosen(name).is_some()
    }

    /// Within [`super::network::WALK`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn find(&self, query: Query, unchecked: bool) -> Result<Outcome, NetError> {
        let mut options = DnsRequestOptions::default();
        (options.use_edns, options.edns_set_dnssec_ok) = (true, true);
        let validator = self.validator.as_ref().filter(|_| !unchecked);
        let said = match validator {
            Some(validator) => validator.lookup(query, options).first_answer().await,
            None => self.walker.lookup(query, options).first_answer().await,
        };
        let message = match said {
            Ok(response) => response.into_message(),
            Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) if proof.is_insecure() => {
                response.into_message()
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) if validator.is_none() => {
                let mut message = Message::query();
                message.metadata.response_code = none.response_code;
                message.insert_authorities(none.authorities.as_deref().unwrap_or_default().to_vec());
                message
            }
            Err(error) => {
                if matches!(error, NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus)) {
                    count(&self.counters.bogus);
                }
                return Err(error);
            }
        };
        self.judged(message, validator.is_some())
    }

    /// What is false, and what should be proven and is not, is told to nobody (RFC 4035 §5.5).
    fn judged(&self, message: Message, validated: bool) -> Result<Outcome, NetError> {
        let code = message.metadata.response_code;
        let (answers, authority) = (message.answers, message.authorities);
        let proven = |record: &Record| record.record_type() != RecordType::RRSIG;
        let subject = if answers.is_empty() { &authority } else { &answers };
        let proofs: Vec<Proof> = subject.iter().filter(|record| proven(record)).map(|record| record.proof).collect();
        if validated && proofs.iter().any(|proof| matches!(proof, Proof::Bogus | Proof::Indeterminate)) {
            count(&self.counters.bogus);
            return Err(NetError::Dns(DnsError::DnssecBogus));
        }
        let aliases = answers.iter().filter(|record| record.record_type() == RecordType::CNAME).count();
        if aliases > RESOLVER_ALIASES_MAX {
            self.counters.limited(Limit::Aliases);
            return Err(NetError::from("the chain of aliases is too long"));
        }
        let secure = validated && !proofs.is_empty() && proofs.iter().all(Proof::is_secure);
        Ok(Outcome { code, answers, authority, secure })
    }
}

/// Walks, without a judgement.
#[derive(Clone)]
struct Walker {
    recursor: Arc<Recursor<Network>>,
    chosen: Arc<[Name]>,
    /// Which servers may be asked.
    servers: Arc<AccessControlSet>,
    port: u16,
    patience: Duration,
    counters: Arc<Counters>,
}

impl DnsHandle for Walker {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let (walker, query) = (self.clone(), request.queries.first().cloned());
        Box::pin(stream::once(async move {
            let query = query.ok_or_else(|| NetError::from("a request without a question"))?;
            let message = walker.walk(&query).await?;
            Ok(DnsResponse::from_message(message)?)
        }))
    }
}

impl Walker {
    fn new(settings: &Settings, counters: Arc<Counters>) -> Result<Self, String> {
        if settings.roots.is_empty() {
            return Err("a resolver without a root server".into());
        }
        let defaults = RecursorOptions::default();
        let mut ttls = ResolverOpts::default();
        ttls.positive_max_ttl = Some(settings.ttl_max);
        ttls.negative_max_ttl = Some(settings.ttl_max);
        let options = RecursorOptions {
            ns_cache_size: RESOLVER_INFRASTRUCTURE_MAX,
            response_cache_size: RESOLVER_INFRASTRUCTURE_MAX as u64,
            recursion_limit: RESOLVER_DEPTH_MAX,
            ns_recursion_limit: RESOLVER_DEPTH_MAX,
            allow_server: settings.private.clone(),
            cache_policy: TtlConfig::from_opts(&ttls),
            case_randomization: true,
            edns_payload_len: UDP_BYTES_MAX,
            ..defaults.clone()
        };
        let servers = AccessControlSetBuilder::new("servers");
        let servers = servers.allow(settings.private.iter()).deny(defaults.deny_server.iter()).build();
        let network = Network::new(settings.port, settings.server_patience, counters.clone());
        // It asks for signatures and leaves judging them to the validator around this walker.
        let recursor = Recursor::new(&settings.roots, DnssecPolicy::ValidationDisabled, None, options, network);
        Ok(Self {
            recursor: Arc::new(recursor.map_err(|error| error.to_string())?),
            chosen: settings.subnets.iter().map(Name::to_lowercase).collect(),
            servers: Arc::new(servers.map_err(|error| error.to_string())?),
            port: settings.port,
            patience: settings.server_patience,
            counters,
        })
    }

    /// The longest chosen zone that a name is in.
    fn chosen(&self, name: &Name) -> Option<&Name> {
        self.chosen.iter().filter(|zone| zone.zone_of(name)).max_by_key(|zone| zone.num_labels())
    }

    /// Follows aliases, into chosen zones and out of them.
    async fn walk(&self, query: &Query) -> Result<Message, NetError> {
        let for_addresses = matches!(query.query_type(), RecordType::A | RecordType::AAAA);
        let choosing = for_addresses && !self.chosen.is_empty();
        let (mut name, mut whole) = (query.name().clone(), Message::query());
        for _ in 0..=RESOLVER_ALIASES_MAX {
            let part = Query::query(name.clone(), query.query_type());
            let zone = self.chosen(&name).filter(|_| choosing);
            let mut message = match zone {
                Some(zone) => self.tailored(zone, &part).await?,
                None => self.recursed(part).await?,
            };
            // Where the chain enters a chosen zone the recursor has followed it without the subnet: from there on again.
            let chain = Chain::along(&message.answers, &name, query.query_type(), |target| {
                choosing && self.chosen(target).is_some()
            });
            if chain.goes_on {
                message.answers.retain(|record| chain.names.contains(&record.name));
            }
            whole.add_answers(message.answers);
            name = chain.end;
            if !chain.goes_on {
                whole.metadata.response_code = message.metadata.response_code;
                whole.insert_authorities(kept(message.authorities, query.query_type()));
                whole.add_query(query.clone());
                return Ok(whole.into_response());
            }
        }
        self.counters.limited(Limit::Aliases);
        Err(NetError::from("the chain of aliases is too long"))
    }

    async fn recursed(&self, query: Query) -> Result<Message, NetError> {
        self.recursor.resolve(query, Instant::now(), true).await.map_err(NetError::from)
    }

    /// Asks the servers of a chosen zone, one after the other. Where it has delegated the name further, or none of them is found,
    /// the recursor looks for it, and nobody is told of the client.
    async fn tailored(&self, zone: &Name, query: &Query) -> Result<Message, NetError> {
        let (walk, mut last) = (Walk::current(), NetError::NoConnections);
        let subnet = walk.as_ref().and_then(|walk| walk.subnet);
        for server in self.servers_of(zone).await? {
            let server = SocketAddr::new(server, self.port);
            if let Some(walk) = &walk {
                walk.spend(&self.counters)?;
            }
            let began = Instant::now();
            let said = ask(server, zone, query, subnet, self.patience, &self.counters).await;
            if let Some(walk) = &walk {
                let told = said.as_ref().ok().filter(|said| said.scoped).zip(subnet);
                let told = told.map(|(said, subnet)| format!("{subnet}, scope /{}", said.scope));
                walk.note(|| {
                    Exchange::new(server, query, told, began.elapsed(), said.as_ref().map(|said| &said.message))
                });
            }
            match said.and_then(usable) {
                Ok(said) if is_referral(&said.message) => return self.recursed(query.clone()).await,
                Ok(said) => {
                    if let Some(walk) = walk.filter(|_| subnet.is_some()) {
                        walk.tell_scope(said.scope);
                    }
                    let response = DnsResponse::from_message(said.message)?;
                    return Ok(DnsError::from_response(response)?.into_message());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Addresses of a zone's servers, those that may be asked.
    async fn servers_of(&self, zone: &Name) -> Result<Vec<IpAddr>, NetError> {
        let servers = self.recursed(Query::query(zone.clone(), RecordType::NS)).await?;
        let names = servers.answers.iter().filter_map(|record| match &record.data {
            RData::NS(server) if record.name == *zone => Some(server.0.clone()),
            _ => None,
        });
        let mut addresses = Vec::new();
        for name in names.take(RESOLVER_SERVERS_MAX) {
            for kind in [RecordType::A, RecordType::AAAA] {
                let Ok(found) = self.recursed(Query::query(name.clone(), kind)).await else { continue };
                let found = found.answers.iter().filter_map(|record| record.data.ip_addr());
                addresses.extend(found.filter(|address| !self.servers.denied(*address)));
            }
        }
        addresses.truncate(RESOLVER_SERVERS_MAX);
        if addresses.len() > 1 {
            let turn = rand::random_range(0..addresses.len());
            addresses.rotate_left(turn);
        }
        Ok(addresses)
    }
}

/// Only answers and denials are of use.
fn usable(said: Said) -> Result<Said, NetError> {
    match said.message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(said),
        code => Err(NetError::Dns(DnsError::ResponseCode(code))),
    }
}

fn is_referral(message: &Message) -> bool {
    let names_servers = message.authorities.iter().any(|record| record.record_type() == RecordType::NS);
    let denies = message.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    message.answers.is_empty() && names_servers && !denies
}

/// Of the authority section what proves something; who serves a zone is only of interest where it was asked for.
fn kept(authority: Vec<Record>, kind: RecordType) -> Vec<Record> {
    let wanted = |record: &Record| match &record.data {
        RData::NS(_) => kind == RecordType::NS,
        _ => true,
    };
    authority.into_iter().filter(wanted).collect()
}

/// A chain of aliases.
struct Chain {
    /// The names on it, the last one only when it is answered here.
    names: Vec<Name>,
    end: Name,
    /// Whether its end is to be asked for again.
    goes_on: bool,
}

impl Chain {
    /// Along `answers` from `name`, up to the first target for which `stop` holds.
    fn along(answers: &[Record], name: &Name, kind: RecordType, stop: impl Fn(&Name) -> bool) -> Self {
        let (mut names, mut end) = (vec![name.clone()], name.clone());
        while names.len() <= answers.len() {
            let alias = answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == end => Some(target.0.to_lowercase()),
                _ => None,
            });
            let Some(target) = alias.filter(|target| kind != RecordType::CNAME && !names.contains(target)) else {
                break;
            };
            if stop(&target) && !stop(&end) {
                return Self { names, end: target, goes_on: true };
            }
            names.push(target.clone());
            end = target;
        }
        let answered = end == *name || answers.iter().any(|record| record.name == end && record.record_type() == kind);
        Self { names, end, goes_on: !answered }
    }
}

/// What is believed without a proof, as a file of DNSKEY records has it.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn anchors(text: &str) -> Result<TrustAnchors, String> {
    let anchors: TrustAnchors = text.parse().map_err(|error| format!("no DNSKEY records: {error}"))?;
    if anchors.is_empty() {
        return Err("no DNSKEY record of the root, such as: . 3600 IN DNSKEY 257 3 13 AbC=".into());
    }
    Ok(anchors)
}
