//! The file of an object: a header, then the body as it is.
//!
//! The header says how long both are, carries all that a stored response is besides its body, a checksum of each block of the
//! body, and ends with a checksum of itself. All numbers are little-endian. Bytes that were not written by [`Header::encode`]
//! are refused, whatever they are; what is refused is a miss and never an answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::entry::{Head, millis, time_of};
use crate::freshness::Lifetime;
use crate::limits::{DISK_BLOCK_BYTES, DISK_HEADER_BYTES};

/// First bytes of every object file.
const MAGIC: [u8; 8] = *b"LITTORAL";
/// The format written and the only one read: a file of another is a miss.
pub const VERSION: u32 = 1;
/// Bytes of [`Lengths`] as they are written.
pub const LENGTHS_BYTES: usize = 24;
/// Bytes a header has to spare, so that the fields of a later 304 mostly fit.
const SPARE_BYTES: usize = 128;
/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 4;
/// Longest body a header may tell of: 16 TiB.
const BODY_BYTES_MAX: u64 = 1 << 44;
/// Latest time read, in Unix milliseconds: the year 10889.
const MILLIS_MAX: u64 = 1 << 48;

const IS_VARIANT: u16 = 1;
const VARIES: u16 = 2;
const EXPIRED: u16 = 4;
const MAY_BE_STALE: u16 = 8;
const FLAGS: u16 = IS_VARIANT | VARIES | EXPIRED | MAY_BE_STALE;

/// How long the two parts of a file are: what it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Of the header, this and its checksum included.
    pub header: u64,
    /// Of the body.
    pub body: u64,
}

/// What is kept of a stored response besides its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The text of its key.
    pub key: Vec<u8>,
    /// It is a variant beside the primary slot.
    pub is_variant: bool,
    /// Its secondary key, when it varies.
    pub variance: Option<[u8; 16]>,
    /// Status and fields.
    pub head: Head,
    /// How long it may be used.
    pub lifetime: Lifetime,
    /// It was soft purged when it was written.
    pub expired: bool,
    /// When it was stored, in Unix milliseconds.
    pub stored_ms: u64,
    /// Until when it is pinned, in Unix milliseconds; 0 when it is not.
    pub pinned_until_ms: u64,
    /// Microseconds the fill took.
    pub fetch_us: u32,
    /// The journal it was written under: another one knows nothing of its purges.
    pub epoch: u64,
    /// Purges with this number or a higher one name it if they name its like.
    pub purges: u64,
    /// Length of the body.
    pub body: u64,
    /// CRC-32C of each [`DISK_BLOCK_BYTES`] of the body.
    pub checksums: Vec<u32>,
}

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not begin like an object.
    #[error("it is no object file")]
    Magic,
    /// It has another version.
    #[error("its format has another version than this program's")]
    Version,
    /// It is shorter or longer than it says.
    #[error("it is cut short, or longer than it says")]
    Length,
    /// A checksum is wrong.
    #[error("a checksum is wrong")]
    Checksum,
    /// It contradicts itself.
    #[error("its header contradicts itself")]
    Content,
}

impl Lengths {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// When it is not the beginning of an object.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let mut rest = Rest(bytes);
        if rest.take(8).ok_or(Refused::Length)? != MAGIC {
            return Err(Refused::Magic);
        }
        if rest.u32().ok_or(Refused::Length)? != VERSION {
            return Err(Refused::Version);
        }
        let header = u64::from(rest.u32().ok_or(Refused::Length)?);
        let body = rest.u64().ok_or(Refused::Length)?;
        let shortest = (LENGTHS_BYTES + CHECKSUM_BYTES) as u64;
        if !(shortest..=DISK_HEADER_BYTES).contains(&header) || body > BODY_BYTES_MAX {
            return Err(Refused::Length);
        }
        Ok(Self { header, body })
    }

    /// Length of the file.
    pub fn file(self) -> u64 {
        self.header + self.body
    }
}

impl Header {
    /// The header as it is written, with some bytes to spare for [`Self::encode_into`]; `None` when it is longer than
    /// [`DISK_HEADER_BYTES`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = self.encode_plain();
        out.resize(out.len() + SPARE_BYTES, 0);
        self.seal(out)
    }

    /// The header as it is written over one of `length` bytes; `None` when it needs more.
    pub fn encode_into(&self, length: u64) -> Option<Vec<u8>> {
        let mut out = self.encode_plain();
        let room = usize::try_from(length).ok()?.checked_sub(CHECKSUM_BYTES).filter(|room| *room >= out.len())?;
        out.resize(room, 0);
        self.seal(out)
    }

    fn encode_plain(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + 4 * self.checksums.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.body.to_le_bytes());
        let mut flags = 0;
        let set = [
            (IS_VARIANT, self.is_variant),
            (VARIES, self.variance.is_some()),
            (EXPIRED, self.expired),
            (MAY_BE_STALE, self.lifetime.may_be_stale),
        ];
        for (flag, set) in set {
            flags |= if set { flag } else { 0 };
        }
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.head.status.as_u16().to_le_bytes());
        out.extend_from_slice(&self.fetch_us.to_le_bytes());
        let windows = [self.lifetime.stale_while_revalidate, self.lifetime.stale_if_error];
        let [revalidate_ms, error_ms] = windows.map(|window| window.as_millis().min(MILLIS_MAX.into()) as u64);
        let times =
            [millis(self.lifetime.born), millis(self.lifetime.fresh_until), self.stored_ms, self.pinned_until_ms];
        for number in times.into_iter().chain([revalidate_ms, error_ms]) {
            out.extend_from_slice(&number.min(MILLIS_MAX).to_le_bytes());
        }
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.purges.to_le_bytes());
        out.extend_from_slice(&self.variance.unwrap_or_default());
        push_text(&mut out, &self.key);
        out.extend_from_slice(&(self.head.headers.len() as u32).to_le_bytes());
        for (name, value) in &self.head.headers {
            push_text(&mut out, name.as_str().as_bytes());
            push_text(&mut out, value.as_bytes());
        }
        out.extend_from_slice(&(self.checksums.len() as u32).to_le_bytes());
        for checksum in &self.checksums {
            out.extend_from_slice(&checksum.to_le_bytes());
        }
        out
    }

    fn seal(&self, mut out: Vec<u8>) -> Option<Vec<u8>> {
        let length = out.len() + CHECKSUM_BYTES;
        if length as u64 > DISK_HEADER_BYTES || self.body > BODY_BYTES_MAX {
            return None;
        }
        out[12..16].copy_from_slice(&(length as u32).to_le_bytes());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        Some(out)
    }

    /// Reads a whole header: the bytes of a file up to [`Lengths::header`].
    ///
    /// # Errors
    /// When a single byte is not as it was written.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let lengths = Lengths::decode(bytes)?;
        if lengths.header != bytes.len() as u64 {
            return Err(Refused::Length);
        }
        let (covered, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if crc32c::crc32c(covered).to_le_bytes() != checksum {
            return Err(Refused::Checksum);
        }
        Self::read(Rest(&covered[LENGTHS_BYTES..]), lengths.body).ok_or(Refused::Content)
    }

    fn read(mut rest: Rest<'_>, body: u64) -> Option<Self> {
        let flags = rest.u16()?;
        let status = StatusCode::from_u16(rest.u16()?).ok()?;
        let fetch_us = rest.u32()?;
        let mut times = [0; 6];
        for time in &mut times {
            *time = rest.u64().filter(|time| *time <= MILLIS_MAX)?;
        }
        let [born_ms, fresh_until_ms, stored_ms, pinned_until_ms, revalidate_ms, error_ms] = times;
        let (epoch, purges) = (rest.u64()?, rest.u64()?);
        let variance: [u8; 16] = rest.take(16)?.try_into().ok()?;
        let key = rest.text()?.to_vec();
        let mut headers = HeaderMap::new();
        for _ in 0..rest.u32()? {
            let name = HeaderName::from_bytes(rest.text()?).ok()?;
            let value = HeaderValue::from_bytes(rest.text()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let blocks = usize::try_from(body.div_ceil(DISK_BLOCK_BYTES)).ok()?;
        if rest.u32()? as usize != blocks || rest.0.len() < blocks * CHECKSUM_BYTES || flags & !FLAGS != 0 {
            return None;
        }
        let checksums = (0..blocks).map(|_| rest.u32()).collect::<Option<_>>()?;
        if rest.0.iter().any(|spare| *spare != 0) {
            return None;
        }
        let lifetime = Lifetime {
            born: time_of(born_ms),
            fresh_until: time_of(fresh_until_ms),
            stale_while_revalidate: Duration::from_millis(revalidate_ms),
            stale_if_error: Duration::from_millis(error_ms),
            may_be_stale: flags & MAY_BE_STALE != 0,
        };
        Some(Self {
            key,
            is_variant: flags & IS_VARIANT != 0,
            variance: (flags & VARIES != 0).then_some(variance),
            head: Head { status, headers },
            lifetime,
            expired: flags & EXPIRED != 0,
            stored_ms,
            pinned_until_ms,
            fetch_us,
            epoch,
            purges,
            body,
            checksums,
        })
        .filter(|header| !header.is_variant || header.variance.is_some())
    }

    /// Where block `number` lies in the body: first byte and length. Length 0 is behind the end.
    pub fn block(&self, number: u64) -> (u64, u64) {
        let from = number.saturating_mul(DISK_BLOCK_BYTES).min(self.body);
        (from, DISK_BLOCK_BYTES.min(self.body - from))
    }

    /// Whether `bytes` are block `number` of the body.
    pub fn is_block(&self, number: u64, bytes: &[u8]) -> bool {
        let known = usize::try_from(number).ok().and_then(|number| self.checksums.get(number));
        bytes.len() as u64 == self.block(number).1 && known == Some(&crc32c::crc32c(bytes))
    }
}

/// The checksums of a body that comes in `pieces`, cut anywhere.
pub fn checksums<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u32> {
    let (mut sums, mut sum, mut filled) = (Vec::new(), 0, 0);
    for mut piece in pieces {
        while !piece.is_empty() {
            let part = piece.len().min(DISK_BLOCK_BYTES as usize - filled);
            sum = crc32c::crc32c_append(sum, &piece[..part]);
            (piece, filled) = (&piece[part..], filled + part);
            if filled == DISK_BLOCK_BYTES as usize {
                sums.push(std::mem::take(&mut sum));
                filled = 0;
            }
        }
    }
    if filled > 0 {
        sums.push(sum);
    }
    sums
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

/// Bytes still to be read; each method takes some off the front, `None` when there are too few.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests;
