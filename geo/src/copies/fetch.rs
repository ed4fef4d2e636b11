//! Asks a primary for what has changed since the copy that there is, or for the whole zone, and puts it in force once it is on disk.
//!
//! Changes that do not lead from the copy to what the primary has, or that it cannot tell, are no failure: the whole zone is asked for at once.
//! Invariant: nothing of an answer is used before its end has come and is believed.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::LowerName;
use tokio::time::{Instant, timeout_at};

use super::exchange::{Exchange, Failure};
use super::incoming::{Brought, Incoming};
use crate::counters::{Counters, count};
use crate::director::{Director, GeoError};
use crate::limits::TRANSFER_SECONDS;
use crate::peers::From as Primary;
use crate::zone::{Silent, Zone, confirm};

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// So many changes.
    Changes(usize),
    Whole,
    Same,
}

impl Fetched {
    /// What it is called in the log and in [`Counters::FETCHES`].
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Changes(_) => "changes",
            Self::Whole => "whole",
            Self::Same => "same",
        }
    }
}

impl From<GeoError> for Failure {
    fn from(error: GeoError) -> Self {
        Self::Other(error.0)
    }
}

/// Asks the primary of a zone; `whole`: not for changes.
///
/// # Errors
/// In words, what went wrong; then nothing has changed.
pub(super) async fn fetch(director: &Arc<Director>, zone: &Zone, whole: bool) -> Result<Fetched, String> {
    let Some(primary) = zone.relations().primary.clone() else {
        return Ok(Fetched::Same);
    };
    let until = Instant::now() + Duration::from_secs(TRANSFER_SECONDS);
    if !whole && zone.silent() != Some(Silent::NoCopy) {
        match once(director, zone, &primary, false, until).await {
            Err(Failure::Unfit(problem)) => {
                count(&director.counters().fetches[Counters::fetched("unfit")]);
                tracing::info!(zone = %zone.name(), problem, "changes that are of no use: the whole zone is asked for");
            }
            Err(Failure::Other(problem)) => return Err(problem),
            Ok(fetched) => return Ok(fetched),
        }
    }
    let fetched = once(director, zone, &primary, true, until).await;
    fetched.map_err(|(Failure::Unfit(problem) | Failure::Other(problem))| problem)
}

/// One question, and what comes of it.
async fn once(
    director: &Arc<Director>,
    zone: &Zone,
    primary: &Primary,
    whole: bool,
    until: Instant,
) -> Result<Fetched, Failure> {
    let brought = timeout_at(until, ask(zone, primary, whole)).await;
    let late = |_| Failure::Other(format!("{}: a copy took longer than {TRANSFER_SECONDS} s", primary.address));
    let brought = brought.map_err(late)??;
    let (director, name, primary) = (director.clone(), zone.name().clone(), primary.clone());
    let applied = tokio::task::spawn_blocking(move || apply(&director, &name, &primary, brought));
    applied.await.map_err(|error| Failure::Other(error.to_string()))?
}

async fn ask(zone: &Zone, primary: &Primary, whole: bool) -> Result<Brought, Failure> {
    // Of a copy that is not served any more an older one may take the place.
    let known = (!(whole && zone.is_silent())).then(|| zone.serial());
    let mut incoming = Incoming::new(zone.name().clone(), known, whole);
    let mut exchange = Exchange::begin(zone, primary, whole).await?;
    while !incoming.has_ended() {
        let records = exchange.next().await?;
        records.into_iter().try_for_each(|record| incoming.take(record)).map_err(|text| exchange.unfit(text))?;
    }
    exchange.end()?;
    match incoming.brought() {
        Brought::Older(serial) if zone.is_silent() => Err(exchange.unfit(format_args!("it has serial {serial}"))),
        Brought::Older(serial) => Err(Failure::Other(format!(
            "{}: it has serial {serial}, which is older than the copy's, {}: raise it",
            primary.address,
            zone.serial()
        ))),
        brought => Ok(brought),
    }
}

/// Puts it in force, after it was written to the file of the copy.
fn apply(director: &Director, name: &LowerName, primary: &Primary, brought: Brought) -> Result<Fetched, Failure> {
    let file = &primary.file;
    match brought {
        Brought::Nothing | Brought::Older(_) => {
            // One that had expired is what the primary has.
            let heard = |zone: &Zone| Ok::<_, Failure>(zone.is_silent().then(|| zone.silenced(None)));
            director.change_zone(name, heard, |_, _| Ok(()))?;
            confirm(file).map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
            Ok(Fetched::Same)
        }
        Brought::Whole(records) => {
            let no_zone = |text| Failure::Unfit(format!("{}: no zone: {text}", primary.address));
            let later = Zone::of_records(name.clone(), records).map_err(no_zone)?;
            director.change_zone(
                name,
                |zone| Ok(Some(zone.replaced_by(later).in_place_of(zone))),
                |_, later| later.keep_whole(file, later.serial()).map_err(Failure::Other),
            )?;
            Ok(Fetched::Whole)
        }
        Brought::Changes(changes) => {
            let unfit = |text| Failure::Unfit(format!("{}: {text}", primary.address));
            director.change_zone(
                name,
                |zone| Ok(Some(zone.after_all(&changes).map_err(unfit)?.in_place_of(zone))),
                |zone, later| zone.keep_changes(file, later, &changes).map_err(Failure::Other),
            )?;
            Ok(Fetched::Changes(changes.len()))
        }
    }
}
