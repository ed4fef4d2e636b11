//! What a guest reads of a connection, beside a simple model: whatever pieces it comes in, nothing is lost, changed or read twice, a line ends
//! at its line feed, and nothing that came in plain is read after TLS began.
#![no_main]

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{Result as Taken, Unstructured};
use littoral_plugin_host::fuzzing::{Connection, NoLine};
use littoral_plugin_host::service::{DialSpec, Dialling, Refused, Step, Target, Trouble, Wire};

/// Of a line.
const LINE_BYTES_MAX: usize = 16 << 10;

/// A peer that sends pieces, those behind TLS apart.
struct Pieces {
    plain: Vec<Vec<u8>>,
    secret: Vec<Vec<u8>>,
    is_secure: bool,
}

impl Wire for Pieces {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 7))
    }
    fn is_secure(&self) -> bool {
        self.is_secure
    }
    fn may_start_tls(&self) -> bool {
        !self.is_secure
    }
    fn read<'a>(&'a mut self, into: &'a mut [u8], _silence: Option<Duration>) -> Step<'a, usize> {
        assert!(!into.is_empty() && into.len() <= LINE_BYTES_MAX);
        let pieces = if self.is_secure { &mut self.secret } else { &mut self.plain };
        let mut piece = pieces.pop().unwrap_or_default();
        let length = piece.len().min(into.len());
        into[..length].copy_from_slice(&piece[..length]);
        if length < piece.len() {
            pieces.push(piece.split_off(length));
        }
        Box::pin(async move { Ok(length) })
    }
    fn write<'a>(&'a mut self, _bytes: &'a [u8]) -> Step<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn finish(&mut self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn start_tls(&mut self) -> Step<'_, ()> {
        self.is_secure = true;
        Box::pin(async { Ok(()) })
    }
    fn sleep(&mut self, _time: Duration) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn dial<'a>(&'a mut self, _target: Target, _granted: &'a DialSpec) -> Dialling<'a> {
        Box::pin(async { Err(Refused::Unreachable) })
    }
    fn close(&mut self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What the guest does next.
enum Does {
    Read(u16),
    Line(u16),
    StartTls,
}

impl Does {
    fn of((kind, most): (u8, u16)) -> Self {
        match kind % 8 {
            0 => Self::StartTls,
            1..=3 => Self::Read(most),
            _ => Self::Line(most),
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

/// What the peer sends, as it is taken: an empty piece is its end.
fn pieces(input: &mut Unstructured) -> Taken<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut pieces: Vec<Vec<u8>> = input.arbitrary()?;
    pieces.retain(|piece| !piece.is_empty());
    let whole = pieces.concat();
    pieces.reverse();
    Ok((pieces, whole))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Too few bytes are an input of no interest.
    let _ = pose(&mut Unstructured::new(bytes));
});

fn pose(input: &mut Unstructured) -> Taken<()> {
    let ((plain, first), (secret, second)) = (pieces(input)?, pieces(input)?);
    let mut connection = Connection::of(Box::new(Pieces { plain, secret, is_secure: false }));
    // What is still to be read: of the plain part while there is no TLS, of the other after that.
    let (mut left, mut is_secure) = (first, false);
    for does in input.arbitrary::<Vec<(u8, u16)>>()? {
        match Does::of(does) {
            Does::Read(most) => {
                let most = usize::from(most).max(1);
                let read = wait(connection.read(most)).expect("the peer is well");
                assert!(read.len() <= most && left.starts_with(&read) && read.is_empty() == left.is_empty());
                let feed = read.iter().position(|byte| *byte == b'\n');
                assert!(is_secure || feed.is_none_or(|at| at + 1 == read.len()), "what follows a line may be under TLS");
                left.drain(..read.len());
            }
            Does::Line(most) => {
                let most = usize::from(most).clamp(1, LINE_BYTES_MAX);
                let expected = left.iter().position(|byte| *byte == b'\n').map_or(left.len(), |at| at + 1);
                let line = wait(connection.read_line(most));
                // A line without a line feed that is as long as may be could be longer still.
                let is_too_long = expected > most || expected == most && left.get(expected - 1) != Some(&b'\n');
                match line {
                    Ok(line) => assert!(!is_too_long && line == left[..expected]),
                    Err(NoLine::TooLong) => assert!(is_too_long, "{expected} of {most}"),
                    Err(NoLine::Trouble(trouble)) => unreachable!("{trouble:?}"),
                }
                left.drain(..if is_too_long { 0 } else { expected });
            }
            Does::StartTls => {
                let before = wait(connection.start_tls());
                match before {
                    Ok(()) => assert!(!std::mem::replace(&mut is_secure, true), "TLS begins once"),
                    Err(Trouble::Tls) => assert!(is_secure),
                    // The peer's side had ended.
                    Err(_) => return Ok(assert!(!is_secure)),
                }
                if before.is_ok() {
                    left.clone_from(&second);
                }
            }
        }
    }
    Ok(())
}
