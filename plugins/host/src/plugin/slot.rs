//! What a thread has of a plugin: its instances of what runs and of what is tried beside it.
//!
//! Invariant: one that is ready is of the generation that the thread knows of, and was told all that was pushed when it looked.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::{Generation, Running};
use crate::instance::Instance;
use crate::record::Lane;
use crate::rollout::{Side, Tallies};

/// Of one plugin.
pub(super) struct Slot {
    /// Gone when the plugin is.
    plugin: Weak<()>,
    /// The plugin's when the thread last looked.
    pub(super) epoch: u64,
    pub(super) running: Option<Arc<Running>>,
    seats: [Seat; 2],
    /// Where decisions go, if they are recorded.
    pub(super) lane: Option<Arc<Lane>>,
    /// The generation that was called last.
    pub(super) called: u64,
}

/// An instance, and what it knows.
#[derive(Default)]
pub(super) struct Seat {
    /// The slot's when it was last told.
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) instance: Option<Instance>,
    /// Number of the last push that it was told.
    pub(super) told: u64,
    /// The operator's bound on fuel.
    pub(super) fuel: Option<u64>,
    pub(super) calls: u64,
}

impl Slot {
    /// Who is asked about `who`.
    pub(super) fn side_of(&self, who: impl FnOnce() -> u64) -> Side {
        let trial = self.running.as_ref().and_then(|running| running.trial.as_ref());
        trial.map_or(Side::Present, |trial| trial.side_of(who()))
    }

    /// The generation of a side.
    pub(super) fn generation(&self, side: Side) -> Option<&Arc<Generation>> {
        let running = self.running.as_ref()?;
        match side {
            Side::Present => Some(&running.present),
            Side::Candidate => running.trial.as_ref().map(|trial| &trial.candidate),
        }
    }

    /// The instance of a side, and where its calls are counted while there are two.
    pub(super) fn asked(&mut self, side: Side) -> (&mut Seat, Option<&Tallies>) {
        let trial = self.running.as_ref().and_then(|running| running.trial.as_ref());
        (&mut self.seats[side as usize], trial.map(|trial| &*trial.tallies))
    }

    /// Whether its instance can be called.
    pub(super) fn is_ready(&self, side: Side) -> bool {
        let seat = &self.seats[side as usize];
        seat.epoch == self.epoch && seat.instance.is_some()
    }

    /// Keeps nothing of a candidate that is none any more; one that has taken over is what runs.
    pub(super) fn put(&mut self, running: Arc<Running>) {
        let [present, candidate] = &mut self.seats;
        if candidate.instance.is_some() && candidate.generation == running.present.number {
            std::mem::swap(present, candidate);
        }
        if running.trial.as_ref().is_none_or(|trial| trial.candidate.number != candidate.generation) {
            *candidate = Seat::default();
        }
        self.running = Some(running);
    }
}

thread_local!(pub(super) static SLOTS: RefCell<Vec<Option<Box<Slot>>>> = const { RefCell::new(Vec::new()) });

/// This thread's slot of the plugin with this id. Meeting a new plugin is when those that were taken out are forgotten.
pub(super) fn slot_of<'a>(slots: &'a mut Vec<Option<Box<Slot>>>, id: usize, alive: &Arc<()>) -> &'a mut Slot {
    if slots.len() <= id {
        slots.iter_mut().for_each(|slot| drop(slot.take_if(|slot| slot.plugin.strong_count() == 0)));
        slots.resize_with(id + 1, || None);
    }
    slots[id].get_or_insert_with(|| {
        let plugin = Arc::downgrade(alive);
        Box::new(Slot { plugin, epoch: 0, running: None, seats: Default::default(), lane: None, called: 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_forgets_plugins_that_were_taken_out_when_it_meets_a_new_one() {
        let (mut slots, taken_out, stays) = (Vec::new(), Arc::new(()), Arc::new(()));
        slot_of(&mut slots, 0, &taken_out).called = 1;
        slot_of(&mut slots, 1, &stays).called = 2;
        drop(taken_out);
        assert_eq!(slot_of(&mut slots, 1, &stays).called, 2);
        slot_of(&mut slots, 2, &Arc::default());
        assert_eq!(slots.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    }
}
