//! Varnish: malloc storage, its default VCL with our origin as backend.
//!
//! Its shared-memory log cannot be turned off without losing statistics; nobody reads it here.

use std::path::Path;

use anyhow::Result;

use super::{CACHE_MIB, Place, Started};
use crate::machine::{SERVER_CORE, Server, free_address};

pub(super) fn start(place: &Place, work: &Path) -> Result<Started> {
    let (address, config) = (free_address()?, work.join("bench.vcl"));
    std::fs::write(
        &config,
        format!(
            "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n",
            place.origin.ip(),
            place.origin.port()
        ),
    )?;
    let (listen, storage, state) = (address.to_string(), format!("malloc,{CACHE_MIB}m"), work.join("state"));
    let (config, state) = (config.to_string_lossy(), state.to_string_lossy());
    // -j none: the jail wants a user `vcache` that owns the state directory; the numbers do not depend on it.
    let command = [
        "varnishd",
        "-F",
        "-j",
        "none",
        "-n",
        &state,
        "-a",
        &listen,
        "-T",
        "none",
        "-f",
        &config,
        "-s",
        &storage,
        "-p",
        "thread_pools=1",
        "-p",
        "timeout_idle=3600",
    ];
    let mut server = Server::start(SERVER_CORE, &command, work.join("stderr"))?;
    server.accepts(address)?;
    Ok((server, address, None))
}
