//! `listen.forward` and `[forward]`.

use std::net::IpAddr;

use super::{Wrong, some_time, wrong};
use crate::config::{AT_A_TIME_MAX, Bind, Config, FORWARD_LIST_MAX, Forward};

impl Config {
    pub(super) fn check_forward(&self) -> Result<(), Wrong> {
        if self.listen.forward.is_empty() && self.forward != Forward::default() {
            return wrong("forward", "[forward] is there but nothing listens for it: add listen.forward, or remove it");
        }
        for (at, forward) in self.listen.forward.iter().enumerate() {
            if forward.door.h2c {
                return wrong(format!("listen.forward.{at}"), "h2c is not for listen.forward: remove it");
            }
            // A proxy for everybody is found within hours, and used for what its operator answers for.
            if is_reachable(&forward.bind) && forward.door.allow.is_empty() {
                let fix = "give allow, the prefixes of its clients, or bind to a private address";
                let problem = format!("everybody could use the proxy at {}: {fix}", forward.bind);
                return wrong(format!("listen.forward.{at}"), problem);
            }
        }
        self.forward.check().map_err(|(key, problem)| (format!("forward.{key}"), problem))
    }
}

impl Forward {
    /// The key is one of this section.
    fn check(&self) -> Result<(), Wrong> {
        let lengths = [
            ("hosts", self.hosts.len()),
            ("ports", self.ports.len()),
            ("connect", self.connect.len()),
            ("connect_ports", self.connect_ports.len()),
            ("private", self.private.len()),
        ];
        for (key, length) in lengths {
            if length > FORWARD_LIST_MAX {
                return wrong(key, format!("forward.{key} has {length} entries: at most {FORWARD_LIST_MAX}"));
            }
        }
        for (key, ports) in [("ports", &self.ports), ("connect_ports", &self.connect_ports)] {
            if let Some(place) = ports.iter().position(|port| *port == 0) {
                return wrong(format!("{key}.{place}"), "port 0 is none: write 1 to 65535");
            }
        }
        if !(1..=AT_A_TIME_MAX).contains(&self.tunnels) {
            return wrong("tunnels", format!("forward.tunnels is 1 to {AT_A_TIME_MAX}"));
        }
        if self.heuristic.as_ref().is_some_and(|heuristic| !(1..=100).contains(&heuristic.percent)) {
            return wrong("heuristic.percent", "forward.heuristic.percent is 1 to 100; RFC 9111 names 10");
        }
        for (key, time) in [
            ("tunnel_idle", self.tunnel_idle),
            ("timeouts.connect", self.timeouts.connect),
            ("timeouts.send", self.timeouts.send),
            ("timeouts.read", self.timeouts.read),
        ] {
            some_time(key.into(), &format!("forward.{key}"), time)?;
        }
        Ok(())
    }
}

/// Whether others than this machine and its private network may reach it.
fn is_reachable(bind: &Bind) -> bool {
    match bind {
        Bind::Unix(_) => false,
        Bind::Inet(address) => match address.ip() {
            IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local()),
            IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
        },
    }
}
