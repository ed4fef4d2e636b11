//! The host's side of world `asking-swarm-service`, of which one that does not ask exports less, made from `plugins/wit`. What other worlds import too is theirs.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "made by a macro; the contract documents it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "asking-swarm-service",
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "littoral:plugin/durable": crate::filter::bindings::littoral::plugin::durable,
        "littoral:plugin/env": crate::filter::bindings::littoral::plugin::env,
        "littoral:plugin/ambient": crate::filter::bindings::littoral::plugin::ambient,
        "littoral:plugin/fetch": crate::filter::bindings::littoral::plugin::fetch,
        "littoral:plugin/store": crate::filter::bindings::littoral::plugin::store,
    },
});
