//! Compiled code: from the cache when it is there and fits the engine, else made anew and kept.
//!
//! What an engine loads is its own: core modules of policies, components of filters. Invariant: what is loaded was made by this build,
//! just now or before, and then lay where only this user can write, under a name with the hash of the engine's configuration and
//! with a digest that matches.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::compile::{Failed, compile};
use crate::engine::HostSettings;

/// What is compiled: its bytes, and the sha256 of the file that has them.
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) sha256: &'a str,
    pub(crate) part: Part,
}

/// What of a file is compiled, and for which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The core module of a policy.
    Policy,
    /// All of it.
    Component,
    /// The core module of a filter.
    Filter,
}

/// Its compiled form. `precompile` is the engine's way to compile it here, `load` the one to take up what was compiled.
pub(crate) fn compiled<T>(
    engine: &Engine,
    settings: &HostSettings,
    source: &Source<'_>,
    precompile: fn(&Engine, &[u8]) -> wasmtime::Result<Vec<u8>>,
    load: impl Fn(&[u8]) -> wasmtime::Result<T>,
) -> Result<T, String> {
    // One engine compiles components and modules: of a file they have different names.
    let part = if source.part == Part::Filter { "core-" } else { "" };
    let name = |hash: u64| format!("{}-{part}{hash:x}.cwasm", source.sha256);
    let cached = settings.cache_dir.as_ref().map(|directory| directory.join(name(hash_of(engine))));
    if let Some(found) = cached.as_ref().and_then(|path| load(&read(path)?).ok()) {
        return Ok(found);
    }
    let code = code(engine, settings, source, precompile)?;
    // A cache that cannot be written costs time at the next start and nothing else.
    if let Some(path) = cached
        && let Err(error) = write(&path, &code)
    {
        tracing::warn!(path = %path.display(), error, "cannot keep a compiled plugin");
    }
    load(&code).map_err(|error| format!("its compiled code cannot be used: {error:#}"))
}

/// Compiles: elsewhere, or here when that cannot be.
fn code(
    engine: &Engine,
    settings: &HostSettings,
    source: &Source<'_>,
    precompile: fn(&Engine, &[u8]) -> wasmtime::Result<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    match settings.compiler.as_ref().map(|compiler| compile(compiler, source)) {
        Some(Ok(code)) => return Ok(code),
        Some(Err(Failed::Refused(problem))) => return Err(problem),
        Some(Err(Failed::Absent(error))) => tracing::warn!(%error, "plugins are compiled in this process"),
        None => {}
    }
    precompile(engine, source.bytes).map_err(|error| format!("it cannot be compiled: {error:#}"))
}

fn hash_of(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The code in a file of the cache. Its last 32 bytes are the digest of the rest: a torn or changed file is compiled anew.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let digest = bytes.split_off(bytes.len().checked_sub(32)?);
    (Sha256::digest(&bytes).as_slice() == digest).then_some(bytes)
}

/// Writes code and its digest under a temporary name, then renames.
fn write(path: &Path, code: &[u8]) -> Result<(), String> {
    use std::io::Write;
    let directory = path.parent().unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(code)?;
        file.write_all(&Sha256::digest(code))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| error.to_string())
}

/// Makes the directory of the cache, if there is to be one.
pub(crate) fn make_directory(settings: &HostSettings) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let Some(directory) = &settings.cache_dir else { return Ok(()) };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.and_then(|()| std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)))
        .map_err(|error| format!("{}: cannot be made: {error}", directory.display()))
}
