//! TLS of one listener: versions, certificates, client certificates, resumption.
//!
//! Built anew at each reload and handed to the connections that come after it. Tickets are shared by all workers and kept over
//! reloads, unless what is asked of clients changed: a session must not be resumed under rules it was not opened under.
//! There is no early data (0-RTT): a replayed request would be answered. No OCSP response is fetched; one from a file is stapled.

use std::io;
use std::path::Path;
use std::sync::Arc;

use pingora::protocols::Stream;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::config::{ClientAuth, Https, TlsVersion};

mod certs;
mod stream;

use certs::Certs;
pub(super) use stream::Secured;

/// Sessions kept for clients of TLS 1.2 that take no tickets.
const SESSIONS_MAX: usize = 4096;

/// What a listener speaks TLS with.
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
    sessions: Sessions,
    ends: Vec<(String, u64)>,
}

/// What lets clients resume, and what was asked of them.
#[derive(Clone)]
struct Sessions {
    tickets: Arc<dyn ProducesTickets>,
    kept: Arc<dyn StoresServerSessions>,
    authorities: Vec<CertificateDer<'static>>,
    client_auth: ClientAuth,
}

impl Tls {
    /// Reads the files of a listener. `before` is what it had until now.
    ///
    /// # Errors
    /// One line that names the file and says what is wrong with it.
    pub fn load(https: &Https, before: Option<&Self>) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let certs = Certs::load(&https.all_certs(), https.issued.as_deref(), &provider)?;
        let ends = certs.ends();
        let authorities = https.client_ca.as_deref().map(read_certs).transpose()?.unwrap_or_default();
        let sessions = Sessions::for_clients(authorities, https.client_auth, before.map(|tls| &tls.sessions))?;
        let versions: &[_] = match https.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
        let builder = builder.map_err(|error| format!("cannot speak TLS: {error}"))?;
        let builder = match &https.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let problem = |error: String| format!("cannot use the authorities {}: {error}", file.display());
                let mut roots = RootCertStore::empty();
                for authority in &sessions.authorities {
                    roots.add(authority.clone()).map_err(|error| problem(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match https.client_auth {
                    ClientAuth::Require => verifier,
                    ClientAuth::Request => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| problem(error.to_string()))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(certs));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = sessions.tickets.clone();
        config.session_storage = sessions.kept.clone();
        Ok(Self { config: Arc::new(config), sessions, ends })
    }

    /// From now on no protocol is agreed on in the handshake (ALPN): what is spoken inside, the port says.
    pub(super) fn agree_on_nothing(&mut self) {
        Arc::make_mut(&mut self.config).alpn_protocols.clear();
    }

    /// The first name of each certificate, and when it ends, in seconds since 1970.
    pub fn ends(&self) -> &[(String, u64)] {
        &self.ends
    }
}

impl Sessions {
    fn for_clients(
        authorities: Vec<CertificateDer<'static>>,
        client_auth: ClientAuth,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let same = |before: &&Self| before.authorities == authorities && before.client_auth == client_auth;
        if let Some(before) = before.filter(same) {
            return Ok(before.clone());
        }
        // New keys every six hours, valid for twelve (rustls).
        let tickets = ring::Ticketer::new().map_err(|error| format!("cannot make session tickets: {error}"))?;
        Ok(Self { tickets, kept: ServerSessionMemoryCache::new(SESSIONS_MAX), authorities, client_auth })
    }
}

fn read_certs(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let problem = |error: String| format!("cannot use the certificate {}: {error}", file.display());
    let certs = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certs = certs.map_err(|error| problem(error.to_string()))?;
    match certs.is_empty() {
        true => Err(problem("there is no PEM block CERTIFICATE in it".into())),
        false => Ok(certs),
    }
}

/// Why a handshake failed, as metric labels.
pub const FAILURES: [&str; 6] =
    ["timeout", "closed", "incompatible", "client_certificate", "refused_by_client", "malformed"];
/// The first of them.
pub(crate) const TIMEOUT: usize = 0;

/// Which of [`FAILURES`] an error is.
pub(crate) fn failure(error: &io::Error) -> usize {
    let label = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        None => "closed",
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => "incompatible",
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => "client_certificate",
        Some(rustls::Error::AlertReceived(_)) => "refused_by_client",
        Some(_) => "malformed",
    };
    FAILURES.iter().position(|known| *known == label).expect("invariant: FAILURES lists every label")
}

/// The TLS version of a connection as it is logged.
pub(super) fn version(stream: &Stream) -> &'static str {
    match stream.get_ssl_digest().map(|digest| digest.version.clone()) {
        Some(std::borrow::Cow::Borrowed(version)) => version,
        Some(_) => "TLS",
        None => "",
    }
}
