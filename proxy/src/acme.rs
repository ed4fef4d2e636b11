//! Certificates from an authority by ACME (RFC 8555): ordered, proven over HTTP, renewed, put in force while the node runs.
//!
//! The protocol is instant-acme's; [`state`] keeps account and certificates, [`order`] is one order; handshakes are `listen`'s. Orders
//! are made one after the other on the control thread. Invariants: a certificate is replaced only by one that was issued whole;
//! the node serves everything else meanwhile; a failure is counted, logged with its reason, and waits longer each time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::now_ms;
use crate::config::{Acme as Wanted, Config};
use crate::node::Node;
use crate::observe::figures::Counter;
use crate::origin::hash_of;

mod order;
pub mod state;

/// Where an authority asks for proof (RFC 8555 §8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// Tokens known at a time: those of one order.
pub const TOKENS_MAX: usize = crate::config::ACME_NAMES_MAX;
/// How long one order may take.
const ORDER_PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait after the first failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(60);
/// The longest.
const RETRY_LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How often the files are looked at, whatever they said.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// What the node knows of its orders.
#[derive(Debug, Default)]
pub struct Acme {
    /// Answers by token.
    tokens: Mutex<HashMap<String, String>>,
    wake: Notify,
    /// Orders that ended with a certificate, and those that failed.
    pub orders: [Counter; 2],
    /// Times a token was asked for.
    pub asked: Counter,
    /// Failures in a row, by the first name of a certificate.
    failing: Mutex<BTreeMap<String, u32>>,
}

/// A certificate that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its names.
    pub names: Vec<String>,
    /// Where it is kept.
    pub file: PathBuf,
}

/// What became of the last orders of a certificate.
struct Attempt {
    /// Of what was wanted then.
    of: u64,
    failures: u32,
    not_before_ms: u64,
}

impl Acme {
    /// The answer to a request of the authority; `None` for every other path.
    pub fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        let answer = self.tokens.lock().get(token).cloned();
        self.asked.add(u64::from(answer.is_some()));
        answer
    }

    /// The config has changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Failures in a row of every certificate that is ordered.
    pub fn failing(&self) -> BTreeMap<String, u32> {
        self.failing.lock().clone()
    }

    /// Takes in a token, if there is room.
    fn learn(&self, token: &str, answer: &str) -> Result<(), String> {
        let mut tokens = self.tokens.lock();
        if tokens.len() >= TOKENS_MAX {
            return Err(format!("the authority wants proof of more than {TOKENS_MAX} names"));
        }
        tokens.insert(token.to_owned(), answer.to_owned());
        Ok(())
    }

    fn forget(&self) {
        self.tokens.lock().clear();
    }
}

/// Keeps the certificates of a node, for ever.
pub async fn keep(node: Arc<Node>) {
    let mut attempts = HashMap::new();
    loop {
        let wait = look(&node, &mut attempts).await;
        tokio::select! {
            () = node.acme.wake.notified() => {}
            () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
        }
    }
}

/// Orders what is due. Returns for how long nothing is.
async fn look(node: &Arc<Node>, attempts: &mut HashMap<PathBuf, Attempt>) -> Duration {
    let settings = node.settings.load_full();
    let wanted = certificates(&settings);
    let first = |certificate: &Certificate| certificate.names.first().cloned().unwrap_or_default();
    let names: Vec<String> = wanted.iter().map(first).collect();
    node.acme.failing.lock().retain(|name, _| names.contains(name));
    let Some(acme) = &settings.acme else { return LOOK_EVERY };
    let mut next_ms = u64::MAX;
    for certificate in &wanted {
        let due_ms = due(acme, certificate, &node.name, attempts);
        if due_ms <= now_ms() {
            let failures = bring(node, &settings, acme, certificate).await;
            node.acme.failing.lock().insert(first(certificate), failures_of(attempts, certificate, acme, failures));
        }
        next_ms = next_ms.min(due(acme, certificate, &node.name, attempts));
    }
    Duration::from_millis(next_ms.saturating_sub(now_ms()))
}

/// Every certificate the config wants ordered, once.
fn certificates(config: &Config) -> Vec<Certificate> {
    let mut all: Vec<Certificate> = Vec::new();
    for https in &config.listen.https {
        let certificate =
            https.issued.as_ref().map(|file| Certificate { names: https.acme.clone(), file: file.clone() });
        all.extend(certificate.filter(|certificate| !all.contains(certificate)));
    }
    all
}

fn identity(acme: &Wanted, certificate: &Certificate) -> u64 {
    hash_of(format!("{acme:?} {:?}", certificate.names).as_bytes())
}

/// When it is ordered next, in milliseconds of [`crate::clock`]. What failed before the config changed does not count.
fn due(acme: &Wanted, certificate: &Certificate, node: &str, attempts: &HashMap<PathBuf, Attempt>) -> u64 {
    let attempt = attempts.get(&certificate.file).filter(|attempt| attempt.of == identity(acme, certificate));
    let renewed_ms = state::renewal_ms(certificate, &acme.directory, node);
    renewed_ms.max(attempt.map_or(0, |attempt| attempt.not_before_ms))
}

/// Notes how an order ended: the failures in a row.
fn failures_of(
    attempts: &mut HashMap<PathBuf, Attempt>,
    certificate: &Certificate,
    acme: &Wanted,
    outcome: Result<(), String>,
) -> u32 {
    let of = identity(acme, certificate);
    let Err(why) = outcome else {
        attempts.remove(&certificate.file);
        return 0;
    };
    let before =
        attempts.get(&certificate.file).filter(|attempt| attempt.of == of).map_or(0, |attempt| attempt.failures);
    let wait = RETRY_LONGEST.min(RETRY_FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)));
    tracing::error!(names = certificate.names.join(", "), why, again_in = ?wait, "no certificate was issued; what there is stays in force");
    let not_before_ms = now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    attempts.insert(certificate.file.clone(), Attempt { of, failures: before + 1, not_before_ms });
    before + 1
}

/// Orders a certificate, keeps it and puts it in force.
async fn bring(node: &Arc<Node>, settings: &Config, acme: &Wanted, certificate: &Certificate) -> Result<(), String> {
    let ordered = tokio::time::timeout(ORDER_PATIENCE, order::order(&node.acme, settings, acme, certificate)).await;
    node.acme.forget();
    let ordered = ordered.unwrap_or_else(|_| Err(format!("it took longer than {ORDER_PATIENCE:?}")));
    node.acme.orders[usize::from(ordered.is_err())].add(1);
    ordered?;
    tracing::info!(names = certificate.names.join(", "), "a certificate was issued");
    let node = node.clone();
    let _alone = node.reloading.lock().await;
    let put = {
        let node = node.clone();
        move || node.fronts.prepare(&node.settings.load()).map(|prepared| node.fronts.put(prepared))
    };
    // Reading certificates takes milliseconds: not where DNS is answered.
    tokio::task::spawn_blocking(put).await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_an_order_under_way_are_answered() {
        let acme = Acme::default();
        acme.learn("t", "t.key").unwrap();
        for (path, expected) in [
            ("/.well-known/acme-challenge/t", Some("t.key")),
            ("/.well-known/acme-challenge/u", None),
            ("/.well-known/acme-challenge/", None),
            ("/t", None),
        ] {
            assert_eq!(acme.answer(path).as_deref(), expected, "{path}");
        }
        assert_eq!(acme.asked.sum(), 1);
        for number in 1..TOKENS_MAX {
            acme.learn(&number.to_string(), "x").unwrap();
        }
        assert!(acme.learn("one more", "x").unwrap_err().contains("more than 100"));
        acme.forget();
        assert_eq!(acme.answer("/.well-known/acme-challenge/t"), None);
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_a_changed_config_does_not_wait() {
        let acme: Wanted = toml::from_str("terms_agreed = true").unwrap();
        let certificate = Certificate { names: vec!["a.example".into()], file: "/nowhere/a.pem".into() };
        let (mut attempts, fails) = (HashMap::new(), || Err("so".to_owned()));
        let mut waits = Vec::new();
        for expected in 1..=12 {
            assert_eq!(failures_of(&mut attempts, &certificate, &acme, fails()), expected);
            waits.push(due(&acme, &certificate, "n", &attempts).saturating_sub(now_ms()).div_ceil(60_000));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]);
        let other = Wanted { contact: vec!["mailto:a@a.example".into()], ..acme.clone() };
        assert_eq!(due(&other, &certificate, "n", &attempts), 0);
        assert_eq!(failures_of(&mut attempts, &certificate, &other, fails()), 1);
        assert_eq!(failures_of(&mut attempts, &certificate, &acme, Ok(())), 0);
        assert_eq!(due(&acme, &certificate, "n", &attempts), 0);
    }
}
