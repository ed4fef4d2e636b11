//! A guest of any world of the contract that is moved by its input: a program that calls host functions with any numbers as pointers, and
//! answers with any address. For the tests and the fuzz targets, which share this file; made from the contract, so that what is added to a
//! world is moved too.
//!
//! A program is words of 32 octets: the number of an operation, and up to seven arguments. Operations, modulo their count: first what
//! allocations are answered with from now on (`allocate`); then all host functions of the world, those of resources with them, in the order of
//! the contract; then `write`, of its second argument to the address that is its first; `grow`, of memory and tables; and `end`, with
//! an address as answer. Where the program comes from is the world's: what was kept for a filter, what a client sends, a datagram, a `data`.

use std::fmt::Write;
use std::path::Path;

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, InterfaceId, Resolve, TypeDefKind, WorldId, WorldItem, WorldKey};

/// Octets of an operation.
const OPERATION_BYTES: usize = 32;
/// Where an answer is, unless the program says another place: the last 256 octets are zero, unless the program wrote there.
const ANSWER: u32 = 65_280;
/// Where a result of the host is that says where the program is.
const RESULT: u32 = 65_512;

/// Where a word that is not zero has it count when its answer is freed, which it may not.
const FREED: u32 = 65_504;

/// An operation by its name, and its arguments.
pub(crate) type Operation<'a> = (&'a str, &'a [u32]);

/// A component, and what its operations are called.
pub(crate) struct Marionette {
    /// The component's file.
    pub(crate) component: Vec<u8>,
    #[allow(dead_code, reason = "fuzz targets have programs of their own")]
    operations: Vec<String>,
}

/// What is imported: the core module's names, and what a call takes and gives.
struct Import {
    interface: String,
    module: String,
    name: String,
    params: Vec<WasmType>,
    results: Vec<WasmType>,
}

impl Marionette {
    /// Of a world of the contract, but for some of its imports.
    pub(crate) fn of(world_name: &str, without: &[&str]) -> Self {
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join("wit"));
        let wit = wit.into_iter().find(|wit| wit.is_dir()).expect("the contract above this crate");
        let (package, _) = resolve.push_path(wit).expect("the contract");
        let world = resolve.select_world(&[package], Some(world_name)).expect("a world of the contract");
        let mut imports = imports(&resolve, world);
        imports.retain(|import| !without.contains(&import.interface.as_str()));
        let mut module = wat::parse_str(text(&resolve, world, &imports)).expect("a module");
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding, false).expect("its types");
        let mut encoder = wit_component::ComponentEncoder::default();
        let component = encoder.module(&module).and_then(|encoder| encoder.encode()).expect("a component");
        let named = imports.iter().map(|import| format!("{}.{}", import.interface, import.name));
        let operations = ["allocate".to_owned()].into_iter().chain(named);
        Self { component, operations: operations.chain(["write", "grow", "end"].map(String::from)).collect() }
    }

    /// A program of operations, with `behind` after it.
    #[allow(dead_code, reason = "fuzz targets have programs of their own")]
    pub(crate) fn program(&self, operations: &[Operation<'_>], behind: &[u8]) -> Vec<u8> {
        let mut program = Vec::new();
        for (name, arguments) in operations {
            let number = self.operations.iter().position(|known| known == name).expect("an operation of the world");
            let words = [number as u32].into_iter().chain(arguments.iter().copied()).chain(std::iter::repeat(0));
            program.extend(words.take(OPERATION_BYTES / 4).flat_map(u32::to_le_bytes));
        }
        program.extend(behind);
        program
    }
}

fn imports(resolve: &Resolve, world: WorldId) -> Vec<Import> {
    let mut imports = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else { continue };
        let interface = &resolve.interfaces[*id];
        let of = |name: String, params, results| {
            let (short, module) = (interface.name.clone().expect("a name"), resolve.id_of(*id).expect("a name"));
            Import { interface: short, module, name, params, results }
        };
        for function in interface.functions.values() {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            imports.push(of(function.name.clone(), signature.params, signature.results));
        }
        for (name, ty) in &interface.types {
            if matches!(resolve.types[*ty].kind, TypeDefKind::Resource) {
                imports.push(of(format!("[resource-drop]{name}"), vec![WasmType::I32], Vec::new()));
            }
        }
    }
    imports
}

fn core(ty: &WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

fn cores(types: &[WasmType]) -> String {
    types.iter().map(core).collect::<Vec<_>>().join(" ")
}

/// The core module.
fn text(resolve: &Resolve, world: WorldId, imports: &[Import]) -> String {
    let mut text = String::from("(module\n");
    for (number, Import { module, name, params, results, .. }) in imports.iter().enumerate() {
        let (params, results) = (cores(params), cores(results));
        writeln!(text, "(import \"{module}\" \"{name}\" (func $import{number} (param {params}) (result {results})))")
            .expect("a String takes it");
    }
    text.push_str(MACHINE);
    let mut table = String::from("$allocate");
    for (number, Import { params, results, .. }) in imports.iter().enumerate() {
        let arguments = params.iter().enumerate().map(|(at, ty)| {
            let offset = (4 * (at + 1)).min(OPERATION_BYTES - 4);
            let word = format!("(i32.load offset={offset} (local.get 0))");
            match core(ty) {
                "i32" => word,
                "i64" => format!("(i64.extend_i32_s {word})"),
                float => format!("({float}.convert_i32_s {word})"),
            }
        });
        let arguments = arguments.collect::<Vec<_>>().join(" ");
        let call = format!("(call $import{number} {arguments})");
        let call = if results.is_empty() { call } else { format!("(drop {call})") };
        writeln!(text, "(func $operation{number} (param i32) {call})").expect("a String takes it");
        write!(table, " $operation{number}").expect("a String takes it");
    }
    let count = imports.len() + 4;
    writeln!(text, "(table $operations {count} funcref)").expect("a String takes it");
    writeln!(text, "(elem (table $operations) (i32.const 0) func {table} $write $grow $end)")
        .expect("a String takes it");
    text.push_str(&RUN.replace("{COUNT}", &count.to_string()));
    for item in resolve.worlds[world].exports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        for function in resolve.interfaces[*id].functions.values() {
            text.push_str(&export(resolve, imports, *id, function));
        }
    }
    text.push(')');
    text
}

/// An exported function. After each, allocations begin anew, so that what comes next lies where a program expects itself.
fn export(resolve: &Resolve, imports: &[Import], interface: InterfaceId, function: &Function) -> String {
    let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
    let core_name = function.legacy_core_export_name(resolve.id_of(interface).as_deref()).into_owned();
    let import = |of: &str, name: &str| {
        let at = imports.iter().position(|import| import.interface == of && import.name == name);
        format!("$import{}", at.expect("the world's own import"))
    };
    let loaded = |offset: u32| format!("(i32.load (i32.const {}))", RESULT + offset);
    let of = resolve.interfaces[interface].name.as_deref().expect("a name");
    let body = match (of, function.name.as_str()) {
        // All points and bodies are asked for.
        ("filter", "init") => format!(
            "(i32.store8 (i32.const {}) (i32.const 15)) (i32.store8 (i32.const {}) (i32.const 1))",
            ANSWER + 4,
            ANSWER + 5
        ),
        ("filter", _) => {
            let kept = import("exchange", "kept");
            format!("(call {kept} (i32.const {RESULT})) (call $run {} {})", loaded(0), loaded(4))
        }
        ("service", "serve") => format!(
            "(call {} (i32.const 65536) (i32.const {RESULT}))
             (if (i32.eqz (i32.load8_u (i32.const {RESULT}))) (then (call $run {} {})))",
            import("connection", "read"),
            loaded(4),
            loaded(8)
        ),
        ("datagrams", "handle") => "(call $run (local.get 3) (local.get 4))".into(),
        ("swarm", "data") => "(call $run (local.get 1) (local.get 2))".into(),
        _ => String::new(),
    };
    let result = match (signature.retptr, signature.results.first().map(core)) {
        (_, None) => "",
        (true, _) => "(global.get $answer)",
        (false, Some("i32")) => "(i32.and (global.get $answer) (i32.const 1))",
        (false, _) => "(i64.const 0)",
    };
    let count = import("env", "count");
    let freed = match signature.retptr {
        true => format!(
            "(func (export \"cabi_post_{core_name}\") (param i32)
               (if (i32.load (i32.const {FREED})) (then (call {count} (i32.const 0) (i64.const 1)))))\n"
        ),
        false => String::new(),
    };
    format!(
        "(func (export \"{core_name}\") (param {}) (result {}) {body} (global.set $free (i32.const 0)) {result})\n{freed}",
        cores(&signature.params),
        cores(&signature.results)
    )
}

const MACHINE: &str = r#"
(memory (export "memory") 1)
(type $operation (func (param i32)))
(global $free (mut i32) (i32.const 0))
(global $answer (mut i32) (i32.const 65280))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  global.get $free
  (global.set $free (i32.add (global.get $free) (local.get 3))))
(func $allocate (param i32) (global.set $free (i32.load offset=4 (local.get 0))))
(func $write (param i32) (i32.store (i32.load offset=4 (local.get 0)) (i32.load offset=8 (local.get 0))))
(func $grow (param i32)
  (drop (memory.grow (i32.load offset=4 (local.get 0))))
  (drop (table.grow $operations (ref.null func) (i32.load offset=8 (local.get 0)))))
(func $end (param i32) (global.set $answer (i32.load offset=4 (local.get 0))))
"#;

const RUN: &str = r#"
(func $run (param $at i32) (param $length i32)
  (local $end i32)
  (global.set $answer (i32.const 65280))
  (local.set $end (i32.add (local.get $at) (local.get $length)))
  (block $over
    (loop $next
      (br_if $over (i32.gt_u (i32.add (local.get $at) (i32.const 32)) (local.get $end)))
      (br_if $over (i32.ne (global.get $answer) (i32.const 65280)))
      (call_indirect $operations (type $operation) (local.get $at)
        (i32.rem_u (i32.load (local.get $at)) (i32.const {COUNT})))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br $next))))
"#;
