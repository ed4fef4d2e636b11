//! A fill: one writer, any number of readers that stream it while it fills.
//!
//! A reader gets the pieces as the origin sent them, without a copy, at its own speed. It ends cleanly only when the fill
//! ended as promised; if the writer vanished or the length was wrong, it gets an error, never a short body with a clean
//! end.
//!
//! A fill whose length was not told and that turns out too large, or to have no room, passes by: nobody new finds it, it is
//! not published, and what all its readers have taken is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use littoral_pages::Writer;
use parking_lot::Mutex;
use tokio::sync::Notify;

mod state;

use crate::budget::Reservation;
use crate::entry::{Entry, Head};
use crate::freshness::Lifetime;
use crate::key::Key;
use crate::limits::PASSING_BYTES;
use crate::store::{Counters, Piece, Store};
use crate::surrogate::Purged;
use state::{Phase, State};

/// An object in flight.
#[derive(Debug)]
pub struct Fill {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) slot: u128,
    pub(crate) variance: Option<[u8; 16]>,
    pub(crate) piece: Option<Piece>,
    pub(crate) head: Head,
    pub(crate) lifetime: Lifetime,
    pub(crate) surrogates: Box<[u128]>,
    /// The number of purges when its request went out.
    pub(crate) begun_purges: u64,
    /// The strongest purge that named it since its request went out, as [`Purged`].
    purged: AtomicU8,
    /// Set by a pin that came while it fills (Unix milliseconds).
    pub(crate) pinned_until_ms: AtomicU64,
    length: Option<u64>,
    state: Mutex<State>,
    moved: Notify,
    counters: Arc<Counters>,
}

/// Why a fill ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The writer stopped before the end, or sent fewer or more bytes than promised.
    #[error("the fill ended before the object was complete")]
    Incomplete,
    /// The reader was further behind than a fill that passes by holds for it.
    #[error("the reader was too far behind an object that does not fit in the cache")]
    Behind,
    /// Not even room for one piece on its way.
    #[error("no room in the cache for what is on its way")]
    NoRoom,
}

/// The one who fills. Dropped without [`FillWriter::finish`], the fill has failed.
#[derive(Debug)]
pub struct FillWriter {
    fill: Arc<Fill>,
    store: Arc<Store>,
    overhead: Option<Reservation>,
    begun: SystemTime,
    publish: bool,
    length_max: u64,
    /// Where the body is written, as long as all of it lies there.
    paged: Option<Writer>,
    /// It no longer fits: see [`Self::pass`].
    passes: bool,
}

/// One who reads along.
#[derive(Debug)]
pub struct FillReader {
    fill: Arc<Fill>,
    /// Where the fill notes how far this reader is.
    mark: usize,
    position: u64,
    end: u64,
    piece: usize,
    within: usize,
    cut: u32,
}

pub(crate) struct FillParts {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) slot: u128,
    pub(crate) variance: Option<[u8; 16]>,
    pub(crate) piece: Option<Piece>,
    pub(crate) head: Head,
    pub(crate) lifetime: Lifetime,
    pub(crate) surrogates: Box<[u128]>,
    pub(crate) begun_purges: u64,
    pub(crate) length: Option<u64>,
    pub(crate) bytes: Reservation,
    pub(crate) counters: Arc<Counters>,
}

impl Fill {
    pub(crate) fn new(parts: FillParts) -> Arc<Self> {
        let FillParts { id, key, slot, variance, piece, head, lifetime, surrogates, begun_purges, .. } = parts;
        let FillParts { length, bytes, counters, .. } = parts;
        let state = State::new(bytes);
        let (purged, pinned_until_ms) = (AtomicU8::new(Purged::No as u8), AtomicU64::new(0));
        let (state, moved) = (Mutex::new(state), Notify::new());
        Arc::new(Self {
            id,
            key,
            slot,
            variance,
            piece,
            head,
            lifetime,
            surrogates,
            begun_purges,
            purged,
            pinned_until_ms,
            length,
            state,
            moved,
            counters,
        })
    }

    /// Identifies this fill among all of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The primary key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Status and fields.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How long it may be used.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The secondary key, when the response varies.
    pub fn variance(&self) -> Option<[u8; 16]> {
        self.variance
    }

    /// The length the origin promised, when it did.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes that came.
    pub fn filled(&self) -> u64 {
        self.state.lock().filled()
    }

    /// How many read it now.
    pub fn readers(&self) -> usize {
        self.state.lock().readers()
    }

    /// Notes a purge; `false` when one as strong was noted already.
    pub(crate) fn note_purge(&self, purged: Purged) -> bool {
        self.purged.fetch_max(purged as u8, Relaxed) < purged as u8
    }

    /// The strongest purge noted.
    pub(crate) fn purged(&self) -> Purged {
        match self.purged.load(Relaxed) {
            0 => Purged::No,
            1 => Purged::Soft,
            _ => Purged::Hard,
        }
    }

    /// Reads from the first byte; `None` when that has been let go already.
    pub fn reader(self: &Arc<Self>) -> Option<FillReader> {
        let mark = self.state.lock().attach()?;
        Some(FillReader { fill: self.clone(), mark, position: 0, end: u64::MAX, piece: 0, within: 0, cut: 0 })
    }
}

impl FillReader {
    /// Reads on from `first` and stops before `end` (`None`: at the end of the body).
    pub fn seek(&mut self, first: u64, end: Option<u64>) {
        self.position = first;
        self.end = end.unwrap_or(u64::MAX);
        // Not this cut: the next read looks the place up.
        self.cut = u32::MAX;
        self.fill.state.lock().note(self.mark, first);
    }

    /// The next bytes, waiting for them; `None` at the clean end. Safe to cancel.
    ///
    /// # Errors
    /// [`FillError::Incomplete`] when the fill failed, even if bytes are left to read; [`FillError::Behind`] when what comes
    /// next has been let go.
    pub async fn read(&mut self) -> Result<Option<Bytes>, FillError> {
        let fill = self.fill.clone();
        loop {
            let moved = fill.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Some(outcome) = self.poll() {
                return outcome;
            }
            moved.await;
        }
    }

    /// Waits until the fill has ended, well or not.
    pub async fn ended(&self) {
        loop {
            let moved = self.fill.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.fill.state.lock().phase != Phase::Filling {
                return;
            }
            moved.await;
        }
    }

    fn poll(&mut self) -> Option<Result<Option<Bytes>, FillError>> {
        let fill = self.fill.clone();
        let mut state = fill.state.lock();
        if state.phase == Phase::Failed {
            return Some(Err(FillError::Incomplete));
        }
        // Whoever comes back for more is done with what it got before.
        state.note(self.mark, self.position);
        if self.position >= self.end {
            return Some(Ok(None));
        }
        if self.position < state.start() {
            fill.counters.readers_cut.fetch_add(1, Relaxed);
            return Some(Err(FillError::Behind));
        }
        if self.cut != state.cut {
            self.find_place(&state);
        }
        match state.pieces.get(self.piece) {
            Some(piece) => {
                let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
                let upto = piece.len().min(self.within.saturating_add(wanted));
                let bytes = piece.slice(self.within..upto);
                self.position += bytes.len() as u64;
                self.piece += 1;
                self.within = 0;
                Some(Ok(Some(bytes)))
            }
            None if state.phase == Phase::Complete => Some(Ok(None)),
            None => None,
        }
    }

    fn find_place(&mut self, state: &State) {
        let mut start = state.start();
        self.cut = state.cut;
        for (at, piece) in state.pieces.iter().enumerate() {
            let next = start + piece.len() as u64;
            if self.position < next {
                (self.piece, self.within) = (at, (self.position - start) as usize);
                return;
            }
            start = next;
        }
        if self.position > start {
            // Seeking ahead of the fill: look again when more has come.
            self.cut = u32::MAX;
        }
        (self.piece, self.within) = (state.pieces.len(), 0);
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        self.fill.state.lock().detach(self.mark);
    }
}

impl FillWriter {
    pub(crate) fn new(
        fill: Arc<Fill>,
        store: Arc<Store>,
        overhead: Reservation,
        begun: SystemTime,
        publish: bool,
        length_max: u64,
        paged: Option<Writer>,
    ) -> Self {
        Self { fill, store, overhead: Some(overhead), begun, publish, length_max, paged, passes: false }
    }

    /// The fill, for readers.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Appends what the origin sent. What does not fit, and was not promised, makes the fill pass by.
    ///
    /// # Errors
    /// When it is more than the origin promised, or there is no room for even this piece; the fill is then lost.
    pub fn write(&mut self, piece: Bytes) -> Result<(), FillError> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        // Nobody else moves these two.
        let (filled, reserved) = self.fill.state.lock().figures();
        if self.fill.length.is_some_and(|promised| filled + length > promised) {
            return Err(FillError::Incomplete);
        }
        if filled <= self.length_max && filled + length > self.length_max {
            self.store.remember_outgrown(&self.fill);
        }
        if !self.passes && !self.keep(filled + length, reserved) {
            self.passes = true;
            self.paged = None;
            self.store.pass(&self.fill);
        }
        if self.passes {
            self.pass(length)?;
        }
        self.push(piece);
        self.fill.moved.notify_waiters();
        Ok(())
    }

    /// Appends a piece: as it is, or as the bytes it becomes where the body is written.
    fn push(&mut self, mut piece: Bytes) {
        while let Some(paged) = &mut self.paged {
            let Some(part) = paged.write(&piece) else {
                self.paged = None;
                break;
            };
            piece.advance(part.len());
            self.fill.state.lock().push(part);
            if piece.is_empty() {
                return;
            }
        }
        self.fill.state.lock().push(piece);
    }

    /// Makes room, within the bound, for `filled` bytes; `false` when they are too many or nothing can be evicted for them.
    fn keep(&self, filled: u64, reserved: u64) -> bool {
        if filled > self.length_max || filled <= reserved {
            return filled <= self.length_max;
        }
        // Not under the lock of the fill: eviction asks the policy.
        let room = self.store.make_room(filled - reserved);
        room.map(|room| self.fill.state.lock().hold(room)).is_ok()
    }

    /// Makes room for `length` bytes on their way: lets go of what all readers have taken, and where that is not enough of what
    /// the slowest still want, who is then cut off. It does not wait for them: the framework runs a client and the fill it
    /// began as one task, which would wait for itself.
    fn pass(&self, length: u64) -> Result<(), FillError> {
        let held_max = self.length_max.max(PASSING_BYTES);
        let mut state = self.fill.state.lock();
        state.let_go_of_taken();
        while state.held() + length > held_max || !state.overdraw(length) {
            if !state.let_go_of_oldest() {
                return Err(FillError::NoRoom);
            }
        }
        drop(state);
        self.store.signal_pressure();
        Ok(())
    }

    /// Ends the fill: checks the length and publishes the object, unless it passed by or the policy or a purge said no.
    /// Returns the published entry.
    ///
    /// # Errors
    /// [`FillError::Incomplete`] when fewer bytes came than promised.
    pub fn finish(mut self, now: SystemTime) -> Result<Option<Arc<Entry>>, FillError> {
        let mut state = self.fill.state.lock();
        if self.fill.length.is_some_and(|length| length != state.filled()) {
            return Err(FillError::Incomplete);
        }
        let blocks = self.paged.take().map(Writer::finish);
        let body = (!self.passes).then(|| state.finish(blocks));
        drop(state);
        let overhead = self.overhead.take().expect("invariant: finish consumes the writer");
        let published =
            body.and_then(|body| self.store.publish(&self.fill, body, overhead, self.begun, now, self.publish));
        self.fill.state.lock().phase = Phase::Complete;
        self.fill.moved.notify_waiters();
        Ok(published)
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        // `overhead` is there only when finish did not come to its end.
        if self.overhead.is_some() {
            self.fill.state.lock().fail();
            self.fill.moved.notify_waiters();
            self.store.abandon(&self.fill);
        }
    }
}
