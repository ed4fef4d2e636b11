//! What a config says of a filter and of its candidate, and what the operator says of a roll-out.

use std::path::PathBuf;

use super::{Filter, Generation};
use crate::engine::{Content, LoadError};
use crate::filter::guest::Point;
use crate::filter::host::FilterSpec;
use crate::generations::Wish;
use crate::rollout::Share;

/// All that a config wants of a filter and did not want before, loaded and tried. Nothing has changed yet.
pub struct Planned {
    prepared: Option<Generation>,
    wish: Wish<Generation>,
    asked: Option<(FilterSpec, Share)>,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Filter {
    /// Loads its file again, perhaps with another config; the number of the new generation. The old one stays in force until the
    /// new one is, and if the new one fails.
    ///
    /// # Errors
    /// Why the old one stays.
    pub fn reload(&self, spec: Option<FilterSpec>) -> Result<u64, LoadError> {
        let generation = self.load(spec.unwrap_or_else(|| self.spec()))?;
        Ok(self.adopt(generation))
    }

    /// Loads its file again if it holds something else than when it was last loaded.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_if_changed(&self) -> Result<Option<u64>, LoadError> {
        let Some((_alone, spec, content)) = self.generations.changed()? else { return Ok(None) };
        let generation = self.host.generation(spec, &content, &self.shared)?;
        Ok(Some(self.adopt(generation)))
    }

    /// Loads and tries what a config says of it and of a candidate, where that is something else than before.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn plan(&self, spec: FilterSpec, candidate: Option<(FilterSpec, Share)>) -> Result<Planned, LoadError> {
        let is_wanted = self.generations.is_wanted(&spec, candidate.as_ref());
        let prepared = if is_wanted { None } else { Some(self.load(spec)?) };
        let wish = self.generations.wish(candidate.as_ref()).load(|spec| self.load(spec))?;
        Ok(Planned { prepared, wish, asked: candidate })
    }

    /// Puts what was planned in force.
    pub fn carry_out(&self, Planned { prepared, wish, asked }: Planned) {
        if let Some(generation) = prepared {
            self.adopt(generation);
        }
        self.generations.carry_out(wish, asked, |running| self.runs(running));
    }

    /// Whether a generation that is asked, or will be once what was planned is in force, fits.
    fn some_fits(&self, planned: &Planned, fits: impl Fn(&Generation) -> bool) -> bool {
        let running = self.generations.running();
        let present = planned.prepared.as_ref().unwrap_or(&running.present);
        let candidate = match &planned.wish {
            Wish::Begin(candidate, _) => Some(candidate),
            Wish::End => None,
            Wish::Nothing | Wish::Share(_) => running.trial.as_ref().map(|trial| &*trial.candidate),
        };
        fits(present) || candidate.is_some_and(fits)
    }

    /// Whether it will be called at a point.
    pub fn will_ask(&self, planned: &Planned, point: Point) -> bool {
        self.some_fits(planned, |generation| generation.code.manifest.asks(point))
    }

    /// Whether it will ask where clients are.
    pub fn will_want_places(&self, planned: &Planned) -> bool {
        self.some_fits(planned, |generation| generation.code.wants_places)
    }

    /// Tries the config's candidate by this share of the requests: by another one than before, or again. The candidate's number.
    ///
    /// # Errors
    /// That there is none, or why it cannot be loaded.
    pub fn roll_out(&self, share: Share) -> Result<u64, String> {
        let load = |spec, content: &Content| self.host.generation(spec, content, &self.shared);
        self.generations.roll_out(share, load, |running| self.runs(running))
    }

    /// Has the candidate run alone; its number.
    ///
    /// # Errors
    /// That there is none.
    pub fn promote(&self) -> Result<u64, String> {
        self.generations.promote(|running| self.runs(running))
    }

    /// Ends the roll-out; the number of what runs.
    ///
    /// # Errors
    /// That there is none.
    pub fn abort(&self) -> Result<u64, String> {
        self.generations.abort(|running| self.runs(running))
    }

    /// Its candidate's file.
    pub fn candidate_file(&self) -> Option<PathBuf> {
        self.generations.candidate_file()
    }

    /// Tries the candidate's file if it holds something that was not tried last. The new candidate's number; `None`: nothing was loaded.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn retry_if_changed(&self) -> Result<Option<u64>, LoadError> {
        let load = |spec, content: &Content| self.host.generation(spec, content, &self.shared);
        self.generations.retry_if_changed(load, |running| self.runs(running))
    }

    fn load(&self, spec: FilterSpec) -> Result<Generation, LoadError> {
        let content = Content::read(&spec.file)?;
        self.host.generation(spec, &content, &self.shared)
    }

    fn adopt(&self, generation: Generation) -> u64 {
        self.generations.adopt(generation, |running| self.runs(running))
    }
}
