//! Lets only signed URLs pass: HMAC-SHA256 (RFC 2104), with an end, and if wanted for one client only.
//!
//! ```toml
//! config = { keys = { k1 = "a secret of at least 16 bytes" }, prefix = "/private/" }
//! ```
//!
//! A URL ends with `expires=SECONDS&key=NAME&sig=HEX`, or `expires=…&ip=1&key=…&sig=…` where it is for one client. What is signed is the
//! path and query before `&sig=`, then, with `ip=1`, a newline and the client's address. These parameters are taken out, so that all
//! who may see an object share it in the cache. Several keys allow to change them without a gap.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;
use sha2::Sha256;

const SECRET_BYTES_MIN: usize = 16;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedUrl {
    keys: BTreeMap<String, String>,
    /// Only paths that begin so need a signature.
    #[serde(default)]
    prefix: String,
}

/// The parts of a signed target.
struct Signed<'a> {
    /// What was asked for.
    plain: &'a str,
    /// What was signed, the client apart.
    message: &'a str,
    expires: u64,
    for_client: bool,
    key: &'a str,
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn of(target: &'a str) -> Option<Self> {
        let (message, signature) = target.rsplit_once("&sig=")?;
        let (rest, key) = message.rsplit_once("&key=")?;
        let (rest, for_client) = match rest.strip_suffix("&ip=1") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (plain, expires) = rest.rsplit_once("expires=")?;
        let plain = plain.strip_suffix(['?', '&'])?;
        Some(Self { plain, message, expires: expires.parse().ok()?, for_client, key, signature: unhex(signature)? })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None }).collect()
}

impl SignedUrl {
    fn check<'a>(&self, target: &'a str, client: &str, now_ms: u64) -> Result<&'a str, &'static str> {
        let signed = Signed::of(target).ok_or("this URL needs a signature")?;
        let secret = self.keys.get(signed.key).ok_or("this URL is signed with an unknown key")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| "this key cannot be used")?;
        mac.update(signed.message.as_bytes());
        if signed.for_client {
            mac.update(b"\n");
            mac.update(client.as_bytes());
        }
        // In constant time; and before anything else is believed.
        mac.verify_slice(&signed.signature).map_err(|_| "the signature of this URL is wrong")?;
        if signed.expires.saturating_mul(1000) <= now_ms {
            return Err("this URL is over");
        }
        Ok(signed.plain)
    }
}

impl Filter for SignedUrl {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match filter.keys.iter().find(|(_, secret)| secret.len() < SECRET_BYTES_MIN) {
            _ if filter.keys.is_empty() => Err("keys: name at least one, such as { k1 = \"…\" }".into()),
            Some((name, _)) => Err(format!("keys.{name} has less than {SECRET_BYTES_MIN} bytes")),
            None => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let target = x.target();
        if !target.starts_with(&self.prefix) {
            return None;
        }
        match self.check(&target, &x.client(), x.now_ms()) {
            Ok(plain) => {
                x.set_target(plain);
                None
            }
            Err(why) => Some(Reply::text(403, why)),
        }
    }
}

littoral_plugin::export_filter!(SignedUrl, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn sign(message: &str, client: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        mac.update(client.as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{message}&sig={hex}")
    }

    /// What becomes of a target at second 100, for 192.0.2.1: where it leads, or the status.
    fn asked(target: &str) -> Result<String, u16> {
        let config = format!(r#"{{"keys": {{"k": "{SECRET}"}}, "prefix": "/p/"}}"#);
        let mut x = Sketch { now_ms: 100_000, ..Sketch::get(target, &[]) };
        match SignedUrl::new(&config).unwrap().on_request(&mut x, &mut Shelf::default()) {
            None => Ok(x.target),
            Some(reply) => Err(reply.status),
        }
    }

    #[test]
    fn a_signed_url_passes_without_its_signature_until_it_is_over() {
        for (message, plain) in [("/p/a?expires=101&key=k", "/p/a"), ("/p/a?b=c&expires=101&key=k", "/p/a?b=c")] {
            assert_eq!(asked(&sign(message, "")).unwrap(), plain);
        }
        assert_eq!(asked(&sign("/p/a?expires=100&key=k", "")), Err(403));
        assert_eq!(asked("/open").unwrap(), "/open");
    }

    #[test]
    fn what_was_changed_or_not_signed_is_refused() {
        let good = sign("/p/a?expires=101&key=k", "");
        for wrong in [
            "/p/a".to_owned(),
            good.replace("/p/a", "/p/b"),
            good.replace("101", "999"),
            good.replace("key=k", "key=x"),
            format!("{good}0"),
            format!("{good}&x=1"),
            good.split_once("&sig").unwrap().0.to_owned(),
            sign("/p/aexpires=101&key=k", ""),
        ] {
            assert_eq!(asked(&wrong), Err(403), "{wrong}");
        }
    }

    #[test]
    fn a_url_for_one_client_is_refused_to_others() {
        let message = "/p/a?expires=101&ip=1&key=k";
        assert_eq!(asked(&sign(message, "\n192.0.2.1")).unwrap(), "/p/a");
        assert_eq!(asked(&sign(message, "\n192.0.2.2")), Err(403));
        assert_eq!(asked(&sign(message, "")), Err(403));
    }
}
