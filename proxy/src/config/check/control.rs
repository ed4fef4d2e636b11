//! `[control]`.

use std::time::Duration;

use super::{Wrong, is_file, some_time, wrong};
use crate::config::{CONTROL_SERVERS_MAX, Config, PlaneKind};
use crate::control::heard::NODES_HEARD_MAX;

/// Bytes of `control.prefix`.
const PREFIX_BYTES_MAX: usize = 64;
/// What a cluster of NATS can hold of one stream.
const REPLICAS_MAX: usize = 5;

impl Config {
    pub(super) fn check_control(&self) -> Result<(), Wrong> {
        let control = &self.control;
        let is_nats = control.plane == PlaneKind::Nats;
        if is_nats == control.servers.is_empty() {
            let problem = "control.servers and control.plane = \"nats\" need each other: such as servers = [\"tls://nats.example:4222\"]";
            return wrong("control.servers", problem);
        }
        for (key, count, bound) in
            [("servers", control.servers.len(), CONTROL_SERVERS_MAX), ("nodes", control.nodes.len(), NODES_HEARD_MAX)]
        {
            if count > bound {
                return wrong(format!("control.{key}.{bound}"), format!("control.{key} has at most {bound} entries"));
            }
        }
        for (at, server) in control.servers.iter().enumerate() {
            let url = url::Url::parse(server).ok().filter(|url| ["nats", "tls"].contains(&url.scheme()));
            if url.is_none_or(|url| !url.has_host() || !url.username().is_empty() || url.password().is_some()) {
                let fix = "is no server: write nats:// or tls://, host and port, and who this node is in a file";
                return wrong(format!("control.servers.{at}"), format!("control.servers: {server:?} {fix}"));
            }
        }
        self.check_control_secrets()?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=PREFIX_BYTES_MAX).contains(&control.prefix.len()) || !control.prefix.bytes().all(allowed) {
            return wrong("control.prefix", "control.prefix is 1 to 64 letters, digits and -, such as \"littoral\"");
        }
        for (key, time) in [("every", control.every), ("rtt_every", control.rtt_every)] {
            some_time(format!("control.{key}"), &format!("control.{key}"), time)?;
        }
        if control.silent_after.0 < control.every.0 * 2 {
            return wrong(
                "control.silent_after",
                "control.silent_after is at least twice control.every: a word may be lost",
            );
        }
        if control.max_age.0 < control.silent_after.0 {
            return wrong("control.max_age", "control.max_age is at least control.silent_after");
        }
        if control.purges_keep.0 < Duration::from_secs(1) || control.purges_bytes.0 < 1 << 20 {
            return wrong(
                "control.purges_keep",
                "control.purges_keep is at least 1s, control.purges_bytes at least 1MiB",
            );
        }
        if !(1..=REPLICAS_MAX).contains(&control.replicas) {
            return wrong("control.replicas", format!("control.replicas is 1 to {REPLICAS_MAX}"));
        }
        match is_nats && !self.cache.disk.is_empty() && self.node.data.is_none() {
            false => Ok(()),
            true => wrong(
                "control.plane",
                "control.plane = \"nats\" with [[cache.disk]] needs node.data: there is kept which purges were done",
            ),
        }
    }

    /// Who this node is at its servers.
    fn check_control_secrets(&self) -> Result<(), Wrong> {
        let control = &self.control;
        let ways = [&control.credentials_file, &control.nkey_file, &control.password_file];
        if ways.iter().filter(|way| way.is_some()).count() > 1 {
            let problem =
                "one of control.credentials_file, nkey_file and password_file says who this node is: keep one";
            return wrong("control", problem);
        }
        for (key, one, other) in [
            ("user", control.user.is_some(), control.password_file.is_some()),
            ("cert", control.cert.is_some(), control.key.is_some()),
        ] {
            if one != other {
                let problem = "control.user and password_file, and cert and key, come together: add the other one";
                return wrong(format!("control.{key}"), problem);
            }
        }
        for (key, file) in [
            ("credentials_file", &control.credentials_file),
            ("nkey_file", &control.nkey_file),
            ("password_file", &control.password_file),
            ("ca", &control.ca),
            ("cert", &control.cert),
            ("key", &control.key),
        ] {
            if let Some(file) = file {
                is_file(format!("control.{key}"), &format!("control.{key}: "), file)?;
            }
        }
        Ok(())
    }
}
