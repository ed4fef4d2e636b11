//! The hierarchy above the demo's two companies: a root, the top-level domain `example`, and a local resolver that is told
//! nothing but the root's address.
//!
//! All servers of the hierarchy are on one port, because referrals carry none. Their configs and zones lie beside the others.
//! Invariant: what they answer is in the zone files here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::bail;

use super::board;
use super::fleet::Process;
use super::world::{row, run_in};

/// Where each server of the hierarchy is; its zone's glue says the same.
pub(super) const ROOT: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
const TOP: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
pub(super) const COMPANY: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 3);
pub(super) const CDN: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 4);
const PORT_TRIES: usize = 64;

/// Who runs the server at an address, for people.
pub(super) fn owner(address: IpAddr) -> &'static str {
    let owners = [(ROOT, "the root"), (TOP, "the TLD example"), (COMPANY, "NetCinema"), (CDN, "KingCDN")];
    owners.into_iter().find(|(known, _)| address == IpAddr::V4(*known)).map_or("somebody", |(_, owner)| owner)
}

/// The running upper servers and the resolver.
pub(super) struct Hierarchy {
    root: Process,
    top: Process,
    pub(super) resolver: Process,
}

impl Hierarchy {
    /// Starts them; those of the companies are on the same port already.
    ///
    /// # Errors
    /// When one does not get ready.
    pub(super) async fn start(dir: &Path, port: u16) -> anyhow::Result<Self> {
        let root = run_in(dir, "root", |home| {
            std::fs::write(home.join("root.zone"), include_str!("root.zone"))?;
            Ok(server("root", ROOT, port, &[(".", "root.zone")]))
        });
        let top = run_in(dir, "tld", |home| {
            std::fs::write(home.join("example.zone"), include_str!("example.zone"))?;
            Ok(server("tld", TOP, port, &[("example.", "example.zone")]))
        });
        let resolver = run_in(dir, "resolver", |_| Ok(resolver(port)));
        let (root, top, resolver) = tokio::try_join!(root, top, resolver)?;
        Ok(Self { root, top, resolver })
    }

    /// Its processes and what they are for.
    pub(super) fn processes(&self) -> Vec<board::Process> {
        let all = [
            (&self.root, "DNS of the root"),
            (&self.top, "DNS of the TLD example"),
            (&self.resolver, "a local resolver that walks from the root"),
        ];
        all.map(|(process, role)| row(process, role)).into()
    }

    /// All of them.
    pub(super) fn all(&self) -> [&Process; 3] {
        [&self.root, &self.top, &self.resolver]
    }
}

/// The config of an authoritative server.
fn server(name: &str, address: Ipv4Addr, port: u16, zones: &[(&str, &str)]) -> String {
    let zones = zones.iter().map(|(zone, file)| format!("\n[[zone]]\nname = \"{zone}\"\nfile = \"{file}\"\n"));
    format!(
        "[node]\nname = \"{name}-dns\"\n\n[listen]\ndns = [\"{address}:{port}\"]\nadmin = \"127.0.0.1:0\"\n\n\
         [limits]\nthreads = 1\n{}",
        zones.collect::<String>()
    )
}

fn resolver(port: u16) -> String {
    format!(
        "# The local resolver of an access network: it knows where the root is, and nothing else.\n\
         [node]\nname = \"resolver\"\n\n[listen]\nadmin = \"127.0.0.1:0\"\n\n[limits]\nthreads = 1\n\n\
         [resolver]\nlisten = [\"127.0.0.1:0\"]\nallow = [\"127.0.0.0/8\"]\nroots = [\"{ROOT}\"]\nport = {port}\n\
         private = [\"127.0.2.0/24\"]\nsubnets = [\"kingcdn.example.\"]\nclient_subnets = true\nvalidate = false\n"
    )
}

/// A port that is free, for UDP and TCP, on every server's address at this moment.
pub(super) fn port_free_on_all() -> anyhow::Result<u16> {
    for _ in 0..PORT_TRIES {
        let port = TcpListener::bind((ROOT, 0))?.local_addr()?.port();
        let is_free = |address: &Ipv4Addr| {
            let address = SocketAddr::from((*address, port));
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        };
        if [ROOT, TOP, COMPANY, CDN].iter().all(is_free) {
            return Ok(port);
        }
    }
    bail!("no port is free on {ROOT}, {TOP}, {COMPANY} and {CDN}")
}
