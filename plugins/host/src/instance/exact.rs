//! `cache-exact`: events in, handles out.

use wasmtime::{Store, TypedFunc};

use super::{Exports, Guest, Instance, u32_of};
use crate::limits::{EVENTS_MAX, FUEL_STEP, GONE_MAX};
use crate::types::{Event, Fault};

/// Bytes of an `event` record.
const EVENT_BYTES: usize = 48;

/// The interface's functions.
pub(super) struct Functions {
    start: TypedFunc<(i64,), ()>,
    step: TypedFunc<(i32, i32, i64), i32>,
}

impl Functions {
    /// # Errors
    /// What is missing, or not as the contract has it.
    pub(super) fn of(exports: &Exports<'_>, store: &mut Store<Guest>) -> Result<Self, String> {
        Ok(Self {
            start: exports.function(store, "cache-exact", "start")?,
            step: exports.function(store, "cache-exact", "step")?,
        })
    }
}

impl Instance {
    /// `cache-exact.start`
    pub(crate) fn start(&mut self, bytes: u64) -> Result<(), Fault> {
        self.refuel(FUEL_STEP);
        let start = &self.exact.as_ref().ok_or(Fault::Init)?.start;
        let called = start.call(&mut self.store, (bytes as i64,));
        called.map_err(|error| self.broken(&error))?;
        self.told(|posts| &posts.start)
    }

    /// `cache-exact.step`; `go` gets what it names.
    pub(crate) fn step(&mut self, events: &[Event], need: u64, go: &mut Vec<u32>) -> Result<(), Fault> {
        if events.len() > EVENTS_MAX {
            return Err(Fault::Nonsense);
        }
        self.refuel(FUEL_STEP);
        let (pointer, room) = self.room(events.len() * EVENT_BYTES, 8)?;
        let (rooms, _) = room.as_chunks_mut();
        events.iter().zip(rooms).for_each(|(event, room)| write_event(event, room));
        let step = &self.exact.as_ref().ok_or(Fault::Init)?.step;
        let called = step.call(&mut self.store, (pointer, events.len() as i32, need as i64));
        let area = called.map_err(|error| self.broken(&error))?;
        let list = self.read::<8>(area)?;
        let named = u32_of(&list, 4);
        if named as usize > GONE_MAX {
            return Err(Fault::Nonsense);
        }
        let handles = self.slice(u32_of(&list, 0), 4 * named)?;
        go.extend(handles.chunks_exact(4).map(|handle| u32_of(handle, 0)));
        self.free(|posts| &posts.step, area)
    }
}

/// An `event` record as the canonical ABI lays it out.
fn write_event(event: &Event, room: &mut [u8; EVENT_BYTES]) {
    let Event { what, handle, key, bytes, now_ms, fetch_us, title } = event;
    let (title, rung, segment, in_title) =
        title.map_or((0, 0, 0, 0), |(title, rung, segment)| (title, rung, segment, 1));
    room[..8].copy_from_slice(&key.to_le_bytes());
    room[8..16].copy_from_slice(&bytes.to_le_bytes());
    room[16..24].copy_from_slice(&now_ms.to_le_bytes());
    room[24..28].copy_from_slice(&handle.to_le_bytes());
    room[28..32].copy_from_slice(&fetch_us.to_le_bytes());
    room[32..36].copy_from_slice(&title.to_le_bytes());
    room[36..40].copy_from_slice(&segment.to_le_bytes());
    room[40..42].copy_from_slice(&rung.to_le_bytes());
    room[42] = *what as u8;
    room[43] = in_title;
    room[44..].fill(0);
}
