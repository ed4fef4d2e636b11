;; A policy that hands the host whatever numbers it is asked with: `decide` logs and counts with its arguments as they come, and answers
;; that no cluster will do. All of its memory is what `ladder` told last, from address 0.
(component
  (core module
    (import "littoral:plugin/env@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "littoral:plugin/env@0.1.0" "count" (func $count (param i32 i64)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
    (func (export "littoral:plugin/control@0.1.0#init") (param i32 i32) (result i32) (i32.const 65524))
    (func (export "littoral:plugin/control@0.1.0#clusters") (param i64 i32 i32))
    (func (export "littoral:plugin/control@0.1.0#ladder") (param i32 i32 i32))
    (func (export "littoral:plugin/routing@0.1.0#decide")
      (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32)
      (call $log (local.get 6) (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1)))
      (call $count (i32.wrap_i64 (local.get 2)) (local.get 8))
      (i32.store (i32.const 65512) (i32.const -1))
      (i32.store (i32.const 65516) (i32.const 65535))
      (i32.const 65512)))
  (instance $any)
  (export "littoral:plugin/control@0.1.0" (instance $any))
  (export "littoral:plugin/routing@0.1.0" (instance $any)))
