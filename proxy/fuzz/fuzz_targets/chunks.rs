//! Any bytes as a body in chunks: it ends at the same place however it comes, and where it is taken for whole another reader, httparse
//! for the sizes, finds the same end.
#![no_main]
#![allow(dead_code, reason = "the module's own tests stay outside")]

#[path = "../../src/listen/chunks/follow.rs"]
mod follow;

use follow::{Broken, Chunks};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (cut, body) = input;
    let whole = read(body, body.len().max(1));
    for piece in [1, usize::from(cut).max(2)] {
        assert_eq!(read(body, piece), whole, "in pieces of {piece}");
    }
    if let Ok(Some(end)) = whole {
        assert_eq!(end_of(body), Some(end));
        // What comes behind it changes nothing, and less is not all.
        assert_eq!(read(&body[..end], body.len()), Ok(Some(end)));
        assert_eq!(read(&body[..end - 1], body.len()), Ok(None));
    }
});

/// Where a body ends that comes in pieces of this size.
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

/// The same by another reader; `None` where that finds none.
fn end_of(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&body[at..]) else { return None };
        at += line;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        (body.get(at..at.checked_add(2)?)? == b"\r\n").then_some(())?;
        at += 2;
    }
    // From the end of the last size's line: an empty line ends the trailers.
    let from = at - 2;
    Some(from + body[from..].windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}
