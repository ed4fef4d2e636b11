//! Where the body of an answer ends: by the length its head tells, or by its chunks (RFC 9112, section 7.1). Its bytes are not kept.
//!
//! Invariant: what comes behind the end is an error, for nobody has asked for it.

use anyhow::{Context, Result, ensure};

/// Longest line of a chunk or trailer, in bytes.
const LINE_BYTES_MAX: usize = 4 << 10;

/// A body, as far as it has come.
pub(super) enum Body {
    /// Bytes to come.
    Sized(u64),
    Chunked(Chunks),
}

/// A body of chunks.
#[derive(Default)]
pub(super) struct Chunks {
    /// Of the chunk and the end of its line, bytes to come.
    left: u64,
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// Only trailers are to come.
    is_last: bool,
}

impl Body {
    /// What a head tells of it.
    ///
    /// # Errors
    /// Where it is no 200, or tells neither a length nor chunks.
    pub(super) fn of(head: &[u8]) -> Result<Self> {
        let mut lines = std::str::from_utf8(head)?.lines();
        let status = lines.next().unwrap_or_default();
        ensure!(status.split(' ').nth(1) == Some("200"), "an answer was {status:?}");
        let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let field = |wanted: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if field("transfer-encoding").is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case("chunked")) {
            return Ok(Self::Chunked(Chunks::default()));
        }
        let (_, length) = field("content-length").context("an answer without Content-Length or chunks")?;
        Ok(Self::Sized(length.trim().parse()?))
    }

    /// Takes bytes of it; whether it is whole.
    ///
    /// # Errors
    /// Where there are more than it has, or chunks that are none.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        match self {
            Self::Sized(left) => {
                *left = left.checked_sub(bytes.len() as u64).context("an answer is longer than it told")?;
                Ok(*left == 0)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }
}

impl Chunks {
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                (self.left, bytes) = (self.left - taken as u64, &bytes[taken..]);
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            self.line.extend_from_slice(line);
            ensure!(self.line.len() <= LINE_BYTES_MAX, "a line of a chunk does not end");
            bytes = rest;
            if end.is_some() && self.ends_with_line()? {
                ensure!(bytes.is_empty(), "an answer is longer than it told");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a line that is whole says; whether it was the last of all.
    fn ends_with_line(&mut self) -> Result<bool> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line)?.trim_end();
        if self.is_last {
            return Ok(line.is_empty());
        }
        let size = line.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).with_context(|| format!("a chunk of {line:?}"))?;
        (self.is_last, self.left) = (size == 0, if size == 0 { 0 } else { size.saturating_add(2) });
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_that_tells_where_it_ends_counts() {
        assert!(matches!(Body::of(b"HTTP/1.1 200 OK\r\ncontent-length: 12").expect("good"), Body::Sized(12)));
        assert!(matches!(Body::of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").expect("good"), Body::Chunked(_)));
        assert!(Body::of(b"HTTP/1.1 503 Busy\r\nContent-Length: 0").is_err());
        assert!(Body::of(b"HTTP/1.1 200 OK\r\nServer: x").is_err());
    }

    #[test]
    fn a_body_of_chunks_ends_where_it_says_however_it_comes() {
        let body = b"5;x=y\r\na\nbcd\r\n10\r\n0123456789abcdef\r\n0\r\nServer-Timing: x\r\n\r\n";
        for piece in 1..body.len() {
            let mut chunks = Chunks::default();
            let ends: Vec<bool> = body.chunks(piece).map(|bytes| chunks.take(bytes).expect("good")).collect();
            let (last, others) = ends.split_last().expect("not empty");
            assert!(*last && !others.contains(&true), "in pieces of {piece}: {ends:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_an_error() {
        assert!(Body::Sized(3).take(b"four").is_err());
        assert!(Chunks::default().take(b"0\r\n\r\nHTTP").is_err());
        assert!(Chunks::default().take(b"no size\r\n").is_err());
        assert!(Chunks::default().take(&[b'1'; LINE_BYTES_MAX + 1]).is_err());
        assert!(Body::Sized(3).take(b"thr").expect("good"));
    }
}
