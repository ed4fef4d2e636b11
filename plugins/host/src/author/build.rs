//! Building: sources to components.
//!
//! A directory with a `Cargo.toml` is a crate; all crates are built by one run of cargo. What else there may be is [`foreign`]'s.

use std::path::{Path, PathBuf};
use std::process::Command;

mod flat;
mod foreign;
mod rename;
mod wrap;

use crate::engine::read;
use foreign::Foreign;

/// Builds what is in each of `directories` and wraps it as a component `OUT/<name>.wasm`: a crate for wasm32-unknown-unknown under its
/// package's name, `plugin.c` (C), `world.ts` with `plugin.ts` (AssemblyScript) or `plugin.js` (JavaScript) under the directory's. Its `vectors.toml` goes to `OUT/<name>.vectors.toml`. Returns the components. The
/// environment (`CARGO_TARGET_DIR`, `CARGO`, `CLANG`, …) is the compilers'.
///
/// # Errors
/// One line: which plugin, what its compiler or the wrapper said.
pub fn build(directories: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>, String> {
    if directories.is_empty() {
        return Err("name at least one directory of a plugin".into());
    }
    std::fs::create_dir_all(out).map_err(|error| format!("{}: cannot be made: {error}", out.display()))?;
    let foreign = |directory: &Path| Foreign::of(directory).filter(|_| !directory.join("Cargo.toml").is_file());
    let crates: Vec<_> = directories.iter().filter(|directory| foreign(directory).is_none()).collect();
    let target = compile_crates(&crates)?;
    let built = directories.iter().map(|directory| {
        let (name, core) = match foreign(directory) {
            Some(language) => (foreign::name_of(directory)?, language.compile(directory)?),
            None => {
                let name = package(directory)?;
                let file = target.join("wasm32-unknown-unknown/guest").join(format!("{}.wasm", name.replace('-', "_")));
                let core = read(&file).map_err(|problem| format!("{}: {problem}", file.display()))?;
                (name, core)
            }
        };
        let component = wrap::wrap(core);
        let component =
            component.map_err(|problem| format!("{}: cannot be made a component: {problem}", directory.display()))?;
        let file = wrap::write(&component, &name, out)?;
        ship_vectors(directory, &file)?;
        Ok(file)
    });
    built.collect()
}

/// Compiles crates of one workspace, and says where what came out is.
fn compile_crates(directories: &[&PathBuf]) -> Result<PathBuf, String> {
    let Some(first) = directories.first() else { return Ok(PathBuf::new()) };
    let workspace = Workspace::of(first)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(first).args(["build", "--target", "wasm32-unknown-unknown", "--profile", "guest"]);
    for directory in directories {
        cargo.args(["-p", workspace.id_of(directory)?]);
    }
    if workspace.workspace_root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    let status = cargo.status().map_err(|error| format!("cargo cannot be run: {error}"))?;
    match status.success() {
        true => Ok(workspace.target_directory),
        false => Err("cargo could not build the plugins; if the target is missing, run `rustup target add wasm32-unknown-unknown`".into()),
    }
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

/// The name in a crate's manifest.
fn package(directory: &Path) -> Result<String, String> {
    let manifest = directory.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| {
        format!(
            "{}: {error}; a plugin's directory has a Cargo.toml, a plugin.c, a plugin.js, or a world.ts with plugin.ts",
            manifest.display()
        )
    })?;
    let name = text.lines().filter_map(|line| line.trim().strip_prefix("name")).find_map(|rest| rest.split('"').nth(1));
    name.map(str::to_owned).ok_or_else(|| format!("{}: it names no package", manifest.display()))
}

/// A workspace as cargo knows it.
#[derive(serde::Deserialize)]
struct Workspace {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    id: String,
    manifest_path: PathBuf,
}

impl Workspace {
    /// The workspace of a crate.
    fn of(directory: &Path) -> Result<Self, String> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(directory).args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = cargo.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            format!("{}: cargo knows no workspace there: {said}", directory.display())
        })
    }

    /// What cargo calls the package in a directory, and no other: a dependency may have the same name.
    fn id_of(&self, directory: &Path) -> Result<&str, String> {
        let is_it = |package: &&Package| {
            let there = package.manifest_path.parent().and_then(|at| at.canonicalize().ok());
            there.is_some() && there == directory.canonicalize().ok()
        };
        let told = || {
            let root = self.workspace_root.display();
            format!("{}: no package of the workspace {root}: build it apart, or add it there", directory.display())
        };
        self.packages.iter().find(is_it).map(|package| &*package.id).ok_or_else(told)
    }
}
