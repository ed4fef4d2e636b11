//! The host's side of world `http-filter`, made from `plugins/wit`.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "made by a macro; the contract documents it")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "http-filter",
    imports: { "littoral:plugin/fetch.send": async | trappable, default: trappable },
    exports: { default: async },
});
