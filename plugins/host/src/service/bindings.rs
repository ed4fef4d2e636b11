//! The host's side of worlds `stream-service` and `datagram-service`, made from `plugins/wit`. What filters import too is theirs.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "made by a macro; the contract documents it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "stream-service",
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "littoral:plugin/connection": crate::filter::bindings::littoral::plugin::connection,
        "littoral:plugin/dial": crate::filter::bindings::littoral::plugin::dial,
        "littoral:plugin/durable": crate::filter::bindings::littoral::plugin::durable,
        "littoral:plugin/env": crate::filter::bindings::littoral::plugin::env,
        "littoral:plugin/ambient": crate::filter::bindings::littoral::plugin::ambient,
        "littoral:plugin/store": crate::filter::bindings::littoral::plugin::store,
        "littoral:plugin/fetch": crate::filter::bindings::littoral::plugin::fetch,
    },
});

/// The same of world `datagram-service`.
pub(super) mod datagram {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "datagram-service",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "littoral:plugin/connection": crate::filter::bindings::littoral::plugin::connection,
            "littoral:plugin/dial": crate::filter::bindings::littoral::plugin::dial,
            "littoral:plugin/durable": crate::filter::bindings::littoral::plugin::durable,
            "littoral:plugin/env": crate::filter::bindings::littoral::plugin::env,
            "littoral:plugin/ambient": crate::filter::bindings::littoral::plugin::ambient,
            "littoral:plugin/store": crate::filter::bindings::littoral::plugin::store,
            "littoral:plugin/fetch": crate::filter::bindings::littoral::plugin::fetch,
        },
    });
}
