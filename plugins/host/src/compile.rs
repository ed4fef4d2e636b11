//! Compiling in a process of its own.
//!
//! A compiler takes tens of megabytes that its process keeps, and what it takes for a hostile module has no bound of its own. So a
//! node has another process compile: [`compile`] starts it and takes what it wrote, [`serve`] is what it does. Invariant: it ends by
//! itself, after [`COMPILE_CPU_S`] or [`COMPILE_BYTES`] at the latest.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::Engine;

use crate::artifact::{Part, Source};
use crate::engine::config;
use crate::limits::{ARTIFACT_BYTES_MAX, COMPILE_BYTES, COMPILE_CPU_S, ERROR_BYTES_MAX, FILE_BYTES_MAX};

/// A program that calls [`serve`]. It is of the same build as the one that starts it, or what it compiles is refused.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program.
    pub program: PathBuf,
    /// What makes it do so.
    pub arguments: Vec<String>,
}

/// Set where what comes is the core module of a filter.
const OF_FILTER: &str = "LITTORAL_COMPILE_OF_FILTER";

/// Why there is no compiled module.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The program cannot be started.
    Absent(std::io::Error),
    /// One line about the module.
    Refused(String),
}

/// Has it compiled. Waits for it.
pub(crate) fn compile(compiler: &Compiler, source: &Source<'_>) -> Result<Vec<u8>, Failed> {
    let mut command = Command::new(&compiler.program);
    command.args(&compiler.arguments).env_clear();
    if source.part == Part::Filter {
        command.env(OF_FILTER, "1");
    }
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(Failed::Absent)?;
    let refused = |why: String| Failed::Refused(format!("it cannot be compiled: {why}"));
    // The other side reads all of it before it says anything.
    let told = child.stdin.take().map_or(Ok(()), |mut into| into.write_all(source.bytes));
    let mut code = Vec::new();
    let read = child.stdout.take().map_or(Ok(0), |from| from.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut code));
    let mut problem = Vec::new();
    let heard = child.stderr.take().map_or(Ok(0), |from| from.take(ERROR_BYTES_MAX as u64).read_to_end(&mut problem));
    let status = child.wait();
    if code.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(refused(format!("its code has more than {ARTIFACT_BYTES_MAX} bytes")));
    }
    let line = String::from_utf8_lossy(&problem).lines().last().unwrap_or_default().to_owned();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) if status.code().is_some() && !line.is_empty() => return Err(Failed::Refused(line)),
        Ok(status) => {
            let mib = COMPILE_BYTES >> 20;
            return Err(refused(format!(
                "the compiler ended with {status}; it has {COMPILE_CPU_S} s of a processor and {mib} MiB of memory"
            )));
        }
        Err(error) => return Err(refused(error.to_string())),
    }
    told.and(read).and(heard).map_err(|error| refused(error.to_string()))?;
    Ok(code)
}

/// Compiles the core module or component that comes on standard input, and writes its code to standard output: all that a process does which
/// [`compile`] starts.
///
/// # Errors
/// One line for standard error.
pub fn serve() -> Result<(), String> {
    let bound = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, most) in [(Resource::Cpu, COMPILE_CPU_S), (Resource::As, COMPILE_BYTES), (Resource::Core, 0)] {
        setrlimit(resource, bound(most)).map_err(|error| format!("the compiler cannot be bounded: {error}"))?;
    }
    let mut core = Vec::new();
    let read = std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut core);
    read.map_err(|error| format!("the compiler cannot read: {error}"))?;
    let engine_of = |config| Engine::new(&config).map_err(|error| format!("the compiler cannot start: {error}"));
    // Policies come as the core module in them, everything else as it is; filters also as a core module for the engine of components.
    let code = match (wasmparser::Parser::is_component(&core), std::env::var_os(OF_FILTER).is_some()) {
        (true, _) => engine_of(crate::runtime::config())?.precompile_component(&core),
        (false, true) => engine_of(crate::runtime::config())?.precompile_module(&core),
        (false, false) => engine_of(config())?.precompile_module(&core),
    };
    let code = code.map_err(|error| format!("it cannot be compiled: {error:#}"))?;
    std::io::stdout().lock().write_all(&code).map_err(|error| format!("the compiler cannot write: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Compiler {
        Compiler { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    fn compile(compiler: &Compiler, bytes: &[u8]) -> Result<Vec<u8>, Failed> {
        super::compile(compiler, &Source { bytes, sha256: "", part: Part::Filter })
    }

    #[test]
    fn what_a_compiler_says_or_how_it_ends_is_told_in_one_line() {
        assert_eq!(compile(&shell("cat"), b"code").unwrap(), b"code");
        for (script, expected) in [
            ("cat >&2; exit 1", "the module"),
            ("cat >/dev/null; echo of a filter: $LITTORAL_COMPILE_OF_FILTER >&2; exit 1", "of a filter: 1"),
            ("cat >/dev/null; kill -9 $$", "signal: 9"),
            ("cat >/dev/null; exit 3", "exit status: 3"),
            ("cat >/dev/null; cat /dev/zero", "more than"),
        ] {
            match compile(&shell(script), b"first\nthe module") {
                Err(Failed::Refused(why)) => assert!(why.contains(expected) && !why.contains('\n'), "{script}: {why}"),
                other => panic!("{script}: {other:?}"),
            }
        }
        let nowhere = Compiler { program: "/nowhere".into(), arguments: Vec::new() };
        assert!(matches!(compile(&nowhere, b""), Err(Failed::Absent(_))));
    }
}
