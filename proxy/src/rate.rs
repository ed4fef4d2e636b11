//! Which representation an `auto` segment URL gets.
//!
//! The trait is this crate's; a guest or the native throughput rule implements it. What a title's ladder is comes from its
//! manifest, parsed once and kept.

pub mod cmcd;

use std::time::Duration;

use pingora::Result;
use pingora::proxy::Session;

use crate::request::context::Context;
use crate::site::Site;

/// The rate side of a node.
#[derive(Debug, Default)]
pub struct Rate {}

impl Rate {
    pub(crate) async fn resolve(&self, _session: &mut Session, _ctx: &mut Context, _site: &Site) -> Result<bool> {
        Ok(true)
    }
    pub(crate) fn passed(&self, _ctx: &Context, _path: &str) {}
    pub(crate) fn delivered(&self, _session: &Session, _sent: u64, _took: Duration) {}
    /// Decisions so far.
    pub fn decisions(&self) -> [(&'static str, u64); 2] {
        [("guest", 0), ("native", 0)]
    }
}
