//! The plane that goes by NATS: the only module, with those below it, that names its client.
//!
//! How nodes are, what deciders find, which clusters are drained and round-trip times go by plain subjects, `PREFIX.state.CLUSTER.NODE`, `PREFIX.votes.…`,
//! `PREFIX.drained.…`, `PREFIX.pushed.…` and `PREFIX.rtt.…`: the next one replaces what is lost. Purges go by a stream of JetStream ([`purges`]). Who may write what is the server's to say; the names in a subject are what
//! it can hold a node to, so no message says who it is from. Invariant: a server that is away, slow or hostile costs what it carries and
//! nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::heard::Speaker;
use super::message::{self, Purge, VERSION};
use super::{ControlPlane, Spread, rtts};
use crate::config::{self, Config};
use crate::kept;
use crate::node::Node;

mod purges;

/// Messages that wait to be taken, of each kind; what comes faster is dropped and counted.
const UNTAKEN_MAX: usize = 256;
/// Purges that wait here until the server has them; further ones are refused.
const PURGES_WAITING_MAX: usize = 256;
/// How long who orders a purge waits for the server before it is told that the purge waits.
const PURGE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts of something that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Bytes of a file that says who this node is.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// How long a server may take to take a connection or a message.
const PATIENCE: Duration = Duration::from_secs(5);

/// NATS as it is configured, and once it has been started.
pub(super) struct Nats {
    settings: Arc<config::Control>,
    own: Speaker,
    /// Until it is started.
    unstarted: Mutex<Option<(ConnectOptions, mpsc::Receiver<Ordered>)>>,
    orders: mpsc::Sender<Ordered>,
    link: Arc<Link>,
}

/// The connection as it is.
struct Link {
    /// How often it was made, and whether it is there.
    made: watch::Sender<(u64, bool)>,
    /// Purges that the server does not have yet.
    waiting: AtomicUsize,
    /// What it said last, so that what repeats with each attempt is logged once.
    said: Mutex<String>,
}

/// A purge that others are to be told.
struct Ordered {
    order: Value,
    /// Told whether the server has it.
    done: oneshot::Sender<bool>,
}

impl Nats {
    /// Of a config.
    ///
    /// # Errors
    /// One line: which file cannot be used.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let options = options(config)?;
        let (orders, receiver) = mpsc::channel(PURGES_WAITING_MAX);
        let link = Link { made: watch::Sender::new((0, false)), waiting: AtomicUsize::new(0), said: Mutex::default() };
        Ok(Self {
            settings: Arc::new(config.control.clone()),
            own: (config.node.cluster.clone().unwrap_or_default(), config.node.name.clone()),
            unstarted: Mutex::new(Some((options, receiver))),
            orders,
            link: Arc::new(link),
        })
    }
}

#[async_trait]
impl ControlPlane for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn start(&self, node: &Arc<Node>) {
        let Some((options, orders)) = self.unstarted.lock().take() else { return };
        let carrying = Carrying {
            node: node.clone(),
            settings: self.settings.clone(),
            own: self.own.clone(),
            link: self.link.clone(),
        };
        tokio::spawn(carrying.run(options, orders));
    }

    fn follow(&self, node: &Node, config: &Config) {
        // Round-trip times come by themselves: nobody is asked for them.
        if let Some(directing) = &node.directing {
            directing.probe(config);
        }
    }

    async fn spread(&self, order: Value) -> Spread {
        let (done, told) = oneshot::channel();
        self.link.waiting.fetch_add(1, Relaxed);
        if self.orders.try_send(Ordered { order, done }).is_err() {
            self.link.waiting.fetch_sub(1, Relaxed);
            return Spread::Refused;
        }
        match tokio::time::timeout(PURGE_PATIENCE, told).await {
            Ok(Ok(true)) => Spread::Told,
            Ok(_) => Spread::Refused,
            Err(_) => Spread::Waiting,
        }
    }

    fn is_connected(&self) -> Option<bool> {
        Some(self.link.made.borrow().1)
    }

    fn waiting(&self) -> usize {
        self.link.waiting.load(Relaxed)
    }
}

/// What the tasks of a plane have in common.
#[derive(Clone)]
struct Carrying {
    node: Arc<Node>,
    settings: Arc<config::Control>,
    own: Speaker,
    link: Arc<Link>,
}

impl Carrying {
    /// Carries for as long as the node runs.
    async fn run(self, options: ConnectOptions, orders: mpsc::Receiver<Ordered>) {
        let (node, link) = (self.node.clone(), self.link.clone());
        let options = options.event_callback(move |event| {
            happened(&node, &link, &event);
            std::future::ready(())
        });
        let client = match options.connect(&self.settings.servers[..]).await {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "there is no control plane: see control.servers"),
        };
        tokio::spawn(self.clone().tell_purges(client.clone(), orders));
        tokio::spawn(self.clone().follow_purges(client.clone()));
        tokio::spawn(self.clone().hear_states(client.clone()));
        if self.node.directing.is_some() {
            tokio::spawn(self.clone().hear_votes(client.clone()));
            tokio::spawn(self.clone().hear_drained(client.clone()));
            tokio::spawn(self.clone().hear_pushed(client.clone()));
            tokio::spawn(self.clone().hear_rtts(client.clone()));
        }
        self.tell_on(client).await;
    }

    /// A subject of this node's own.
    fn subject(&self, kind: &str) -> String {
        let (cluster, node) = &self.own;
        format!("{}.{kind}.{}.{}", self.settings.prefix, message::token(cluster), message::token(node))
    }

    /// Who has written to a subject.
    fn speaker(&self, kind: &str, subject: &str) -> Option<Speaker> {
        let rest =
            subject.strip_prefix(&self.settings.prefix)?.strip_prefix('.')?.strip_prefix(kind)?.strip_prefix('.')?;
        let (cluster, node) = rest.split_once('.')?;
        Some((message::name(cluster)?, message::name(node).filter(|node| !node.is_empty())?))
    }

    async fn subscribe(&self, client: &Client, kind: &str) -> Option<Subscriber> {
        let subscribed = client.subscribe(format!("{}.{kind}.*.*", self.settings.prefix)).await;
        subscribed.inspect_err(|error| tracing::error!(%error, kind, "nothing is heard by the control plane")).ok()
    }

    async fn hear_states(self, client: Client) {
        let Some(mut states) = self.subscribe(&client, "state").await else { return };
        while let Some(message) = states.next().await {
            let speaker = self.speaker("state", &message.subject);
            self.node.control.hear_report(&self.own, speaker, &message.payload);
        }
    }

    async fn hear_votes(self, client: Client) {
        let Some(mut votes) = self.subscribe(&client, "votes").await else { return };
        while let Some(message) = votes.next().await {
            let speaker = self.speaker("votes", &message.subject);
            self.node.control.hear_votes(&self.own, speaker, &message.payload);
        }
    }

    async fn hear_drained(self, client: Client) {
        let Some(mut words) = self.subscribe(&client, "drained").await else { return };
        while let Some(message) = words.next().await {
            let speaker = self.speaker("drained", &message.subject);
            let node = self.node.clone();
            let hearing =
                tokio::task::spawn_blocking(move || node.control.hear_drained(&node, speaker, &message.payload));
            if let Err(error) = hearing.await {
                tracing::error!(%error, "word of drained clusters was not taken");
            }
        }
    }

    async fn hear_pushed(self, client: Client) {
        let Some(mut titles) = self.subscribe(&client, "pushed").await else { return };
        while let Some(message) = titles.next().await {
            let speaker = self.speaker("pushed", &message.subject);
            let (node, age) = (self.node.clone(), self.node.settings.load().rtt.age.0);
            let hearing = tokio::task::spawn_blocking(move || node.control.hear_pushed(speaker, &message.payload, age));
            if let Err(error) = hearing.await {
                tracing::error!(%error, "word of what was pushed was not taken");
            }
        }
    }

    async fn hear_rtts(self, client: Client) {
        let Some(mut texts) = self.subscribe(&client, "rtt").await else { return };
        while let Some(message) = texts.next().await {
            let speaker = self.speaker("rtt", &message.subject);
            let (node, age) = (self.node.clone(), self.node.settings.load().rtt.age.0);
            // Reading many prefixes takes a while; one after the other, so that no more than one is under way.
            let hearing = tokio::task::spawn_blocking(move || node.control.hear_rtts(speaker, &message.payload, age));
            if let Err(error) = hearing.await {
                tracing::error!(%error, "round-trip times were not taken");
            }
        }
    }

    /// Tells how this node is, and judges what was heard, for ever.
    async fn tell_on(self, client: Client) {
        let mut every = tokio::time::interval(self.settings.every.0);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let [state, votes, drained] = ["state", "votes", "drained"].map(|kind| self.subject(kind));
        let mut had_pushed = false;
        let mut rtts_at = Instant::now();
        loop {
            every.tick().await;
            let control = &self.node.control;
            self.tell(&client, &state, control.report(&self.node).written()).await;
            if let Some(found) = control.votes(&self.node) {
                self.tell(&client, &votes, found.written()).await;
            }
            if let Some(words) = control.drained(&self.node) {
                self.tell(&client, &drained, words.written()).await;
            }
            if Instant::now() >= rtts_at {
                rtts_at = Instant::now() + self.settings.rtt_every.0;
                had_pushed = self.tell_seldom(&client, had_pushed).await;
            }
            control.judge(&self.node);
            control.settle_pushed(&self.node).await;
            control.hand_on_rtts(&self.node).await;
        }
    }

    /// Tells round-trip times and what was pushed here, of which something was told the last time if `had_pushed`; whether it was now.
    async fn tell_seldom(&self, client: &Client, had_pushed: bool) -> bool {
        if self.own.0.is_empty() {
            return false;
        }
        let (text, left_out) = rtts::cut(self.node.rtt.text());
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "round-trip times are too many for one message: those with fewest measurements are not told"
            );
        }
        // A text that has but its first line says nothing.
        if text.lines().nth(1).is_some() {
            self.tell(client, &self.subject("rtt"), text.into_bytes()).await;
        }
        let Some(pushed) = self.node.control.pushed(&self.node, had_pushed) else { return false };
        self.tell(client, &self.subject("pushed"), pushed.written()).await;
        !pushed.titles.is_empty()
    }

    /// Tells something that the next word replaces: it is not kept for when there is a connection again.
    async fn tell(&self, client: &Client, subject: &str, bytes: Vec<u8>) {
        let is_there = self.link.made.borrow().1;
        let telling =
            async { client.publish(subject.to_owned(), bytes.into()).await.is_ok() && client.flush().await.is_ok() };
        let sent = is_there && tokio::time::timeout(PATIENCE, telling).await.unwrap_or(false);
        let counts = &self.node.control.counts;
        if sent { &counts.sent } else { &counts.unsent }.add(1);
    }

    /// A purge of this node as it is written, and what it is known by.
    fn written(&self, seq: u64, order: Value) -> (String, Vec<u8>) {
        let run = self.node.control.run;
        let id = format!("{}.{run}.{seq}", message::token(&self.own.1));
        (id, Purge { v: VERSION, run, seq, order }.written())
    }
}

/// Something has become of the connection.
fn happened(node: &Node, link: &Link, event: &Event) {
    let is_there = match event {
        Event::Connected => true,
        Event::Disconnected | Event::Closed => false,
        Event::SlowConsumer(_) => return node.control.counts.slow.add(1),
        other => {
            let says = other.to_string();
            let before = std::mem::replace(&mut *link.said.lock(), says.clone());
            return if before == says {
                tracing::debug!(says, "control plane")
            } else {
                tracing::warn!(says, "control plane")
            };
        }
    };
    link.said.lock().clear();
    link.made.send_if_modified(|(times, was)| {
        let changed = *was != is_there || is_there;
        *times += u64::from(is_there);
        *was = is_there;
        changed
    });
    match is_there {
        true => tracing::info!("connected to the control plane"),
        false => tracing::warn!("the connection to the control plane is gone"),
    }
}

/// How to connect.
fn options(config: &Config) -> Result<ConnectOptions, String> {
    let control = &config.control;
    let mut options = ConnectOptions::new()
        .name(&config.node.name)
        .retry_on_initial_connect()
        .connection_timeout(PATIENCE)
        .subscription_capacity(UNTAKEN_MAX)
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| Duration::from_millis(100 * (attempts as u64).clamp(1, 20)));
    if let Some(file) = &control.credentials_file {
        let problem = |error: std::io::Error| format!("{}: {error}", file.display());
        options = options.credentials(&secret(file)?).map_err(problem)?;
    }
    if let Some(file) = &control.nkey_file {
        options = options.nkey(secret(file)?.trim().to_owned());
    }
    if let (Some(user), Some(file)) = (&control.user, &control.password_file) {
        options = options.user_and_password(user.clone(), secret(file)?.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some(file) = &control.ca {
        let found = CertificateDer::pem_file_iter(file).ok().and_then(|mut all| all.next());
        if !matches!(found, Some(Ok(_))) {
            return Err(format!("control.ca: {}: it has no certificate that can be read (PEM)", file.display()));
        }
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    if let (Some(cert), Some(key)) = (&control.cert, &control.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}

fn secret(file: &Path) -> Result<String, String> {
    kept::text(file, SECRET_BYTES_MAX).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nats(text: &str) -> Result<Nats, String> {
        let text = format!(
            "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"a\"]\norigin = [\"http://a\"]\n[control]\nplane = \"nats\"\nservers = [\"nats://127.0.0.1:1\"]\n{text}\n"
        );
        Nats::new(&Config::parse(Path::new("node.toml"), &text).map_err(|error| error.to_string())?)
    }

    #[tokio::test(start_paused = true)]
    async fn purges_wait_for_a_server_up_to_their_bound_and_further_ones_are_refused() {
        let nats = nats("").unwrap();
        let all: Vec<_> = (0..=PURGES_WAITING_MAX).map(|_| nats.spread(Value::Null)).collect();
        let spread = futures_util::future::join_all(all).await;
        assert!(spread[..PURGES_WAITING_MAX].iter().all(|spread| *spread == Spread::Waiting), "{spread:?}");
        assert_eq!((spread[PURGES_WAITING_MAX], nats.waiting()), (Spread::Refused, PURGES_WAITING_MAX));
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("no.pem");
        std::fs::write(&file, "no certificate").unwrap();
        for key in ["ca", "credentials_file"] {
            let problem = nats(&format!("{key} = {:?}", file.display().to_string())).err().unwrap_or_default();
            assert!(problem.contains("no.pem"), "{key}: {problem}");
        }
    }
}
