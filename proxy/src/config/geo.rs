//! `[geo]`: where clients are, and which cluster is theirs, from files and by the operator's word.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

/// Corrections of one config.
pub const OVERRIDES_MAX: usize = 65_536;

/// Geo-IP and coverage.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Geo {
    /// MMDB files, city, country or ASN, most precise first.
    pub database: Vec<PathBuf>,
    /// Files of coverage zones, JSON or CSV.
    pub coverage: Vec<PathBuf>,
    /// What the operator knows better.
    #[serde(rename = "override")]
    pub overrides: Vec<Override>,
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
