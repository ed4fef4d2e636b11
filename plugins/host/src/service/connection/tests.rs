//! Connections over a peer that is written down: what a guest is handed, and what happens to a connection that is over.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::*;
use crate::service::wire::Step;
use crate::service::{DialSpec, Dialling, Refused, Target};

/// A peer whose bytes come in the pieces that were written down; after them, its end.
#[derive(Default)]
struct Script {
    pieces: VecDeque<Vec<u8>>,
    may_start_tls: bool,
    secure: bool,
    trouble: Option<Trouble>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Wire for Script {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 4000))
    }
    fn is_secure(&self) -> bool {
        self.secure
    }
    fn may_start_tls(&self) -> bool {
        self.may_start_tls
    }
    fn read<'a>(&'a mut self, into: &'a mut [u8], _silence: Option<Duration>) -> Step<'a, usize> {
        Box::pin(async move {
            if let Some(trouble) = self.trouble.take() {
                return Err(trouble);
            }
            let Some(mut piece) = self.pieces.pop_front() else { return Ok(0) };
            assert!(!into.is_empty(), "there is room");
            let length = piece.len().min(into.len());
            into[..length].copy_from_slice(&piece[..length]);
            let rest = piece.split_off(length);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
            Ok(length)
        })
    }
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a, ()> {
        self.said.lock().push(format!("write {}", bytes.len()));
        Box::pin(async { Ok(()) })
    }
    fn finish(&mut self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn start_tls(&mut self) -> Step<'_, ()> {
        (self.may_start_tls, self.secure) = (false, true);
        Box::pin(async { Ok(()) })
    }
    fn sleep(&mut self, time: Duration) -> Step<'_, ()> {
        self.said.lock().push(format!("sleep {}", time.as_millis()));
        Box::pin(async { Ok(()) })
    }
    fn dial<'a>(&'a mut self, _target: Target, _granted: &'a DialSpec) -> Dialling<'a> {
        Box::pin(async { Err(Refused::Unreachable) })
    }

    fn close(&mut self) -> Step<'_, ()> {
        self.said.lock().push("close".into());
        Box::pin(async { Ok(()) })
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn saying(pieces: &[&str]) -> Script {
    Script { pieces: pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect(), ..Script::default() }
}

fn over(script: Script) -> Connection {
    Connection::new(Box::new(script), Arc::default())
}

fn line(connection: &mut Connection, most: usize) -> Result<String, NoLine> {
    now(connection.read_line(most)).map(|line| String::from_utf8(line).unwrap())
}

fn some(connection: &mut Connection, most: usize) -> Result<String, Trouble> {
    now(connection.read(most)).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn lines_are_the_same_however_they_come() {
    let text = "HELO a\r\n\r\nlong line of some words\nlast";
    for size in 1..=text.len() {
        let pieces: Vec<String> =
            text.as_bytes().chunks(size).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let mut connection = over(saying(&pieces));
        let mut lines = Vec::new();
        loop {
            match line(&mut connection, 64).unwrap() {
                none if none.is_empty() => break,
                line => lines.push(line),
            }
        }
        assert_eq!(lines, ["HELO a\r\n", "\r\n", "long line of some words\n", "last"], "{size}");
        assert_eq!(line(&mut connection, 64), Ok(String::new()), "the end stays the end");
    }
}

#[test]
fn a_line_may_have_so_many_bytes_and_no_more_and_what_is_too_long_is_still_there() {
    let mut connection = over(saying(&["abc\nabcd\n"]));
    assert_eq!(line(&mut connection, 4), Ok("abc\n".into()));
    assert_eq!(line(&mut connection, 4), Err(NoLine::TooLong));
    assert_eq!(line(&mut connection, 4), Err(NoLine::TooLong));
    assert_eq!(some(&mut connection, 3), Ok("abc".into()));
    assert_eq!(line(&mut connection, 4), Ok("d\n".into()));
    let long = "x".repeat(AHEAD_BYTES_MAX - 1) + "\n";
    let mut connection = over(saying(&[&long, &long, "y"]));
    assert_eq!(line(&mut connection, AHEAD_BYTES_MAX).unwrap().len(), AHEAD_BYTES_MAX);
    assert_eq!(line(&mut connection, AHEAD_BYTES_MAX).unwrap().len(), AHEAD_BYTES_MAX);
    assert_eq!(connection.ahead.len(), AHEAD_BYTES_MAX);
    let endless = "x".repeat(100 * AHEAD_BYTES_MAX);
    let mut connection = over(saying(&[&endless]));
    assert_eq!(line(&mut connection, AHEAD_BYTES_MAX), Err(NoLine::TooLong));
    assert!(connection.ahead.len() <= AHEAD_BYTES_MAX, "no more is read than a line may have");
}

#[test]
fn some_bytes_are_what_there_is_and_a_peer_that_sends_much_gets_more_room() {
    let much = "x".repeat(200_000);
    let mut connection = over(saying(&["ab", "c", &much]));
    assert_eq!(some(&mut connection, 64 << 10), Ok("ab".into()));
    assert_eq!(some(&mut connection, 64 << 10), Ok("c".into()));
    let (mut sizes, mut sum) = (Vec::new(), 0);
    while sum < much.len() {
        sizes.push(some(&mut connection, 64 << 10).unwrap().len());
        sum += sizes[sizes.len() - 1];
    }
    assert_eq!((sizes[0], sizes.iter().max().copied()), (AHEAD_BYTES_MIN, Some(AHEAD_BYTES_MAX)));
    assert_eq!(some(&mut connection, 1), Ok(String::new()));
}

#[test]
fn nothing_beyond_a_line_is_handed_over_while_tls_may_be_started_and_what_was_read_ahead_is_gone_then() {
    let injected = "STARTTLS\r\nMAIL FROM:<eve@example>\r\n";
    for most in [10, 1000] {
        let mut connection = over(Script { may_start_tls: true, ..saying(&[injected, "after"]) });
        assert_eq!(some(&mut connection, most), Ok("STARTTLS\r\n".into()));
        now(connection.start_tls()).unwrap();
        assert!(connection.wire().is_secure());
        assert_eq!(some(&mut connection, most), Ok("after".into()), "what came in plain is nowhere");
        assert_eq!(connection.figures.discarded.load(Relaxed), 25);
    }
    let mut connection = over(Script { may_start_tls: true, ..saying(&[injected, "after\n"]) });
    assert_eq!(line(&mut connection, 100), Ok("STARTTLS\r\n".into()));
    now(connection.start_tls()).unwrap();
    assert_eq!(line(&mut connection, 100), Ok("after\n".into()));
    assert_eq!(now(connection.start_tls()), Err(Trouble::Tls), "once");
    assert_eq!(line(&mut connection, 100), Ok(String::new()), "and nothing has happened by that");
}

#[test]
fn a_trouble_that_ends_a_connection_is_the_last_thing_that_happens_to_it() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut connection = over(Script { trouble: Some(Trouble::Timeout), said: said.clone(), ..saying(&["late"]) });
    assert_eq!(some(&mut connection, 10), Err(Trouble::Timeout));
    assert_eq!([now(connection.write(b"x")), now(connection.finish())], [Err(Trouble::Closed); 2]);
    assert_eq!(some(&mut connection, 10), Err(Trouble::Closed));
    now(connection.close());
    assert!(said.lock().is_empty());
    let mut connection = over(Script { trouble: Some(Trouble::Ending), said: said.clone(), ..saying(&["still"]) });
    assert_eq!(some(&mut connection, 10), Err(Trouble::Ending));
    assert_eq!(some(&mut connection, 10), Ok("still".into()), "a warning ends nothing");
    now(connection.write(b"bye")).unwrap();
    now(connection.write(b"")).unwrap();
    connection.be_silent_for(Duration::from_millis(7));
    let rests = Connection::sleep;
    now(rests(&mut connection, Duration::from_secs(9))).unwrap();
    now(connection.close());
    now(connection.close());
    assert_eq!(*said.lock(), ["write 3", "sleep 7", "close"]);
    assert_eq!(connection.figures.troubles[Trouble::Ending as usize].load(Relaxed), 1);
}
