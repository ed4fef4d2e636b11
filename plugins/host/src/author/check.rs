//! Checking: everything for which a node would refuse a component, each with what to do about it.
//!
//! What can be seen is looked for first and all of it told; only when nothing is found the component is compiled and started.

use std::path::Path;

use serde::Serialize;

use super::inspect::{Core, core_of};
use crate::component::{Interface, OF_POLICIES, Opened, is_ours, open};
use crate::engine::read;
use crate::limits::{MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX};

mod worlds;

/// Functions of the contract: interface, name, and the flat type that the canonical ABI gives them.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("control", "init", "(i32, i32) -> i32"),
    ("control", "clusters", "(i64, i32, i32)"),
    ("control", "ladder", "(i32, i32, i32)"),
    ("routing", "decide", "(i64, i64, i64, f32, f32, f32, i32, i64, i64, i64) -> i32"),
    ("rate", "select", "(i64, i32, i32, i32, i32, i32, i64, i64) -> i32"),
    ("cache", "admit", "(i64, i64, i32, i32, i32, i32, i32, i32, i32, i64, i64) -> i32"),
    ("cache", "score", "(i32, i32, i64, i64) -> i32"),
    ("cache-exact", "start", "(i64)"),
    ("cache-exact", "step", "(i32, i32, i64) -> i32"),
];

/// What a policy may import: the interface, the function and its type.
const IMPORTS: &[(&str, &str, &str)] = &[
    ("env", "log", "(i32, i32, i32)"),
    ("env", "count", "(i32, i64)"),
    ("measured", "clusters", "() -> i64"),
    ("measured", "rtt-us", "(i32) -> i32"),
    ("priced", "clusters", "() -> i64"),
    ("priced", "price-us", "(i32) -> i32"),
    ("named", "cluster", "(i32, i32) -> i32"),
];

/// Something for which a node refuses a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is there, or is not.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

fn finding(problem: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { problem: problem.into(), fix: fix.into() }
}

/// Looks for everything for which a node would refuse a component, and loads it as a node would, with `config` (JSON).
///
/// # Errors
/// One line: the file cannot be read.
pub fn check(file: &Path, config: &str) -> Result<Vec<Finding>, String> {
    let bytes = read(file).map_err(|problem| format!("{}: {problem}", file.display()))?;
    let opened = match open(&bytes) {
        Ok(opened) => opened,
        Err(problem) => return Ok(vec![finding(problem, "give it the file that `littoral plugin build` writes")]),
    };
    if let Some(world) = opened.world() {
        return Ok(worlds::check(&opened, &world, file, config));
    }
    let core = match core_of(&bytes[opened.core.clone()]) {
        Ok(core) => core,
        Err(problem) => return Ok(vec![finding(problem, "build it anew")]),
    };
    let mut found = imports(&opened, &core);
    found.extend(exports(&opened, &core));
    found.extend(memory(&core));
    if found.is_empty()
        && let Err(problem) = super::generation(file, config, None)
    {
        let problem = problem.strip_prefix(&format!("{}: ", file.display())).unwrap_or(&problem).to_owned();
        let fix = match () {
            () if problem.contains("refuses its config") => "give it the config it wants with --config",
            () if problem.contains("cannot be compiled") => {
                "build it without the proposals that policies do not need (docs/plugins/limits.md)"
            }
            () => "see docs/plugins/debugging.md",
        };
        found.push(finding(problem, fix));
    }
    Ok(found)
}

/// What it imports and must not.
fn imports(opened: &Opened, core: &Core) -> Vec<Finding> {
    let ours = |name: &str| OF_POLICIES.into_iter().find(|interface| is_ours(name, interface));
    let strangers = opened.imports.iter().filter(|name| ours(name).is_none());
    let refused = strangers.map(|name| finding(format!("it imports {name}"), why_not(name)));
    let unknown = core.imports.iter().filter_map(|import| {
        let (module, name) = import.name.split_once(' ')?;
        // What the component imports has been told; this is what of our interfaces there is not.
        let interface = ours(module);
        let known = IMPORTS.iter().find(|(of, known, _)| Some(*of) == interface && *known == name);
        match known {
            _ if interface.is_none() && opened.imports.iter().any(|told| told == module) => None,
            Some((.., signature)) if *signature == import.signature => None,
            Some((of, _, signature)) => Some(finding(
                format!("it imports {of}.{name} as {}", import.signature),
                format!("the contract has it as {signature}: take plugins/wit of this version"),
            )),
            _ => Some(finding(format!("its core module imports {module}.{name}"), why_not(module))),
        }
    });
    refused.chain(unknown).collect()
}

/// Why an import is refused, and what to do instead.
fn why_not(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("wasi:") || name.starts_with("wasi_") => {
            "a policy is a pure function without I/O, clock or entropy of its own: use now-ms and rand of the question, and build \
             for wasm32-unknown-unknown"
        }
        _ if OF_POLICIES.iter().any(|ours| name.starts_with(&format!("littoral:plugin/{ours}@"))) => {
            "it is of another version of the contract: this node speaks 0.1.x; build it against that"
        }
        _ if name.starts_with("littoral:plugin/") => {
            "that belongs to filters and services: a policy imports env, measured, priced and named, and nothing else"
        }
        _ if name == "env" => "the linker left a symbol undefined: link what defines it, and pass no --allow-undefined",
        _ => "a node gives a policy littoral:plugin/env, measured, priced and named, and nothing else: leave it out",
    }
}

/// What it does not export and must.
fn exports(opened: &Opened, core: &Core) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut wanted = vec!["control"];
    wanted.extend(Interface::ALL.into_iter().filter(|interface| opened.has(*interface)).map(Interface::as_str));
    if wanted.len() == 1 {
        let told = if opened.exports.is_empty() { "nothing".to_owned() } else { opened.exports.join(", ") };
        let fix = "implement one of the worlds routing-policy, rate-policy, cache-policy, cache-exact-policy of littoral:plugin@0.1.0";
        found.push(finding(format!("it exports {told}: no interface that a node asks"), fix));
    }
    if !opened.exports.iter().any(|name| is_ours(name, "control")) {
        found.push(finding("it does not export control", "implement control: init, clusters and ladder may be empty"));
    }
    for (interface, name, signature) in FUNCTIONS.iter().filter(|(interface, ..)| wanted.contains(interface)) {
        let of = core.exports.iter().find(|export| {
            export.name.split_once('#').is_some_and(|(of, called)| is_ours(of, interface) && called == *name)
        });
        match of {
            Some(export) if export.signature == *signature => {}
            Some(export) => found.push(finding(
                format!("{interface}.{name} is {}", export.signature),
                format!("the contract has it as {signature}: generate the bindings from plugins/wit of this version"),
            )),
            None => found.push(finding(
                format!("its core module does not export littoral:plugin/{interface}@0.1.0#{name}"),
                "export it under that very name; `littoral plugin inspect` lists what it exports",
            )),
        }
    }
    if !core
        .exports
        .iter()
        .any(|export| export.name == "cabi_realloc" && export.signature == "(i32, i32, i32, i32) -> i32")
    {
        found.push(finding(
            "it does not export cabi_realloc: (i32, i32, i32, i32) -> i32",
            "the host hands lists over through it; the SDKs bring one",
        ));
    }
    found
}

fn memory(core: &Core) -> Option<Finding> {
    if !core.memory_exported {
        return Some(finding("it does not export its memory", "export it as `memory`: answers are read from it"));
    }
    let bytes = core.memory_min_bytes;
    let fix = match bytes {
        _ if bytes > MEMORY_BYTES_MAX as u64 => {
            format!("{MEMORY_BYTES_MAX} bytes are the most: make its stack and statics smaller")
        }
        _ if bytes > MEMORY_BYTES_DEFAULT as u64 => {
            format!("set `memory` of its [[plugin]] to {bytes} or more, or make its stack and statics smaller")
        }
        _ => return None,
    };
    Some(finding(format!("it starts with {bytes} bytes of memory, {MEMORY_BYTES_DEFAULT} are given"), fix))
}
