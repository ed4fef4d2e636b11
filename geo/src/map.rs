//! The map: where every address is and who serves it, compiled from databases, coverage zones and corrections into one
//! longest-prefix match per family.
//!
//! A [`Spot`] is what is said of an address. Neighbours of which the same is said are one interval, and the answer carries the
//! length of the widest prefix inside it: the ECS scope (RFC 7871 §7.2.1). Reading the sources is others' ([`crate::database`],
//! [`crate::coverage`]). Invariants: a lookup allocates nothing and takes no lock; inside a scope everybody has the same spot,
//! and in no shorter prefix has everybody.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::key;
use layer::Layer;
use space::overlay;
use trie::Trie;

pub(crate) mod layer;
mod space;
mod trie;

#[cfg(test)]
mod tests;

/// Where something is, and in which country.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// As a unit vector, when it is known.
    pub at: Option<[f32; 3]>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<[u8; 2]>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl Place {
    fn bits(&self) -> (Option<[u32; 3]>, Option<[u8; 2]>) {
        (self.at.map(|at| at.map(f32::to_bits)), self.country)
    }
}

/// What a database says of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Located {
    /// Its place.
    pub place: Place,
    /// Its autonomous system; 0: not known.
    pub asn: u32,
}

/// The clusters that an address is assigned to, by their indexes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Covered {
    /// The one that the operator prescribes.
    pub forced: Option<u16>,
    /// The enter-deep cluster that serves it.
    pub deep: Option<u16>,
    /// The bring-home cluster that serves it.
    pub home: Option<u16>,
}

/// What the map says of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Spot {
    /// Who serves it.
    pub covered: Covered,
    /// Where it is.
    pub place: Place,
}

/// As what a cluster serves a prefix; in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum As {
    /// Bring home.
    Home,
    /// Enter deep.
    Deep,
    /// Prescribed.
    Forced,
}

/// A cluster and as what it serves.
pub type Serving = (As, u16);

/// What a map is made of.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// Prefixes that clusters serve, prescribed ones among them; put in order. Of equal ones of one kind the cluster with
    /// the highest index counts.
    pub zones: Vec<(IpNet, Serving)>,
    /// Clusters of whole autonomous systems, after the prefixes.
    pub systems: HashMap<u32, Covered>,
    /// Places that the operator knows better than the databases.
    pub places: Vec<(IpNet, Place)>,
    /// Databases, most precise first.
    pub databases: Vec<&'a crate::database::Database>,
}

/// The compiled map.
#[derive(Debug)]
pub struct Map {
    v4: Trie<u32>,
    v6: Trie<u64>,
    spots: Vec<Spot>,
}

impl Map {
    /// Compiles a map.
    ///
    /// # Errors
    /// When it is larger than can be: one line.
    pub fn compile(mut sources: Sources<'_>) -> Result<Self, &'static str> {
        let coverage: Layer<Covered> = Layer::nested(&mut sources.zones, |covered, (serving, cluster)| match serving {
            As::Home => Covered { home: Some(*cluster), ..covered },
            As::Deep => Covered { deep: Some(*cluster), ..covered },
            As::Forced => Covered { forced: Some(*cluster), ..covered },
        });
        drop(sources.zones);
        let mut places: Vec<(IpNet, usize)> = sources.places.iter().map(|(net, _)| *net).zip(0..).collect();
        let corrections: Layer<Located> =
            Layer::nested(&mut places, |_, at| Located { place: sources.places[*at].1, asn: 0 });
        let located: Vec<&Layer<Located>> =
            std::iter::once(&corrections).chain(sources.databases.iter().map(|database| database.layer())).collect();
        let mut spots = Spots { of: HashMap::new(), known: HashMap::new(), spots: Vec::new() };
        let mut number = |values: &[u32]| spots.number(values, || spot(&coverage, &located, values, &sources.systems));
        let v4: Vec<_> = std::iter::once(&coverage.v4).chain(located.iter().map(|layer| &layer.v4)).collect();
        let v4 = Trie::new(overlay(&v4, &mut number))?;
        let v6: Vec<_> = std::iter::once(&coverage.v6).chain(located.iter().map(|layer| &layer.v6)).collect();
        let v6 = Trie::new(overlay(&v6, &mut number))?;
        Ok(Self { v4, v6, spots: spots.spots })
    }

    /// What is said of `address` (canonical), and the length of the widest prefix around it of which all the same is said.
    pub fn find(&self, address: IpAddr) -> (Spot, u8) {
        let (number, scope) = match address {
            IpAddr::V4(_) => self.v4.find(key(address)),
            IpAddr::V6(_) => self.v6.find(key(address)),
        };
        (self.spots[number as usize], scope)
    }

    /// How many intervals it has.
    pub fn intervals(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Bytes of memory it holds, databases not counted.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.spots.capacity() * size_of::<Spot>()
    }
}

/// Spots and their numbers.
struct Spots {
    /// By the values of all layers.
    of: HashMap<Box<[u32]>, u32>,
    known: HashMap<Spot, u32>,
    spots: Vec<Spot>,
}

impl Spots {
    fn number(&mut self, values: &[u32], spot: impl FnOnce() -> Spot) -> u32 {
        if let Some(number) = self.of.get(values) {
            return *number;
        }
        let spot = spot();
        let number = *self.known.entry(spot).or_insert_with(|| {
            self.spots.push(spot);
            self.spots.len() as u32 - 1
        });
        self.of.insert(values.into(), number);
        number
    }
}

/// What all layers together say: the first that knows a place, the first that knows a system, coverage before systems.
fn spot(
    coverage: &Layer<Covered>,
    located: &[&Layer<Located>],
    values: &[u32],
    systems: &HashMap<u32, Covered>,
) -> Spot {
    let said = || located.iter().zip(&values[1..]).map(|(layer, value)| layer.values[*value as usize]);
    let asn = said().map(|located| located.asn).find(|asn| *asn != 0);
    let of_system = asn.and_then(|asn| systems.get(&asn)).copied().unwrap_or_default();
    let covered = coverage.values[values[0] as usize];
    let covered = Covered {
        forced: covered.forced,
        deep: covered.deep.or(of_system.deep),
        home: covered.home.or(of_system.home),
    };
    let place = said().map(|located| located.place).find(|place| place.at.is_some());
    let country = said().find_map(|located| located.place.country);
    let at = place.and_then(|place| place.at);
    Spot { covered, place: Place { at, country: place.and_then(|place| place.country).or(country) } }
}

/// Drops what was replaced here and not where a question is being answered: giving back hundreds of MB takes milliseconds.
pub(crate) fn retire<T>(mut old: Arc<T>) {
    /// Times that others may hold it still; an answer takes microseconds.
    const TRIES: usize = 10_000;
    for _ in 0..TRIES {
        match Arc::try_unwrap(old) {
            Ok(_) => return,
            Err(shared) => old = shared,
        }
        std::thread::yield_now();
    }
}
