//! Lets a request pass only from a browser that has done some work: a page with a small script finds a number whose hash begins with
//! enough zero bits, and gets a signed cookie for it.
//!
//! ```toml
//! on_fault = "open"
//! config = { secrets = ["at least sixteen letters"], bits = 16, valid_s = 3600, except = ["/robots.txt", "/api/"] }
//! ```
//!
//! Who has no good cookie gets 403: the page where it is a GET whose client takes HTML, else a line of text. The challenge in the page is
//! signed, good for five minutes, for one client and host; the pass is a cookie that no script can read, good for `valid_s` for the
//! same two (`bind_client = false`: for any address, for clients that change theirs). The first secret signs, all of `secrets` are
//! accepted, so that one can be changed. With 16 bits a browser works for some tenths of a second, each bit more doubles that; what is
//! checked here is one hash. Nothing is stored: a cookie is checked by its signature alone.

use hmac::{Hmac, KeyInit, Mac};
use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");
/// Seconds that a challenge is good for.
const CHALLENGE_S: u64 = 300;
/// Most bits of work: a quarter of a minute or more.
const BITS_MAX: u32 = 24;
/// Letters of a secret, at least.
const SECRET_BYTES_MIN: usize = 16;
/// The cookie with the pass, and that with a solved challenge.
const PASS: &str = "littoral-pass";
const PROOF: &str = "littoral-proof";

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    secrets: Vec<String>,
    #[serde(default = "sixteen")]
    bits: u32,
    #[serde(default = "hour")]
    valid_s: u64,
    /// Beginnings of paths that need no pass.
    #[serde(default)]
    except: Vec<String>,
    #[serde(default = "yes")]
    bind_client: bool,
}

fn sixteen() -> u32 {
    16
}

fn hour() -> u64 {
    3600
}

fn yes() -> bool {
    true
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Zero bits that a hash begins with.
fn zero_bits(hash: &[u8]) -> u32 {
    let zeros = hash.iter().take_while(|byte| **byte == 0).count();
    zeros as u32 * 8 + hash.get(zeros).map_or(0, |byte| byte.leading_zeros())
}

impl Challenge {
    /// What a signature of `kind` covers: whom it is for, until when, and what else it holds.
    fn signed(&self, kind: &str, until_s: u64, more: &str, x: &impl Exchange) -> String {
        let client = if self.bind_client { x.client() } else { String::new() };
        format!("{kind}\n{until_s}\n{more}\n{}\n{client}", x.host())
    }

    fn sign(&self, text: &str) -> String {
        let mac = self.secrets.first().and_then(|secret| Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok());
        mac.map_or_else(String::new, |mac| hex(&mac.chain_update(text).finalize().into_bytes()))
    }

    fn is_signed(&self, text: &str, signature: &str) -> bool {
        let Some(signature) = unhex(signature) else { return false };
        self.secrets.iter().any(|secret| {
            let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
            mac.is_ok_and(|mac| mac.chain_update(text).verify_slice(&signature).is_ok())
        })
    }

    /// Whether a cookie `UNTIL.SIGNATURE` is a good pass.
    fn is_pass(&self, cookie: &str, now_s: u64, x: &impl Exchange) -> bool {
        let Some((until, signature)) = cookie.split_once('.') else { return false };
        let until_s = until.parse().unwrap_or(0);
        now_s < until_s && self.is_signed(&self.signed("pass", until_s, "", x), signature)
    }

    /// Whether a cookie `UNTIL.BITS.RANDOM.SIGNATURE.NUMBER` is a challenge of ours, and solved.
    fn is_proof(&self, cookie: &str, now_s: u64, x: &impl Exchange) -> bool {
        let parts: Vec<&str> = cookie.split('.').collect();
        let [until, bits, random, signature, number] = parts[..] else { return false };
        let (until_s, wanted) = (until.parse().unwrap_or(0), bits.parse().unwrap_or(u32::MAX));
        if now_s >= until_s
            || wanted < self.bits
            || number.len() > 20
            || !number.bytes().all(|byte| byte.is_ascii_digit())
        {
            return false;
        }
        let challenge = self.signed("challenge", until_s, &format!("{wanted}.{random}"), x);
        self.is_signed(&challenge, signature) && zero_bits(&Sha256::digest(cookie)) >= wanted
    }

    /// A page that asks for work, and then asks for this again.
    fn page(&self, now_s: u64, x: &impl Exchange) -> Reply {
        let (until_s, random) = (now_s + CHALLENGE_S, format!("{:016x}", x.random()));
        let more = format!("{}.{random}", self.bits);
        let challenge = format!("{until_s}.{more}.{}", self.sign(&self.signed("challenge", until_s, &more, x)));
        let nonce = format!("{:016x}", x.random());
        let page = PAGE.replace("{CHALLENGE}", &challenge).replace("{BITS}", &self.bits.to_string());
        let policy =
            format!("default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'");
        Reply { status: 403, body: page.replace("{NONCE}", &nonce).into_bytes(), ..Reply::default() }
            .with("content-type", "text/html; charset=utf-8")
            .with("content-security-policy", &policy)
            .with("cache-control", "no-store")
    }

    /// Lets it in: the same again, with a pass.
    fn welcome(&self, now_s: u64, x: &impl Exchange) -> Reply {
        let until_s = now_s + self.valid_s;
        let pass = self.sign(&self.signed("pass", until_s, "", x));
        let (secure, age) = (if x.secure() { "; Secure" } else { "" }, self.valid_s);
        // A path that begins with two slashes would be another host.
        let place = format!("/{}", x.target().trim_start_matches('/'));
        Reply { status: 303, ..Reply::default() }
            .with("location", &place)
            .with(
                "set-cookie",
                &format!("{PASS}={until_s}.{pass}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"),
            )
            .with("set-cookie", &format!("{PROOF}=; Path=/; Max-Age=0"))
            .with("cache-control", "no-store")
    }
}

/// The value of a cookie.
fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    cookies.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

impl Filter for Challenge {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match () {
            () if filter.secrets.is_empty() || filter.secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) => {
                Err(format!("secrets: give at least one, each of at least {SECRET_BYTES_MIN} letters"))
            }
            () if !(1..=BITS_MAX).contains(&filter.bits) => Err(format!("bits: 1 to {BITS_MAX}; 16 is a good start")),
            () if filter.valid_s == 0 => Err("valid_s: at least 1".into()),
            () => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let target = x.target();
        if self.except.iter().any(|start| target.starts_with(start)) {
            return None;
        }
        let (cookies, now_s) = (x.fields("cookie").join("; "), x.now_ms() / 1000);
        if cookie(&cookies, PASS).is_some_and(|pass| self.is_pass(pass, now_s, x)) {
            return None;
        }
        let reads = matches!(x.method().as_str(), "GET" | "HEAD");
        if reads && cookie(&cookies, PROOF).is_some_and(|proof| self.is_proof(proof, now_s, x)) {
            return Some(self.welcome(now_s, x));
        }
        let takes_html = x.field("accept").is_some_and(|accept| accept.contains("text/html"));
        Some(match reads && takes_html {
            true => self.page(now_s, x),
            false => Reply::text(403, "this site is for browsers that have passed its check"),
        })
    }
}

littoral_plugin::export_filter!(Challenge, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    const CONFIG: &str = r#"{"secrets": ["0123456789abcdef"], "bits": 8, "except": ["/robots.txt"]}"#;

    fn browser(cookies: &str) -> Sketch {
        let fields = [("accept", "text/html,*/*"), ("cookie", cookies)];
        Sketch { now_ms: 1_000_000, random: 7, ..Sketch::get("//a?b", &fields) }
    }

    fn ask(filter: &mut Challenge, mut x: Sketch) -> Option<Reply> {
        filter.on_request(&mut x, &mut Shelf::default())
    }

    /// What the script of a page does: it looks for a number behind the challenge.
    fn solve(page: &Reply) -> String {
        let text = std::str::from_utf8(&page.body).unwrap();
        let challenge = text.split("challenge = \"").nth(1).unwrap().split('"').next().unwrap();
        let bits = text.split("bits = ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        let solves = |number: &u64| zero_bits(&Sha256::digest(format!("{challenge}.{number}"))) >= bits;
        format!("{challenge}.{}", (0_u64..).find(solves).unwrap())
    }

    fn of<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
        reply.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn a_browser_works_once_and_then_passes_until_its_pass_is_over() {
        let mut filter = Challenge::new(CONFIG).unwrap();
        let page = ask(&mut filter, browser("")).unwrap();
        assert_eq!((page.status, of(&page, "cache-control")), (403, vec!["no-store"]));
        let welcome = ask(&mut filter, browser(&format!("x=y; {PROOF}={}", solve(&page)))).unwrap();
        assert_eq!((welcome.status, of(&welcome, "location")), (303, vec!["/a?b"]));
        let pass = of(&welcome, "set-cookie")[0].split(';').next().unwrap().to_owned();
        assert!(of(&welcome, "set-cookie")[0].contains("; HttpOnly; SameSite=Lax"));
        let at = |now_ms: u64, client: &str, host: &str| Sketch {
            now_ms,
            client: client.into(),
            host: host.into(),
            ..browser(&pass)
        };
        let here = "site.example";
        assert_eq!(ask(&mut filter, at(1_000_000, "192.0.2.1", here)), None);
        assert_eq!(ask(&mut filter, Sketch { method: "POST".into(), ..at(4_599_000, "192.0.2.1", here) }), None);
        for (now_ms, client, host) in
            [(4_600_000, "192.0.2.1", here), (1_000_000, "192.0.2.2", here), (1_000_000, "192.0.2.1", "other.example")]
        {
            assert_eq!(ask(&mut filter, at(now_ms, client, host)).unwrap().status, 403, "{now_ms} {client} {host}");
        }
    }

    #[test]
    fn work_that_was_not_done_or_was_asked_of_another_is_none() {
        let mut filter = Challenge::new(CONFIG).unwrap();
        let proof = solve(&ask(&mut filter, browser("")).unwrap());
        let with = |proof: &str| browser(&format!("{PROOF}={proof}"));
        assert_eq!(ask(&mut filter, with(&proof)).unwrap().status, 303);
        let easier = proof.replacen(".8.", ".1.", 1);
        let (challenge, _) = proof.rsplit_once('.').unwrap();
        let lazy =
            (0..).map(|number| format!("{challenge}.{number}")).find(|text| zero_bits(&Sha256::digest(text)) < 8);
        for wrong in
            [easier, lazy.unwrap(), format!("{proof}x"), format!("9{proof}"), "a.b.c.d.e".into(), "....".into()]
        {
            assert_eq!(ask(&mut filter, with(&wrong)).unwrap().status, 403, "{wrong}");
        }
        assert_eq!(ask(&mut filter, Sketch { client: "192.0.2.2".into(), ..with(&proof) }).unwrap().status, 403);
        assert_eq!(ask(&mut filter, Sketch { now_ms: 1_300_000, ..with(&proof) }).unwrap().status, 403);
        assert_eq!(ask(&mut filter, Sketch { method: "POST".into(), ..with(&proof) }).unwrap().status, 403);
    }

    #[test]
    fn a_pass_of_the_secret_before_is_good_while_that_is_accepted() {
        let old = Challenge::new(CONFIG).unwrap();
        let welcome = old.welcome(1000, &browser(""));
        let pass = of(&welcome, "set-cookie")[0].split(';').next().unwrap().to_owned();
        let both = CONFIG.replace("[\"", "[\"fedcba9876543210\", \"");
        assert_eq!(ask(&mut Challenge::new(&both).unwrap(), browser(&pass)), None);
        let new = CONFIG.replace("0123456789abcdef", "fedcba9876543210");
        assert_eq!(ask(&mut Challenge::new(&new).unwrap(), browser(&pass)).unwrap().status, 403);
    }

    #[test]
    fn who_takes_no_page_gets_a_line_and_what_is_excepted_passes() {
        let mut filter = Challenge::new(CONFIG).unwrap();
        let line = ask(&mut filter, Sketch::get("/a", &[("accept", "application/json")])).unwrap();
        assert_eq!((line.status, of(&line, "content-type")), (403, vec!["text/plain"]));
        assert_eq!(ask(&mut filter, Sketch::get("/robots.txt", &[])), None);
    }

    #[test]
    fn weak_configs_are_refused_with_the_fix() {
        for (config, expected) in [
            (r#"{"secrets": []}"#, "at least one"),
            (r#"{"secrets": ["short"]}"#, "16 letters"),
            (r#"{"secrets": ["0123456789abcdef"], "bits": 40}"#, "1 to 24"),
            (r#"{"secrets": ["0123456789abcdef"], "valid_s": 0}"#, "at least 1"),
        ] {
            let problem = Challenge::new(config).unwrap_err();
            assert!(problem.contains(expected), "{config}: {problem}");
        }
    }
}
