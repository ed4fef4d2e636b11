//! The house rules that a machine can check. Each check prints every offender with file, line and what to do.

use std::path::{Path, PathBuf};

/// Lines of a file, tests at its end not counted.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Which of our crates a crate may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("littoral", &["littoral-cache", "littoral-evict", "littoral-geo", "littoral-manifests", "littoral-plugin-host"]),
    ("littoral-cache", &["littoral-evict", "littoral-pages"]),
    ("littoral-evict", &[]),
    ("littoral-pages", &[]),
    ("littoral-geo", &[]),
    ("littoral-manifests", &[]),
    ("littoral-plugin-host", &[]),
    ("littoral-plugin", &[]),
    ("littoral-rate", &[]),
    ("littoral-testkit", &[]),
    (
        "littoral-bench",
        &[
            "littoral",
            "littoral-cache",
            "littoral-geo",
            "littoral-manifests",
            "littoral-plugin",
            "littoral-plugin-host",
            "littoral-rate",
        ],
    ),
];

/// Names of outside crates and where alone they may stand.
const FENCES: &[(&str, &[&str])] = &[
    ("pingora::", &["proxy/src/", "proxy/tests/"]),
    ("pingora::cache", &["proxy/src/storage.rs", "proxy/tests/"]),
    ("wasmtime::", &["plugins/host/"]),
    ("redb::", &["plugins/host/src/durable/"]),
    ("hickory_", &["geo/", "proxy/src/cli.rs", "proxy/tests/"]),
    ("maxminddb::", &["geo/src/database.rs", "proxy/tests/"]),
    ("async_nats::", &["proxy/src/control/nats", "proxy/tests/"]),
    ("moka::", &["proxy/cache/src/memory.rs", "proxy/tests/"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files with an extension, by their path from the root.
fn files(extension: &str) -> Vec<(String, String)> {
    fn walk(directory: &Path, extension: &str, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !name.starts_with('.') && name != "node_modules" && name != "target" && name != "out" {
                walk(&path, extension, into);
            } else if path.extension().is_some_and(|found| found == extension) {
                into.push(path);
            }
        }
    }
    let (root, mut paths) = (root(), Vec::new());
    walk(&root, extension, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// This file names what it forbids.
fn others(extension: &str) -> Vec<(String, String)> {
    files(extension).into_iter().filter(|(file, _)| !file.ends_with("it/tidy.rs")).collect()
}

/// What a check finds: places and words.
type Offences = Vec<String>;

fn none(offences: Offences) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

/// The package a manifest names, and those of our crates it depends on outside of tests.
fn dependencies(manifest: &str) -> (String, Vec<String>) {
    let (mut package, mut ours, mut section) = (String::new(), Vec::new(), "");
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[package]" && line.starts_with("name") && package.is_empty() {
            package = line.split('"').nth(1).unwrap_or("").to_owned();
        } else if section == "[dependencies]" && line.starts_with("littoral") {
            ours.push(line.split(['.', ' ', '=']).next().unwrap_or("").to_owned());
        }
    }
    (package, ours)
}

fn wrong_edges(file: &str, manifest: &str) -> Offences {
    let (package, ours) = dependencies(manifest);
    let guest = ["policy", "examples", "fixtures"].iter().any(|kind| file.starts_with(&format!("plugins/{kind}/")));
    let allowed: &[&str] = match EDGES.iter().find(|(name, _)| *name == package) {
        Some((_, allowed)) => allowed,
        None if guest => &["littoral-plugin", "littoral-manifests", "littoral-rate", "littoral-evict"],
        None => return Vec::new(),
    };
    let wrong = ours.iter().filter(|name| !allowed.contains(&name.as_str()));
    wrong
        .map(|name| {
            format!("{file}: {package} may not depend on {name}; ARCHITECTURE.md says which way dependencies go")
        })
        .collect()
}

fn beyond_fences(file: &str, text: &str) -> Offences {
    let mut offences = Vec::new();
    for (number, line) in code_lines(text) {
        for (name, places) in FENCES {
            if line.contains(name) && !places.iter().any(|place| file.starts_with(place)) {
                offences.push(format!("{file}:{number}: {name} may only be named in {}", places[0]));
            }
        }
    }
    offences
}

/// Lines that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn too_long(file: &str, text: &str) -> Offences {
    let tests = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines().count();
    let mut offences = Vec::new();
    if lines > FILE_LINES_MAX {
        offences.push(format!("{file}: {lines} lines before its tests; split it, {FILE_LINES_MAX} at most"));
    }
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let indent = line.len() - line.trim_start().len();
        let word = line
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        let word = word.trim_start_matches("const ").trim_start_matches("async ");
        if open.is_none() && word.starts_with("fn ") && !line.trim_end().ends_with(['}', ';']) {
            let name = word[3..].split(['(', '<']).next().unwrap_or("").to_owned();
            open = Some((number, indent, name));
        } else if let Some((start, of, name)) = &open
            && indent == *of
            && line.trim() == "}"
        {
            if number - start >= FUNCTION_LINES_MAX {
                offences.push(format!(
                    "{file}:{start}: fn {name} has {} lines; {FUNCTION_LINES_MAX} at most",
                    number - start + 1
                ));
            }
            open = None;
        }
    }
    offences
}

fn untidy(file: &str, text: &str) -> Offences {
    let mut offences = Vec::new();
    if !text.starts_with("//!") && !text.starts_with("#!") {
        offences
            .push(format!("{file}:1: say what the module does, what it leaves to others and its invariant (`//!`)"));
    }
    if file.ends_with("/mod.rs") {
        offences.push(format!("{file}: name it like its directory and put it beside it"));
    }
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let banned = ["Manager", "Helper", "Util"].iter().find(|word| {
            ["struct", "trait", "enum", "mod"].iter().any(|kind| {
                line.split_once(&format!("{kind} ")).is_some_and(|(_, rest)| {
                    rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").ends_with(**word)
                })
            })
        });
        if let Some(word) = banned {
            offences.push(format!("{file}:{number}: a name that ends in {word} says nothing; say what it is"));
        }
        if ["TODO", "FIXME", "XXX"].iter().any(|mark| line.contains(&format!("// {mark}"))) {
            offences.push(format!("{file}:{number}: open an issue instead"));
        }
    }
    let test_file = file.contains("/tests/") || file.ends_with("tests.rs");
    for (number, line) in code_lines(text).filter(|_| test_file) {
        if line.contains("sleep(") && !line.contains("fn ") {
            offences.push(format!("{file}:{number}: tests do not sleep; wait for what happens"));
        }
    }
    offences
}

fn dead_links(file: &str, text: &str) -> Offences {
    let directory = root().join(file).parent().unwrap().to_owned();
    let targets = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next());
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#') && !target.is_empty());
    let missing = local.filter(|target| !directory.join(target.split('#').next().unwrap_or("")).exists());
    missing.map(|target| format!("{file}: the link to {target} leads nowhere")).collect()
}

#[test]
fn crates_depend_on_each_other_in_the_allowed_directions_only() {
    none(
        files("toml")
            .iter()
            .filter(|(file, _)| file.ends_with("Cargo.toml"))
            .flat_map(|(file, text)| wrong_edges(file, text))
            .collect(),
    );
    assert_eq!(
        wrong_edges(
            "geo/Cargo.toml",
            "[package]\nname = \"littoral-geo\"\n[dependencies]\nlittoral-cache.workspace = true\n"
        )
        .len(),
        1
    );
    let guest = "[package]\nname = \"x\"\n[dependencies]\nlittoral-plugin-host.workspace = true\n";
    assert_eq!(wrong_edges("plugins/policy/x/Cargo.toml", guest).len(), 1);
}

#[test]
fn outside_crates_are_named_where_they_are_fenced_in() {
    none(
        others("rs")
            .iter()
            .filter(|(file, _)| !file.starts_with("bench/"))
            .flat_map(|(file, text)| beyond_fences(file, text))
            .collect(),
    );
    assert_eq!(beyond_fences("geo/src/lib.rs", "use wasmtime::Engine;\n").len(), 1);
    assert_eq!(beyond_fences("proxy/src/request.rs", "use pingora::cache::CacheKey;\n// pingora::cache\n").len(), 1);
}

#[test]
fn files_and_functions_stay_short() {
    none(files("rs").iter().flat_map(|(file, text)| too_long(file, text)).collect());
    let long = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(80));
    assert_eq!(too_long("a.rs", &long).len(), 1);
    assert_eq!(too_long("a.rs", &"// x\n".repeat(501)).len(), 1);
}

#[test]
fn modules_say_what_they_are_and_nothing_is_left_for_later() {
    none(others("rs").iter().flat_map(|(file, text)| untidy(file, text)).collect());
    let bad = format!("//! x\nstruct CacheManager;\n// {}: later\n", "TODO");
    assert_eq!(untidy("a.rs", &bad).len(), 2);
    assert_eq!(untidy("x/mod.rs", "fn x() {}\n").len(), 2);
    assert_eq!(untidy("geo/tests/a.rs", "//! x\ntokio::time::sleep(x);\n").len(), 1);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    none(files("md").iter().flat_map(|(file, text)| dead_links(file, text)).collect());
    assert_eq!(dead_links("README.md", "[a](docs/none.md) [b](https://x) [c](#d)").len(), 1);
}

#[test]
fn the_references_in_docs_are_those_in_the_code() {
    for (which, file) in [("config", "config"), ("metrics", "metrics"), ("wit", "plugins/reference")] {
        let printed = std::process::Command::new(super::BINARY).args(["docs", which]).output().unwrap().stdout;
        let kept = std::fs::read_to_string(root().join(format!("docs/{file}.md"))).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed == kept, "docs/{file}.md is old: run `littoral docs {which} > docs/{file}.md`");
    }
}
