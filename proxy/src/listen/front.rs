//! What a reload may change of the listeners: who may come in, certificates, whom TLS is spoken with, which plugin serves.
//!
//! Where they are bound is fixed at start ([`super::socket`]). Invariant: a config whose files cannot all be used changes
//! nothing; connections that are open keep what they began with.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::rules::Rules;
use super::tls::Tls;
use crate::config::{Bind, Config, Door, Http, Https, Serve};

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
    Forward,
    Service,
    Swarm,
    /// The node itself, which no config names.
    Own,
}

/// The changing side of one listener.
pub struct Front {
    bind: Bind,
    kind: Kind,
    pub(super) rules: ArcSwap<Rules>,
    pub(super) tls: ArcSwapOption<Tls>,
    /// Who serves its connections, where that is a plugin.
    pub(super) serve: ArcSwapOption<Serve>,
    /// The place in the config of the swarm that has its connections, if one does.
    pub(super) swarm: Option<usize>,
    /// How many connections a plugin has.
    pub(super) taken: Arc<AtomicUsize>,
}

/// The changing side of every listener: plain, TLS, forward, services, swarms, each in the order of the config.
pub struct Fronts(Vec<Arc<Front>>);

/// What a config says of a listener, read and found good.
struct Read {
    bind: Bind,
    kind: Kind,
    rules: Rules,
    tls: Option<Tls>,
    serve: Option<Serve>,
    swarm: Option<usize>,
}

/// What a config says of every listener, read and found good.
pub struct Prepared(Vec<Read>);

impl Front {
    /// Whether it speaks HTTP over TLS.
    pub fn is_tls(&self) -> bool {
        self.kind == Kind::Tls
    }

    /// What it speaks TLS with, for other protocols over it.
    pub(crate) fn tls_as(&self, protocols: &[&[u8]]) -> Option<Arc<rustls::ServerConfig>> {
        let tls = self.tls.load_full()?;
        let mut config = rustls::ServerConfig::clone(&tls.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Some(Arc::new(config))
    }

    /// Whether it is an explicit proxy.
    pub fn is_forward(&self) -> bool {
        self.kind == Kind::Forward
    }

    /// Of the socket by which the node asks itself: open, and never changed.
    pub(super) fn own() -> Arc<Self> {
        Arc::new(Self {
            bind: Bind::Unix(std::path::PathBuf::new()),
            kind: Kind::Own,
            rules: ArcSwap::default(),
            tls: ArcSwapOption::empty(),
            serve: ArcSwapOption::empty(),
            swarm: None,
            taken: Arc::default(),
        })
    }

    /// Whether it speaks HTTP for the sites of the node.
    pub(crate) fn serves_sites(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Tls)
    }

    /// Whether the node asks itself there.
    pub(super) fn is_own(&self) -> bool {
        self.kind == Kind::Own
    }

    /// Whether a swarm has its connections.
    pub fn is_swarm(&self) -> bool {
        self.kind == Kind::Swarm
    }

    /// Whether a plugin serves its connections.
    pub fn is_service(&self) -> bool {
        self.kind == Kind::Service
    }
}

/// A listener of a config.
struct Listener<'a> {
    bind: &'a Bind,
    kind: Kind,
    door: Door,
    https: Option<Https>,
    serve: Option<&'a Serve>,
    swarm: Option<usize>,
}

/// Every listener of a config in the order of [`Fronts`].
fn listeners(config: &Config) -> impl Iterator<Item = Listener<'_>> {
    let listen = &config.listen;
    let tls = listen.https.iter().map(|https| {
        let (bind, door) = (&https.bind, https.door());
        Listener { bind, kind: Kind::Tls, door, https: Some(https.clone()), serve: None, swarm: None }
    });
    let services = listen.service.iter().map(|serve| {
        let (bind, door) = (&serve.bind, serve.door());
        Listener { bind, kind: Kind::Service, door, https: serve.https(), serve: Some(serve), swarm: None }
    });
    let http = listen.http.iter().map(|http| Listener::plain(http, Kind::Plain));
    let forward = listen.forward.iter().map(|forward| Listener::plain(forward, Kind::Forward));
    let swarms = listen.swarm.iter().enumerate().filter_map(|(at, swarm)| {
        let (bind, door) = (swarm.bind.as_ref()?, swarm.door());
        Some(Listener { bind, kind: Kind::Swarm, door, https: None, serve: None, swarm: Some(at) })
    });
    http.chain(tls).chain(forward).chain(services).chain(swarms)
}

impl<'a> Listener<'a> {
    /// One without TLS.
    fn plain(http: &'a Http, kind: Kind) -> Self {
        Self { bind: &http.bind, kind, door: http.door.clone(), https: None, serve: None, swarm: None }
    }

    /// Reads the files it names. `before` is what it had until now.
    fn read(self, before: Option<&Tls>) -> Result<Read, String> {
        let Self { bind, kind, door, https, serve, swarm } = self;
        let mut tls = https.map(|https| Tls::load(&https, before)).transpose()?;
        if let (Kind::Service, Some(tls)) = (kind, &mut tls) {
            tls.agree_on_nothing();
        }
        Ok(Read { bind: bind.clone(), kind, rules: Rules::new(&door), tls, serve: serve.cloned(), swarm })
    }
}

impl Fronts {
    /// Reads what `config` names.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn new(config: &Config) -> Result<Self, String> {
        let fronts = listeners(config).map(|listener| {
            let Read { bind, kind, rules, tls, serve, swarm } = listener.read(None)?;
            let (rules, taken) = (ArcSwap::from_pointee(rules), Arc::default());
            let (tls, serve) = (ArcSwapOption::from_pointee(tls), ArcSwapOption::from_pointee(serve));
            Ok(Arc::new(Front { bind, kind, rules, tls, serve, swarm, taken }))
        });
        fronts.collect::<Result<_, String>>().map(Self)
    }

    /// Reads what a new `config` names, for [`Self::put`].
    ///
    /// # Errors
    /// One line that names the file.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let prepared = listeners(config).enumerate().map(|(at, listener)| {
            let before = self.0.get(at).and_then(|front| front.tls.load_full());
            listener.read(before.as_deref())
        });
        prepared.collect::<Result<_, String>>().map(Prepared)
    }

    /// Puts in force what was prepared, for those listeners that are bound where they were.
    pub fn put(&self, prepared: Prepared) {
        let is_same = |front: &Front, read: &Read| front.bind == read.bind && front.kind == read.kind;
        for (front, read) in self.0.iter().zip(prepared.0).filter(|(front, read)| is_same(front, read)) {
            front.rules.store(Arc::new(read.rules));
            front.tls.store(read.tls.map(Arc::new));
            front.serve.store(read.serve.map(Arc::new));
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Front>> {
        self.0.iter()
    }

    /// When each certificate in use ends: the listener, its first name, seconds since 1970.
    pub fn certificate_ends(&self) -> Vec<(String, String, u64)> {
        let of = |front: &Arc<Front>| front.tls.load_full().map(|tls| (front.bind.to_string(), tls));
        let each = |(bind, tls): (String, Arc<Tls>)| {
            tls.ends().iter().map(|(name, end)| (bind.clone(), name.clone(), *end)).collect::<Vec<_>>()
        };
        self.0.iter().filter_map(of).flat_map(each).collect()
    }
}
