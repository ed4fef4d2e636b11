//! Flattening: a component whose core modules are linked to one another becomes one core module.
//!
//! Tools that bring a language's runtime link several modules inside the component: the runtime, bindings, what adapts WASI. A policy is one
//! core module ([ADR 1](../../../../../../docs/adr/0001-core-path-for-policies.md)), and a filter of one starts faster. So they are merged: each
//! import of a module becomes the function, global or table that it is linked to. What the component imports of the contract stays an
//! import; what it imports of anything else (WASI) becomes a trap. Invariant: what comes out imports nothing but the contract.

mod linked;
mod merge;
mod tables;

/// Makes one core module of a component. `wants` says of an interface of the contract whether it is needed at all: what else is linked, a
/// trap takes the place of, so that it need not be granted.
///
/// # Errors
/// Where it is damaged, or linked in a way that no core module can be.
pub(super) fn flatten(component: &[u8], wants: impl Fn(&str) -> bool) -> Result<Vec<u8>, String> {
    let checked = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(component);
    checked.map_err(|error| format!("it is damaged: {error}"))?;
    merge::merge(&linked::Linked::of(component)?, wants)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modules as a linker of such tools leaves them: one has memory, table and bases, another code that is placed by them. What is imported
    /// is called by a table that is filled when everything is there.
    const LINKED: &str = r#"(component
        (import "littoral:plugin/env@0.1.0" (instance $env
            (export "count" (func (param "metric" u32) (param "delta" u64)))))
        (import "littoral:plugin/place@0.1.0" (instance $place (export "asn" (func (result u32)))))
        (import "wasi:clocks/wall-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
        (core module $main
            (memory (export "memory") 2)
            (table (export "table") 4 funcref)
            (global (export "base") i32 i32.const 3)
            (global (export "stack") (mut i32) i32.const 64)
            (data (i32.const 8) "\2a"))
        (core module $shim
            (type $count (func (param i32 i64)))
            (table (export "$imports") 1 1 funcref)
            (func (export "0") (param i32 i64)
                (call_indirect (type $count) (local.get 0) (local.get 1) (i32.const 0))))
        (core module $fixup
            (import "" "0" (func $count (param i32 i64)))
            (import "" "$imports" (table 1 1 funcref))
            (elem (i32.const 0) func $count))
        (core module $code
            (type $answer (func (result i32)))
            (import "env" "memory" (memory 1))
            (import "env" "table" (table 4 funcref))
            (import "env" "base" (global $base i32))
            (import "env" "stack" (global $stack (mut i32)))
            (import "clock" "now" (func $now (result i64)))
            (import "host" "count" (func $count (param i32 i64)))
            (import "place" "asn" (func $asn (result i32)))
            (global $place i32 (i32.add (global.get $base) (i32.const 5)))
            (elem (global.get $base) func $loaded)
            (func $loaded (result i32) (i32.load8_u (global.get $place)))
            (func (export "littoral:plugin/rate@0.1.0#select") (result i32)
                (call $count (i32.const 7) (i64.const 1))
                (return_call_indirect (type $answer) (i32.const 3)))
            (func (export "littoral:plugin/rate@0.1.0#late") (result i64) (call $now))
            (func (export "littoral:plugin/rate@0.1.0#where") (result i32) (call $asn))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (global.get $stack)))
        (core instance $shim (instantiate $shim))
        (core instance $main (instantiate $main))
        (core func $count (canon lower (func $env "count")))
        (core func $asn (canon lower (func $place "asn")))
        (core func $now (canon lower (func $clock "now")))
        (core instance $code (instantiate $code
            (with "env" (instance
                (export "memory" (memory $main "memory"))
                (export "table" (table $main "table"))
                (export "base" (global $main "base"))
                (export "stack" (global $main "stack"))))
            (with "clock" (instance (export "now" (func $now))))
            (with "host" (instance (export "count" (func $shim "0"))))
            (with "place" (instance (export "asn" (func $asn))))))
        (core instance (instantiate $fixup (with "" (instance
            (export "0" (func $count))
            (export "$imports" (table $shim "$imports"))))))
    )"#;

    /// A host that adds up what is counted.
    fn started(core: &[u8]) -> (wasmtime::Store<u64>, wasmtime::Instance) {
        // Without tail calls, as a node's.
        let engine = wasmtime::Engine::new(&crate::engine::config()).unwrap();
        let module = wasmtime::Module::new(&engine, core).unwrap();
        assert_eq!(module.resources_required().num_tables, 1, "an instance of a filter has one");
        let mut linker = wasmtime::Linker::<u64>::new(&engine);
        let count = |mut caller: wasmtime::Caller<'_, u64>, metric: u32, delta: u64| {
            *caller.data_mut() += u64::from(metric) * delta;
        };
        linker.func_wrap("littoral:plugin/env@0.1.0", "count", count).unwrap();
        let mut store = wasmtime::Store::new(&engine, 0);
        store.set_fuel(10_000).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        (store, instance)
    }

    #[test]
    fn modules_that_are_linked_do_as_one_what_they_did_as_several() {
        let core = flatten(&wat::parse_str(LINKED).unwrap(), |interface| interface == "env").unwrap();
        let (mut store, instance) = started(&core);
        let select = instance.get_typed_func::<(), i32>(&mut store, "littoral:plugin/rate@0.1.0#select").unwrap();
        assert_eq!((select.call(&mut store, ()).unwrap(), *store.data()), (42, 7));
        let realloc = instance.get_typed_func::<(i32, i32, i32, i32), i32>(&mut store, "cabi_realloc").unwrap();
        assert_eq!(realloc.call(&mut store, (0, 0, 1, 1)).unwrap(), 64);
        assert_eq!(instance.get_memory(&mut store, "memory").unwrap().size(&store), 2);
        assert!(instance.get_export(&mut store, "table").is_none(), "what only modules told each other is not told on");
    }

    #[test]
    fn what_is_not_wanted_or_of_no_contract_traps_when_it_is_called_and_is_no_import() {
        let component = wat::parse_str(LINKED).unwrap();
        let (mut store, instance) = started(&flatten(&component, |interface| interface == "env").unwrap());
        let late = instance.get_typed_func::<(), i64>(&mut store, "littoral:plugin/rate@0.1.0#late").unwrap();
        assert!(late.call(&mut store, ()).is_err());
        let place = instance.get_typed_func::<(), i32>(&mut store, "littoral:plugin/rate@0.1.0#where").unwrap();
        assert!(place.call(&mut store, ()).is_err());
        let all = flatten(&component, |_| true).unwrap();
        let module = wasmtime::Module::new(&wasmtime::Engine::new(&crate::engine::config()).unwrap(), &all).unwrap();
        let mut imports: Vec<_> = module.imports().map(|import| (import.module(), import.name())).collect();
        imports.sort_unstable();
        assert_eq!(imports, [("littoral:plugin/env@0.1.0", "count"), ("littoral:plugin/place@0.1.0", "asn")]);
    }

    #[test]
    fn what_cannot_be_one_module_is_told_so() {
        let said = |text: &str| flatten(&wat::parse_str(text).unwrap(), |_| true).unwrap_err();
        assert!(said("(component)").contains("no core module"), "{}", said("(component)"));
        let two = "(component (core module $a (memory (export \"memory\") 1)) (core instance (instantiate $a)) (core instance (instantiate $a)))";
        assert!(said(two).contains("2 memories"), "{}", said(two));
        assert!(flatten(b"\0asm\x0d\0\x01\0\xff", |_| true).unwrap_err().contains("damaged"));
    }
}
