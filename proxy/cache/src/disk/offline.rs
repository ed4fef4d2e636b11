//! A disk's directory as it lies there, for whoever looks at it while no node uses it, or beside one that does: nothing is
//! changed.

use std::io::Result;
use std::path::{Path, PathBuf};

use super::files::{Files, RealFiles};
use super::format::{Header, Refused};
use super::journal::Told;
use super::layout;
use super::ledger::Ledger;
use super::reader::{Broken, Miss, Object};
use crate::surrogate::{Purged, keys_of};

/// A directory of objects.
pub struct Offline {
    root: PathBuf,
    /// What its journal says; `None` when it is lost, and with it every object.
    epoch: Option<u64>,
    ledger: Ledger,
}

/// A file that was looked at.
#[derive(Debug)]
pub struct Look {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What it says of itself, when that can be read.
    pub header: Option<Header>,
    /// What a node would do with it.
    pub finding: Finding,
}

/// What a node would do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Serve it.
    Whole,
    /// Serve it after it was revalidated: a soft purge names it.
    Stale,
    /// Remove it: a purge names it, or the journal it was written under is lost.
    Purged,
    /// Remove it, for this reason.
    Refused(String),
    /// Fail to read it.
    Failed(String),
}

impl Offline {
    /// Opens a directory that a node has used.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::read_dir(layout::objects(root))?;
        let told = Told::read(&layout::journal(root))?;
        let ledger = Ledger::default();
        let epoch = told.as_ref().map(|told| told.epoch);
        told.into_iter().flat_map(|told| told.records).for_each(|record| ledger.learn(record));
        Ok(Self { root: root.to_owned(), epoch, ledger })
    }

    /// The files of objects, in no particular order; what cannot be listed is left out.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let listed = |directory: PathBuf| std::fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = listed(layout::objects(&self.root)).map(|directory| directory.path());
        directories.flat_map(listed).map(|file| file.path())
    }

    /// Looks at a file; at its body too when `whole`.
    pub fn look(&self, path: PathBuf, whole: bool) -> Look {
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        let id = path.file_name().and_then(|name| name.to_str()).and_then(layout::id_of_name);
        let opened = RealFiles.open(&path).map_err(Miss::from).and_then(Object::open);
        let (header, finding) = match opened {
            Err(Miss::Absent) => (None, Finding::Failed("it is gone".to_owned())),
            Err(Miss::Failed(error)) => (None, Finding::Failed(error.to_string())),
            Err(Miss::Refused(why)) => (None, Finding::Refused(why.to_string())),
            Ok(object) if Some(object.id()) != id => {
                (Some(object.header), Finding::Refused(Refused::Content.to_string()))
            }
            Ok(object) => {
                let body = if whole { object.read_body().map(|_| ()) } else { Ok(()) };
                let finding = match body {
                    Ok(()) => self.finding_of(&object.header),
                    Err(broken @ Broken::Changed) => Finding::Refused(broken.to_string()),
                    Err(broken) => Finding::Failed(broken.to_string()),
                };
                (Some(object.header), finding)
            }
        };
        Look { path, bytes, header, finding }
    }

    fn finding_of(&self, header: &Header) -> Finding {
        let (surrogates, _) = keys_of(&header.head.headers);
        match self.ledger.since(header.purges, &header.key, &surrogates) {
            _ if self.epoch != Some(header.epoch) => Finding::Purged,
            Purged::Hard => Finding::Purged,
            Purged::Soft => Finding::Stale,
            Purged::No if header.expired => Finding::Stale,
            Purged::No => Finding::Whole,
        }
    }
}
