//! Which filters may go by the core path.

use std::ops::Range;

use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, ExportSectionReader, Parser, Payload};

use super::imports::INTERFACES;
use crate::component::{Opened, is_ours};
use crate::filter::limits::CORE_BYTES_MAX;

/// Names under which the modules that a component's maker adds import the first one and each other.
const JOINED: [&str; 3] = ["", "actual", "shim"];

/// Where the core module of a filter lies in its file, if it may be called itself: it is all there is to its component, with nothing but
/// what joins it to its imports, its text is UTF-8, it imports nothing that waits, and there is nothing to run before it is called.
pub(in crate::filter) fn eligible(opened: &Opened, file: &[u8]) -> Option<Range<usize>> {
    let known = |name: &String| INTERFACES.iter().any(|interface| is_ours(name, interface));
    let is_only_filter = opened.exports.iter().all(|name| is_ours(name, "filter"));
    let fits = is_only_filter
        && opened.core.len() <= CORE_BYTES_MAX
        && opened.imports.iter().all(known)
        && passes_on(file).unwrap_or(false);
    fits.then(|| opened.core.clone())
}

/// Whether the component passes its first core module on as it is. `None`: it cannot be read.
fn passes_on(file: &[u8]) -> Option<bool> {
    // Of each module or component that is open: whether it is a component.
    let mut open = Vec::new();
    let mut modules = 0;
    for payload in Parser::new(0).parse_all(file) {
        match payload.ok()? {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == Encoding::Component;
                modules += usize::from(!is_component);
                // One inside another component is somebody else's.
                if !is_component && open.len() != 1 {
                    return Some(false);
                }
                open.push(is_component);
            }
            Payload::End(_) => drop(open.pop()),
            Payload::StartSection { .. } | Payload::ComponentStartSection { .. } => return Some(false),
            // What joins it to its imports has neither, and has only to do with the two of them.
            Payload::MemorySection(_) | Payload::DataSection(_) if modules > 1 => return Some(false),
            Payload::ImportSection(section) if modules > 1 => {
                let mut imports = section.into_imports();
                if imports.any(|import| import.is_ok_and(|import| !JOINED.contains(&import.module))) {
                    return Some(false);
                }
            }
            Payload::ExportSection(section) if modules == 1 && has_initialize(section.clone()) => return Some(false),
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let plain = match function.ok()? {
                        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
                            options.iter().all(is_plain)
                        }
                        _ => false,
                    };
                    if !plain {
                        return Some(false);
                    }
                }
            }
            _ => {}
        }
    }
    Some(modules > 0)
}

fn has_initialize(exports: ExportSectionReader<'_>) -> bool {
    exports.into_iter().any(|export| export.is_ok_and(|export| export.name == "_initialize"))
}

fn is_plain(option: &CanonicalOption) -> bool {
    use CanonicalOption::{Memory, PostReturn, Realloc, UTF8};
    matches!(option, UTF8 | Memory(_) | Realloc(_) | PostReturn(_))
}
