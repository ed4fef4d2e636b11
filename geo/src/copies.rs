//! Zones of other servers, and other servers of our zones: looks after the copies of the former (RFC 1034 §4.3.5), tells the latter of
//! changes (RFC 1996).
//!
//! [`fetch`] asks a primary ([`exchange`] is one question, [`incoming`] reads what is answered), [`notify`] tells a secondary. Invariant: a copy that is older than its SOA record allows is not
//! served, and one that cannot be renewed is served until then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hickory_proto::rr::LowerName;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::counters::Counters;
use crate::director::{Director, GeoError};
use crate::limits::FETCHES_MAX;
use crate::zone::{Silent, Zone};
use fetch::Fetched;

mod exchange;
mod fetch;
mod incoming;
mod notify;

/// How long nothing may happen.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is known of a copy.
struct State {
    /// When its primary is asked next.
    due: Instant,
    /// When it was last what the primary has.
    confirmed: Instant,
    busy: bool,
    /// Its primary has said, while it was asked, that there is something new: perhaps after it had answered.
    again: bool,
    /// The changes did not lead anywhere: the whole zone is asked for.
    whole: bool,
}

/// Looks after all zones of a director, for ever.
pub async fn keep(director: Arc<Director>) {
    let (mut states, mut told) = (HashMap::new(), HashMap::new());
    let (mut fetching, mut telling) = (JoinSet::new(), JoinSet::new());
    loop {
        let zones: Vec<Zone> = director.snapshot().zones.all().cloned().collect();
        let asked = director.to_fetch();
        let mut next = Instant::now() + LOOK_EVERY;
        states.retain(|name, _| zones.iter().any(|zone| zone.name() == name));
        for zone in &zones {
            tell(zone, &mut told, &mut telling);
            if zone.relations().primary.is_some() {
                let state = states.entry(zone.name().clone()).or_insert_with(|| State::of(zone));
                if asked.contains(zone.name()) {
                    (state.due, state.again) = (Instant::now(), state.busy);
                }
                expire(&director, zone, state);
                start(&director, zone, state, &mut fetching);
                let until = if state.busy { state.confirmed + zone.times().expire } else { state.due };
                next = next.min(until.max(Instant::now() + Duration::from_millis(100)));
            }
        }
        tokio::select! {
            () = director.stirred() => {}
            () = sleep_until(next) => {}
            Some(ended) = fetching.join_next() => {
                if let Ok((name, outcome)) = ended {
                    ended_with(&director, &name, outcome, &mut states);
                }
            }
            Some(_) = telling.join_next() => {}
        }
    }
}

impl State {
    fn of(zone: &Zone) -> Self {
        let now = Instant::now();
        let file = zone.relations().primary.as_ref().and_then(|primary| std::fs::metadata(&primary.file).ok());
        let age = file.and_then(|file| file.modified().ok()).and_then(|time| time.elapsed().ok()).unwrap_or_default();
        Self { due: now, confirmed: now.checked_sub(age).unwrap_or(now), busy: false, again: false, whole: false }
    }
}

/// Tells the secondaries of a zone when it is another than they were told of.
fn tell(zone: &Zone, told: &mut HashMap<LowerName, u32>, telling: &mut JoinSet<()>) {
    if zone.relations().notify.is_empty() || zone.is_silent() {
        return;
    }
    let known = match told.entry(zone.name().clone()) {
        Entry::Occupied(mut known) => known.insert(zone.serial()),
        Entry::Vacant(place) => {
            place.insert(zone.serial());
            zone.serial().wrapping_sub(1)
        }
    };
    if known != zone.serial() {
        for address in &zone.relations().notify {
            telling.spawn(notify::tell(zone.clone(), *address));
        }
    }
}

fn expire(director: &Director, zone: &Zone, state: &State) {
    if !zone.is_silent() && state.confirmed.elapsed() > zone.times().expire {
        let silenced = |zone: &Zone| Ok(Some(zone.silenced(Some(Silent::Expired))));
        let changed = director.change_zone::<GeoError>(zone.name(), silenced, |_, _| Ok(()));
        tracing::error!(zone = %zone.name(), ?changed, "its primary was not heard of for too long: not served any more");
    }
}

/// What a primary was asked for came to an end.
type Ended = (LowerName, Result<Fetched, String>);

fn start(director: &Arc<Director>, zone: &Zone, state: &mut State, fetching: &mut JoinSet<Ended>) {
    if state.busy || state.due > Instant::now() || fetching.len() >= FETCHES_MAX {
        return;
    }
    state.busy = true;
    let (director, zone, whole) = (director.clone(), zone.clone(), state.whole);
    fetching.spawn(async move { (zone.name().clone(), fetch::fetch(&director, &zone, whole).await) });
}

fn ended_with(
    director: &Director,
    name: &LowerName,
    outcome: Result<Fetched, String>,
    states: &mut HashMap<LowerName, State>,
) {
    let snapshot = director.snapshot();
    let (Some(state), Some(zone)) = (states.get_mut(name), snapshot.zones.named(name)) else {
        return;
    };
    let (now, times) = (Instant::now(), zone.times());
    let label = match &outcome {
        Ok(fetched) => {
            (state.confirmed, state.due, state.whole) = (now, now + times.refresh, false);
            let (serial, by) = (zone.serial(), fetched.as_str());
            match fetched {
                Fetched::Changes(changes) => {
                    tracing::info!(zone = %name, serial, by, changes, "copied from its primary")
                }
                Fetched::Whole => tracing::info!(zone = %name, serial, by, "copied from its primary"),
                Fetched::Same => {}
            }
            by
        }
        Err(problem) => {
            state.due = now + times.retry;
            state.whole = !state.whole;
            tracing::warn!(zone = %name, problem, "not copied from its primary");
            "failed"
        }
    };
    if std::mem::take(&mut state.again) {
        state.due = now;
    }
    state.busy = false;
    director.counters().fetches[Counters::fetched(label)].fetch_add(1, Relaxed);
}
