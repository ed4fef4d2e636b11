//! What a filter on the core path exports: each function's flat signature, its arguments handed over, its answer read.

use wasmtime::{Extern, Instance, Module, ModuleExport, Result, Store, TypedFunc, WasmParams, WasmResults};

use super::{Budget, Heap, aligned, alone, bytes_at, hand, heap, is_some, outside, structure, text_at, word};
use crate::filter::bindings::exports::littoral::plugin::filter::{Manifest, Piece, Points, Reply};
use crate::filter::guest::Guest;
use crate::instance::name_of;

/// What a guest says of its config.
pub(in crate::filter) type Told = std::result::Result<Manifest, String>;

/// An exported function that answers with an address or a number, and what is called when the answer was read.
struct Function<P> {
    of: TypedFunc<P, u32>,
    post: Option<TypedFunc<u32, ()>>,
}

/// The exported functions of one instance.
pub(in crate::filter) struct Functions {
    init: Function<(u32, u32)>,
    on_request: Function<()>,
    on_lookup: Function<()>,
    on_origin: Function<()>,
    on_response: TypedFunc<(), ()>,
    after_response: Option<TypedFunc<(), ()>>,
    on_body: Function<(u32, u32, u32)>,
}

/// Where a module has them: found once, for each instance takes a while.
pub(in crate::filter) struct Found {
    memory: ModuleExport,
    realloc: ModuleExport,
    functions: [Place; 6],
}

/// A function, and what is called when its answer was read.
type Place = (ModuleExport, Option<ModuleExport>);

/// In the order of [`Found::functions`].
const NAMES: [&str; 6] = ["init", "on-request", "on-lookup", "on-origin", "on-response", "on-body"];

impl Found {
    /// Those of a module; `None`: not all are there.
    pub(in crate::filter) fn of(module: &Module) -> Option<Self> {
        let at = |prefix: &str, name: &str| module.get_export_index(&name_of(module, prefix, "filter", name)?);
        let [init, on_request, on_lookup, on_origin, on_response, on_body] =
            NAMES.map(|name| Some((at("", name)?, at("cabi_post_", name))));
        let functions = [init?, on_request?, on_lookup?, on_origin?, on_response?, on_body?];
        let [memory, realloc] = ["memory", "cabi_realloc"].map(|name| module.get_export_index(name));
        Some(Self { memory: memory?, realloc: realloc?, functions })
    }
}

/// The function at a place of an instance.
fn typed<P: WasmParams, R: WasmResults>(
    store: &mut Store<Guest>,
    instance: Instance,
    place: &ModuleExport,
) -> Result<TypedFunc<P, R>> {
    let found = instance.get_module_export(&mut *store, place).and_then(Extern::into_func);
    found.ok_or_else(|| wasmtime::Error::msg("an export that is no function"))?.typed(&*store)
}

impl<P: WasmParams> Function<P> {
    fn find(store: &mut Store<Guest>, instance: Instance, (of, post): &Place) -> Result<Self> {
        let of = typed(store, instance, of)?;
        let post = post.as_ref().map(|post| typed(store, instance, post)).transpose()?;
        Ok(Self { of, post })
    }

    /// Calls it, has its answer read, and says that it was.
    fn call<R>(&self, store: &mut Store<Guest>, given: P, read: impl FnOnce(&[u8], u32) -> Result<R>) -> Result<R> {
        let answer = self.of.call(&mut *store, given)?;
        let memory = heap(store.data())?.memory;
        let read = read(memory.data(&*store), answer)?;
        self.post.as_ref().map_or(Ok(()), |post| alone(store, |store, _| post.call(&mut *store, answer)))?;
        Ok(read)
    }
}

impl Functions {
    /// Those of a started module, in exactly their flat types. Its memory is known from now on.
    ///
    /// # Errors
    /// What is missing.
    pub(in crate::filter) fn of(store: &mut Store<Guest>, instance: Instance, found: &Found) -> Result<Self> {
        let memory = instance.get_module_export(&mut *store, &found.memory).and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("it exports no memory"))?;
        let realloc = typed(store, instance, &found.realloc)?;
        let [init, on_request, on_lookup, on_origin, (on_response, after_response), on_body] = &found.functions;
        let functions = Self {
            init: Function::find(store, instance, init)?,
            on_request: Function::find(store, instance, on_request)?,
            on_lookup: Function::find(store, instance, on_lookup)?,
            on_origin: Function::find(store, instance, on_origin)?,
            on_response: typed(store, instance, on_response)?,
            after_response: after_response.as_ref().map(|post| typed(store, instance, post)).transpose()?,
            on_body: Function::find(store, instance, on_body)?,
        };
        store.data_mut().heap = Some(Heap::new(memory, realloc));
        Ok(functions)
    }

    pub(in crate::filter) fn init(&self, store: &mut Store<Guest>, config: &str) -> Result<Told> {
        let given = hand(store, config.as_bytes())?;
        self.init.call(store, given, |data, answer| {
            let said = structure::<12>(data, answer)?;
            match is_some(said[0].into())? {
                true => text_at(data, word(said, 4), word(said, 8), &mut Budget::whole()).map(Err),
                false => Ok(Ok(Manifest { points: points(said[4]), bodies: said[5] != 0, reuse: said[6] != 0 })),
            }
        })
    }

    pub(in crate::filter) fn on_request(&self, store: &mut Store<Guest>) -> Result<Option<Reply>> {
        self.on_request.call(store, (), |data, answer| {
            let said = structure::<24>(data, answer)?;
            if !is_some(said[0].into())? {
                return Ok(None);
            }
            let mut budget = Budget::whole();
            let fields = fields_at(data, word(said, 8), word(said, 12), &mut budget)?;
            let body = bytes_at(data, word(said, 16), word(said, 20), &mut budget)?;
            let status = u16::from_le_bytes([said[4], said[5]]);
            Ok(Some(Reply { status, fields, body }))
        })
    }

    pub(in crate::filter) fn on_lookup(&self, store: &mut Store<Guest>) -> Result<Option<String>> {
        self.on_lookup.call(store, (), |data, answer| {
            let said = structure::<12>(data, answer)?;
            let text = || text_at(data, word(said, 4), word(said, 8), &mut Budget::whole());
            is_some(said[0].into())?.then(text).transpose()
        })
    }

    pub(in crate::filter) fn on_origin(&self, store: &mut Store<Guest>) -> Result<bool> {
        self.on_origin.call(store, (), |_, wants| Ok(wants != 0))
    }

    pub(in crate::filter) fn on_response(&self, store: &mut Store<Guest>) -> Result<()> {
        self.on_response.call(&mut *store, ())?;
        self.after_response.as_ref().map_or(Ok(()), |post| alone(store, |store, _| post.call(&mut *store, ())))
    }

    pub(in crate::filter) fn on_body(&self, store: &mut Store<Guest>, data: &[u8], last: bool) -> Result<Piece> {
        let (at, length) = hand(store, data)?;
        self.on_body.call(store, (at, length, last.into()), |data, answer| {
            let said = structure::<12>(data, answer)?;
            let out = bytes_at(data, word(said, 0), word(said, 4), &mut Budget::whole())?;
            Ok(Piece { out, hold: word(said, 8) })
        })
    }
}

/// A list of fields. It has a place even if it is empty, which the component runtime looks at too.
fn fields_at(data: &[u8], at: u32, count: u32, budget: &mut Budget) -> Result<Vec<(String, Vec<u8>)>> {
    const PAIR_BYTES: usize = 16;
    let (at, bytes) = (aligned(at)?, PAIR_BYTES * count as usize);
    let list = data.get(at as usize..).and_then(|rest| rest.get(..bytes)).ok_or_else(|| outside(at, bytes))?;
    budget.take(size_of::<(String, Vec<u8>)>() * count as usize)?;
    let fields = list.chunks_exact(PAIR_BYTES).map(|pair| {
        let name = text_at(data, word(pair, 0), word(pair, 4), budget)?;
        Ok((name, bytes_at(data, word(pair, 8), word(pair, 12), budget)?))
    });
    fields.collect()
}

fn points(bits: u8) -> Points {
    let all = [Points::REQUEST, Points::LOOKUP, Points::ORIGIN, Points::RESPONSE];
    let told = all.into_iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
    told.fold(Points::empty(), |points, (_, point)| points | point)
}
