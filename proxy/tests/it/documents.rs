//! What stands in the documents of plugins, in the README, in those of new projects and in the SDK's does what it says: configs are read,
//! commands are there, cases are cases, and guests compile. The tutorial is followed as a whole by [`super::projects`]; natively the SDK's
//! examples are run by `cargo test --doc`.

use std::path::{Path, PathBuf};

use clap::Parser;
use littoral::cli::Cli;
use littoral::config::Config;
use littoral_plugin_host::author::{self, Language, World};
use littoral_plugin_host::vectors::Vectors;
use littoral_testkit::node::plugin_file;

use super::projects::{alone, blocks, compiled, done, project};
use super::{BINARY, compilers};

/// A block: its document, the line of its fence, what stands behind that, and what is in it.
struct Block {
    place: String,
    kind: String,
    text: String,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs/plugins")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.sort();
    assert!(files.len() > 8, "{files:?}");
    files
}

fn blocks_of(name: &str, text: &str) -> Vec<Block> {
    let block = |(at, (kind, text)): (usize, (&str, String))| Block {
        place: format!("{name}, block {}", at + 1),
        kind: kind.to_owned(),
        text,
    };
    blocks(text).into_iter().enumerate().map(block).collect()
}

/// Those of the documents, and of the README that each new project has.
fn all_blocks() -> Vec<Block> {
    let of = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        blocks_of(&file.file_name().unwrap().to_string_lossy(), &text)
    };
    let mut all: Vec<_> = documents().into_iter().flat_map(of).collect();
    let (place, mut projects) = (tempfile::tempdir().unwrap(), 0);
    for (world, language) in World::ALL.into_iter().flat_map(|world| Language::ALL.map(|language| (world, language))) {
        let name = format!("my-{}-in-{}", world.as_str(), language.as_str());
        let project = place.path().join(&name);
        if author::new(&name, world, language, &project).is_ok() {
            let of_it = blocks_of(&name, &std::fs::read_to_string(project.join("README.md")).unwrap());
            assert!(of_it.len() == 2, "{name}: commands and a config");
            all.extend(of_it);
            projects += 1;
        }
    }
    assert!(projects > 18, "{projects} projects");
    all
}

/// The examples in the SDK's documentation, without the lines that are hidden there.
fn sdk_blocks() -> Vec<Block> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk/src");
    let (mut files, mut left) = (Vec::new(), vec![source]);
    while let Some(place) = left.pop() {
        match place.is_dir() {
            true => left.extend(std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(place),
        }
    }
    files.sort();
    let of = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let told = text.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
        let told = told.filter_map(|line| line.strip_prefix(['!', '/']));
        let shown = told.map(|line| line.strip_prefix(' ').unwrap_or(line)).filter(|line| !line.starts_with("# "));
        blocks_of(&file.file_name().unwrap().to_string_lossy(), &shown.collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().flat_map(of).collect()
}

/// The words of a line for a shell; what stands behind a `#` is for the reader.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote, mut fresh) = (Vec::<String>::new(), None, true);
    for character in line.chars() {
        match (character, quote) {
            ('#', None) if fresh => break,
            ('\'' | '"', None) => {
                quote = Some(character);
                if std::mem::take(&mut fresh) {
                    words.push(String::new());
                }
            }
            (_, Some(open)) if open == character => quote = None,
            (' ', None) => fresh = true,
            _ => {
                if std::mem::take(&mut fresh) {
                    words.push(String::new());
                }
                words.last_mut().unwrap().push(character);
            }
        }
    }
    words
}

/// A config of what a document shows of one: with a listener, and with a site where it listens for those of sites.
fn whole(shown: &str) -> String {
    let has = |keys: &[&str]| shown.lines().any(|line| keys.iter().any(|key| line.starts_with(key)));
    let mut config = shown.to_owned();
    if !has(&["http ", "https ", "forward ", "dns ", "[[listen.", "[resolver]"]) {
        let listens = "[listen]\nhttp = [\"127.0.0.1:8080\"]\n";
        config = match shown.contains("[listen]\n") {
            true => shown.replacen("[listen]\n", listens, 1),
            false => format!("{listens}{shown}"),
        };
    }
    if config.contains("\nhttp ") && !has(&["[[site]]"]) {
        config += "\n[[site]]\nhosts = [\"www.example.org\"]\norigin = [\"http://192.0.2.1\"]\n";
    }
    config
}

#[test]
fn every_command_in_the_documents_is_one_with_these_arguments() {
    let mut seen = 0;
    for Block { place, text, .. } in all_blocks().iter().filter(|block| ["", "console"].contains(&block.kind.as_str()))
    {
        for line in text.lines() {
            let command = line.trim_start().trim_start_matches("$ ");
            if !command.starts_with("littoral ") || command.contains('…') {
                continue;
            }
            let words = words(command).into_iter().map(|word| match word.contains("$(") {
                // A key, read from a file.
                true => format!("ed25519:{}", "07".repeat(32)),
                false => word,
            });
            let words: Vec<String> = words.collect();
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{place}: {words:?}: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} commands");
}

#[test]
fn every_table_in_the_documents_is_a_config_or_a_file_of_cases() {
    for Block { place, kind, text } in all_blocks() {
        match kind.as_str() {
            "toml" if text.contains("[[case]]") => {
                if text.contains("request = {") {
                    // A filter's: those that are there are about `filter-headers`.
                    let directory = tempfile::tempdir().unwrap();
                    std::fs::write(directory.path().join("cases.toml"), &text).unwrap();
                    let filter = plugin_file("filter-headers").to_string_lossy().into_owned();
                    done(directory.path(), BINARY, &["plugin", "test", &filter, "--vectors", "cases.toml"]);
                } else if text.contains("turns = [") {
                    // A service's: of the example that it is about.
                    let directory = tempfile::tempdir().unwrap();
                    std::fs::write(directory.path().join("cases.toml"), &text).unwrap();
                    let name = match () {
                        () if text.contains("opened = ") => "swarm-pieces",
                        () if text.contains("sends = ") => "datagram-uppercase",
                        () if text.contains("dial = ") => "service-gateway",
                        () => "service-uppercase",
                    };
                    let service = plugin_file(name).to_string_lossy().into_owned();
                    done(directory.path(), BINARY, &["plugin", "test", &service, "--vectors", "cases.toml"]);
                } else if let Err(error) = Vectors::parse(&text, false) {
                    panic!("{place}: {error}");
                }
            }
            "toml" => {
                // The plugins it names have to be there, and the node's directory; what is in them is looked at when they are loaded.
                let directory = tempfile::tempdir().unwrap();
                let text = text.replace("/var/lib/littoral", directory.path().to_str().unwrap());
                let is_of_a_plugin = |named: &&str| named.ends_with(".wasm") || named.ends_with(".vectors.toml");
                for named in text.split('"').filter(is_of_a_plugin) {
                    let file = directory.path().join(named);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, "").unwrap();
                }
                if let Err(error) = Config::parse(&directory.path().join("node.toml"), &whole(&text)) {
                    panic!("{place}: {error}");
                }
            }
            "json" => drop(serde_json::from_str::<serde_json::Value>(&text).unwrap()),
            "rust" | "console" | "zone" | "" => {}
            other => panic!("{place}: nobody knows what to do with {other:?}"),
        }
    }
}

#[test]
fn every_guest_in_the_documents_compiles() {
    if !compilers::of_rust() {
        return;
    }
    let _alone = alone();
    let (_directory, project, _) = project("stream-service", "rust");
    // All of them in one crate, each a module of its own, so that they are compiled at once.
    let told = all_blocks().into_iter().filter(|block| block.kind == "rust" && !block.place.starts_with("tutorial"));
    let of_sdk = sdk_blocks();
    assert!(of_sdk.len() >= 6 && of_sdk.iter().all(|block| block.kind.is_empty()), "none of them is left out");
    let modules: Vec<String> = told
        .chain(of_sdk)
        .enumerate()
        .map(|(at, Block { place, text, .. })| format!("// {place}\npub mod block_{at} {{\n{text}\n}}\n"))
        .collect();
    assert!(modules.len() >= 10, "{modules:?}");
    let source = format!("#![allow(dead_code, reason = \"blocks show parts of guests\")]\n{}", modules.concat())
        .replace("\"../../wit\"", "\"wit\"");
    std::fs::write(project.join("src/lib.rs"), source).unwrap();
    compiled(&project, "${CARGO:-cargo} check --quiet --target wasm32-unknown-unknown --profile guest");
}

#[test]
fn a_policy_has_15_lines_and_a_filter_20() {
    let examples = sdk_blocks();
    for (file, export, most) in [("policy.rs", "export_policy!", 15), ("filter.rs", "export_filter!", 20)] {
        let is_it = |block: &&Block| block.place.starts_with(file) && block.text.contains(export);
        let example = examples.iter().find(is_it).unwrap_or_else(|| panic!("{file} shows one"));
        let lines = example.text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!((5..=most).contains(&lines), "{}: {lines} lines", example.place);
    }
}
