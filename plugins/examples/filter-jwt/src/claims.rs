//! What a token says (RFC 7519 §4.1): when it is good, from whom it is and for whom.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Claims with a text of at most so many octets can be forwarded.
const TEXT_BYTES_MAX: usize = 1024;

/// The claims of a token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    /// Seconds since 1970, perhaps with a fraction.
    exp: f64,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// Reads a payload.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, &'static str> {
        serde_json::from_slice(payload).map_err(|_| "its claims cannot be read, or it has no end")
    }

    /// Whether it is from `issuer` and for one of `audience`, where these are given.
    pub(crate) fn check_parties(&self, issuer: Option<&str>, audience: &[String]) -> Result<(), &'static str> {
        if issuer.is_some() && self.iss.as_deref() != issuer {
            return Err("it is from another issuer");
        }
        let named: &[String] = match &self.aud {
            None => &[],
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Several(several)) => several,
        };
        match audience.is_empty() || named.iter().any(|name| audience.contains(name)) {
            true => Ok(()),
            false => Err("it is for another audience"),
        }
    }

    /// Whether it is good now, give or take a leeway.
    pub(crate) fn check_time(&self, now_s: u64, leeway_s: u64) -> Result<(), &'static str> {
        let (now, leeway) = (now_s as f64, leeway_s as f64);
        if self.exp.is_nan() || now >= self.exp + leeway {
            return Err("it is over");
        }
        match self.nbf {
            Some(nbf) if nbf.is_nan() || now + leeway < nbf => Err("it is not good yet"),
            _ => Ok(()),
        }
    }

    /// A claim that is text fit for a field.
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        let text = match claim {
            "iss" => self.iss.as_deref()?,
            claim => self.others.get(claim)?.as_str()?,
        };
        let is_fit = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        is_fit.then_some(text)
    }
}
