//! littoral: one serving thread, with or without the three policies and other plugins.
//!
//! A node serves before its plugins are compiled. Invariant: [`start`] returns only when all of them are live.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Place, Room, Up};
use crate::fetch::{self, HOST};
use crate::machine::{PATIENCE, SERVER_CORE, Server, pause};

/// The seam each policy serves and its guest.
const POLICIES: [(&str, &str); 3] = [("route", "route-geo"), ("rate", "rate-throughput"), ("evict", "evict-lfu-size")];

/// The routing policy belongs to DNS, so the node gets a zone with a service in it.
const ZONE: &str = "$ORIGIN bench.example.
$TTL 300
@ IN SOA ns1 hostmaster 1 3600 600 86400 60
@ IN NS ns1
ns1 IN A 127.0.0.1
";

/// Says which built policy is missing, before anything is started.
pub(super) fn policies_are_built(plugins: &Path) -> Result<()> {
    for (_, guest) in POLICIES {
        let file = plugins.join(format!("{guest}.wasm"));
        if !file.exists() {
            bail!("{} is missing; build it with make plugins", file.display());
        }
    }
    Ok(())
}

/// What a node has beside its cache.
#[derive(Clone, Debug, Default)]
pub struct Guests {
    /// The three policies.
    pub policies: bool,
    /// Lines of its site.
    pub site: String,
    /// Tables behind all others: more `[[plugin]]`.
    pub tables: String,
    /// How many plugins these are.
    pub more: usize,
}

impl Guests {
    /// The three policies, or none.
    pub(super) fn policies(policies: bool) -> Self {
        Self { policies, ..Self::default() }
    }

    fn count(&self) -> usize {
        self.more + if self.policies { POLICIES.len() } else { 0 }
    }
}

/// Memory of a node whose objects are to come from its disk, in MiB: a hundredth of what is asked for.
const MEMORY_BESIDE_DISK_MIB: u64 = 4;

pub(super) fn start(place: &Place, room: &Room, guests: &Guests) -> Result<Up> {
    std::fs::write(room.work.join("bench.zone"), ZONE)?;
    let config = room.work.join("littoral.toml");
    std::fs::write(&config, config_text(place, room, guests)?)?;
    let (binary, config) = (place.littoral.to_string_lossy(), config.to_string_lossy());
    let command = [&*binary, "run", "-c", &config, "--log", "error"];
    let mut server = Server::start(SERVER_CORE, &command, room.work.join("stderr"))?;
    let ready = server.ready_line()?;
    let address = *ready.get("http").context("ready line without http=")?;
    let tls = ready.get("https").copied();
    let admin = *ready.get("admin").context("ready line without admin=")?;
    plugins_are_live(admin, guests.count())?;
    Ok(Up { server, address, tls, admin: Some(admin), store: None })
}

/// Waits until the node tells a generation above 0 of so many plugins.
fn plugins_are_live(admin: SocketAddr, count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let live = if count == 0 { 0 } else { live_plugins(admin)? };
        if live >= count {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{live} of {count} plugins are live");
        }
        pause();
    }
}

fn live_plugins(admin: SocketAddr) -> Result<usize> {
    let plugins: serde_json::Value = serde_json::from_slice(&fetch::get(admin, "/v1/plugins")?)?;
    let plugins = plugins.as_array().map_or(&[][..], Vec::as_slice);
    Ok(plugins.iter().filter(|plugin| plugin["generation"].as_u64() > Some(0)).count())
}

fn config_text(place: &Place, room: &Room, guests: &Guests) -> Result<String> {
    let (memory, disk) = match &room.stored {
        None => (room.mib, String::new()),
        Some(stored) => {
            (MEMORY_BESIDE_DISK_MIB, format!("\n[cache.disk]\npath = {stored:?}\nsize = \"{}MiB\"\n", room.mib))
        }
    };
    let mut text = format!(
        "[node]
name = \"bench\"
cluster = \"bench\"
data = {data:?}

[listen]
http = [\"127.0.0.1:0\"]
https = [{{ bind = \"127.0.0.1:0\", cert = {cert:?}, key = {key:?} }}]
admin = \"127.0.0.1:0\"
dns = [\"127.0.0.1:0\"]

[cache]
memory = \"{memory}MiB\"
{disk}
[limits]
threads = 1
keepalive = \"1h\"

[[site]]
hosts = [\"{HOST}\"]
origin = [\"http://{origin}\"]
{site}

[[cluster]]
id = \"bench\"
tier = \"home\"
at = [52.37, 4.90]
capacity = \"10Gbps\"
nodes = [{{ v4 = \"127.0.0.1\" }}]

[[zone]]
name = \"bench.example.\"
file = \"bench.zone\"

[[service]]
name = \"a1.bench.example.\"
clusters = [\"*\"]
ttl = \"30s\"
",
        data = room.work.join("data"),
        cert = place.tls.certificate,
        key = place.tls.key,
        origin = place.origin,
        site = guests.site,
    );
    if guests.policies {
        let mut policy = String::from("\n[policy]\n");
        for (seam, guest) in POLICIES {
            let file = std::path::absolute(place.plugins.join(format!("{guest}.wasm")))?;
            write!(text, "\n[[plugin]]\nname = \"{guest}\"\nfile = {file:?}\n")?;
            writeln!(policy, "{seam} = \"{guest}\"")?;
        }
        text.push_str(&policy);
    }
    text.push_str(&guests.tables);
    Ok(text)
}
