//! The plane without anything between nodes: those that direct clients ask the others over HTTP, how they are (`probes`), how far clients
//! are from them (`rtt::hear`) and what was pushed to them (`pushed::asking`). Purges and configs are each node's own.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{ControlPlane, Spread};
use crate::config::Config;
use crate::node::Node;

pub(super) struct Local;

#[async_trait]
impl ControlPlane for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn start(&self, _: &Arc<Node>) {}

    fn follow(&self, node: &Node, config: &Config) {
        if let Some(directing) = &node.directing {
            directing.probe(config);
            directing.ask_rtts(config);
            node.control.ask_pushed(config);
        }
    }

    async fn spread(&self, _: Value) -> Spread {
        Spread::Alone
    }

    fn is_connected(&self) -> Option<bool> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }
}
