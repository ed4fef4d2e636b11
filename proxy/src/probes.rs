//! Health probes: who asks the clusters how they are, and tells what they found.
//!
//! What else is said of a cluster is `standing`'s, what its state means for an answer the director's. Invariants: each cluster with `health` has exactly one
//! prober, of its settings in force; one whose probing ends counts as healthy, and so do its nodes; of an answer no more than
//! [`ANSWER_BYTES_MAX`] is read, and nothing is sent to a node that is asked for a connection only.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::config::{Cluster, Config, Health, HealthKind};
use crate::observe::figures::Counter;
use crate::observe::metrics::Sample;
use crate::standing::{Probed, Standing};

/// Bytes of an answer that are read; one with more is not healthy.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// The probers of a node.
#[derive(Default)]
pub struct Probes {
    running: Mutex<Vec<Prober>>,
    counts: Arc<Counts>,
}

/// Probes by what came of them: by kind, and as in [`OUTCOMES`].
type Counts = [[Counter; OUTCOMES.len()]; HealthKind::LABELS.len()];

/// As labels: in order, and then as [`Ailing::label`] has them.
const OUTCOMES: [&str; 4] = ["well", "unreachable", "late", "wrong"];

/// Who probes a cluster.
struct Prober {
    target: Target,
    findings: Arc<Mutex<Findings>>,
    task: AbortHandle,
}

/// What a prober has found. It reports while it has locked this: a round that is under way when it is ended is reported before or not at all.
#[derive(Default)]
struct Findings {
    /// The last round; nothing before the first.
    last: Vec<Round>,
    /// Whether nothing more is to be reported.
    is_ended: bool,
}

/// What a node answered, or what is wrong with it; in the order of [`Target::nodes`].
type Found = Result<Load, Ailing>;

/// What the last probe of a node found, and whether the node counts as up.
type Round = (Found, bool);

/// A load in permille.
type Load = u64;

/// What is wrong with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ailing {
    /// No connection was made, and why.
    Unreachable(String),
    /// Nothing came within this time.
    Late(Duration),
    /// It answered with another status than 200.
    Status(u16),
    /// With more than [`ANSWER_BYTES_MAX`].
    TooLong,
    /// With what is no answer of HTTP.
    Broken,
}

impl Ailing {
    /// Its place in [`OUTCOMES`].
    fn label(&self) -> usize {
        match self {
            Self::Unreachable(_) => 1,
            Self::Late(_) => 2,
            Self::Status(_) | Self::TooLong | Self::Broken => 3,
        }
    }
}

impl fmt::Display for Ailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Late(timeout) => write!(f, "no answer within {timeout:?} (health.timeout)"),
            Self::Status(status) => write!(f, "answers {status}, not 200"),
            Self::TooLong => write!(f, "answers with more than {ANSWER_BYTES_MAX} bytes"),
            Self::Broken => f.write_str("answers with what is not HTTP"),
        }
    }
}

/// What is probed and how.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    cluster: String,
    health: Health,
    nodes: Vec<SocketAddr>,
}

impl Target {
    fn of(cluster: &Cluster) -> Option<Self> {
        let health = cluster.health.clone()?;
        let addresses =
            cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]).flatten();
        let nodes = addresses.map(|address| SocketAddr::new(address, health.port)).collect();
        Some(Self { cluster: cluster.id.clone(), health, nodes })
    }
}

/// Whether something counts as up, and how many rounds in a row have said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streak {
    up: bool,
    against: u32,
}

impl Streak {
    fn new(up: bool) -> Self {
        Self { up, against: 0 }
    }

    /// After one more round; whether it counts as something else now.
    fn see(&mut self, well: bool, health: &Health) -> bool {
        self.against = if well == self.up { 0 } else { self.against + 1 };
        let has_changed = self.against >= if self.up { health.down_after } else { health.up_after };
        if has_changed {
            *self = Self::new(well);
        }
        has_changed
    }
}

impl Probes {
    /// Probes what `config` says: goes on where nothing has changed, ends what is gone, starts what is new from the state
    /// that the cluster and its nodes are in.
    pub(crate) fn follow(&self, config: &Config, standing: &Arc<Standing>) {
        let wanted: Vec<Target> = config.cluster.iter().filter_map(Target::of).collect();
        let mut running = self.running.lock();
        running.retain(|Prober { target, findings, task }| {
            let stays = wanted.contains(target);
            if !stays {
                // Aborted is not ended: what computes goes on until it waits.
                findings.lock().is_ended = true;
                task.abort();
                if wanted.iter().all(|other| other.cluster != target.cluster) {
                    standing.probed(&target.cluster, None);
                    standing.director().set_nodes_down(&target.cluster, &[]);
                }
            }
            stays
        });
        let states = standing.director().clusters();
        for target in wanted {
            if running.iter().all(|known| known.target != target) {
                let state = states.iter().find(|state| state.id == target.cluster);
                let is_down = |node: &SocketAddr| state.is_some_and(|state| state.nodes_down.contains(&node.ip()));
                let nodes = target.nodes.iter().map(|node| Streak::new(!is_down(node))).collect();
                let streaks = (Streak::new(state.is_none_or(|state| state.healthy)), nodes);
                let findings = Arc::default();
                let probing =
                    probe(standing.clone(), target.clone(), streaks, Arc::clone(&findings), self.counts.clone());
                running.push(Prober { target, findings, task: tokio::spawn(probing).abort_handle() });
            }
        }
    }

    /// What the last probe of each node found, by cluster.
    pub(crate) fn told(&self) -> Value {
        let of = |Prober { target, findings, .. }: &Prober| {
            let node = |(node, (found, up)): (&SocketAddr, &Round)| {
                let (is_well, says) = match found {
                    Ok(_) => (true, "well".to_owned()),
                    Err(ailing) => (false, ailing.to_string()),
                };
                json!({ "node": node, "well": is_well, "says": says, "up": up })
            };
            let nodes: Vec<_> = target.nodes.iter().zip(&findings.lock().last).map(node).collect();
            let kind = HealthKind::LABELS[target.health.kind as usize];
            (target.cluster.clone(), json!({ "kind": kind, "nodes": nodes }))
        };
        Value::Object(self.running.lock().iter().map(of).collect())
    }

    /// Probes by kind and by what came of them.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let kinds = HealthKind::LABELS.into_iter().zip(self.counts.iter());
        let of = |(kind, counts): (&'static str, &[Counter; OUTCOMES.len()])| {
            let labelled = |outcome: &str| vec![("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
            OUTCOMES
                .into_iter()
                .zip(counts)
                .map(|(name, count)| (count.sum() as f64, labelled(name)))
                .collect::<Vec<_>>()
        };
        kinds.flat_map(of).collect()
    }
}

/// A cluster is up while one node of it is. Where it and its nodes begin comes with it.
async fn probe(
    standing: Arc<Standing>,
    target: Target,
    (mut whole, mut each): (Streak, Vec<Streak>),
    findings: Arc<Mutex<Findings>>,
    counts: Arc<Counts>,
) {
    let Target { cluster, health, nodes } = target;
    let client = reqwest::Client::builder().timeout(health.timeout.0).redirect(reqwest::redirect::Policy::none());
    let client = match client.no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(cluster, %error, "a cluster cannot be probed"),
    };
    // A prober that has just begun has not found anything yet: others are told when it has.
    let mut is_sure = false;
    let mut every = tokio::time::interval(health.every.0.max(Duration::from_millis(10)));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asked = nodes.iter().map(|node| ask(&client, *node, &health));
        let found: Vec<Found> = futures_util::future::join_all(asked).await;
        for one in &found {
            counts[health.kind as usize][one.as_ref().map_or_else(Ailing::label, |_| 0)].add(1);
        }
        let loads: Vec<Load> = found.iter().filter_map(|one| one.as_ref().ok().copied()).collect();
        let healthy = !loads.is_empty();
        if whole.see(healthy, &health) {
            let ailing = found.iter().find_map(|one| one.as_ref().err()).map(ToString::to_string);
            tracing::warn!(cluster, up = whole.up, ailing, "cluster changed state");
        }
        for ((streak, node), found) in each.iter_mut().zip(&nodes).zip(&found) {
            if streak.see(found.is_ok(), &health) {
                let ailing = found.as_ref().err().map(ToString::to_string);
                tracing::warn!(cluster, %node, up = streak.up, ailing, "node of a cluster changed state");
            }
        }
        let up = whole.up;
        is_sure |= healthy == up;
        let load = loads.iter().sum::<u64>().checked_div(loads.len() as u64).unwrap_or(0);
        let load = u16::try_from(load).unwrap_or(u16::MAX);
        let down = nodes.iter().zip(&each).filter(|(_, streak)| !streak.up).map(|(node, _)| node.ip());
        let mut findings = findings.lock();
        if findings.is_ended {
            return;
        }
        findings.last = found.into_iter().zip(&each).map(|(found, streak)| (found, streak.up)).collect();
        standing.director().set_nodes_down(&cluster, &down.collect::<Vec<_>>());
        standing.probed(&cluster, Some(Probed { up, load, is_sure }));
    }
}

async fn ask(client: &reqwest::Client, node: SocketAddr, health: &Health) -> Found {
    let timeout = health.timeout.0;
    match health.kind {
        HealthKind::Http => ask_load(client, &format!("http://{node}{}", health.path()), timeout).await,
        HealthKind::Tcp => tokio::time::timeout(timeout, connect(node)).await.unwrap_or(Err(Ailing::Late(timeout))),
    }
}

/// A connection is all that is asked for; it tells no load.
async fn connect(node: SocketAddr) -> Found {
    let unreachable = |error: std::io::Error| Ailing::Unreachable(error.to_string());
    let stream = TcpStream::connect(node).await.map_err(unreachable)?;
    // A port of this machine that nobody listens at may be the one that the connection goes out from: it then meets itself.
    if stream.local_addr().is_ok_and(|own| own == node) {
        return Err(Ailing::Unreachable("nobody listens".into()));
    }
    // Nothing is to be sent: it goes at once, and leaves nothing behind on either side.
    let _ = stream.set_zero_linger();
    Ok(0)
}

/// The load in permille that a healthy node tells. Healthy is 200 and nothing else: a redirect leads to somebody else.
async fn ask_load(client: &reqwest::Client, url: &str, timeout: Duration) -> Found {
    let ailing = |error: reqwest::Error| match () {
        () if error.is_timeout() => Ailing::Late(timeout),
        () if error.is_connect() => Ailing::Unreachable(innermost(&error)),
        () => Ailing::Broken,
    };
    let mut response = client.get(url).send().await.map_err(ailing)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(Ailing::Status(response.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(ailing)? {
        if text.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Ailing::TooLong);
        }
        text.extend_from_slice(&piece);
    }
    let told: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    Ok(told.get("load_permille").and_then(Value::as_u64).unwrap_or(0))
}

/// What the system says: what is around it only repeats the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::units::Span;

    fn health(kind: HealthKind, timeout: Duration) -> Health {
        Health { kind, timeout: Span(timeout), ..Health::default() }
    }

    async fn asked(node: SocketAddr, kind: HealthKind, timeout: Duration) -> Found {
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().build().unwrap();
        ask(&client, node, &health(kind, timeout)).await
    }

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_state_changes_after_as_many_rounds_in_a_row_as_the_config_says_and_not_before() {
        let health = Health { down_after: 3, up_after: 2, ..Health::default() };
        let mut streak = Streak::new(true);
        let seen = [false, false, true, false, false, false, true, false, true, true].map(|well| {
            streak.see(well, &health);
            streak.up
        });
        assert_eq!(seen, [true, true, true, true, true, false, false, false, false, true]);
    }

    #[tokio::test]
    async fn a_node_that_is_asked_for_a_connection_gets_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = listener.local_addr().unwrap();
        let reads = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            // It ends by a reset.
            let end = stream.read_to_end(&mut bytes).await.map_err(|error| error.kind());
            (end, bytes)
        };
        let (found, (end, bytes)) = tokio::join!(asked(node, HealthKind::Tcp, LONG), reads);
        assert_eq!((found, end), (Ok(0), Err(std::io::ErrorKind::ConnectionReset)));
        assert!(bytes.is_empty(), "{bytes:?}");
        // Bound is not listening, and keeps the port.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let node = socket.local_addr().unwrap();
        for kind in [HealthKind::Tcp, HealthKind::Http] {
            let said = asked(node, kind, LONG).await.unwrap_err().to_string();
            assert_eq!(said, "no connection: Connection refused (os error 111)", "{kind:?}");
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_late_whatever_is_asked_for() {
        // Nobody accepts, and a queue of one is full: the kernel does not answer the next.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let node = listener.local_addr().unwrap();
        let _first = TcpStream::connect(node).await.unwrap();
        let brief = Duration::from_millis(20);
        for kind in [HealthKind::Tcp, HealthKind::Http] {
            assert_eq!(asked(node, kind, brief).await, Err(Ailing::Late(brief)), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn who_only_connects_is_enough_for_tcp_and_not_for_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(b"SSH-2.0-x\r\n").await;
                let _ = stream.read(&mut [0; 512]).await;
            }
        });
        assert_eq!(asked(node, HealthKind::Tcp, LONG).await, Ok(0));
        assert_eq!(asked(node, HealthKind::Http, LONG).await, Err(Ailing::Broken));
        answering.abort();
    }
}
