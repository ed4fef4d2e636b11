//! The host's side of world `stream-service`, made from `plugins/wit`. What filters import too is theirs.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "made by a macro; the contract documents it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "stream-service",
    imports: {
        "littoral:plugin/connection.read": async | trappable,
        "littoral:plugin/connection.read-line": async | trappable,
        "littoral:plugin/connection.write": async | trappable,
        "littoral:plugin/connection.finish": async | trappable,
        "littoral:plugin/connection.start-tls": async | trappable,
        "littoral:plugin/connection.sleep": async | trappable,
        "littoral:plugin/dial.open": async | trappable,
        "littoral:plugin/dial.[method]outbound.read": async | trappable,
        "littoral:plugin/dial.[method]outbound.read-line": async | trappable,
        "littoral:plugin/dial.[method]outbound.write": async | trappable,
        "littoral:plugin/dial.[method]outbound.finish": async | trappable,
        "littoral:plugin/dial.[method]outbound.start-tls": async | trappable,
        "littoral:plugin/durable.get": async | trappable,
        "littoral:plugin/durable.keys": async | trappable,
        "littoral:plugin/durable.commit": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "littoral:plugin/dial.outbound": crate::service::outbound::Outbound,
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
            "littoral:plugin/connection": crate::service::bindings::littoral::plugin::connection,
            "littoral:plugin/dial": crate::service::bindings::littoral::plugin::dial,
            "littoral:plugin/durable": crate::service::bindings::littoral::plugin::durable,
            "littoral:plugin/env": crate::filter::bindings::littoral::plugin::env,
            "littoral:plugin/ambient": crate::filter::bindings::littoral::plugin::ambient,
            "littoral:plugin/store": crate::filter::bindings::littoral::plugin::store,
            "littoral:plugin/fetch": crate::filter::bindings::littoral::plugin::fetch,
        },
    });
}
