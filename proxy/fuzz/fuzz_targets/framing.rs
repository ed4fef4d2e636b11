//! Any bytes as the head of a request, as httparse reads it: a body is seen only where its fields say one thing of it (RFC 9112 §6.3),
//! and lines that others could see elsewhere are found (§2.2).
#![no_main]
#![allow(dead_code, reason = "the module's own tests stay outside")]

#[path = "../../src/hits/framing.rs"]
mod framing;

use framing::{Follows, follows, has_bare_line_end, has_end};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return };
    let head = &bytes[..length];
    assert!(has_end(bytes) && has_end(head));
    assert_eq!(has_bare_line_end(head), is_bare(head));
    let of = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect()
    };
    let (lengths, codings, upgrades) = (of("content-length"), of("transfer-encoding"), !of("upgrade").is_empty());
    let expected = match (&lengths[..], &codings[..]) {
        ([], []) => Some(None),
        ([length], []) => plain(length).map(Some),
        _ => None,
    };
    match follows(request.headers) {
        Follows::Nothing => assert!(expected == Some(None) && !upgrades),
        Follows::Bytes(bytes) => assert!(expected == Some(Some(bytes)) && !(upgrades && bytes == 0)),
        Follows::Unknown => assert!(matches!(expected, Some(None | Some(0))) && upgrades),
        Follows::Chunks => assert!(lengths.is_empty() && codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked")),
        Follows::Nonsense => {
            let chunked = lengths.is_empty() && codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked");
            assert!(expected.is_none() && !chunked);
        }
    }
});

/// A number of digits and nothing else, digit by digit.
fn plain(value: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    (!value.is_empty()).then_some(())?;
    value.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(10)?.checked_add(digit(byte)?))
}

/// Whether some line ends with LF or CR alone.
fn is_bare(head: &[u8]) -> bool {
    (0..head.len()).any(|at| match head[at] {
        b'\n' => at == 0 || head[at - 1] != b'\r',
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        _ => false,
    })
}
