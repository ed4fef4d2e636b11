//! What a reload may change of the listeners: who may come in, certificates, whom TLS is spoken with.
//!
//! Where they are bound is fixed at start ([`super::socket`]). Invariant: a config whose files cannot all be used changes
//! nothing; connections that are open keep what they began with.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::rules::Rules;
use super::tls::Tls;
use crate::config::{Bind, Config, Door, Https};

/// The changing side of one listener.
pub struct Front {
    bind: Bind,
    pub(super) rules: ArcSwap<Rules>,
    pub(super) tls: ArcSwapOption<Tls>,
    is_tls: bool,
    is_forward: bool,
}

/// The changing side of every listener: plain, TLS, forward, each in the order of the config.
pub struct Fronts(Vec<Arc<Front>>);

/// What a config says of every listener, read and found good.
pub struct Prepared(Vec<(Bind, Rules, Option<Tls>)>);

impl Front {
    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether it is an explicit proxy.
    pub fn is_forward(&self) -> bool {
        self.is_forward
    }
}

/// Every listener of a config in the order of [`Fronts`].
fn listeners(config: &Config) -> impl Iterator<Item = (&Bind, Door, Option<&Https>)> {
    let plain = config.listen.http.iter().map(|http| (&http.bind, http.door.clone(), None));
    let tls = config.listen.https.iter().map(|https| (&https.bind, https.door(), Some(https)));
    plain.chain(tls).chain(config.listen.forward.iter().map(|forward| (&forward.bind, forward.door.clone(), None)))
}

impl Fronts {
    /// Reads what `config` names.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn new(config: &Config) -> Result<Self, String> {
        let forward_from = config.listen.http.len() + config.listen.https.len();
        let fronts = listeners(config).enumerate().map(|(at, (bind, door, https))| {
            let tls = https.map(|https| Tls::load(https, None)).transpose()?;
            let (rules, is_tls) = (ArcSwap::from_pointee(Rules::new(&door)), tls.is_some());
            let (bind, tls, is_forward) = (bind.clone(), ArcSwapOption::from_pointee(tls), at >= forward_from);
            Ok(Arc::new(Front { bind, rules, tls, is_tls, is_forward }))
        });
        fronts.collect::<Result<_, String>>().map(Self)
    }

    /// Reads what a new `config` names, for [`Self::put`].
    ///
    /// # Errors
    /// One line that names the file.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let prepared = listeners(config).enumerate().map(|(at, (bind, door, https))| {
            let before = self.0.get(at).and_then(|front| front.tls.load_full());
            let tls = https.map(|https| Tls::load(https, before.as_deref())).transpose()?;
            Ok((bind.clone(), Rules::new(&door), tls))
        });
        prepared.collect::<Result<_, String>>().map(Prepared)
    }

    /// Puts in force what was prepared, for those listeners that are bound where they were.
    pub fn put(&self, prepared: Prepared) {
        let same = self
            .0
            .iter()
            .zip(prepared.0)
            .filter(|(front, (bind, _, tls))| front.bind == *bind && front.is_tls == tls.is_some());
        for (front, (_, rules, tls)) in same {
            front.rules.store(Arc::new(rules));
            front.tls.store(tls.map(Arc::new));
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Front>> {
        self.0.iter()
    }

    /// When each certificate in use ends: the listener, its first name, seconds since 1970.
    pub fn certificate_ends(&self) -> Vec<(String, String, u64)> {
        let of = |front: &Arc<Front>| front.tls.load_full().map(|tls| (front.bind.to_string(), tls));
        let each = |(bind, tls): (String, Arc<Tls>)| {
            tls.ends().iter().map(|(name, end)| (bind.clone(), name.clone(), *end)).collect::<Vec<_>>()
        };
        self.0.iter().filter_map(of).flat_map(each).collect()
    }
}
