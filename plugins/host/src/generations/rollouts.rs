//! Roll-outs of a plugin: how one begins, changes and ends, and what a config wants of it.
//!
//! What runs is not touched by any of this but a promotion. Invariant: a config that says what it said before changes nothing, whatever
//! became of the candidate meanwhile; only a new file, another config or the operator's word tries it again.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Generation, Generations, Running, Spec, Standing};
use crate::breaker::Breaker;
use crate::engine::{Content, LoadError};
use crate::rollout::{Rollout, RolloutState, Share, Trial};

/// How roll-outs of a plugin stand apart from the one under way.
pub(super) struct Rollouts<S> {
    /// What the config wants.
    asked: Option<(S, Share)>,
    /// Of the file of the last candidate.
    sha256: String,
    /// What the last promotion took the place of: a config that still names it says nothing new.
    pub(super) replaced: Option<S>,
    /// The candidate's.
    pub(super) breaker: Breaker,
    /// The last one that ended.
    ended: Option<Rollout>,
}

impl<S> Default for Rollouts<S> {
    fn default() -> Self {
        let (asked, sha256, replaced, breaker, ended) = (None, String::new(), None, Breaker::default(), None);
        Self { asked, sha256, replaced, breaker, ended }
    }
}

impl<S: Spec> Rollouts<S> {
    pub(super) fn told<C>(&self, running: &Running<S, C>) -> Option<Rollout> {
        let under_way = |trial: &Trial<S, C>| trial.told(RolloutState::Running, file_of(&trial.candidate), None);
        running.trial.as_ref().map(under_way).or_else(|| self.ended.clone())
    }
}

/// What a config wants of a roll-out that it did not want before; a candidate is what was said of it, then what was loaded.
#[derive(Debug)]
pub(crate) enum Wish<T> {
    /// Nothing.
    Nothing,
    /// That one begins.
    Begin(T, Share),
    /// That the candidate has another share.
    Share(Share),
    /// That there is none.
    End,
}

impl<T> Wish<T> {
    /// The same with a candidate that was loaded.
    ///
    /// # Errors
    /// Why it was not.
    pub(crate) fn load<L, E>(self, load: impl FnOnce(T) -> Result<L, E>) -> Result<Wish<L>, E> {
        Ok(match self {
            Self::Nothing => Wish::Nothing,
            Self::Begin(candidate, share) => Wish::Begin(load(candidate)?, share),
            Self::Share(share) => Wish::Share(share),
            Self::End => Wish::End,
        })
    }
}

const IDLE: &str = "its candidate is not tried now: give it a share with `littoral plugin rollout`";
const NONE: &str =
    "it has no candidate: name one in its [[plugin]], such as `candidate = \"new.wasm\"`, and reload the config";

impl<S: Spec, C> Generations<S, C> {
    /// Whether a config that says this, and that of a candidate, wants what it wanted before: it has not changed, or the candidate that it
    /// still names has taken over since.
    pub(crate) fn is_wanted(&self, spec: &S, asked: Option<&(S, Share)>) -> bool {
        let standing = self.standing.lock();
        let Rollouts { replaced, asked: before, .. } = &standing.rollouts;
        let is_same_candidate = asked.map(|asked| &asked.0) == before.as_ref().map(|before| &before.0);
        standing.spec == *spec || (replaced.as_ref() == Some(spec) && is_same_candidate)
    }

    /// What a config wants that says `asked` of a candidate.
    pub(crate) fn wish(&self, asked: Option<&(S, Share)>) -> Wish<S> {
        let standing = self.standing.lock();
        let before = standing.rollouts.asked.as_ref();
        let running = self.running.load();
        match asked {
            _ if before == asked => Wish::Nothing,
            None => Wish::End,
            Some((spec, _)) if standing.spec == *spec => Wish::Nothing,
            Some((spec, share)) => match running.trial.is_some() && before.is_some_and(|before| before.0 == *spec) {
                true => Wish::Share(*share),
                false => Wish::Begin(spec.clone(), *share),
            },
        }
    }

    /// What the config wants of a candidate, as it was last noted.
    fn asked(&self) -> Option<(S, Share)> {
        self.standing.lock().rollouts.asked.clone()
    }

    /// The file of the candidate that the config names.
    pub(crate) fn candidate_file(&self) -> Option<PathBuf> {
        self.asked().map(|(spec, _)| spec.file().to_owned())
    }

    /// Tries the candidate that the config names by this share: by another one than before, or, once it is loaded, again. Its number.
    ///
    /// # Errors
    /// As [`Self::promote`], or why it cannot be loaded.
    pub(crate) fn roll_out(
        &self,
        share: Share,
        load: impl FnOnce(S, &Content) -> Result<Generation<S, C>, LoadError>,
        announce: impl Fn(&Running<S, C>),
    ) -> Result<u64, String> {
        if let Some(number) = self.reshare(share, &announce) {
            return Ok(number);
        }
        let (spec, _) = self.asked().ok_or(NONE)?;
        let candidate = Content::read(spec.file()).and_then(|content| load(spec, &content));
        let candidate = candidate.map_err(|error| error.to_string())?;
        Ok(self.begin(candidate, share, announce))
    }

    /// Tries the candidate's file if it holds something that neither runs nor was tried last. The new candidate's number; `None`: nothing
    /// was loaded.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) fn retry_if_changed(
        &self,
        load: impl FnOnce(S, &Content) -> Result<Generation<S, C>, LoadError>,
        announce: impl FnOnce(&Running<S, C>),
    ) -> Result<Option<u64>, LoadError> {
        let Some((spec, _)) = self.asked() else { return Ok(None) };
        let content = Content::read(spec.file())?;
        let Some((spec, share)) = self.news(spec.file(), &content.sha256) else { return Ok(None) };
        let candidate = load(spec, &content)?;
        Ok(Some(self.begin(candidate, share, announce)))
    }

    /// Does what a config that says `asked` of a candidate wants, and notes what it says.
    pub(crate) fn carry_out(
        &self,
        wish: Wish<Generation<S, C>>,
        asked: Option<(S, Share)>,
        announce: impl FnOnce(&Running<S, C>),
    ) {
        match wish {
            Wish::Nothing => {}
            Wish::Begin(candidate, share) => drop(self.begin(candidate, share, announce)),
            Wish::Share(share) => drop(self.reshare(share, announce)),
            // That there was none is what is wanted.
            Wish::End => drop(self.abort(announce)),
        }
        let mut standing = self.standing.lock();
        let rollouts = &mut standing.rollouts;
        if rollouts.asked.as_ref().map(|before| &before.0) != asked.as_ref().map(|asked| &asked.0) {
            rollouts.replaced = None;
        }
        rollouts.asked = asked;
    }

    /// The candidate that the config names, if this is its file and the sha256 of something that neither runs nor was the last to be tried.
    fn news(&self, file: &Path, sha256: &str) -> Option<(S, Share)> {
        let standing = self.standing.lock();
        let Rollouts { asked, sha256: tried, .. } = &standing.rollouts;
        let is_new = tried != sha256 && self.running.load().present.sha256 != sha256;
        asked.clone().filter(|(spec, _)| is_new && spec.file() == file)
    }

    /// Has a loading tried by a share beside what runs, in place of another that is; its number.
    fn begin(&self, mut candidate: Generation<S, C>, share: Share, announce: impl FnOnce(&Running<S, C>)) -> u64 {
        let now_ms = (self.now_ms)();
        let mut standing = self.standing.lock();
        if let Some(trial) = &self.running.load_full().trial {
            standing.rollouts.ended = Some(trial.told(RolloutState::Aborted, file_of(&trial.candidate), None));
        }
        standing.number += 1;
        candidate.number = standing.number;
        standing.rollouts.sha256.clone_from(&candidate.sha256);
        standing.rollouts.breaker = Breaker::default();
        let number = candidate.number;
        let trial = Some(Trial::new(Arc::new(candidate), share, now_ms));
        self.run(Running { present: self.current(), trial }, announce);
        number
    }

    /// Gives the candidate another share; its number, if there is one.
    fn reshare(&self, share: Share, announce: impl FnOnce(&Running<S, C>)) -> Option<u64> {
        let _standing = self.standing.lock();
        let running = self.running.load_full();
        let trial = Trial { share, ..running.trial.clone()? };
        let number = trial.candidate.number;
        self.run(Running { present: running.present.clone(), trial: Some(trial) }, announce);
        Some(number)
    }

    /// Has the candidate run alone; its number. What ran is what a storm of faults within a minute goes back to.
    ///
    /// # Errors
    /// That there is none, and what to do.
    pub(crate) fn promote(&self, announce: impl FnOnce(&Running<S, C>)) -> Result<u64, String> {
        let mut standing = self.standing.lock();
        let running = self.running.load_full();
        let trial = running.trial.as_ref().ok_or_else(|| none(&standing))?;
        standing.rollouts.ended = Some(trial.told(RolloutState::Promoted, file_of(&trial.candidate), None));
        let wanted = standing.spec.clone();
        standing.rollouts.replaced.get_or_insert(wanted);
        standing.since_ms = (self.now_ms)();
        Ok(self.put(&mut standing, trial.candidate.clone(), None, announce))
    }

    /// Ends the roll-out; the number of what runs.
    ///
    /// # Errors
    /// As [`Self::promote`].
    pub(crate) fn abort(&self, announce: impl FnOnce(&Running<S, C>)) -> Result<u64, String> {
        let mut standing = self.standing.lock();
        let running = self.running.load_full();
        let trial = running.trial.as_ref().ok_or_else(|| none(&standing))?;
        self.end(&mut standing, RolloutState::Aborted, trial, None, announce);
        Ok(running.present.number)
    }

    pub(super) fn end(
        &self,
        standing: &mut Standing<S, C>,
        state: RolloutState,
        trial: &Trial<S, C>,
        fault: Option<&dyn Display>,
        announce: impl FnOnce(&Running<S, C>),
    ) {
        standing.rollouts.ended = Some(trial.told(state, file_of(&trial.candidate), fault));
        self.run(Running { present: self.current(), trial: None }, announce);
    }
}

/// Why there is nothing to promote or to end.
fn none<S, C>(standing: &Standing<S, C>) -> &'static str {
    if standing.rollouts.asked.is_some() { IDLE } else { NONE }
}

fn file_of<S: Spec, C>(generation: &Generation<S, C>) -> String {
    generation.spec.file().display().to_string()
}
