//! `[listen]`.

use super::{Wrong, is_file, unique, wrong};
use crate::config::{Bind, CERTS_MAX, Config, Door, Https, PREFIXES_OF_LIST_MAX};

/// Connections a backlog may have: what the kernel's `somaxconn` can say.
const BACKLOG_MAX: u32 = 1 << 20;

impl Config {
    pub(super) fn check_listen(&self) -> Result<(), Wrong> {
        let listen = &self.listen;
        let for_dns = !listen.dns.is_empty() || self.resolver.is_some();
        let for_datagrams = !listen.datagram.is_empty() || !listen.swarm.is_empty();
        if listen.bound().next().is_none() && !for_dns && !for_datagrams {
            return wrong("listen", "nothing to listen on: give [listen] http, https, forward, service or dns");
        }
        if !listen.dns.is_empty() && self.zone.is_empty() {
            return wrong("listen.dns", "it listens for DNS but has no [[zone]]: add one");
        }
        for (key, over, addresses) in [("listen.dot", "TLS", &listen.dot), ("listen.doh", "HTTPS", &listen.doh)] {
            if !addresses.is_empty() && (listen.dns.is_empty() || listen.https.is_empty()) {
                let problem = format!(
                    "DNS over {over} answers as listen.dns does, with the certificates of the first listen.https: add both"
                );
                return wrong(key, problem);
            }
        }
        if listen.has_sites() && self.site.is_empty() {
            return wrong("listen", "it listens for HTTP but has no [[site]]: add one");
        }
        self.check_addresses()?;
        for (at, http) in listen.http.iter().enumerate() {
            check_door(&format!("listen.http.{at}"), &http.bind, &http.door)?;
        }
        for (at, forward) in listen.forward.iter().enumerate() {
            check_door(&format!("listen.forward.{at}"), &forward.bind, &forward.door)?;
        }
        for (at, https) in listen.https.iter().enumerate() {
            check_door(&format!("listen.https.{at}"), &https.bind, &https.door())?;
            check_tls(&format!("listen.https.{at}"), https)?;
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), Wrong> {
        let listen = &self.listen;
        let plain = listen.http.iter().enumerate().map(|(at, http)| (format!("listen.http.{at}"), &http.bind));
        let tls = listen.https.iter().enumerate().map(|(at, https)| (format!("listen.https.{at}.bind"), &https.bind));
        let forward = listen.forward.iter().enumerate();
        let plain = plain.chain(forward.map(|(at, forward)| (format!("listen.forward.{at}"), &forward.bind)));
        let service = listen.service.iter().enumerate();
        let plain = plain.chain(service.map(|(at, serve)| (format!("listen.service.{at}.bind"), &serve.bind)));
        let swarm =
            listen.swarm.iter().enumerate().filter_map(|(at, swarm)| swarm.bind.as_ref().map(|bind| (at, bind)));
        let plain = plain.chain(swarm.map(|(at, bind)| (format!("listen.swarm.{at}.bind"), bind)));
        let inet = |(key, bind): (String, &Bind)| match bind {
            Bind::Inet(address) => Some((key, *address)),
            Bind::Unix(_) => None,
        };
        let sockets = plain.clone().chain(tls.clone()).filter(|(_, bind)| matches!(bind, Bind::Unix(_)));
        unique("unix socket", sockets)?;
        let admin = listen.admin.iter().map(|address| ("listen.admin".to_owned(), *address));
        let dns = listen.dns.iter().enumerate().map(|(at, address)| (format!("listen.dns.{at}"), *address));
        let dot = listen.dot.iter().enumerate().map(|(at, address)| (format!("listen.dot.{at}"), *address));
        let doh = listen.doh.iter().enumerate().map(|(at, address)| (format!("listen.doh.{at}"), *address));
        let addresses = plain.chain(tls).filter_map(inet).chain(admin).chain(dns).chain(dot).chain(doh);
        unique("address", addresses.filter(|(_, address)| address.port() != 0))?;
        // UDP has ports of its own.
        let dns = listen.dns.iter().enumerate().map(|(at, address)| (format!("listen.dns.{at}"), *address));
        let datagrams = listen.datagram.iter().enumerate();
        let datagrams = datagrams.map(|(at, datagram)| (format!("listen.datagram.{at}.bind"), datagram.bind));
        let swarms = listen.swarm.iter().enumerate();
        let swarms =
            swarms.filter_map(|(at, swarm)| swarm.datagrams.map(|bind| (format!("listen.swarm.{at}.datagrams"), bind)));
        unique("UDP address", dns.chain(datagrams).chain(swarms).filter(|(_, address)| address.port() != 0))
    }
}

pub(super) fn check_door(at: &str, bind: &Bind, door: &Door) -> Result<(), Wrong> {
    for (key, list) in [("proxy_protocol", &door.proxy_protocol), ("allow", &door.allow), ("deny", &door.deny)] {
        if list.len() > PREFIXES_OF_LIST_MAX {
            return wrong(format!("{at}.{key}"), format!("{} prefixes: at most {PREFIXES_OF_LIST_MAX}", list.len()));
        }
    }
    if let Some((place, prefix)) = door.deny.iter().enumerate().find(|(_, prefix)| door.allow.contains(prefix)) {
        let problem = format!("{} is both in allow and in deny: keep one", prefix.0);
        return wrong(format!("{at}.deny.{place}"), problem);
    }
    if door.backlog.is_some_and(|backlog| !(1..=BACKLOG_MAX).contains(&backlog)) {
        return wrong(format!("{at}.backlog"), format!("backlog is 1 to {BACKLOG_MAX}"));
    }
    if door.mode.is_some() && matches!(bind, Bind::Inet(_)) {
        return wrong(
            format!("{at}.mode"),
            "mode is for unix sockets: remove it, or bind to \"unix:/run/littoral.sock\"",
        );
    }
    Ok(())
}

pub(super) fn check_tls(at: &str, https: &Https) -> Result<(), Wrong> {
    if https.cert.is_some() != https.key.is_some() {
        return wrong(format!("{at}.bind"), "cert and key belong together: give both");
    }
    let certs = https.all_certs();
    if certs.is_empty() && https.acme.is_empty() {
        return wrong(format!("{at}.bind"), "a TLS listener without a certificate: give cert and key, certs, or acme");
    }
    if certs.len() > CERTS_MAX {
        return wrong(format!("{at}.certs"), format!("{} certificates: at most {CERTS_MAX} a listener", certs.len()));
    }
    for (key, file) in [("cert", &https.cert), ("key", &https.key), ("client_ca", &https.client_ca)] {
        file.as_ref().map_or(Ok(()), |file| is_file(format!("{at}.{key}"), "", file))?;
    }
    for (place, cert) in https.certs.iter().enumerate() {
        for (key, file) in [("cert", Some(&cert.cert)), ("key", Some(&cert.key)), ("ocsp", cert.ocsp.as_ref())] {
            file.map_or(Ok(()), |file| is_file(format!("{at}.certs.{place}.{key}"), "", file))?;
        }
    }
    Ok(())
}
