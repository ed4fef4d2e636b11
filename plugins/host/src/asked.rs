//! What a plugin asks for by what its file imports and exports, beside what it is granted; and the limits that hold for a policy. For its status.
//!
//! Whether it is loaded with that is decided elsewhere. Invariant: what is told is read from the file and the grants, never from the guest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::component::{Interface, Opened, is_ours, plain};
use crate::limits::{FUEL_CACHE, FUEL_CONTROL, FUEL_DECISION, FUEL_STEP};
use crate::status::Grants;

/// What operators grant by keys of `[[plugin]]`, and the interfaces of which one asks for it.
const CAPABILITIES: [(&str, &[&str]); 5] = [
    ("store", &["store"]),
    ("durable", &["durable"]),
    ("http", &["fetch", "swarm-fetch"]),
    ("dial", &["dial", "swarm-host"]),
    ("content", &["swarm-host"]),
];

/// What a plugin asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Interfaces of the contract that it imports, in the order of the alphabet.
    pub imports: Vec<String>,
    /// Those that it exports; `timer`: it ticks.
    pub exports: Vec<String>,
    /// What its world may be granted, by the key of `[[plugin]]` that grants it. None of a policy's.
    pub capabilities: BTreeMap<&'static str, Capability>,
}

/// Whether something is asked for, and granted. It has what is both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The file imports an interface of it. A swarm asks for all that one interface has.
    pub asked: bool,
    /// The operator grants it.
    pub granted: bool,
}

/// What a policy has at most, whether the operator says so or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Linear memory of an instance, bytes.
    pub memory_bytes: u64,
    /// Fuel of one call, by the function that is called; `control` is each of that interface.
    pub fuel: BTreeMap<&'static str, u64>,
}

impl Asked {
    /// Of a file.
    pub(crate) fn of(opened: &Opened) -> Self {
        let names = |all: &[String]| {
            let mut names: Vec<_> = all.iter().map(|name| plain(name).to_owned()).collect();
            names.sort_unstable();
            names
        };
        let may_have = opened.world().map_or(&[][..], |world| world.imports);
        let capability = |(key, interfaces): (&'static str, &[&str])| {
            let is_of_world = interfaces.iter().any(|interface| may_have.contains(interface));
            let imports = |name: &String| interfaces.iter().any(|interface| is_ours(name, interface));
            let asked = opened.imports.iter().any(imports);
            is_of_world.then_some((key, Capability { asked, granted: false }))
        };
        let capabilities = CAPABILITIES.into_iter().filter_map(capability).collect();
        Self { imports: names(&opened.imports), exports: names(&opened.exports), capabilities }
    }

    /// The same beside what is granted.
    pub(crate) fn beside(&self, grants: &Grants) -> Self {
        let granted = |key: &str| match key {
            "store" => grants.store_bytes.is_some_and(|bytes| bytes > 0),
            "durable" => grants.durable_bytes.is_some(),
            "http" => grants.http.is_some(),
            "dial" => grants.dial.is_some(),
            _ => grants.content.as_ref().is_some_and(|content| !content.is_empty()),
        };
        let mut asked = self.clone();
        asked.capabilities.iter_mut().for_each(|(key, capability)| capability.granted = granted(key));
        asked
    }
}

impl Limits {
    /// Of a policy with these interfaces; `fuel` is what the operator says.
    pub(crate) fn of(interfaces: &[Interface], memory_bytes: u64, fuel: Option<u64>) -> Self {
        let (decision, cache) = (fuel.unwrap_or(FUEL_DECISION), fuel.unwrap_or(FUEL_CACHE));
        let functions = interfaces.iter().flat_map(|interface| match interface {
            Interface::Routing => vec![("decide", decision)],
            Interface::Rate => vec![("select", decision)],
            Interface::Cache => vec![("admit", cache), ("score", cache)],
            Interface::Exact => vec![("step", FUEL_STEP)],
        });
        Self { memory_bytes, fuel: functions.chain([("control", FUEL_CONTROL)]).collect() }
    }
}
