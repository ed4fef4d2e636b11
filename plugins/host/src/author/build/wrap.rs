//! Wrapping: a core module to a component.
//!
//! Bindings that `wit-bindgen` makes say themselves which world a module is of. What was written by hand says it by what it exports.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::contract::Contract;

/// What a module exports when it is of a world.
const WORLDS: [(&str, &str); 8] = [
    ("littoral:plugin/filter@0.1.0#init", "http-filter"),
    ("littoral:plugin/routing@0.1.0#decide", "routing-policy"),
    ("littoral:plugin/rate@0.1.0#select", "rate-policy"),
    ("littoral:plugin/cache@0.1.0#admit", "cache-policy"),
    ("littoral:plugin/service@0.1.0#serve", "stream-service"),
    ("littoral:plugin/cache-exact@0.1.0#step", "cache-exact-policy"),
    ("littoral:plugin/datagrams@0.1.0#handle", "datagram-service"),
    ("littoral:plugin/swarm@0.1.0#start", "swarm-service"),
];

/// What one that ticks exports beside.
const TIMER: &str = "littoral:plugin/timer@0.1.0#tick";

/// What a policy exports beside that tells what its choices are made of.
const TERMS: &str = "littoral:plugin/terms@0.1.0#of";

/// Makes a component of a core module.
///
/// # Errors
/// What is missing in it.
pub(super) fn wrap(mut core: Vec<u8>) -> Result<Vec<u8>, String> {
    let (exports, says_its_world) = looked_at(&core)?;
    if !says_its_world {
        let world = world_of(&exports)?;
        let contract = Contract::read()?;
        let has = |export: &str| exports.iter().any(|found| found == export);
        let world = match world {
            world if has(TIMER) => format!("timed-{world}"),
            "routing-policy" if has(TERMS) => "explained-routing-policy".to_owned(),
            world => world.to_owned(),
        };
        let id = contract.world(&world).ok_or_else(|| format!("plugins/wit has no world {world}"))?;
        let embedded = embed_component_metadata(&mut core, &contract.resolve, id, StringEncoding::UTF8, false);
        embedded.map_err(|error| format!("{error:#}"))?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true);
    let component = encoder.module(&core).and_then(|encoder| encoder.encode());
    component.map_err(|error| format!("{error:#}"))
}

/// The world that has what a module exports.
fn world_of(exports: &[String]) -> Result<&'static str, String> {
    let of = |(export, world): &(&str, &'static str)| exports.iter().any(|found| found == export).then_some(*world);
    match WORLDS.iter().filter_map(of).collect::<Vec<_>>()[..] {
        [world] => Ok(world),
        ["routing-policy", "rate-policy", "cache-policy"] => Ok("any-policy"),
        ["cache-policy", "cache-exact-policy"] => Ok("cache-exact-policy"),
        [] => {
            let names = WORLDS.map(|(export, _)| export).join(", ");
            Err(format!("it exports no function of a world that it could be told by: one of {names}"))
        }
        ref several => Err(format!("it exports functions of {}: one world each, or all policies", several.join(", "))),
    }
}

/// The functions a module exports, and whether it says its world.
fn looked_at(core: &[u8]) -> Result<(Vec<String>, bool), String> {
    let damaged = |error| format!("it is damaged: {error}");
    let (mut exports, mut says_its_world) = (Vec::new(), false);
    for payload in Parser::new(0).parse_all(core) {
        match payload.map_err(damaged)? {
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export.map_err(damaged)?.name.to_owned());
                }
            }
            Payload::CustomSection(section) => says_its_world |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    Ok((exports, says_its_world))
}

/// Writes a component as `OUT/NAME.wasm`: renamed into place, so that a running node that watches the file never reads half of it.
///
/// # Errors
/// One line with the file.
pub(super) fn write(component: &[u8], name: &str, out: &Path) -> Result<PathBuf, String> {
    let file = out.join(format!("{name}.wasm"));
    // As any file that is made: a node may run as somebody else than who builds.
    let mode = std::fs::Permissions::from_mode(0o666);
    let written = tempfile::Builder::new().permissions(mode).tempfile_in(out).and_then(|mut temporary| {
        std::io::Write::write_all(&mut temporary, component)?;
        temporary.persist(&file).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| format!("{}: cannot be written: {error}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_of_no_world_is_told_by_what_it_would_be_known() {
        let module = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
        let said = wrap(module).unwrap_err();
        assert!(said.contains("littoral:plugin/rate@0.1.0#select"), "{said}");
        assert!(wrap(b"no module".to_vec()).unwrap_err().contains("damaged"));
    }

    #[test]
    fn a_world_is_told_by_what_is_exported() {
        let told = |names: &[usize]| world_of(&names.iter().map(|at| WORLDS[*at].0.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            [told(&[0]), told(&[2]), told(&[1, 2, 3]), told(&[4]), told(&[3, 5])],
            [Ok("http-filter"), Ok("rate-policy"), Ok("any-policy"), Ok("stream-service"), Ok("cache-exact-policy")]
        );
        assert!(told(&[0, 1]).unwrap_err().contains("functions of http-filter, routing-policy"));
    }

    #[test]
    fn a_module_that_lacks_a_part_of_its_world_is_told_which() {
        let module = "(module (memory (export \"memory\") 1) (func (export \"littoral:plugin/cache@0.1.0#admit\")))";
        let said = wrap(wat::parse_str(module).unwrap()).unwrap_err();
        assert!(said.contains("littoral:plugin/c"), "{said}");
    }

    #[test]
    fn a_module_that_ticks_is_of_the_world_beside() {
        let text = "(module (func (export \"littoral:plugin/cache@0.1.0#admit\")) (func (export \"littoral:plugin/timer@0.1.0#tick\")))";
        let said = wrap(wat::parse_str(text).unwrap()).unwrap_err();
        assert_eq!(said, "plugins/wit has no world timed-cache-policy");
    }

    #[test]
    fn a_component_is_for_whoever_may_read_other_files_that_are_made_there() {
        let out = tempfile::tempdir().unwrap();
        let mode = |file: &Path| std::fs::metadata(file).unwrap().permissions().mode();
        let other = out.path().join("other");
        std::fs::write(&other, "").unwrap();
        assert_eq!(mode(&write(b"x", "mine", out.path()).unwrap()), mode(&other));
    }
}
