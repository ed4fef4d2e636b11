//! `[[listen.service]]`: where a plugin of world `stream-service` serves connections, under which certificates, within which bounds.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::listen::Mode;
use super::units::{Prefix, Span};
use super::{Bind, Cert, ClientAuth, Door, Https, TlsVersion};

/// Connections of one listener that an operator may allow: what the host has instances for.
pub const SERVICE_CONNECTIONS_MAX: usize = littoral_plugin_host::service::limits::CONNECTIONS_TOTAL as usize;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begins {
    /// With the connection.
    Implicit,
    /// When the service says so.
    Starttls,
}

/// A listener whose connections a service has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Where.
    pub bind: Bind,
    /// The `[[plugin]]` that serves.
    pub plugin: String,
    /// When TLS begins; without it there is none.
    pub tls: Option<Begins>,
    /// As of [`Https`].
    pub cert: Option<PathBuf>,
    /// As of [`Https`].
    pub key: Option<PathBuf>,
    /// As of [`Https`].
    #[serde(default)]
    pub certs: Vec<Cert>,
    /// As of [`Https`].
    #[serde(default)]
    pub min_version: TlsVersion,
    /// As of [`Https`].
    pub client_ca: Option<PathBuf>,
    /// As of [`Https`].
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Connections at a time.
    #[serde(default = "Serve::connections_default")]
    pub connections: usize,
    /// Time a client may be silent.
    #[serde(default = "Serve::idle_default")]
    pub idle: Span,
    /// Time one write, or a handshake, may take.
    #[serde(default = "Serve::write_timeout_default")]
    pub write_timeout: Span,
    /// Time a connection may last.
    #[serde(default = "Serve::lifetime_default")]
    pub lifetime: Span,
    /// Time that open connections have when a newer generation has taken over.
    #[serde(default = "Serve::write_timeout_default")]
    pub drain: Span,
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

impl Serve {
    fn connections_default() -> usize {
        1024
    }

    fn idle_default() -> Span {
        Span(Duration::from_secs(60))
    }

    fn write_timeout_default() -> Span {
        Span(Duration::from_secs(30))
    }

    fn lifetime_default() -> Span {
        Span(Duration::from_secs(3600))
    }

    /// How it is bound and who may come.
    pub fn door(&self) -> Door {
        let Self { proxy_protocol, allow, deny, backlog, mode, .. } = self.clone();
        Door { proxy_protocol, allow, deny, backlog, mode, h2c: false }
    }

    /// Its TLS as a listener of HTTP would have it.
    pub fn https(&self) -> Option<Https> {
        self.tls?;
        let Self { bind, cert, key, certs, min_version, client_ca, client_auth, .. } = self.clone();
        let Door { proxy_protocol, allow, deny, backlog, mode, .. } = self.door();
        let (acme, issued) = (Vec::new(), None);
        Some(Https {
            bind,
            cert,
            key,
            certs,
            acme,
            issued,
            min_version,
            client_ca,
            client_auth,
            proxy_protocol,
            allow,
            deny,
            backlog,
            mode,
        })
    }

    /// Where it is bound, and every file it names.
    pub(super) fn places_mut(&mut self) -> (&mut Bind, impl Iterator<Item = &mut PathBuf>) {
        let Self { bind, cert, key, certs, client_ca, .. } = self;
        let more = certs.iter_mut().flat_map(|cert| [&mut cert.cert, &mut cert.key].into_iter().chain(&mut cert.ocsp));
        (bind, [cert, key, client_ca].into_iter().flatten().chain(more))
    }
}
