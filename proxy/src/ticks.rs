//! Ticks of plugins: each is called when it is due, on a thread that answers nobody.
//!
//! What a tick is, and what becomes of one that fails, is the host's ([`littoral_plugin_host::tick`]). Invariants: of a plugin there is never more than one
//! tick at a time; another generation ends a tick under way, and ticks at once; a process that stops has none.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};

use littoral_plugin_host::service::Wire;
use littoral_plugin_host::tick::limits::TICK_TIME_MAX;
use littoral_plugin_host::tick::{Ticked, Ticks as Plugin, TicksStatus, backoff};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::observe::metrics::Sample;
use crate::services::wire::Peer;

/// The plugins of a node that may tick, and who follows them.
#[derive(Default)]
pub(crate) struct Ticks(Mutex<State>);

#[derive(Default)]
struct State {
    plugins: Vec<Arc<dyn Plugin>>,
    followed: Vec<(Arc<dyn Plugin>, AbortHandle)>,
    begun: Option<Begun>,
    thread: Option<Handle>,
}

#[derive(Clone)]
struct Begun {
    node: Weak<Node>,
    /// Turns true when the node stops.
    stopped: watch::Receiver<bool>,
}

impl Ticks {
    /// From now on plugins tick, until `stopped` turns true.
    pub(crate) fn begin(&self, node: &Arc<Node>, stopped: &watch::Receiver<bool>) {
        let mut state = self.0.lock();
        state.begun = Some(Begun { node: Arc::downgrade(node), stopped: stopped.clone() });
        state.settle();
    }

    /// From now on these are there.
    pub(crate) fn adopt(&self, plugins: Vec<Arc<dyn Plugin>>) {
        let mut state = self.0.lock();
        state.plugins = plugins;
        state.settle();
    }
}

/// Whether both are one plugin.
fn same(one: &Arc<dyn Plugin>, other: &Arc<dyn Plugin>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

impl State {
    /// Has all followed that are there, and nobody else.
    fn settle(&mut self) {
        let Some(begun) = self.begun.clone() else { return };
        let Self { plugins, followed, .. } = self;
        followed.retain(|(plugin, work)| {
            let stays = plugins.iter().any(|left| same(left, plugin));
            if !stays {
                work.abort();
            }
            stays
        });
        let new = plugins.iter().filter(|plugin| !followed.iter().any(|(known, _)| same(known, plugin)));
        let new: Vec<_> = new.cloned().collect();
        if new.is_empty() {
            return;
        }
        if self.thread.is_none() {
            match thread(begun.stopped.clone()) {
                Ok(handle) => self.thread = Some(handle),
                Err(error) => return tracing::error!(%error, "no thread for ticks: plugins do not tick"),
            }
        }
        let Some(thread) = &self.thread else { return };
        for plugin in new {
            let begun = begun.clone();
            let work = thread.spawn(follow(plugin.clone(), move || begun.wire())).abort_handle();
            self.followed.push((plugin, work));
        }
    }
}

impl Begun {
    /// What a tick dials by.
    fn wire(&self) -> Box<dyn Wire> {
        Peer::none_of(&self.node, &self.stopped)
    }
}

/// Starts the thread that plugins tick on, which ends when the node stops, and with it what is under way.
fn thread(mut stopped: watch::Receiver<bool>) -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let body = move || {
        runtime.block_on(async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
    };
    std::thread::Builder::new().name("ticks".into()).spawn(body).map(|_| handle)
}

/// Has a plugin tick, whatever generation of it runs.
async fn follow(plugin: Arc<dyn Plugin>, wire: impl Fn() -> Box<dyn Wire>) {
    loop {
        let number = plugin.generation();
        tokio::select! {
            biased;
            () = plugin.turned(number) => {}
            never = tick_on(&*plugin, &wire) => match never {},
        }
    }
}

/// Has one generation tick.
async fn tick_on(plugin: &dyn Plugin, wire: &impl Fn() -> Box<dyn Wire>) -> Infallible {
    let mut failures = 0;
    loop {
        let ticked = timeout(TICK_TIME_MAX, plugin.tick(wire())).await.unwrap_or_else(|_| {
            plugin.overdue();
            Ticked::Failed
        });
        failures = if ticked == Ticked::Failed { failures + 1 } else { 0 };
        let wait = match ticked {
            Ticked::Again(wait) | Ticked::Quarantined(wait) => Some(wait),
            Ticked::Failed => Some(backoff(failures)),
            Ticked::Never => None,
        };
        plugin.waits(wait);
        match wait {
            Some(wait) => sleep(wait).await,
            None => pending().await,
        }
    }
}

/// Samples of one family, where the plugin ticks.
pub(crate) fn samples(label: &(&'static str, String), told: Option<&TicksStatus>) -> Vec<Sample> {
    let Some(told) = told else { return Vec::new() };
    let of = |(outcome, count): (&&'static str, &u64)| {
        (*count as f64, vec![label.clone(), ("outcome", (*outcome).to_owned())])
    };
    told.outcomes.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use littoral_plugin_host::service::Nowhere;
    use littoral_plugin_host::tick::Ticking;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A plugin whose ticks take so long and end so.
    struct Script {
        ticks: Mutex<VecDeque<(Duration, Ticked)>>,
        generation: watch::Sender<u64>,
        begun: Instant,
        /// When each tick began, and how many were under way then.
        seen: Mutex<Vec<(u64, u64)>>,
        under_way: AtomicU64,
        overdue: AtomicU64,
        waits: Mutex<Vec<Option<u64>>>,
        at_end: Notify,
    }

    /// Counts what is under way.
    struct UnderWay<'a>(&'a AtomicU64);

    impl Drop for UnderWay<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }

    impl Plugin for Script {
        fn generation(&self) -> u64 {
            *self.generation.borrow()
        }
        fn turned(&self, number: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            let mut generation = self.generation.subscribe();
            Box::pin(async move {
                let _ = generation.wait_for(|now| *now != number).await;
            })
        }
        fn tick(&self, _wire: Box<dyn Wire>) -> Ticking<'_> {
            Box::pin(async {
                let others = self.under_way.fetch_add(1, Relaxed);
                let _under_way = UnderWay(&self.under_way);
                self.seen.lock().push((self.begun.elapsed().as_millis() as u64, others));
                let Some((takes, ticked)) = self.ticks.lock().pop_front() else {
                    self.at_end.notify_one();
                    return Ticked::Never;
                };
                if !takes.is_zero() {
                    sleep(takes).await;
                }
                ticked
            })
        }
        fn overdue(&self) {
            self.overdue.fetch_add(1, Relaxed);
        }
        fn waits(&self, until: Option<Duration>) {
            self.waits.lock().push(until.map(|until| until.as_millis() as u64));
        }
    }

    fn script(ticks: &[(Duration, Ticked)]) -> Arc<Script> {
        Arc::new(Script {
            ticks: Mutex::new(ticks.iter().copied().collect()),
            generation: watch::Sender::new(1),
            begun: Instant::now(),
            seen: Mutex::default(),
            under_way: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
            waits: Mutex::default(),
            at_end: Notify::new(),
        })
    }

    fn followed(script: &Arc<Script>) -> AbortHandle {
        tokio::spawn(follow(script.clone(), || Box::new(Nowhere))).abort_handle()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_comes_when_the_one_before_said_and_after_failures_ever_later() {
        let again = |ms| Ticked::Again(MS(ms));
        let script = script(&[
            (MS(10), again(500)),
            (MS(0), Ticked::Failed),
            (MS(0), Ticked::Failed),
            (MS(0), Ticked::Failed),
            (MS(0), again(100)),
            (MS(0), Ticked::Failed),
            (MS(0), Ticked::Quarantined(MS(300))),
            (MS(0), Ticked::Failed),
        ]);
        let work = followed(&script);
        script.at_end.notified().await;
        work.abort();
        let began: Vec<u64> = script.seen.lock().iter().map(|(at, _)| *at).collect();
        assert_eq!(began, [0, 510, 1_510, 3_510, 7_510, 7_610, 8_610, 8_910, 9_910]);
        assert_eq!(script.waits.lock()[..4], [Some(500), Some(1_000), Some(2_000), Some(4_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_that_does_not_end_is_ended_and_a_fault() {
        let script = script(&[(TICK_TIME_MAX * 10, Ticked::Never)]);
        let work = followed(&script);
        script.at_end.notified().await;
        work.abort();
        let seen = script.seen.lock().clone();
        assert_eq!(seen, [(0, 0), ((TICK_TIME_MAX + backoff(1)).as_millis() as u64, 0)]);
        assert_eq!(script.overdue.load(Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_generation_ends_the_tick_under_way_and_ticks_at_once_and_there_are_never_two() {
        let hour = MS(3_600_000);
        let script = script(&[(MS(20_000), Ticked::Again(hour)), (MS(5), Ticked::Again(hour)), (MS(5), Ticked::Never)]);
        let work = followed(&script);
        sleep(MS(1_000)).await;
        script.generation.send_replace(2);
        sleep(MS(1_000)).await;
        script.generation.send_replace(3);
        sleep(MS(1_000)).await;
        // It ticks no more, until another one runs.
        sleep(hour * 48).await;
        assert_eq!(*script.seen.lock(), [(0, 0), (1_000, 0), (2_000, 0)]);
        script.generation.send_replace(4);
        script.at_end.notified().await;
        assert_eq!(script.seen.lock().len(), 4);
        assert_eq!(script.waits.lock()[..2], [Some(3_600_000), None], "the first one was ended");
        work.abort();
    }
}
