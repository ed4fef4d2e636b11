//! The engines that are compared: how each is configured, started, and asked for its version.
//!
//! Every engine gets what a careful operator gives it: one worker, a memory-backed cache, no access log, connections to
//! the origin kept open, clients' connections never closed by count. Invariant: all serve the same objects from one origin.

mod littoral;
mod nginx;
mod varnish;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{Server, printed};

/// Cache size every engine gets, in MiB: all objects of a run fit with room to spare.
pub const CACHE_MIB: u64 = 1024;

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
    /// Directory that holds cached bodies, when they are not in the process itself.
    pub store: Option<PathBuf>,
}

impl Engine {
    /// All, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Littoral, Self::LittoralBare, Self::Nginx, Self::Varnish];

    /// The name in reports and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Littoral => "littoral",
            Self::LittoralBare => "littoral-bare",
            Self::Nginx => "nginx",
            Self::Varnish => "varnish",
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
        };
        if self == Self::Littoral {
            littoral::policies_are_built(&place.plugins)?;
        }
        printed(&program.to_string_lossy(), &[flag]).with_context(|| format!("{} is not installed", program.display()))
    }

    /// Starts the engine on the server's core and waits until it listens. `label` keeps several runs of one engine apart.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self, place: &Place, label: &str) -> Result<Running> {
        let work = place.work.join(format!("{}-{label}", self.name()));
        std::fs::create_dir_all(&work)?;
        let started = match self {
            Self::Littoral => littoral::start(place, &work, true),
            Self::LittoralBare => littoral::start(place, &work, false),
            Self::Nginx => nginx::start(place, &work),
            Self::Varnish => varnish::start(place, &work),
        };
        let (server, address, store) = started.with_context(|| format!("{} did not start", self.name()))?;
        Ok(Running { engine: self, server, address, store })
    }
}

type Started = (Server, SocketAddr, Option<PathBuf>);
