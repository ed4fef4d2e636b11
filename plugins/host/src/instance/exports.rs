//! Finding what a guest exports, by interface and name.

use wasmtime::{AsContextMut, Instance as WasmInstance, Module, Store, TypedFunc, WasmParams, WasmResults};

use super::Guest;
use crate::component::is_ours;

/// Finds exported functions by interface and name, whatever patch version they carry.
pub(super) struct Exports<'a> {
    pub(super) instance: WasmInstance,
    pub(super) module: &'a Module,
}

/// What a module calls a function of an interface, whatever patch version it carries; with `cabi_post_` before it, what frees its answer.
pub(crate) fn name_of(module: &Module, prefix: &str, interface: &str, function: &str) -> Option<String> {
    let matches = |name: &str| {
        let (found, called) = name.strip_prefix(prefix)?.split_once('#')?;
        (is_ours(found, interface) && called == function).then(|| name.to_owned())
    };
    module.exports().find_map(|export| matches(export.name()))
}

impl Exports<'_> {
    fn name(&self, prefix: &str, interface: &str, function: &str) -> Option<String> {
        name_of(self.module, prefix, interface, function)
    }

    pub(super) fn function<P: WasmParams, R: WasmResults>(
        &self,
        store: &mut Store<Guest>,
        interface: &str,
        function: &str,
    ) -> Result<TypedFunc<P, R>, String> {
        let name =
            self.name("", interface, function).ok_or_else(|| format!("it does not export {interface}.{function}"))?;
        self.instance
            .get_typed_func(store, &name)
            .map_err(|error| format!("{interface}.{function} is not as the contract has it: {error}"))
    }

    /// What frees an answer, where the guest wants to be told: of type `P`, the function's own result.
    pub(super) fn post<P: WasmParams>(
        &self,
        store: &mut Store<Guest>,
        interface: &str,
        function: &str,
    ) -> Option<TypedFunc<P, ()>> {
        let name = self.name("cabi_post_", interface, function)?;
        self.instance.get_typed_func(store.as_context_mut(), &name).ok()
    }
}

/// What frees the answers of functions, where a guest wants to be told that they were read.
pub(super) struct Posts {
    pub(super) init: Option<TypedFunc<i32, ()>>,
    pub(super) clusters: Option<TypedFunc<(), ()>>,
    pub(super) ladder: Option<TypedFunc<(), ()>>,
    pub(super) decide: Option<TypedFunc<i32, ()>>,
    pub(super) select: Option<TypedFunc<i32, ()>>,
    pub(super) admit: Option<TypedFunc<i32, ()>>,
    pub(super) score: Option<TypedFunc<i32, ()>>,
    pub(super) terms: Option<TypedFunc<i32, ()>>,
    pub(super) start: Option<TypedFunc<(), ()>>,
    pub(super) step: Option<TypedFunc<i32, ()>>,
}

impl Posts {
    pub(super) fn of(exports: &Exports<'_>, store: &mut Store<Guest>) -> Self {
        Self {
            init: exports.post(store, "control", "init"),
            clusters: exports.post(store, "control", "clusters"),
            ladder: exports.post(store, "control", "ladder"),
            decide: exports.post(store, "routing", "decide"),
            select: exports.post(store, "rate", "select"),
            admit: exports.post(store, "cache", "admit"),
            score: exports.post(store, "cache", "score"),
            terms: exports.post(store, "terms", "of"),
            start: exports.post(store, "cache-exact", "start"),
            step: exports.post(store, "cache-exact", "step"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime::{Engine, Module};

    use crate::component::Interface;
    use crate::instance::{Instance, linker};
    use crate::types::{Ask, ClusterRow, Flow, Object};

    /// Traps when it is called before it was told that its last answer had been read.
    const STRICT: &str = r#"(module
        (memory (export "memory") 1)
        (data (i32.const 128) "\00\00\ff\ff\ff\ff\00\00")
        (global $open (mut i32) (i32.const 0))
        (func $begin (if (global.get $open) (then unreachable)) (global.set $open (i32.const 1)))
        (func $end (global.set $open (i32.const 0)))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 256)
        (func (export "littoral:plugin/control@0.1.0#init") (param i32 i32) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/control@0.1.0#init") (param i32) call $end)
        (func (export "littoral:plugin/control@0.1.0#clusters") (param i64 i32 i32) call $begin)
        (func (export "cabi_post_littoral:plugin/control@0.1.0#clusters") call $end)
        (func (export "littoral:plugin/control@0.1.0#ladder") (param i32 i32 i32) call $begin)
        (func (export "cabi_post_littoral:plugin/control@0.1.0#ladder") call $end)
        (func (export "littoral:plugin/routing@0.1.0#decide")
            (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32) call $begin i32.const 128)
        (func (export "cabi_post_littoral:plugin/routing@0.1.0#decide") (param i32) call $end)
        (func (export "littoral:plugin/terms@0.1.0#of")
            (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/terms@0.1.0#of") (param i32) call $end)
        (func (export "littoral:plugin/rate@0.1.0#select")
            (param i64 i32 i32 i32 i32 i32 i64 i64) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/rate@0.1.0#select") (param i32) call $end)
        (func (export "littoral:plugin/cache@0.1.0#admit")
            (param i64 i64 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/cache@0.1.0#admit") (param i32) call $end)
        (func (export "littoral:plugin/cache@0.1.0#score") (param i32 i32 i64 i64) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/cache@0.1.0#score") (param i32) call $end)
        (func (export "littoral:plugin/cache-exact@0.1.0#start") (param i64) call $begin)
        (func (export "cabi_post_littoral:plugin/cache-exact@0.1.0#start") call $end)
        (func (export "littoral:plugin/cache-exact@0.1.0#step") (param i32 i32 i64) (result i32) call $begin i32.const 0)
        (func (export "cabi_post_littoral:plugin/cache-exact@0.1.0#step") (param i32) call $end))"#;

    #[test]
    fn a_guest_is_told_of_each_answer_that_was_read() {
        let engine = Engine::new(&crate::engine::config()).unwrap();
        let module = Module::new(&engine, wat::parse_str(STRICT).unwrap()).unwrap();
        let linker = linker(&engine, &module).unwrap();
        let all = [Interface::Routing, Interface::Rate, Interface::Cache, Interface::Exact];
        let mut instance = Instance::new("strict", &linker, &module, &all, 1 << 20, Arc::default()).unwrap();
        for _ in 0..2 {
            instance.init("{}").unwrap();
            instance.clusters(1, &[ClusterRow::default()]).unwrap();
            instance.ladder(1, &[100]).unwrap();
            instance.decide(&Flow { candidates: 1, ..Flow::default() }).unwrap();
            assert_eq!(instance.terms(&Flow { candidates: 1, ..Flow::default() }).unwrap(), []);
            instance.select(&Ask::default(), 1).unwrap();
            instance.admit(&Object::default(), 0, 0, 0).unwrap();
            instance.score(&[], 0, 0, &mut []).unwrap();
            instance.start(1 << 20).unwrap();
            instance.step(&[], 0, &mut Vec::new()).unwrap();
        }
    }
}
