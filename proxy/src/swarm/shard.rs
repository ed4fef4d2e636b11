//! A listener of a swarm for as long as the node runs: it starts an instance, and another one when that has ended.
//!
//! Invariant: at any time one instance at most has its connections and datagrams; while there is none, who comes is refused and counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use littoral_plugin_host::Place;
use littoral_plugin_host::service::limits::DATAGRAM_BYTES_MAX;
use littoral_plugin_host::service::swarm::{Backoff, SwarmFigures};
use parking_lot::{Mutex, RwLock};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::life::{self, Door, Ended, Letter};
use crate::config::{Config, Swarm};
use crate::listen::rules::Rules;
use crate::node::Node;

/// How long it rests when its socket fails, or its plugin is not there.
const REST: Duration = Duration::from_millis(50);

/// A listener of a swarm.
pub(crate) struct Shard {
    node: Arc<Node>,
    /// Its place in the config.
    at: usize,
    plugin: String,
    socket: Option<UdpSocket>,
    /// Whether what it is bound to speaks IPv6.
    is_v6: bool,
    door: ArcSwapOption<Door>,
    /// Its plugin's, once that is loaded.
    figures: OnceLock<Arc<SwarmFigures>>,
    /// Told when the first instance is there, or could not be started.
    begun: Mutex<Option<oneshot::Sender<()>>>,
    /// What the config that was last seen says of it.
    seen: RwLock<Seen>,
}

/// What a config says of a listener.
struct Seen {
    config: Arc<Config>,
    swarm: Swarm,
    rules: Rules,
}

impl Shard {
    /// The listener at this place of the config, which is there.
    pub(super) fn new(
        node: Arc<Node>,
        at: usize,
        plugin: String,
        socket: Option<UdpSocket>,
        begun: oneshot::Sender<()>,
    ) -> Self {
        let config = node.settings.load_full();
        let swarm = config.listen.swarm[at].clone();
        let rules = Rules::new(&swarm.door());
        let is_v6 = socket.as_ref().and_then(|socket| socket.local_addr().ok()).is_some_and(|at| at.is_ipv6());
        let door = ArcSwapOption::empty();
        let seen = RwLock::new(Seen { config, swarm, rules });
        let figures = OnceLock::new();
        Self { node, at, plugin, socket, is_v6, door, figures, begun: Mutex::new(Some(begun)), seen }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Not to be called before its plugin is loaded.
    pub(super) fn figures(&self) -> &Arc<SwarmFigures> {
        let of = || self.node.plugins.services.named(&self.plugin).map(|running| running.service.swarm().clone());
        self.figures.get_or_init(|| of().unwrap_or_default())
    }

    /// Counts somebody who is not let in by `figure`, or with those turned away while there is no plugin.
    fn misses(&self, figure: impl FnOnce(&SwarmFigures) -> &AtomicU64) {
        match self.figures.get() {
            Some(figures) => drop(figure(figures).fetch_add(1, Relaxed)),
            None => self.node.plugins.services.absent.turned_away(&self.plugin),
        }
    }

    /// What the config in force says of it.
    fn told<T>(&self, of: impl FnOnce(&Seen) -> T) -> T {
        let config = self.node.settings.load();
        let is_known = |seen: &Seen| Arc::ptr_eq(&seen.config, &config);
        if !is_known(&self.seen.read())
            && let Some(swarm) = config.listen.swarm.get(self.at).cloned()
        {
            let rules = Rules::new(&swarm.door());
            *self.seen.write() = Seen { config: config.clone(), swarm, rules };
        }
        of(&self.seen.read())
    }

    /// The same of its keys.
    pub(super) fn listener<T>(&self, of: impl FnOnce(&Swarm) -> T) -> T {
        self.told(|seen| of(&seen.swarm))
    }

    /// A place for one more connection.
    pub(super) fn place(&self) -> Option<Place> {
        Place::take(&self.figures().open, self.listener(|swarm| swarm.connections))
    }

    /// Takes a connection in; `held` lives as long as it does. Any thread may call it.
    pub(crate) fn accepted(&self, stream: std::net::TcpStream, client: SocketAddr, held: Box<dyn Send>) {
        let runtime = self.node.plugins.services.runtime();
        let door = self.door.load_full().and_then(|door| Some((door, self.place()?)));
        let (Some(runtime), Some((door, place))) = (runtime, door) else {
            return self.misses(|figures| &figures.refused);
        };
        runtime.spawn(async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                let _ = stream.set_nodelay(true);
                let _ = door.events.send(Letter::Accepted { stream, client, place, held }).await;
            }
        });
    }

    /// Sends a datagram; whether the system took it.
    pub(super) fn send_to(&self, to: SocketAddr, data: &[u8]) -> bool {
        let to = match to.ip() {
            IpAddr::V4(ip) if self.is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        };
        self.socket.as_ref().is_some_and(|socket| socket.try_send_to(data, to).is_ok())
    }

    /// An instance is there.
    pub(super) fn opens(&self, door: Door) {
        self.door.store(Some(Arc::new(door)));
        // Counted last: who has seen it is let in.
        self.figures().starts.fetch_add(1, Relaxed);
        self.has_begun();
    }

    /// An instance is there, or could not be started.
    fn has_begun(&self) {
        if let Some(begun) = self.begun.lock().take() {
            let _ = begun.send(());
        }
    }

    /// There is none.
    pub(super) fn shuts(&self) {
        self.door.store(None);
        self.figures().timers.store(0, Relaxed);
        self.figures().contents.store(0, Relaxed);
    }

    /// Hands on datagrams, for as long as the node runs.
    pub(super) async fn receive(self: Arc<Self>) {
        let Some(socket) = &self.socket else { return };
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                sleep(REST).await;
                continue;
            };
            let is_in = self.told(|seen| seen.rules.admit(from.ip()))
                && self.door.load().as_ref().is_some_and(|door| door.put(from, &buffer[..length]));
            if !is_in {
                self.misses(|figures| &figures.dropped_datagrams);
            }
        }
    }

    /// Has one instance after another, until the node stops.
    pub(super) async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let (mut backoff, mut handoff) = (Backoff::default(), None);
        loop {
            let Some(running) = self.node.plugins.services.named(&self.plugin) else {
                self.has_begun();
                tokio::select! {
                    () = sleep(REST) => continue,
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
            };
            self.figures();
            let (begun, mut generation) = (Instant::now(), running.generation.subscribe());
            match life::live(&self, &running, handoff.take(), &mut stopped).await {
                Ended::Stopped => return,
                Ended::Superseded(given) => {
                    handoff = given;
                    backoff.forget();
                }
                Ended::Failed(number) => {
                    self.has_begun();
                    let wait = backoff.failed_after(begun.elapsed());
                    tokio::select! {
                        () = sleep(wait) => {}
                        // Another generation is a new chance.
                        _ = generation.wait_for(|current| *current != number) => backoff.forget(),
                        _ = stopped.wait_for(|stopped| *stopped) => return,
                    }
                }
            }
        }
    }
}
