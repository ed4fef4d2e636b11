//! Plugins in other languages: which compiler makes a core module of them, and what it is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::flat::flatten;
use super::rename::rename;
use crate::contract::WIT;
use crate::engine::read;

mod javascript;

/// A language with a compiler that makes core modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// `plugin.c`, with clang and lld.
    C,
    /// `world.ts` with `plugin.ts`, with the compiler of npm's assemblyscript.
    AssemblyScript,
    /// `plugin.js`, with npm's componentize-qjs, which snapshots an interpreter that has read it.
    JavaScript,
}

/// An interpreter made for size, that traps where it would ask a system for anything. `--sync`: no tasks of the component model. The text is
/// not made smaller (`--minify` saves 2 KiB): lines that errors tell are the author's.
const QJS: [&str; 6] = ["--no-install", "componentize-qjs", "--sync", "--opt-size", "--stub-wasi", "--js"];

/// AssemblyScript with a collector that runs when it is called, and a trap in place of `abort`.
const ASC: [&str; 10] =
    ["--no-install", "asc", "world.ts", "--runtime", "minimal", "--use", "abort=", "-O3", "--noAssert", "--outFile"];

/// The contract for C. It has no blanks to fill in.
const HEADER_OF_C: &str = include_str!("../../../templates/c/common/littoral.h.in");

/// clang without a libc. The stack comes first, so that one that is too deep traps and writes over nothing.
const CLANG: [&str; 14] = [
    "--target=wasm32",
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-nostdlib",
    "-ffreestanding",
    "-mbulk-memory",
    "-fvisibility=hidden",
    "-Wl,--no-entry",
    "-Wl,--stack-first",
    "-Wl,-z,stack-size=65536",
    "-o",
];

impl Foreign {
    /// What a directory holds, if it is none of Rust.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let has = |file: &str| directory.join(file).is_file();
        match () {
            () if has("plugin.c") => Some(Self::C),
            () if has("world.ts") && has("plugin.ts") => Some(Self::AssemblyScript),
            () if has("plugin.js") => Some(Self::JavaScript),
            () => None,
        }
    }

    /// Compiles what is in a directory to a core module.
    ///
    /// # Errors
    /// One line: the compiler is missing, or what it ended with; it has said more itself.
    pub(super) fn compile(self, directory: &Path) -> Result<Vec<u8>, String> {
        let place = directory.display();
        let source = match self {
            Self::JavaScript => javascript::Source::read(&directory.join("plugin.js"))?,
            Self::C | Self::AssemblyScript => javascript::Source::default(),
        };
        let made = tempfile::tempdir().map_err(|error| format!("no place for what is compiled: {error}"))?;
        let core = made.path().join("plugin.wasm");
        let (mut command, needs) = self.compiler(directory, made.path(), &source)?;
        let status = command.current_dir(directory).status();
        let status = status.map_err(|error| {
            format!("{place}: {:?} cannot be run: {error}; it takes {needs}", command.get_program())
        })?;
        if !status.success() {
            return Err(format!(
                "{place}: {:?} could not compile it ({status}); it takes {needs}",
                command.get_program()
            ));
        }
        let core = read(&core).map_err(|problem| format!("{place}: what was compiled {problem}"))?;
        match self {
            Self::C => Ok(core),
            Self::AssemblyScript => rename(&core),
            Self::JavaScript => {
                let flat = flatten(&core, |interface| source.asks_for(interface));
                flat.map_err(|problem| format!("{place}: what was compiled cannot be one module: {problem}"))
            }
        }
    }

    /// The command that compiles what is in `directory`, where it is run, to `plugin.wasm` in `made`, and what it takes.
    fn compiler(
        self,
        directory: &Path,
        made: &Path,
        source: &javascript::Source,
    ) -> Result<(Command, &'static str), String> {
        let core = made.join("plugin.wasm");
        let no_place = |error: std::io::Error| format!("no place for what is compiled: {error}");
        Ok(match self {
            Self::C => {
                let mut clang = Command::new(std::env::var_os("CLANG").unwrap_or_else(|| "clang".into()));
                // The header of this version, for who has none beside the source.
                std::fs::write(made.join("littoral.h"), HEADER_OF_C).map_err(no_place)?;
                clang.args(CLANG).arg(&core).arg("-I").arg(made).arg("plugin.c");
                (clang, "clang and lld (Debian: apt install clang lld)")
            }
            Self::AssemblyScript => {
                let mut npx = Command::new("npx");
                npx.args(ASC).arg(&core);
                (npx, "Node.js with npm, and `npm install` in that directory")
            }
            Self::JavaScript => {
                let wit = made.join("wit");
                std::fs::create_dir(&wit).and_then(|()| WIT.extract(&wit)).map_err(no_place)?;
                let mut npx = Command::new("npx");
                let modules = made.join("modules");
                javascript::copy_modules(directory, &modules).map_err(no_place)?;
                let entry = modules.join("plugin.js");
                // What was copied may be as the author's is, not to be written.
                let _ = std::fs::remove_file(&entry);
                std::fs::write(&entry, source.compiled()).map_err(no_place)?;
                npx.args(QJS).arg(entry).arg("-o").arg(&core);
                npx.arg("--wit").arg(wit).arg("--world").arg(source.world()?);
                // Its account of what it does; what goes wrong is on stderr.
                npx.stdout(std::process::Stdio::null());
                (npx, "Node.js with npm, and `npm install` in that directory")
            }
        })
    }
}

/// The name of a plugin that no manifest names: its directory's.
pub(super) fn name_of(directory: &Path) -> Result<String, String> {
    let place: PathBuf = directory.canonicalize().map_err(|error| format!("{}: {error}", directory.display()))?;
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| {
        format!("{}: a plugin has the name of its directory, and this one has none", directory.display())
    })
}
