//! Projects that `littoral plugin new` writes: each builds, passes its tests, and is what a node loads, far from this repository.
//!
//! They are built without a network, from what building this repository has fetched, into a directory beside its own builds, so that a second run
//! compiles little.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::BINARY;

/// Where the projects are built.
fn target() -> PathBuf {
    let built = Path::new(BINARY).parent().and_then(Path::parent).unwrap();
    built.join("projects")
}

/// For who builds there with cargo, until it is dropped: crates of two projects have the same files.
pub(super) fn alone() -> std::fs::File {
    std::fs::create_dir_all(target()).unwrap();
    let lock = std::fs::File::create(target().join("one-project-at-a-time")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Runs a command in a project; its output, whatever it said.
fn run(directory: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

pub(super) fn done(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let (ok, said) = run(directory, program, arguments);
    assert!(ok, "{program} {arguments:?} in {}: {said}", directory.display());
    said
}

/// A project of a world, made where nothing of this repository is in sight.
pub(super) fn project(world: &str, language: &str) -> (tempfile::TempDir, PathBuf, String) {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("my-{world}");
    done(directory.path(), BINARY, &["plugin", "new", "--world", world, "--lang", language, &name]);
    let project = directory.path().join(&name);
    (directory, project, name)
}

/// What a node would say of the component that the project's build made.
fn is_loaded(project: &Path, name: &str) {
    let component = format!("out/{name}.wasm");
    assert_eq!(done(project, BINARY, &["plugin", "check", &component]), format!("{component}: ok\n"));
    if project.join("vectors.toml").is_file() {
        let said = done(project, BINARY, &["plugin", "test", &component]);
        assert!(said.contains("cases pass"), "{said}");
    }
}

pub(super) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

pub(super) fn has_wasm_target() -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let sysroot = PathBuf::from(String::from_utf8(sysroot).unwrap().trim());
    sysroot.join("lib/rustlib/wasm32-unknown-unknown/lib").is_dir()
}

#[test]
fn a_new_project_in_rust_passes_its_tests_and_is_loaded() {
    let _alone = alone();
    for world in [
        "routing-policy",
        "rate-policy",
        "cache-policy",
        "http-filter",
        "stream-service",
        "datagram-service",
        "swarm-service",
    ] {
        let (_directory, project, name) = project(world, "rust");
        let said = done(&project, &cargo(), &["test", "--quiet"]);
        assert!(said.contains("test result: ok. ") && !said.contains("warning"), "{world}: {said}");
        if !has_wasm_target() {
            eprintln!("not built as a component: rustup has no wasm32-unknown-unknown here");
            continue;
        }
        // The other two are made by the same macro and the same build.
        if world == "rate-policy" || world == "cache-policy" {
            continue;
        }
        done(&project, BINARY, &["plugin", "build", ".", "--out", "out"]);
        is_loaded(&project, &name);
    }
}

#[test]
fn a_new_project_in_c_is_built_and_loaded() {
    if ["clang", "wasm-ld"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        return eprintln!("not built: clang and lld are not installed here");
    }
    for world in ["routing-policy", "rate-policy", "cache-policy", "http-filter"] {
        let (_directory, project, name) = project(world, "c");
        let said = done(&project, BINARY, &["plugin", "build", ".", "--out", "out"]);
        assert!(!said.contains("warning"), "{world}: {said}");
        is_loaded(&project, &name);
    }
}

#[test]
fn a_new_project_in_assemblyscript_is_built_and_loaded() {
    let compiler = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples/node_modules");
    if !compiler.join("assemblyscript").is_dir() || Command::new("npx").arg("--version").output().is_err() {
        return eprintln!("not built: plugins/examples/node_modules is not there; `make plugins` fetches it with npm");
    }
    for world in ["routing-policy", "rate-policy", "cache-policy", "http-filter"] {
        let (_directory, project, name) = project(world, "assemblyscript");
        // What `npm install` would fetch.
        std::os::unix::fs::symlink(&compiler, project.join("node_modules")).unwrap();
        done(&project, BINARY, &["plugin", "build", ".", "--out", "out"]);
        is_loaded(&project, &name);
    }
}

#[test]
fn a_new_project_in_javascript_is_built_and_loaded() {
    let compiler = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples/node_modules");
    if !compiler.join("@andreiltd").is_dir() || Command::new("npx").arg("--version").output().is_err() {
        return eprintln!("not built: plugins/examples/node_modules is not there; `make plugins` fetches it with npm");
    }
    for world in ["routing-policy", "rate-policy", "cache-policy", "http-filter", "stream-service", "datagram-service"]
    {
        let (_directory, project, name) = project(world, "javascript");
        // What `npm install` would fetch.
        std::os::unix::fs::symlink(&compiler, project.join("node_modules")).unwrap();
        done(&project, BINARY, &["plugin", "build", ".", "--out", "out"]);
        is_loaded(&project, &name);
    }
}

#[test]
fn a_world_that_a_language_has_no_template_of_is_told_with_those_that_have() {
    let directory = tempfile::tempdir().unwrap();
    let (ok, said) =
        run(directory.path(), BINARY, &["plugin", "new", "--world", "stream-service", "--lang", "c", "mine"]);
    assert!(!ok && !directory.path().join("mine").exists(), "{said}");
    for expected in ["stream-service is there in rust, javascript", "in c there are routing-policy, rate-policy"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_project_is_not_written_over_and_its_name_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let new = |name: &str| run(directory.path(), BINARY, &["plugin", "new", "--world", "rate-policy", name]);
    assert!(new("mine").0);
    let (ok, said) = new("mine");
    assert!(!ok && said.contains("mine: there is something in it already"), "{said}");
    let (ok, said) = new("../mine");
    assert!(!ok && said.contains("is no name of a plugin"), "{said}");
    let (ok, said) = run(directory.path(), BINARY, &["plugin", "new", "--world", "smtp", "other"]);
    assert!(
        !ok && said.contains(
            "[possible values: routing-policy, rate-policy, cache-policy, http-filter, stream-service, datagram-service, swarm-service"
        ),
        "{said}"
    );
}

/// One fenced block of a document: what stands behind its fence, and what is in it.
pub(super) fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !open => {
                open = true;
                blocks.push((kind, String::new()));
            }
            Some(_) => open = false,
            None if open => blocks.iter_mut().next_back().unwrap().1 += &format!("{line}\n"),
            None => {}
        }
    }
    blocks
}

/// Runs the commands of a block in `directory`, and looks for the lines below each in what it said.
fn follow(block: &str, directory: &mut PathBuf) {
    let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut said = String::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            assert!(said.contains(line.trim()), "{line:?} is not in: {said}");
            continue;
        };
        if let Some(place) = command.strip_prefix("cd ") {
            directory.push(place);
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&*directory).env("PATH", &path);
        let output = shell.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true").output().unwrap();
        said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{command}: {said}");
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    if !has_wasm_target() {
        return eprintln!("not followed: rustup has no wasm32-unknown-unknown here");
    }
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins/tutorial.md")).unwrap();
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let mut directory = place.path().to_owned();
    let mut tables = ["vectors.toml", "node.toml"].into_iter();
    for (kind, block) in blocks(&text) {
        let file = match kind {
            "console" => {
                follow(&block, &mut directory);
                continue;
            }
            "rust" => "src/lib.rs",
            "toml" => tables.next().unwrap(),
            "zone" => "example.zone",
            other => panic!("nobody knows what to do with {other:?}"),
        };
        std::fs::write(directory.join(file), block).unwrap();
    }
    assert_eq!(tables.next(), None, "all of it was followed");
}
