//! Where a representation's files are: BaseURL elements of four levels, each with alternatives (ISO/IEC 23009-1 §5.6).
//!
//! Invariant: there is always one place, and never more than [`LOCATIONS_MAX`].

use url::Url;

use super::ManifestError;
use super::raw::Base;
use crate::limits::{LOCATIONS_MAX, URL_BYTES_MAX};

/// A place, and what content steering knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the names of files are relative to.
    pub url: Url,
    /// `BaseURL@serviceLocation`.
    pub service_location: Option<String>,
    /// How much earlier than whole segments become available here, in ms; `u64::MAX` when all are at once.
    pub availability_offset_ms: u64,
}

/// Where the manifest is.
pub(super) fn root(manifest: &Url) -> Vec<Place> {
    vec![Place { url: manifest.clone(), service_location: None, availability_offset_ms: 0 }]
}

/// The places one level further in. Where there are alternatives on several levels, every combination is one, those of the
/// outermost level apart the most; each URL counts once.
pub(super) fn inside(outer: &[Place], bases: &[Base]) -> Result<Vec<Place>, ManifestError> {
    if bases.is_empty() {
        return Ok(outer.to_vec());
    }
    let mut places: Vec<Place> = Vec::new();
    for place in outer {
        for base in bases {
            let Ok(url) = place.url.join(&base.url) else { continue };
            if url.as_str().len() > URL_BYTES_MAX {
                return Err(ManifestError::TooMany("bytes in a BaseURL"));
            }
            if places.len() == LOCATIONS_MAX || places.iter().any(|known| known.url == url) {
                continue;
            }
            let offset = base.availability_offset_ms.unwrap_or(0);
            places.push(Place {
                url,
                service_location: base.service_location.clone().or_else(|| place.service_location.clone()),
                availability_offset_ms: place.availability_offset_ms.saturating_add(offset),
            });
        }
    }
    Ok(if places.is_empty() { outer.to_vec() } else { places })
}
