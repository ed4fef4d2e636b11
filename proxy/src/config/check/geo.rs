//! `[geo]`.

use std::collections::HashSet;

use super::{Wrong, at_most, place, wrong};
use crate::config::Config;
use crate::config::geo::OVERRIDES_MAX;

impl Config {
    pub(super) fn check_geo(&self) -> Result<(), Wrong> {
        let overrides = &self.geo.overrides;
        at_most("geo.override", overrides.len(), OVERRIDES_MAX)?;
        let mut known = HashSet::new();
        for (index, correction) in overrides.iter().enumerate() {
            let key = |key: &str| format!("geo.override.{index}.{key}");
            let prefix = correction.prefix;
            if prefix != prefix.trunc() {
                let problem = format!("{prefix} has bits beyond its length: write {}", prefix.trunc());
                return wrong(key("prefix"), problem);
            }
            if correction.cluster.is_none() && correction.at.is_none() {
                return wrong(
                    key("prefix"),
                    format!("{prefix} is given neither a cluster nor a place: add cluster or at"),
                );
            }
            if let Some(id) = &correction.cluster
                && !self.cluster.iter().any(|cluster| cluster.id == *id)
            {
                return wrong(key("cluster"), format!("geo.override of {prefix} names no [[cluster]]: {id:?}"));
            }
            if let Some(at) = correction.at {
                place(key("at"), at)?;
            }
            if !known.insert(prefix) {
                return wrong(key("prefix"), format!("geo.override has {prefix} twice: keep one"));
            }
        }
        Ok(())
    }
}
