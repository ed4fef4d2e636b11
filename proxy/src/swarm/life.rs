//! One instance of a swarm, from its start to its end: it is told of one event after another, no faster than it may compute.
//!
//! Invariants: events of a connection are told in their order; connections, datagrams and timers take turns; when it ends, its mailbox and
//! all its tasks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use littoral_plugin_host::Place;
use littoral_plugin_host::service::swarm::limits::{DATAGRAMS_BYTES_MAX, DATAGRAMS_MAX, EVENTS_MAX};
use littoral_plugin_host::service::swarm::{Actor, Allowance, Event};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::content::Object;
use super::desk::{Desk, Handle};
use super::shard::Shard;
use crate::services::Running;

/// What connections have to send what is queued when their instance ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// What waits for an instance.
pub(super) enum Letter {
    /// A peer has come.
    Accepted { stream: TcpStream, client: SocketAddr, place: Place, held: Box<dyn Send> },
    /// A connection that was dialled is there.
    Dialled { connection: u32, stream: TcpStream, peer: SocketAddr, place: Place },
    /// What the cache has of what was looked up.
    Found { content: u32, object: Option<Object> },
    /// What is told as it is.
    Event(Event),
}

/// Where letters and datagrams for an instance are put in.
pub(super) struct Door {
    pub(super) events: mpsc::Sender<Letter>,
    datagrams: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    /// Bytes of those that wait.
    bytes: Arc<AtomicUsize>,
}

/// How an instance ended.
pub(super) enum Ended {
    /// A newer generation takes over; what is handed to it.
    Superseded(Option<Vec<u8>>),
    /// The node stops.
    Stopped,
    /// It failed, of this generation.
    Failed(u64),
}

/// What comes next.
enum Next {
    Letter(Letter),
    Datagram(SocketAddr, Vec<u8>),
    Timer,
}

impl Door {
    /// Puts a datagram in; whether there is room for it.
    pub(super) fn put(&self, from: SocketAddr, bytes: &[u8]) -> bool {
        if self.bytes.load(Relaxed) + bytes.len() > DATAGRAMS_BYTES_MAX {
            return false;
        }
        // Counted first: whoever takes it out may be faster.
        self.bytes.fetch_add(bytes.len(), Relaxed);
        let put = self.datagrams.try_send((from, bytes.to_vec())).is_ok();
        if !put {
            self.bytes.fetch_sub(bytes.len(), Relaxed);
        }
        put
    }
}

/// The mailbox of an instance.
struct Mailbox {
    letters: mpsc::Receiver<Letter>,
    datagrams: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    bytes: Arc<AtomicUsize>,
}

impl Mailbox {
    fn new() -> (Door, Self) {
        let (events, letters) = mpsc::channel(EVENTS_MAX);
        let (put, datagrams) = mpsc::channel(DATAGRAMS_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        (Door { events, datagrams: put, bytes: bytes.clone() }, Self { letters, datagrams, bytes })
    }

    /// Waits for what comes next, or for the time of the first timer.
    async fn next(&mut self, timer: Option<Instant>) -> Next {
        let timer = async {
            match timer {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // In no order of their own: none of them can keep the others waiting.
        tokio::select! {
            Some(letter) = self.letters.recv() => Next::Letter(letter),
            Some((from, bytes)) = self.datagrams.recv() => {
                self.bytes.fetch_sub(bytes.len(), Relaxed);
                Next::Datagram(from, bytes)
            }
            () = timer => Next::Timer,
        }
    }
}

/// Waits until an instance of this generation is not to go on: whether the node stops.
async fn ending(number: u64, generation: &mut watch::Receiver<u64>, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => true,
        _ = generation.wait_for(|current| *current != number) => false,
    }
}

/// Starts an instance of what runs and tells it of what happens, until it ends.
pub(super) async fn live(
    shard: &Arc<Shard>,
    running: &Running,
    handoff: Option<Vec<u8>>,
    stopped: &mut watch::Receiver<bool>,
) -> Ended {
    let mut generation = running.generation.subscribe();
    let number = *generation.borrow();
    let (door, mut mailbox) = Mailbox::new();
    let desk = Desk::new(shard.clone(), running.service.running_spec(), door.events.clone());
    let desk = Arc::new(Mutex::new(desk));
    let started = Actor::start(&running.service, Box::new(Handle(desk.clone())), handoff.as_deref()).await;
    let Ok(mut actor) = started else { return Ended::Failed(number) };
    let (number, begun) = (actor.generation(), Instant::now());
    let mut allowance = Allowance::of(shard.listener(|swarm| swarm.cpu));
    shard.opens(door);
    let stops = loop {
        let timer = desk.lock().next_timer();
        let next = tokio::select! {
            biased;
            stops = ending(number, &mut generation, stopped) => break stops,
            next = mailbox.next(timer) => next,
        };
        let event = match next {
            Next::Letter(letter) => desk.lock().open(letter),
            Next::Datagram(from, bytes) => Some(desk.lock().heard(from, bytes)),
            Next::Timer => desk.lock().timer(),
        };
        let Some(event) = event else { continue };
        if matches!(event, Event::Closed { .. }) {
            shard.figures().closed.fetch_add(1, Relaxed);
        }
        let (left, took) = actor.tell(&event).await;
        match left {
            Some(left) => actor = left,
            None => {
                shard.shuts();
                return Ended::Failed(number);
            }
        }
        let wait = allowance.charge(took, begun.elapsed());
        if !wait.is_zero() {
            shard.figures().paused_ns.fetch_add(wait.as_nanos() as u64, Relaxed);
            tokio::select! {
                stops = ending(number, &mut generation, stopped) => break stops,
                () = sleep(wait) => {}
            }
        }
    };
    shard.shuts();
    let given = actor.stop().await;
    let mut tasks = desk.lock().finish();
    tokio::spawn(timeout(GOODBYE, async move { while tasks.join_next().await.is_some() {} }));
    match stops {
        true => Ended::Stopped,
        false => Ended::Superseded(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_wait_up_to_their_number_and_their_bytes_and_letters_wait_beside_them() {
        let from = SocketAddr::from(([192, 0, 2, 1], 1));
        for (bytes, most) in [(0, DATAGRAMS_MAX), (1, DATAGRAMS_MAX), (64 << 10, DATAGRAMS_BYTES_MAX >> 16)] {
            let (door, mut mailbox) = Mailbox::new();
            let datagram = vec![7; bytes];
            assert_eq!((0..2 * DATAGRAMS_MAX).filter(|_| door.put(from, &datagram)).count(), most);
            door.events.send(Letter::Event(Event::Ended { connection: 3 })).await.unwrap_or_default();
            let (mut heard, mut letters) = (0, 0);
            while heard < most {
                match mailbox.next(None).await {
                    Next::Datagram(..) => heard += 1,
                    Next::Letter(_) => letters += 1,
                    Next::Timer => panic!("none is set"),
                }
            }
            assert!(door.put(from, &datagram), "there is room again");
            assert!(letters <= 1 && matches!(mailbox.next(None).await, Next::Datagram(..) | Next::Letter(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_comes_at_its_time_and_a_reload_ends_a_life() {
        let (_door, mut mailbox) = Mailbox::new();
        let begun = Instant::now();
        let at = begun + Duration::from_secs(300);
        assert!(matches!(mailbox.next(Some(at)).await, Next::Timer));
        assert_eq!(begun.elapsed().as_secs(), 300);
        let ((tell, mut generation), (stop, mut stopped)) = (watch::channel(1), watch::channel(false));
        let waiting = timeout(Duration::from_secs(9), ending(1, &mut generation, &mut stopped));
        assert!(waiting.await.is_err(), "nothing has changed");
        tell.send_replace(2);
        assert!(!ending(1, &mut generation, &mut stopped).await);
        stop.send_replace(true);
        assert!(ending(1, &mut generation, &mut stopped).await);
    }
}
