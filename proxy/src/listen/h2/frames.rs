//! Watches the frames a client sends, without taking part: those that cost us something and ask for nothing are counted.
//!
//! The h2 crate answers each PING and SETTINGS and forgets each reset as it comes, without a bound in time (CVE-2019-9512,
//! -9514, -9515, -9518, CVE-2023-44487). Here each kind has a bucket; when one is empty nothing more is read from the client and
//! the connection is told ([`Alarm::raised`]). Window updates are not counted: they come with every download.
//!
//! Two rules of RFC 9113 are kept here too, since the h2 crate passes over the one and answers the other with a wrong code: the first
//! frame is SETTINGS (§3.4), and frames of a fixed size have it (FRAME_SIZE_ERROR, §6).
//!
//! Invariant: bytes pass through unchanged up to the frame that is at fault; nothing is allocated per frame.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use crate::listen::tapped::{Tap, Tapped};

/// Bytes of the client's preface (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// PING, SETTINGS, PRIORITY, empty DATA and unknown frames at once, and how long one takes to come back.
const IDLE_FRAMES: (u32, Duration) = (1000, Duration::from_millis(10));
/// RST_STREAM at once, and how long one takes to come back.
const RESETS: (u32, Duration) = (200, Duration::from_millis(20));

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There were too many of its kind.
    Flood,
    /// It is longer or shorter than its type allows.
    Size,
    /// It is the first one, and no SETTINGS.
    Opening,
}

/// Tells the connection of a fault; there is no second one.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    fault: OnceLock<Fault>,
    told: Notify,
}

impl Alarm {
    pub(super) async fn raised(&self) -> Fault {
        loop {
            if let Some(fault) = self.fault.get() {
                return *fault;
            }
            self.told.notified().await;
        }
    }

    fn raise(&self, fault: Fault) {
        if self.fault.set(fault).is_ok() {
            self.told.notify_one();
        }
    }
}

/// Whether a frame may have this many bytes (RFC 9113 §6.3 to §6.9). DATA and field blocks are the h2 crate's.
fn fits(kind: u8, flags: u8, bytes: usize) -> bool {
    match kind {
        // PRIORITY
        2 => bytes == 5,
        // RST_STREAM, WINDOW_UPDATE
        3 | 8 => bytes == 4,
        // SETTINGS, and its ACK
        4 if flags & 1 != 0 => bytes == 0,
        4 => bytes.is_multiple_of(6),
        // PING
        6 => bytes == 8,
        // GOAWAY
        7 => bytes >= 8,
        _ => true,
    }
}

/// Frames of a kind that may come: full at first, and one more each interval.
#[derive(Debug)]
struct Bucket {
    left: u32,
    most: u32,
    interval: Duration,
    since: Instant,
}

impl Bucket {
    fn new((most, interval): (u32, Duration)) -> Self {
        Self { left: most, most, interval, since: Instant::now() }
    }

    fn take(&mut self) -> bool {
        if self.left == 0 {
            let back = self.since.elapsed().as_nanos() / self.interval.as_nanos().max(1);
            self.left = u32::try_from(back).unwrap_or(u32::MAX).min(self.most);
            self.since = Instant::now();
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// Where in a frame the next byte is, and what there was so far.
#[derive(Debug)]
struct Frames {
    /// Bytes to pass over: of the preface or of a payload.
    skip: usize,
    head: [u8; 9],
    have: usize,
    /// SETTINGS came.
    opened: bool,
    idle: Bucket,
    resets: Bucket,
}

impl Frames {
    fn new() -> Self {
        let (idle, resets) = (Bucket::new(IDLE_FRAMES), Bucket::new(RESETS));
        Self { skip: PREFACE_BYTES, head: [0; 9], have: 0, opened: false, idle, resets }
    }

    /// Follows what came. A fault comes with the number of bytes before its frame.
    fn follow(&mut self, all: &[u8]) -> Result<(), (Fault, usize)> {
        let mut bytes = all;
        loop {
            let over = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - over, &bytes[over..]);
            let before = all.len() - bytes.len();
            let part = bytes.len().min(self.head.len() - self.have);
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            (self.have, bytes) = (self.have + part, &bytes[part..]);
            if self.have < self.head.len() {
                return Ok(());
            }
            self.have = 0;
            self.take().map_err(|fault| (fault, before))?;
        }
    }

    /// A frame whose head is whole.
    fn take(&mut self) -> Result<(), Fault> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if !self.opened && kind != 4 {
            return Err(Fault::Opening);
        }
        self.opened = true;
        if !fits(kind, flags, self.skip) {
            return Err(Fault::Size);
        }
        let fine = match kind {
            // DATA that carries nothing and ends nothing.
            0 if self.skip == 0 && flags & 1 == 0 => self.idle.take(),
            3 => self.resets.take(),
            // HEADERS and CONTINUATION have bounds of their own, window updates none.
            0 | 1 | 8 | 9 => true,
            _ => self.idle.take(),
        };
        if fine { Ok(()) } else { Err(Fault::Flood) }
    }
}

/// A connection whose frames are watched.
pub(super) type Watched = Tapped<Watch>;

/// Watches frames.
#[derive(Debug)]
pub(super) struct Watch {
    frames: Frames,
    alarm: Arc<Alarm>,
}

impl Watched {
    pub(super) fn new(stream: Stream, alarm: Arc<Alarm>) -> Self {
        Self::over(stream, Watch { frames: Frames::new(), alarm })
    }
}

impl Tap for Watch {
    fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.alarm.fault.get().is_some() {
            // Whoever waits for the connection's end is woken by its own timer.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(stream).poll_read(cx, buf);
        if polled.is_ready()
            && let Err((fault, good)) = self.frames.follow(&buf.filled()[before..])
        {
            buf.set_filled(before + good);
            self.alarm.raise(fault);
            if good == 0 {
                return Poll::Pending;
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; payload][..]].concat()
    }

    /// The preface and SETTINGS.
    fn opening() -> Vec<u8> {
        [vec![b'x'; PREFACE_BYTES], frame(4, 0, 0)].concat()
    }

    #[test]
    fn a_frame_of_a_wrong_size_is_found_and_what_precedes_it_passes() {
        for (kind, flags, payload, fine) in [
            (0, 0, 3, true),
            (2, 0, 4, false),
            (2, 0, 5, true),
            (3, 0, 4, true),
            (3, 0, 5, false),
            (4, 0, 12, true),
            (4, 0, 7, false),
            (4, 1, 0, true),
            (4, 1, 6, false),
            (6, 1, 8, true),
            (6, 0, 9, false),
            (7, 0, 7, false),
            (7, 0, 99, true),
            (8, 0, 3, false),
            (8, 0, 4, true),
            (99, 0, 3, true),
        ] {
            let sent = [opening(), frame(kind, flags, payload)].concat();
            let expected = if fine { Ok(()) } else { Err((Fault::Size, opening().len())) };
            assert_eq!(Frames::new().follow(&sent), expected, "{kind} {payload}");
        }
    }

    #[test]
    fn the_first_frame_is_settings() {
        let sent = [vec![b'x'; PREFACE_BYTES], frame(6, 0, 8)].concat();
        assert_eq!(Frames::new().follow(&sent), Err((Fault::Opening, PREFACE_BYTES)));
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        for (kind, flags, payload, most) in [
            (6, 0, 8, Some(IDLE_FRAMES.0)),
            (3, 0, 4, Some(RESETS.0)),
            (0, 0, 0, Some(IDLE_FRAMES.0)),
            (0, 0, 1, None),
            (8, 0, 4, None),
        ] {
            for cut in [1, 5, 9, 1000] {
                let mut frames = Frames::new();
                assert_eq!(frames.follow(&opening()), Ok(()));
                let many = frame(kind, flags, payload).repeat(2 * IDLE_FRAMES.0 as usize);
                let passed =
                    many.chunks(cut).take_while(|chunk| frames.follow(chunk).is_ok()).map(<[u8]>::len).sum::<usize>();
                let whole = passed / (9 + payload);
                match most {
                    None => assert_eq!(passed, many.len()),
                    Some(most) => {
                        assert!(whole + 200 > most as usize && whole < 2 * most as usize, "{kind} {cut}: {whole}")
                    }
                }
            }
        }
    }
}
