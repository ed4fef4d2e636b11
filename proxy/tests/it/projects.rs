//! Projects that `littoral plugin new` writes: each builds, passes its tests, and is what a node loads, far from this repository.
//!
//! They are built without a network, from what building this repository has fetched, into a directory beside its own builds, so that a second run
//! compiles little.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BINARY, compilers};

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
    said(command.args(arguments).current_dir(directory))
}

fn said(command: &mut Command) -> (bool, String) {
    let output = command.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true").output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

pub(super) fn done(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let (ok, said) = run(directory, program, arguments);
    assert!(ok, "{program} {arguments:?} in {}: {said}", directory.display());
    said
}

/// Runs a line for a shell in a project, in the environment in which crates are compiled for guests.
pub(super) fn compiled(directory: &Path, line: &str) {
    let (ok, said) = said(compilers::for_guests(line).current_dir(directory));
    assert!(ok, "{line} in {}: {said}", directory.display());
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

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

#[test]
fn a_new_project_in_rust_passes_its_tests_and_is_loaded() {
    let (_alone, builds) = (alone(), compilers::of_rust());
    for world in [
        "routing-policy",
        "rate-policy",
        "cache-policy",
        "cache-exact-policy",
        "http-filter",
        "stream-service",
        "datagram-service",
        "swarm-service",
    ] {
        let (_directory, project, name) = project(world, "rust");
        let said = done(&project, &cargo(), &["test", "--quiet"]);
        assert!(said.contains("test result: ok. ") && !said.contains("warning"), "{world}: {said}");
        if builds {
            compiled(&project, &format!("{BINARY} plugin build . --out out"));
            is_loaded(&project, &name);
        }
    }
}

#[test]
fn a_new_project_in_c_is_built_and_loaded() {
    if !compilers::of_c() {
        return;
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
    if !compilers::of_npm("assemblyscript") {
        return;
    }
    for world in ["routing-policy", "rate-policy", "cache-policy", "http-filter"] {
        let (_directory, project, name) = project(world, "assemblyscript");
        // What `npm install` would fetch.
        std::os::unix::fs::symlink(compilers::node_modules(), project.join("node_modules")).unwrap();
        done(&project, BINARY, &["plugin", "build", ".", "--out", "out"]);
        is_loaded(&project, &name);
    }
}

#[test]
fn a_new_project_in_javascript_is_built_and_loaded() {
    if !compilers::of_npm("@andreiltd") {
        return;
    }
    for world in ["routing-policy", "rate-policy", "cache-policy", "http-filter", "stream-service", "datagram-service"]
    {
        let (_directory, project, name) = project(world, "javascript");
        // What `npm install` would fetch.
        std::os::unix::fs::symlink(compilers::node_modules(), project.join("node_modules")).unwrap();
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
            "[possible values: routing-policy, rate-policy, cache-policy, cache-exact-policy, http-filter, stream-service, datagram-service, swarm-service"
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
    let mut heard = String::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            assert!(heard.contains(line.trim()), "{line:?} is not in: {heard}");
            continue;
        };
        if let Some(place) = command.strip_prefix("cd ") {
            directory.push(place);
            continue;
        }
        // Natively a project is compiled by the compiler of this repository.
        let mut shell = match command.starts_with("littoral plugin build ") {
            true => compilers::for_guests(command),
            false => compilers::natively(command),
        };
        let (ok, output) = said(shell.current_dir(&*directory).env("PATH", &path));
        heard = output;
        assert!(ok, "{command}: {heard}");
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    if !compilers::of_rust() {
        return;
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
