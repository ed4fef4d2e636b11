//! Adapts guests to the traits their consumers own, and tells what they do.

use serde_json::{Value, json};

use crate::observe::metrics::Sample;

/// The plugins of a node.
#[derive(Debug, Default)]
pub struct Plugins {}

impl Plugins {
    /// What each plugin is and did.
    pub fn status(&self) -> Value {
        json!([])
    }

    /// Loads a plugin's file again.
    ///
    /// # Errors
    /// Why the old generation stays.
    pub fn reload(&self, name: &str) -> Result<u64, String> {
        Err(format!("no plugin is called {name:?}"))
    }

    pub(crate) fn samples(&self, _name: &str) -> Vec<Sample> {
        Vec::new()
    }
}
