//! The demo's small world: a content company, a CDN and their processes, laid out in one directory and started.
//!
//! NetCinema runs an origin and its own DNS; KingCDN runs a DNS that picks clusters, and three clusters of one edge each.
//! Every config is written as plain TOML beside its log, so `--keep` leaves something to read and to change. What
//! happens in this world is told by the other modules. Invariant: nothing is written outside the world's directory.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use littoral_geo::stub::resolver::{Authority, Resolver};
use parking_lot::Mutex;

use super::board;
use super::fleet::{Process, Ready};
use super::hierarchy;
use super::hierarchy::{CDN, COMPANY, Hierarchy};

/// The company's host name for video, from the textbook.
pub(super) const VIDEO_HOST: &str = "video.netcinema.example";
/// The company's web site.
pub(super) const WEB_HOST: &str = "www.netcinema.example";
/// What the company's alias points to.
pub(super) const SERVICE: &str = "a1105.kingcdn.example";
/// The plugin that serves connections at every edge.
pub(super) const UPPERCASE: &str = "service-uppercase";
/// The plugin that answers datagrams at every edge.
pub(super) const UPPERCASE_UDP: &str = "datagram-uppercase";
/// TTL of the CDN's answers, seconds.
pub(super) const SERVICE_TTL_S: u64 = 1;
/// Copies of the one title: shown everywhere (the page names it), warmed before its premiere, and never warmed.
pub(super) const TITLES: [&str; 3] = ["title", "premiere", "unwarmed"];
/// Small objects that fill a cache until it must evict.
pub(super) const STILLS: usize = 160;
const STILL_BYTES: usize = 64 << 10;
/// Less than titles and stills together, so that edges must choose what to keep.
const CACHE: &str = "8MiB";
const FREE_PORT_TRIES: usize = 64;

/// A cluster of KingCDN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub(super) id: &'static str,
    pub(super) city: &'static str,
    pub(super) at: (f64, f64),
    pub(super) address: Ipv4Addr,
    /// Its coverage zone: clients that it serves wherever they are.
    pub(super) zone: Option<&'static str>,
}

/// The three clusters.
pub(super) const SITES: [Site; 3] = [
    Site { id: "ams1", city: "Amsterdam", at: (52.37, 4.90), address: Ipv4Addr::new(127, 0, 1, 1), zone: None },
    Site {
        id: "nyc1",
        city: "New York",
        at: (40.71, -74.01),
        address: Ipv4Addr::new(127, 0, 1, 2),
        zone: Some("203.0.113.0/24"),
    },
    Site { id: "tyo1", city: "Tokyo", at: (35.68, 139.69), address: Ipv4Addr::new(127, 0, 1, 3), zone: None },
];

/// Where the demo takes its material from.
#[derive(Debug, Clone)]
pub(super) struct Material {
    /// Built plugins, `NAME.wasm`.
    pub(super) plugins: PathBuf,
    /// NetCinema's page and title: `index.html`, `manifest.mpd` and its segments.
    pub(super) asset: PathBuf,
}

/// The running world.
pub(super) struct World {
    pub(super) dir: PathBuf,
    pub(super) origin: Process,
    pub(super) netcinema: Process,
    pub(super) kingcdn: Process,
    /// In the order of [`SITES`]; an edge that is killed is replaced when it is started again.
    edges: Mutex<Vec<Arc<Process>>>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) hierarchy: Hierarchy,
    /// The one port of all edges, because DNS carries none.
    pub(super) port: u16,
}

impl World {
    /// Lays out `dir` and starts every process.
    ///
    /// # Errors
    /// When material is missing, no port is free on all three addresses, or a process does not get ready.
    pub(super) async fn start(dir: &Path, material: &Material) -> anyhow::Result<Self> {
        let port = port_free_on_all()?;
        let htdocs = dir.join("origin");
        lay_out_site(&htdocs, &material.asset, port)?;
        let origin_args = ["origin".as_ref(), "--dir".as_ref(), htdocs.as_os_str()];
        let origin = Process::start("origin", &origin_args, dir).await?;
        let origin_address = origin.http()?;

        let dns_port = hierarchy::port_free_on_all()?;
        let edge = |site: &'static Site| {
            run_in(dir, site.id, move |home| lay_out_edge(home, site, material, port, origin_address))
        };
        let edges = futures_util::future::try_join_all(SITES.iter().map(edge));
        let netcinema = run_in(dir, "netcinema", |home| lay_out_company(home, dns_port));
        let (edges, netcinema) = tokio::try_join!(edges, netcinema)?;
        // After the edges, so that its first probes meet them.
        let kingcdn = run_in(dir, "kingcdn", |home| lay_out_cdn(home, material, port, dns_port)).await?;
        let hierarchy = Hierarchy::start(dir, dns_port).await?;

        let authority = |zone: &str, owner: &str, server| Authority { zone: zone.into(), owner: owner.into(), server };
        let authorities = vec![
            authority("netcinema.example.", "NetCinema", netcinema.dns()?),
            authority("kingcdn.example.", "KingCDN", kingcdn.dns()?),
        ];
        let resolver = Resolver::start(authorities).await.context("the resolver finds no free port")?;
        let edges = Mutex::new(edges.into_iter().map(Arc::new).collect());
        Ok(Self { dir: dir.into(), origin, netcinema, kingcdn, edges, resolver, hierarchy, port })
    }

    /// Every process with what it is for, as it is now.
    pub(super) fn processes(&self) -> Vec<board::Process> {
        let company = [
            (&self.origin, "NetCinema's origin"),
            (&self.netcinema, "NetCinema's DNS"),
            (&self.kingcdn, "KingCDN's DNS"),
        ];
        let mut rows: Vec<board::Process> = company.map(|(process, role)| row(process, role)).into();
        let role = |index: usize| format!("KingCDN's edge in {}", SITES[index].city);
        rows.extend(self.edges.lock().iter().enumerate().map(|(index, edge)| row(edge, &role(index))));
        rows.extend(self.hierarchy.processes());
        rows
    }

    /// Kills every process.
    pub(super) async fn end(&self) {
        let edges = self.edges.lock().clone();
        let company = [&self.origin, &self.netcinema, &self.kingcdn];
        let kills =
            company.into_iter().chain(self.hierarchy.all()).chain(edges.iter().map(Arc::as_ref)).map(Process::kill);
        // What does not end now is killed when its handle is dropped.
        let _killed = futures_util::future::join_all(kills).await;
    }

    /// Starts a killed edge again with the config and files it has now.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) async fn start_again(&self, cluster: &str) -> anyhow::Result<()> {
        let config = self.dir.join(cluster).join("node.toml");
        let edge = Process::start(cluster, &["run".as_ref(), "-c".as_ref(), config.as_os_str()], &self.dir).await?;
        self.edges.lock()[index_of(cluster)] = Arc::new(edge);
        Ok(())
    }

    /// All edges, in the order of [`SITES`].
    pub(super) fn edges(&self) -> Vec<Arc<Process>> {
        self.edges.lock().clone()
    }

    /// The URL of a title's manifest as the player is given it.
    pub(super) fn manifest(&self, title: &str) -> String {
        format!("http://{VIDEO_HOST}:{}/{title}/manifest.mpd", self.port)
    }

    /// The edge of a cluster.
    pub(super) fn edge(&self, cluster: &str) -> Arc<Process> {
        self.edges.lock()[index_of(cluster)].clone()
    }

    /// The plugin file that an edge loads.
    pub(super) fn plugin_file(&self, node: &str, plugin: &str) -> PathBuf {
        self.dir.join(node).join(format!("{plugin}.wasm"))
    }
}

/// The cluster whose edge has this address.
pub(super) fn cluster_at(address: std::net::IpAddr) -> Option<&'static str> {
    SITES.iter().find(|site| std::net::IpAddr::V4(site.address) == address).map(|site| site.id)
}

fn index_of(cluster: &str) -> usize {
    SITES.iter().position(|site| site.id == cluster).expect("invariant: only the ids of SITES are used")
}

pub(super) fn row(process: &Process, role: &str) -> board::Process {
    let Ready { http, dns, resolver, .. } = &process.ready;
    let address = http.first().or(dns.first()).or(resolver.first());
    board::Process {
        name: process.name.clone(),
        role: role.into(),
        pid: process.pid,
        address: address.map_or(String::new(), ToString::to_string),
        admin: process.ready.admin.map(|address| format!("http://{address}/")),
        alive: process.is_alive(),
    }
}

/// Finds a built plugin.
///
/// # Errors
/// When `dir` has none of that name.
pub(super) fn plugin_in(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let candidates = [dir.join(format!("{name}.wasm")), dir.join(format!("{}.wasm", name.replace('-', "_")))];
    let Some(file) = candidates.into_iter().find(|file| file.is_file()) else {
        bail!("no {name}.wasm in {}; run `make plugins` or name its directory with --plugins", dir.display());
    };
    Ok(file)
}

pub(super) async fn run_in(
    dir: &Path,
    name: &str,
    lay_out: impl FnOnce(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<Process> {
    let home = dir.join(name);
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let config = home.join("node.toml");
    std::fs::write(&config, lay_out(&home)?).with_context(|| format!("cannot write {}", config.display()))?;
    Process::start(name, &["run".as_ref(), OsStr::new("-c"), config.as_os_str()], dir).await
}

/// The origin's files: the company's site, copies of its title, and the stills.
fn lay_out_site(htdocs: &Path, asset: &Path, port: u16) -> anyhow::Result<()> {
    for file in ["index.html", "manifest.mpd"].map(|name| asset.join(name)) {
        ensure!(file.is_file(), "{} is missing; name a directory that has it with --asset", file.display());
    }
    for title in TITLES {
        copy_tree(asset, &htdocs.join(title))?;
    }
    // The edges of the demo cannot have port 80.
    let index = htdocs.join("index.html");
    let page = std::fs::read_to_string(asset.join("index.html")).context("cannot read the page")?;
    std::fs::write(&index, page.replace(VIDEO_HOST, &format!("{VIDEO_HOST}:{port}")))?;
    std::fs::create_dir_all(htdocs.join("stills"))?;
    for index in 0..STILLS {
        // Distinct content, so that a mix-up of objects would show.
        let still = format!("still {index:03} ").repeat(STILL_BYTES / 10);
        std::fs::write(htdocs.join(format!("stills/{index:03}.jpg")), still)?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn lay_out_company(home: &Path, dns_port: u16) -> anyhow::Result<String> {
    std::fs::write(home.join("netcinema.zone"), include_str!("netcinema.zone"))?;
    std::fs::write(home.join("reverse.zone"), include_str!("reverse.zone"))?;
    Ok(format!(
        "# NetCinema's authoritative DNS: a static zone whose video host is an alias into KingCDN's, and names of addresses.\n\
         [node]\nname = \"netcinema-dns\"\n\n[listen]\ndns = [\"127.0.0.1:0\", \"{COMPANY}:{dns_port}\"]\nadmin = \"127.0.0.1:0\"\n\n\
         [limits]\nthreads = 1\n\n[[zone]]\nname = \"netcinema.example.\"\nfile = \"netcinema.zone\"\n\n\
         [[zone]]\nname = \"127.in-addr.arpa.\"\nfile = \"reverse.zone\"\n"
    ))
}

fn lay_out_cdn(home: &Path, material: &Material, port: u16, dns_port: u16) -> anyhow::Result<String> {
    std::fs::write(home.join("kingcdn.zone"), include_str!("kingcdn.zone"))?;
    std::fs::write(home.join("demo-city.mmdb"), include_bytes!("../../../assets/demo-city.mmdb"))?;
    std::fs::copy(plugin_in(&material.plugins, "route-geo")?, home.join("route-geo.wasm"))?;
    let mut config = format!(
        "# KingCDN's authoritative DNS: picks a cluster for each client subnet.\n\
         [node]\nname = \"kingcdn-dns\"\ndata = \"compiled\"\n\n[listen]\n\
         dns = [\"127.0.0.1:0\", \"{CDN}:{dns_port}\"]\nadmin = \"127.0.0.1:0\"\n\n[limits]\nthreads = 1\n\n[geo]\ndatabase = [\"demo-city.mmdb\"]\n\n\
         [[plugin]]\nname = \"route-geo\"\nfile = \"route-geo.wasm\"\n\n[policy]\nroute = \"route-geo\"\n\n\
         [[zone]]\nname = \"kingcdn.example.\"\nfile = \"kingcdn.zone\"\n\n\
         [[service]]\nname = \"{SERVICE}.\"\nclusters = [\"*\"]\nttl = \"{SERVICE_TTL_S}s\"\nanswers = 1\n"
    );
    for site in &SITES {
        let zone = site.zone.map_or(String::new(), |zone| format!("prefixes = [\"{zone}\"]\n"));
        config += &format!(
            "\n[[cluster]]\nid = \"{}\"\ntier = \"home\"\nat = [{:?}, {:?}]\ncapacity = \"10Gbps\"\n\
             nodes = [{{ v4 = \"{}\" }}]\n{zone}\
             health = {{ port = {port}, every = \"200ms\", timeout = \"1s\", down_after = 2, up_after = 2 }}\n",
            site.id, site.at.0, site.at.1, site.address
        );
    }
    Ok(config)
}

fn lay_out_edge(
    home: &Path,
    site: &Site,
    material: &Material,
    port: u16,
    origin: SocketAddr,
) -> anyhow::Result<String> {
    for plugin in ["rate-throughput", "evict-lfu-size", UPPERCASE, UPPERCASE_UDP] {
        std::fs::copy(plugin_in(&material.plugins, plugin)?, home.join(format!("{plugin}.wasm")))?;
    }
    Ok(edge_config(site, port, origin))
}

fn edge_config(site: &Site, port: u16, origin: SocketAddr) -> String {
    let Site { id, city, address, .. } = site;
    format!(
        "# One edge of KingCDN in {city}.\n[node]\nname = \"{id}-a\"\ncluster = \"{id}\"\ndata = \"compiled\"\n\n\
         [listen]\nhttp = [\"{address}:{port}\"]\nadmin = \"127.0.0.1:0\"\n\n\
         [[listen.service]]\nbind = \"{address}:0\"\nplugin = \"{UPPERCASE}\"\n\n\
         [[listen.datagram]]\nbind = \"{address}:0\"\nplugin = \"{UPPERCASE_UDP}\"\n\n[cache]\nmemory = \"{CACHE}\"\n\n\
         [limits]\nthreads = 1\n\n\
         [[plugin]]\nname = \"rate-throughput\"\nfile = \"rate-throughput.wasm\"\n\n\
         [[plugin]]\nname = \"evict-lfu-size\"\nfile = \"evict-lfu-size.wasm\"\n\n\
         [[plugin]]\nname = \"{UPPERCASE}\"\nfile = \"{UPPERCASE}.wasm\"\n\n\
         [[plugin]]\nname = \"{UPPERCASE_UDP}\"\nfile = \"{UPPERCASE_UDP}.wasm\"\n\n\
         [policy]\nrate = \"rate-throughput\"\nevict = \"evict-lfu-size\"\n\n\
         [[site]]\nhosts = [\"{VIDEO_HOST}\"]\norigin = [\"http://{origin}\"]\ndash = {{ auto = true }}\n"
    )
}

/// A port that is free on every edge's address at this moment.
fn port_free_on_all() -> anyhow::Result<u16> {
    for _ in 0..FREE_PORT_TRIES {
        let first = TcpListener::bind((SITES[0].address, 0))
            .with_context(|| format!("no loopback address {}; the demo needs 127.0.0.0/8", SITES[0].address))?;
        let port = first.local_addr()?.port();
        if SITES[1..].iter().all(|site| TcpListener::bind((site.address, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no port is free on {}, {} and {}", SITES[0].address, SITES[1].address, SITES[2].address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_found_under_either_spelling_and_a_missing_one_says_what_to_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("route_geo.wasm"), b"").unwrap();
        assert!(plugin_in(dir.path(), "route-geo").unwrap().ends_with("route_geo.wasm"));
        let error = plugin_in(dir.path(), "rate-throughput").unwrap_err().to_string();
        assert!(error.contains("make plugins"), "{error}");
    }

    #[test]
    fn an_asset_without_a_page_or_a_manifest_is_refused_before_anything_starts() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = || {
            let error = lay_out_site(&dir.path().join("origin"), dir.path(), 80);
            error.unwrap_err().to_string()
        };
        assert!(refusal().contains("index.html is missing"), "{}", refusal());
        std::fs::write(dir.path().join("index.html"), b"").unwrap();
        assert!(refusal().contains("manifest.mpd is missing"), "{}", refusal());
    }
}
