//! One title: how often it is started, and who is playing it.

use super::MEMORY_MS;
use super::audience::Audience;
use crate::Place;

/// Viewers of one title who are followed; of more the one heard of longest ago is given up.
const VIEWERS_MAX: usize = 64;
/// Segments' time after which a viewer who asked for nothing more is taken to have left.
const PATIENCE: f64 = 8.0;

/// A title.
#[derive(Debug, Clone)]
pub(super) struct Title {
    /// Its name outside.
    pub(super) name: u32,
    /// Objects of it that are there.
    pub(super) residents: u32,
    /// Starts, faded to `at_ms`.
    starts: f64,
    at_ms: u64,
    viewers: Vec<Viewer>,
}

/// Somebody who plays it, as far as requests tell: who asks for the segment after another's is taken for the same.
#[derive(Debug, Clone, Copy)]
struct Viewer {
    segment: u32,
    rung: u16,
    at_ms: u64,
}

impl Title {
    pub(super) fn new(name: u32) -> Self {
        Self { name, residents: 0, starts: 0.0, at_ms: 0, viewers: Vec::new() }
    }

    /// Starts, faded to now.
    pub(super) fn starts(&self, now_ms: u64) -> f64 {
        self.starts * (-(now_ms.saturating_sub(self.at_ms) as f64) / MEMORY_MS).exp()
    }

    /// Somebody asked for a part of it.
    pub(super) fn asked(&mut self, place: &Place, now_ms: u64, audience: &mut Audience) {
        if place.segment == Place::HEAD {
            return;
        }
        audience.saw(place.segment, place.rung);
        let before = |viewer: &&mut Viewer| viewer.segment.checked_add(1) == Some(place.segment);
        let same = |viewer: &Viewer| viewer.rung == place.rung;
        let found = self.viewers.iter_mut().filter(before).max_by_key(|viewer| (same(viewer), viewer.at_ms));
        if let Some(viewer) = found {
            audience.went_on(same(viewer), now_ms.saturating_sub(viewer.at_ms));
            *viewer = Viewer { segment: place.segment, rung: place.rung, at_ms: now_ms };
            return;
        }
        let patience = (PATIENCE * audience.segment_ms()) as u64;
        self.viewers.retain(|viewer| viewer.at_ms.saturating_add(patience) >= now_ms);
        if self.viewers.len() >= VIEWERS_MAX {
            let oldest = (0..VIEWERS_MAX).min_by_key(|at| self.viewers[*at].at_ms).unwrap_or(0);
            self.viewers.swap_remove(oldest);
        }
        self.viewers.push(Viewer { segment: place.segment, rung: place.rung, at_ms: now_ms });
        (self.starts, self.at_ms) = (self.starts(now_ms) + 1.0, now_ms);
    }

    /// Expected hits a millisecond of what stands at `place`.
    pub(super) fn hits(&self, place: &Place, now_ms: u64, audience: &Audience) -> f64 {
        let share = if place.rung == Place::NONE { 1.0 } else { audience.share(place.rung) };
        let starts = self.starts(now_ms) / MEMORY_MS;
        if place.segment == Place::HEAD {
            return starts * share;
        }
        let mut hits = starts * audience.survive(0, place.segment) * share;
        for viewer in self.viewers.iter().filter(|viewer| viewer.segment < place.segment) {
            let (ahead, silent) = (place.segment - viewer.segment, now_ms.saturating_sub(viewer.at_ms) as f64);
            if silent > PATIENCE * audience.segment_ms() {
                continue;
            }
            let ms = (f64::from(ahead) * audience.segment_ms() - silent).max(audience.segment_ms());
            hits +=
                audience.survive(viewer.segment, place.segment) * audience.sees(viewer.rung, place.rung, ahead) / ms;
        }
        hits
    }
}
