//! `[[warm]]`: what is pushed each day.

use std::path::PathBuf;

use littoral_cache::popularity::Figures;
use serde::{Deserialize, Serialize};

use crate::warm::{Order, Place};

/// Standing jobs of one config.
pub const WARM_MAX: usize = 16;
/// Bytes of the name of one.
pub const WARM_NAME_BYTES_MAX: usize = 64;

/// An order that is given each day when its window opens. What its keys mean, [`Order`] says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// By which it is told from others.
    pub name: String,
    /// Its hours, by the clocks of the node's cluster unless it names a zone.
    pub window: String,
    /// What names it.
    #[serde(default)]
    pub url: String,
    /// Instead of `url`: a file of whole URLs, read each day.
    pub list: Option<PathBuf>,
    /// Access logs, read each day.
    #[serde(default)]
    pub by_popularity: Vec<PathBuf>,
    /// Ids of representations.
    #[serde(default)]
    pub representations: Vec<String>,
    /// At most this fast.
    pub rate: Option<String>,
    /// How long what was fetched is kept.
    pub pin: Option<String>,
    /// Of what viewers see.
    pub share: Option<f64>,
    /// At most so much.
    pub bytes: Option<String>,
    /// Of which part.
    pub place: Option<Place>,
    /// Of all requests, those of the head.
    pub head: Option<f64>,
    /// Siblings that have an object of the head.
    pub copies: Option<usize>,
}

impl Warm {
    /// The order, with what is in its files.
    pub fn order(&self, list: Option<String>, popularity: Option<Figures>) -> Order {
        let of = self.clone();
        Order {
            url: of.url,
            list,
            representations: of.representations,
            rate: of.rate,
            window: Some(of.window),
            pin: of.pin,
            dry_run: false,
            popularity,
            share: of.share,
            bytes: of.bytes,
            place: of.place,
            head: of.head,
            copies: of.copies,
            standing: None,
        }
    }

    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.list.iter_mut().chain(&mut self.by_popularity)
    }
}
