//! Lets requests pass that bring a good JSON Web Token (RFC 7519), signed with HS256, RS256, ES256 or EdDSA.
//!
//! ```toml
//! on_fault = "closed"
//! [plugin.config]
//! keys = [{ kid = "1", alg = "EdDSA", kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
//! issuer = "https://id.example"
//! audience = ["https://www.example"]
//! prefix = "/members/"
//! forward = { sub = "x-user" }
//! ```
//!
//! `keys` is a key set (RFC 7517), at most 32 of them. Each says its `alg`, and a token is checked with no other one (RFC 8725 §3.1). A token has to end (`exp`)
//! and, where `issuer` and `audience` are given, to be from there and for one of those; `leeway_s` (60) allows for clocks that differ. It
//! comes as `Authorization: Bearer`, or in a cookie (`cookie = "NAME"`) or parameter of the query (`query = "NAME"`). It goes no
//! further, so that what is stored is for all who may see it; `keep_token = true` sends it on. Text claims named in `forward` go to the
//! origin as fields, which nobody else can set. Who has no good token gets 401, with the reason (RFC 6750 §3).
//!
//! An instance remembers `remember` (256) good tokens by their digest: what a signature costs is paid once for each.

use std::collections::BTreeMap;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;
use sha2::{Digest, Sha256};

mod claims;
mod keys;
mod signature;

use claims::Claims;
use keys::{Jwk, Key};

/// Keys of a config.
const KEYS_MAX: usize = 32;
/// Octets of a token.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Good tokens that may be remembered: some hundred octets each.
const REMEMBERED_MAX: usize = 4096;

/// The operator's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    keys: Vec<Jwk>,
    issuer: Option<String>,
    #[serde(default)]
    audience: Vec<String>,
    #[serde(default = "minute")]
    leeway_s: u64,
    #[serde(default)]
    prefix: String,
    cookie: Option<String>,
    query: Option<String>,
    #[serde(default)]
    keep_token: bool,
    #[serde(default = "some")]
    remember: usize,
    #[serde(default)]
    forward: BTreeMap<String, String>,
}

fn minute() -> u64 {
    60
}

fn some() -> usize {
    256
}

/// The filter.
#[derive(Debug)]
pub struct Jwt {
    config: Config,
    keys: Vec<Key>,
    good: BTreeMap<[u8; 32], Claims>,
}

/// Why a request does not pass.
enum Refused {
    /// It brings no token.
    Absent,
    /// The one it brings is not good.
    Bad(&'static str),
}

impl Jwt {
    /// The token of a request.
    fn token(&self, x: &impl Exchange) -> Option<String> {
        if let Some(name) = &self.config.query {
            let target = x.target();
            let (_, query) = target.split_once('?')?;
            return query.split('&').find_map(|pair| parameter(pair, name)).map(str::to_owned);
        }
        if let Some(name) = &self.config.cookie {
            let cookies = x.fields("cookie").join("; ");
            return cookies.split(';').find_map(|pair| parameter(pair.trim(), name)).map(str::to_owned);
        }
        let credentials = x.field("authorization")?;
        let (scheme, token) = credentials.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    }

    /// The claims of a good token.
    fn claims(&mut self, token: &str, now_s: u64) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Bad("the token is too long"));
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let claims = match self.good.get(&digest) {
            Some(claims) => claims.clone(),
            None => {
                let payload = signature::verified(token, &self.keys).map_err(Refused::Bad)?;
                let claims = Claims::read(&payload).map_err(Refused::Bad)?;
                claims.check_parties(self.config.issuer.as_deref(), &self.config.audience).map_err(Refused::Bad)?;
                self.remember(digest, &claims);
                claims
            }
        };
        // Of a remembered one, too.
        claims.check_time(now_s, self.config.leeway_s).map_err(Refused::Bad)?;
        Ok(claims)
    }

    fn remember(&mut self, digest: [u8; 32], claims: &Claims) {
        if self.good.len() >= self.config.remember {
            self.good.clear();
        }
        if self.config.remember > 0 {
            self.good.insert(digest, claims.clone());
        }
    }

    /// Takes the token out of the request: it goes no further.
    fn hide(&self, x: &mut impl Exchange) {
        if let Some(name) = &self.config.query {
            let target = x.target();
            let Some((path, query)) = target.split_once('?') else { return };
            let others: Vec<&str> = query.split('&').filter(|pair| parameter(pair, name).is_none()).collect();
            let joint = if others.is_empty() { "" } else { "?" };
            return x.set_target(&format!("{path}{joint}{}", others.join("&")));
        }
        let Some(name) = &self.config.cookie else { return x.remove_field("authorization") };
        let cookies = x.fields("cookie").join("; ");
        let others: Vec<&str> =
            cookies.split(';').map(str::trim).filter(|pair| parameter(pair, name).is_none()).collect();
        match others.is_empty() {
            true => x.remove_field("cookie"),
            false => x.set_field("cookie", &others.join("; ")),
        }
    }
}

/// What a `name=value` pair says of a name.
fn parameter<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    pair.strip_prefix(name)?.strip_prefix('=')
}

impl Filter for Jwt {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if config.keys.is_empty() || config.keys.len() > KEYS_MAX {
            return Err(format!("keys: give 1 to {KEYS_MAX} of them, each with its alg"));
        }
        if config.cookie.is_some() && config.query.is_some() {
            return Err("cookie and query: a token comes one way; remove one of them".into());
        }
        if config.remember > REMEMBERED_MAX {
            return Err(format!("remember: at most {REMEMBERED_MAX}"));
        }
        let keys = config.keys.iter().enumerate();
        let keys = keys.map(|(at, jwk)| Key::of(jwk).map_err(|why| format!("keys.{at}: {why}")));
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self { keys, config, good: BTreeMap::new() })
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        // What claims become is nobody else's to say, wherever the request goes.
        self.config.forward.values().for_each(|field| x.remove_field(field));
        if !x.target().starts_with(&self.config.prefix) {
            return None;
        }
        let (token, now_s) = (self.token(x), x.now_ms() / 1000);
        let claims = match &token {
            Some(token) => self.claims(token, now_s),
            None => Err(Refused::Absent),
        };
        match claims {
            Ok(claims) => {
                for (claim, field) in &self.config.forward {
                    if let Some(text) = claims.text(claim) {
                        x.set_field(field, text);
                    }
                }
                if !self.config.keep_token {
                    self.hide(x);
                }
                None
            }
            Err(Refused::Absent) => Some(Reply::text(401, "a token is needed").with("www-authenticate", "Bearer")),
            Err(Refused::Bad(why)) => {
                let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
                Some(Reply::text(401, why).with("www-authenticate", &challenge))
            }
        }
    }
}

littoral_plugin::export_filter!(Jwt, "../../wit");

#[cfg(test)]
mod tests;
