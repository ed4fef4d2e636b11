//! Files of the account and of what was issued.
//!
//! A certificate is one PEM file: a line that says who issued it, its chain, its key. How a file is replaced whole is [`kept`]'s.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Certificate;
use crate::kept;
use crate::origin::hash_of;

/// Bytes of a file that are read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Of the lifetime, the part by which renewals are spread.
const SPREAD: u64 = 24;

/// When a certificate is ordered next, in milliseconds since 1970: two thirds of its lifetime in, a little earlier by node so that
/// many do not come at once; 0 when there is none, or not one of these names by this authority.
pub fn renewal_ms(wanted: &Certificate, directory: &str, node: &str) -> u64 {
    let Some(text) = kept::read(&wanted.file, FILE_BYTES_MAX).ok().flatten() else { return 0 };
    let Ok(leaf) = CertificateDer::from_pem_slice(text.as_bytes()) else { return 0 };
    let Ok((_, leaf)) = X509Certificate::from_der(&leaf) else { return 0 };
    let mut wanted_names = wanted.names.clone();
    wanted_names.sort_unstable();
    if names_of(&leaf) != wanted_names || text.lines().next() != Some(&issued_by(directory)) {
        return 0;
    }
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let (begin, end) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let lifetime_ms = seconds(end.saturating_sub(begin)).saturating_mul(1000);
    let spread = hash_of(format!("{node} {end}").as_bytes()) % (lifetime_ms / SPREAD).max(1);
    (seconds(begin).saturating_mul(1000) + lifetime_ms / 3 * 2).saturating_sub(spread)
}

fn names_of(leaf: &X509Certificate<'_>) -> Vec<String> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let dns = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let mut names: Vec<String> = dns.collect();
    names.sort_unstable();
    names
}

fn issued_by(directory: &str) -> String {
    format!("Issued by {directory}")
}

/// Keeps what was issued.
///
/// # Errors
/// One line that names the file.
pub(super) fn keep(certificate: &Certificate, directory: &str, key: &str, chain: &str) -> Result<(), String> {
    kept::write(&certificate.file, format!("{}\n{chain}\n{key}", issued_by(directory)).as_bytes())
}

/// The account, if there is one.
pub(super) fn read_account(file: &Path) -> Result<Option<String>, String> {
    kept::read(file, FILE_BYTES_MAX).map_err(|error| format!("cannot read the account {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_its_owners_alone_and_is_renewed_at_two_thirds() {
        let directory = tempfile::tempdir().unwrap();
        let of = |names: &[&str]| Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            file: directory.path().join("deep").join("a.example.pem"),
        };
        let (wanted, url) = (of(&["b.example", "a.example"]), "https://ca.example/dir");
        assert_eq!(renewal_ms(&wanted, url, "n"), 0, "there is none yet");
        let issued = littoral_testkit::tls::Authority::default().issue(&["a.example", "b.example"]);
        for _ in 0..2 {
            keep(&wanted, url, &issued.key, &issued.cert).unwrap();
        }
        let mode = |file: &Path| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&wanted.file), mode(wanted.file.parent().unwrap())), (0o600, 0o700));
        let leaf = CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let (begin, end) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
        let lifetime_ms = (end - begin) as u64 * 1000;
        let after = renewal_ms(&wanted, url, "n") - begin as u64 * 1000;
        assert!(after <= lifetime_ms / 3 * 2 && after > lifetime_ms / 2, "{after} of {lifetime_ms}");
        assert_ne!(renewal_ms(&wanted, url, "n"), renewal_ms(&wanted, url, "m"), "nodes do not come at once");
        assert_eq!(renewal_ms(&wanted, "https://other.example/", "n"), 0);
        assert_eq!(renewal_ms(&of(&["a.example"]), url, "n"), 0);
        std::fs::write(&wanted.file, "no certificate").unwrap();
        assert_eq!(renewal_ms(&wanted, url, "n"), 0);
    }
}
