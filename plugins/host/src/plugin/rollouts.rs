//! What a config says of a policy and of its candidate, and what the operator says of a roll-out.

use std::path::PathBuf;

use super::{Generation, Plugin, Prepared};
use crate::engine::{Content, LoadError, PluginSpec};
use crate::generations::Wish;
use crate::rollout::Share;

/// All that a config wants of a plugin and did not want before, loaded and tried. Nothing has changed yet.
pub struct Planned<'a> {
    plugin: &'a Plugin,
    prepared: Option<Prepared<'a>>,
    wish: Wish<Generation>,
    asked: Option<(PluginSpec, Share)>,
}

impl std::fmt::Debug for Planned<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("plugin", &self.plugin.name).finish_non_exhaustive()
    }
}

impl Planned<'_> {
    /// The interfaces it will serve, as status tells them.
    pub fn interfaces(&self) -> Vec<&'static str> {
        let prepared = self.prepared.as_ref().map(Prepared::interfaces);
        prepared.unwrap_or_else(|| names(&self.plugin.generation()))
    }

    /// Puts it in force.
    pub fn adopt(self) {
        let Self { plugin, prepared, wish, asked } = self;
        if let Some(prepared) = prepared {
            prepared.adopt();
        }
        plugin.generations.carry_out(wish, asked, |running| plugin.runs(running));
    }
}

impl Plugin {
    /// Loads and tries what a config says of it and of a candidate, where that is something else than before.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub fn plan(&self, spec: PluginSpec, candidate: Option<(PluginSpec, Share)>) -> Result<Planned<'_>, LoadError> {
        let is_wanted = self.generations.is_wanted(&spec, candidate.as_ref());
        let prepared = if is_wanted { None } else { Some(self.prepare(Some(spec))?) };
        let serves = prepared.as_ref().map_or_else(|| names(&self.generation()), Prepared::interfaces);
        let wish = self.generations.wish(candidate.as_ref()).load(|spec| {
            let content = Content::read(&spec.file)?;
            self.candidate(spec, &content, &serves)
        })?;
        Ok(Planned { plugin: self, prepared, wish, asked: candidate })
    }

    /// Tries the config's candidate by this share of the calls: by another one than before, or again. The candidate's number.
    ///
    /// # Errors
    /// That there is none, or why it cannot be loaded.
    pub fn roll_out(&self, share: Share) -> Result<u64, String> {
        let load = |spec, content: &Content| self.candidate(spec, content, &names(&self.generation()));
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
        let load = |spec, content: &Content| self.candidate(spec, content, &names(&self.generation()));
        self.generations.retry_if_changed(load, |running| self.runs(running))
    }

    /// Loads and tries a candidate, which serves what it might take the place of.
    fn candidate(&self, spec: PluginSpec, content: &Content, serves: &[&'static str]) -> Result<Generation, LoadError> {
        let candidate = self.host.generation(spec, self.wanted, content)?;
        let problem = match names(&candidate) {
            names if serves.iter().all(|name| names.contains(name)) => return Ok(candidate),
            names => format!("it serves {}, and what it is to be tried beside {}", names.join(", "), serves.join(", ")),
        };
        Err(LoadError::new(&candidate.spec.file, problem))
    }
}

fn names(generation: &Generation) -> Vec<&'static str> {
    generation.code.interfaces.iter().map(|interface| interface.as_str()).collect()
}
