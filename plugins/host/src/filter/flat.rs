//! Filters by the core path: the core module in the component is called itself, with the canonical ABI's flat signatures written out, on the
//! thread that asks and without a fiber. A header filter's call then costs a fraction of one through the component runtime (ADR 25).
//!
//! What may go this way is said by [`eligible`]: one that imports nothing that waits, and whose component does no more than pass its
//! module on. Everything else, and what computes for longer than a tick, takes the component runtime, where it lets others run.
//! Invariants: what a guest says is read as the component runtime reads it (bounds, alignment, UTF-8, discriminants); while a guest allocates for an
//! answer, and while it frees its own, it calls nothing of the host's.

use wasmtime::{AsContext, AsContextMut, Caller, Memory, Result, Trap, TypedFunc};

use super::guest::Guest;
use super::limits::HANDED_BYTES_MAX;
use crate::ambient::nonsense;

mod eligible;
mod exports;
mod imports;

pub(super) use eligible::eligible;
pub(super) use exports::{Found, Functions, Told};
pub(super) use imports::linker;

/// How a guest allocates: old address, old size, alignment, size; the address.
type Realloc = TypedFunc<(u32, u32, u32, u32), u32>;

/// The memory of an instance on the core path.
pub(super) struct Heap {
    memory: Memory,
    /// Away while it runs, and while what was answered is freed.
    realloc: Option<Realloc>,
}

/// Bytes that a guest may still hand over in one call.
struct Budget(usize);

impl Budget {
    fn whole() -> Self {
        Self(HANDED_BYTES_MAX)
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 =
            left.ok_or_else(|| nonsense(format!("it hands over more than {HANDED_BYTES_MAX} bytes in one call")))?;
        Ok(())
    }
}

fn outside(at: u32, length: usize) -> wasmtime::Error {
    nonsense(format!("{length} bytes at {at} are not in its memory"))
}

fn aligned(at: u32) -> Result<u32> {
    if at.is_multiple_of(4) { Ok(at) } else { Err(nonsense(format!("a pointer that is not aligned: {at}"))) }
}

/// Bytes of a guest's memory.
fn bytes_at(data: &[u8], at: u32, length: u32, budget: &mut Budget) -> Result<Vec<u8>> {
    let length = length as usize;
    budget.take(length)?;
    let bytes = data.get(at as usize..).and_then(|rest| rest.get(..length)).ok_or_else(|| outside(at, length))?;
    Ok(bytes.to_vec())
}

/// Text in a guest's memory.
fn text_at(data: &[u8], at: u32, length: u32, budget: &mut Budget) -> Result<String> {
    String::from_utf8(bytes_at(data, at, length, budget)?).map_err(|_| nonsense("text that is not UTF-8".into()))
}

/// `N` bytes of a structure at an aligned address.
fn structure<const N: usize>(data: &[u8], at: u32) -> Result<&[u8; N]> {
    let at = aligned(at)?;
    data.get(at as usize..).and_then(|rest| rest.first_chunk()).ok_or_else(|| outside(at, N))
}

/// A number in a structure.
fn word(structure: &[u8], at: usize) -> u32 {
    structure.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Whether an option is there.
fn is_some(discriminant: u32) -> Result<bool> {
    match discriminant {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(nonsense(format!("an option that is neither there nor not: {other}"))),
    }
}

impl Heap {
    pub(super) fn new(memory: Memory, realloc: Realloc) -> Self {
        Self { memory, realloc: Some(realloc) }
    }
}

fn heap(guest: &Guest) -> Result<&Heap> {
    let heap = guest.heap.as_ref().ok_or_else(|| nonsense("it calls the host while it is started".into()))?;
    match heap.realloc {
        Some(_) => Ok(heap),
        None => Err(Trap::CannotLeaveComponent.into()),
    }
}

/// What host functions see that read nothing in the guest's memory.
fn guest<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<&'a mut Guest> {
    heap(caller.data())?;
    Ok(caller.data_mut())
}

/// The guest's memory, and what host functions see.
fn parts<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<(&'a [u8], &'a mut Guest)> {
    let memory = heap(caller.data())?.memory;
    let (data, guest) = memory.data_and_store_mut(caller.as_context_mut());
    Ok((data, guest))
}

/// Runs what may not call the host: what allocates, and what is told that an answer was read.
fn alone<S: AsContextMut<Data = Guest>, R>(
    store: &mut S,
    run: impl FnOnce(&mut S, &Realloc) -> Result<R>,
) -> Result<R> {
    let held = store.as_context_mut().data_mut().heap.as_mut().and_then(|heap| heap.realloc.take());
    let realloc = held.ok_or(Trap::CannotLeaveComponent)?;
    let done = run(store, &realloc)?;
    if let Some(heap) = &mut store.as_context_mut().data_mut().heap {
        heap.realloc = Some(realloc);
    }
    Ok(done)
}

/// Room for so many bytes in the guest's memory, which is there.
fn allocate(store: &mut impl AsContextMut<Data = Guest>, align: u32, bytes: usize) -> Result<u32> {
    let size = u32::try_from(bytes).map_err(|_| nonsense("more than it has room for".into()))?;
    let memory = heap(store.as_context().data())?.memory;
    let at = alone(store, |store, realloc| realloc.call(store.as_context_mut(), (0, 0, align, size)))?;
    match at.is_multiple_of(align) {
        true if at as usize + bytes <= memory.data_size(store.as_context()) => Ok(at),
        true => Err(outside(at, bytes)),
        false => Err(nonsense(format!("it allocates at {at}, which is not aligned"))),
    }
}

/// Hands bytes over; where they are.
fn hand(store: &mut impl AsContextMut<Data = Guest>, bytes: &[u8]) -> Result<(u32, u32)> {
    let at = allocate(store, 1, bytes.len())?;
    write(store, at, bytes)?;
    Ok((at, bytes.len() as u32))
}

/// Whether there is a place of so many bytes at an aligned address.
fn room(store: &mut impl AsContextMut<Data = Guest>, at: u32, bytes: usize) -> Result<()> {
    let at = aligned(at)?;
    let memory = store.as_context().data().heap.as_ref().map(|heap| heap.memory);
    let end = memory.map_or(0, |memory| memory.data_size(store.as_context()));
    if at as usize + bytes <= end { Ok(()) } else { Err(outside(at, bytes)) }
}

/// Writes into the guest's memory.
fn write(store: &mut impl AsContextMut<Data = Guest>, at: u32, bytes: &[u8]) -> Result<()> {
    let memory = store.as_context().data().heap.as_ref().map(|heap| heap.memory);
    let place = memory.and_then(|memory| memory.data_mut(store.as_context_mut()).get_mut(at as usize..));
    let place = place.and_then(|rest| rest.get_mut(..bytes.len())).ok_or_else(|| outside(at, bytes.len()))?;
    place.copy_from_slice(bytes);
    Ok(())
}

/// Writes numbers one behind the other at an aligned address.
fn write_words<const N: usize>(store: &mut impl AsContextMut<Data = Guest>, at: u32, words: [u32; N]) -> Result<()> {
    room(store, at, 4 * N)?;
    words.into_iter().zip((at..).step_by(4)).try_for_each(|(word, at)| write(store, at, &word.to_le_bytes()))
}
