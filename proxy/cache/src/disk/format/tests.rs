//! What a header promises: it comes back as it went, or not at all.

use super::*;
use proptest::prelude::*;

fn header(body: &[u8]) -> Header {
    let mut headers = HeaderMap::new();
    for (name, value) in [("etag", "\"a\""), ("vary", "accept"), ("surrogate-key", "a b"), ("vary", "te")] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Header {
        key: b"h.example /a?b".to_vec(),
        is_variant: true,
        variance: Some([7; 16]),
        head: Head { status: StatusCode::OK, headers },
        lifetime: Lifetime {
            born: time_of(1_000),
            fresh_until: time_of(61_000),
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(1 << 31),
            may_be_stale: true,
        },
        expired: true,
        stored_ms: 1_500,
        pinned_until_ms: 9_000,
        fetch_us: 77,
        epoch: 11,
        purges: 1 << 33,
        body: body.len() as u64,
        checksums: checksums([body]),
    }
}

#[test]
fn a_header_comes_back_as_it_was_written() {
    for header in [header(b"hello"), header(b""), Header { is_variant: false, variance: None, ..header(b"x") }] {
        let bytes = header.encode().unwrap();
        let lengths = Lengths::decode(&bytes[..LENGTHS_BYTES]).unwrap();
        assert_eq!(lengths, Lengths { header: bytes.len() as u64, body: header.body });
        assert_eq!(Header::decode(&bytes), Ok(header));
    }
}

#[test]
fn a_header_with_any_byte_changed_cut_off_or_added_is_refused() {
    let bytes = header(b"hello").encode().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(Header::decode(&flipped).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Header::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(Header::decode(&[&bytes[..], b"x"].concat()), Err(Refused::Length));
}

#[test]
fn another_version_and_what_is_no_object_are_told_apart() {
    let mut bytes = header(b"").encode().unwrap();
    bytes[8] = 2;
    assert_eq!(Header::decode(&bytes), Err(Refused::Version));
    bytes[0] = b'x';
    assert_eq!(Header::decode(&bytes), Err(Refused::Magic));
}

#[test]
fn a_header_that_is_whole_but_contradicts_itself_is_refused() {
    let sealed = |change: fn(&mut Header)| {
        let mut header = header(b"hello");
        change(&mut header);
        Header::decode(&header.encode().unwrap())
    };
    assert_eq!(sealed(|header| header.checksums.clear()), Err(Refused::Content));
    assert_eq!(sealed(|header| header.checksums.push(1)), Err(Refused::Content));
    assert_eq!(sealed(|header| header.variance = None), Err(Refused::Content));
}

#[test]
fn a_header_that_needs_no_more_bytes_is_written_over_another() {
    let before = header(b"hello");
    let length = before.encode().unwrap().len() as u64;
    let mut after = before.clone();
    after.head.headers.insert("x-confirmed", HeaderValue::from_static("1"));
    let bytes = after.encode_into(length).unwrap();
    assert_eq!((bytes.len() as u64, Header::decode(&bytes)), (length, Ok(after.clone())));
    after.head.headers.insert("x-long", HeaderValue::from_bytes(&[b'x'; SPARE_BYTES]).unwrap());
    assert_eq!(after.encode_into(length), None);
    assert_eq!(before.encode_into(3), None);
}

#[test]
fn a_header_that_is_too_long_is_not_written() {
    let key = vec![b'k'; DISK_HEADER_BYTES as usize];
    assert!(Header { key, ..header(b"") }.encode().is_none());
}

#[test]
fn a_block_is_known_by_its_place_length_and_bytes() {
    let body: Vec<u8> = (0..DISK_BLOCK_BYTES as usize + 5).map(|at| at as u8).collect();
    let header = header(&body);
    assert_eq!([header.block(0), header.block(1)], [(0, DISK_BLOCK_BYTES), (DISK_BLOCK_BYTES, 5)]);
    assert_eq!(header.block(2).1, 0);
    let (first, second) = body.split_at(DISK_BLOCK_BYTES as usize);
    assert!(header.is_block(0, first) && header.is_block(1, second));
    assert!(!header.is_block(1, first) && !header.is_block(1, &second[1..]) && !header.is_block(2, b""));
}

proptest! {
    #[test]
    fn checksums_do_not_depend_on_how_a_body_is_cut(cuts in proptest::collection::vec(1usize..400_000, 0..6)) {
        let body: Vec<u8> = (0..600_000).map(|at: u32| (at / 7) as u8).collect();
        let mut pieces = Vec::new();
        let mut rest = &body[..];
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        prop_assert_eq!(checksums(pieces), checksums([&body[..]]));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_believed_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Header::decode(&bytes).is_err());
        prop_assert!(Lengths::decode(&[&MAGIC[..], &bytes].concat()).is_err() || bytes.len() >= 16);
    }
}
