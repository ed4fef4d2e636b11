//! Files of plugins that change while a node runs: each is loaded, once it rests.
//!
//! Loading is the plugins'. Invariant: what cannot be loaded leaves what runs as it is, and is an error in the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use littoral_plugin_host::{LoadError, Plugin};
use notify::Watcher;

use super::Plugins;

/// How long a changed file must rest before it is loaded: writers write in pieces.
const CHANGE_REST: Duration = Duration::from_millis(200);

impl Plugins {
    /// Watches the plugin files and loads those that change, on a thread of its own. What the API has just loaded is not
    /// loaded again: then nothing would be left to go back to. The watch ends with what is returned.
    pub fn watch(&self) -> Option<impl Sized + use<>> {
        let files = self.files();
        if files.is_empty() {
            return None;
        }
        let (changed, changes) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event.as_ref().map(|event| (event.kind, &event.paths)) {
                let matters = matches!(event.0, notify::EventKind::Create(_) | notify::EventKind::Modify(_));
                event.1.iter().filter(|_| matters).for_each(|path| drop(changed.send(path.clone())));
            }
        })
        .inspect_err(
            |error| tracing::warn!(%error, "plugin files cannot be watched; reload them through the admin API"),
        )
        .ok()?;
        let around =
            |file: &PathBuf| if file.is_dir() { Some(file.clone()) } else { file.parent().map(Path::to_owned) };
        let mut directories: Vec<_> = files.iter().filter_map(around).collect();
        directories.sort();
        directories.dedup();
        for directory in directories {
            if let Err(error) = watcher.watch(&directory, notify::RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %directory.display(), %error, "plugin files cannot be watched");
            }
        }
        let (loaded, filters, services) = (self.loaded.clone(), self.filters.watched(), self.services.watched());
        let absent = self.absent.clone();
        let body = move || {
            while let Ok(path) = changes.recv() {
                let mut paths = vec![path];
                while let Ok(path) = changes.recv_timeout(CHANGE_REST) {
                    paths.push(path);
                }
                let is_named = |file: &Path| paths.iter().any(|path| same_file(path, file));
                filters.reload_changed(is_named);
                services.reload_changed(is_named);
                absent.hurry(is_named);
                let known = loaded.read().clone();
                for plugin in &known {
                    if is_named(&plugin.spec().file) {
                        tell(plugin.name(), plugin.reload_if_changed());
                    }
                    if plugin.candidate_file().is_some_and(|file| is_named(&file)) {
                        tell_candidate(plugin.name(), plugin.retry_if_changed());
                    }
                }
            }
        };
        std::thread::Builder::new().name("plugin-watch".into()).spawn(body).ok()?;
        Some(watcher)
    }

    /// The files of all of them.
    fn files(&self) -> Vec<PathBuf> {
        let of = |plugin: &Arc<Plugin>| [plugin.spec().file].into_iter().chain(plugin.candidate_file());
        let policies = self.loaded.read().iter().flat_map(of).collect::<Vec<_>>();
        let there = policies.into_iter().chain(self.filters.watched().files()).chain(self.services.watched().files());
        there.chain(self.absent.files()).collect()
    }
}

/// Tells what became of a changed file.
pub(crate) fn tell(plugin: &str, loaded: Result<Option<u64>, LoadError>) {
    match loaded {
        Ok(None) => {}
        Ok(Some(generation)) => tracing::info!(plugin, generation, "plugin file changed: loaded"),
        Err(error) => tracing::error!(plugin, %error, "plugin file changed: the old one stays"),
    }
}

/// Tells what became of a candidate's changed file.
pub(crate) fn tell_candidate(plugin: &str, loaded: Result<Option<u64>, LoadError>) {
    match loaded {
        Ok(None) => {}
        Ok(Some(candidate)) => tracing::info!(plugin, candidate, "candidate's file changed: it is tried"),
        Err(error) => tracing::error!(plugin, %error, "candidate's file changed: nothing else does"),
    }
}

/// Whether a path that has changed is this file, or lies in this directory.
fn same_file(changed: &Path, file: &Path) -> bool {
    changed.file_name() == file.file_name() || (file.is_dir() && changed.parent() == Some(file))
}
