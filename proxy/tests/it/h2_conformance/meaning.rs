//! Chapters 6 and 7 of RFC 9113: what each type of frame must look like, and what error codes do.

use littoral_testkit::h2::{END_HEADERS, END_STREAM, PADDED, PRIORITY, block, frame, kind};

use super::State::{HalfClosed, Idle, Open};
use super::{
    Case, Closed, Connection, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, Ignored, NO_ERROR, PROTOCOL_ERROR, Right,
    Stream, case, headers, hold, setting, settings,
};

const WRONG: &[Right] = &[Connection(PROTOCOL_ERROR)];
const SIZE: &[Right] = &[Connection(FRAME_SIZE_ERROR)];
const OVERFLOW: &[Right] = &[Connection(FLOW_CONTROL_ERROR)];
const PASSED: &[Right] = &[Ignored];

#[tokio::test]
async fn data_headers_priority_and_resets_are_read_as_6_1_to_6_4_say() {
    let whole = END_HEADERS | END_STREAM;
    let preferred = |bytes: &[u8]| frame(kind::HEADERS, PRIORITY | whole, 1, bytes);
    let padded = |bytes: &[u8]| frame(kind::HEADERS, PADDED | whole, 1, bytes);
    hold(vec![
        case("6.1 DATA on stream 0", Idle, frame(kind::DATA, 0, 0, b"x"), WRONG),
        case("6.1 padding as long as the payload", Open, frame(kind::DATA, PADDED, 1, &[2, 0]), WRONG),
        case("6.1 padding longer than the payload", Open, frame(kind::DATA, PADDED, 1, &[9, 0]), WRONG),
        case(
            "6.1 padded DATA without a length",
            Open,
            frame(kind::DATA, PADDED, 1, &[]),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
        case("6.2 HEADERS on stream 0", Idle, headers(0, &GET), WRONG),
        case("6.2 padding longer than the payload", Idle, padded(&[9, 0]), WRONG),
        case(
            "6.2 padded HEADERS without a length",
            Idle,
            padded(&[]),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
        case(
            "6.2 a priority that is cut short",
            Idle,
            preferred(&[0; 4]),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
        case("6.3 PRIORITY on stream 0", Idle, frame(kind::PRIORITY, 0, 0, &[0; 5]), WRONG),
        case("6.3 PRIORITY of 4 bytes", Open, frame(kind::PRIORITY, 0, 1, &[0; 4]), &[Stream(FRAME_SIZE_ERROR)]),
        case("6.3 PRIORITY of 6 bytes", Open, frame(kind::PRIORITY, 0, 1, &[0; 6]), &[Stream(FRAME_SIZE_ERROR)]),
        case("6.4 RST_STREAM on stream 0", Idle, frame(kind::RST_STREAM, 0, 0, &[0; 4]), WRONG),
        case("6.4 RST_STREAM of 3 bytes", Open, frame(kind::RST_STREAM, 0, 1, &[0; 3]), SIZE),
        case("6.4 RST_STREAM of 5 bytes", Open, frame(kind::RST_STREAM, 0, 1, &[0; 5]), SIZE),
    ])
    .await;
}

#[tokio::test]
async fn settings_are_read_as_6_5_says() {
    let many = |list: &[Vec<u8>]| frame(kind::SETTINGS, 0, 0, &list.concat());
    hold(vec![
        case("6.5 SETTINGS ACK with a payload", Idle, frame(kind::SETTINGS, 1, 0, &[0; 6]), SIZE),
        case("6.5 SETTINGS ACK with one byte", Idle, frame(kind::SETTINGS, 1, 0, &[0]), SIZE),
        case("6.5 SETTINGS on a stream", Idle, frame(kind::SETTINGS, 0, 1, &[]), WRONG),
        case("6.5 SETTINGS of 5 bytes", Idle, frame(kind::SETTINGS, 0, 0, &[0; 5]), SIZE),
        case("6.5 SETTINGS of 7 bytes", Idle, frame(kind::SETTINGS, 0, 0, &[0; 7]), SIZE),
        case("6.5.2 HEADER_TABLE_SIZE of any value", Idle, settings(1, u32::MAX), PASSED),
        case("6.5.2 ENABLE_PUSH = 0", Idle, settings(2, 0), PASSED),
        case("6.5.2 ENABLE_PUSH = 1", Idle, settings(2, 1), PASSED),
        case("6.5.2 ENABLE_PUSH = 2", Idle, settings(2, 2), WRONG),
        case("6.5.2 MAX_CONCURRENT_STREAMS = 0", Idle, settings(3, 0), PASSED),
        case("6.5.2 the largest window", Idle, settings(4, (1 << 31) - 1), PASSED),
        case("6.5.2 a window over 2^31-1", Idle, settings(4, 1 << 31), OVERFLOW).but(Connection(PROTOCOL_ERROR)),
        case("6.5.2 the smallest frame size", Idle, settings(5, 1 << 14), PASSED),
        case("6.5.2 the largest frame size", Idle, settings(5, (1 << 24) - 1), PASSED),
        case("6.5.2 a frame size under 2^14", Idle, settings(5, (1 << 14) - 1), WRONG),
        case("6.5.2 a frame size over 2^24-1", Idle, settings(5, 1 << 24), WRONG),
        case("6.5.2 MAX_HEADER_LIST_SIZE of any value", Idle, settings(6, 0), PASSED),
        case("6.5.2 an unknown setting", Idle, settings(0xf0f0, u32::MAX), PASSED),
        case("6.5.3 a wrong setting behind a right one", Idle, many(&[setting(4, 9), setting(2, 7)]), WRONG),
        case("6.5.3 one setting twice", Idle, many(&[setting(4, 9), setting(4, 7)]), PASSED),
    ])
    .await;
}

#[tokio::test]
async fn pushes_pings_and_farewells_are_read_as_6_6_to_6_8_say() {
    let push = |flags, payload: &[u8]| frame(kind::PUSH_PROMISE, flags, 1, payload);
    let promise = [&[0, 0, 0, 2][..], &block(&GET)].concat();
    let gone: &[Right] = &[Ignored, Connection(NO_ERROR), Closed];
    hold(vec![
        case("6.6 a client's PUSH_PROMISE", Open, push(END_HEADERS, &promise), WRONG),
        case("6.6 a client's PUSH_PROMISE on a half-closed stream", HalfClosed, push(END_HEADERS, &promise), WRONG),
        case(
            "6.6 a client's PUSH_PROMISE on stream 0",
            Idle,
            frame(kind::PUSH_PROMISE, END_HEADERS, 0, &promise),
            WRONG,
        ),
        case("6.6 a client's PUSH_PROMISE on an idle stream", Idle, push(END_HEADERS, &promise), WRONG),
        case("6.7 PING ACK that nobody waits for", Idle, frame(kind::PING, 1, 0, &[9; 8]), PASSED),
        case("6.7 PING on a stream", Idle, frame(kind::PING, 0, 1, &[0; 8]), WRONG),
        case("6.7 PING of 7 bytes", Idle, frame(kind::PING, 0, 0, &[0; 7]), SIZE),
        case("6.7 PING of 9 bytes", Idle, frame(kind::PING, 0, 0, &[0; 9]), SIZE),
        case("6.7 PING of no bytes", Idle, frame(kind::PING, 0, 0, &[]), SIZE),
        case("6.8 GOAWAY on a stream", Idle, frame(kind::GOAWAY, 0, 1, &[0; 8]), WRONG),
        case("6.8 GOAWAY of 7 bytes", Idle, frame(kind::GOAWAY, 0, 0, &[0; 7]), SIZE),
        case("6.8 GOAWAY", Idle, frame(kind::GOAWAY, 0, 0, &[0; 8]), gone),
        case("6.8 GOAWAY with words", Idle, frame(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0farewell"), gone),
        case("6.8 GOAWAY while a request is under way", HalfClosed, frame(kind::GOAWAY, 0, 0, &[0; 8]), PASSED),
        case("7 GOAWAY with an unknown code", Idle, frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), gone),
        case("7 RST_STREAM with an unknown code", HalfClosed, frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 0xff]), PASSED),
    ])
    .await;
}

fn windows() -> Vec<Case> {
    let update = |stream, by: u32| frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let most = (1 << 31) - 1;
    vec![
        case("6.9 WINDOW_UPDATE of 3 bytes", Idle, frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), SIZE),
        case("6.9 WINDOW_UPDATE of 5 bytes", Idle, frame(kind::WINDOW_UPDATE, 0, 0, &[0; 5]), SIZE),
        case("6.9 WINDOW_UPDATE by 0", Idle, update(0, 0), WRONG),
        case("6.9 WINDOW_UPDATE by 0 on a stream", HalfClosed, update(1, 0), &[Stream(PROTOCOL_ERROR)]),
        case("6.9 WINDOW_UPDATE with the reserved bit", HalfClosed, update(1, 1 | 1 << 31), PASSED),
        case("6.9.1 a window up to 2^31-1", Idle, update(0, most - 65_535), PASSED),
        case("6.9.1 a window that overflows", Idle, update(0, most).repeat(2), OVERFLOW),
        case("6.9.1 a window that overflows by one", Idle, update(0, most - 65_534), OVERFLOW),
        case("6.9.1 a stream's window up to 2^31-1", HalfClosed, update(1, most - 65_535), PASSED),
        case(
            "6.9.1 a stream's window that overflows",
            HalfClosed,
            update(1, most).repeat(2),
            &[Stream(FLOW_CONTROL_ERROR)],
        ),
        case(
            "6.9.2 a stream's window that a setting overflows",
            HalfClosed,
            [update(1, most - 65_535), settings(4, 65_536)].concat(),
            OVERFLOW,
        ),
    ]
}

#[tokio::test]
async fn windows_are_bounded_and_blocks_are_continued_as_6_9_and_6_10_say() {
    let begun = frame(kind::HEADERS, END_STREAM, 1, &block(&GET));
    let amid = |bytes: Vec<u8>| [begun.clone(), bytes].concat();
    let more = |flags, stream| frame(kind::CONTINUATION, flags, stream, &block(&[("x", "y")]));
    let mut cases = windows();
    cases.extend([
        case("6.10 CONTINUATION on stream 0", Idle, amid(more(END_HEADERS, 0)), WRONG),
        case("6.10 CONTINUATION of another stream", Idle, amid(more(END_HEADERS, 3)), WRONG),
        case("6.10 HEADERS of the same stream amid a block", Idle, amid(headers(1, &GET)), WRONG),
        case("6.10 RST_STREAM amid a block", Idle, amid(frame(kind::RST_STREAM, 0, 1, &[0; 4])), WRONG),
        case("6.10 SETTINGS amid a block", Idle, amid(frame(kind::SETTINGS, 0, 0, &[])), WRONG),
        case("6.10 CONTINUATION behind a whole block", HalfClosed, more(END_HEADERS, 1), WRONG),
        case(
            "6.10 CONTINUATION behind DATA",
            Open,
            [frame(kind::DATA, 0, 1, b"x"), more(END_HEADERS, 1)].concat(),
            WRONG,
        ),
        case(
            "6.10 DATA between two CONTINUATIONs",
            Idle,
            amid([more(0, 1), frame(kind::DATA, 0, 1, b"x"), more(4, 1)].concat()),
            WRONG,
        ),
    ]);
    hold(cases).await;
}
