//! Checking what runs on the component runtime: filters, services and swarms.
//!
//! Each import that its world lacks is told with the reason and what to do instead; what only a start shows is told once there is none.

use std::path::Path;

use super::{Finding, finding};
use crate::component::{OF_POLICIES, Opened, WORLDS, World, is_ours};

/// What those who build for WASI ask of a system, and where a plugin has the like; of several that fit the first counts.
const INSTEAD: [(&str, &str); 10] = [
    ("wasi:clocks/", "take the time from ambient.now-ms"),
    ("wasi:random/", "take entropy from ambient.random"),
    ("wasi:http/", "ask by fetch, which the operator grants with `http`"),
    ("wasi:sockets/", "dial, where the world has that, or ask by fetch"),
    ("wasi:filesystem/", "keep things in store, or in durable where the world has that"),
    ("wasi:keyvalue/", "keep things in store"),
    ("wasi:cli/std", "say things with env.log"),
    ("wasi:logging/", "say things with env.log"),
    ("wasi:cli/environment", "take its config in init"),
    ("wasi:config/", "take its config in init"),
];

/// Looks for everything for which a node would refuse what is of `world`, and loads it as a node would, with `config` (JSON).
pub(super) fn check(opened: &Opened, world: &World, file: &Path, config: &str) -> Vec<Finding> {
    let found = imports(opened, world);
    if !found.is_empty() {
        return found;
    }
    let tried = match opened.is_filter() {
        true => crate::filter::try_out(file, config),
        false => crate::service::try_out(file, config),
    };
    let Err(problem) = tried else { return Vec::new() };
    let problem = problem.strip_prefix(&format!("{}: ", file.display())).unwrap_or(&problem).to_owned();
    let fix = match () {
        () if problem.contains("refuses its config") => "give it the config it wants with --config".to_owned(),
        // That it lacks an export shows when it is started.
        () if problem.contains("failed: ") && !problem.contains("export") => "see docs/plugins/debugging.md".to_owned(),
        () => format!("see plugins/wit/{} and docs/plugins/limits.md", world.file),
    };
    vec![finding(problem, fix)]
}

/// What it imports and its world lacks.
fn imports(opened: &Opened, world: &World) -> Vec<Finding> {
    let has = |name: &str| world.imports.iter().any(|interface| is_ours(name, interface));
    let strangers = opened.imports.iter().filter(|name| !has(name));
    strangers.map(|name| finding(format!("it imports {name}"), why_not(name, world))).collect()
}

/// Why a world lacks an import, and what to do instead.
fn why_not(name: &str, world: &World) -> String {
    let World { what, imports, .. } = world;
    if name.starts_with("wasi:") || name.starts_with("wasi_") {
        let instead = INSTEAD.iter().find(|(of, _)| name.starts_with(of)).map(|(_, instead)| format!("{instead}; "));
        return format!(
            "a {what} has no system under it, only what its world imports: {}and build for wasm32-unknown-unknown, or let \
             `littoral plugin build` do it",
            instead.unwrap_or_default()
        );
    }
    let of_ours = name.strip_prefix("littoral:plugin/").and_then(|rest| rest.split_once('@'));
    let list = imports.join(", ");
    let Some((interface, _)) = of_ours else {
        return format!("a node gives a {what} {list} of littoral:plugin, and nothing else: leave it out");
    };
    if imports.contains(&interface) {
        return "it is of another version of the contract: this node speaks 0.1.x; build it against that".into();
    }
    let mut others: Vec<_> =
        WORLDS.iter().filter(|other| other.imports.contains(&interface)).map(|other| other.name).collect();
    if OF_POLICIES.contains(&interface) {
        others.push("routing-policy");
    }
    match others[..] {
        [] => format!("the contract has no interface {interface} to import: a {what} has {list}"),
        _ => format!("that is of {}: a {what} ({}) has {list}; leave it out", others.join(", "), world.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a component that exports `of` and imports all these.
    fn told(of: &str, imports: &[&str]) -> Vec<(String, String)> {
        let imports: String = imports.iter().map(|name| format!("(import \"{name}\" (instance))\n")).collect();
        let text = format!(
            "(component {imports} (core module) (instance $own) (export \"littoral:plugin/{of}@0.1.0\" (instance $own)))"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wat::parse_str(text).unwrap()).unwrap();
        let found = super::super::check(file.path(), "{}").unwrap();
        found.into_iter().map(|Finding { problem, fix }| (problem, fix)).collect()
    }

    #[test]
    fn each_import_that_a_filter_may_not_have_is_told_with_the_reason_and_what_to_do() {
        let told = told(
            "filter",
            &[
                "littoral:plugin/env@0.1.3",
                "wasi:clocks/wall-clock@0.2.0",
                "wasi:cli/stderr@0.2.0",
                "wasi:io/streams@0.2.0",
                "littoral:plugin/swarm-host@0.1.0",
                "littoral:plugin/measured@0.1.0",
                "littoral:plugin/store@0.2.0",
                "littoral:plugin/nonsense@0.1.0",
                "acme:thing/it@1.0.0",
            ],
        );
        let expected = [
            ("wasi:clocks/wall-clock@0.2.0", "ambient.now-ms; and build for wasm32-unknown-unknown"),
            ("wasi:cli/stderr@0.2.0", "env.log"),
            ("wasi:io/streams@0.2.0", "no system under it, only what its world imports: and build"),
            ("littoral:plugin/swarm-host@0.1.0", "that is of swarm-service: a filter (http-filter) has env,"),
            ("littoral:plugin/measured@0.1.0", "that is of routing-policy"),
            ("littoral:plugin/store@0.2.0", "this node speaks 0.1.x"),
            ("littoral:plugin/nonsense@0.1.0", "no interface nonsense"),
            (
                "acme:thing/it@1.0.0",
                "a node gives a filter env, exchange, ambient, place, store, fetch, connection, durable, dial of littoral:plugin",
            ),
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for ((problem, fix), (import, why)) in told.iter().zip(expected) {
            assert_eq!(*problem, format!("it imports {import}"));
            assert!(fix.contains(why), "{import}: {fix}");
        }
    }

    #[test]
    fn services_and_swarms_are_told_what_their_own_worlds_lack() {
        for (of, import, why) in [
            ("service", "exchange", "that is of http-filter: a service (stream-service) has"),
            ("datagrams", "place", "that is of http-filter: a service of datagrams (datagram-service) has"),
            (
                "swarm",
                "connection",
                "a swarm (swarm-service) has env, ambient, store, durable, fetch, swarm-fetch, swarm-host",
            ),
        ] {
            let told = told(of, &[&format!("littoral:plugin/{import}@0.1.0"), "wasi:sockets/tcp@0.2.0"]);
            assert_eq!(told.len(), 2, "{told:#?}");
            assert!(told[0].1.contains(why), "{of}: {told:?}");
            assert!(told[1].1.contains("dial"), "{of}: {told:?}");
        }
    }

    #[test]
    fn what_only_a_start_shows_points_to_the_file_of_its_world() {
        for (of, file) in [("filter", "filter"), ("service", "service"), ("datagrams", "datagram"), ("swarm", "swarm")]
        {
            let told = told(of, &[]);
            assert!(told.len() == 1 && told[0].1.contains(&format!("plugins/wit/{file}.wit")), "{of}: {told:?}");
        }
    }
}
