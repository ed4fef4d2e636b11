//! Chapter 8 of RFC 9113: requests that are malformed, and trailers. More of them, with what reaches an origin, are in `smuggling`.

use littoral_testkit::h2::{END_HEADERS, END_STREAM, block, frame, kind};

use super::State::{Idle, Open};
use super::{Answer, Case, GET, POST, PROTOCOL_ERROR, Right, Stream, case, headers, hold};

/// A malformed request: a stream error, or an answer of 400 before it (§8.1.1).
const MALFORMED: &[Right] = &[Stream(PROTOCOL_ERROR), Answer(400)];
const ANSWERED: &[Right] = &[Answer(200)];

/// The field lines of a request, and more.
fn with(more: &[(&str, &str)]) -> Vec<u8> {
    headers(1, &[&GET[..], more].concat())
}

/// A request whose body has a length, and the pieces that come.
fn body(length: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut sent = frame(kind::HEADERS, END_HEADERS, 1, &block(&[&POST[..], &[("content-length", length)]].concat()));
    for (at, piece) in pieces.iter().enumerate() {
        sent.extend(frame(kind::DATA, u8::from(at + 1 == pieces.len()), 1, piece));
    }
    sent
}

fn trailers(fields: &[(&str, &str)]) -> Vec<u8> {
    [frame(kind::DATA, 0, 1, b"x"), headers(1, fields)].concat()
}

#[tokio::test]
async fn requests_that_8_2_and_8_3_call_malformed_are_refused() {
    let without = |at: usize| headers(1, &[&GET[..at], &GET[at + 1..]].concat());
    let connect = |more: &[(&str, &str)]| {
        headers(1, &[&[(":method", "CONNECT"), (":authority", "site.example:443")][..], more].concat())
    };
    hold(vec![
        case("8.2.1 a letter in upper case", Idle, with(&[("x-Upper", "y")]), MALFORMED),
        case("8.2.1 a delete character in a name", Idle, with(&[("x\x7f", "y")]), MALFORMED),
        case("8.2.1 a character over 0x7f in a name", Idle, with(&[("x\u{e9}", "y")]), MALFORMED),
        case("8.2.1 a blank before a value", Idle, with(&[("x", " y")]), MALFORMED),
        case("8.2.1 a blank behind a value", Idle, with(&[("x", "y ")]), MALFORMED),
        case("8.2.1 a tab before a value", Idle, with(&[("x", "\ty")]), MALFORMED),
        case("8.2.1 a tab behind a value", Idle, with(&[("x", "y\t")]), MALFORMED),
        case("8.2.2 te with trailers", Idle, with(&[("te", "trailers")]), ANSWERED),
        case("8.2.2 te with trailers and more", Idle, with(&[("te", "trailers, deflate;q=0.5")]), MALFORMED),
        case("8.2.3 cookies in two lines", Idle, with(&[("cookie", "a=1"), ("cookie", "b=2")]), ANSWERED),
        case("8.3 a field before a pseudo-field", Idle, headers(1, &[&[("x", "y")][..], &GET].concat()), MALFORMED),
        case("8.3.1 no scheme", Idle, without(1), MALFORMED),
        case(
            "8.3.1 two schemes",
            Idle,
            headers(1, &[&GET[..2], &[(":scheme", "https")], &GET[2..]].concat()),
            MALFORMED,
        ),
        case(
            "8.3.1 two authorities",
            Idle,
            headers(1, &[&GET[..], &[(":authority", "site.example")]].concat()),
            MALFORMED,
        ),
        case("8.3.1 Host that agrees with the authority", Idle, with(&[("host", "site.example")]), ANSWERED),
        case(
            "8.3.1 Host instead of an authority",
            Idle,
            headers(1, &[&GET[..2], &GET[3..], &[("host", "site.example")]].concat()),
            ANSWERED,
        ),
        case("8.3.1 neither authority nor Host", Idle, without(2), MALFORMED),
        case("8.3.1 * with GET", Idle, headers(1, &[GET[0], GET[1], GET[2], (":path", "*")]), MALFORMED),
        case("8.5 CONNECT with a scheme", Idle, connect(&[(":scheme", "https")]), MALFORMED),
        case("8.5 CONNECT with a path", Idle, connect(&[(":path", "/")]), MALFORMED),
        case(
            "8.5 :protocol that was not offered",
            Idle,
            connect(&[GET[1], GET[3], (":protocol", "websocket")]),
            MALFORMED,
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies_have_the_length_they_promise() {
    hold(vec![
        case("8.1.1 as long as promised", Idle, body("2", &[b"a", b"b"]), ANSWERED),
        case("8.1.1 shorter", Idle, body("2", &[b"a"]), MALFORMED),
        case("8.1.1 longer", Idle, body("2", &[b"abc"]), MALFORMED),
        case("8.1.1 shorter, in two frames", Idle, body("3", &[b"a", b"b"]), MALFORMED),
        case("8.1.1 longer, in two frames", Idle, body("3", &[b"ab", b"cd"]), MALFORMED),
        case("8.1.1 nothing, in an empty frame", Idle, body("1", &[b""]), MALFORMED),
        case("8.1.1 none, and none promised", Idle, with(&[("content-length", "0")]), ANSWERED),
        case("8.1.1 none, and one promised", Idle, with(&[("content-length", "1")]), MALFORMED),
    ])
    .await;
}

fn trailing() -> Vec<Case> {
    let second = frame(kind::HEADERS, END_HEADERS, 1, &block(&[("x", "y")]));
    let end = frame(kind::DATA, END_STREAM, 1, b"x");
    vec![
        case("8.1 trailers", Open, trailers(&[("x-trailer", "y")]), ANSWERED),
        case("8.1 trailers without fields", Open, trailers(&[]), ANSWERED),
        case("8.1 trailers without a body", Open, headers(1, &[("x-trailer", "y")]), ANSWERED),
        case("8.1 a second head without an end", Open, [second, end].concat(), MALFORMED),
        case("8.1 a pseudo-field in trailers", Open, trailers(&[(":method", "GET")]), MALFORMED).but(Answer(200)),
        case("8.1 an unknown pseudo-field in trailers", Open, trailers(&[(":evil", "1")]), MALFORMED),
        case("8.2.1 a letter in upper case in trailers", Open, trailers(&[("X-Trailer", "y")]), MALFORMED),
        case(
            "8.2.2 a field of the connection in trailers",
            Open,
            trailers(&[("transfer-encoding", "chunked")]),
            MALFORMED,
        ),
    ]
}

#[tokio::test]
async fn trailers_end_a_request_and_say_nothing_of_it() {
    hold(trailing()).await;
}
