//! What a player asks for next, by a manifest that is at hand: of what is stored, nothing is asked for to find one.
//!
//! Of a live manifest a reading holds for [`LIVE_AHEAD_MS`], or until another is stored in its place: what is not there yet says when it will
//! be. Where segments are only known from an index in their file, that is read where it is stored as a piece. Invariant: no more live
//! manifests are kept read than others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use littoral_cache::{Entry, Key, Store};
use littoral_manifests::limits::SIDX_BYTES_MAX;
use littoral_manifests::{ByteRange, Coming, Presentation};
use parking_lot::Mutex;
use url::Url;

use super::refused::{Why, is};
use super::{AtHand, DIRECTORIES_UP, Rate, TITLES_MAX};

/// How far into the future a live manifest is read.
pub(crate) const LIVE_AHEAD_MS: u64 = 10_000;

/// A live manifest that was read.
#[derive(Clone)]
struct Reading {
    /// The stored manifest.
    stored: Weak<Entry>,
    until_ms: u64,
    /// `None`: it is none.
    presentation: Option<Arc<Presentation>>,
}

/// Live manifests by place.
#[derive(Default)]
pub(super) struct Lives(Mutex<HashMap<String, Reading>>);

impl Lives {
    /// The live presentation that a stored manifest is, as far as it is there at `now_ms` or soon after.
    fn read(&self, place: String, base: &Url, entry: &Arc<Entry>, now_ms: u64) -> Option<Arc<Presentation>> {
        let holds = |reading: &&Reading| is(&reading.stored, entry) && now_ms <= reading.until_ms;
        if let Some(reading) = self.0.lock().get(&place).filter(holds) {
            return reading.presentation.clone();
        }
        let until_ms = now_ms.saturating_add(LIVE_AHEAD_MS);
        let text = entry.body()?.blocks().concat();
        let presentation = Presentation::parse_at(&text, base, until_ms).ok().filter(|known| known.live.is_some());
        let presentation = presentation.map(Arc::new);
        let mut known = self.0.lock();
        if known.len() >= TITLES_MAX {
            known.clear();
        }
        known.insert(place, Reading { stored: Arc::downgrade(entry), until_ms, presentation: presentation.clone() });
        presentation
    }
}

impl Rate {
    /// What a player asks for behind the segment at `path`, or behind `range` of it, as a manifest lists it that is stored in memory, or was read
    /// before, in one of the nearest directories.
    pub(crate) fn behind(&self, host: &str, path: &str, range: Option<ByteRange>, now_ms: u64) -> Vec<Coming> {
        let listed = |presentation: &Presentation| self.listed(presentation, host, path, range);
        self.with_presentation(host, path, now_ms, listed).unwrap_or_default()
    }

    /// What `then` makes of the presentation whose manifest is at hand in one of the directories nearest to `path`.
    pub(super) fn with_presentation<T>(
        &self,
        host: &str,
        path: &str,
        now_ms: u64,
        then: impl FnOnce(&Presentation) -> T,
    ) -> Option<T> {
        let mut directory = path;
        for _ in 0..DIRECTORIES_UP {
            (directory, _) = directory.rsplit_once('/')?;
            match self.at_hand(host, directory) {
                AtHand::Title(known) => return Some(then(known.title.presentation())),
                // Of which no `auto` URL is known.
                AtHand::Refused(Why::Live) => {
                    if let Some(live) = self.live(host, directory, now_ms) {
                        return Some(then(&live));
                    }
                }
                AtHand::Refused(Why::Unreadable) | AtHand::Nothing(..) => {}
            }
        }
        None
    }

    fn live(&self, host: &str, directory: &str, now_ms: u64) -> Option<Arc<Presentation>> {
        let (place, path) = self.manifest_in(host, directory);
        let entry = self.store.stored(&Key::new(host, &path), None)?;
        let base = Url::parse(&format!("http://{host}{path}")).ok()?;
        self.lives.read(place, &base, &entry, now_ms)
    }

    fn listed(&self, presentation: &Presentation, host: &str, path: &str, range: Option<ByteRange>) -> Vec<Coming> {
        if let Some((representation, at)) = presentation.index_at(path).filter(|_| range.is_some()) {
            let index = stored_range(&self.store, &Key::new(host, path), at);
            return index.map_or_else(Vec::new, |index| presentation.behind_in(representation, &index, path, range));
        }
        presentation.behind(path, range)
    }
}

/// Bytes of an object that lie in one of its pieces, no more than an index has.
fn stored_range(store: &Arc<Store>, key: &Key, range: ByteRange) -> Option<Vec<u8>> {
    let (first, end) = (range.first, range.last.checked_add(1)?);
    let length = end
        .checked_sub(first)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|length| *length <= SIDX_BYTES_MAX)?;
    let holds = |entry: &Arc<Entry>| entry.piece().is_some_and(|piece| piece.first <= first && end <= piece.end);
    let entry = store.pieces(key).into_iter().find(holds)?;
    let mut skip = usize::try_from(first - entry.piece()?.first).ok()?;
    let mut bytes = Vec::with_capacity(length);
    for block in entry.body()?.blocks() {
        let from = skip.min(block.len());
        skip -= from;
        let rest = &block[from..];
        bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
        if bytes.len() == length {
            return Some(bytes);
        }
    }
    None
}
