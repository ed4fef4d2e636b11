//! DNS and cluster selection inside the node: sockets, probes and the admin API's view of them.

use std::net::IpAddr;

use serde_json::Value;

use crate::observe::metrics::Sample;

/// The directing side of a node.
#[derive(Debug, Default)]
pub struct Directing {}

impl Directing {
    /// The clusters and their state.
    pub fn clusters(&self) -> Value {
        Value::Array(Vec::new())
    }

    /// Why a client gets the cluster it gets.
    pub fn explain(&self, _client: IpAddr, _name: &str) -> Option<Value> {
        None
    }

    pub(crate) fn samples(&self, _name: &str) -> Vec<Sample> {
        Vec::new()
    }
}
