//! Renaming: languages whose exports are identifiers (AssemblyScript) say `routing_decide`, the contract says
//! `littoral:plugin/routing@0.1.0#decide`.

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};

/// Interfaces that a plugin exports.
const INTERFACES: [&str; 5] = ["control", "routing", "rate", "cache", "filter"];

/// Gives exports that are identifiers their names in the contract.
///
/// # Errors
/// Where the module is damaged.
pub(super) fn rename(core: &[u8]) -> Result<Vec<u8>, String> {
    let damaged = |error| format!("it is damaged: {error}");
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(core) {
        let payload = payload.map_err(damaged)?;
        if let Payload::ExportSection(section) = &payload {
            let mut exports = ExportSection::new();
            for export in section.clone() {
                let export = export.map_err(damaged)?;
                let kind = match export.kind {
                    ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
                    ExternalKind::Table => ExportKind::Table,
                    ExternalKind::Memory => ExportKind::Memory,
                    ExternalKind::Global => ExportKind::Global,
                    ExternalKind::Tag => ExportKind::Tag,
                };
                exports.export(&name_of(export.name), kind, export.index);
            }
            module.section(&exports);
        } else if let Some((id, range)) = payload.as_section() {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let data =
                core.get(place(range.start)..place(range.end)).ok_or("it is damaged: a section leads out of it")?;
            module.section(&RawSection { id, data });
        }
    }
    Ok(module.finish())
}

/// `post_routing_decide` as the function that is called after `routing.decide`; what is none of the contract stays as it is.
fn name_of(identifier: &str) -> String {
    let (prefix, plain) = match identifier.strip_prefix("post_") {
        Some(plain) => ("cabi_post_", plain),
        None => ("", identifier),
    };
    match plain.split_once('_') {
        Some((interface, function)) if INTERFACES.contains(&interface) => {
            format!("{prefix}littoral:plugin/{interface}@0.1.0#{}", function.replace('_', "-"))
        }
        _ => identifier.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_names_of_the_contract_and_all_else_stays() {
        for (identifier, expected) in [
            ("routing_decide", "littoral:plugin/routing@0.1.0#decide"),
            ("post_filter_on_request", "cabi_post_littoral:plugin/filter@0.1.0#on-request"),
            ("cabi_realloc", "cabi_realloc"),
            ("memory", "memory"),
            ("post_office", "post_office"),
        ] {
            assert_eq!(name_of(identifier), expected);
        }
        let text = "(module (memory (export \"memory\") 1) (func (export \"rate_select\") (result i32) i32.const 7) (data (i32.const 0) \"x\"))";
        let renamed = rename(&wat::parse_str(text).unwrap()).unwrap();
        let expected = wat::parse_str(text.replace("rate_select", "littoral:plugin/rate@0.1.0#select")).unwrap();
        assert_eq!(renamed, expected);
        assert!(rename(b"\0asm\x01\0\0\0\xff").unwrap_err().contains("damaged"));
    }
}
