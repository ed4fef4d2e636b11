//! The local resolver: answers the clients on its list, walks down from the root for them and keeps what it found.
//!
//! Packets are [`serve`]'s and [`question`]'s, the walk is hickory's recursor behind [`walk`], which servers are told of clients is
//! [`tailored`]'s, what is kept is [`cache`]'s. Time limits and the room for lookups are here. Invariants: who is not on the list gets
//! REFUSED and nothing is looked up; a lookup ends in its time; nothing is kept but under the question that it answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::dnssec::TrustAnchors;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

mod cache;
mod counters;
mod network;
mod question;
mod roots;
mod serve;
mod tailored;
mod walk;

use cache::{Cache, Found, Key, Whom};
pub use counters::Counters;
use counters::Limit;
pub use network::Exchange;
use network::{WALK, Walk};
pub use question::is_question;
pub use roots::ROOTS;
use walk::{Finder, Outcome};

use crate::counters::count;
use crate::limits::{RESOLVER_FAILURE_SECONDS, RESOLVER_SERVER_MS};

/// What is believed of DNSSEC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The keys of the Internet's root.
    #[default]
    Root,
    /// The root's keys as this text has them: DNSKEY records.
    Keys(String),
    /// Nothing is validated.
    Nothing,
}

/// How a resolver works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who is answered.
    pub allow: Vec<IpNet>,
    /// Addresses of the root's servers.
    pub roots: Vec<IpAddr>,
    /// The port of all servers.
    pub port: u16,
    /// Servers that may be asked although their addresses are not public.
    pub private: Vec<IpNet>,
    /// Zones whose servers are told of clients.
    pub subnets: Vec<Name>,
    /// How much of an IPv4 address they are told.
    pub subnet_v4: u8,
    /// How much of an IPv6 address.
    pub subnet_v6: u8,
    /// Whether a client's own subnet option is believed, instead of its address.
    pub believe_subnets: bool,
    /// What is believed of DNSSEC.
    pub trust: Trust,
    /// Bytes of answers kept.
    pub cache_bytes: usize,
    /// For how long an answer is kept, whatever its TTL.
    pub ttl_max: Duration,
    /// Lookups under way.
    pub lookups: usize,
    /// Time of a lookup.
    pub patience: Duration,
    /// Time that one server has for an answer, before the next one is asked.
    pub server_patience: Duration,
}

impl Settings {
    /// Checks them as far as they can be wrong.
    ///
    /// # Errors
    /// What is wrong with the trusted keys.
    fn anchors(&self) -> Result<Option<TrustAnchors>, String> {
        match &self.trust {
            Trust::Root => Ok(Some(TrustAnchors::default())),
            Trust::Keys(text) => walk::anchors(text).map(Some),
            Trust::Nothing => Ok(None),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            roots: ROOTS.to_vec(),
            port: 53,
            private: Vec::new(),
            subnets: Vec::new(),
            subnet_v4: 24,
            subnet_v6: 56,
            believe_subnets: false,
            trust: Trust::Root,
            cache_bytes: 32 << 20,
            ttl_max: Duration::from_secs(86_400),
            lookups: 512,
            patience: Duration::from_secs(6),
            server_patience: Duration::from_millis(RESOLVER_SERVER_MS),
        }
    }
}

/// The resolver.
pub struct Resolver {
    settings: Settings,
    finder: Finder,
    cache: Mutex<Cache>,
    room: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Resolver {
    /// A resolver with an empty cache.
    ///
    /// # Errors
    /// One sentence when it could not work with these settings.
    pub fn new(settings: Settings) -> Result<Arc<Self>, String> {
        let counters = Arc::new(Counters::default());
        Ok(Arc::new(Self {
            finder: Finder::new(&settings, counters.clone())?,
            cache: Mutex::new(Cache::new(settings.cache_bytes)),
            room: Arc::new(Semaphore::new(settings.lookups)),
            counters,
            settings,
        }))
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many questions it keeps answers to, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        self.cache.lock().size()
    }

    /// Lookups under way.
    pub fn under_way(&self) -> usize {
        self.settings.lookups.saturating_sub(self.room.available_permits())
    }

    /// Forgets all answers it keeps for clients; what it knows of servers stays.
    pub fn forget(&self) {
        self.cache.lock().clear();
    }

    /// Looks a name up as for a client in `subnet`, past the answers kept, and tells whom it asked; an answer is kept.
    ///
    /// # Errors
    /// What is no name or type, and when there is no room.
    pub async fn explain(&self, name: &str, kind: &str, subnet: Option<IpNet>) -> Result<Explained, String> {
        let absolute = crate::stub::absolute(name);
        let name: Name = absolute.parse().map_err(|_| format!("{name:?} is no domain name"))?;
        let kind: RecordType =
            kind.to_ascii_uppercase().parse().map_err(|_| format!("{kind:?} is no type of records"))?;
        let _room = self.room.try_acquire().map_err(|_| "as many lookups are under way as may be".to_owned())?;
        let key = Key { name: LowerName::from(name), kind, unchecked: false };
        let (found, exchanges) = self.look_up(&key, self.told(subnet), true).await;
        let answers = found.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
        Ok(Explained {
            code: found.code.to_string(),
            answers: answers.map(ToString::to_string).collect(),
            secure: found.secure,
            ttl_s: found.ttl.as_secs(),
            exchanges,
        })
    }

    /// A client's subnet as servers may be told it: of an address that means something to them, and no longer than is set.
    fn told(&self, subnet: Option<IpNet>) -> Option<IpNet> {
        let subnet = subnet?;
        let longest = if subnet.addr().is_ipv4() { self.settings.subnet_v4 } else { self.settings.subnet_v6 };
        IpNet::new(subnet.addr(), subnet.prefix_len().min(longest)).ok().map(|subnet| subnet.trunc())
    }

    /// The answer that is kept.
    fn kept_for(&self, key: &Key, subnet: Option<IpNet>) -> Option<Found> {
        let found = self.cache.lock().get(key, subnet, Instant::now());
        count(if found.is_some() { &self.counters.hits } else { &self.counters.misses });
        found
    }

    /// Looks for an answer and keeps it, a failure too, for a moment.
    async fn look_up(&self, key: &Key, subnet: Option<IpNet>, noted: bool) -> (Found, Vec<Exchange>) {
        let walk = Walk::new(subnet, noted);
        let query = Query::query(Name::from(&key.name), key.kind);
        let finding = timeout(self.settings.patience, self.finder.find(query, key.unchecked));
        let found = match WALK.scope(walk.clone(), finding).await {
            Ok(Ok(outcome)) => self.found(key, outcome, &walk),
            Ok(Err(error)) => {
                tracing::debug!(name = %key.name, kind = %key.kind, %error, "a name is not resolved");
                self.failed(key, &walk)
            }
            Err(_) => {
                self.counters.limited(Limit::Time);
                self.failed(key, &walk)
            }
        };
        self.cache.lock().put(key.clone(), found.clone(), Instant::now());
        (found, walk.exchanges())
    }

    /// For whom an answer holds: where servers were told of the client, for its prefix as far as they say.
    fn whom(&self, key: &Key, answers: &[Record], walk: &Walk) -> Whom {
        let target = |record: &Record| match &record.data {
            RData::CNAME(target) => self.finder.is_chosen(&target.0),
            _ => false,
        };
        let for_addresses = matches!(key.kind, RecordType::A | RecordType::AAAA);
        let chosen = for_addresses && (self.finder.is_chosen(&key.name) || answers.iter().any(target));
        match (walk.scope().zip(walk.subnet), walk.subnet) {
            (Some((scope, subnet)), _) => Whom::Prefix(subnet.addr(), scope.min(subnet.prefix_len())),
            // It was not told and should have been: what there is holds for nobody else.
            (None, Some(subnet)) if chosen => Whom::Prefix(subnet.addr(), subnet.prefix_len()),
            (None, None) if chosen => Whom::Own,
            _ => Whom::All,
        }
    }

    fn found(&self, key: &Key, outcome: Outcome, walk: &Walk) -> Found {
        let Outcome { code, answers, authority, secure } = outcome;
        let whom = self.whom(key, &answers, walk);
        let shortest = match answers.is_empty() {
            false => answers.iter().map(|record| record.ttl).min(),
            // RFC 2308 §5: without an SOA record a denial is not kept.
            true => authority.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            }),
        };
        let ttl = Duration::from_secs(shortest.unwrap_or(0).into()).min(self.settings.ttl_max);
        let longest_s = u32::try_from(self.settings.ttl_max.as_secs()).unwrap_or(u32::MAX);
        let bounded = |mut record: Record| {
            record.ttl = record.ttl.min(longest_s);
            question::in_small_letters(&mut record);
            record
        };
        let [answers, authority] = [answers, authority].map(|records| records.into_iter().map(bounded).collect());
        Found { code, answers, authority, secure, whom, ttl }
    }

    fn failed(&self, key: &Key, walk: &Walk) -> Found {
        let whom = self.whom(key, &[], walk);
        let ttl = Duration::from_secs(RESOLVER_FAILURE_SECONDS);
        let (code, answers, authority) = (ResponseCode::ServFail, Vec::new(), Vec::new());
        Found { code, answers, authority, secure: false, whom, ttl }
    }
}

/// A lookup and how it went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// The response code.
    pub code: String,
    /// The records of the answer.
    pub answers: Vec<String>,
    /// Whether DNSSEC proves it.
    pub secure: bool,
    /// For how long it is kept.
    pub ttl_s: u64,
    /// Whom it asked, in order; nobody where it knew everything that leads there.
    pub exchanges: Vec<Exchange>,
}

#[doc(hidden)]
pub use tailored::is_answer;
