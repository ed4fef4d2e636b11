//! Looking into a component: what it is, what it wants and offers, and how large each part is. Nothing is compiled or run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

use crate::component::{Interface, open};
use crate::engine::{hex, read};

/// Bytes of a page of linear memory.
const PAGE_BYTES: u64 = 64 << 10;

/// What a component file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Bytes of the file.
    pub bytes: usize,
    /// Bytes of the core module inside.
    pub core_bytes: usize,
    /// Of the file.
    pub sha256: String,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// The worlds it can serve.
    pub worlds: Vec<&'static str>,
    /// What is in the core module.
    pub core: Core,
    /// Custom sections of the file and of the module inside.
    pub custom_sections: Vec<Section>,
}

/// What a core module is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Core {
    /// Functions it imports: `module name`, with their types.
    pub imports: Vec<Function>,
    /// Functions it exports, with their types.
    pub exports: Vec<Function>,
    /// Functions of its own.
    pub functions: u32,
    /// Bytes of their code.
    pub code_bytes: usize,
    /// Bytes of its data.
    pub data_bytes: usize,
    /// Linear memory it starts with, bytes.
    pub memory_min_bytes: u64,
    /// The most it says it needs, bytes.
    pub memory_max_bytes: Option<u64>,
    /// Whether it exports its memory, which the host reads answers from.
    pub memory_exported: bool,
    /// Whether it has names of functions, without which backtraces have numbers.
    pub names: bool,
}

/// A function and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its name; of an imported one the module's before it.
    pub name: String,
    /// Its type as `(i64, i32) -> i32`.
    #[serde(rename = "type")]
    pub signature: String,
}

/// A custom section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Bytes of what is in it.
    pub bytes: usize,
    /// In the core module, and not around it.
    pub in_core: bool,
}

/// Looks into a component.
///
/// # Errors
/// One line with the file.
pub fn inspect(file: &Path) -> Result<Inspection, String> {
    let told = |problem: String| format!("{}: {problem}", file.display());
    let bytes = read(file).map_err(told)?;
    let opened = open(&bytes).map_err(told)?;
    let policies = Interface::ALL.into_iter().filter(|interface| opened.has(*interface));
    let policies = policies.map(|interface| match interface {
        Interface::Routing if opened.tells_terms() => "explained-routing-policy",
        interface => interface.world(),
    });
    let of = |is: bool, plain, timed| is.then_some(if opened.ticks() { timed } else { plain });
    let filter = of(opened.is_filter(), "http-filter", "timed-http-filter");
    let service = of(opened.is_service(), "stream-service", "timed-stream-service");
    let datagrams = of(opened.is_datagrams(), "datagram-service", "timed-datagram-service");
    let swarm = opened.is_swarm().then_some("swarm-service");
    let worlds = policies.chain(filter).chain(service).chain(datagrams).chain(swarm).collect();
    let core = &bytes[opened.core.clone()];
    let custom_sections = sections(&bytes).map_err(told)?;
    Ok(Inspection {
        file: file.to_owned(),
        bytes: bytes.len(),
        core_bytes: opened.core.len(),
        sha256: hex(&Sha256::digest(&bytes)),
        exports: opened.exports,
        imports: opened.imports,
        worlds,
        core: core_of(core).map_err(told)?,
        custom_sections,
    })
}

/// What a core module is made of.
///
/// # Errors
/// Where it is damaged.
pub(super) fn core_of(bytes: &[u8]) -> Result<Core, String> {
    let damaged = |error| format!("it is damaged: {error}");
    let (mut core, mut types, mut functions) = (Core::default(), Vec::<FuncType>::new(), Vec::<u32>::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::TypeSection(section) => {
                for found in section.into_iter_err_on_gc_types() {
                    types.push(found.map_err(damaged)?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(damaged)?;
                    if let TypeRef::Func(of) = import.ty {
                        functions.push(of);
                        let name = format!("{} {}", import.module, import.name);
                        core.imports.push(Function { name, signature: signature(&types, of) });
                    }
                }
            }
            Payload::FunctionSection(section) => {
                core.functions = section.count();
                for of in section {
                    functions.push(of.map_err(damaged)?);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(damaged)?;
                    core.memory_min_bytes = memory.initial.saturating_mul(PAGE_BYTES);
                    core.memory_max_bytes = memory.maximum.map(|pages| pages.saturating_mul(PAGE_BYTES));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    match export.kind {
                        ExternalKind::Func => {
                            let of = functions.get(export.index as usize).copied().unwrap_or(u32::MAX);
                            let signature = signature(&types, of);
                            core.exports.push(Function { name: export.name.to_owned(), signature });
                        }
                        ExternalKind::Memory if export.name == "memory" => core.memory_exported = true,
                        _ => {}
                    }
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => {
                let bytes = unchecked_range.end.saturating_sub(unchecked_range.start);
                core.code_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            Payload::DataSection(section) => {
                let range = section.range();
                core.data_bytes = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            }
            Payload::CustomSection(section) => core.names |= section.name() == "name",
            _ => {}
        }
    }
    Ok(core)
}

/// All custom sections of a component and of its first core module.
fn sections(bytes: &[u8]) -> Result<Vec<Section>, String> {
    let (mut sections, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("it is damaged: {error}"))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) => {
                let (name, bytes) = (section.name().to_owned(), section.data().len());
                sections.push(Section { name, bytes, in_core: depth > 0 });
            }
            _ => {}
        }
    }
    Ok(sections)
}

fn signature(types: &[FuncType], of: u32) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Some(found) = types.get(of as usize) else { return "of no type".into() };
    match found.results() {
        [] => format!("({})", list(found.params())),
        results => format!("({}) -> {}", list(found.params()), list(results)),
    }
}
