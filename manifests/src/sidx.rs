//! The segment index box (ISO/IEC 14496-12 §8.16.3): sizes and durations of the subsegments that follow it, or of the further
//! indexes that list them.

use crate::limits::{SIDX_BYTES_MAX, SIDX_REFERENCES_MAX};

/// One subsegment, or one further index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subsegment {
    /// Length in bytes; never 0.
    pub size: u32,
    /// Duration in units of the timescale.
    pub duration: u32,
    /// Whether a segment index is there, and not media.
    pub is_index: bool,
}

/// A parsed index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    /// Units per second.
    pub timescale: u32,
    /// Start of the first subsegment, in units of the timescale.
    pub earliest: u64,
    /// Bytes between the end of the box and the first subsegment.
    pub first_offset: u64,
    /// The subsegments in order.
    pub subsegments: Vec<Subsegment>,
    /// Where the box ends in the bytes given.
    pub end: usize,
}

/// Finds and reads the first sidx box in `bytes`; boxes before it are skipped. `None` when there is none, it is cut short,
/// or it points at nothing.
pub fn parse(bytes: &[u8]) -> Option<SegmentIndex> {
    if bytes.len() > SIDX_BYTES_MAX {
        return None;
    }
    let mut at = 0;
    loop {
        let size = u32_at(bytes, at)? as usize;
        let end = at.checked_add(size).filter(|end| size >= 8 && *end <= bytes.len())?;
        if &bytes[at + 4..at + 8] == b"sidx" {
            return read(&bytes[..end], at + 8);
        }
        at = end;
    }
}

fn read(bytes: &[u8], mut at: usize) -> Option<SegmentIndex> {
    let version = *bytes.get(at)?;
    let timescale = u32_at(bytes, at + 8).filter(|timescale| *timescale > 0)?;
    at += 12;
    let (earliest, first_offset) = if version == 0 {
        let pair = (u64::from(u32_at(bytes, at)?), u64::from(u32_at(bytes, at + 4)?));
        at += 8;
        pair
    } else {
        let pair = (u64_at(bytes, at)?, u64_at(bytes, at + 8)?);
        at += 16;
        pair
    };
    let count = u32_at(bytes, at)? as usize & 0xffff;
    at += 4;
    if count > SIDX_REFERENCES_MAX || bytes.len() < at + 12 * count {
        return None;
    }
    let mut subsegments = Vec::with_capacity(count);
    for reference in 0..count {
        let (first, duration) = (u32_at(bytes, at + 12 * reference)?, u32_at(bytes, at + 12 * reference + 4)?);
        let size = first & 0x7fff_ffff;
        if size == 0 {
            return None;
        }
        subsegments.push(Subsegment { size, duration, is_index: first >> 31 == 1 });
    }
    Some(SegmentIndex { timescale, earliest, first_offset, subsegments, end: bytes.len() })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A version 0 box with these subsegments.
    pub(crate) fn boxed(timescale: u32, subsegments: &[(u32, u32)]) -> Vec<u8> {
        let mut out = (32 + 12 * subsegments.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(b"sidx");
        for word in [0, 1, timescale, 0, 0, subsegments.len() as u32] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for (size, duration) in subsegments {
            for word in [*size, *duration, 0x9000_0000] {
                out.extend_from_slice(&word.to_be_bytes());
            }
        }
        out
    }

    #[test]
    fn sizes_and_durations_are_read_behind_other_boxes() {
        let mut bytes = [8u32.to_be_bytes(), *b"free"].concat();
        bytes.extend(boxed(1000, &[(500, 2000), (300 | 1 << 31, 1000)]));
        let index = parse(&bytes).unwrap();
        assert_eq!((index.timescale, index.end), (1000, bytes.len()));
        assert_eq!(
            index.subsegments,
            [
                Subsegment { size: 500, duration: 2000, is_index: false },
                Subsegment { size: 300, duration: 1000, is_index: true }
            ]
        );
    }

    #[test]
    fn a_cut_or_lying_box_is_refused() {
        let bytes = boxed(1000, &[(500, 2000)]);
        assert!((0..bytes.len()).all(|end| parse(&bytes[..end]).is_none()));
        assert_eq!(parse(&boxed(0, &[(1, 1)])), None);
        assert_eq!(parse(&boxed(1, &[(1 << 31, 1)])), None, "an index of no bytes");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
