//! `auto` URLs: a player that leaves the choice to the edge puts `auto` in place of the representation's id. Here is what
//! such a URL means for one title.

use std::collections::HashMap;

use crate::ladder::Ladder;
use crate::presentation::{Kind, Presentation};

/// What an `auto` URL of a title may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoSegment {
    /// The ladder to choose on.
    pub ladder: usize,
    /// Place of the segment, `None` for the initialisation segment.
    pub segment: Option<usize>,
}

/// One title, ready to resolve `auto` URLs.
#[derive(Debug, Clone)]
pub struct Title {
    presentation: Presentation,
    ladders: Vec<Ladder>,
    by_path: HashMap<String, AutoSegment>,
}

impl Title {
    /// Of a presentation. Where sets of different kinds use the same names, `auto` means video, and not the
    /// pictures for seeking.
    pub fn new(presentation: Presentation) -> Self {
        let mut sets: Vec<(bool, usize, usize)> = presentation
            .representations
            .iter()
            .map(|r| (r.kind != Kind::Video || r.is_trick, r.period, r.set))
            .collect();
        sets.sort_unstable();
        sets.dedup();
        let (mut ladders, mut by_path) = (Vec::new(), HashMap::new());
        for (_, period, set) in sets {
            let ladder = Ladder::of_set(&presentation, period, set);
            if let Some(rung) = ladder.rungs.first() {
                let first = &presentation.representations[rung.representation];
                for segment in std::iter::once(None).chain((0..first.segments.len()).map(Some)) {
                    let Some(path) = first.auto_path(segment) else { continue };
                    by_path.entry(path).or_insert(AutoSegment { ladder: ladders.len(), segment });
                }
            }
            ladders.push(ladder);
        }
        Self { presentation, ladders, by_path }
    }

    /// The presentation.
    pub fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// What `path` means, when it is an `auto` path of this title.
    pub fn find(&self, path: &str) -> Option<&AutoSegment> {
        self.by_path.get(path)
    }

    /// All ladders, in the order [`AutoSegment::ladder`] counts them.
    pub fn ladders(&self) -> &[Ladder] {
        &self.ladders
    }

    /// The ladder of an `auto` segment.
    pub fn ladder(&self, segment: &AutoSegment) -> &Ladder {
        &self.ladders[segment.ladder]
    }

    /// Duration in ms of an `auto` segment; 0 for an initialisation segment.
    pub fn duration_ms(&self, segment: &AutoSegment) -> u64 {
        let first = self.ladders[segment.ladder]
            .rungs
            .first()
            .map(|rung| &self.presentation.representations[rung.representation]);
        let media = first.zip(segment.segment).and_then(|(first, place)| first.segments.get(place));
        media.map_or(0, |media| media.duration_ms)
    }

    /// Path and representation id of an `auto` segment at a rung (the highest, when there are fewer).
    pub fn resolve(&self, segment: &AutoSegment, rung: usize) -> Option<(String, &str)> {
        let chosen = self.ladders[segment.ladder].rung(rung)?;
        let representation = self.presentation.representations.get(chosen.representation)?;
        let resource = match segment.segment {
            None => representation.init.clone()?,
            Some(place) => representation.resource(place)?,
        };
        Some((resource.url.path().to_owned(), representation.id.as_str()))
    }
}
