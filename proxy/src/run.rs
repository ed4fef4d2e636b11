//! `littoral run`: a node from its config to its end. What a running node does about a changed config is `reload`'s.
//!
//! Order: read and check the config; bind every listener; load what the config names (plugins, databases, zones,
//! certificates); only then start workers. Whatever fails before that ends the process with one line and code 2, with
//! nothing half-started.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use littoral_cache::Store;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::directing::Directing;
use crate::dot::{self, Inside};
use crate::handover::{Handed, Inherited, Kind};
use crate::itself::Itself;
use crate::listen::clients::Clients;
use crate::listen::front::{Front, Fronts};
use crate::listen::socket::{Bound, Share};
use crate::listen::{Crew, Presence, Worker};
use crate::node::{Hot, Node};
use crate::observe::access::Access;
use crate::observe::figures::Figures;
use crate::observe::trace::Traces;
use crate::origin::{keep_looking_up, look_up};
use crate::plugins::{self, Plugins, Tolerated};
use crate::rate::Rate;
use crate::reload::reload;
use crate::request::{RequestPath, own_value};
use crate::services::datagrams::Sockets as Datagrams;
use crate::site::Sites;
use crate::storage::{CacheLock, Shelf};
use crate::upgrade::Upgrade;
use crate::upgrade::twin::{Which, meet};
use crate::warm::Jobs;

mod dns;
mod load;

/// How old a fill may get before those who wait for it start over.
const FILL_LOCK_AGE: Duration = Duration::from_secs(60);

/// Listeners bound for one node.
struct Sockets {
    http: Vec<Bound>,
    admin: Option<std::net::TcpListener>,
    dns: Option<littoral_geo::server::Listeners>,
    resolver: Option<littoral_geo::server::Listeners>,
    datagrams: Datagrams,
    swarms: Datagrams,
    dot: Vec<std::net::TcpListener>,
    doh: Vec<std::net::TcpListener>,
}

/// A node that is ready to start.
pub struct Assembled {
    node: Arc<Node>,
    sockets: Sockets,
    own: Vec<Share>,
    workers: usize,
}

impl Assembled {
    /// Binds, or takes of what was `inherited`, and loads everything `config` names.
    ///
    /// # Errors
    /// One line: what, where and what to do.
    pub fn new(config: Config, inherited: &mut Inherited) -> Result<Self, String> {
        let workers = match config.limits.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let fronts = Fronts::new(&config)?;
        let sockets = Sockets::bind(&config, workers, &fronts, inherited)?;
        let (itself, own) = Itself::of(&sockets.http, workers)?;
        let node = assemble(config, itself, fronts, inherited)?;
        Ok(Self { node, sockets, own, workers })
    }

    /// The line that tells what is bound where.
    pub fn ready_line(&self) -> String {
        let join = |addresses: Vec<String>| addresses.join(",");
        let kind = |front: &Front| [front.is_tls(), front.is_forward(), front.is_service(), front.is_swarm()];
        let mut parts = vec!["ready".to_owned()];
        let kinds = [
            ("http", [false; 4]),
            ("https", [true, false, false, false]),
            ("forward", [false, true, false, false]),
            ("service", [false, false, true, false]),
            ("swarm", [false, false, false, true]),
        ];
        for (name, wanted) in kinds {
            let of = self.sockets.http.iter().filter(|bound| kind(&bound.front) == wanted);
            let addresses: Vec<String> = of.map(|bound| bound.at.to_string()).collect();
            if !addresses.is_empty() {
                parts.push(format!("{name}={}", join(addresses)));
            }
        }
        if let Some(address) = self.sockets.admin.as_ref().and_then(|admin| admin.local_addr().ok()) {
            parts.push(format!("admin={address}"));
        }
        for (name, sockets) in [("dns", &self.sockets.dns), ("resolver", &self.sockets.resolver)] {
            if let Some(sockets) = sockets {
                parts.push(format!("{name}={}", join(sockets.addresses().iter().map(ToString::to_string).collect())));
            }
        }
        for (name, sockets) in [("datagram", &self.sockets.datagrams), ("swarm-datagram", &self.sockets.swarms)] {
            let addresses = sockets.addresses();
            if !addresses.is_empty() {
                parts.push(format!("{name}={}", join(addresses)));
            }
        }
        for (name, sockets) in [("dot", &self.sockets.dot), ("doh", &self.sockets.doh)] {
            let bound = sockets.iter().filter_map(|socket| socket.local_addr().ok());
            let bound: Vec<String> = bound.map(|at| at.to_string()).collect();
            if !bound.is_empty() {
                parts.push(format!("{name}={}", join(bound)));
            }
        }
        parts.join(" ")
    }
}

impl Sockets {
    fn bind(config: &Config, workers: usize, fronts: &Fronts, inherited: &mut Inherited) -> Result<Self, String> {
        let each = config.listen.bound().zip(fronts.iter());
        let http = each.map(|((bind, door), front)| match inherited.take(Kind::Data, &bind.to_string()) {
            none if none.is_empty() => Bound::new(bind, &door, workers, front.clone()),
            sockets => Bound::inherited(bind, sockets, workers, front.clone()),
        });
        let http = http.collect::<Result<_, _>>()?;
        let admin = config.listen.admin.map(|address| {
            let problem = |error| format!("cannot listen on {address} (listen.admin): {error}");
            let socket = inherited.take(Kind::Admin, &address.to_string()).into_iter().next();
            let listener = socket.map_or_else(|| std::net::TcpListener::bind(address), |socket| Ok(socket.into()));
            let listener = listener.map_err(problem)?;
            listener.set_nonblocking(true).map_err(problem)?;
            Ok::<_, String>(listener)
        });
        let dns = dns::sockets("listen.dns", &config.listen.dns, config.dns.threads, inherited)?;
        let resolver = config.resolver.as_ref().map_or(&[][..], |resolver| &resolver.listen);
        let resolver = dns::sockets("resolver.listen", resolver, 1, inherited)?;
        let addresses = config.listen.datagram.iter().map(|datagram| datagram.bind);
        let datagrams = Datagrams::bind("listen.datagram", addresses, inherited)?;
        let addresses = config.listen.swarm.iter().filter_map(|swarm| swarm.datagrams);
        let swarms = Datagrams::bind("listen.swarm", addresses, inherited)?;
        let mut encrypted = |kind, inside, addresses: &[SocketAddr]| {
            let sockets = addresses.iter().map(|address| {
                let socket = inherited.take(kind, &address.to_string()).into_iter().next();
                dot::bind(inside, *address, socket.map(Into::into))
            });
            sockets.collect::<Result<_, _>>()
        };
        let dot = encrypted(Kind::DnsTls, Inside::Dns, &config.listen.dot)?;
        let doh = encrypted(Kind::DnsHttps, Inside::Https, &config.listen.doh)?;
        Ok(Self { http, admin: admin.transpose()?, dns, resolver, datagrams, swarms, dot, doh })
    }

    /// Duplicates of all of them, for a process that takes over.
    fn duplicates(&self, config: &Config) -> std::io::Result<Vec<Handed>> {
        let listen = &config.listen;
        let mut all = Vec::new();
        for bound in &self.http {
            all.extend(bound.duplicates()?);
        }
        if let Some((socket, written)) = self.admin.as_ref().zip(listen.admin) {
            all.push(Handed::of(Kind::Admin, written.to_string(), socket.local_addr()?.to_string(), socket)?);
        }
        let dot = self.dot.iter().zip(&listen.dot).map(|bound| (Kind::DnsTls, bound));
        let doh = self.doh.iter().zip(&listen.doh).map(|bound| (Kind::DnsHttps, bound));
        for (kind, (socket, written)) in dot.chain(doh) {
            all.push(Handed::of(kind, written.to_string(), socket.local_addr()?.to_string(), socket)?);
        }
        let dns = self.dns.iter().flat_map(|dns| dns.bound()).zip(&listen.dns);
        let resolver = self.resolver.iter().flat_map(|resolver| resolver.bound());
        let resolver = resolver.zip(config.resolver.iter().flat_map(|resolver| &resolver.listen));
        for (sockets, written) in dns.chain(resolver) {
            let bound = sockets.tcp.local_addr()?.to_string();
            for udp in &sockets.udp {
                all.push(Handed::of(Kind::DnsUdp, written.to_string(), bound.clone(), udp)?);
            }
            all.push(Handed::of(Kind::DnsTcp, written.to_string(), bound, &sockets.tcp)?);
        }
        all.extend(self.datagrams.duplicates()?);
        all.extend(self.swarms.duplicates()?);
        Ok(all)
    }
}

fn assemble(
    config: Config,
    itself: Option<Itself>,
    fronts: Fronts,
    inherited: &mut Inherited,
) -> Result<Arc<Node>, String> {
    let access = Access::default();
    access.adopt(access.prepare(config.log.access.as_ref())?);
    let traces = Traces::default();
    traces.adopt(traces.prepare(config.trace.as_ref(), &config.node.name)?);
    let plugins = Plugins::load(&config, Some(plugins::compiler()), inherited.tolerated())?;
    let sites = Sites::of(&config, &Sites::default());
    plugins.filters.seat(&sites);
    let directing = match Directing::new(&config, plugins.routing())? {
        Some((directing, warnings)) => {
            warnings.iter().for_each(|warning| tracing::error!("{warning}"));
            Some(directing)
        }
        None => None,
    };
    let resolver = crate::resolving::resolver(&config)?;
    let rtt = Arc::new(crate::rtt::Rtt::default());
    rtt.put(&config.rtt);
    inherited.ask_for_disks();
    rtt.resume(config.node.data.as_deref());
    directing.iter().for_each(|directing| directing.drains().resume(config.node.data.as_deref()));
    let store = crate::disks::store_of(&config.cache, plugins.eviction())?;
    let fill_lock: &'static CacheLock = Box::leak(CacheLock::new_boxed(FILL_LOCK_AGE));
    let hot = Hot::of(&config, &access, &traces);
    let token = Node::secret();
    let node = Arc::new(Node {
        control: crate::control::Control::new(&config)?,
        sites: ArcSwap::from_pointee(sites),
        probes: crate::origin::Probes::default(),
        shelf: Shelf::leak(store.clone()),
        rate: Rate::new(plugins.rate(), store.clone(), itself.as_ref(), token.clone()),
        store,
        fill_lock,
        collapse_wait: config.cache.collapse_wait.0,
        plugins,
        directing,
        itself: itself.as_ref().map(Itself::asker).transpose()?,
        warm: itself.map(|itself| Arc::new(Jobs::new(itself, config.node.data.as_deref()))),
        token,
        fronts,
        acme: crate::acme::Acme::default(),
        forward: crate::forward::Forward::new(&config.forward),
        access,
        traces,
        watched: crate::admin::events::Watched::default(),
        upgrade: Upgrade::default(),
        clients: Clients::default(),
        rtt,
        resolver,
        figures: Figures::default(),
        load: AtomicU16::new(0),
        stopping: AtomicBool::new(false),
        name: config.node.name.clone(),
        via: own_value(&format!("1.1 {}", config.node.name)),
        served_by: own_value(&config.node.name),
        hot: ArcSwap::from_pointee(hot),
        settings: ArcSwap::from_pointee(config),
        reloading: tokio::sync::Mutex::default(),
    });
    node.plugins.serve(&node);
    Ok(node)
}

/// What comes before anybody is accepted: on inherited sockets clients come at once.
async fn before_anybody(node: &Arc<Node>, inherited: &mut Inherited) {
    inherited.take_twin().map(|twin| meet(node, Which::Older, twin));
    look_up(node, node.sites.load().origins()).await;
}

/// Runs the node of a config file until a signal ends it.
///
/// # Errors
/// One line for the operator; the exit code is 2.
pub fn run(file: &Path) -> Result<(), String> {
    let mut inherited = Inherited::receive()?;
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let warnings = config.warnings();
    let assembled = Assembled::new(config, &mut inherited)?;
    for address in inherited.untaken() {
        tracing::warn!(address, "a socket was handed over that the config does not name; it is closed");
    }
    warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
    let ready = assembled.ready_line();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let Assembled { node, sockets, own, workers } = assembled;
    let duplicates = sockets.duplicates(&node.settings.load());
    node.upgrade.keep(duplicates.map_err(|error| format!("cannot duplicate the listening sockets: {error}"))?);
    let (stop, stopped) = watch::channel(false);
    let drain = node.settings.load().limits.drain.0;
    runtime.block_on(before_anybody(&node, &mut inherited));
    let services = node.plugins.services.start(&node, workers, (sockets.datagrams, sockets.swarms), &stopped)?;
    let threads = start_workers(&node, sockets.http, own, workers, &stopped, drain)?;
    start_evictor(node.store.clone()).map_err(|error| format!("cannot start the evictor: {error}"))?;
    runtime.block_on(async {
        // Before anybody can know of the process and send it one.
        let signals = Signals::listen();
        if let Some(admin) = sockets.admin {
            tokio::spawn(crate::admin::serve(admin, node.clone(), file.to_owned()));
        }
        node.probes.follow(&node);
        node.control.start(&node);
        node.rtt.probe(&node.settings.load().rtt);
        tokio::spawn(keep_looking_up(node.clone()));
        tokio::spawn(crate::acme::keep(node.clone()));
        tokio::spawn(crate::warm::keep(node.clone()));
        tokio::spawn(crate::disks::report(node.store.clone()));
        tokio::spawn(crate::rtt::kept::keep_on(node.clone()));
        tokio::spawn(load::measure(node.clone(), workers));
        node.directing.iter().for_each(keep_directing);
        dns::answer(&node, sockets.dns, sockets.dot, sockets.doh, &stopped);
        dns::resolve(&node, sockets.resolver, &stopped);
        let _watch = node.plugins.watch();
        tokio::spawn(plugins::absent::keep(node.clone()));
        say_ready(&ready, inherited);
        node.plugins.ticks.begin(&node, &stopped);
        signals.obey(&node, file).await;
        tracing::info!("stopping");
        node.stopping.store(true, Relaxed);
        node.watched.end();
        node.upgrade.forget();
        let _ = stop.send(true);
    });
    for thread in threads {
        let _ = thread.join();
    }
    services.into_iter().for_each(|services| services.shutdown_timeout(Duration::from_secs(1)));
    // Nobody answers any more: what was logged is written now.
    node.access.adopt(None);
    node.traces.adopt(None);
    node.renew_hot();
    node.traces.end();
    node.rtt.keep();
    crate::disks::finish(&node.store, drain);
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Tells whoever waits for it that the node answers.
fn say_ready(line: &str, inherited: Inherited) {
    // Whoever started the process may have stopped listening to it.
    let _ = writeln!(std::io::stdout(), "{line}");
    inherited.ready();
    crate::upgrade::notify("READY=1");
}

/// What a node that directs looks after for as long as it runs.
fn keep_directing(directing: &Directing) {
    tokio::spawn(Directing::follow_files(directing.director().clone()));
    tokio::spawn(Directing::follow_prices(directing.director().clone()));
    tokio::spawn(littoral_geo::copies::keep(directing.director().clone()));
}

type WorkerThread = std::thread::JoinHandle<()>;

fn start_workers(
    node: &Arc<Node>,
    bound: Vec<Bound>,
    own: Vec<Share>,
    workers: usize,
    stopped: &watch::Receiver<bool>,
    drain: Duration,
) -> Result<Vec<WorkerThread>, String> {
    let conf = Arc::new(ServerConf {
        max_retries: crate::request::ATTEMPTS_MAX,
        threads: workers,
        upstream_keepalive_pool_size: node.settings.load().limits.origin_connections_idle,
        ..ServerConf::default()
    });
    let proxy = Arc::new(http_proxy(&conf, RequestPath { node: node.clone(), forward: false }));
    // With connections of its own: those to origins are not for everybody's clients.
    let forward = bound.iter().any(|bound| bound.front.is_forward());
    let forward = forward.then(|| Arc::new(http_proxy(&conf, RequestPath { node: node.clone(), forward: true })));
    let mut shares: Vec<Vec<Share>> = (0..workers).map(|_| Vec::new()).collect();
    for bound in bound {
        // What was inherited may be more sockets than there are workers now.
        for (number, share) in bound.into_shares().enumerate() {
            shares[number % workers].push(share);
        }
    }
    own.into_iter().zip(&mut shares).for_each(|(own, shares)| shares.push(own));
    let crew = Crew::of(shares.iter().filter(|shares| !shares.is_empty()).count());
    let start = |(number, shares): (usize, Vec<Share>)| {
        let (node, proxy, forward, shutdown) = (node.clone(), proxy.clone(), forward.clone(), stopped.clone());
        let presence = Arc::new(Presence::default());
        let worker = Arc::new(Worker { node, proxy, forward, shutdown, presence, crew: crew.clone() });
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime.map_err(|error| error.to_string()).and_then(|rt| rt.block_on(worker.run(shares, drain))) {
                Ok(()) => {}
                Err(error) => tracing::error!(number, error, "a worker ended"),
            }
        };
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(body)
    };
    let started: Result<_, _> =
        shares.into_iter().enumerate().filter(|(_, shares)| !shares.is_empty()).map(start).collect();
    started.map_err(|error| format!("cannot start a worker: {error}"))
}

/// The one who evicts, on a thread of its own: the policy may be a guest and is never called on the request path.
fn start_evictor(store: Arc<Store>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            loop {
                store.pressure().await;
                store.evict(SystemTime::now());
            }
        });
    };
    std::thread::Builder::new().name("evictor".into()).spawn(body)
}

/// The signals a node obeys. Those that come from here on wait until [`Self::obey`].
struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Self {
        let listen = |kind| signal(kind).expect("invariant: signal handlers can be set at start");
        let [hangup, user1, user2, terminate, interrupt] = [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::terminate(),
            SignalKind::interrupt(),
        ]
        .map(listen);
        Self { hangup, user1, user2, terminate, interrupt }
    }

    /// Reloads at each SIGHUP, opens the access log again at each SIGUSR1, upgrades at SIGUSR2, until SIGTERM,
    /// SIGINT or a new process that has taken over.
    async fn obey(mut self, node: &Arc<Node>, file: &Path) {
        let reloads = async {
            while self.hangup.recv().await.is_some() {
                match reload(node, file).await {
                    Ok(done) if done.needs_restart.is_empty() => tracing::info!("config reloaded"),
                    Ok(done) => {
                        tracing::warn!(
                            keys = done.needs_restart.join(", "),
                            "config reloaded; these keys need a restart"
                        );
                    }
                    Err(error) => tracing::error!(error, "config not reloaded; the old one stays in force"),
                }
            }
        };
        let reopens = async {
            while self.user1.recv().await.is_some() {
                node.access.reopen();
            }
        };
        let upgrades = async {
            while self.user2.recv().await.is_some() {
                match node.upgrade.start(node).await {
                    Ok(pid) => tracing::info!(pid, "a new process has taken over"),
                    Err(error) => tracing::error!(error, "not upgraded"),
                }
            }
        };
        tokio::select! {
            () = upgrades => {}
            () = node.upgrade.done() => {}
            () = reloads => {}
            () = reopens => {}
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Checks a config file and all it names without starting anything. Returns warnings.
///
/// # Errors
/// As [`run`].
pub fn check(file: &Path) -> Result<Vec<String>, String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    Fronts::new(&config)?;
    let plugins = Plugins::load(&config, Some(plugins::compiler()), Tolerated::nobody())?;
    let mut warnings = config.warnings();
    warnings.extend(Directing::new(&config, plugins.routing())?.into_iter().flat_map(|(_, warnings)| warnings));
    Ok(warnings)
}
