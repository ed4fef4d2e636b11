//! The servers: configs as an operator would write them, one thread for UDP each.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Case;
use super::world::{CLUSTERS, SERVICE, World, ZONE, cluster};
use crate::machine::{SERVER_CORE, Server, free_address, printed};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    /// littoral with its native policy.
    Littoral,
    /// Debian's gdnsd, plugin geoip.
    Gdnsd,
    /// Debian's Knot; its module for maps is left out, as the issue compares static answers.
    Knot,
}

/// A started server.
pub(super) struct Running {
    pub(super) name: Name,
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) version: String,
}

impl Name {
    pub(super) const ALL: [Self; 3] = [Self::Littoral, Self::Gdnsd, Self::Knot];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Littoral => "littoral",
            Self::Gdnsd => "gdnsd",
            Self::Knot => "knot",
        }
    }

    pub(super) fn can(self, case: Case) -> bool {
        (self, case) != (Self::Knot, Case::Chosen)
    }

    /// Starts it on the server's core and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub(super) fn start(self, littoral: &Path, world: &World) -> Result<Running> {
        let work = world.work.join(self.title());
        std::fs::create_dir_all(&work)?;
        let littoral = littoral.to_string_lossy();
        let (program, flags): (&str, &[&str]) = match self {
            Self::Littoral => (&littoral, &["--version"]),
            Self::Gdnsd => ("gdnsd", &[]),
            Self::Knot => ("knotd", &["--version"]),
        };
        let version = printed(program, flags).with_context(|| format!("{program} is not installed"))?;
        let (server, address) = match self {
            Self::Littoral => self::littoral(&littoral, world, &work)?,
            Self::Gdnsd => gdnsd(world, &work)?,
            Self::Knot => knot(world, &work)?,
        };
        Ok(Running { name: self, server, address, version })
    }
}

fn zone(records: &str) -> String {
    format!("$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n{records}")
}

fn littoral(program: &str, world: &World, work: &Path) -> Result<(Server, SocketAddr)> {
    std::fs::write(work.join("bench.zone"), zone(&world.records))?;
    let mut coverage = String::new();
    for (network, serving) in &world.prefixes {
        writeln!(coverage, "{network}/24,{}", cluster(*serving).0)?;
    }
    std::fs::write(work.join("nets.csv"), coverage)?;
    let mut config = format!(
        "[node]\nname = \"bench\"\ncluster = \"c0\"\ndata = {:?}\n\n[listen]\ndns = [\"127.0.0.1:0\"]\n\n[limits]\nthreads = 1\n\n\
         [dns]\nthreads = 1\n\n[geo]\ncoverage = [\"nets.csv\"]\n\n[[zone]]\nname = \"{ZONE}.\"\nfile = \"bench.zone\"\n\n\
         [[service]]\nname = \"{SERVICE}.{ZONE}.\"\nclusters = [\"*\"]\nttl = \"30s\"\n",
        work.join("data")
    );
    for number in 0..CLUSTERS {
        let (id, address) = cluster(number);
        write!(config, "\n[[cluster]]\nid = {id:?}\ntier = \"home\"\nat = [{number}.0, 4.9]\ncapacity = \"10Gbps\"\n")?;
        writeln!(config, "nodes = [{{ v4 = \"{address}\" }}]")?;
    }
    let file = work.join("littoral.toml");
    std::fs::write(&file, config)?;
    let command = [program, "run", "-c", &file.to_string_lossy(), "--log", "error"];
    let mut server = Server::start(SERVER_CORE, &command, work.join("stderr"))?;
    let address = *server.ready_line()?.get("dns").context("ready line without dns=")?;
    Ok((server, address))
}

fn gdnsd(world: &World, work: &Path) -> Result<(Server, SocketAddr)> {
    std::fs::create_dir_all(work.join("zones"))?;
    std::fs::create_dir_all(work.join("geoip"))?;
    let service = format!("{SERVICE} 30 DYNA geoip!resource\n");
    std::fs::write(work.join("zones").join(ZONE), zone(&format!("{}{service}", world.records)))?;
    let mut nets = String::new();
    for (network, serving) in &world.prefixes {
        writeln!(nets, "{network}/24 => [{}],", cluster(*serving).0)?;
    }
    std::fs::write(work.join("geoip/nets"), nets)?;
    let ids: Vec<String> = (0..CLUSTERS).map(|number| cluster(number).0).collect();
    let places: Vec<String> = (0..CLUSTERS).map(cluster).map(|(id, address)| format!("{id} => {address}")).collect();
    let address = free_address()?;
    let directory = work.to_string_lossy();
    let config = format!(
        "options => {{ listen => {address}, udp_threads => 1, tcp_threads => 1, run_dir => {directory:?}, state_dir => {directory:?} }}\n\
         plugins => {{ geoip => {{ maps => {{ m => {{ datacenters => [{}], nets => nets }} }}\n\
         resources => {{ resource => {{ map => m, dcmap => {{ {} }} }} }} }} }}\n",
        ids.join(", "),
        places.join(", ")
    );
    std::fs::write(work.join("config"), config)?;
    let mut server = Server::start(SERVER_CORE, &["gdnsd", "-c", &directory, "start"], work.join("stderr"))?;
    server.accepts(address)?;
    Ok((server, address))
}

fn knot(world: &World, work: &Path) -> Result<(Server, SocketAddr)> {
    let address = free_address()?;
    std::fs::write(work.join("bench.zone"), zone(&world.records))?;
    let directory = work.to_string_lossy();
    let config = format!(
        "server:\n    rundir: {directory:?}\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         database:\n    storage: {directory:?}\nzone:\n  - domain: {ZONE}\n    storage: {directory:?}\n    file: bench.zone\n    \
         zonefile-load: whole\n    journal-content: none\n",
        address.ip(),
        address.port()
    );
    let file = work.join("knot.conf");
    std::fs::write(&file, config)?;
    let mut server = Server::start(SERVER_CORE, &["knotd", "-c", &file.to_string_lossy()], work.join("stderr"))?;
    server.accepts(address)?;
    Ok((server, address))
}
