//! Has an authorisation server say of each request whether it may pass, hits of the cache included.
//!
//! ```toml
//! [[plugin]]
//! name = "auth"
//! file = "filter-auth.wasm"
//! http = ["http://10.0.0.7:9000"]                       # or: "https://auth.example.org"
//! store = "4MiB"
//! on_fault = "closed"                                   # nobody passes while the server does not answer
//! config = { url = "http://10.0.0.7:9000/check", send = ["authorization"], take = ["x-user"], cache_s = 10 }
//! ```
//!
//! The server is asked with a GET: the fields in `send` as the client has them (`authorization` and `cookie` by default), and what the request is
//! in `x-forwarded-method`, `-proto`, `-host`, `-uri` and `-for`. When it answers 2xx the request passes, with the fields in `take` as the server
//! has them; what the client has written into those is removed. 401, 403 and redirects (to a page to log in) go to the client as they come. Anything
//! else is no answer: `on_fault` says what becomes of the request.
//!
//! For `cache_s` seconds a 2xx holds for the same request with the same fields, or with `per = "fields"` for every request with them.

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Request, Response, Store};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Fields in one list.
const NAMES_MAX: usize = 16;
/// Fields of a refusal that the client is told.
const TOLD: [&str; 4] = ["content-type", "location", "set-cookie", "www-authenticate"];
/// Bytes of what is remembered of an answer.
const REMEMBERED_BYTES_MAX: usize = 16 << 10;

/// For what an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    /// The same request.
    Request,
    /// Every request with the same fields.
    Fields,
}

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    url: String,
    #[serde(default = "credentials")]
    send: Vec<String>,
    #[serde(default)]
    take: Vec<String>,
    #[serde(default)]
    cache_s: u32,
    #[serde(default = "request")]
    per: Per,
}

fn credentials() -> Vec<String> {
    ["authorization", "cookie"].map(str::to_owned).into()
}

fn request() -> Per {
    Per::Request
}

/// What the server says is set on the request.
type Taken = Vec<(String, String)>;

impl Auth {
    /// What the server is asked.
    fn question(&self, x: &impl Exchange) -> Request {
        let proto = if x.secure() { "https" } else { "http" };
        let known = [
            ("x-forwarded-method", x.method()),
            ("x-forwarded-proto", proto.to_owned()),
            ("x-forwarded-host", x.host()),
            ("x-forwarded-uri", x.target()),
            ("x-forwarded-for", x.client()),
        ];
        let question = known.iter().fold(Request::get(&self.url), |question, (name, value)| question.with(name, value));
        let sent = self.send.iter().flat_map(|name| x.fields(name).into_iter().map(move |value| (name, value)));
        sent.fold(question, |question, (name, value)| question.with(name, &value))
    }

    /// Under what the answer to a question is remembered: all that it may depend on.
    fn key(&self, question: &Request) -> Vec<u8> {
        let mut hash = Sha256::new();
        let counts =
            |name: &str| self.per == Per::Request || self.send.iter().any(|sent| sent.eq_ignore_ascii_case(name));
        for (name, value) in question.fields.iter().filter(|(name, _)| counts(name)) {
            for part in [name.as_bytes(), value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.finalize().to_vec()
    }

    fn taken(&self, answer: &Response) -> Taken {
        let of = |name: &String| answer.field(name).map(|value| (name.clone(), value));
        self.take.iter().filter_map(of).collect()
    }
}

/// What the client is told of a refusal.
fn refusal(answer: Response) -> Reply {
    let told = answer.fields.iter().filter(|(name, _)| TOLD.contains(&name.as_str()));
    let told = told.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()));
    let fields = told.chain([("cache-control".to_owned(), "no-store".to_owned())]).collect();
    Reply { status: answer.status, fields, body: answer.body }
}

impl Filter for Auth {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = littoral_plugin::config(config)?;
        match filter.send.len() <= NAMES_MAX && filter.take.len() <= NAMES_MAX {
            true if filter.url.starts_with("http://") || filter.url.starts_with("https://") => Ok(filter),
            true => Err("url begins with http:// or https://".into()),
            false => Err(format!("send and take have at most {NAMES_MAX} fields each")),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, store: &mut impl Store) -> Option<Reply> {
        let question = self.question(x);
        // Only the server says who somebody is.
        self.take.iter().for_each(|name| x.remove_field(name));
        let key = self.key(&question);
        let remembered = if self.cache_s > 0 { store.get(&key) } else { None };
        let remembered = remembered.and_then(|value| serde_json::from_slice::<Taken>(&value).ok());
        let taken = match remembered {
            Some(taken) => taken,
            None => match x.fetch(&question) {
                Ok(answer) if (200..=299).contains(&answer.status) => {
                    let taken = self.taken(&answer);
                    let value = serde_json::to_vec(&taken).unwrap_or_default();
                    if self.cache_s > 0 && value.len() <= REMEMBERED_BYTES_MAX {
                        store.put(&key, &value, u64::from(self.cache_s) * 1000);
                    }
                    taken
                }
                Ok(answer) if matches!(answer.status, 301..=303 | 307 | 308 | 401 | 403) => {
                    return Some(refusal(answer));
                }
                Ok(answer) => x.give_up(&format!("the authorisation server answers {}", answer.status)),
                Err(refused) => x.give_up(&format!("the authorisation server: {refused}")),
            },
        };
        taken.iter().for_each(|(name, value)| x.set_field(name, value));
        None
    }
}

littoral_plugin::export_filter!(Auth, "../../wit");

#[cfg(test)]
mod tests;
