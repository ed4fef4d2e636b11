//! Varnish: malloc or file storage, its default VCL with our origin as backend. It speaks no TLS itself.
//!
//! Its shared-memory log cannot be turned off without losing statistics; nobody reads it here.

use anyhow::Result;

use super::{Place, Room, Up};
use crate::machine::{SERVER_CORE, Server, free_address};

pub(super) fn start(place: &Place, room: &Room) -> Result<Up> {
    let (address, config) = (free_address()?, room.work.join("bench.vcl"));
    std::fs::write(
        &config,
        format!(
            "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n",
            place.origin.ip(),
            place.origin.port()
        ),
    )?;
    let storage = match &room.stored {
        None => format!("malloc,{}m", room.mib),
        Some(stored) => format!("file,{},{}m", stored.join("objects").display(), room.mib),
    };
    let (listen, state) = (address.to_string(), room.work.join("state"));
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
    let mut server = Server::start(SERVER_CORE, &command, room.work.join("stderr"))?;
    server.accepts(address)?;
    Ok(Up { server, address, tls: None, admin: None, store: None })
}
