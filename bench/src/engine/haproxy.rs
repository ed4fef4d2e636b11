//! HAProxy with its small-object cache: one thread, no logs, connections to the origin shared.
//!
//! Its cache is one area of shared memory and knows no disk; an object may take half of it at most.

use anyhow::{Result, bail};

use super::{Place, Room, Up};
use crate::machine::{SERVER_CORE, Server, free_address};

/// Largest object kept, in bytes: more than any that is asked for.
const OBJECT_BYTES_MAX: u64 = 4 << 20;
/// Largest cache it takes, in MiB: `total-max-size` is below 4096.
const CACHE_MIB_MAX: u64 = 4095;
/// Clients at a time.
const CLIENTS_MAX: u64 = 12_000;

pub(super) fn start(place: &Place, room: &Room) -> Result<Up> {
    if room.stored.is_some() {
        bail!("it keeps nothing on disks");
    }
    let (address, tls, config) = (free_address()?, free_address()?, room.work.join("haproxy.cfg"));
    // It wants two descriptors for each of `maxconn`, and does not start where it may not have them: hits need one only.
    std::fs::write(
        &config,
        format!(
            "global
    nbthread 1
    maxconn {CLIENTS_MAX}
    no strict-limits
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
cache objects
    total-max-size {mib}
    max-object-size {OBJECT_BYTES_MAX}
    max-age 86400
frontend clients
    bind {address}
    bind {tls} ssl crt {both} alpn h2,http/1.1
    http-request cache-use objects
    http-response cache-store objects
    default_backend origin
backend origin
    server origin {origin}
",
            mib = room.mib.min(CACHE_MIB_MAX),
            both = place.tls.both.display(),
            origin = place.origin,
        ),
    )?;
    let config = config.to_string_lossy();
    let mut server = Server::start(SERVER_CORE, &["haproxy", "-db", "-f", &config], room.work.join("stderr"))?;
    server.accepts(address)?;
    Ok(Up { server, address, tls: Some(tls), admin: None, store: None })
}
