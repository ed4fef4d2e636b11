//! GreedyDual-Size-Frequency (Cherkasova 1998): the lowest `L + uses / bytes` goes, and `L` becomes what it had, so that what is
//! not asked for again is passed by what comes later.

use crate::{Exact, HANDLES_MAX, Object};

/// What a use of an object of one byte is worth; the figure of the reference, without effect on the order.
const WORTH: f64 = 1e6;
/// Not in the heap.
const OUT: u32 = u32::MAX;

/// The policy.
#[derive(Debug, Clone, Default)]
pub struct Gdsf {
    rows: Vec<Row>,
    /// Handles, the lowest worth first.
    heap: Vec<u32>,
    /// The worth of what went last.
    floor: f64,
    /// Counts uses and arrivals: of equals the one touched longest ago goes.
    turn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    worth: f64,
    turn: u64,
    bytes: u64,
    uses: u32,
    place: u32,
}

impl Gdsf {
    fn row(&self, handle: u32) -> Option<&Row> {
        self.rows.get(handle as usize).filter(|row| row.place != OUT)
    }

    fn is_before(&self, one: u32, other: u32) -> bool {
        let (one, other) = (&self.rows[one as usize], &self.rows[other as usize]);
        one.worth.total_cmp(&other.worth).then(one.turn.cmp(&other.turn)).is_lt()
    }

    fn put(&mut self, place: usize, handle: u32) {
        self.heap[place] = handle;
        self.rows[handle as usize].place = place as u32;
    }

    /// Moves the one at `place` to where it belongs.
    fn settle(&mut self, mut place: usize) {
        let handle = self.heap[place];
        while place > 0 && self.is_before(handle, self.heap[(place - 1) / 4]) {
            self.put(place, self.heap[(place - 1) / 4]);
            place = (place - 1) / 4;
        }
        loop {
            let children = 4 * place + 1..(4 * place + 5).min(self.heap.len());
            let least = children.reduce(|one, other| match self.is_before(self.heap[other], self.heap[one]) {
                true => other,
                false => one,
            });
            let Some(least) = least.filter(|least| self.is_before(self.heap[*least], handle)) else { break };
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, handle);
    }

    fn take(&mut self, handle: u32) {
        let Some(place) = self.row(handle).map(|row| row.place as usize) else { return };
        self.heap.swap_remove(place);
        self.rows[handle as usize].place = OUT;
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    fn touch(&mut self, handle: u32) {
        self.turn += 1;
        let (turn, floor) = (self.turn, self.floor);
        let row = &mut self.rows[handle as usize];
        row.uses = row.uses.saturating_add(1);
        row.turn = turn;
        row.worth = floor + f64::from(row.uses) * WORTH / row.bytes.max(1) as f64;
        let place = row.place as usize;
        self.settle(place);
    }
}

impl Exact for Gdsf {
    fn used(&mut self, handle: u32, _now_ms: u64, _go: &mut Vec<u32>) {
        if self.row(handle).is_some() {
            self.touch(handle);
        }
    }

    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.gone(object.handle);
        if object.handle >= HANDLES_MAX {
            return;
        }
        if self.rows.len() <= object.handle as usize {
            let empty = Row { worth: 0.0, turn: 0, bytes: 0, uses: 0, place: OUT };
            self.rows.resize(object.handle as usize + 1, empty);
        }
        let place = self.heap.len() as u32;
        self.rows[object.handle as usize] = Row { worth: 0.0, turn: 0, bytes: object.bytes, uses: 0, place };
        self.heap.push(object.handle);
        self.touch(object.handle);
        // It competes with what is there, and may be the first to go.
        self.evict(need, now_ms, go);
    }

    fn evict(&mut self, need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        let mut freed = 0;
        while freed < need {
            let Some(handle) = self.heap.first().copied() else { return };
            let row = self.rows[handle as usize];
            (self.floor, freed) = (row.worth, freed + row.bytes);
            self.take(handle);
            go.push(handle);
        }
    }

    fn gone(&mut self, handle: u32) {
        self.take(handle);
    }
}
