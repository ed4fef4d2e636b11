//! Tools for the author of a plugin: build a component from a crate, look into one, try one.
//!
//! Each does what a node would, by the same code, and none needs a node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::component::{Role, role};
use crate::engine::{Content, Host, HostSettings, PluginSpec};
use crate::filter;
use crate::plugin::Generation;
use crate::service;
use crate::vectors::{Vectors, Verified};

mod bench;
mod build;
mod check;
mod inspect;
mod new;
mod replay;
mod run;
mod sign;

pub use crate::contract::reference;
pub use crate::service::{Conversation, Spoken};
pub(crate) use bench::BATCH;
pub use bench::{Measured, bench};
pub use build::build;
pub use check::{Finding, check};
pub use inspect::{Core, Function, Inspection, Section, inspect};
pub use new::{Language, World, new};
pub use replay::{Difference, Replayed, Tally, replay};
pub use run::{Ran, run, run_filter, run_service};
pub use sign::{keygen, sign, verify};

/// Asks a component every case of its author's vectors, in the host that a node uses; `config` is JSON.
///
/// # Errors
/// One line: the component cannot be loaded, or the vectors cannot be read.
pub fn test(file: &Path, vectors: &Path, config: &str) -> Result<Vec<Verified>, String> {
    match role(file) {
        Some(Role::Filter) => {
            let vectors = filter::vectors::Vectors::read(vectors)?;
            // The cases bring configs; without one a filter may refuse to start at all.
            let (_host, generation) = filter::generation(file, &vectors.config_or(config))?;
            Ok(vectors.run(&generation, config))
        }
        Some(Role::Service) => service::vectors::test(file, vectors, config),
        Some(Role::Policy) | None => {
            let vectors = Vectors::read(vectors)?;
            Ok(vectors.run(&generation(file, config, vectors.fuel())?))
        }
    }
}

/// Where the vectors of a component are when nobody says: beside it, `NAME.vectors.toml` or `NAME.vectors.json`.
pub fn vectors_of(file: &Path) -> Option<PathBuf> {
    ["vectors.toml", "vectors.json"]
        .map(|extension| file.with_extension(extension))
        .into_iter()
        .find(|file| file.is_file())
}

fn host() -> Result<Arc<Host>, String> {
    Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 })
}

fn spec(file: &Path, config: &str, fuel: Option<u64>) -> PluginSpec {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    PluginSpec { config: config.to_owned(), fuel, ..PluginSpec::new(name, file) }
}

fn generation(file: &Path, config: &str, fuel: Option<u64>) -> Result<Generation, String> {
    let content = Content::read(file).map_err(|error| error.to_string())?;
    host()?.generation(spec(file, config, fuel), None, &content).map_err(|error| error.to_string())
}
