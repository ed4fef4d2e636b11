//! TLS towards an origin: the name to ask for, who may have signed its certificate, and a certificate of our own.
//!
//! The certificate is always verified, and the name in it. Files are read when the config is; the handshake is the
//! framework's. Invariant: connections with different authorities or certificates are never mixed up in the pool.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::Wrong;
use super::choice::hash_of;
use crate::config::origin::Origin as Raw;

/// Certificates of one file.
pub const CERTIFICATES_MAX: usize = 1024;

/// What is said of TLS towards an origin.
#[derive(Clone)]
pub struct Secure {
    name: String,
    authorities: Option<Arc<CaType>>,
    own: Option<Arc<CertKey>>,
    /// Of all of it, for the pool.
    group: u64,
}

impl fmt::Debug for Secure {
    /// Without anything secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

impl Secure {
    /// Of an `https://` origin with this host.
    ///
    /// # Errors
    /// The key that is wrong and what to write instead.
    pub fn of(raw: &Raw, host: &str) -> Result<Self, Wrong> {
        let name = raw.sni.clone().unwrap_or_else(|| host.to_owned());
        if name.is_empty() || ServerName::try_from(name.as_str()).is_err() {
            return Err((
                "sni",
                format!("{name:?} is no name for a certificate: write a host name, such as \"o.example\""),
            ));
        }
        let mut seen = name.clone().into_bytes();
        let authorities = raw.ca.as_deref().map(|file| authorities(file, &mut seen).map_err(|problem| ("ca", problem)));
        let own = match (raw.cert.as_deref(), raw.key.as_deref()) {
            (Some(cert), Some(key)) => Some(own(cert, key, &mut seen)?),
            (None, None) => None,
            (Some(_), None) => return Err(("cert", "a certificate without its key: add key".to_owned())),
            (None, Some(_)) => return Err(("key", "a key without its certificate: add cert".to_owned())),
        };
        Ok(Self { name, authorities: authorities.transpose()?, own, group: hash_of(&seen) })
    }

    /// Says it to the framework.
    pub fn apply(&self, peer: &mut HttpPeer) {
        peer.sni.clone_from(&self.name);
        peer.options.ca.clone_from(&self.authorities);
        peer.client_cert_key.clone_from(&self.own);
        peer.group_key = self.group;
    }
}

/// That nothing is said of TLS for an origin without.
///
/// # Errors
/// The key that has no meaning.
pub(super) fn refuse(raw: &Raw) -> Result<(), Wrong> {
    let said = [
        ("sni", raw.sni.is_some()),
        ("ca", raw.ca.is_some()),
        ("cert", raw.cert.is_some()),
        ("key", raw.key.is_some()),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((key, _)) => Err((key, format!("{key} is for https:// origins: write https://, or remove it"))),
        None => Ok(()),
    }
}

fn authorities(file: &Path, seen: &mut Vec<u8>) -> Result<Arc<CaType>, String> {
    let (certificates, mut roots) = (certificates(file)?, RootCertStore::empty());
    for certificate in &certificates {
        let problem = |error| format!("{} holds a certificate that cannot be used: {error}", file.display());
        roots.add(certificate.clone()).map_err(problem)?;
    }
    seen.extend(certificates.iter().flat_map(|certificate| certificate.to_vec()));
    parsed(&certificates, |all| all.iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect())
        .ok_or_else(|| format!("{} holds a certificate that cannot be read", file.display()))
}

fn own(cert: &Path, key: &Path, seen: &mut Vec<u8>) -> Result<Arc<CertKey>, Wrong> {
    let chain = certificates(cert).map_err(|problem| ("cert", problem))?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| ("key", format!("{} holds no private key, PEM: {error}", key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| ("cert", error.to_string()))?.with_root_certificates(RootCertStore::empty());
    let unfit = |error| ("cert", format!("cannot use {} with the key {}: {error}", cert.display(), key.display()));
    builder.with_client_auth_cert(chain.clone(), secret.clone_key()).map_err(unfit)?;
    seen.extend(chain.iter().flat_map(|certificate| certificate.to_vec()));
    parsed(&chain, |chain| {
        let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
        Arc::new(CertKey::new(chain, secret.secret_der().to_vec()))
    })
    .ok_or_else(|| ("cert", format!("{} holds a certificate that cannot be read", cert.display())))
}

/// What the framework makes of certificates; it panics on one that it cannot read, after rustls could.
fn parsed<T>(certificates: &[CertificateDer<'_>], parse: impl FnOnce(&[CertificateDer<'_>]) -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(certificates))).ok()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let problem = |what: String| format!("{} has to hold certificates, PEM: {what}", file.display());
    let read = CertificateDer::pem_file_iter(file).and_then(|all| all.take(CERTIFICATES_MAX + 1).collect());
    let all: Vec<_> = read.map_err(|error| problem(error.to_string()))?;
    match all.len() {
        0 => Err(problem("it has none".to_owned())),
        1..=CERTIFICATES_MAX => Ok(all),
        _ => Err(problem(format!("it has more than {CERTIFICATES_MAX}"))),
    }
}
