//! `[acme]`: the authority that certificates are ordered from.

use std::path::PathBuf;

use serde::Deserialize;

use super::Config;
use crate::origin::hash_of;

/// Names of one certificate that is ordered.
pub const ACME_NAMES_MAX: usize = 100;

/// An authority and an account at it (RFC 8555).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// URL of its directory.
    #[serde(default = "Acme::directory_default")]
    pub directory: String,
    /// Whom it may write to: `mailto:` URLs.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Whether the operator agrees to its terms.
    pub terms_agreed: bool,
    /// Where the account and certificates are kept.
    pub state: Option<PathBuf>,
    /// Who signed the certificate of the directory, PEM, where the system does not know it.
    pub ca: Option<PathBuf>,
}

impl Acme {
    fn directory_default() -> String {
        "https://acme-v02.api.letsencrypt.org/directory".into()
    }

    /// The file of the account.
    pub fn account_file(&self, state: &std::path::Path) -> PathBuf {
        state.join(format!("account-{:016x}.json", hash_of(self.directory.as_bytes())))
    }
}

impl Config {
    /// Where what was ordered is kept.
    pub fn acme_state(&self) -> Option<PathBuf> {
        let acme = self.acme.as_ref()?;
        acme.state.clone().or_else(|| self.node.data.as_ref().map(|data| data.join("acme")))
    }

    /// Says each TLS listener where its ordered certificate is.
    pub(super) fn place_acme(&mut self) {
        let Some(state) = self.acme_state() else { return };
        for https in &mut self.listen.https {
            https.issued = https.acme.first().map(|name| state.join(format!("{name}.pem")));
        }
    }
}
