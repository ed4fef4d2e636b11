//! Instances that a thread keeps for the next request.
//!
//! Invariant: only those of generations that are asked are kept, so many of each at most.

use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use super::{CALLS_MAX, Filter, Generation};
use crate::filter::instance::Instance;
use crate::filter::limits::IDLE_MAX;

/// Those of one filter. In boxes, as they are handed about between calls.
#[allow(clippy::vec_box, reason = "an instance is large, and comes and goes in its box")]
struct Idle {
    filter: Weak<()>,
    instances: Vec<Box<Instance>>,
}

thread_local!(static IDLE: RefCell<Vec<Option<Idle>>> = const { RefCell::new(Vec::new()) });

impl Filter {
    /// One of a generation, if this thread has one that goes by what calls of it go by.
    pub(super) fn idle(&self, generation: &Generation) -> Option<Box<Instance>> {
        let number = generation.number;
        let is_slow = generation.code.core.as_ref().is_some_and(|core| core.slow.load(Relaxed));
        IDLE.with_borrow_mut(|idle| {
            let instances = idle_of(idle, self.id, &self.alive);
            let is_outrun = |instance: &Instance| is_slow && instance.generation == number && instance.is_core();
            // Nearly always it is alone, and then there is nothing to look through.
            if let [only] = &**instances
                && only.generation == number
                && !is_outrun(only)
            {
                return instances.pop();
            }
            let running = self.generations.running();
            instances.retain(|instance| running.has(instance.generation) && !is_outrun(instance));
            let at = instances.iter().rposition(|instance| instance.generation == number)?;
            Some(instances.swap_remove(at))
        })
    }

    /// Keeps one for the next call, if there is room.
    pub(in crate::filter) fn give_back(&self, instance: Box<Instance>) {
        if !instance.manifest.reuse || instance.calls >= CALLS_MAX || instance.is_spent {
            return;
        }
        IDLE.with_borrow_mut(|idle| {
            let instances = idle_of(idle, self.id, &self.alive);
            let alike = instances.iter().filter(|other| other.generation == instance.generation).count();
            if alike < IDLE_MAX && instances.len() < 2 * IDLE_MAX {
                instances.push(instance);
            }
        });
    }
}

/// This thread's instances of the filter with this id. Meeting a new filter is when those that were taken out are forgotten.
#[allow(clippy::vec_box, reason = "as for `Idle`")]
fn idle_of<'a>(idle: &'a mut Vec<Option<Idle>>, id: usize, alive: &Arc<()>) -> &'a mut Vec<Box<Instance>> {
    if idle.len() <= id {
        idle.iter_mut().for_each(|of| drop(of.take_if(|of| of.filter.strong_count() == 0)));
        idle.resize_with(id + 1, || None);
    }
    &mut idle[id].get_or_insert_with(|| Idle { filter: Arc::downgrade(alive), instances: Vec::new() }).instances
}
