//! A connection as a guest has it: what was read ahead, where lines end, and when TLS begins.
//!
//! Invariants: while TLS may still be started nothing beyond the end of a line is handed over; what was read ahead before is gone when
//! it has begun; after a trouble that ends a connection it is never touched again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::limits::{AHEAD_BYTES_MAX, AHEAD_BYTES_MIN};
use super::status::Figures;
use super::wire::{Trouble, Wire};

/// Why a line was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLine {
    /// It has no line feed so far.
    TooLong,
    /// Something went wrong.
    Trouble(Trouble),
}

pub(super) struct Connection {
    wire: Box<dyn Wire>,
    figures: Arc<Figures>,
    /// What was read ahead is `ahead[from..to]`.
    ahead: Vec<u8>,
    from: usize,
    to: usize,
    /// The peer has finished its side.
    is_finished: bool,
    is_over: bool,
    silence: Option<Duration>,
    /// Whether the peer has said anything to the guest.
    pub(super) has_heard: bool,
}

impl Connection {
    pub(super) fn new(wire: Box<dyn Wire>, figures: Arc<Figures>) -> Self {
        let (ahead, silence) = (Vec::new(), None);
        Self { wire, figures, ahead, from: 0, to: 0, is_finished: false, is_over: false, silence, has_heard: false }
    }

    /// None, with a wire that is dialled by.
    pub(super) fn none(wire: Box<dyn Wire>) -> Self {
        Self { is_over: true, ..Self::new(wire, Arc::default()) }
    }

    pub(super) fn wire(&self) -> &dyn Wire {
        &*self.wire
    }

    pub(super) fn wire_mut(&mut self) -> &mut dyn Wire {
        &mut *self.wire
    }

    /// See `connection.idle-limit`.
    pub(super) fn be_silent_for(&mut self, time: Duration) {
        self.silence = (!time.is_zero()).then_some(time);
    }

    /// Some bytes, at most `most`; none at the end.
    pub(super) async fn read(&mut self, most: usize) -> Result<Vec<u8>, Trouble> {
        self.is_open()?;
        if self.from == self.to && !self.is_finished {
            self.fill().await?;
        }
        let ready = &self.ahead[self.from..self.to];
        let ready = &ready[..ready.len().min(most)];
        let line = || ready.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let length = if self.wire.may_start_tls() { line() } else { None };
        Ok(self.hand_over(length.unwrap_or(ready.len())))
    }

    /// A line, its line feed included; at the end what is left.
    pub(super) async fn read_line(&mut self, most: usize) -> Result<Vec<u8>, NoLine> {
        self.is_open().map_err(NoLine::Trouble)?;
        let mut seen = 0;
        loop {
            let ready = &self.ahead[self.from..self.to];
            let window = &ready[..ready.len().min(most)];
            if let Some(at) = window[seen..].iter().position(|byte| *byte == b'\n') {
                return Ok(self.hand_over(seen + at + 1));
            }
            if ready.len() >= most {
                return Err(NoLine::TooLong);
            }
            if self.is_finished {
                return Ok(self.hand_over(ready.len()));
            }
            seen = ready.len();
            self.fill().await.map_err(NoLine::Trouble)?;
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.is_open()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.wire.write(bytes).await;
        self.noted(written)?;
        self.figures.written.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), Trouble> {
        self.is_open()?;
        let finished = self.wire.finish().await;
        self.noted(finished)
    }

    pub(super) async fn start_tls(&mut self) -> Result<(), Trouble> {
        self.is_open()?;
        if !self.wire.may_start_tls() {
            // Not the connection's fault, and nothing has happened to it.
            return Err(Trouble::Tls);
        }
        // What came in plain behind the wish for TLS may be anybody's.
        self.figures.discarded.fetch_add((self.to - self.from) as u64, Relaxed);
        (self.from, self.to) = (0, 0);
        self.ahead.fill(0);
        if self.is_finished {
            self.is_over = true;
            return Err(Trouble::Closed);
        }
        let started = self.wire.start_tls().await;
        self.noted(started)
    }

    pub(super) async fn sleep(&mut self, time: Duration) -> Result<(), Trouble> {
        self.is_open()?;
        let time = self.silence.map_or(time, |silence| silence.min(time));
        let slept = self.wire.sleep(time).await;
        self.noted(slept)
    }

    /// An operation on it was given up: it is not to be touched again.
    pub(super) fn abandon(&mut self) {
        self.figures.troubles[Trouble::Timeout as usize].fetch_add(1, Relaxed);
        self.is_over = true;
    }

    /// Ends it, unless it has ended already.
    pub(super) async fn close(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            let _ = self.wire.close().await;
        }
    }

    fn is_open(&self) -> Result<(), Trouble> {
        if self.is_over { Err(Trouble::Closed) } else { Ok(()) }
    }

    /// Notes what became of an operation.
    fn noted<T>(&mut self, outcome: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(trouble) = &outcome {
            self.figures.troubles[*trouble as usize].fetch_add(1, Relaxed);
            self.is_over |= !trouble.is_survived();
        }
        outcome
    }

    fn hand_over(&mut self, length: usize) -> Vec<u8> {
        let handed = self.ahead[self.from..self.from + length].to_vec();
        self.from += length;
        self.has_heard |= length > 0;
        handed
    }

    /// Reads more behind what is there. There is room: of a line there is less than [`AHEAD_BYTES_MAX`], and else nothing.
    async fn fill(&mut self) -> Result<(), Trouble> {
        // A peer that fills it gets more of it.
        let is_full = self.to == self.ahead.len();
        self.ahead.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if is_full && self.ahead.len() < AHEAD_BYTES_MAX {
            self.ahead.resize((2 * self.ahead.len()).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX), 0);
        }
        let read = self.wire.read(&mut self.ahead[self.to..], self.silence).await;
        let read = self.noted(read)?;
        self.is_finished = read == 0;
        self.to += read;
        self.figures.read.fetch_add(read as u64, Relaxed);
        Ok(())
    }
}

/// A connection on its own, for the fuzz target of lines.
pub struct Fuzzed(Connection);

impl Fuzzed {
    /// On this wire.
    pub fn of(wire: Box<dyn Wire>) -> Self {
        Self(Connection::new(wire, Arc::default()))
    }

    /// # Errors
    /// As a guest is told.
    pub async fn read(&mut self, most: usize) -> Result<Vec<u8>, Trouble> {
        self.0.read(most).await
    }

    /// # Errors
    /// As a guest is told.
    pub async fn read_line(&mut self, most: usize) -> Result<Vec<u8>, NoLine> {
        self.0.read_line(most).await
    }

    /// # Errors
    /// As a guest is told.
    pub async fn start_tls(&mut self) -> Result<(), Trouble> {
        self.0.start_tls().await
    }
}

#[cfg(test)]
mod tests;
