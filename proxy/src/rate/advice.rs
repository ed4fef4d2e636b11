//! What the rate policy says where players choose by themselves: the most that one should ask for next (`mb` of CMSD), and the most that is
//! left in the manifest of one.
//!
//! A hint is asked for as an `auto` segment is, with the representation that the player has now as the one before. A manifest may be read
//! once for a whole title, so it is asked for as by a player in the middle of playing, and leaves no trace in the session. Invariants: an
//! origin is asked for nothing here, and where no title or no throughput is known nothing is advised.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_manifests::{Ladder, Presentation};
use littoral_plugin_host::limits::LADDERS_MAX;
use parking_lot::Mutex;
use url::Url;

use super::{NO_RUNG, Rate, RateAnswer, RateAsk, SESSIONS, session_of};
use crate::clock::now_ms;
use crate::video::told::Told;

/// What a player in the middle of playing has buffered, in ms, where it does not say: below what most buffer at most.
const BUFFER_MS: u32 = 20_000;
/// How long a segment is, in ms, where the manifest does not say.
const SEGMENT_MS: u32 = 4_000;
/// Ladders whose number is remembered; with one more all are told anew.
const KNOWN_MAX: usize = LADDERS_MAX / 4;

/// What was advised, and by which number the policy knows a ladder.
#[derive(Debug, Default)]
pub(crate) struct Advised {
    counts: [[AtomicU64; 2]; 2],
    known: Mutex<HashMap<Vec<u32>, u32>>,
}

/// What the video of a manifest is to choose from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    kbps: Vec<u32>,
    /// Bits per second of the same rungs, as the manifest has them.
    bandwidths: Vec<u64>,
    segment_ms: u32,
}

impl Advised {
    /// What for.
    const USES: [&'static str; 2] = ["hint", "manifest"];

    /// How often, by what for and who said it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let of_use = |(name, counts): (&'static str, &[AtomicU64; 2])| {
            [(name, "guest", counts[0].load(Relaxed)), (name, "native", counts[1].load(Relaxed))]
        };
        Self::USES.into_iter().zip(&self.counts).flat_map(of_use)
    }

    fn note(&self, place: usize, answer: &RateAnswer) {
        self.counts[place][usize::from(answer.guest.is_none())].fetch_add(1, Relaxed);
    }
}

impl Offer {
    /// Of a manifest: its first set of video that is not for seeking only. `None`: it cannot be read, or has no video.
    pub(crate) fn of(manifest: &[u8], now_ms: u64) -> Option<Self> {
        let nowhere = Url::parse("http://manifest.invalid/").ok()?;
        let presentation = Presentation::parse_at(manifest, &nowhere, now_ms).ok()?;
        let rungs = Ladder::main(&presentation).rungs;
        let first = &presentation.representations[rungs.first()?.representation];
        let duration_ms = first.segments.first().map_or(0, |segment| segment.duration_ms);
        Some(Self {
            kbps: rungs.iter().map(|rung| rung.kbps).collect(),
            bandwidths: rungs.iter().map(|rung| presentation.representations[rung.representation].bandwidth).collect(),
            segment_ms: known_ms(duration_ms),
        })
    }
}

impl Rate {
    /// The most, in kbit/s, that the player which asked for the segment at `path` should ask for next.
    pub(crate) fn hint(&self, host: &str, path: &str, told: &Told, client: Option<IpAddr>) -> Option<u32> {
        let est_kbps = Some(self.estimate(told, client)).filter(|kbps| *kbps > 0)?;
        let (kbps, last_rung, segment_ms) =
            self.with_presentation(host, path, now_ms(), |presentation| place(presentation, path))??;
        let session = session_of(told, client);
        let slot = session as usize % SESSIONS;
        let ask = RateAsk {
            state: self.states[slot].load(Relaxed),
            est_kbps,
            buffer_ms: told.buffer_ms.unwrap_or(0),
            last_rung,
            segment_ms,
            ladder: self.number(&kbps),
            rand: session,
        };
        let answer = self.policy.select(&ask, &kbps);
        self.advised.note(0, &answer);
        self.rungs[slot].store(u32::from(last_rung), Relaxed);
        self.states[slot].store(answer.state, Relaxed);
        kbps.get(usize::from(answer.rung)).copied()
    }

    /// The most, in bit/s, that is left in the manifest of a client.
    pub(crate) fn ceiling(&self, offer: &Offer, told: &Told, client: Option<IpAddr>) -> Option<u64> {
        let est_kbps = Some(self.estimate(told, client)).filter(|kbps| *kbps > 0)?;
        let ask = RateAsk {
            state: 0,
            est_kbps,
            // One that begins has none yet, which says nothing of what it will play.
            buffer_ms: told.buffer_ms.filter(|ms| *ms > 0).unwrap_or(BUFFER_MS),
            last_rung: NO_RUNG,
            segment_ms: offer.segment_ms,
            ladder: self.number(&offer.kbps),
            rand: session_of(told, client),
        };
        let answer = self.policy.select(&ask, &offer.kbps);
        self.advised.note(1, &answer);
        offer.bandwidths.get(usize::from(answer.rung)).copied()
    }

    /// The number by which the policy knows a ladder: one for all titles that have it, told again before it is forgotten.
    fn number(&self, kbps: &[u32]) -> u32 {
        let mut known = self.advised.known.lock();
        let next = self.next_ladder.load(Relaxed);
        let is_recent = |id: &u32| (next.wrapping_sub(*id) as usize) < LADDERS_MAX / 2;
        if let Some(id) = known.get(kbps).copied().filter(is_recent) {
            return id;
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let id = self.next_ladder.fetch_add(1, Relaxed);
        self.policy.ladder(id, kbps);
        known.insert(kbps.to_vec(), id);
        id
    }
}

/// The ladder on which a player is that asked for the segment at `path`, on which rung, and how long the segment is in ms.
fn place(presentation: &Presentation, path: &str) -> Option<(Vec<u32>, u8, u32)> {
    let (representation, segment) = presentation.asked(path)?;
    let one = &presentation.representations[representation];
    let ladder = Ladder::of_set(presentation, one.period, one.set);
    let rung = ladder.rungs.iter().position(|rung| rung.representation == representation)?;
    let duration_ms = one.segments.get(segment).map_or(0, |segment| segment.duration_ms);
    Some((ladder.kbps(), u8::try_from(rung).ok()?, known_ms(duration_ms)))
}

fn known_ms(duration_ms: u64) -> u32 {
    if duration_ms == 0 { SEGMENT_MS } else { u32::try_from(duration_ms).unwrap_or(u32::MAX) }
}
