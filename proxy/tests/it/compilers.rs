//! The compilers of guests, for tests that build some: where they are, and what becomes of a test where they are not.
//!
//! Crates are compiled as `make plugins` does it: by the variables in `guests.env` beside the builds of this repository, which `scripts/setup.sh` writes,
//! and which select Debian's compiler where rustup has no target for guests. A test never passes in silence without having built what it is for:
//! [`untried`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BINARY;

/// Says what was not built, and why. Where all has to be built, as in CI (`LITTORAL_EXAMPLES=all`), that is a failure.
pub(super) fn untried(why: &str) {
    let all = std::env::var("LITTORAL_EXAMPLES").is_ok_and(|wanted| wanted == "all");
    assert!(!all, "LITTORAL_EXAMPLES=all, but {why}");
    // Past the harness, which keeps to itself what a test prints that passes; `.config/nextest.toml` has its runner show it.
    std::io::stderr().write_all(format!("NOT TRIED: {why}\n").as_bytes()).unwrap();
}

/// Whether crates can be compiled for guests; says so if not.
pub(super) fn of_rust() -> bool {
    // A standard library that cargo builds from its source needs no target that is installed.
    let asked =
        "echo \"${CARGO_UNSTABLE_BUILD_STD:-}\"; ${RUSTC:-rustc} --print target-libdir --target wasm32-unknown-unknown";
    let said = String::from_utf8(for_guests(asked).output().unwrap().stdout).unwrap();
    let (source, library) = said.split_once('\n').unwrap();
    let there = !source.is_empty() || Path::new(library.trim()).is_dir();
    if !there {
        untried("nothing here compiles Rust for guests; `make plugins` installs what does");
    }
    there
}

/// Whether C can be compiled; says so if not.
pub(super) fn of_c() -> bool {
    has(&["clang", "wasm-ld"])
}

/// Whether npm has fetched a compiler for the examples; says so if not.
pub(super) fn of_npm(package: &str) -> bool {
    let there = node_modules().join(package).is_dir();
    if !there {
        untried(&format!("{package} is not in plugins/examples/node_modules; `make plugins` fetches it with npm"));
    }
    there && has(&["npx"])
}

/// Where npm puts what it fetches for the examples.
pub(super) fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples/node_modules")
}

fn has(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        untried(&format!("{tool} is not installed here"));
    }
    missing.is_none()
}

/// A line for a shell, in the environment in which crates are compiled for guests.
pub(super) fn for_guests(line: &str) -> Command {
    let built = Path::new(BINARY).parent().and_then(Path::parent).unwrap();
    let variables = built.join("guests.env");
    let mut shell = Command::new("sh");
    match variables.is_file() {
        true => shell.args(["-c", &format!(". \"$0\"\n{line}")]).arg(variables),
        false => shell.args(["-c", line]),
    };
    shell
}

/// A line for a shell, in the environment of the tests.
pub(super) fn natively(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}
