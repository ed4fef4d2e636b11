//! RFC 7541: field blocks as they may be packed, and blocks that cannot be decoded (RFC 9113 §4.3: a connection error,
//! COMPRESSION_ERROR).

use littoral_testkit::h2::{END_HEADERS, END_STREAM, block, frame, kind};

use super::State::Idle;
use super::{Answer, COMPRESSION_ERROR, Case, Connection, GET, PROTOCOL_ERROR, Right, case, hold, packed};

const ANSWERED: &[Right] = &[Answer(200)];
const UNREADABLE: &[Right] = &[Connection(COMPRESSION_ERROR)];
/// What the h2 crate says of a block that it cannot decode.
const UNREAD: Right = Connection(PROTOCOL_ERROR);

/// `:method: GET`, `:scheme: http`, `:path: /`: entries 2, 6 and 4 of the static table (appendix A).
const INDEXED: [u8; 3] = [0x82, 0x86, 0x84];

/// A string as it is (§5.2).
fn plain(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A request from the static table, whose authority is written with these first bytes.
fn request(authority: &[u8]) -> Vec<u8> {
    [&INDEXED[..], authority, &plain("site.example")].concat()
}

/// A request with one more field, `x`, whose value is given with its length.
fn valued(value: &[u8]) -> Vec<u8> {
    packed(&[&block(&GET)[..], &[0, 1, b'x'], value].concat())
}

/// Two requests over one table: the second block is what is judged.
fn twice(first: &[u8], second: &[u8]) -> Vec<u8> {
    [packed(first), frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, second)].concat()
}

#[tokio::test]
async fn fields_are_read_however_they_are_packed() {
    let named = |first: u8| [&INDEXED[..], &[first], &plain(":authority"), &plain("site.example")].concat();
    // "www.example.com" in Huffman's code is appendix C.4.1; this is site.example in the same code.
    let huffman = [&INDEXED[..], &[0x41, 0x80 | 9], &coded("site.example")].concat();
    let table = request(&[0x41]);
    let cases: Vec<Case> = vec![
        case("6.1 indexed fields", Idle, packed(&request(&[0x41])), ANSWERED),
        case("6.2.1 a literal to index, name indexed", Idle, packed(&request(&[0x41])), ANSWERED),
        case("6.2.1 a literal to index", Idle, packed(&named(0x40)), ANSWERED),
        case("6.2.2 a literal, name indexed", Idle, packed(&request(&[0x01])), ANSWERED),
        case("6.2.2 a literal", Idle, packed(&named(0x00)), ANSWERED),
        case("6.2.3 a literal never to index, name indexed", Idle, packed(&request(&[0x11])), ANSWERED),
        case("6.2.3 a literal never to index", Idle, packed(&named(0x10)), ANSWERED),
        case("5.2 Huffman's code", Idle, packed(&huffman), ANSWERED),
        case("5.2 Huffman's code, one letter", Idle, valued(&[0x81, 0x1f]), ANSWERED),
        case("5.2 an empty string in Huffman's code", Idle, valued(&[0x80]), ANSWERED),
        case(
            "5.1 a length in more bytes than it needs",
            Idle,
            valued(&[&[0x7f, 0x80, 0x00][..], &[b'y'; 127]].concat()),
            ANSWERED,
        ),
        case("2.3.2 an entry of the dynamic table", Idle, twice(&table, &[&INDEXED[..], &[0xbe]].concat()), ANSWERED)
            .on(3),
        case("2.3.2 a name of the dynamic table", Idle, twice(&table, &request(&[0x7e])), ANSWERED).on(3),
        case("4.2 a smaller table", Idle, packed(&[&[0x20][..], &request(&[0x01])].concat()), ANSWERED),
        case(
            "4.2 a smaller table and the largest again",
            Idle,
            packed(&[&[0x20, 0x3f, 0xe1, 0x1f][..], &request(&[0x41])].concat()),
            ANSWERED,
        ),
        case(
            "4.4 an entry larger than the table empties it",
            Idle,
            packed(&[&[0x21][..], &request(&[0x41])].concat()),
            ANSWERED,
        ),
    ];
    hold(cases).await;
}

/// Letters in the code of appendix B, filled with ones.
fn coded(text: &str) -> Vec<u8> {
    let code = |letter| match letter {
        'a' => (0x3, 5),
        'e' => (0x5, 5),
        'i' => (0x6, 5),
        's' => (0x8, 5),
        't' => (0x9, 5),
        '.' => (0x17, 6),
        'l' => (0x28, 6),
        'm' => (0x29, 6),
        'p' => (0x2b, 6),
        'x' => (0x79, 7),
        other => panic!("{other} is not in the list"),
    };
    let mut bits: Vec<u8> = text
        .chars()
        .map(code)
        .flat_map(|(code, length)| (0..length).rev().map(move |at| (code >> at & 1) as u8))
        .collect();
    bits.resize(bits.len().next_multiple_of(8), 1);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

#[tokio::test]
async fn blocks_that_cannot_be_decoded_end_the_connection() {
    let table = request(&[0x41]);
    let bad = |name, bytes: &[u8]| case(name, Idle, packed(bytes), UNREADABLE).but(UNREAD);
    let behind = |bytes: &[u8]| [&block(&GET)[..], bytes].concat();
    hold(vec![
        bad("2.3.3 an index past the tables", &behind(&[0xc6])),
        bad("2.3.3 the first index past the tables", &behind(&[0xbe])),
        bad("2.3.3 a name past the tables", &behind(&[0x7f, 0x07, 1, b'y'])),
        bad("2.3.3 a name past the tables, not to index", &behind(&[0x0f, 0x37, 1, b'y'])),
        case(
            "2.3.3 an entry that was evicted",
            Idle,
            twice(&table, &[&[0x20][..], &INDEXED, &[0xbe]].concat()),
            UNREADABLE,
        )
        .but(UNREAD)
        .on(5),
        bad("4.2 a table size behind the fields", &behind(&[0x20])),
        bad("5.1 an integer without an end", &[0xff; 12]),
        bad("5.1 an integer that is cut off", &behind(&[0xff])),
        bad("5.1 an integer over 2^32", &behind(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        bad("5.2 a string longer than its block", &behind(&[0, 1, b'x', 9, b'y'])),
        bad("5.2 a name without a value", &behind(&[0, 1, b'x'])),
        case("5.2 a padding longer than 7 bits", Idle, valued(&[0x82, 0x1f, 0xff]), UNREADABLE).but(UNREAD),
        case("5.2 a padding of zeros", Idle, valued(&[0x81, 0x18]), UNREADABLE).but(UNREAD),
        case("5.2 the end-of-string symbol", Idle, valued(&[0x85, 0x1f, 0xff, 0xff, 0xff, 0xff]), UNREADABLE)
            .but(UNREAD),
        bad("6.1 index 0", &behind(&[0x80])),
        bad("6.3 a table larger than allowed", &[&[0x3f, 0xe2, 0x1f][..], &block(&GET)].concat()),
    ])
    .await;
}
