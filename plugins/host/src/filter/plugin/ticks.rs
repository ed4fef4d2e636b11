//! What a filter does outside of requests.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Filter, Generation, start};
use crate::filter::fault::{Failure, Fault};
use crate::filter::status::FilterStatus;
use crate::service::Wire;
use crate::tick::{Ticked, Ticking, Ticks, ticked};

impl Filter {
    async fn ticked(&self, wire: Box<dyn Wire>) -> Ticked {
        let generation = self.generations.current();
        if !generation.code.ticks {
            return Ticked::Never;
        }
        if let Some(left) = self.generations.quarantined_for() {
            return Ticked::Quarantined(left);
        }
        let _under_way = self.shared.ticks.begins((self.shared.now_ms)());
        let said = async {
            let mut instance = start(&generation, &self.shared, true).await?;
            let said = instance.tick(wire).await;
            self.figures.has_memory(instance.memory_bytes());
            said
        };
        match said.await {
            Ok(after_ms) => {
                self.shared.ticks.done();
                ticked(after_ms)
            }
            Err(failure) => self.tick_failed(&failure, generation.number),
        }
    }

    /// Counts a fault of a tick of generation `number`. No request has failed, so that it has consequences only where the generation is new.
    fn tick_failed(&self, failure: &Failure, number: u64) -> Ticked {
        let fault = failure.fault;
        self.shared.ticks.failed(fault);
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), %fault, why = %failure.text, "a tick failed");
        }
        if fault.is_its_own() {
            *self.figures.last_fault.lock() = failure.last("at tick: ");
            if self.generations.is_on_trial() {
                self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
            }
        }
        Ticked::Failed
    }

    /// Adds what is known of its ticks.
    pub(super) fn tell_ticks(&self, generation: &Generation, status: &mut FilterStatus) {
        for (kind, count) in self.shared.ticks.faults() {
            *status.faults.entry(kind).or_default() += count;
        }
        status.ticks = generation.code.ticks.then(|| self.shared.ticks.status());
    }
}

impl Ticks for Filter {
    fn generation(&self) -> u64 {
        self.generations.current().number
    }

    fn turned(&self, number: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.shared.ticks.turned(move || self.generations.current().number != number)
    }

    fn tick(&self, wire: Box<dyn Wire>) -> Ticking<'_> {
        Box::pin(self.ticked(wire))
    }

    fn overdue(&self) {
        self.tick_failed(&Fault::Deadline.into(), Ticks::generation(self));
    }

    fn waits(&self, until: Option<Duration>) {
        self.shared.ticks.due(until.map_or(0, |until| (self.shared.now_ms)() + until.as_millis() as u64));
    }
}
