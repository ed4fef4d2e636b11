//! What is asked of a rewritten manifest, whoever made it up: by the tests beside this, and by the fuzz target `rewrite`.

use littoral_manifests::rewrite::{Rewriter, Rules};
use quick_xml::events::Event;

/// `text` as it comes out by `rules` when it comes in pieces of `chunk` bytes.
pub(crate) fn rewritten(text: &[u8], rules: &Rules, chunk: usize) -> Vec<u8> {
    let (mut rewriter, mut out) = (Rewriter::new(rules.clone()), Vec::new());
    text.chunks(chunk.max(1)).for_each(|chunk| rewriter.push(chunk, &mut out));
    rewriter.finish(&mut out);
    out
}

/// Whether another reader gets to its end, with all elements closed and all attributes legible.
pub(crate) fn is_well_formed(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (mut reader, mut depth) = (quick_xml::Reader::from_str(text), 0);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                depth += 1;
                if start.attributes().any(|attribute| attribute.is_err()) {
                    return false;
                }
            }
            Ok(Event::Empty(start)) if start.attributes().any(|attribute| attribute.is_err()) => return false,
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) => return depth == 0,
            Err(_) => return false,
            Ok(_) => {}
        }
    }
}
