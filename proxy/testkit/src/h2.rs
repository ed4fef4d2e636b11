//! An HTTP/2 client that sends just the frames it is given (RFC 9113), and says how the server took them.
//!
//! Field blocks are written as plain literals and read only as far as the status: the client's table has size 0, so the
//! server cannot refer to one.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Duplex;

/// Frame types (§6).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags: END_STREAM and ACK; END_HEADERS.
pub const END_STREAM: u8 = 1;
/// END_HEADERS.
pub const END_HEADERS: u8 = 4;
/// PADDED: the first byte of the payload says how many there are behind it.
pub const PADDED: u8 = 8;
/// PRIORITY: five bytes of it precede a field block.
pub const PRIORITY: u8 = 32;

/// What a client sends first, with its SETTINGS (table size 0).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0";

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// How a stream or the connection went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this status.
    Status(u16),
    /// It was reset, with this code.
    Reset(u32),
    /// The connection is to end, with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// A connection.
pub struct Frames {
    stream: Box<dyn Duplex>,
    read: Vec<u8>,
}

impl Frames {
    /// Says hello over a connection.
    pub async fn begin(stream: impl Duplex + 'static) -> Self {
        let mut frames = Self::mute(stream);
        frames.raw(HELLO).await;
        frames
    }

    /// Says nothing yet, not even the preface.
    pub fn mute(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Sends bytes. A server that has closed already is no error here.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a frame.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&frame(kind, flags, stream, payload)).await;
    }

    /// Sends HEADERS with these fields, whole.
    pub async fn ask(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(kind::HEADERS, flags, stream, &block(fields)).await;
    }

    /// Sends a GET for a path.
    pub async fn get(&mut self, stream: u32, host: &str, path: &str) {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)];
        self.ask(stream, &fields, true).await;
    }

    /// The next frame.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.read.split_first_chunk::<9>() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if rest.len() >= length {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let found = Frame { kind: head[3], flags: head[4], stream, payload: rest[..length].to_vec() };
                    self.read.drain(..9 + length);
                    return Some(found);
                }
            }
            if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// How a stream goes on: what is first of an answer, a reset and the end of the connection. SETTINGS are acknowledged.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.next().await {
            if let Some(outcome) = self.judge(&frame, stream).await {
                return outcome;
            }
        }
        Outcome::Closed
    }

    /// How a stream went on before two PINGs, one after the other, came back; none: all that was sent was passed over.
    ///
    /// What a server says of frames goes out with the answer to the first PING behind them, at the latest.
    pub async fn settled(&mut self, stream: u32) -> Option<Outcome> {
        for ping in [*b"settled1", *b"settled2"] {
            self.send(kind::PING, 0, 0, &ping).await;
            loop {
                let Some(frame) = self.next().await else {
                    return Some(Outcome::Closed);
                };
                if frame.kind == kind::PING && frame.flags & 1 == 1 && frame.payload == ping {
                    break;
                }
                if let Some(outcome) = self.judge(&frame, stream).await {
                    return Some(outcome);
                }
            }
        }
        None
    }

    /// What a frame means for a stream, if it decides it.
    async fn judge(&mut self, frame: &Frame, stream: u32) -> Option<Outcome> {
        let code = |payload: &[u8]| payload.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        match frame.kind {
            kind::HEADERS if frame.stream == stream => return Some(Outcome::Status(status(&frame.payload))),
            kind::RST_STREAM if frame.stream == stream => return Some(Outcome::Reset(code(&frame.payload))),
            // A farewell without an error leaves the streams up to the last one to be answered (§6.8).
            kind::GOAWAY if code(&frame.payload[4..]) == 0 && code(&frame.payload) >= stream => {}
            kind::GOAWAY => return Some(Outcome::GoAway(code(&frame.payload[4..]))),
            kind::SETTINGS if frame.flags & 1 == 0 => self.send(kind::SETTINGS, 1, 0, &[]).await,
            _ => {}
        }
        None
    }

    /// How the connection ends, whatever is answered before.
    pub async fn end(&mut self) -> Outcome {
        self.outcome(u32::MAX).await
    }
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541 §6.2.2), without a look at what is in them.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            push_length(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn push_length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return out.push(length as u8);
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// The status, which is the first field of a block.
fn status(block: &[u8]) -> u16 {
    // Updates of the table's size may come first (RFC 7541 §6.3).
    let block = &block[block.iter().take_while(|byte| **byte >> 5 == 1).count()..];
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [_, length, value @ ..] if length & 0x80 != 0 => huffman_digits(&value[..usize::from(length & 0x7f)]),
        [_, _, value @ ..] => std::str::from_utf8(&value[..3]).unwrap().parse().unwrap(),
        _ => panic!("no status: {block:?}"),
    }
}

/// Three digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let digit = if five < 3 { five } else { (five << 1 | bits.next().unwrap()) - 0x19 + 3 };
        number = number * 10 + digit;
    }
    number
}
