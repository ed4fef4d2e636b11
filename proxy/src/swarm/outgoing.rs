//! What is to be sent to one peer: bytes of the guest and parts of contents, in the order they were queued.
//!
//! Invariants: bytes and parts are bounded; a guest that was told of a full queue is told once of the room there is again; what was queued
//! when the guest closed the connection is sent before it ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_plugin_host::service::swarm::limits::{QUEUED_BYTES_MAX, QUEUED_TOTAL_BYTES_MAX, SPLICES_MAX};
use littoral_plugin_host::service::swarm::{SwarmFigures, Unsent};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::content::Part;

/// Small sends are joined up to so many bytes.
const JOINED_BYTES: usize = 16 << 10;
/// What each connection may have queued though all together have too much: so none waits for the others.
const OWN_BYTES: usize = 16 << 10;

/// What is sent at a time.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Part(Part),
}

/// The queue.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    wake: Notify,
    figures: Arc<SwarmFigures>,
}

struct Queue {
    pieces: VecDeque<Piece>,
    /// Of pieces that wait or are being written.
    bytes: usize,
    parts: usize,
    is_closing: bool,
    /// The guest was told that it is full.
    is_awaited: bool,
    /// When something was last taken.
    moved: Instant,
}

impl Outgoing {
    pub(super) fn new(figures: Arc<SwarmFigures>) -> Self {
        let (pieces, moved) = (VecDeque::new(), Instant::now());
        let queue = Queue { pieces, bytes: 0, parts: 0, is_closing: false, is_awaited: false, moved };
        Self { queue: Mutex::new(queue), wake: Notify::new(), figures }
    }

    /// Queues what there is room for; how many bytes.
    pub(super) fn push(&self, mut data: Vec<u8>) -> usize {
        let mut queue = self.queue.lock();
        if queue.is_closing {
            return 0;
        }
        let all = QUEUED_TOTAL_BYTES_MAX.saturating_sub(self.figures.queued.load(Relaxed));
        let room = (QUEUED_BYTES_MAX - queue.bytes).min(all.max(OWN_BYTES.saturating_sub(queue.bytes)));
        let taken = data.len().min(room);
        queue.is_awaited |= taken < data.len();
        if taken == 0 {
            return 0;
        }
        data.truncate(taken);
        queue.bytes += taken;
        self.figures.queued.fetch_add(taken, Relaxed);
        match queue.pieces.back_mut() {
            Some(Piece::Bytes(last)) if last.len() + taken <= JOINED_BYTES => last.extend_from_slice(&data),
            _ => queue.pieces.push_back(Piece::Bytes(data)),
        }
        self.wake.notify_one();
        taken
    }

    /// Queues a part of a content.
    pub(super) fn push_part(&self, part: Part) -> Result<(), Unsent> {
        let mut queue = self.queue.lock();
        match () {
            () if queue.is_closing => Err(Unsent::Closed),
            () if part.is_empty() => Ok(()),
            () if queue.parts >= SPLICES_MAX => {
                queue.is_awaited = true;
                Err(Unsent::Full)
            }
            () => {
                queue.parts += 1;
                queue.pieces.push_back(Piece::Part(part));
                self.wake.notify_one();
                Ok(())
            }
        }
    }

    /// Nothing more is queued.
    pub(super) fn close(&self) {
        self.queue.lock().is_closing = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.queue.lock().is_closing
    }

    /// Waits for the next piece; `None` when nothing more will come.
    pub(super) async fn next(&self) -> Option<Piece> {
        loop {
            {
                let mut queue = self.queue.lock();
                if let Some(piece) = queue.pieces.pop_front() {
                    return Some(piece);
                }
                if queue.is_closing {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Notes that the peer has taken something.
    pub(super) fn moved(&self) {
        self.queue.lock().moved = Instant::now();
    }

    /// When that was, and whether something waits for it to take more.
    pub(super) fn last_moved(&self) -> Instant {
        self.queue.lock().moved
    }

    /// Notes that the last piece was written: its bytes, or that it was a part. Whether the guest is to be told that there is room.
    pub(super) fn written(&self, bytes: Option<usize>) -> bool {
        let mut queue = self.queue.lock();
        match bytes {
            Some(bytes) => {
                queue.bytes -= bytes;
                self.figures.queued.fetch_sub(bytes, Relaxed);
            }
            None => queue.parts -= 1,
        }
        queue.moved = Instant::now();
        let has_room = queue.bytes <= QUEUED_BYTES_MAX / 2 && queue.parts <= SPLICES_MAX / 2;
        let tells = queue.is_awaited && has_room && !queue.is_closing;
        queue.is_awaited &= !tells;
        tells
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.figures.queued.fetch_sub(self.queue.get_mut().bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> (Outgoing, Arc<SwarmFigures>) {
        let figures = Arc::<SwarmFigures>::default();
        (Outgoing::new(figures.clone()), figures)
    }

    #[tokio::test]
    async fn a_queue_takes_what_it_has_room_for_and_tells_once_when_there_is_room_again() {
        let (queue, figures) = outgoing();
        assert_eq!(queue.push(vec![1; 10]), 10);
        assert_eq!(queue.push(vec![2; QUEUED_BYTES_MAX]), QUEUED_BYTES_MAX - 10);
        assert_eq!(queue.push(vec![3; 1]), 0);
        assert_eq!(figures.queued.load(Relaxed), QUEUED_BYTES_MAX);
        let Some(Piece::Bytes(first)) = queue.next().await else { panic!("no bytes") };
        assert_eq!(first, [1; 10]);
        assert!(!queue.written(Some(first.len())), "there is hardly any room");
        let Some(Piece::Bytes(second)) = queue.next().await else { panic!("no bytes") };
        assert!(queue.written(Some(second.len())), "now there is");
        assert_eq!(queue.push(vec![4; 5]), 5);
        let Some(Piece::Bytes(third)) = queue.next().await else { panic!("no bytes") };
        assert!(!queue.written(Some(third.len())), "told once");
        queue.close();
        assert!(queue.next().await.is_none() && queue.push(vec![5]) == 0);
    }

    #[tokio::test]
    async fn small_sends_are_joined_and_what_was_queued_before_the_end_is_sent() {
        let (queue, figures) = outgoing();
        (0..JOINED_BYTES).for_each(|_| assert_eq!(queue.push(vec![7]), 1));
        assert_eq!(queue.push(vec![8]), 1);
        queue.close();
        let mut sizes = Vec::new();
        while let Some(Piece::Bytes(piece)) = queue.next().await {
            sizes.push(piece.len());
        }
        assert_eq!(sizes, [JOINED_BYTES, 1]);
        drop(queue);
        assert_eq!(figures.queued.load(Relaxed), 0, "what was not written is given back");
    }

    #[test]
    fn all_queues_together_are_bounded_and_each_has_some_room_all_the_same() {
        let (queue, figures) = outgoing();
        figures.queued.store(QUEUED_TOTAL_BYTES_MAX, Relaxed);
        assert_eq!(queue.push(vec![1; 2 * OWN_BYTES]), OWN_BYTES);
        assert_eq!(queue.push(vec![1; 1]), 0);
    }
}
