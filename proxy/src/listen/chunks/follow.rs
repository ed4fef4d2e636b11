//! How the rest of a request is followed to its end: a stated length, or chunks, which are read strictly (RFC 9112 §7.1), so that they
//! can be read in one way only.
//!
//! Bytes are looked at, not kept. Invariant: however a body is cut, it ends at the same place, or is broken.

/// Bytes of a line with a chunk's size and extensions.
const LINE_BYTES_MAX: usize = 256;
/// Bytes of all trailers.
const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Digits of a size: 64 bits.
const DIGITS_MAX: usize = 16;

/// What of a request is still to come.
#[derive(Debug, Clone)]
pub(crate) enum Rest {
    /// So many bytes of its body.
    Bytes(u64),
    /// Chunks.
    Chunks(Chunks),
}

/// How far a body has been followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunks {
    at: At,
    /// Of the line or the trailers.
    bytes: usize,
    digits: usize,
    size: u64,
}

/// What the next byte is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    /// The LF of a size's line.
    SizeEnd,
    Data,
    /// CR and LF behind data.
    DataCr,
    DataLf,
    /// The first byte of a trailer line.
    Trailer,
    TrailerLine,
    TrailerLf,
    /// The last LF.
    LastLf,
    End,
}

/// A body that could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Rest {
    /// Follows what came. `Some`: the request ends behind so many of these bytes.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        match self {
            Self::Bytes(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok((*left == 0).then_some(taken))
            }
            Self::Chunks(chunks) => chunks.follow(bytes),
        }
    }

    /// Whether nothing of it is to come.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Bytes(left) => *left == 0,
            Self::Chunks(chunks) => chunks.at == At::End,
        }
    }
}

impl Chunks {
    /// Follows what came. `Some`: the body ends behind so many of these bytes.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let mut place = 0;
        while place < bytes.len() && self.at != At::End {
            if self.at == At::Data {
                let data = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - place);
                self.size -= data as u64;
                place += data;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.at = self.next(bytes[place])?;
            place += 1;
        }
        Ok((self.at == At::End).then_some(place))
    }

    fn next(&mut self, byte: u8) -> Result<At, Broken> {
        self.bytes += 1;
        let in_line = self.bytes <= LINE_BYTES_MAX;
        let in_trailers = self.bytes <= TRAILER_BYTES_MAX;
        Ok(match (self.at, byte) {
            (At::Size, digit) if digit.is_ascii_hexdigit() && self.digits < DIGITS_MAX => {
                self.digits += 1;
                self.size = self.size << 4 | u64::from((digit as char).to_digit(16).unwrap_or(0));
                At::Size
            }
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, b'\r') if self.digits > 0 => At::SizeEnd,
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) if in_line => At::Extension,
            (At::SizeEnd, b'\n') => {
                (self.bytes, self.digits) = (0, 0);
                if self.size == 0 { At::Trailer } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.bytes = 0;
                At::Size
            }
            (At::Trailer, b'\r') => At::LastLf,
            // A fold would begin with a blank, a field without a name with a colon.
            (At::Trailer, b'!'..=b'9' | b';'..=b'~') if in_trailers => At::TrailerLine,
            (At::TrailerLine, b'\r') => At::TrailerLf,
            (At::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) if in_trailers => At::TrailerLine,
            (At::TrailerLf, b'\n') => At::Trailer,
            (At::LastLf, b'\n') => At::End,
            _ => return Err(Broken),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a body is read when it comes in pieces of this size.
    fn read(body: &[u8], piece: usize) -> Result<Option<usize>, Broken> {
        let (mut chunks, mut at) = (Chunks::default(), 0);
        for piece in body.chunks(piece) {
            if let Some(end) = chunks.follow(piece)? {
                return Ok(Some(at + end));
            }
            at += piece.len();
        }
        Ok(None)
    }

    #[test]
    fn a_stated_length_ends_where_it_says() {
        for (length, pieces, ends) in
            [(0, &[7][..], &[Some(0)][..]), (5, &[3, 3], &[None, Some(2)]), (3, &[3], &[Some(3)])]
        {
            let mut rest = Rest::Bytes(length);
            let followed: Vec<_> = pieces.iter().map(|piece| rest.follow(&vec![0; *piece]).unwrap()).collect();
            assert_eq!((&followed[..], rest.is_over()), (ends, true));
        }
    }

    #[test]
    fn a_body_ends_where_it_ends_however_it_is_cut() {
        for (body, end) in [
            ("0\r\n\r\n", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            ("A;x=\"y\"\r\n0123456789\r\n000\r\n\r\n", Some(28)),
            ("3\r\n\r\n0\r\n0\r\nX: y\r\nZ: \r\n\r\nGET", Some(24)),
            ("3\r\nab", None),
            ("0\r\n", None),
        ] {
            for piece in 1..=body.len() {
                assert_eq!(read(body.as_bytes(), piece), Ok(end), "{body:?} {piece}");
            }
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_broken() {
        let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(LINE_BYTES_MAX));
        let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000));
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "1 \r\n",
            "0x1\r\n",
            "1\n",
            "1\r1",
            "1;a\nb\r\n",
            "1;a\rb\r\n",
            "1;\0\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n",
            "3\r\nabc\r0",
            "00000000000000001\r\n",
            "0\r\n\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\n: y\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX\0: y\r\n",
            &long,
            &trailers,
        ] {
            for piece in [1, 7, 100_000] {
                assert_eq!(read(body.as_bytes(), piece), Err(Broken), "{body:?} {piece}");
            }
        }
    }
}
