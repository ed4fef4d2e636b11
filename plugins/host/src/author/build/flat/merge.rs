//! Writing: one module of several, with every index moved to where its item is now.
//!
//! Function numbers: what the host has, then the functions of each module in the order in which they start, then traps in the place of
//! what nobody has, then what starts them all.

use std::collections::HashMap;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection, Module, StartSection,
    TableSection, TypeSection,
};
use wasmparser::{ElementKind, ExternalKind, Operator, Parser, Payload, TableInit, TypeRef};

use super::linked::{Linked, Source};
use super::tables::Tables;

/// One module, read.
#[derive(Default)]
struct Part<'a> {
    instance: u32,
    module: &'a [u8],
    /// Imports, and what each is linked to.
    imports: Vec<(TypeRef, Source<'a>)>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    start: Option<u32>,
    /// How many there are of its own.
    types: u32,
    functions: u32,
    globals: u32,
    tables: Vec<wasmparser::TableType>,
    memories: u32,
    elements: u32,
    data: u32,
}

/// Where the items of one part are in the whole.
#[derive(Default)]
struct Places {
    functions: Vec<u32>,
    globals: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    types: u32,
    elements: u32,
    data: u32,
}

/// Moves the indices of the part whose turn it is.
struct Mover {
    places: Vec<Places>,
    at: usize,
    tables: Tables,
    /// Globals that never change, by their places: constant expressions may not refer to globals of the same module.
    constants: HashMap<u32, i32>,
}

/// Functions that are in no part.
#[derive(Default)]
struct Others<'a> {
    /// Interface, name, type.
    host: Vec<(&'a str, &'a str, u32)>,
    /// Type, and whether it traps.
    stubs: Vec<(u32, bool)>,
}

/// Makes one module of all that are linked; see [`super::flatten`].
///
/// # Errors
/// What no single module can have.
pub(super) fn merge(linked: &Linked<'_>, wants: impl Fn(&str) -> bool) -> Result<Vec<u8>, String> {
    let started = linked.started().map(|(instance, module)| Part::read(linked, instance, module));
    let parts: Vec<Part<'_>> = started.collect::<Result<_, String>>()?;
    let memories: u32 = parts.iter().map(|part| part.memories).sum();
    if memories != 1 {
        return Err(format!("it has {memories} memories; a core module of this contract has one"));
    }
    let tables: Vec<_> = parts.iter().flat_map(|part| part.tables.iter().copied()).collect();
    let tables = Tables::of(&tables)?;
    let (places, others) = placed(&parts, wants)?;
    let mut mover = Mover { places, at: 0, tables, constants: HashMap::new() };
    write(&parts, &mut mover, &others).map_err(|error| format!("its modules cannot be merged: {error}"))
}

impl<'a> Part<'a> {
    fn read(linked: &Linked<'a>, instance: u32, module: &'a [u8]) -> Result<Self, String> {
        let damaged = |error| format!("it is damaged: {error}");
        let mut part = Self { instance, module, ..Self::default() };
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(damaged)? {
                Payload::TypeSection(section) => {
                    part.types = section.into_iter_err_on_gc_types().count() as u32;
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(damaged)?;
                        part.imports.push((import.ty, linked.source(instance, import.module, import.name)?));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(damaged)?;
                        part.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::FunctionSection(section) => part.functions = section.count(),
                Payload::GlobalSection(section) => part.globals = section.count(),
                Payload::TableSection(section) => {
                    for table in section {
                        let table = table.map_err(damaged)?;
                        if !matches!(table.init, TableInit::RefNull) {
                            return Err("it has a table that is filled by its own definition".into());
                        }
                        part.tables.push(table.ty);
                    }
                }
                Payload::MemorySection(section) => part.memories = section.count(),
                Payload::ElementSection(section) => part.elements = section.count(),
                Payload::DataSection(section) => part.data = section.count(),
                Payload::StartSection { func, .. } => part.start = Some(func),
                _ => {}
            }
        }
        Ok(part)
    }
}

/// What an imported function is that is in no part: of the host, or a stub, and its place among those.
#[derive(Clone, Copy)]
enum Stranger {
    Host(usize),
    Stub(usize),
}

/// The strangers among the imports of each part, and all there are.
fn strangers<'a>(parts: &[Part<'a>], wants: impl Fn(&str) -> bool) -> (Vec<Vec<Option<Stranger>>>, Others<'a>) {
    let plain = |interface: &str| {
        let name = interface.split_once('/').map_or(interface, |(_, name)| name);
        name.split_once('@').map_or(name, |(name, _)| name).to_owned()
    };
    let (mut others, mut types) = (Others::default(), 0);
    let mut strangers = Vec::new();
    for part in parts {
        let strange = part.imports.iter().map(|(of, source)| {
            let TypeRef::Func(of) = of else { return None };
            Some(match *source {
                Source::Of(..) => return None,
                Source::Host(interface, name) if wants(&plain(interface)) => {
                    let known = others.host.iter().position(|(with, called, _)| (*with, *called) == (interface, name));
                    Stranger::Host(known.unwrap_or_else(|| {
                        others.host.push((interface, name, types + of));
                        others.host.len() - 1
                    }))
                }
                Source::Host(..) | Source::Nobody | Source::Drop => {
                    others.stubs.push((types + of, *source != Source::Drop));
                    Stranger::Stub(others.stubs.len() - 1)
                }
            })
        });
        strangers.push(strange.collect::<Vec<_>>());
        types += part.types;
    }
    (strangers, others)
}

/// Where everything of each part comes to lie, and what is in none.
fn placed<'a>(parts: &[Part<'a>], wants: impl Fn(&str) -> bool) -> Result<(Vec<Places>, Others<'a>), String> {
    let (strangers, others) = strangers(parts, wants);
    let hosted = others.host.len() as u32;
    let first_stub = hosted + parts.iter().map(|part| part.functions).sum::<u32>();
    let mut next = Part { functions: hosted, ..Part::default() };
    let mut tables = 0;
    let mut places: Vec<Places> = Vec::new();
    for (part, strange) in parts.iter().zip(strangers) {
        let mut own = Places { types: next.types, elements: next.elements, data: next.data, ..Places::default() };
        for ((of, source), strange) in part.imports.iter().zip(strange) {
            let place = match (source, strange) {
                (_, Some(Stranger::Host(at))) => at as u32,
                (_, Some(Stranger::Stub(at))) => first_stub + at as u32,
                (Source::Of(instance, name), None) => found(parts, &places, *instance, name)?,
                _ => return Err("it imports something else than functions from its host".into()),
            };
            match of {
                TypeRef::Func(_) | TypeRef::FuncExact(_) => own.functions.push(place),
                TypeRef::Global(_) => own.globals.push(place),
                TypeRef::Table(_) => own.tables.push(place),
                TypeRef::Memory(_) => own.memories.push(place),
                TypeRef::Tag(_) => return Err("it has exceptions, which plugins do not".into()),
            }
        }
        let follow = |own: &mut Vec<u32>, next: &mut u32, count: u32| {
            own.extend(*next..*next + count);
            *next += count;
        };
        follow(&mut own.functions, &mut next.functions, part.functions);
        follow(&mut own.globals, &mut next.globals, part.globals);
        follow(&mut own.tables, &mut tables, part.tables.len() as u32);
        follow(&mut own.memories, &mut next.memories, part.memories);
        (next.types, next.elements, next.data) =
            (next.types + part.types, next.elements + part.elements, next.data + part.data);
        places.push(own);
    }
    Ok((places, others))
}

/// Where an export of a part before is.
fn found(parts: &[Part<'_>], places: &[Places], instance: u32, name: &str) -> Result<u32, String> {
    let part = parts.iter().zip(places).find(|(part, _)| part.instance == instance);
    let place = part.and_then(|(part, places)| {
        let (kind, index) = part.exports.get(name)?;
        let of = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => &places.functions,
            ExternalKind::Global => &places.globals,
            ExternalKind::Table => &places.tables,
            ExternalKind::Memory => &places.memories,
            ExternalKind::Tag => return None,
        };
        of.get(*index as usize).copied()
    });
    place.ok_or_else(|| format!("no module before exports {name}"))
}

impl Mover {
    fn moved(&self, of: impl Fn(&Places) -> &Vec<u32>, index: u32) -> Result<u32, Error<String>> {
        let place = self.places.get(self.at).and_then(|places| of(places).get(index as usize));
        place.copied().ok_or_else(|| Error::UserError(format!("there is no item {index}")))
    }

    fn base(&self, of: impl Fn(&Places) -> u32) -> u32 {
        self.places.get(self.at).map_or(0, of)
    }

    /// What a constant expression over 32 bits comes to.
    fn value(&self, expression: &wasmparser::ConstExpr<'_>) -> Option<i32> {
        let mut stack = Vec::new();
        for operator in expression.get_operators_reader() {
            match operator.ok()? {
                Operator::I32Const { value } => stack.push(value),
                Operator::GlobalGet { global_index } => {
                    let place = self.moved(|places| &places.globals, global_index).ok()?;
                    stack.push(*self.constants.get(&place)?);
                }
                Operator::I32Add => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    stack.push(i32::wrapping_add(left, right));
                }
                Operator::End => {}
                _ => return None,
            }
        }
        stack.pop()
    }
}

impl Reencode for Mover {
    type Error = String;

    fn type_index(&mut self, ty: u32) -> Result<u32, Error<String>> {
        Ok(ty + self.base(|places| places.types))
    }
    fn function_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        self.moved(|places| &places.functions, index)
    }
    fn global_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        self.moved(|places| &places.globals, index)
    }
    fn table_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        self.moved(|places| &places.tables, index)
    }
    fn memory_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        self.moved(|places| &places.memories, index)
    }
    fn element_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        Ok(index + self.base(|places| places.elements))
    }
    fn data_index(&mut self, index: u32) -> Result<u32, Error<String>> {
        Ok(index + self.base(|places| places.data))
    }
    /// Entries of a table are where those of that part are in the only one.
    fn parse_element(
        &mut self,
        elements: &mut ElementSection,
        element: wasmparser::Element<'_>,
    ) -> Result<(), Error<String>> {
        let ElementKind::Active { table_index, offset_expr } = &element.kind else {
            return utils::parse_element(self, elements, element);
        };
        let table = self.table_index(table_index.unwrap_or(0))?;
        let offset = self.value(offset_expr);
        let offset = offset.ok_or_else(|| Error::UserError("it fills a table from a place nobody knows".to_owned()))?;
        let place = ConstExpr::i32_const(offset.wrapping_add(self.tables.base(table) as i32));
        let items = self.element_items(element.items)?;
        elements.active(None, &place, items);
        Ok(())
    }
    /// Tail calls become calls: they are among the proposals that guests do not get, and bindings use them to save a little.
    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<String>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (mut instruction, returns) = match self.parse_instruction(&mut operators)? {
                Instruction::ReturnCall(callee) => (Instruction::Call(callee), true),
                Instruction::ReturnCallIndirect { type_index, table_index } => {
                    (Instruction::CallIndirect { type_index, table_index }, true)
                }
                other => (other, false),
            };
            if let Some(base) = self.tables.moved(&mut instruction)? {
                function.instruction(&Instruction::I32Const(base)).instruction(&Instruction::I32Add);
            }
            function.instruction(&instruction);
            if returns {
                function.instruction(&Instruction::Return);
            }
        }
        code.function(&function);
        Ok(())
    }
    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error<String>> {
        match self.value(&expression) {
            Some(value) => Ok(ConstExpr::i32_const(value)),
            None => utils::const_expr(self, expression),
        }
    }
}

/// The sections of the whole.
#[derive(Default)]
struct Whole {
    types: TypeSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    elements: ElementSection,
    code: CodeSection,
    data: DataSection,
}

impl Whole {
    fn add(&mut self, mover: &mut Mover, payload: Payload<'_>) -> Result<(), Error<String>> {
        match payload {
            Payload::TypeSection(section) => mover.parse_type_section(&mut self.types, section),
            Payload::FunctionSection(section) => mover.parse_function_section(&mut self.functions, section),
            Payload::MemorySection(section) => mover.parse_memory_section(&mut self.memories, section),
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    if let Some(value) = mover.value(&global.init_expr).filter(|_| !global.ty.mutable) {
                        mover.constants.insert(self.globals.len(), value);
                    }
                    mover.parse_global(&mut self.globals, global)?;
                }
                Ok(())
            }
            Payload::ElementSection(section) => mover.parse_element_section(&mut self.elements, section),
            Payload::DataSection(section) => mover.parse_data_section(&mut self.data, section),
            Payload::CodeSectionEntry(body) => mover.parse_function_body(&mut self.code, body),
            _ => Ok(()),
        }
    }
}

fn write(parts: &[Part<'_>], mover: &mut Mover, others: &Others<'_>) -> Result<Vec<u8>, Error<String>> {
    let (mut whole, mut starts) = (Whole::default(), Vec::new());
    mover.tables.write(&mut whole.tables);
    for (at, part) in parts.iter().enumerate() {
        mover.at = at;
        for payload in Parser::new(0).parse_all(part.module) {
            whole.add(mover, payload?)?;
        }
        starts.extend(part.start.map(|function| mover.function_index(function)).transpose()?);
    }
    for (of, traps) in &others.stubs {
        whole.functions.function(*of);
        let mut body = Function::new([]);
        if *traps {
            body.instruction(&Instruction::Unreachable);
        }
        whole.code.function(body.instruction(&Instruction::End));
    }
    let mut imports = ImportSection::new();
    for (interface, name, of) in &others.host {
        imports.import(interface, name, EntityType::Function(*of));
    }
    let start = (!starts.is_empty()).then(|| {
        whole.functions.function(whole.types.len());
        whole.types.ty().function([], []);
        let mut body = Function::new([]);
        for function in &starts {
            body.instruction(&Instruction::Call(*function));
        }
        whole.code.function(body.instruction(&Instruction::End));
        StartSection { function_index: others.host.len() as u32 + whole.functions.len() - 1 }
    });
    let exports = exports(parts, mover)?;
    let mut module = Module::new();
    module.section(&whole.types).section(&imports).section(&whole.functions).section(&whole.tables);
    module.section(&whole.memories).section(&whole.globals).section(&exports);
    if let Some(start) = start {
        module.section(&start);
    }
    module.section(&whole.elements).section(&DataCountSection { count: whole.data.len() });
    module.section(&whole.code).section(&whole.data);
    Ok(module.finish())
}

/// The functions of the contract with what frees their answers, what makes room for their arguments, and the memory.
fn exports(parts: &[Part<'_>], mover: &mut Mover) -> Result<ExportSection, Error<String>> {
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    for (at, part) in parts.iter().enumerate() {
        mover.at = at;
        let is_ours = |name: &str| name.strip_prefix("cabi_post_").unwrap_or(name).starts_with("littoral:plugin/");
        if !part.exports.keys().any(|name| is_ours(name)) {
            continue;
        }
        let mut own: Vec<_> =
            part.exports.iter().filter(|(name, _)| is_ours(name) || **name == "cabi_realloc").collect();
        own.sort_unstable_by_key(|(name, _)| **name);
        for (name, (_, index)) in own {
            exports.export(name, ExportKind::Func, mover.function_index(*index)?);
        }
    }
    Ok(exports)
}
