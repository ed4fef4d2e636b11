//! Connections that filters and services make: finding and connecting for them, within what they were granted.
//!
//! Who is listed was looked at before ([`littoral_plugin_host::service::reach`]); what a name stands for is looked at here. Invariant: what is
//! connected to is an address that was judged, never a name.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use littoral_plugin_host::service::{DialSpec, Refused, Security, Target, Trouble, Wire, reach};
use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::{Hands, Peer};
use crate::forward::is_public_of_others;
use crate::node::Node;

/// What finding and connecting take at most, with the handshake where TLS is asked for at once. The contract says so.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// What connecting to one of several addresses takes at most.
const ADDRESS_TIME: Duration = Duration::from_secs(4);
/// Addresses of a name that are tried.
const ADDRESSES_TRIED_MAX: usize = 4;
/// Certificates of authorities in a file.
const AUTHORITIES_MAX: usize = 256;

/// What is believed of those who are dialled: by the file of authorities that is believed beside the system's.
#[derive(Clone, Default)]
pub(crate) struct Trusts(Arc<RwLock<HashMap<Option<PathBuf>, Arc<ClientConfig>>>>);

impl Trusts {
    /// Reads what a plugin needs, anew.
    ///
    /// # Errors
    /// The file and what is wrong.
    pub(crate) fn read(&self, granted: &DialSpec) -> Result<(), String> {
        let config = client_config(granted.authorities.as_deref()).map_err(|problem| format!("dial_ca: {problem}"))?;
        self.0.write().insert(granted.authorities.clone(), Arc::new(config));
        Ok(())
    }

    fn of(&self, granted: &DialSpec) -> Option<Arc<ClientConfig>> {
        self.0.read().get(&granted.authorities).cloned()
    }
}

pub(crate) fn client_config(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // What the system has and cannot be used is left out; that nothing is there shows when somebody is dialled.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = authorities {
        let problem = |what: String| format!("{} has to hold certificates, PEM: {what}", file.display());
        let read = CertificateDer::pem_file_iter(file)
            .and_then(|all| all.take(AUTHORITIES_MAX).collect::<Result<Vec<_>, _>>());
        let read = read.map_err(|error| problem(error.to_string()))?;
        if read.is_empty() {
            return Err(problem("it has none".to_owned()));
        }
        for certificate in read {
            roots.add(certificate).map_err(|error| problem(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("no TLS to dial with: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Peer {
    /// Makes a connection for whom this one is served by.
    pub(super) async fn dialled(&mut self, target: Target, granted: &DialSpec) -> Result<Box<dyn Wire>, Refused> {
        timeout(DIAL_TIME, self.dialled_in_time(target, granted)).await.unwrap_or(Err(Refused::Timeout))
    }

    async fn dialled_in_time(&mut self, target: Target, granted: &DialSpec) -> Result<Box<dyn Wire>, Refused> {
        let Target { host, port, security } = target;
        let node = self.node.clone();
        let (stream, address) = reached(&node, &host, port, &granted.reaches).await?;
        let hands = match security {
            Security::Plain => None,
            Security::Tls | Security::Starttls => {
                let name = ServerName::try_from(host).map_err(|_| Refused::Tls)?;
                let trust = node.plugins.services.trusts.of(granted).ok_or(Refused::Tls)?;
                Some(Hands::Call(trust, name))
            }
        };
        let mut far = self.far(stream, address, hands, security == Security::Starttls);
        if security == Security::Tls {
            far.start_tls().await.map_err(|trouble| match trouble {
                Trouble::Timeout => Refused::Timeout,
                _ => Refused::Tls,
            })?;
        }
        Ok(Box::new(far))
    }
}

/// A plain connection for a plugin that was granted these.
///
/// # Errors
/// Why there is none.
pub(crate) async fn plain(
    node: &Node,
    target: &Target,
    list: &[reach::Reach],
) -> Result<(TcpStream, SocketAddr), Refused> {
    let made = reached(node, &target.host, target.port, list);
    timeout(DIAL_TIME, made).await.unwrap_or(Err(Refused::Timeout))
}

/// A connection to a host that a list names: its addresses are judged, and what was judged is connected to.
///
/// # Errors
/// Why there is none.
pub(crate) async fn reached(
    node: &Node,
    host: &str,
    port: u16,
    list: &[reach::Reach],
) -> Result<(TcpStream, SocketAddr), Refused> {
    connected(&addresses(node, host, port, list).await?).await
}

/// The addresses of a target that may be connected to: at least one.
async fn addresses(node: &Node, host: &str, port: u16, list: &[reach::Reach]) -> Result<Vec<SocketAddr>, Refused> {
    let permitted: Vec<IpAddr> = match host.parse::<IpAddr>() {
        Ok(literal) => {
            let may = reach::permits_literal(list, literal, port, is_public_of_others(literal));
            may.then_some(literal).into_iter().collect()
        }
        Err(_) => {
            let found = node.forward.names.addresses(node, host).await;
            if found.is_empty() {
                return Err(Refused::NotFound);
            }
            let may = |address: &&IpAddr| reach::permits(list, **address, port, is_public_of_others(**address));
            found.iter().filter(may).copied().collect()
        }
    };
    match permitted.is_empty() {
        true => Err(Refused::NotGranted),
        false => Ok(permitted.into_iter().map(|address| SocketAddr::new(address, port)).collect()),
    }
}

/// A connection to the first address that takes one.
async fn connected(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Refused> {
    let mut last = Refused::Unreachable;
    for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
        match timeout(ADDRESS_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Answers are short, and wait for nothing.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(_)) => last = Refused::Unreachable,
            Err(_) => last = Refused::Timeout,
        }
    }
    Err(last)
}
