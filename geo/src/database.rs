//! Geo-IP databases (MMDB): the only module that names maxminddb. A file is read once, into a layer of the map; no question
//! touches it.
//!
//! A database that is missing or broken is a warning and no more: coverage zones, load and health still decide.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::address::canonical;
use crate::countries;
use crate::limits::DATABASE_PREFIXES_MAX;
use crate::map::layer::{Draft, Layer};
use crate::map::{Located, Place};
use crate::routing::unit_vector;

/// What one database says.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    layer: Layer<Located>,
    built: SystemTime,
}

/// The fields of the layouts in use: nested (GeoLite2, GeoIP2) and flat (DB-IP); unknown ones are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    location: Option<Location>,
    country: Option<Country>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    country_code: Option<String>,
    autonomous_system_number: System,
}

/// The number of an autonomous system, whichever kind of integer it is written as; 0: none.
#[derive(Debug, Default)]
struct System(u32);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Country {
    iso_code: Option<String>,
}

impl Database {
    /// Reads and verifies a file.
    ///
    /// # Errors
    /// One line that names the file and says what happens without it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let (layer, built) = read(path).map_err(|text| {
            format!(
                "{}: not usable as a geo-IP database ({text}); clients are placed by coverage zones and load alone, or as before",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), layer, built })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long ago its maker says that it was made; nothing when that is yet to come.
    pub fn age(&self) -> Duration {
        self.built.elapsed().unwrap_or_default()
    }

    /// A warning when it is older than `most`, which may be nothing: then none is.
    pub(crate) fn is_old(&self, most: Duration) -> Option<String> {
        let days = |time: Duration| time.as_secs() / 86_400;
        let (age, is_bounded) = (self.age(), !most.is_zero());
        (is_bounded && age > most).then(|| {
            format!(
                "{}: a geo-IP database of {} days ago; addresses move: fetch a newer one (geo.database_max_age is {} days)",
                self.path.display(),
                days(age),
                days(most)
            )
        })
    }

    /// What it says of `address`, and of how long a prefix around it it says the same.
    pub fn find(&self, address: IpAddr) -> (Located, u8) {
        self.layer.find(canonical(address))
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.layer.bytes()
    }

    pub(crate) fn layer(&self) -> &Layer<Located> {
        &self.layer
    }
}

/// What it says, and when it was made.
fn read(path: &Path) -> Result<(Layer<Located>, SystemTime), String> {
    let reader = Reader::open_readfile(path).map_err(|error| error.to_string())?;
    // Bounds the walk below, too: a tree that leads back into itself is refused here.
    reader.verify().map_err(|error| error.to_string())?;
    let mut draft = Draft::default();
    // Records are shared by many networks; each is decoded once.
    let mut numbers: HashMap<Option<usize>, u32> = HashMap::new();
    let networks = reader.networks(WithinOptions::default()).map_err(|error| error.to_string())?;
    for (count, network) in networks.enumerate() {
        let network = network.map_err(|error| error.to_string())?;
        if count == DATABASE_PREFIXES_MAX {
            return Err(format!("more than {DATABASE_PREFIXES_MAX} networks"));
        }
        let number = match numbers.get(&network.offset()) {
            Some(number) => *number,
            None => {
                let record: Record = network.decode().map_err(|error| error.to_string())?.unwrap_or_default();
                let number = draft.number(record.located());
                numbers.insert(network.offset(), number);
                number
            }
        };
        let prefix = network.network().map_err(|error| error.to_string())?;
        for prefix in families(prefix.ip(), prefix.prefix())? {
            draft.say(prefix, number)?;
        }
    }
    let built = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reader.metadata().build_epoch));
    Ok((draft.finish(), built.unwrap_or(SystemTime::UNIX_EPOCH)))
}

/// The prefixes of both families that a network of the tree stands for: an IPv6 tree has IPv4 below ::/96.
fn families(address: IpAddr, length: u8) -> Result<impl Iterator<Item = IpNet>, String> {
    const BEFORE_V4: u8 = 96;
    let prefix = IpNet::new(address, length).map_err(|error| error.to_string())?;
    let v4 = match prefix {
        IpNet::V6(v6) if v6.network().to_bits() >> 32 == 0 => {
            let address = Ipv4Addr::from_bits(v6.network().to_bits() as u32);
            IpNet::new(address.into(), length.saturating_sub(BEFORE_V4)).ok()
        }
        _ => None,
    };
    let own = Some(prefix).filter(|_| v4.is_none() || length < BEFORE_V4);
    Ok(v4.into_iter().chain(own))
}

impl Record {
    fn located(self) -> Located {
        let code = self.country.and_then(|country| country.iso_code).or(self.country_code);
        let exact = self.location.and_then(|location| location.latitude.zip(location.longitude));
        let degrees = exact
            .or(self.latitude.zip(self.longitude))
            .filter(|(latitude, longitude)| (-90.0..=90.0).contains(latitude) && (-180.0..=180.0).contains(longitude));
        let degrees = degrees.or_else(|| countries::middle(code.as_deref()?));
        let place = Place {
            at: degrees.map(|(latitude, longitude)| unit_vector(latitude, longitude)),
            country: code.and_then(|code| code.as_bytes().try_into().ok()),
        };
        Located { place, asn: self.autonomous_system_number.0 }
    }
}

impl<'de> Deserialize<'de> for System {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = System;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the number of an autonomous system")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<System, E> {
                u32::try_from(number).map(System).map_err(|_| E::custom(format!("no autonomous system: {number}")))
            }
        }
        deserializer.deserialize_any(Number)
    }
}
