//! littoral: one serving thread, memory tier only, with or without the three policies.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{CACHE_MIB, Place, Started};
use crate::fetch::HOST;
use crate::machine::{SERVER_CORE, Server};

/// The seam each policy serves and its guest.
const POLICIES: [(&str, &str); 3] = [
    ("route", "route-geo"),
    ("rate", "rate-throughput"),
    ("evict", "evict-lfu-size"),
];

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

pub(super) fn start(place: &Place, work: &Path, with_policies: bool) -> Result<Started> {
    let config = work.join("littoral.toml");
    std::fs::write(&config, config_text(place, work, with_policies)?)?;
    let (binary, config) = (place.littoral.to_string_lossy(), config.to_string_lossy());
    let command = [&*binary, "run", "-c", &config, "--log", "error"];
    let mut server = Server::start(SERVER_CORE, &command, work.join("stderr"))?;
    let ready = server.ready_line()?;
    let address = *ready.get("http").context("ready line without http=")?;
    Ok((server, address, None))
}

fn config_text(place: &Place, work: &Path, with_policies: bool) -> Result<String> {
    let mut text = format!(
        "[node]
name = \"bench\"
cluster = \"bench\"
data = {data:?}

[listen]
http = [\"127.0.0.1:0\"]
admin = \"127.0.0.1:0\"

[cache]
memory = \"{CACHE_MIB}MiB\"

[limits]
threads = 1

[[site]]
hosts = [\"{HOST}\"]
origin = [\"http://{origin}\"]

[[cluster]]
id = \"bench\"
tier = \"home\"
at = [52.37, 4.90]
nodes = [{{ v4 = \"127.0.0.1\" }}]
",
        data = work.join("data"),
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
