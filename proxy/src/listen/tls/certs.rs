//! The certificates of a listener, and which of them a client is shown.
//!
//! Invariant: the certificate with the name itself is chosen before a wildcard, a wildcard stands for one label
//! (RFC 6125 §6.4.3), and every other client is shown the first; of several for one name, the first whose key the client
//! understands.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Cert;
use crate::kept;

/// Bytes of an OCSP response.
const OCSP_BYTES_MAX: u64 = 64 << 10;

/// Certificates by name; wildcards stand without their star: `.example.org`.
#[derive(Debug)]
pub(super) struct Certs {
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
    first: Vec<Arc<CertifiedKey>>,
    ends: Vec<(String, u64)>,
}

impl Certs {
    /// Reads `files`, and what was `issued` to the node if it is there: that is its own to mend, so that it being damaged is no
    /// error but a line in the log.
    ///
    /// # Errors
    /// One line that names the file.
    pub(super) fn load(files: &[Cert], issued: Option<&Path>, provider: &CryptoProvider) -> Result<Self, String> {
        let mut certs = Self { named: HashMap::new(), first: Vec::new(), ends: Vec::new() };
        for file in files {
            let (key, names, end) = load(file, provider)?;
            if names.is_empty() && !certs.first.is_empty() {
                let problem = "it has no DNS name, so no client would be shown it: remove it, or put it first";
                return Err(format!("cannot use the certificate {}: {problem}", file.cert.display()));
            }
            certs.add(key, names, end);
        }
        if let Some(file) = issued.filter(|file| file.exists()) {
            match load(&Cert { cert: file.to_owned(), key: file.to_owned(), ocsp: None }, provider) {
                Ok((key, names, end)) => certs.add(key, names, end),
                Err(error) => tracing::error!(error, "an issued certificate is left out until another is issued"),
            }
        }
        Ok(certs)
    }

    fn add(&mut self, key: CertifiedKey, names: Vec<String>, end: u64) {
        let key = Arc::new(key);
        self.ends.push((names.first().map_or_else(|| "*".to_owned(), Clone::clone), end));
        let is_like_first =
            |name: &String| self.named.get(unstarred(name)).is_some_and(|known| Arc::ptr_eq(&known[0], &self.first[0]));
        if self.first.is_empty() || names.iter().any(is_like_first) {
            self.first.push(key.clone());
        }
        for name in names {
            self.named.entry(unstarred(&name).to_owned()).or_default().push(key.clone());
        }
    }

    pub(super) fn ends(&self) -> Vec<(String, u64)> {
        self.ends.clone()
    }

    /// What there is for a name: the default's where nothing fits; none only before the first was issued.
    fn of(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let wild = |name: &str| self.named.get(&name[name.find('.')?..]);
        let found = name.and_then(|name| match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            false => self.named.get(name).or_else(|| wild(name)),
            true => {
                let name = name.to_ascii_lowercase();
                self.named.get(&name).or_else(|| wild(&name))
            }
        });
        found.unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fitting = self.of(hello.server_name());
        let understood = |cert: &&Arc<CertifiedKey>| cert.key.choose_scheme(hello.signature_schemes()).is_some();
        fitting.iter().find(understood).or(fitting.first()).cloned()
    }
}

fn unstarred(name: &str) -> &str {
    name.strip_prefix('*').unwrap_or(name)
}

/// A certificate with its DNS names, lower case, and its end in seconds since 1970.
fn load(file: &Cert, provider: &CryptoProvider) -> Result<(CertifiedKey, Vec<String>, u64), String> {
    let (cert, key) = (file.cert.display(), file.key.display());
    let chain = super::read_certs(&file.cert)?;
    let private =
        PrivateKeyDer::from_pem_file(&file.key).map_err(|error| format!("cannot use the key {key}: {error}"))?;
    let (names, end) =
        names_and_end(&chain[0]).ok_or_else(|| format!("cannot use the certificate {cert}: it is damaged"))?;
    let certified = CertifiedKey::from_der(chain, private, provider);
    let mut certified = certified.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("cannot use the certificate {cert} with the key {key}: they do not belong together")
        }
        error => format!("cannot use the certificate {cert} with the key {key}: {error}"),
    })?;
    certified.ocsp = file.ocsp.as_deref().map(read_ocsp).transpose()?;
    Ok((certified, names, end))
}

fn names_and_end(leaf: &[u8]) -> Option<(Vec<String>, u64)> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let names = leaf.subject_alternative_name().ok()?.map(|names| &names.value.general_names);
    let dns = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some((dns.collect(), u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0)))
}

fn read_ocsp(file: &Path) -> Result<Vec<u8>, String> {
    let problem = |what: String| format!("cannot use the OCSP response {}: {what}", file.display());
    let read = kept::bytes(file, OCSP_BYTES_MAX).map_err(|error| problem(error.to_string()))?;
    // OCSPResponse is a SEQUENCE (RFC 6960 §4.2.1): text, such as PEM, is not.
    match read.first() {
        Some(0x30) => Ok(read),
        _ => Err(problem("it is no DER: write it with `openssl ocsp -respout`".into())),
    }
}
