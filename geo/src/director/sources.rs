//! The files that a map is made of, and the map of a config and its files.
//!
//! Invariants: what was read stays until the file can be read again; a file that has not changed is not read again.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{GeoConfig, GeoError};
use crate::coverage::CoverageFile;
use crate::database::Database;
use crate::limits::PREFIXES_MAX;
use crate::map::{self, As, Covered, Map, Place};
use crate::routing::unit_vector;

/// What tells one content of a file from another: when it was written, its length, which file it is.
type Stamp = (SystemTime, u64, u64);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) databases: Vec<Arc<Database>>,
    pub(super) coverage: Vec<Arc<CoverageFile>>,
    /// Of each file as it was when it was last tried, and whether it could be read.
    tried: HashMap<PathBuf, (Option<Stamp>, bool)>,
}

impl Sources {
    /// Reads what has changed since `old`; with it come warnings, one line each.
    ///
    /// # Errors
    /// A coverage file that cannot be read and was never read: one line. Databases are only warnings.
    pub(super) fn read(config: &GeoConfig, old: &Self) -> Result<(Self, Vec<String>), GeoError> {
        let (mut read, mut warnings) = (Self::default(), Vec::new());
        for path in &config.databases {
            let known = old.databases.iter().find(|known| known.path() == path);
            let taken = read.take(path, known, old, Database::open);
            let is_new = |new: &&Arc<Database>| known.is_none_or(|known| !Arc::ptr_eq(known, new));
            let new = taken.source.as_ref().filter(is_new);
            warnings.extend(new.and_then(|database| database.is_old(config.database_max_age)));
            warnings.extend(taken.warning);
            read.databases.extend(taken.source);
        }
        for path in &config.coverage {
            let known = old.coverage.iter().find(|known| known.path == *path);
            let taken = read.take(path, known, old, CoverageFile::open);
            match (taken.source, taken.warning) {
                (None, Some(problem)) => return Err(GeoError(problem)),
                (source, warning) => {
                    read.coverage.extend(source);
                    warnings.extend(warning.map(|warning| format!("{warning}; what it said before holds")));
                }
            }
        }
        Ok((read, warnings))
    }

    fn take<T>(
        &mut self,
        path: &Path,
        known: Option<&Arc<T>>,
        old: &Self,
        open: impl Fn(&Path) -> Result<T, String>,
    ) -> Taken<T> {
        let stamp = stamp(path);
        let unchanged = stamp.is_some() && old.tried.get(path) == Some(&(stamp, true));
        if let Some(known) = known.filter(|_| unchanged) {
            self.tried.insert(path.to_owned(), (stamp, true));
            return Taken { source: Some(known.clone()), warning: None };
        }
        let opened = open(path);
        self.tried.insert(path.to_owned(), (stamp, opened.is_ok()));
        match opened {
            Ok(source) => Taken { source: Some(Arc::new(source)), warning: None },
            Err(warning) => Taken { source: known.cloned(), warning: Some(warning) },
        }
    }

    /// Whether any file is not as it was when it was last tried.
    pub(super) fn have_changed(&self) -> bool {
        self.tried.iter().any(|(path, (tried, _))| stamp(path) != *tried)
    }

    /// The map of `config` and these files; with it come warnings, one line each.
    ///
    /// # Errors
    /// One line: what there is too much of, or what names nothing.
    pub(super) fn map(&self, config: &GeoConfig) -> Result<(Map, Vec<String>), GeoError> {
        let mut sources = map::Sources::default();
        let (mut warnings, ids) = (Vec::new(), config.indexes());
        let serving = |index: u16| (config.clusters[usize::from(index)].serves_as(), index);
        for (index, cluster) in (0..).zip(&config.clusters) {
            sources.zones.extend(cluster.prefixes.iter().map(|prefix| (prefix.trunc(), serving(index))));
            for system in &cluster.systems {
                let covered: &mut Covered = sources.systems.entry(*system).or_default();
                *(if cluster.deep { &mut covered.deep } else { &mut covered.home }) = Some(index);
            }
        }
        for file in &self.coverage {
            let indexes: Vec<Option<u16>> = file.names.iter().map(|name| ids.get(name.as_str()).copied()).collect();
            let of = |at: &u16| indexes[usize::from(*at)];
            sources.zones.extend(file.zones.iter().filter_map(|(prefix, at)| Some((*prefix, serving(of(at)?)))));
            warnings.extend(unknown(file, &indexes));
        }
        for correction in &config.overrides {
            let prefix = correction.prefix.trunc();
            if let Some(id) = &correction.cluster {
                let none = || GeoError(format!("geo.override: {prefix} names no [[cluster]]: {id:?}"));
                sources.zones.push((prefix, (As::Forced, *ids.get(id.as_str()).ok_or_else(none)?)));
            }
            if let Some([latitude, longitude]) = correction.at {
                let place = Place { at: Some(unit_vector(latitude, longitude)), country: None };
                sources.places.push((prefix, place));
            }
        }
        if sources.zones.len() > PREFIXES_MAX {
            return Err(GeoError(format!("{} prefixes: at most {PREFIXES_MAX}", sources.zones.len())));
        }
        sources.zones.sort_unstable();
        sources.zones.dedup();
        let same = |pair: &[(ipnet::IpNet, map::Serving)]| pair[0].0 == pair[1].0 && pair[0].1.0 == pair[1].1.0;
        let rivals: Vec<_> = sources.zones.windows(2).filter(|pair| same(pair)).collect();
        if let Some([(prefix, (_, one)), (_, (_, other))]) = rivals.first() {
            let id = |index: &u16| &config.clusters[usize::from(*index)].id;
            let (one, other, more) = (id(one), id(other), rivals.len() - 1);
            warnings.push(format!(
                "{prefix} is of cluster {one:?} and of cluster {other:?}, which gets it, and {more} more are like that: keep one"
            ));
        }
        sources.databases = self.databases.iter().map(|database| &**database).collect();
        let map = Map::compile(sources).map_err(|problem| GeoError(problem.to_owned()))?;
        Ok((map, warnings))
    }
}

struct Taken<T> {
    source: Option<Arc<T>>,
    warning: Option<String>,
}

/// A warning about names that are no clusters.
fn unknown(file: &CoverageFile, indexes: &[Option<u16>]) -> Option<String> {
    let first = indexes.iter().position(Option::is_none)?;
    let names = indexes.iter().filter(|index| index.is_none()).count();
    let prefixes = file.zones.iter().filter(|(_, at)| indexes[usize::from(*at)].is_none()).count();
    let (path, first) = (file.path.display(), &file.names[first]);
    Some(format!(
        "{path}: {first:?} is no [[cluster]] ({names} such names): {prefixes} prefixes are not used; add the cluster or correct the name"
    ))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests;
