//! Clients that ask again as soon as they were answered, over HTTP/1.1 plain and with TLS, and over HTTP/2, for tests of what happens to
//! a node under them. They ask for hits and misses in turn.
//!
//! Invariant: each request is counted as answered or as failed, or was surely not begun and is asked again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use h2::client::SendRequest;
use littoral_testkit::Client;
use littoral_testkit::tls::TlsClient;
use tokio::task::JoinHandle;

/// What a client speaks.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// HTTP/1.1; `true`: on connections that are kept.
    Plain(bool),
    /// The same over TLS.
    Tls(Arc<TlsClient>, bool),
    /// HTTP/2 over TLS.
    H2(Arc<TlsClient>),
}

/// What became of the requests of all clients.
#[derive(Default)]
pub(crate) struct Load {
    /// Nothing more is to be asked.
    pub(crate) ends: AtomicBool,
    /// Whole answers, by client.
    answered: Vec<AtomicUsize>,
    /// Not answered, or not with a whole 200.
    pub(crate) failed: AtomicUsize,
    /// Of these, on connections that had been used before.
    pub(crate) failed_kept: AtomicUsize,
    /// Kept connections of which the node said that it closes them.
    pub(crate) closed: AtomicUsize,
    /// Clients that went home because nobody took their connection.
    pub(crate) unmet: AtomicUsize,
}

fn note(count: &AtomicUsize) {
    count.fetch_add(1, Relaxed);
}

impl Load {
    /// Starts these clients; each asks until it is told to end or nobody listens.
    pub(crate) fn start(clients: Vec<(Speaks, SocketAddr)>) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let answered = clients.iter().map(|_| AtomicUsize::new(0)).collect();
        let load = Arc::new(Self { answered, ..Self::default() });
        let run = |(number, (speaks, address))| tokio::spawn(load.clone().run(number, speaks, address));
        let running = clients.into_iter().enumerate().map(run).collect();
        (load, running)
    }

    /// Eight clients of HTTP/1.1, half of which keep their connections.
    pub(crate) fn plain(address: SocketAddr) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        Self::start((0..8).map(|number| (Speaks::Plain(number % 2 == 0), address)).collect())
    }

    /// Waits until each client had so many more answers, or one failed.
    pub(crate) async fn answers(&self, more: usize) {
        let upto: Vec<usize> = self.answered.iter().map(|answered| answered.load(Relaxed) + more).collect();
        let waits = || self.answered.iter().zip(&upto).any(|(answered, upto)| answered.load(Relaxed) < *upto);
        while waits() && self.failed.load(Relaxed) + self.unmet.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Tells all clients to end, waits for them, and says how many requests failed and how many clients met nobody.
    pub(crate) async fn end(&self, clients: Vec<JoinHandle<()>>) -> (usize, usize) {
        self.ends.store(true, Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        (self.failed.load(Relaxed), self.unmet.load(Relaxed))
    }

    async fn run(self: Arc<Self>, number: usize, speaks: Speaks, address: SocketAddr) {
        match speaks {
            Speaks::Plain(keeps) => self.run_1(number, None, keeps, address).await,
            Speaks::Tls(tls, keeps) => self.run_1(number, Some(tls), keeps, address).await,
            Speaks::H2(tls) => self.run_2(number, &tls, address).await,
        }
    }

    async fn run_1(&self, number: usize, tls: Option<Arc<TlsClient>>, keeps: bool, address: SocketAddr) {
        let mut connection: Option<Client> = None;
        for round in 0.. {
            if self.ends.load(Relaxed) {
                return;
            }
            let kept = connection.is_some();
            let opened = match (connection.take(), &tls) {
                (Some(client), _) => Some(client),
                (None, None) => Client::try_connect(address).await,
                (None, Some(tls)) => tls.connect(address, "site.example").await.ok().map(Client::over),
            };
            let Some(mut client) = opened else { return note(&self.unmet) };
            let fields = if keeps { "" } else { "Connection: close\r\n" };
            client.send(format!("GET {} HTTP/1.1\r\nHost: site.example\r\n{fields}\r\n", path(number, round))).await;
            match client.reply(false).await.filter(|reply| reply.status == 200 && reply.whole) {
                None => {
                    note(&self.failed);
                    self.failed_kept.fetch_add(usize::from(kept), Relaxed);
                }
                Some(reply) => {
                    note(&self.answered[number]);
                    match reply.field("connection").eq_ignore_ascii_case("close") {
                        true if keeps => note(&self.closed),
                        true => {}
                        false => connection = Some(client),
                    }
                }
            }
        }
    }

    async fn run_2(&self, number: usize, tls: &TlsClient, address: SocketAddr) {
        let mut connection: Option<SendRequest<Bytes>> = None;
        for round in 0.. {
            if self.ends.load(Relaxed) {
                return;
            }
            let opened = match connection.take() {
                Some(client) => Some(client),
                None => begin(tls, address).await,
            };
            let Some(client) = opened else { return note(&self.unmet) };
            // Told that it ends, a client asks nothing more on it.
            let Ok(mut client) = client.ready().await else {
                note(&self.closed);
                continue;
            };
            match ask(&mut client, &path(number, round)).await {
                Ok(true) => {
                    note(&self.answered[number]);
                    connection = Some(client);
                }
                // Beyond the last stream of a farewell: it was not begun, and can be asked again (RFC 9113 §6.8).
                Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => note(&self.closed),
                Ok(false) | Err(_) => note(&self.failed),
            }
        }
    }
}

fn path(number: usize, round: usize) -> String {
    if round.is_multiple_of(2) { "/hit".to_owned() } else { format!("/{number}/{round}") }
}

async fn begin(tls: &TlsClient, address: SocketAddr) -> Option<SendRequest<Bytes>> {
    let stream = tls.connect(address, "site.example").await.ok()?;
    let (client, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Whether the answer is a whole 200.
async fn ask(client: &mut SendRequest<Bytes>, path: &str) -> Result<bool, h2::Error> {
    let request = http::Request::builder().uri(format!("https://site.example{path}")).body(()).unwrap();
    let (head, mut body) = client.send_request(request, true)?.0.await?.into_parts();
    let mut came = Vec::new();
    while let Some(piece) = body.data().await {
        came.extend_from_slice(&piece?);
    }
    Ok(head.status == 200 && came == b"hello")
}
