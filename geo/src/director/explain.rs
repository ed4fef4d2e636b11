//! A decision with its reasons: the same one that is answered, told to people and counted nowhere.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use hickory_proto::rr::Name;
use ipnet::IpNet;
use serde::Serialize;

use super::decide::Decided;
use super::snapshot::{Left, Snapshot};
use super::{Director, RttView, domain_name};
use crate::address::{canonical, masked};
use crate::map::{As, Located};
use crate::routing::{ClusterRow, NativeGeo};

/// Kilometres from the middle of the earth to its surface.
const EARTH_KM: f32 = 6371.0;

/// A decision with its reasons, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The service, absolute and in wire form.
    pub name: String,
    /// The client, canonical.
    pub client: IpAddr,
    /// Clusters in order of preference; none when none of the service's clusters may serve the client.
    pub clusters: Vec<String>,
    /// Addresses answered, in their order.
    pub addresses: Vec<IpAddr>,
    /// Addresses of the chosen clusters whose nodes are down: not answered while others are up.
    pub nodes_down: Vec<IpAddr>,
    /// What decided.
    pub reason: &'static str,
    /// For which prefix around the client this holds.
    pub scope: String,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// Country of the client, when a database knows it.
    pub country: Option<String>,
    /// The candidate whose coverage zone it is in.
    pub zone: Option<String>,
    /// Great-circle distance to each cluster in km, when the client's place is known.
    pub distance_km: Option<Vec<(String, u32)>>,
    /// What the sources of the map say of the client, and of which prefix they say it.
    pub matched: Vec<Matched>,
    /// The clusters among which was chosen.
    pub candidates: Vec<Candidate>,
    /// The others.
    pub filtered: Vec<Filtered>,
    /// Who ranked the candidates: `native` or the name of a plugin; none when there was nothing to rank.
    pub policy: Option<String>,
    /// The generation of that plugin, 0 of the native policy.
    pub policy_generation: u64,
    /// Why the policy's terms are not told, where it would tell them.
    pub terms_missing: Option<String>,
    /// The generation of the map.
    pub map_generation: u64,
    /// Nanoseconds that the decision took.
    pub took_ns: u64,
}

/// What a source says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matched {
    /// A file, `cluster.prefixes` or `geo.override`.
    pub source: String,
    /// The longest prefix of it that the client is in; of a database, the widest one of which it says the same.
    pub prefix: IpNet,
    /// What it says.
    pub says: String,
}

/// A cluster that could have been chosen, and what speaks for and against it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub cluster: String,
    /// Its place among the clusters of the config, from 0.
    pub number: u16,
    /// Its place in the answer, from 1; none: not named.
    pub rank: Option<usize>,
    /// Whether the client is in its coverage zone.
    pub in_zone: bool,
    /// Great-circle distance, when the client's place is known.
    pub distance_km: Option<u32>,
    /// Its load.
    pub load_permille: u16,
    /// Microseconds by which its load makes it farther away, when that is priced.
    pub price_us: Option<u32>,
    /// Round-trip time in microseconds, 0 when there is none to decide by.
    pub rtt_us: u32,
    /// What is known of it, when anything is.
    pub rtt: Option<RttView>,
    /// What the native policy reckons: distance and load as one figure, the lowest first.
    pub native_cost: f32,
    /// What the policy that decided says that it goes by, if it says.
    pub terms: Vec<TermView>,
}

/// A term of a candidate, as the policy tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermView {
    /// What it is, with its unit.
    pub name: String,
    /// How much.
    pub value: f32,
}

/// A cluster that could not be chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Filtered {
    /// Its name.
    pub cluster: String,
    /// Why.
    pub why: Cow<'static, str>,
}

impl Director {
    /// Why `client` gets what it gets for `name` (case and final dot do not matter).
    pub fn explain(&self, client: IpAddr, name: &str) -> Option<Explanation> {
        self.explain_held(client, name, &[])
    }

    /// The same at a door that knows which clusters hold what is asked for, as of [`Director::steer`].
    pub fn explain_held(&self, client: IpAddr, name: &str, holders: &[String]) -> Option<Explanation> {
        let snapshot = self.snapshot.load_full();
        let (name, client, started) = (domain_name(name)?, canonical(client), Instant::now());
        let decided = self.decide_in(&snapshot, &name, client, snapshot.mask(holders))?;
        let took_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Decided { decision, spot, zone, flow, by_policy, .. } = decided;
        let id = |index: u16| snapshot.config.clusters[usize::from(index)].id.clone();
        let mut addresses: Vec<IpAddr> = snapshot.addresses(&decided, false).collect();
        addresses.extend(snapshot.addresses(&decided, true));
        let rows = snapshot.rows();
        let km = |row: &ClusterRow| spot.place.at.map(|place| distance_km(place, row.place));
        let rtts = snapshot.rtts.find(client, flow.now_ms).0;
        let (terms, terms_missing) = match by_policy.then(|| self.routing.terms(&flow)).transpose() {
            Ok(terms) => (terms.unwrap_or_default(), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let candidate = |row: &ClusterRow| Candidate {
            cluster: id(row.index),
            number: row.index,
            rank: decision.clusters().position(|chosen| chosen == row.index).map(|place| place + 1),
            in_zone: zone == Some(row.index),
            distance_km: km(row),
            load_permille: row.load_permille,
            price_us: row.price_us,
            rtt_us: rtts.to(row.index).unwrap_or(0),
            rtt: self.rtt_view(&snapshot, client, row.index, flow.now_ms),
            native_cost: NativeGeo::cost(&flow, row),
            terms: (terms.iter().filter(|term| term.cluster == row.index))
                .map(|term| TermView { name: term.name.clone(), value: term.value })
                .collect(),
        };
        let (chosen_from, others): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| flow.candidates >> row.index & 1 == 1);
        let (policy, policy_generation) = match by_policy {
            true => self.routing.decider(),
            false => ("native".to_owned(), 0),
        };
        Some(Explanation {
            clusters: decision.clusters().map(id).collect(),
            addresses,
            nodes_down: decision.clusters().flat_map(|at| snapshot.orders.down(at.into()).to_vec()).collect(),
            reason: decision.reason,
            scope: format!("{}/{}", masked(client, decision.scope), decision.scope),
            ttl_s: decision.ttl_s,
            country: spot.place.country.map(country),
            zone: zone.map(id),
            distance_km: rows.iter().map(|row| Some((id(row.index), km(row)?))).collect(),
            matched: snapshot.matched(client),
            candidates: chosen_from.into_iter().map(candidate).collect(),
            filtered: others.iter().map(|row| snapshot.filtered(row.index, &decided)).collect(),
            policy: Some(policy).filter(|_| flow.candidates != 0),
            policy_generation,
            terms_missing,
            map_generation: snapshot.generation,
            took_ns,
            name: Name::from(name).to_ascii(),
            client,
        })
    }
}

impl Snapshot {
    fn filtered(&self, index: u16, decided: &Decided) -> Filtered {
        let is = |mask: u64| mask >> index & 1 == 1;
        let (_, left) = self.candidates(decided.allowed);
        let (cluster, state) = (&self.config.clusters[usize::from(index)], &self.states[usize::from(index)]);
        let why = match () {
            () if !is(decided.of_service) => "not a cluster of this service".into(),
            () if !is(decided.allowed) => "deep, and the client is not in its prefixes".into(),
            () if !is(self.masks.healthy) => "down".into(),
            () if is(self.masks.draining) => {
                format!("draining ({})", state.drained_by(cluster).unwrap_or_default()).into()
            }
            () if is(self.masks.full) && left != Left::Down => "full".into(),
            () if decided.holding != 0 => "does not hold what is asked for".into(),
            () => "another one is prescribed".into(),
        };
        Filtered { cluster: cluster.id.clone(), why }
    }

    /// What each source says of a client. Slow: it looks through all prefixes.
    fn matched(&self, client: IpAddr) -> Vec<Matched> {
        let clusters = &self.config.clusters;
        let mut said: Vec<(As, IpNet, String, String)> = Vec::new();
        // Of each kind the longest prefix is told.
        let mut tell = |serving: As, prefix: IpNet, source: &dyn Fn() -> String, id: &str| {
            if !prefix.contains(&client) {
                return;
            }
            let known = said.iter().position(|(known, ..)| *known == serving);
            if known.is_none_or(|at| said[at].1.prefix_len() < prefix.prefix_len()) {
                known.map(|at| said.remove(at));
                said.push((serving, prefix, source(), id.to_owned()));
            }
        };
        for cluster in clusters {
            for prefix in &cluster.prefixes {
                tell(cluster.serves_as(), *prefix, &|| "cluster.prefixes".into(), &cluster.id);
            }
        }
        for file in &self.sources.coverage {
            for (prefix, at) in file.zones.iter().filter(|(prefix, _)| prefix.contains(&client)) {
                let name = &file.names[usize::from(*at)];
                if let Some(cluster) = clusters.iter().find(|cluster| cluster.id == *name) {
                    tell(cluster.serves_as(), *prefix, &|| file.path.display().to_string(), name);
                }
            }
        }
        let overrides = &self.config.overrides;
        for (correction, id) in
            overrides.iter().filter_map(|correction| Some((correction, correction.cluster.as_ref()?)))
        {
            tell(As::Forced, correction.prefix, &|| "geo.override".into(), id);
        }
        said.sort_by_key(|(serving, ..)| std::cmp::Reverse(*serving));
        let kind = |serving| match serving {
            As::Home => "home cluster",
            As::Deep => "deep cluster",
            As::Forced => "prescribed cluster",
        };
        let zones = said.into_iter().map(|(serving, prefix, source, id)| Matched {
            source,
            prefix,
            says: format!("{} {id}", kind(serving)),
        });
        let places = overrides.iter().filter(|correction| correction.prefix.contains(&client));
        let places = places.filter_map(|correction| Some((correction.prefix, correction.at?)));
        let place = places.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(prefix, [latitude, longitude])| {
            Matched { source: "geo.override".into(), prefix, says: format!("at {latitude}, {longitude}") }
        });
        let databases = self.sources.databases.iter().filter_map(|database| {
            let (located, length) = database.find(client);
            let prefix = IpNet::new(masked(client, length), length).ok()?;
            (located != Located::default()).then(|| Matched {
                source: database.path().display().to_string(),
                prefix,
                says: told(&located),
            })
        });
        zones.chain(place).chain(databases).collect()
    }
}

fn told(located: &Located) -> String {
    let place = located.place.at.map(|[x, y, z]| {
        let (latitude, longitude) = (z.clamp(-1.0, 1.0).asin().to_degrees(), y.atan2(x).to_degrees());
        format!("at {latitude:.2}, {longitude:.2}")
    });
    let system = Some(format!("AS{}", located.asn)).filter(|_| located.asn != 0);
    [located.place.country.map(country), place, system].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn country(code: [u8; 2]) -> String {
    code.map(char::from).iter().collect()
}

fn distance_km(one: [f32; 3], other: [f32; 3]) -> u32 {
    let cosine: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    (EARTH_KM * cosine.clamp(-1.0, 1.0).acos()) as u32
}
