//! Segments listed by a segment index, which may list further indexes (ISO/IEC 14496-12 §8.16.3).
//!
//! Invariant: an index may only point behind itself, and there are at most [`INDEXES_MAX`] of them, so that it ends.

use super::names::Names;
use super::{ByteRange, ManifestError, Representation, Resource, Segment};
use crate::limits::{INDEX_FETCH_BYTES, INDEXES_MAX, SEGMENTS_OF_ONE_MAX, SIDX_BYTES_MAX};
use crate::sidx::{self, SegmentIndex};

/// What is left of an index to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// References not yet listed, the next one last.
    left: Vec<Reference>,
    /// Indexes read.
    read: usize,
    /// Media time at which the period starts, in ms.
    pub(super) offset_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference {
    range: ByteRange,
    start_ms: u64,
    duration_ms: u64,
    is_index: bool,
}

impl Representation {
    /// Lists segments from the bytes of [`Self::index`]. Where they point to further indexes that are not among them,
    /// [`Self::index`] is the next one to fetch and to hand in; it is `None` when all segments are listed.
    ///
    /// # Errors
    /// When they are no usable sidx, or list too much.
    pub fn index_fetched(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        self.listed(bytes).ok_or_else(|| ManifestError::Index(self.id.clone()))
    }

    fn listed(&mut self, bytes: &[u8]) -> Option<()> {
        let resource = self.index.as_ref()?.clone();
        let origin = resource.range.map_or(0, |range| range.first);
        self.read_index(bytes, origin)?;
        while let Some(next) = self.index_walk.left.pop() {
            let here = next.range.first.checked_sub(origin).and_then(|at| bytes.get(usize::try_from(at).ok()?..));
            let is_here = here.is_some_and(|rest| next.is_index && sidx::parse(rest).is_some());
            match here {
                _ if !next.is_index => self.push_segment(next),
                Some(rest) if is_here => self.read_index(rest, next.range.first)?,
                _ => {
                    let last = next.range.last.min(next.range.first.checked_add(INDEX_FETCH_BYTES - 1)?);
                    let range = Some(ByteRange { last, ..next.range });
                    self.index = Some(Resource { range, ..resource });
                    return Some(());
                }
            }
        }
        self.index = None;
        Some(())
    }

    /// Notes what an index that begins at `origin` of its file refers to.
    fn read_index(&mut self, bytes: &[u8], origin: u64) -> Option<()> {
        let walk = &mut self.index_walk;
        walk.read += 1;
        let index = (bytes.len() <= SIDX_BYTES_MAX || walk.read > 1).then(|| sidx::parse(bytes)).flatten()?;
        let references = references(&index, origin, walk.offset_ms)?;
        let known = self.segments.len() + walk.left.len() + references.len();
        if walk.read > INDEXES_MAX || known > SEGMENTS_OF_ONE_MAX {
            return None;
        }
        walk.left.extend(references.into_iter().rev());
        Some(())
    }

    fn push_segment(&mut self, reference: Reference) {
        if !matches!(self.names, Names::Ranges(_)) {
            self.names = Names::Ranges(Vec::new());
        }
        let Names::Ranges(ranges) = &mut self.names else { return };
        let entry = ranges.len();
        ranges.push(reference.range);
        self.segments.push(Segment {
            start_ms: reference.start_ms,
            duration_ms: reference.duration_ms,
            number: entry as u64 + 1,
            time: 0,
            sub_number: 1,
            available_ms: None,
            entry: u32::try_from(entry).unwrap_or(u32::MAX),
        });
    }
}

/// What an index refers to, in order; `None` when it reaches beyond any file.
fn references(index: &SegmentIndex, origin: u64, offset_ms: i64) -> Option<Vec<Reference>> {
    let mut at = origin.checked_add(index.end as u64)?.checked_add(index.first_offset)?;
    let mut time = index.earliest;
    let ms = |units: u64| u64::try_from(u128::from(units) * 1000 / u128::from(index.timescale)).unwrap_or(u64::MAX);
    let mut references = Vec::with_capacity(index.subsegments.len());
    for subsegment in &index.subsegments {
        let end = at.checked_add(u64::from(subsegment.size))?;
        references.push(Reference {
            range: ByteRange { first: at, last: end - 1 },
            start_ms: ms(time).saturating_add_signed(offset_ms.saturating_neg()),
            duration_ms: ms(subsegment.duration.into()),
            is_index: subsegment.is_index,
        });
        time = time.saturating_add(subsegment.duration.into());
        at = end;
    }
    Some(references)
}
