//! The engines that are compared: how each is configured, started, and asked for its version.
//!
//! Every engine gets what a careful operator gives it: one worker, a cache in memory or on a disk, no access log,
//! connections to the origin kept open, clients' connections never closed by count, and one certificate for all.
//! Invariant: all serve the same objects from one origin.

mod haproxy;
mod littoral;
mod nginx;
mod trafficserver;
mod varnish;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{Server, printed};
use crate::tls::Tls;

pub use littoral::Guests;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// littoral with its three policies loaded.
    Littoral,
    /// littoral with its native fallbacks only: what the policies cost is the difference.
    LittoralBare,
    /// Debian's nginx, `proxy_cache` on tmpfs.
    Nginx,
    /// Debian's Varnish, malloc storage.
    Varnish,
    /// Debian's Apache Traffic Server, RAM cache.
    TrafficServer,
    /// Debian's HAProxy, its small-object cache.
    Haproxy,
}

/// Where things are that an engine may need.
#[derive(Clone, Debug)]
pub struct Place {
    /// The littoral binary.
    pub littoral: PathBuf,
    /// Directory of the built policies.
    pub plugins: PathBuf,
    /// The origin that fills the caches.
    pub origin: SocketAddr,
    /// A directory on tmpfs for configs, caches and sockets.
    pub work: PathBuf,
    /// The certificate and key that all show, in one PEM file each and, for HAProxy, in one together.
    pub tls: Tls,
}

/// What one run of an engine is for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Keeps several runs of one engine apart.
    pub label: &'static str,
    /// Room for objects, in MiB.
    pub cache_mib: u64,
    /// Where objects are kept instead of memory: a directory of a real file system.
    pub disk: Option<PathBuf>,
}

impl Setup {
    /// A cache in memory.
    #[must_use]
    pub fn memory(label: &'static str, cache_mib: u64) -> Self {
        Self { label, cache_mib, disk: None }
    }
}

/// A started engine.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub engine: Engine,
    /// Its process.
    pub server: Server,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it serves over TLS, if it can: HTTP/2 and HTTP/1.1.
    pub tls: Option<SocketAddr>,
    /// The admin API, of littoral only.
    pub admin: Option<SocketAddr>,
    /// Directory that holds cached bodies, when they are not in the process itself.
    pub store: Option<PathBuf>,
}

impl Engine {
    /// All, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Littoral, Self::LittoralBare, Self::Nginx, Self::Varnish, Self::TrafficServer, Self::Haproxy];
    /// The others, which are compared with.
    pub const OTHERS: [Self; 4] = [Self::Nginx, Self::Varnish, Self::TrafficServer, Self::Haproxy];

    /// The name in results and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Littoral => "littoral",
            Self::LittoralBare => "littoral-bare",
            Self::Nginx => "nginx",
            Self::Varnish => "varnish",
            Self::TrafficServer => "traffic-server",
            Self::Haproxy => "haproxy",
        }
    }

    /// The name in tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Littoral => "littoral",
            Self::LittoralBare => "without policies",
            Self::Nginx => "nginx",
            Self::Varnish => "Varnish",
            Self::TrafficServer => "Traffic Server",
            Self::Haproxy => "HAProxy",
        }
    }

    /// The version line the program prints, or why it cannot be run.
    ///
    /// # Errors
    /// When the program, or a policy it should load, is not there.
    pub fn version(self, place: &Place) -> Result<String> {
        let (program, flag) = match self {
            Self::Littoral | Self::LittoralBare => (place.littoral.as_path(), "--version"),
            Self::Nginx => (Path::new("nginx"), "-v"),
            Self::Varnish => (Path::new("varnishd"), "-V"),
            Self::TrafficServer => (Path::new("traffic_server"), "--version"),
            Self::Haproxy => (Path::new("haproxy"), "-v"),
        };
        if self == Self::Littoral {
            littoral::policies_are_built(&place.plugins)?;
        }
        printed(&program.to_string_lossy(), &[flag]).with_context(|| format!("{} is not installed", program.display()))
    }

    /// Starts the engine on the server's core and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self, place: &Place, setup: &Setup) -> Result<Running> {
        let work = place.work.join(format!("{}-{}", self.name(), setup.label));
        std::fs::create_dir_all(&work)?;
        let stored = setup.disk.as_ref().map(|disk| disk.join(format!("{}-{}", self.name(), setup.label)));
        if let Some(stored) = &stored {
            std::fs::create_dir_all(stored)?;
        }
        let room = Room { work, stored, mib: setup.cache_mib };
        let started = match self {
            Self::Littoral => littoral::start(place, &room, &Guests::policies(true)),
            Self::LittoralBare => littoral::start(place, &room, &Guests::policies(false)),
            Self::Nginx => nginx::start(place, &room),
            Self::Varnish => varnish::start(place, &room),
            Self::TrafficServer => trafficserver::start(place, &room),
            Self::Haproxy => haproxy::start(place, &room),
        };
        let up = started.with_context(|| format!("{} did not start", self.name()))?;
        let Up { server, address, tls, admin, store } = up;
        Ok(Running { engine: self, server, address, tls, admin, store })
    }
}

/// Starts littoral as [`Engine::start`] does, with other plugins. One label keeps one directory: what was compiled stays.
///
/// # Errors
/// When it does not start.
pub fn start_littoral(place: &Place, label: &str, cache_mib: u64, guests: &Guests) -> Result<Running> {
    let work = place.work.join(format!("littoral-{label}"));
    std::fs::create_dir_all(&work)?;
    let room = Room { work, stored: None, mib: cache_mib };
    let up = littoral::start(place, &room, guests).with_context(|| format!("littoral ({label}) did not start"))?;
    let Up { server, address, tls, admin, store } = up;
    Ok(Running { engine: Engine::Littoral, server, address, tls, admin, store })
}

/// Where one run of an engine keeps its things, and how much.
struct Room {
    /// Its own directory on tmpfs.
    work: PathBuf,
    /// Its own directory on a disk, when objects are kept there.
    stored: Option<PathBuf>,
    /// Room for objects, in MiB.
    mib: u64,
}

/// What a started engine is reached by.
struct Up {
    server: Server,
    address: SocketAddr,
    tls: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    store: Option<PathBuf>,
}
