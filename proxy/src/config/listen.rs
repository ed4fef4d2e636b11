//! `[listen]`: where the node can be reached, by whom, and under which certificates.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::units::Prefix;
use super::{Datagram, Serve, Swarm};

/// Certificates of one listener.
pub const CERTS_MAX: usize = 1024;
/// Prefixes in one list of a listener.
pub const PREFIXES_OF_LIST_MAX: usize = 1024;

/// Where it listens. Port 0 takes a free one; the `ready` line says which.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Plain HTTP.
    pub http: Vec<Http>,
    /// HTTP over TLS.
    pub https: Vec<Https>,
    /// Explicit proxy: requests in absolute form, and CONNECT.
    pub forward: Vec<Http>,
    /// Connections that plugins serve.
    pub service: Vec<Serve>,
    /// Datagrams that plugins answer.
    pub datagram: Vec<Datagram>,
    /// Connections and datagrams that one instance of a plugin has.
    pub swarm: Vec<Swarm>,
    /// Admin API, metrics and dashboard.
    pub admin: Option<SocketAddr>,
    /// DNS, UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// DNS over TLS.
    pub dot: Vec<SocketAddr>,
    /// DNS over HTTPS.
    pub doh: Vec<SocketAddr>,
}

/// Where a listener of the data port is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// An address.
    Inet(SocketAddr),
    /// A socket in the file system: `unix:/run/littoral.sock`.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl std::str::FromStr for Bind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("a unix socket without a path: write \"unix:/run/littoral.sock\"".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Inet).map_err(|_| "invalid socket address syntax".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Permission bits of a unix socket, in octal: `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bits = u32::from_str_radix(&text, 8).ok().filter(|bits| *bits <= 0o777);
        bits.map(Self)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no mode: write octal digits, such as \"0660\"")))
    }
}

/// What every listener of the data port has: who may come, and how it is bound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTable {
    bind: Bind,
    #[serde(default)]
    proxy_protocol: Vec<Prefix>,
    #[serde(default)]
    allow: Vec<Prefix>,
    #[serde(default)]
    deny: Vec<Prefix>,
    backlog: Option<u32>,
    mode: Option<Mode>,
    #[serde(default)]
    h2c: bool,
}

/// A plain listener: written as its address alone, or as a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Where.
    pub bind: Bind,
    /// How it is bound and who may come.
    pub door: Door,
}

/// How a listener is bound and who may come in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Door {
    /// Sources that must say whom they speak for (PROXY protocol) and are believed; others are then closed.
    pub proxy_protocol: Vec<Prefix>,
    /// Clients that may come; empty: all.
    pub allow: Vec<Prefix>,
    /// Clients that may not.
    pub deny: Vec<Prefix>,
    /// Connections the kernel holds.
    pub backlog: Option<u32>,
    /// Of a unix socket.
    pub mode: Option<Mode>,
    /// HTTP/2 without TLS, for clients that know (RFC 9113 §3.3).
    pub h2c: bool,
}

impl From<HttpTable> for Http {
    fn from(table: HttpTable) -> Self {
        let HttpTable { bind, proxy_protocol, allow, deny, backlog, mode, h2c } = table;
        Self { bind, door: Door { proxy_protocol, allow, deny, backlog, mode, h2c } }
    }
}

impl<'de> Deserialize<'de> for Http {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Http;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"0.0.0.0:80\", or a table such as { bind = \"0.0.0.0:80\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Http, E> {
                text.parse().map(|bind| Http { bind, door: Door::default() }).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Http, A::Error> {
                HttpTable::deserialize(MapAccessDeserializer::new(map)).map(Http::from)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A TLS listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// The address.
    pub bind: Bind,
    /// Certificate chain, PEM: the first of `certs`.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// More certificates, chosen by the name the client asks for.
    #[serde(default)]
    pub certs: Vec<Cert>,
    /// Names of a certificate that is ordered from the authority of `[acme]`.
    #[serde(default)]
    pub acme: Vec<String>,
    /// Where that is kept; set when the config is read.
    #[serde(skip)]
    pub issued: Option<PathBuf>,
    /// The oldest version of TLS spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Authorities whose clients are known, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client has to show a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// As of [`Door`].
    #[serde(default)]
    pub proxy_protocol: Vec<Prefix>,
    /// As of [`Door`].
    #[serde(default)]
    pub allow: Vec<Prefix>,
    /// As of [`Door`].
    #[serde(default)]
    pub deny: Vec<Prefix>,
    /// As of [`Door`].
    pub backlog: Option<u32>,
    /// As of [`Door`].
    pub mode: Option<Mode>,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cert {
    /// Chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// OCSP response to staple, DER.
    pub ocsp: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What is asked of a client's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A handshake without a good one fails.
    #[default]
    Require,
    /// One that is shown must be good; none is fine.
    Request,
}

impl Https {
    /// How it is bound and who may come.
    pub fn door(&self) -> Door {
        let Self { proxy_protocol, allow, deny, backlog, mode, .. } = self.clone();
        Door { proxy_protocol, allow, deny, backlog, mode, h2c: false }
    }

    /// All its certificates, the default first.
    pub fn all_certs(&self) -> Vec<Cert> {
        let first = self.cert.clone().zip(self.key.clone()).map(|(cert, key)| Cert { cert, key, ocsp: None });
        first.into_iter().chain(self.certs.iter().cloned()).collect()
    }
}

impl Listen {
    /// Every file named here, to be resolved against the directory of the config.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let plain = self.http.iter_mut().chain(&mut self.forward).map(|http| &mut http.bind);
        let mut binds = Vec::new();
        let mut files = Vec::new();
        for https in &mut self.https {
            let Https { bind, cert, key, certs, client_ca, .. } = https;
            binds.push(bind);
            files.extend([cert, key, client_ca].into_iter().flatten());
            files.extend(
                certs.iter_mut().flat_map(|cert| [&mut cert.cert, &mut cert.key].into_iter().chain(&mut cert.ocsp)),
            );
        }
        for serve in &mut self.service {
            let (bind, named) = serve.places_mut();
            binds.push(bind);
            files.extend(named);
        }
        binds.extend(self.swarm.iter_mut().filter_map(|swarm| swarm.bind.as_mut()));
        let sockets = plain.chain(binds).filter_map(|bind| match bind {
            Bind::Unix(path) => Some(path),
            Bind::Inet(_) => None,
        });
        sockets.chain(files)
    }

    /// Whether anybody can ask the node for its sites.
    pub fn has_sites(&self) -> bool {
        !(self.http.is_empty() && self.https.is_empty())
    }

    /// What is bound at start: where, and how.
    pub fn bound(&self) -> impl Iterator<Item = (&Bind, Door)> {
        let plain = self.http.iter().map(|http| (&http.bind, http.door.clone()));
        let tls = self.https.iter().map(|https| (&https.bind, https.door()));
        let forward = self.forward.iter().map(|forward| (&forward.bind, forward.door.clone()));
        let services = self.service.iter().map(|serve| (&serve.bind, serve.door()));
        let swarms = self.swarm.iter().filter_map(|swarm| swarm.bind.as_ref().map(|bind| (bind, swarm.door())));
        plain.chain(tls).chain(forward).chain(services).chain(swarms)
    }

    /// Whether `self` needs other sockets than `old`, which is what a reload cannot give.
    pub fn needs_restart(&self, old: &Self) -> bool {
        let fixed = |listen: &Self| {
            let bound: Vec<_> = listen.bound().map(|(bind, door)| (bind.clone(), door.backlog, door.mode)).collect();
            let datagrams: Vec<_> = listen.datagram.iter().map(|datagram| datagram.bind).collect();
            let of_swarm = |swarm: &Swarm| (swarm.bind.clone(), swarm.datagrams, swarm.plugin.clone());
            let swarms: Vec<_> = listen.swarm.iter().map(of_swarm).collect();
            (
                bound,
                (datagrams, swarms),
                listen.http.len(),
                listen.forward.len(),
                listen.service.len(),
                listen.admin,
                listen.dns.clone(),
                listen.dot.clone(),
                listen.doh.clone(),
            )
        };
        fixed(self) != fixed(old)
    }
}
