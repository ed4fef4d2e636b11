//! One instance of a guest: its store, its functions, and the canonical ABI's flat signatures written out.
//!
//! Every pointer that comes back is checked against the guest's memory; lists handed over are the guest's to free, lists
//! handed back are freed by `cabi_post_*`.

use std::sync::Arc;

use wasmtime::{Caller, Linker, Memory, Module, Store, StoreLimitsBuilder, Trap, TypedFunc};

use crate::component::{Interface, OF_POLICIES, is_ours};
use crate::limits::{ERROR_BYTES_MAX, FUEL_CONTROL, LOG_BYTES_MAX, SAMPLE_MAX, TABLE_ELEMENTS_MAX};
use crate::status::Counters;
use crate::trace::backtrace;
use crate::types::{Answer, Ask, Choice, ClusterRow, Fault, Flow, Measured, Object, Verdict};

use bounds::Bounds;
pub(crate) use exports::name_of;
use exports::{Exports, Posts};
use told::{Names, Prices};

mod bounds;
mod exact;
mod exports;
mod terms;
mod told;

/// Bytes of an `object` record.
const OBJECT_BYTES: usize = 40;
/// Bytes of a `cluster` record.
const CLUSTER_BYTES: usize = 28;

type DecideParams = (i64, i64, i64, f32, f32, f32, i32, i64, i64, i64);
type SelectParams = (i64, i32, i32, i32, i32, i32, i64, i64);
type AdmitParams = (i64, i64, i32, i32, i32, i32, i32, i32, i32, i64, i64);
type ScoreParams = (i32, i32, i64, i64);

/// What host functions see.
pub(crate) struct Guest {
    name: String,
    limits: Bounds,
    counters: Arc<Counters>,
    /// What `measured` tells during a decision.
    measured: Measured,
    /// What `priced` tells while it is told the clusters.
    prices: Prices,
    /// What `named` knows then.
    names: Names,
}

/// A warm instance. Used by one thread only.
pub(crate) struct Instance {
    store: Store<Guest>,
    memory: Memory,
    realloc: TypedFunc<(i32, i32, i32, i32), i32>,
    init: TypedFunc<(i32, i32), i32>,
    clusters: TypedFunc<(i64, i32, i32), ()>,
    ladder: TypedFunc<(i32, i32, i32), ()>,
    decide: Option<TypedFunc<DecideParams, i32>>,
    select: Option<TypedFunc<SelectParams, i32>>,
    admit: Option<TypedFunc<AdmitParams, i32>>,
    score: Option<TypedFunc<ScoreParams, i32>>,
    posts: Posts,
    exact: Option<exact::Functions>,
    terms: Option<TypedFunc<DecideParams, i32>>,
    /// Whether it asks for what was measured.
    reads_measured: bool,
    /// See [`Self::trace`].
    trace: Vec<String>,
}

/// Links what a guest may import.
pub(crate) fn linker(engine: &wasmtime::Engine, module: &Module) -> Result<Linker<Guest>, String> {
    let mut linker = Linker::new(engine);
    let mut linked = std::collections::HashSet::new();
    let ours = |name: &str| OF_POLICIES.into_iter().find(|interface| is_ours(name, interface));
    for import in module.imports() {
        let Some(interface) = ours(import.module()) else { continue };
        if !linked.insert((import.module().to_owned(), import.name().to_owned())) {
            continue;
        }
        let defined = match (interface, import.name()) {
            ("env", "log") => linker.func_wrap(import.module(), "log", log).map(drop),
            ("env", "count") => linker.func_wrap(import.module(), "count", count).map(drop),
            ("measured", "clusters") => linker.func_wrap(import.module(), "clusters", told::clusters).map(drop),
            ("measured", "rtt-us") => linker.func_wrap(import.module(), "rtt-us", told::rtt_us).map(drop),
            ("priced", "clusters") => linker.func_wrap(import.module(), "clusters", told::priced).map(drop),
            ("named", "cluster") => linker.func_wrap(import.module(), "cluster", told::named).map(drop),
            ("priced", "price-us") => linker.func_wrap(import.module(), "price-us", told::price_us).map(drop),
            _ => Ok(()),
        };
        defined.map_err(|error| error.to_string())?;
    }
    Ok(linker)
}

/// `env.log`: bounded, then dropped.
fn log(mut caller: Caller<'_, Guest>, level: i32, pointer: i32, length: i32) {
    let Some(memory) = caller.get_export("memory").and_then(|export| export.into_memory()) else {
        return;
    };
    let (data, guest) = memory.data_and_store_mut(&mut caller);
    if !guest.counters.may_log() {
        return;
    }
    let length = (length as u32 as usize).min(LOG_BYTES_MAX);
    let Some(bytes) = data.get(pointer as u32 as usize..).and_then(|rest| rest.get(..length)) else {
        return;
    };
    let (plugin, text) = (guest.name.as_str(), String::from_utf8_lossy(bytes));
    match level {
        0 => tracing::debug!(plugin, "{text}"),
        1 => tracing::info!(plugin, "{text}"),
        2 => tracing::warn!(plugin, "{text}"),
        _ => tracing::error!(plugin, "{text}"),
    }
}

/// `env.count`
fn count(caller: Caller<'_, Guest>, metric: i32, delta: i64) {
    caller.data().counters.add(metric as u32, delta as u64);
}

/// What a failed call was.
pub(crate) fn fault_of(error: &wasmtime::Error) -> Fault {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::Fuel,
        Some(_) => Fault::Trap,
        None => Fault::Memory,
    }
}

/// A fault and where it was, in one line.
pub(crate) fn in_words(fault: Fault, trace: &[String]) -> String {
    match trace {
        [] => fault.to_string(),
        [cause] => format!("{fault}: {cause}"),
        [cause, frames @ ..] => format!("{fault}: {cause}; in {}", frames.join(" < ")),
    }
}

impl Instance {
    /// Instantiates `module`, with the functions of `interfaces` in exactly their flat types.
    ///
    /// # Errors
    /// What is missing or failed.
    pub(crate) fn new(
        name: &str,
        linker: &Linker<Guest>,
        module: &Module,
        interfaces: &[Interface],
        memory_bytes: usize,
        counters: Arc<Counters>,
    ) -> Result<Self, String> {
        let own = StoreLimitsBuilder::new()
            .memory_size(memory_bytes)
            .table_elements(TABLE_ELEMENTS_MAX)
            .instances(1)
            .memories(1)
            .tables(4)
            .trap_on_grow_failure(true)
            .build();
        let (measured, prices, names) = (Measured::NONE, Prices::NONE, Names::new());
        let guest = Guest { name: name.to_owned(), limits: Bounds::new(own), counters, measured, prices, names };
        let mut store = Store::new(linker.engine(), guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_fuel(FUEL_CONTROL).map_err(|error| error.to_string())?;
        let linked =
            linker.instantiate(&mut store, module).map_err(|error| format!("it cannot be started: {error:#}"))?;
        let memory = linked.get_memory(&mut store, "memory").ok_or("it exports no memory")?;
        let has = |interface: Interface| interfaces.contains(&interface);
        let realloc =
            linked.get_typed_func(&mut store, "cabi_realloc").map_err(|error| format!("cabi_realloc: {error}"))?;
        let of = Exports { instance: linked, module };
        Ok(Self {
            memory,
            realloc,
            init: of.function(&mut store, "control", "init")?,
            clusters: of.function(&mut store, "control", "clusters")?,
            ladder: of.function(&mut store, "control", "ladder")?,
            decide: has(Interface::Routing).then(|| of.function(&mut store, "routing", "decide")).transpose()?,
            select: has(Interface::Rate).then(|| of.function(&mut store, "rate", "select")).transpose()?,
            admit: has(Interface::Cache).then(|| of.function(&mut store, "cache", "admit")).transpose()?,
            score: has(Interface::Cache).then(|| of.function(&mut store, "cache", "score")).transpose()?,
            posts: Posts::of(&of, &mut store),
            exact: has(Interface::Exact).then(|| exact::Functions::of(&of, &mut store)).transpose()?,
            terms: terms::function(&of, &mut store)?,
            store,
            reads_measured: module.imports().any(|import| is_ours(import.module(), "measured")),
            trace: Vec::new(),
        })
    }

    /// Notes what a failed call was; the instance is not called again.
    #[cold]
    fn broken(&mut self, error: &wasmtime::Error) -> Fault {
        let cause = error.downcast_ref::<Trap>().map(ToString::to_string);
        self.trace = backtrace(cause, error);
        fault_of(error)
    }

    /// Where the guest was when a call failed, innermost function first; empty when it was not in the guest.
    pub(crate) fn trace(&self) -> &[String] {
        &self.trace
    }

    /// A fault in words, with the place where the guest was.
    pub(crate) fn words(&self, fault: Fault) -> String {
        in_words(fault, &self.trace)
    }

    /// Bytes of its linear memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// Fuel left of the last [`Self::refuel`].
    pub(crate) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }

    pub(crate) fn refuel(&mut self, fuel: u64) {
        // Only an engine without fuel refuses, and ours has it.
        let _ = self.store.set_fuel(fuel);
    }

    /// `control.init`
    ///
    /// # Errors
    /// The guest's own text, or what happened to it.
    pub(crate) fn init(&mut self, config: &str) -> Result<(), String> {
        self.refuel(FUEL_CONTROL);
        let told = |words: String| format!("its init failed: {words}");
        let wrong = |fault: Fault| told(fault.to_string());
        let (pointer, length) = match self.give(config.as_bytes(), 1) {
            Ok(given) => given,
            Err(fault) => return Err(told(self.words(fault))),
        };
        let result = match self.init.call(&mut self.store, (pointer, length)) {
            Ok(result) => result,
            Err(error) => {
                let fault = self.broken(&error);
                return Err(told(self.words(fault)));
            }
        };
        let refused = match self.read::<12>(result).map_err(wrong)? {
            [0, ..] => None,
            area => {
                let text = self.slice(u32_of(&area, 4), u32_of(&area, 8).min(ERROR_BYTES_MAX as u32)).map_err(wrong)?;
                Some(String::from_utf8_lossy(text).into_owned())
            }
        };
        self.free(|posts| &posts.init, result).map_err(wrong)?;
        refused.map_or(Ok(()), |text| Err(format!("it refuses its config: {text}")))
    }

    /// `control.clusters`
    pub(crate) fn clusters(&mut self, version: u64, rows: &[ClusterRow]) -> Result<(), Fault> {
        self.refuel(FUEL_CONTROL);
        let mut bytes = Vec::with_capacity(rows.len() * CLUSTER_BYTES);
        for row in rows {
            bytes.extend_from_slice(&row.index.to_le_bytes());
            bytes.extend_from_slice(&[u8::from(row.deep), u8::from(row.healthy)]);
            row.place.iter().for_each(|part| bytes.extend_from_slice(&part.to_le_bytes()));
            bytes.extend_from_slice(&row.capacity_mbps.to_le_bytes());
            bytes.extend_from_slice(&u32::from(row.load_permille).to_le_bytes());
            bytes.extend_from_slice(&row.rtt_us.to_le_bytes());
        }
        let (pointer, _) = self.give(&bytes, 4)?;
        (self.store.data_mut().prices, self.store.data_mut().names) = (Prices::of(rows), told::names(rows));
        let called = self.clusters.call(&mut self.store, (version as i64, pointer, rows.len() as i32));
        (self.store.data_mut().prices, self.store.data_mut().names) = (Prices::NONE, Names::new());
        called.map_err(|error| self.broken(&error))?;
        self.told(|posts| &posts.clusters)
    }

    /// `control.ladder`
    pub(crate) fn ladder(&mut self, id: u32, kbps: &[u32]) -> Result<(), Fault> {
        self.refuel(FUEL_CONTROL);
        let bytes: Vec<u8> = kbps.iter().flat_map(|rate| rate.to_le_bytes()).collect();
        let (pointer, _) = self.give(&bytes, 4)?;
        let called = self.ladder.call(&mut self.store, (id as i32, pointer, kbps.len() as i32));
        called.map_err(|error| self.broken(&error))?;
        self.told(|posts| &posts.ladder)
    }

    /// `routing.decide`
    pub(crate) fn decide(&mut self, flow: &Flow) -> Result<Choice, Fault> {
        let decide = self.decide.as_ref().ok_or(Fault::Init)?;
        let params = params_of(flow);
        if self.reads_measured {
            self.store.data_mut().measured = flow.measured;
        }
        let called = decide.call(&mut self.store, params);
        if self.reads_measured {
            self.store.data_mut().measured = Measured::NONE;
        }
        let area = called.map_err(|error| self.broken(&error))?;
        let told = self.read::<8>(area)?;
        self.free(|posts| &posts.decide, area)?;
        let part = |at: usize| u16::from_le_bytes([told[at], told[at + 1]]);
        let choice = Choice { clusters: [part(0), part(2), part(4)], ttl_s: part(6) };
        if choice.is_among(flow.candidates) { Ok(choice) } else { Err(Fault::Nonsense) }
    }

    /// `rate.select`; `rungs` is the length of the ladder.
    pub(crate) fn select(&mut self, ask: &Ask, rungs: usize) -> Result<Answer, Fault> {
        let select = self.select.as_ref().ok_or(Fault::Init)?;
        let params = (
            ask.state as i64,
            ask.est_kbps as i32,
            ask.buffer_ms as i32,
            i32::from(ask.last_rung),
            ask.segment_ms as i32,
            ask.ladder as i32,
            ask.now_ms as i64,
            ask.rand as i64,
        );
        let called = select.call(&mut self.store, params);
        let area = called.map_err(|error| self.broken(&error))?;
        let told = self.read::<24>(area)?;
        self.free(|posts| &posts.select, area)?;
        let answer = Answer {
            rung: told[0],
            pace_kbps: u32_of(&told, 4),
            hold_ms: u16::from_le_bytes([told[8], told[9]]),
            state: u64::from(u32_of(&told, 16)) | u64::from(u32_of(&told, 20)) << 32,
        };
        if usize::from(answer.rung) < rungs.max(1) { Ok(answer) } else { Err(Fault::Nonsense) }
    }

    /// `cache.admit`
    pub(crate) fn admit(&mut self, object: &Object, fill: u16, now_ms: u64, rand: u64) -> Result<Verdict, Fault> {
        let admit = self.admit.as_ref().ok_or(Fault::Init)?;
        let params = (
            object.id as i64,
            object.bytes as i64,
            object.age_s as i32,
            object.idle_s as i32,
            object.ttl_s as i32,
            object.fetch_us as i32,
            i32::from(object.hits),
            i32::from(object.class),
            i32::from(fill),
            now_ms as i64,
            rand as i64,
        );
        let called = admit.call(&mut self.store, params);
        let verdict = called.map_err(|error| self.broken(&error))?;
        self.free(|posts| &posts.admit, verdict)?;
        match verdict {
            0 => Ok(Verdict::Admit),
            1 => Ok(Verdict::Bypass),
            _ => Err(Fault::Nonsense),
        }
    }

    /// `cache.score`
    pub(crate) fn score(&mut self, sample: &[Object], now_ms: u64, rand: u64, scores: &mut [f32]) -> Result<(), Fault> {
        if sample.len() > SAMPLE_MAX || sample.len() != scores.len() {
            return Err(Fault::Nonsense);
        }
        let (pointer, room) = self.room(sample.len() * OBJECT_BYTES, 8)?;
        let (rooms, _) = room.as_chunks_mut();
        sample.iter().zip(rooms).for_each(|(object, room)| write_object(object, room));
        // Not cloned: a function carries its type, and counting those references took a third of the call.
        let score = self.score.as_ref().ok_or(Fault::Init)?;
        let params = (pointer, sample.len() as i32, now_ms as i64, rand as i64);
        let called = score.call(&mut self.store, params);
        let area = called.map_err(|error| self.broken(&error))?;
        let list = self.read::<8>(area)?;
        if u32_of(&list, 4) as usize != scores.len() {
            return Err(Fault::Nonsense);
        }
        let values = self.slice(u32_of(&list, 0), 4 * scores.len() as u32)?;
        for (score, bytes) in scores.iter_mut().zip(values.chunks_exact(4)) {
            *score = f32::from_bits(u32_of(bytes, 0));
        }
        self.free(|posts| &posts.score, area)?;
        if scores.iter().all(|score| score.is_finite()) { Ok(()) } else { Err(Fault::Nonsense) }
    }

    /// Has the guest free what it answered, once it was read.
    fn free(&mut self, post: impl Fn(&Posts) -> &Option<TypedFunc<i32, ()>>, answer: i32) -> Result<(), Fault> {
        let Some(post) = post(&self.posts) else { return Ok(()) };
        let called = post.call(&mut self.store, answer);
        called.map_err(|error| self.broken(&error))
    }

    /// The same of what answers nothing.
    fn told(&mut self, post: impl Fn(&Posts) -> &Option<TypedFunc<(), ()>>) -> Result<(), Fault> {
        let Some(post) = post(&self.posts) else { return Ok(()) };
        let called = post.call(&mut self.store, ());
        called.map_err(|error| self.broken(&error))
    }

    /// Copies bytes into memory the guest allocates, which it then owns.
    fn give(&mut self, bytes: &[u8], align: i32) -> Result<(i32, i32), Fault> {
        let (pointer, room) = self.room(bytes.len(), align)?;
        room.copy_from_slice(bytes);
        Ok((pointer, bytes.len() as i32))
    }

    /// Room in the guest's memory for something that will be the guest's.
    fn room(&mut self, bytes: usize, align: i32) -> Result<(i32, &mut [u8]), Fault> {
        let length = i32::try_from(bytes).map_err(|_| Fault::Memory)?;
        if length == 0 {
            return Ok((align, &mut []));
        }
        let called = self.realloc.call(&mut self.store, (0, 0, align, length));
        let pointer = called.map_err(|error| self.broken(&error))?;
        let memory = self.memory.data_mut(&mut self.store);
        let room = memory.get_mut(pointer as u32 as usize..).and_then(|rest| rest.get_mut(..bytes));
        Ok((pointer, room.ok_or(Fault::Nonsense)?))
    }

    fn slice(&self, pointer: u32, length: u32) -> Result<&[u8], Fault> {
        let memory = self.memory.data(&self.store);
        memory.get(pointer as usize..).and_then(|rest| rest.get(..length as usize)).ok_or(Fault::Nonsense)
    }

    fn read<const N: usize>(&self, pointer: i32) -> Result<[u8; N], Fault> {
        self.slice(pointer as u32, N as u32)?.try_into().map_err(|_| Fault::Nonsense)
    }
}

/// An `object` record as the canonical ABI lays it out.
fn write_object(object: &Object, room: &mut [u8; OBJECT_BYTES]) {
    let Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class } = object;
    room[..8].copy_from_slice(&id.to_le_bytes());
    room[8..16].copy_from_slice(&bytes.to_le_bytes());
    room[16..20].copy_from_slice(&age_s.to_le_bytes());
    room[20..24].copy_from_slice(&idle_s.to_le_bytes());
    room[24..28].copy_from_slice(&ttl_s.to_le_bytes());
    room[28..32].copy_from_slice(&fetch_us.to_le_bytes());
    room[32..34].copy_from_slice(&hits.to_le_bytes());
    room[34..36].copy_from_slice(&class.to_le_bytes());
    room[36..].fill(0);
}

/// A `flow` record as the canonical ABI passes it.
fn params_of(flow: &Flow) -> DecideParams {
    let [x, y, z] = flow.place;
    (
        flow.key as i64,
        flow.addr_hi as i64,
        flow.addr_lo as i64,
        x,
        y,
        z,
        i32::from(flow.zone),
        flow.candidates as i64,
        flow.now_ms as i64,
        flow.rand as i64,
    )
}

fn u32_of(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}
