//! What the author of a policy depends on: the binding generator and small helpers.
//!
//! A policy generates the bindings of its world from the contract in `plugins/wit`, implements the traits and exports
//! itself:
//!
//! ```ignore
//! littoral_plugin::wit_bindgen::generate!({
//!     path: "wit", world: "routing-policy", runtime_path: "littoral_plugin::wit_bindgen::rt",
//! });
//! use exports::littoral::plugin::{control, routing};
//!
//! struct First;
//! impl control::Guest for First { /* init, clusters, ladder */ }
//! impl routing::Guest for First {
//!     fn decide(flow: routing::Flow) -> routing::Choice {
//!         let first = flow.candidates.trailing_zeros() as u16;
//!         routing::Choice { first, second: 65535, third: 65535, ttl_s: 0 }
//!     }
//! }
//! export!(First);
//! ```
//!
//! Build it with `littoral plugin build DIRECTORY`; try it with `littoral plugin check FILE`.
//!
//! Filters have [`filter::Filter`] instead, which is less to write.
//!
//! Guests allocate with [`memory::Blocks`]; a guest that brings an allocator of its own turns the feature `allocator` off.

pub mod filter;
pub mod memory;

pub use wit_bindgen;

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[global_allocator]
static BLOCKS: memory::Blocks<memory::Linear> = memory::Blocks::new(memory::Linear);

/// A number from the operator's config: the first `"key": number` in the JSON text. Policies need no more of JSON than
/// that, and a parser would be most of their code.
pub fn number(config: &str, key: &str) -> Option<f64> {
    let (_, after) = config.split_once(&format!("\"{key}\""))?;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let end = value.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E')).unwrap_or(value.len());
    value[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_found_in_a_flat_config() {
        assert_eq!(number(r#"{"safety": 0.85, "x": "y"}"#, "safety"), Some(0.85));
        assert_eq!(number(r#"{"safety": "fast"}"#, "safety"), None);
        assert_eq!(number("{}", "safety"), None);
    }
}
