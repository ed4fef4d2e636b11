//! Geo-IP databases (MMDB): the only module that names maxminddb.
//!
//! A database that is missing or broken is a warning and no more: coverage zones, load and health still decide.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::Reader;
use serde::Deserialize;

use crate::countries;
use crate::routing::unit_vector;

/// One database, read into memory.
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    v6: bool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a database says of an address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Located {
    /// Its place.
    pub place: Option<[f32; 3]>,
    /// Its country.
    pub country: Option<String>,
    /// Length of the prefix the record is for.
    pub prefix: u8,
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
}

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
    /// Opens and verifies a file.
    ///
    /// # Errors
    /// One line that names the file and says what happens without it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let problem = |text: String| {
            format!(
                "{}: not usable as a geo-IP database ({text}); clients are placed by coverage zones and load alone",
                path.display()
            )
        };
        let reader = Reader::open_readfile(path).map_err(|error| problem(error.to_string()))?;
        reader.verify().map_err(|error| problem(error.to_string()))?;
        let v6 = reader.metadata().ip_version == 6;
        Ok(Self { path: path.to_owned(), reader, v6 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of `address`; nothing for what it does not know.
    pub fn find(&self, address: IpAddr) -> Located {
        if address.is_ipv6() && !self.v6 {
            return Located::default();
        }
        let Ok(found) = self.reader.lookup(address) else {
            return Located::default();
        };
        let prefix = found.network().map_or(u8::MAX, |network| network.prefix());
        // IPv4 in an IPv6 tree may come back with the length of the IPv6 prefix.
        let prefix = if address.is_ipv4() && prefix > 32 { prefix.saturating_sub(96).min(32) } else { prefix };
        let record: Record = found.decode().ok().flatten().unwrap_or_default();
        let country = record.country.and_then(|country| country.iso_code).or(record.country_code);
        let exact = record.location.and_then(|location| location.latitude.zip(location.longitude));
        let degrees = exact.or(record.latitude.zip(record.longitude));
        let degrees = degrees.or_else(|| countries::middle(country.as_deref()?));
        Located { place: degrees.map(|(latitude, longitude)| unit_vector(latitude, longitude)), country, prefix }
    }
}

/// The first database with a place for `address`; the scope is the longest prefix of all that were asked.
pub fn find(databases: &[std::sync::Arc<Database>], address: IpAddr) -> Located {
    let mut scope = 0;
    for database in databases {
        let located = database.find(address);
        scope = scope.max(located.prefix);
        if located.place.is_some() {
            return Located { prefix: scope, ..located };
        }
    }
    Located { prefix: scope, ..Located::default() }
}
