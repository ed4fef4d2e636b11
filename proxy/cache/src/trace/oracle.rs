//! libCacheSim's `oracleGeneral`: packed records of 24 bytes, little-endian: `u32` seconds, `u64` object, `u32` bytes, `i64` number of
//! the next request for the object, or -1.

use super::Request;

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 24;

pub(super) fn parse(record: &[u8; RECORD_BYTES]) -> Request {
    let word = |at: usize| u64::from(u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]));
    let next = word(16) | word(20) << 32;
    Request {
        now_ms: word(0) * 1000,
        id: word(4) | word(8) << 32,
        bytes: word(12),
        // Some writers have the largest number for "never".
        next: Some(next).filter(|next| *next < i64::MAX as u64),
        place: None,
    }
}
