//! Tools for the author of a plugin: build a component from a crate, look into one, try one.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::component::{Interface, open};
use crate::engine::{Host, HostSettings, PluginSpec, hex, read};

/// What a component file is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Bytes of the file.
    pub bytes: usize,
    /// Bytes of the core module inside.
    pub core_bytes: usize,
    /// Of the file.
    pub sha256: String,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// The worlds it can serve.
    pub worlds: Vec<&'static str>,
}

/// Builds the crate in each of `directories` for wasm32-unknown-unknown and wraps it as a component `OUT/<package>.wasm`.
/// Returns the files. The environment (`CARGO_TARGET_DIR`, `CARGO`, …) is cargo's as always.
///
/// # Errors
/// One line: which crate, what cargo or the wrapper said.
pub fn build(directories: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>, String> {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: cannot be made: {error}", out.display()))?;
    let packages = directories.iter().map(|directory| package(directory)).collect::<Result<Vec<_>, _>>()?;
    let first = directories.first().ok_or("name at least one directory of a plugin crate")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(first).args(["build", "--target", "wasm32-unknown-unknown", "--profile", "guest"]);
    for package in &packages {
        cargo.args(["-p", package]);
    }
    let (root, target) = layout(first)?;
    if root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    let status = cargo.status().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !status.success() {
        return Err("cargo could not build the plugins; if the target is missing, run `rustup target add wasm32-unknown-unknown`".into());
    }
    packages.iter().map(|package| wrap(&target, package, out)).collect()
}

fn wrap(target: &Path, package: &str, out: &Path) -> Result<PathBuf, String> {
    let built = target.join("wasm32-unknown-unknown/guest").join(format!("{}.wasm", package.replace('-', "_")));
    let core = read(&built).map_err(|problem| format!("{}: {problem}", built.display()))?;
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true);
    let component = encoder.module(&core).and_then(|encoder| encoder.encode());
    let component = component.map_err(|error| format!("{}: cannot be made a component: {error:#}", built.display()))?;
    let file = out.join(format!("{package}.wasm"));
    // Renamed into place, so that a running node that watches the file never reads half of it.
    let written = tempfile::NamedTempFile::new_in(out).and_then(|mut temporary| {
        std::io::Write::write_all(&mut temporary, &component)?;
        temporary.persist(&file).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| format!("{}: cannot be written: {error}", file.display()))?;
    Ok(file)
}

/// The name in a crate's manifest.
fn package(directory: &Path) -> Result<String, String> {
    let manifest = directory.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let name = text.lines().filter_map(|line| line.trim().strip_prefix("name")).find_map(|rest| rest.split('"').nth(1));
    name.map(str::to_owned).ok_or_else(|| format!("{}: it names no package", manifest.display()))
}

/// The workspace's root and its target directory, as cargo knows them.
fn layout(directory: &Path) -> Result<(PathBuf, PathBuf), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(directory).args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = cargo.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| {
        let (_, rest) = text.rsplit_once(&format!("\"{name}\":\""))?;
        rest.split('"').next().map(PathBuf::from)
    };
    let told = || {
        format!(
            "{}: cargo knows no workspace there: {}",
            directory.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    };
    field("workspace_root").zip(field("target_directory")).ok_or_else(told)
}

/// Looks into a component.
///
/// # Errors
/// One line with the file.
pub fn inspect(file: &Path) -> Result<Inspection, String> {
    let told = |problem: String| format!("{}: {problem}", file.display());
    let bytes = read(file).map_err(told)?;
    let opened = open(&bytes).map_err(told)?;
    let worlds = Interface::ALL.into_iter().filter(|interface| opened.has(*interface)).map(Interface::world).collect();
    Ok(Inspection {
        file: file.to_owned(),
        bytes: bytes.len(),
        core_bytes: opened.core.len(),
        sha256: hex(&Sha256::digest(&bytes)),
        exports: opened.exports,
        imports: opened.imports,
        worlds,
    })
}

/// Loads a component as a node would, with `config` (JSON).
///
/// # Errors
/// Why a node would refuse it.
pub fn check(file: &Path, config: &str) -> Result<(), String> {
    let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 })?;
    let spec = PluginSpec {
        name: file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        file: file.to_owned(),
        config: config.to_owned(),
        sha256: None,
        fuel: None,
        memory_bytes: None,
    };
    host.load(spec, None).map(drop).map_err(|error| error.to_string())
}
