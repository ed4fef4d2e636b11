//! Building: crates to components.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::read;

/// Builds the crate in each of `directories` for wasm32-unknown-unknown and wraps it as a component `OUT/<package>.wasm`.
/// The crate's
/// `vectors.toml` goes to `OUT/<package>.vectors.toml`. Returns the components. The environment (`CARGO_TARGET_DIR`, `CARGO`, …) is cargo's as always.
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
    let wrapped = packages.iter().zip(directories).map(|(package, directory)| {
        let file = wrap(&target, package, out)?;
        ship_vectors(directory, &file)?;
        Ok(file)
    });
    wrapped.collect()
}

/// Puts the vectors of a crate beside its component, where [`super::vectors_of`] looks.
fn ship_vectors(directory: &Path, component: &Path) -> Result<(), String> {
    let vectors = directory.join("vectors.toml");
    if !vectors.is_file() {
        return Ok(());
    }
    let beside = component.with_extension("vectors.toml");
    std::fs::copy(&vectors, &beside)
        .map(drop)
        .map_err(|error| format!("{}: cannot be written: {error}", beside.display()))
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
