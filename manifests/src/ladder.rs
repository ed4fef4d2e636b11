//! A ladder: the rungs a rate policy chooses among.

use crate::presentation::{Kind, Presentation};

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Bit rate in kbit/s, rounded up.
    pub kbps: u32,
    /// Its place in [`Presentation::representations`].
    pub representation: usize,
}

/// The rungs of one adaptation set, slowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ladder {
    /// The rungs.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// The ladder of an adaptation set.
    pub fn of_set(presentation: &Presentation, period: usize, set: usize) -> Self {
        let of_set =
            presentation.representations.iter().enumerate().filter(|(_, r)| r.period == period && r.set == set);
        let mut rungs: Vec<Rung> =
            of_set.map(|(representation, r)| Rung { kbps: kbps(r.bandwidth), representation }).collect();
        rungs.sort_by_key(|rung| rung.kbps);
        Self { rungs }
    }

    /// The ladder a player adapts on: that of the first video set that is not for seeking only, or of the first set when there is
    /// none.
    pub fn main(presentation: &Presentation) -> Self {
        let representations = &presentation.representations;
        let video = representations.iter().find(|one| one.kind == Kind::Video && !one.is_trick);
        video
            .or(representations.first())
            .map_or_else(Self::default, |first| Self::of_set(presentation, first.period, first.set))
    }

    /// The rates, slowest first.
    pub fn kbps(&self) -> Vec<u32> {
        self.rungs.iter().map(|rung| rung.kbps).collect()
    }

    /// The rung, or the highest when there are fewer.
    pub fn rung(&self, index: usize) -> Option<&Rung> {
        self.rungs.get(index).or(self.rungs.last())
    }
}

fn kbps(bits_per_second: u64) -> u32 {
    u32::try_from(bits_per_second.div_ceil(1000)).unwrap_or(u32::MAX)
}
