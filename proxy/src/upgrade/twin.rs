//! The other process of an upgrade, while both are there: what is purged or invalidated in one is in the other, too, before anybody is
//! told that it is done.
//!
//! Two processes are a pair from the moment the older one lets go of the cache's directories until it ends. They talk over a socket of
//! their own: frames of a length and JSON, each told with a number and confirmed by it. A process in the midst of two upgrades has two
//! twins and passes on what one says to the other. Whoever is gone serves nothing, and need not be told. What a purge does is
//! [`crate::purge`]'s. Invariant: whoever reads what a twin says waits for nothing that the twin has yet to say.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::node::Node;
use crate::purge::Order;

/// How long a twin may take to confirm: a purge that it does not confirm in time is not answered 200.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a frame: more than the admin API takes of an order.
const FRAME_BYTES_MAX: usize = 256 << 10;
/// Frames that wait to be sent.
const FRAMES_MAX: usize = 1024;
/// Orders of a twin that are carried out at a time; more are not confirmed.
const AT_A_TIME_MAX: usize = 64;

/// Which of the two processes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// It drains, and ends.
    Older,
    /// It has the cache's directories.
    Newer,
}

/// What became of telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The other has done it.
    Done,
    /// It is not known whether it did.
    Unconfirmed,
    /// It has ended.
    Gone,
}

/// What one process says to the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// To be purged.
    Purge(Order),
    /// What an unsafe request may have changed: paths of a host.
    Invalidate {
        /// As in keys.
        host: String,
        /// With their queries.
        paths: Vec<String>,
    },
    /// What was told under this number was done, or was not.
    Done(bool),
}

#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    number: u64,
    /// Not read as [`Said`] at once: what another version says more is refused under its number.
    said: serde_json::Value,
}

/// The other process.
#[derive(Debug)]
pub(crate) struct Twin {
    which: Which,
    frames: mpsc::Sender<Vec<u8>>,
    /// Who waits for what to be confirmed; `None` when the other has ended.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<bool>>>>,
    next: AtomicU64,
}

/// Makes a pair: talks to the newer process over one end, and returns the other for it. `None` when there is no socket.
pub(crate) fn pair(node: &Arc<Node>) -> Option<OwnedFd> {
    let (near, far) = Blocking::pair().ok()?;
    meet(node, Which::Newer, near.into()).map(|()| far.into())
}

/// Begins to listen to the other process. To be called on a runtime. `None` when the socket cannot be used.
pub(crate) fn meet(node: &Arc<Node>, which: Which, socket: OwnedFd) -> Option<()> {
    let socket = Blocking::from(socket);
    socket.set_nonblocking(true).ok()?;
    let (read, write) = UnixStream::from_std(socket).ok()?.into_split();
    let (frames, to_send) = mpsc::channel(FRAMES_MAX);
    let twin = Arc::new(Twin { which, frames, waiting: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(0) });
    node.upgrade.twins.lock().push(twin.clone());
    tokio::spawn(send(write, to_send));
    let node = node.clone();
    tokio::spawn(async move {
        twin.listen(&node, read).await;
        // Whoever waits for it need not any more.
        *twin.waiting.lock() = None;
        node.upgrade.twins.lock().retain(|other| !Arc::ptr_eq(other, &twin));
    });
    Some(())
}

async fn send(mut to: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// The next frame; `None` when there is none any more.
async fn next(from: &mut OwnedReadHalf) -> Option<Frame> {
    let length = from.read_u32().await.ok()? as usize;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn encode(number: u64, said: &Said) -> Option<Vec<u8>> {
    let frame = Frame { number, said: serde_json::to_value(said).ok()? };
    let bytes = serde_json::to_vec(&frame).ok().filter(|bytes| bytes.len() <= FRAME_BYTES_MAX)?;
    let length = u32::try_from(bytes.len()).ok()?;
    Some([&length.to_be_bytes()[..], &bytes].concat())
}

impl Twin {
    pub(crate) fn which(&self) -> Which {
        self.which
    }

    /// Tells it, and waits until it has done so.
    pub(crate) async fn tell(&self, said: &Said) -> Told {
        let number = self.next.fetch_add(1, Relaxed);
        let Some(frame) = encode(number, said) else { return Told::Unconfirmed };
        let (confirm, confirmed) = oneshot::channel();
        match &mut *self.waiting.lock() {
            Some(waiting) => waiting.insert(number, confirm),
            None => return Told::Gone,
        };
        let told = async {
            match self.frames.send(frame).await {
                Ok(()) => confirmed.await.map_or(Told::Gone, |done| if done { Told::Done } else { Told::Unconfirmed }),
                Err(_) => Told::Gone,
            }
        };
        let told = timeout(PATIENCE, told).await.unwrap_or(Told::Unconfirmed);
        self.waiting.lock().as_mut().map(|waiting| waiting.remove(&number));
        told
    }

    async fn listen(self: &Arc<Self>, node: &Arc<Node>, mut from: OwnedReadHalf) {
        let at_a_time = Arc::new(Semaphore::new(AT_A_TIME_MAX));
        while let Some(Frame { number, said }) = next(&mut from).await {
            match (serde_json::from_value(said), at_a_time.clone().try_acquire_owned()) {
                (Ok(Said::Done(done)), _) => {
                    let confirm = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&number));
                    // It may have taken too long.
                    confirm.map(|confirm| confirm.send(done));
                }
                (Ok(said), Ok(permit)) => {
                    let (node, twin) = (node.clone(), self.clone());
                    tokio::spawn(async move {
                        let done = crate::purge::do_for(&node, said, &twin).await;
                        twin.confirm(number, done);
                        drop(permit);
                    });
                }
                _ => self.confirm(number, false),
            }
        }
    }

    fn confirm(&self, number: u64, done: bool) {
        // One that takes so little of what it is told finds out by waiting.
        let _ = encode(number, &Said::Done(done)).map(|frame| self.frames.try_send(frame));
    }
}

/// What became of telling all twins but one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    /// A newer process has done it.
    pub(crate) newer: bool,
    /// One of them did not confirm it.
    pub(crate) unconfirmed: bool,
}

impl super::Upgrade {
    /// Whether there is another process to be told.
    pub(crate) fn has_twin(&self) -> bool {
        !self.twins.lock().is_empty()
    }

    /// Tells every other process, but not the one it comes `from`.
    pub(crate) async fn spread(&self, node: &Node, said: &Said, from: Option<&Arc<Twin>>) -> Spread {
        let twins = self.twins.lock().clone();
        let mut spread = Spread::default();
        for twin in twins.iter().filter(|twin| from.is_none_or(|from| !Arc::ptr_eq(twin, from))) {
            match twin.tell(said).await {
                Told::Done => spread.newer |= twin.which() == Which::Newer,
                Told::Gone => {}
                Told::Unconfirmed => {
                    node.figures.upgrade_unconfirmed.add(1);
                    tracing::warn!(twin = ?twin.which(), "the other process of the upgrade did not confirm what was purged");
                    spread.unconfirmed = true;
                }
            }
        }
        spread
    }
}
