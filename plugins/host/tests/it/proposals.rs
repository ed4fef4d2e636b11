//! What a guest may be made of: the proposals of WebAssembly that policies do not need are refused, each by itself.

use littoral_plugin_host::Interface;

use super::{host, spec};

/// A policy with more in its core module.
fn with(more: &str) -> String {
    include_str!("puppet.wat").replacen("(core module", &format!("(core module {more}"), 1)
}

/// Why the host refuses it.
fn refusal(text: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("guest.wasm");
    std::fs::write(&file, wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))).unwrap();
    host().load(spec("guest", file), Some(Interface::Routing)).err().map(|error| error.to_string())
}

#[test]
fn a_module_with_a_proposal_that_policies_do_not_need_is_refused() {
    assert_eq!(refusal(&with("")), None);
    for (proposal, code) in [
        ("gc: structs", "(type (struct (field i32)))"),
        ("gc: arrays", "(func (param (ref null array)))"),
        ("gc: i31", "(func (param i31ref))"),
        ("reference types that need gc", "(func (param externref))"),
        ("threads: shared memory", "(import \"littoral:plugin/env@0.1.0\" \"m\" (memory 1 1 shared))"),
        ("threads: atomics", "(func (drop (i32.atomic.load (i32.const 0))))"),
        ("exceptions: tags", "(tag)"),
        ("exceptions: try", "(func (try_table))"),
        ("exceptions, the older kind", "(func try catch_all end)"),
        ("function references", "(type $f (func)) (func (param (ref null $f)) (call_ref $f (local.get 0)))"),
        ("function references: non-null", "(func $f) (func (param (ref func)))"),
        ("stack switching", "(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)))"),
        ("memory64", "(memory i64 1)"),
        ("multi-memory", "(memory 1)"),
        ("tail calls", "(func $f return_call $f)"),
        ("relaxed simd", "(func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))"),
        ("wide arithmetic", "(func (param i64) (drop (drop (i64.mul_wide_s (local.get 0) (local.get 0)))))"),
        ("custom page sizes", "(import \"littoral:plugin/env@0.1.0\" \"m\" (memory 1 (pagesize 1)))"),
    ] {
        let refused = refusal(&with(code)).unwrap_or_else(|| panic!("{proposal} is accepted"));
        assert!(refused.contains("it cannot be compiled"), "{proposal}: {refused}");
    }
}
