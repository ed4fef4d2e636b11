//! Where a request ends: its head, and what its fields say comes behind.
//!
//! Strict (RFC 9112 §6.3): what two readers could read in two ways is [`Follows::Nonsense`]. Chunks are followed by
//! [`crate::listen::chunks`].

/// What comes behind a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    /// A body of a stated length.
    Bytes(u64),
    /// A body in chunks.
    Chunks,
    /// Another protocol, maybe.
    Unknown,
    /// More than one length or coding, both, or one that is none (RFC 9112 §6.3, RFC 9110 §8.6).
    Nonsense,
}

/// What the fields of a head say about what comes behind it.
pub(super) fn follows(fields: &[httparse::Header<'_>]) -> Follows {
    let (mut body, mut upgrades) = (Follows::Nothing, false);
    for field in fields {
        let next = match field.name.len() {
            7 if field.name.eq_ignore_ascii_case("upgrade") => {
                upgrades = true;
                continue;
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => length_of(field.value),
            // No other coding is known here, and none can be put before it unseen.
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                match field.value.eq_ignore_ascii_case(b"chunked") {
                    true => Follows::Chunks,
                    false => Follows::Nonsense,
                }
            }
            _ => continue,
        };
        body = if body == Follows::Nothing { next } else { Follows::Nonsense };
    }
    match body {
        Follows::Nothing | Follows::Bytes(0) if upgrades => Follows::Unknown,
        body => body,
    }
}

fn length_of(value: &[u8]) -> Follows {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map_or(Follows::Nonsense, Follows::Bytes)
}

/// Whether a head may end in these bytes: also where a line before ends with LF alone, so that it is refused at once.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Whether a line ends with LF or CR alone. Others may not see a line end there (RFC 9112 §2.2).
pub(super) fn has_bare_line_end(head: &[u8]) -> bool {
    let pairs = head.iter().zip(&head[1..]);
    pairs.fold(head[0] == b'\n', |bare, (first, second)| bare | ((*first == b'\r') != (*second == b'\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> Follows {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        follows(&fields)
    }

    #[test]
    fn a_body_has_one_length_or_chunks_and_nothing_else() {
        let (length, chunks) = (("content-length", "3"), ("Transfer-Encoding", "Chunked"));
        for (fields, expected) in [
            (&[("x", "y")][..], Follows::Nothing),
            (&[length], Follows::Bytes(3)),
            (&[chunks], Follows::Chunks),
            (&[("upgrade", "websocket")], Follows::Unknown),
            (&[("upgrade", "websocket"), ("content-length", "0")], Follows::Unknown),
            (&[("upgrade", "websocket"), length], Follows::Bytes(3)),
            (&[length, length], Follows::Nonsense),
            (&[length, chunks], Follows::Nonsense),
            (&[chunks, length], Follows::Nonsense),
            (&[chunks, chunks], Follows::Nonsense),
            (&[("transfer-encoding", "gzip, chunked")], Follows::Nonsense),
            (&[("content-length", "+3")], Follows::Nonsense),
            (&[("content-length", "")], Follows::Nonsense),
        ] {
            assert_eq!(of(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_its_lines_end() {
        for (head, end) in
            [("a\r\n\r\n", true), ("a\n\n", true), ("a\n\r\n", true), ("a\r\n\r", false), ("a\r\nb\r\n", false)]
        {
            assert_eq!(has_end(head.as_bytes()), end, "{head:?}");
        }
    }

    #[test]
    fn lines_that_end_with_one_byte_are_seen() {
        for (head, bare) in
            [("a\r\nb\r\n\r\n", false), ("a\nb\r\n\r\n", true), ("a\rb\r\n\r\n", true), ("\na\r\n", true)]
        {
            assert_eq!(has_bare_line_end(head.as_bytes()), bare, "{head:?}");
        }
    }
}
