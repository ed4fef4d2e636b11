//! Apache Traffic Server: one event thread that also accepts, a RAM cache before its storage, no logs.
//!
//! What its tuning guide says for few cores and a hot set in memory: no automatic number of threads, plain LRU in the RAM cache
//! without the filter that keeps most objects of a wide set out of it, fields that nobody reads left out. All of its directories
//! are told in a file, so that nothing of the system's is touched.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::{Place, Room, Up};
use crate::machine::{SERVER_CORE, Server, free_address};

/// RAM cache beside a disk, in bytes: nearly none, so that objects come from the disk.
const RAM_BESIDE_DISK_BYTES: u64 = 4 << 20;
/// What storage takes beyond its objects, in MiB: its directory, and the part that is being written over.
const STORAGE_SLACK_MIB: u64 = 256;

pub(super) fn start(place: &Place, room: &Room) -> Result<Up> {
    let (address, tls) = (free_address()?, free_address()?);
    let (root, config) = (&room.work, room.work.join("etc"));
    let storage = room.stored.as_ref().unwrap_or(&room.work).join("storage");
    for directory in [&config, &storage, &root.join("run"), &root.join("log"), &root.join("share")] {
        fs::create_dir_all(directory)?;
    }
    let ram = if room.stored.is_some() { RAM_BESIDE_DISK_BYTES } else { room.mib << 20 };
    let ports = format!("{} {}:ssl", address.port(), tls.port());
    fs::write(config.join("records.config"), records(place, &ports, ram))?;
    fs::write(config.join("remap.config"), format!("map / http://{}/\n", place.origin))?;
    fs::write(config.join("storage.config"), format!("{} {}M\n", storage.display(), room.mib + STORAGE_SLACK_MIB))?;
    fs::write(config.join("ip_allow.yaml"), "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n")?;
    fs::write(
        config.join("ssl_multicert.config"),
        format!(
            "dest_ip=* ssl_cert_name={} ssl_key_name={}\n",
            place.tls.certificate.display(),
            place.tls.key.display()
        ),
    )?;
    let layout = root.join("runroot.yaml");
    fs::write(&layout, directories(root, &storage))?;
    let layout = format!("--run-root={}", layout.display());
    let mut server = Server::start(SERVER_CORE, &["traffic_server", &layout], root.join("stderr"))?;
    server.accepts(address)?;
    Ok(Up { server, address, tls: Some(tls), admin: None, store: None })
}

/// `wait_for_cache` 2: it listens when the cache is there, and ends when there is none.
fn records(place: &Place, ports: &str, ram: u64) -> String {
    let certificates = place.work.display();
    format!(
        "CONFIG proxy.config.http.server_ports STRING {ports}
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.cache.threads_per_disk INT 1
CONFIG proxy.config.cache.ram_cache.size INT {ram}
CONFIG proxy.config.cache.ram_cache_cutoff INT 4194304
CONFIG proxy.config.cache.ram_cache.algorithm INT 1
CONFIG proxy.config.cache.ram_cache.use_seen_filter INT 0
CONFIG proxy.config.http.wait_for_cache INT 2
CONFIG proxy.config.logging.logging_enabled INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 3600
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 3600
CONFIG proxy.config.http.insert_client_ip INT 0
CONFIG proxy.config.http.insert_squid_x_forwarded_for INT 0
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.ssl.server.cert.path STRING {certificates}
CONFIG proxy.config.ssl.server.private_key.path STRING {certificates}
"
    )
}

fn directories(root: &Path, storage: &Path) -> String {
    let (root, storage) = (root.display(), storage.display());
    format!(
        "prefix: {root}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {root}/etc
datadir: {root}/share
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {root}/run
runtimedir: {root}/run
logdir: {root}/log
cachedir: {storage}
"
    )
}
