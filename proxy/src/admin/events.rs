//! `GET /v1/events`: what the node is and does, once a second, as server-sent events (HTML Standard, section 9.2).
//!
//! One task makes the events, while there is anybody to hear them, and everybody gets the same bytes. It leaves what is told to the
//! reports. Invariants: at most [`STREAMS_MAX`] streams; who reads slowly misses events and holds up nobody; an event has at most
//! [`EVENT_BYTES_MAX`] bytes; streams end when the node stops or is replaced.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::report;
use crate::node::Node;

/// Streams open at a time.
pub(super) const STREAMS_MAX: usize = 16;
/// Bytes of one event; a larger one is left out, and its reader asks for the list itself.
const EVENT_BYTES_MAX: usize = 256 << 10;
/// How often events are made.
const EVERY: Duration = Duration::from_secs(1);
/// What begins a stream: who loses it comes back after so many milliseconds.
const HELLO: &[u8] = b"retry: 2000\n\n";

/// Those who watch a node.
#[derive(Debug)]
pub struct Watched {
    /// Streams open.
    pub open: AtomicUsize,
    /// Streams asked for: taken, refused.
    pub streams: [AtomicU64; 2],
    /// Events that were too large.
    pub left_out: AtomicU64,
    told: watch::Sender<Told>,
    /// Whether the task runs that makes them; it ends with the last stream.
    is_telling: Mutex<bool>,
}

/// The latest events.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// None was made yet.
    Nothing,
    Events(Bytes),
    /// The node stops, or another process has taken over.
    End,
}

impl Default for Watched {
    fn default() -> Self {
        let told = watch::Sender::new(Told::Nothing);
        Self {
            open: AtomicUsize::new(0),
            streams: Default::default(),
            left_out: AtomicU64::new(0),
            told,
            is_telling: Mutex::new(false),
        }
    }
}

impl Watched {
    /// Ends every stream, for good.
    pub(crate) fn end(&self) {
        self.told.send_replace(Told::End);
    }

    /// Tells events, unless all streams have ended.
    fn tell(&self, events: Bytes) {
        self.told.send_if_modified(|told| {
            let goes_on = *told != Told::End;
            if goes_on {
                *told = Told::Events(events);
            }
            goes_on
        });
    }

    /// Whether there is anybody to tell; if not, the task that asks is over.
    fn goes_on(&self) -> bool {
        let mut is_telling = self.is_telling.lock();
        let goes_on = self.told.receiver_count() > 0 && *self.told.borrow() != Told::End;
        if !goes_on {
            *is_telling = false;
            self.forget();
        }
        goes_on
    }

    /// Nobody listens: who comes next shall not hear of then.
    fn forget(&self) {
        self.told.send_if_modified(|told| {
            if *told != Told::End {
                *told = Told::Nothing;
            }
            false
        });
    }

    /// An event as it goes over the wire; nothing when it is too large. JSON of serde has no line ends.
    fn event(&self, name: &str, data: &Value) -> String {
        let event = format!("event: {name}\ndata: {data}\n\n");
        if event.len() > EVENT_BYTES_MAX {
            self.left_out.fetch_add(1, Relaxed);
            return String::new();
        }
        event
    }
}

/// A place among [`STREAMS_MAX`]; dropped, it is free.
struct Seat(Arc<Node>);

impl Seat {
    fn take(node: &Arc<Node>) -> Option<Self> {
        let watched = &node.watched;
        let is_over = *watched.told.borrow() == Told::End;
        let room = |open: usize| (open < STREAMS_MAX && !is_over).then_some(open + 1);
        let taken = watched.open.fetch_update(Relaxed, Relaxed, room).is_ok();
        watched.streams[usize::from(!taken)].fetch_add(1, Relaxed);
        taken.then(|| Self(node.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.watched.open.fetch_sub(1, Relaxed);
    }
}

/// A stream of events; `None`: there is no room, or the node stops. Within a runtime.
pub(super) fn stream(node: &Arc<Node>, started: SystemTime) -> Option<Response> {
    let seat = Seat::take(node)?;
    // What was told last is not missed: it is a whole picture.
    let mut told = node.watched.told.subscribe();
    told.mark_changed();
    let mut is_telling = node.watched.is_telling.lock();
    if !*is_telling {
        *is_telling = true;
        tokio::spawn(tell(node.clone(), started));
    }
    drop(is_telling);
    let hello = stream::iter([Ok::<_, Infallible>(Bytes::from_static(HELLO))]);
    let events = stream::unfold((seat, told), |(seat, mut told)| async {
        loop {
            told.changed().await.ok()?;
            let latest = told.borrow_and_update().clone();
            match latest {
                Told::Nothing => {}
                Told::Events(events) => return Some((Ok(events), (seat, told))),
                Told::End => return None,
            }
        }
    });
    let fields = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Some((fields, Body::from_stream(stream::StreamExt::chain(hello, events))).into_response())
}

/// Makes events until nobody listens any more.
async fn tell(node: Arc<Node>, started: SystemTime) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = node.upgrade.done() => node.watched.end(),
        }
        if !node.watched.goes_on() {
            return;
        }
        node.watched.tell(events(&node, started));
    }
}

fn events(node: &Node, started: SystemTime) -> Bytes {
    let event = |name: &str, data: &Value| node.watched.event(name, data);
    let mut text = event("stats", &report::stats(node, started));
    text += &event("plugins", &node.plugins.status());
    text += &event("clusters", &report::clusters(node));
    if let Some(jobs) = &node.warm {
        text += &event("warm", &jobs.list());
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_two_lines_whatever_is_in_it() {
        let event =
            Watched::default().event("stats", &serde_json::json!({ "name": "a\n\nevent: evil\ndata: b\r\u{2028}" }));
        assert_eq!(event.matches('\n').count(), 3, "{event}");
        assert!(event.starts_with("event: stats\ndata: {") && event.ends_with("\n\n"), "{event}");
    }

    #[test]
    fn an_event_that_is_too_large_is_left_out_and_counted() {
        let watched = Watched::default();
        assert_eq!(watched.event("warm", &"x".repeat(EVENT_BYTES_MAX).into()), "");
        assert_eq!(watched.left_out.load(Relaxed), 1);
    }

    #[test]
    fn nothing_is_told_after_the_end() {
        let watched = Watched::default();
        watched.end();
        watched.tell(Bytes::from_static(b"late"));
        assert_eq!(*watched.told.borrow(), Told::End);
    }
}
