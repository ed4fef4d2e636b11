//! `[geo]`: where clients are, and which cluster is theirs, from files and by the operator's word.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::units::Span;

/// How old a database may be where nobody says: two editions of the slowest of the usual ones.
const DATABASE_MAX_AGE: Duration = Duration::from_secs(60 * 86_400);
/// Corrections of one config.
pub const OVERRIDES_MAX: usize = 65_536;

/// Geo-IP and coverage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Geo {
    /// MMDB files, city, country or ASN, most precise first.
    pub database: Vec<PathBuf>,
    /// How old they may be before they are warned about; nothing: as old as they like.
    pub database_max_age: Span,
    /// Files of coverage zones, JSON or CSV.
    pub coverage: Vec<PathBuf>,
    /// What the operator knows better.
    #[serde(rename = "override")]
    pub overrides: Vec<Override>,
}

impl Default for Geo {
    fn default() -> Self {
        let database_max_age = Span(DATABASE_MAX_AGE);
        Self { database: Vec::new(), database_max_age, coverage: Vec::new(), overrides: Vec::new() }
    }
}

/// A correction: a prefix, and the cluster or the place it has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Of which addresses.
    pub prefix: IpNet,
    /// The cluster that serves them.
    pub cluster: Option<String>,
    /// Where they are: latitude and longitude in degrees.
    pub at: Option<[f64; 2]>,
}
