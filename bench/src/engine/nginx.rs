//! nginx as a caching proxy: one worker, `proxy_cache` on tmpfs or a disk, cached files kept open.

use anyhow::Result;

use super::{Place, Room, Up};
use crate::machine::{SERVER_CORE, Server, free_address};

pub(super) fn start(place: &Place, room: &Room) -> Result<Up> {
    let (address, tls, origin) = (free_address()?, free_address()?, place.origin);
    let (dir, config) = (room.work.display(), room.work.join("nginx.conf"));
    let store = room.stored.as_ref().unwrap_or(&room.work).join("cache");
    let (cert, key, mib) = (place.tls.certificate.display(), place.tls.key.display(), room.mib);
    // open_file_cache saves nginx an open, a stat and a close per hit; without it the comparison would flatter us.
    // No tcp_nopush: on loopback it holds back the end of a 64 KiB body for 40 ms (1,040 instead of 24,000 requests/s seen).
    // A worker has to be able to read the work directory, which belongs to whoever runs this; `user` is ignored unless root.
    std::fs::write(
        &config,
        format!(
            "daemon off;
user root;
worker_processes 1;
pid {dir}/pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    http2_max_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=100000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {dir}/tmp-body;
    fastcgi_temp_path {dir}/tmp-fastcgi;
    uwsgi_temp_path {dir}/tmp-uwsgi;
    scgi_temp_path {dir}/tmp-scgi;
    proxy_temp_path {dir}/tmp-proxy;
    proxy_cache_path {store} levels=1:2 keys_zone=objects:64m max_size={mib}m inactive=1d use_temp_path=off;
    upstream origin {{ server {origin}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        listen {tls} ssl http2;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_cache objects;
        }}
    }}
}}
",
            store = store.display()
        ),
    )?;
    let (config, prefix) = (config.to_string_lossy(), room.work.to_string_lossy());
    let mut server = Server::start(SERVER_CORE, &["nginx", "-p", &prefix, "-c", &config], room.work.join("stderr"))?;
    server.accepts(address)?;
    Ok(Up { server, address, tls: Some(tls), admin: None, store: Some(store) })
}
