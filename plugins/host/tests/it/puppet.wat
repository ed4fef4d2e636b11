;; A guest that is moved by its questions: it answers with whatever memory it was told to point at.
;;
;; Memory holds what `ladder` and `score` hand over, from where `clusters` says (its version) upwards, first from 0.
;; The answer's address is the lower half of `key` for decide, of `state` for select, of `now-ms` for score. The verdict of
;; admit is the lower half of `id`; admit also forgets everything. What frees the scores traps when the octet at address 0
;; is 255.
(component
  (core module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      global.get $free
      (global.set $free (i32.add (global.get $free) (local.get 3))))
    ;; The last 12 octets are zero: no error.
    (func (export "littoral:plugin/control@0.1.0#init") (param i32 i32) (result i32)
      (global.set $free (i32.const 0))
      (i32.const 65524))
    (func (export "littoral:plugin/control@0.1.0#clusters") (param i64 i32 i32)
      (global.set $free (i32.wrap_i64 (local.get 0))))
    (func (export "littoral:plugin/control@0.1.0#ladder") (param i32 i32 i32))
    (func (export "littoral:plugin/routing@0.1.0#decide")
      (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32)
      (i32.wrap_i64 (local.get 0)))
    (func (export "littoral:plugin/rate@0.1.0#select") (param i64 i32 i32 i32 i32 i32 i64 i64) (result i32)
      (i32.wrap_i64 (local.get 0)))
    (func (export "littoral:plugin/cache@0.1.0#admit")
      (param i64 i64 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32)
      (global.set $free (i32.const 0))
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
      (i32.wrap_i64 (local.get 0)))
    (func (export "littoral:plugin/cache@0.1.0#score") (param i32 i32 i64 i64) (result i32)
      (i32.wrap_i64 (local.get 2)))
    (func (export "cabi_post_littoral:plugin/cache@0.1.0#score") (param i32)
      (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 255)) (then unreachable))))
  (instance $any)
  (export "littoral:plugin/control@0.1.0" (instance $any))
  (export "littoral:plugin/routing@0.1.0" (instance $any))
  (export "littoral:plugin/rate@0.1.0" (instance $any))
  (export "littoral:plugin/cache@0.1.0" (instance $any)))
