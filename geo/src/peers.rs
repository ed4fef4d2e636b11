//! Who may copy a zone, who may change it, and whom it is copied from: as configured, and as it is asked.
//!
//! Invariant: nobody may anything whom neither an address nor a key allows it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_proto::rr::{LowerName, Name};
use ipnet::IpNet;

use crate::address::canonical;
use crate::limits::{NOTIFIED_MAX, SECRETS_MAX};
use crate::tsig::{Key, Secret};

/// A zone's relations to other servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// Who may copy it.
    pub transfer: Option<Transfer>,
    /// Whom it is copied from; its file is then the copy.
    pub primary: Option<Primary>,
    /// Who may change it.
    pub update: Option<Update>,
}

/// Who may copy a zone (RFC 5936), and who is told of its changes (RFC 1996).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// From where; none: from everywhere, with the key.
    pub allow: Vec<IpNet>,
    /// The secret that they sign with.
    pub key: Option<String>,
    /// Servers that are told.
    pub notify: Vec<SocketAddr>,
}

/// Whom a zone is copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its address.
    pub address: SocketAddr,
    /// The secret to sign with.
    pub key: Option<String>,
}

/// Who may change a zone (RFC 2136).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The secret that they sign with.
    pub key: String,
    /// From where; none: from everywhere.
    pub allow: Vec<IpNet>,
    /// The file that keeps the changes.
    pub journal: PathBuf,
}

/// All shared secrets by their names.
pub(crate) type Keys = HashMap<LowerName, Arc<Key>>;

/// The same with its keys found.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    pub(crate) transfer: Option<Access>,
    pub(crate) notify: Vec<SocketAddr>,
    pub(crate) primary: Option<From>,
    pub(crate) update: Option<(Access, PathBuf)>,
}

/// Whom a zone is copied from, and into which file.
#[derive(Debug, Clone)]
pub(crate) struct From {
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<Arc<Key>>,
    pub(crate) file: PathBuf,
}

/// What somebody must be to be let in.
#[derive(Debug)]
pub(crate) struct Access {
    allow: Vec<IpNet>,
    pub(crate) key: Option<Arc<Key>>,
}

impl Access {
    /// Whether a request from `client`, signed by `signer`, may.
    pub(crate) fn permits(&self, client: IpAddr, signer: Option<&LowerName>) -> bool {
        let client = canonical(client);
        let from_there = self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&client));
        from_there && self.key.as_ref().is_none_or(|key| signer == Some(&key.name))
    }
}

/// Makes keys of secrets.
///
/// # Errors
/// One line: which secret, and what to do.
pub(crate) fn keys(secrets: &[Secret]) -> Result<Keys, String> {
    if secrets.len() > SECRETS_MAX {
        return Err(format!("{} DNS keys: at most {SECRETS_MAX}", secrets.len()));
    }
    let mut keys = Keys::new();
    for secret in secrets {
        let key = Key::new(secret).map_err(|text| format!("the DNS key {:?} {text}", secret.name))?;
        if keys.insert(key.name.clone(), Arc::new(key)).is_some() {
            return Err(format!("the DNS key {:?} is there twice: keep one", secret.name));
        }
    }
    Ok(keys)
}

impl Relations {
    /// Of a zone as configured.
    ///
    /// # Errors
    /// What is wrong, to be read behind the zone's name.
    pub(crate) fn of(peers: &Peers, file: &Path, keys: &Keys) -> Result<Self, String> {
        let key = |name: &String| {
            let absolute = name.parse::<Name>().map(|mut absolute| {
                absolute.set_fqdn(true);
                LowerName::from(absolute)
            });
            let key = absolute.ok().and_then(|name| keys.get(&name));
            key.cloned().ok_or_else(|| format!("names the DNS key {name:?}, which is not there: add it"))
        };
        let mut relations = Self::default();
        if let Some(transfer) = &peers.transfer {
            let found = transfer.key.as_ref().map(key).transpose()?;
            let is_open = transfer.allow.is_empty() && found.is_none();
            if is_open && transfer.notify.is_empty() {
                return Err("may be copied by nobody: name addresses or a key in its transfer".into());
            }
            if transfer.notify.len() > NOTIFIED_MAX {
                return Err(format!("tells {} servers of its changes: at most {NOTIFIED_MAX}", transfer.notify.len()));
            }
            let access = Access { allow: transfer.allow.clone(), key: found };
            relations.transfer = Some(access).filter(|_| !is_open);
            relations.notify.clone_from(&transfer.notify);
        }
        if let Some(primary) = &peers.primary {
            if peers.update.is_some() {
                return Err("is copied from another server: changes go there, remove its update".into());
            }
            let (address, file) = (primary.address, file.to_owned());
            relations.primary = Some(From { address, key: primary.key.as_ref().map(key).transpose()?, file });
        }
        if let Some(update) = &peers.update {
            let access = Access { allow: update.allow.clone(), key: Some(key(&update.key)?) };
            relations.update = Some((access, update.journal.clone()));
        }
        Ok(relations)
    }
}
