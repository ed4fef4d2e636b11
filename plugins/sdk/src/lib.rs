//! What the author of a policy depends on: the bindings of `littoral:plugin@0.1.0` and a macro per world.
//!
//! ```ignore
//! use littoral_plugin::routing_policy::routing::{Choice, Flow};
//!
//! struct Nearest;
//! impl littoral_plugin::routing_policy::control::Guest for Nearest { /* init, clusters, ladder */ }
//! impl littoral_plugin::routing_policy::routing::Guest for Nearest {
//!     fn decide(flow: Flow) -> Choice { /* … */ }
//! }
//! littoral_plugin::routing_policy::export!(Nearest);
//! ```
//!
//! Build it with `littoral plugin build DIRECTORY`; try it with `littoral plugin check FILE`.

/// Bindings of the world `routing-policy`.
pub mod routing_policy {
    wit_bindgen::generate!({
        path: "../wit", world: "routing-policy", pub_export_macro: true,
        default_bindings_module: "littoral_plugin::routing_policy",
    });
    pub use exports::littoral::plugin::{control, routing};
    pub use littoral::plugin::env;
}

/// Bindings of the world `rate-policy`.
pub mod rate_policy {
    wit_bindgen::generate!({
        path: "../wit", world: "rate-policy", pub_export_macro: true,
        default_bindings_module: "littoral_plugin::rate_policy",
    });
    pub use exports::littoral::plugin::{control, rate};
    pub use littoral::plugin::env;
}

/// Bindings of the world `cache-policy`.
pub mod cache_policy {
    wit_bindgen::generate!({
        path: "../wit", world: "cache-policy", pub_export_macro: true,
        default_bindings_module: "littoral_plugin::cache_policy",
    });
    pub use exports::littoral::plugin::{cache, control};
    pub use littoral::plugin::env;
}

/// Bindings of the world `any-policy`.
pub mod any_policy {
    wit_bindgen::generate!({
        path: "../wit", world: "any-policy", pub_export_macro: true,
        default_bindings_module: "littoral_plugin::any_policy",
    });
    pub use exports::littoral::plugin::{cache, control, rate, routing};
    pub use littoral::plugin::env;
}

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
