//! The host's side of world `http-filter`, made from `plugins/wit`: with it what services import too.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "made by a macro; the contract documents it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "http-filter",
    imports: {
        "littoral:plugin/fetch.send": async | trappable,
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
    with: { "littoral:plugin/dial.outbound": crate::service::outbound::Outbound },
});
