//! The certificate that every engine shows: self-signed, ECDSA P-256, made anew for each run.
//!
//! Generators do not verify it; what matters is that all engines sign with the same kind of key.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::fetch::HOST;

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Both in one file.
    pub both: PathBuf,
}

impl Tls {
    /// Makes a certificate for [`HOST`] in a directory.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn make(directory: &Path) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateParams::new([HOST.to_owned()])?.self_signed(&key)?;
        let made = Self {
            certificate: directory.join("bench.crt"),
            key: directory.join("bench.key"),
            both: directory.join("bench.pem"),
        };
        fs::write(&made.certificate, certificate.pem())?;
        fs::write(&made.key, key.serialize_pem())?;
        fs::write(&made.both, certificate.pem() + &key.serialize_pem())?;
        Ok(made)
    }
}
