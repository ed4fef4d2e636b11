//! What a `[[plugin]]` says of itself when it is a filter or a service.

use std::path::PathBuf;

use littoral_plugin_host::Share;
use serde::Deserialize;

use super::Plugin;

/// Filters of one site.
pub const FILTERS_MAX: usize = 16;

/// What becomes of a request when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// It goes on as if the filter were not there.
    Open,
    /// It is answered with 503.
    Closed,
}

impl Plugin {
    /// What is tried beside it: the file, its sha256 if it must have one, the share.
    pub fn candidate(&self) -> Option<(PathBuf, Option<String>, Share)> {
        let share = Share::of_percent(self.share.unwrap_or(0.0)).unwrap_or_default();
        self.candidate.clone().map(|file| (file, self.candidate_sha256.clone(), share))
    }

    /// Checks that a service is told nothing that only policies and filters take.
    ///
    /// # Errors
    /// One line with the key.
    pub fn check_service(&self) -> Result<(), String> {
        let keys = [
            ("fuel", self.fuel.is_some()),
            ("record", self.record.is_some()),
            ("on_fault", self.on_fault.is_some()),
            ("candidate", self.candidate.is_some()),
        ];
        match keys.into_iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => Err(format!("plugin {:?}: {key} is not for services: remove it", self.name)),
            None => Ok(()),
        }
    }

    /// Checks that a filter is told nothing that only swarms and policies take.
    ///
    /// # Errors
    /// One line with the key, and what to write instead.
    pub fn check_filter(&self) -> Result<(), String> {
        let told = |problem: &str| Err(format!("plugin {:?}: {problem}", self.name));
        match () {
            () if self.content.is_some() => told("content is for swarms, and this is none: remove it"),
            () if self.fuel.is_some() => told("fuel is for policies; this is a filter: use deadline"),
            () if self.record.is_some() => told("record is for policies, and this is a filter: remove it"),
            () => Ok(()),
        }
    }

    /// Checks that a policy is told nothing that only filters and services take.
    ///
    /// # Errors
    /// One line with the key.
    pub fn check_policy(&self) -> Result<(), String> {
        let keys = [
            ("deadline", self.deadline.is_some()),
            ("store", self.store.is_some()),
            ("on_fault", self.on_fault.is_some()),
            ("http", self.http.is_some()),
            ("durable", self.durable.is_some()),
            ("dial", self.dial.is_some()),
            ("content", self.content.is_some()),
        ];
        match keys.into_iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => Err(format!(
                "plugin {:?}: {key} is for filters and services, and this is a policy: remove it",
                self.name
            )),
            None => Ok(()),
        }
    }
}
