//! `[[site]]`: what is served, and where it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::dash::Dash;
use super::origin::{Balance, Origin, OriginHealth, Retry, Shield, Timeouts};
use super::units::{Size, Span};

/// A site served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Host names, lower case; `*` is the site of every other host.
    pub hosts: Vec<String>,
    /// Origins.
    pub origin: Vec<Origin>,
    /// How requests are spread over them.
    #[serde(default)]
    pub balance: Balance,
    /// How they are probed; without it, what requests meet is all that is known of them.
    pub health: Option<OriginHealth>,
    /// For how long one that has come back is asked less than its weight says.
    #[serde(default)]
    pub slow_start: Span,
    /// Nodes that are asked before them.
    pub shield: Option<Shield>,
    /// Asking again when one fails.
    #[serde(default)]
    pub retry: Retry,
    /// DASH features.
    #[serde(default)]
    pub dash: Dash,
    /// Time-outs towards the origin.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Lifetime of a response that states none.
    #[serde(default)]
    pub default_ttl: Span,
    /// The same by status: `404`, or `5xx` for a class.
    #[serde(default)]
    pub ttl: BTreeMap<String, Span>,
    /// Guesses lifetimes from Last-Modified.
    pub heuristic: Option<HeuristicTtl>,
    /// What becomes of a response that sets a cookie.
    #[serde(default)]
    pub set_cookie: SetCookies,
    /// Whether an answer to POST may be kept for GETs.
    #[serde(default)]
    pub store_post: bool,
    /// How long a response that does not say may be served stale while it is revalidated.
    #[serde(default)]
    pub stale_while_revalidate: Span,
    /// The same for when the origin fails.
    #[serde(default)]
    pub stale_if_error: Span,
    /// Whether requests' own Cache-Control counts.
    #[serde(default = "yes")]
    pub client_directives: bool,
    /// How long a key is remembered whose response could not be stored.
    #[serde(default = "Site::pass_for_default")]
    pub pass_for: Span,
    /// What makes up the cache key.
    #[serde(default)]
    pub key: KeyRules,
    /// Content codings the origin has, best first: Accept-Encoding is folded to one of them.
    pub encodings: Option<Vec<String>>,
    /// Languages the origin has, best first: Accept-Language is folded to one of them.
    pub languages: Option<Vec<String>>,
    /// Keeps responses in slices of so many bytes.
    pub slice: Option<Size>,
    /// What becomes of requests for a range of what is not stored whole.
    #[serde(default)]
    pub ranges: Ranges,
    /// Compresses what the origin sends plain.
    pub compress: Option<Compress>,
    /// What becomes of fills that meet trouble.
    #[serde(default)]
    pub fill: Fill,
    /// Plugins that see its requests and responses, in this order.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Sends clients to the cluster that is chosen for them.
    pub steer: Option<Steer>,
}

/// How clients of a site are told of the cluster that is chosen for them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steer {
    /// The service whose decision it is.
    pub service: String,
    /// Whether requests are redirected there.
    #[serde(default)]
    pub redirect: bool,
    /// Whether redirects go by what was pushed to clusters.
    #[serde(default)]
    pub content: bool,
    /// The path where players ask for it (content steering).
    pub path: Option<String>,
}

/// What becomes of a fill whose origin breaks off, or whose clients leave.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fill {
    /// How often the rest is asked for when an origin breaks off.
    pub resume: u32,
    /// How many go on that nobody reads any more.
    pub unread: usize,
    /// How much is fetched at most that nobody reads.
    pub unread_bytes: Option<Size>,
}

impl Default for Fill {
    fn default() -> Self {
        Self { resume: 2, unread: 64, unread_bytes: None }
    }
}

/// Compression of what the origin sends plain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compress {
    /// Codings, best first.
    pub codings: Vec<Coding>,
    /// Media types, `text/*` for all of a kind.
    pub types: Vec<String>,
    /// Shorter bodies are left alone.
    pub min: Size,
}

/// A content coding that this node can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 7932
    Br,
    /// RFC 8878
    Zstd,
    /// RFC 1952
    Gzip,
}

impl Coding {
    /// Its name in Content-Encoding.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl Default for Compress {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/javascript",
            "application/json",
            "application/xml",
            "application/dash+xml",
            "application/vnd.apple.mpegurl",
            "application/wasm",
            "image/svg+xml",
        ];
        Self {
            codings: vec![Coding::Br, Coding::Zstd, Coding::Gzip],
            types: types.map(String::from).into(),
            min: Size(1 << 10),
        }
    }
}

/// Lifetimes guessed from Last-Modified (RFC 9111 §4.2.2).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeuristicTtl {
    /// This share of the time since the last change.
    pub percent: u32,
    /// At most.
    pub longest: Span,
}

/// What becomes of a response that sets a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetCookies {
    /// It is not stored.
    #[default]
    Pass,
    /// It is stored without the cookie.
    Strip,
    /// It is stored with the cookie.
    Store,
}

/// What becomes of a request for a range of an object that is not stored whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ranges {
    /// The whole object is fetched.
    #[default]
    Whole,
    /// The range is sent on, and its answer kept as a piece.
    Forward,
}

/// What makes up the cache key beside host and path.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRules {
    /// What becomes of the query.
    pub query: QueryOrder,
    /// Only these parameters of it are kept.
    pub only: Vec<String>,
    /// All but these are kept.
    pub drop: Vec<String>,
    /// Request fields that tell variants apart.
    pub headers: Vec<String>,
    /// Cookies that tell variants apart.
    pub cookies: Vec<String>,
}

/// What becomes of a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryOrder {
    /// It is kept in its order.
    #[default]
    Keep,
    /// It is sorted by name.
    Sort,
    /// It is cut off.
    Ignore,
}

fn yes() -> bool {
    true
}

impl Site {
    pub(crate) fn pass_for_default() -> Span {
        Span(Duration::from_secs(120))
    }
}

impl Default for HeuristicTtl {
    fn default() -> Self {
        Self { percent: 10, longest: Span(Duration::from_secs(24 * 3600)) }
    }
}

impl Site {
    /// The files that its origins name.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut std::path::PathBuf> {
        let nodes = self.shield.iter_mut().flat_map(|shield| &mut shield.nodes);
        self.origin.iter_mut().chain(nodes).flat_map(Origin::paths_mut)
    }
}
