//! littoral: one serving thread, with or without the three policies.
//!
//! A node serves before its plugins are compiled. Invariant: with policies, [`start`] returns only when all three are live.

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

/// Memory of a node whose objects are to come from its disk, in MiB: a hundredth of what is asked for.
const MEMORY_BESIDE_DISK_MIB: u64 = 4;

pub(super) fn start(place: &Place, room: &Room, with_policies: bool) -> Result<Up> {
    std::fs::write(room.work.join("bench.zone"), ZONE)?;
    let config = room.work.join("littoral.toml");
    std::fs::write(&config, config_text(place, room, with_policies)?)?;
    let (binary, config) = (place.littoral.to_string_lossy(), config.to_string_lossy());
    let command = [&*binary, "run", "-c", &config, "--log", "error"];
    let mut server = Server::start(SERVER_CORE, &command, room.work.join("stderr"))?;
    let ready = server.ready_line()?;
    let address = *ready.get("http").context("ready line without http=")?;
    let tls = ready.get("https").copied();
    let admin = *ready.get("admin").context("ready line without admin=")?;
    if with_policies {
        policies_are_live(admin)?;
    }
    Ok(Up { server, address, tls, admin: Some(admin), store: None })
}

/// Waits until the node tells a generation above 0 of every policy.
fn policies_are_live(admin: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = fetch::get(admin, "/v1/plugins")?;
        let plugins: serde_json::Value = serde_json::from_slice(&told)?;
        let live = |name: &str| {
            let mut plugins = plugins.as_array().into_iter().flatten();
            plugins.any(|plugin| plugin["name"] == name && plugin["generation"].as_u64() > Some(0))
        };
        if POLICIES.iter().all(|(_, guest)| live(guest)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not all policies are live: {plugins}");
        }
        pause();
    }
}

fn config_text(place: &Place, room: &Room, with_policies: bool) -> Result<String> {
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
    );
    if with_policies {
        let mut policy = String::from("\n[policy]\n");
        for (seam, guest) in POLICIES {
            let file = std::path::absolute(place.plugins.join(format!("{guest}.wasm")))?;
            write!(text, "\n[[plugin]]\nname = \"{guest}\"\nfile = {file:?}\n")?;
            writeln!(policy, "{seam} = \"{guest}\"")?;
        }
        text.push_str(&policy);
    }
    Ok(text)
}
