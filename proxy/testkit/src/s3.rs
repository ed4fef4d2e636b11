//! What an S3-compatible store does with a request before it looks at anything else: it works the signature out again.
//!
//! Written after "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference, without the crate that
//! signs.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::origin::Request;

/// Seconds by which the clocks may differ.
const SKEW_SECONDS_MAX: u64 = 15 * 60;

/// Whether a request is signed with `secret` for S3 in `region`.
///
/// # Errors
/// What is wrong with it.
pub fn verify(request: &Request, secret: &str, region: &str) -> Result<(), String> {
    let field = |name: &str| request.field(name).ok_or(format!("no {name}"));
    let told = field("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another scheme")?;
    let part = |name: &str| {
        let parts = told.split(", ").filter_map(|part| part.split_once('='));
        parts.filter(|(known, _)| *known == name).map(|(_, value)| value).next().ok_or(format!("no {name}"))
    };
    let (time, signed) = (field("x-amz-date")?, part("SignedHeaders")?);
    is_now(time)?;
    let day = time.get(..8).ok_or("no day")?;
    let scope = format!("{day}/{region}/s3/aws4_request");
    if part("Credential")?.split_once('/').map(|(_, scope)| scope) != Some(&scope) {
        return Err(format!("another scope than {scope}"));
    }
    // What of the store's own fields is not signed could have been added by anybody.
    let unsigned = request.fields.iter().find(|(name, _)| {
        (name == "host" || name.starts_with("x-amz-")) && !signed.split(';').any(|known| known == name)
    });
    if let Some((name, _)) = unsigned {
        return Err(format!("{name} is not signed"));
    }
    let fields: Result<Vec<String>, String> =
        signed.split(';').map(|name| Ok(format!("{name}:{}\n", field(name)?.trim()))).collect();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut pairs: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(canonical_pair).collect();
    pairs.sort();
    let (pairs, fields, hash) = (pairs.join("&"), fields?.concat(), field("x-amz-content-sha256")?);
    let canonical = format!("{}\n{}\n{pairs}\n{fields}\n{signed}\n{hash}", request.method, encode(path, true));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let start = hmac(format!("AWS4{secret}").as_bytes(), day);
    let key = [region, "s3", "aws4_request"].iter().fold(start, |key, step| hmac(&key, step));
    match hex(&hmac(&key, &to_sign)) == part("Signature")? {
        true => Ok(()),
        false => Err(format!("another signature, of:\n{canonical}")),
    }
}

/// HMAC (RFC 2104).
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    match key.len() <= 64 {
        true => block[..key.len()].copy_from_slice(key),
        false => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |byte: u8| block.map(|key| key ^ byte);
    let inner = Sha256::digest([&pad(0x36)[..], text.as_bytes()].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn canonical_pair(pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    format!("{}={}", encode(name, false), encode(value, false))
}

/// Decoded and encoded again: all but unreserved characters, and the slash of paths.
fn encode(text: &str, path: bool) -> String {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        let digits = (byte == b'%').then(|| [bytes.next(), bytes.next()].map(|digit| digit.unwrap_or(b'0') as char));
        decoded.push(digits.map_or(byte, |digits| u8::from_str_radix(&String::from_iter(digits), 16).unwrap_or(0)));
    }
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (path && byte == b'/');
    decoded.iter().map(|&byte| if kept(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Whether a time such as `20130524T000000Z` is about now.
fn is_now(time: &str) -> Result<(), String> {
    let number =
        |from: usize, to: usize| time.get(from..to).and_then(|digits| digits.parse::<u64>().ok()).ok_or("no time");
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Days from the civil calendar (Hinnant 2013), for years from 2000 on.
    let (shifted, from_march) = (if month <= 2 { year - 1 } else { year }, (month + 9) % 12);
    let days =
        365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * from_march + 2) / 5 + day - 1 - 719_468;
    let told = days * 86_400 + number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
    match now.abs_diff(told) <= SKEW_SECONDS_MAX {
        true => Ok(()),
        false => Err(format!("{time} is not now")),
    }
}
