//! Chapters 3 to 5 of RFC 9113: how a connection starts, what a frame is, and what may come in which state of a stream.

use littoral_testkit::h2::{END_HEADERS, END_STREAM, PADDED, PRIORITY, block, frame, kind};

use super::State::{self, HalfClosed, Idle, Mute, Open, Reset};
use super::{
    Answer, COMPRESSION_ERROR, Case, Closed, Connection, FRAME_SIZE_ERROR, GET, HELD, Ignored, POST, PROTOCOL_ERROR,
    Right, STREAM_CLOSED, Stream, case, headers, hold, packed, settings,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ANSWERED: &[Right] = &[Answer(200)];
const WRONG: &[Right] = &[Connection(PROTOCOL_ERROR)];
const TOO_LARGE: &[Right] = &[Connection(FRAME_SIZE_ERROR)];
/// What §5.1 leaves to a server when a stream is closed: to pass frames over, or to end with either code.
const LATE: &[Right] = &[Ignored, Stream(STREAM_CLOSED), Connection(PROTOCOL_ERROR)];

/// A request behind frames that a client may send.
fn beside() -> Vec<Case> {
    let get = || headers(1, &GET);
    let before = |bytes: Vec<u8>| [bytes, get()].concat();
    vec![
        case(
            "3.4 the preface and SETTINGS",
            Mute,
            [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &get()].concat(),
            ANSWERED,
        ),
        case("4.1 an unknown type", Idle, before(frame(0x16, 0xff, 0, b"payload!")), ANSWERED),
        case("4.1 an unknown type on a stream", Idle, before(frame(0x16, 0, 1, b"payload!")), ANSWERED),
        case("4.1 flags that mean nothing", Idle, before(frame(kind::PING, 0xfe, 0, &[0; 8])), ANSWERED),
        case(
            "4.1 flags that mean nothing on HEADERS",
            Idle,
            frame(kind::HEADERS, 0xd2 | END_HEADERS | END_STREAM, 1, &block(&GET)),
            ANSWERED,
        ),
        case("4.1 the reserved bit of a stream", Idle, headers(1 | 1 << 31, &GET), ANSWERED),
        case("4.1 the reserved bit of stream 0", Idle, before(frame(kind::PING, 0, 1 << 31, &[0; 8])), ANSWERED),
        case("4.2 a frame of 16,384 bytes", Open, last(&[0; 16_384]), ANSWERED),
        case("5.1.1 stream numbers may be skipped", Idle, headers(77, &GET), ANSWERED).on(77),
        case("5.3 PRIORITY on an idle stream", Idle, before(frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 255])), ANSWERED),
        case(
            "5.3 PRIORITY for a later stream",
            Idle,
            before(frame(kind::PRIORITY, 0, 9, &[0x80, 0, 0, 1, 0])),
            ANSWERED,
        ),
        case(
            "5.3 PRIORITY on an open stream",
            Open,
            [frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), last(b"x")].concat(),
            ANSWERED,
        ),
        case("5.5 an unknown setting", Idle, before(settings(0xff, 9)), ANSWERED),
    ]
}

/// The last DATA of a request.
fn last(bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, END_STREAM, 1, bytes)
}

/// A request in all the frames that it may come in.
fn apart() -> Vec<Case> {
    let fields = block(&GET);
    let (half, rest) = fields.split_at(9);
    let begun = frame(kind::HEADERS, END_STREAM, 1, half);
    let head = headers(1, &[(":method", "HEAD"), GET[1], GET[2], GET[3]]);
    let preferred = [&[0x80, 0, 0, 5, 255][..], &fields].concat();
    let padded = [&[3][..], &fields, &[0; 3]].concat();
    let both = [&[3, 0, 0, 0, 0, 15][..], &fields, &[0; 3]].concat();
    let whole = END_HEADERS | END_STREAM;
    vec![
        case(
            "6.1 DATA in three frames",
            Open,
            [frame(kind::DATA, 0, 1, b"a"), frame(kind::DATA, 0, 1, b""), last(b"b")].concat(),
            ANSWERED,
        ),
        case("6.1 padded DATA", Open, frame(kind::DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0"), ANSWERED),
        case("6.1 DATA that is all padding", Open, frame(kind::DATA, PADDED | END_STREAM, 1, &[3, 0, 0, 0]), ANSWERED),
        case("6.1 DATA that ends a body and is empty", Open, last(b""), ANSWERED),
        case("6.2 HEAD", Idle, head, ANSWERED),
        case("6.2 padded HEADERS", Idle, frame(kind::HEADERS, PADDED | whole, 1, &padded), ANSWERED),
        case("6.2 HEADERS with a priority", Idle, frame(kind::HEADERS, PRIORITY | whole, 1, &preferred), ANSWERED),
        case(
            "6.2 HEADERS with padding and a priority",
            Idle,
            frame(kind::HEADERS, PADDED | PRIORITY | whole, 1, &both),
            ANSWERED,
        ),
        case(
            "6.10 a field block in two frames",
            Idle,
            [begun.clone(), frame(kind::CONTINUATION, END_HEADERS, 1, rest)].concat(),
            ANSWERED,
        ),
        case(
            "6.10 a field block in frames that hold one byte or none",
            Idle,
            [
                begun,
                frame(kind::CONTINUATION, 0, 1, &rest[..1]),
                frame(kind::CONTINUATION, 0, 1, &[]),
                frame(kind::CONTINUATION, END_HEADERS, 1, &rest[1..]),
            ]
            .concat(),
            ANSWERED,
        ),
    ]
}

#[tokio::test]
async fn frames_a_client_may_send_do_not_keep_its_request_from_an_answer() {
    hold(beside().into_iter().chain(apart()).collect()).await;
}

#[tokio::test]
async fn a_connection_starts_with_the_preface_and_settings() {
    let get = headers(1, &GET);
    let second = [PREFACE, &frame(kind::PING, 0, 0, &[0; 8])].concat();
    hold(vec![
        case("3.4 PING before SETTINGS", Mute, second, &[Connection(PROTOCOL_ERROR), Closed]),
        case("3.4 a request before SETTINGS", Mute, [PREFACE, &get].concat(), &[Connection(PROTOCOL_ERROR), Closed]),
        case(
            "3.4 the preface twice",
            Idle,
            PREFACE.to_vec(),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR), Closed],
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_have_the_size_and_the_blocks_that_chapter_4_asks_for() {
    let begun = frame(kind::HEADERS, END_STREAM, 1, &block(&GET));
    let amid = |bytes: Vec<u8>| [begun.clone(), bytes].concat();
    let long = "y".repeat(16_384);
    let large = [block(&GET), block(&[("x", &long)])].concat();
    hold(vec![
        case("4.2 DATA that is too large", Open, frame(kind::DATA, 0, 1, &vec![0; 16_385]), TOO_LARGE),
        case("4.2 HEADERS that are too large", Idle, packed(&large), TOO_LARGE),
        case("4.2 an unknown frame that is too large", Idle, frame(0x16, 0, 0, &vec![0; 16_385]), TOO_LARGE),
        case("4.3 a block that cannot be decoded", Idle, packed(&[0xff; 5]), &[Connection(COMPRESSION_ERROR)])
            .but(Connection(PROTOCOL_ERROR)),
        case("4.3 PRIORITY amid a block", Idle, amid(frame(kind::PRIORITY, 0, 1, &[0; 5])), WRONG),
        case("4.3 HEADERS of another stream amid a block", Idle, amid(headers(3, &GET)), WRONG),
        case("4.3 DATA amid a block", Idle, amid(frame(kind::DATA, 0, 1, b"x")), WRONG),
        case("4.3 PING amid a block", Idle, amid(frame(kind::PING, 0, 0, &[0; 8])), WRONG),
        case("5.5 an unknown frame amid a block", Idle, amid(frame(0xbb, 0, 0, &[])), WRONG),
    ])
    .await;
}

/// §5.1 idle: anything but HEADERS and PRIORITY is a connection error.
fn idle() -> Vec<Case> {
    vec![
        case("5.1 DATA on an idle stream", Idle, frame(kind::DATA, 0, 1, b"x"), WRONG),
        case("5.1 RST_STREAM on an idle stream", Idle, frame(kind::RST_STREAM, 0, 1, &[0; 4]), WRONG),
        case("5.1 WINDOW_UPDATE on an idle stream", Idle, frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), WRONG),
        case("5.1 CONTINUATION on an idle stream", Idle, frame(kind::CONTINUATION, 4, 1, &[]), WRONG),
        case("5.1 DATA on a stream of the server", Idle, frame(kind::DATA, 0, 2, b"x"), WRONG),
        case("5.1.1 an even stream", Idle, headers(2, &GET), WRONG),
        case("5.1.1 a stream that goes back", Idle, [headers(5, &HELD), headers(3, &GET)].concat(), WRONG),
        case("5.1.1 stream 0", Idle, headers(0, &GET), WRONG),
    ]
}

/// §5.1 half-closed: more than WINDOW_UPDATE, PRIORITY and RST_STREAM is a stream error.
fn half_closed() -> Vec<Case> {
    let late = &[Stream(STREAM_CLOSED)];
    let data = frame(kind::DATA, END_STREAM, 1, b"x");
    let open = frame(kind::HEADERS, END_HEADERS, 1, &block(&POST));
    vec![
        case("5.1 DATA on a half-closed stream", HalfClosed, data.clone(), late).but(Connection(PROTOCOL_ERROR)),
        case("5.1 DATA behind the end of a body", Open, [data.clone(), data].concat(), late)
            .but(Connection(PROTOCOL_ERROR)),
        case("5.1 HEADERS on a half-closed stream", HalfClosed, headers(1, &GET), late).but(Connection(PROTOCOL_ERROR)),
        case("5.1 HEADERS without an end on a half-closed stream", HalfClosed, open, late).but(Stream(PROTOCOL_ERROR)),
        case("5.1 CONTINUATION on a half-closed stream", HalfClosed, frame(kind::CONTINUATION, 4, 1, &[]), WRONG),
        case(
            "5.1 WINDOW_UPDATE on a half-closed stream",
            HalfClosed,
            frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            &[Ignored],
        ),
        case(
            "5.1 PRIORITY on a half-closed stream",
            HalfClosed,
            frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
            &[Ignored],
        ),
        case(
            "5.1 RST_STREAM on a half-closed stream",
            HalfClosed,
            frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            &[Ignored],
        ),
    ]
}

/// §5.1 closed, by the client's reset or by the end of the answer.
fn closed() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in [Reset, State::Closed] {
        cases.extend([
            case("5.1 DATA on a closed stream", state, frame(kind::DATA, 0, 1, b"x"), LATE),
            case(
                "5.1 HEADERS on a closed stream",
                state,
                headers(1, &GET),
                &[Stream(STREAM_CLOSED), Connection(PROTOCOL_ERROR)],
            ),
            case("5.1 CONTINUATION on a closed stream", state, frame(kind::CONTINUATION, 4, 1, &[]), WRONG),
            case("5.1 WINDOW_UPDATE on a closed stream", state, frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), LATE),
            case("5.1 RST_STREAM on a closed stream", state, frame(kind::RST_STREAM, 0, 1, &[0; 4]), LATE),
            case("5.1 PRIORITY on a closed stream", state, frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), &[Ignored]),
        ]);
    }
    cases
}

#[tokio::test]
async fn streams_take_what_their_state_allows_and_nothing_else() {
    let cases = idle().into_iter().chain(half_closed()).chain(closed());
    hold(cases.collect()).await;
}
