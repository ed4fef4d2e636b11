//! How a request comes by its key and its variant, for people: `GET /v1/cache/object`.
//!
//! It asks what the request path asks. Invariant: nothing here changes what is stored or routed.

use std::sync::Arc;

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use littoral_cache::vary::{Selectors, Vary};
use littoral_cache::{Entry, Key, Store};
use littoral_plugin_host::filter::Point;
use pingora::http::RequestHeader;
use serde_json::{Value, json};

use crate::control::pushed::directory_of;
use crate::node::Node;
use crate::purge::{NO_URL, host_and_path};
use crate::request::target;

/// Fields that a question may name.
const FIELDS_MAX: usize = 32;
/// Requests that are made up to find variants on disk.
const MADE_UP_MAX: usize = 128;
/// What clients say in Accept-Encoding, where no site folds it.
const CODINGS: [&str; 7] =
    ["gzip", "br", "zstd", "identity", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd"];
const WRONG_FIELD: &str = "field=NAME:VALUE, such as field=accept-encoding:gzip; at most 32 of them";

/// What is asked: a URL, and fields of a request for it.
pub(super) struct Asked {
    pub(super) url: String,
    fields: HeaderMap,
}

impl Asked {
    /// From a query: `url=…`, and `field=NAME:VALUE` for each field.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub(super) fn of(query: &str) -> Result<Self, String> {
        let (mut url, mut fields) = (None, HeaderMap::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "url" => url = Some(value.into_owned()),
                "field" => {
                    let (name, value) = value.split_once(':').ok_or(WRONG_FIELD)?;
                    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| WRONG_FIELD)?;
                    fields.append(name, HeaderValue::from_str(value.trim()).map_err(|_| WRONG_FIELD)?);
                }
                other => return Err(format!("unknown parameter {other:?}: url and field are known")),
            }
        }
        match url {
            _ if fields.len() > FIELDS_MAX => Err(WRONG_FIELD.into()),
            Some(url) => Ok(Self { url, fields }),
            None => Err(format!("missing field `url`: {NO_URL}")),
        }
    }
}

/// The clusters that a redirect of a URL would prefer, and what to tell of that.
///
/// # Errors
/// That it is no URL of this node.
pub(super) fn content(node: &Node, url: &str) -> Result<(Vec<String>, Value), String> {
    let (host, path) = host_and_path(url).ok_or(NO_URL)?;
    let sites = node.sites.load();
    let site = sites.find(&host).ok_or_else(|| format!("{host:?} is no [[site]] of this node"))?;
    let held_by = node.control.holders(&site.name, &path);
    let decides = site.steer.as_ref().is_some_and(|steer| steer.content);
    let told = json!({ "site": site.name, "directory": directory_of(&path), "held_by": held_by, "decides": decides });
    Ok((if decides { held_by } else { Vec::new() }, told))
}

/// A request as its site would have it.
pub(super) struct Explained {
    /// What it is looked up under.
    pub(super) key: Key,
    /// How that came about.
    pub(super) told: Value,
    request: HeaderMap,
    selectors: Selectors,
    /// Fields of negotiation, and what the site has them say.
    folded: Vec<(HeaderName, Vec<String>)>,
}

/// An object that memory does not have.
pub(super) struct OnDisk {
    /// Without its body.
    pub(super) entry: Arc<Entry>,
    /// Of its body.
    pub(super) bytes: u64,
}

impl Explained {
    /// `None` when the URL is none.
    pub(super) fn of(node: &Node, asked: &Asked) -> Option<Self> {
        let (host, path) = host_and_path(&asked.url)?;
        let sites = node.sites.load();
        let mut request = RequestHeader::build_no_case(Method::GET, path.as_bytes(), Some(asked.fields.len())).ok()?;
        for (name, value) in &asked.fields {
            request.append_header(name, value).ok()?;
        }
        let Some(site) = sites.find(&host) else {
            let (key, request) = (Key::new(&host, &path), request.headers.clone());
            let (selectors, folded) = Default::default();
            return Some(Self { key, told: json!({ "site": null }), request, selectors, folded });
        };
        target::normalise(&mut request, site);
        let key = crate::request::key(site, &host, &path);
        let in_key = String::from_utf8_lossy(key.text()).split_once(' ').map(|(_, path)| path.to_owned());
        let kept: Vec<_> = in_key.iter().flat_map(|path| parameters(path)).collect();
        let dropped: Vec<_> = parameters(&path).filter(|parameter| !kept.contains(parameter)).collect();
        let folded = |(name, _): &(HeaderName, Vec<String>)| {
            let to = request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            (name.to_string(), Value::from(to))
        };
        let filters = site.filters.all().iter();
        let changing = filters.filter(|filter| filter.asks(Point::Request) || filter.asks(Point::Lookup));
        let told = json!({
            "site": site.name,
            "host": host,
            "path": in_key,
            "dropped": dropped,
            "headers": site.selectors.headers.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
            "cookies": site.selectors.cookies,
            "folded": site.folded.iter().map(folded).collect::<serde_json::Map<_, _>>(),
            "filters": changing.map(|filter| filter.name()).collect::<Vec<_>>(),
        });
        let (selectors, folded) = (site.selectors.clone(), site.folded.clone());
        Some(Self { key, told, request: request.headers.clone(), selectors, folded })
    }

    /// What is on disk and not among `entries`. A disk knows objects by digests of key and variant, so that variants are looked for by
    /// making requests up: of the fields asked about, and of all that the site folds a field to, or that clients say in
    /// Accept-Encoding. Blocks: headers are read.
    pub(super) fn on_disk(&self, store: &Store, entries: &[Arc<Entry>]) -> Vec<OnDisk> {
        let found = |variance: Option<&[u8; 16]>| {
            let (entry, bytes) = store.on_disk(&self.key, variance)?;
            Some(OnDisk { entry, bytes })
        };
        let has_primary = entries.iter().any(|entry| !entry.is_variant());
        let mut on_disk: Vec<_> = (!has_primary).then(|| found(None)).flatten().into_iter().collect();
        let known = entries.iter().chain(on_disk.iter().map(|one| &one.entry));
        let (mut seen, mut varies) = (Vec::new(), Vec::new());
        for entry in known {
            seen.push(entry.variance());
            let vary = Vary::of(&entry.head().headers);
            if !varies.contains(&vary) {
                varies.push(vary);
            }
        }
        for vary in
            varies.iter().flat_map(|vary| self.made_up(vary).map(|request| vary.variance(&request, &self.selectors)))
        {
            let is_new = vary.is_some() && !seen.contains(&vary);
            if let Some(variance) = vary.as_ref().filter(|_| is_new) {
                on_disk.extend(found(Some(variance)));
                seen.push(vary);
            }
        }
        on_disk
    }

    /// Requests that may get different variants, the one asked about first.
    fn made_up(&self, vary: &Vary) -> impl Iterator<Item = HeaderMap> {
        let fields: &[HeaderName] = if let Vary::Fields(fields) = vary { fields } else { &[] };
        let mut requests = vec![self.request.clone()];
        for name in fields.iter().chain(&self.selectors.headers) {
            let folded = self.folded.iter().find(|(folded, _)| folded == name).map(|(_, values)| values);
            let values: Vec<&str> = match folded {
                Some(values) => values.iter().map(String::as_str).collect(),
                None if *name == ACCEPT_ENCODING => CODINGS.to_vec(),
                None => continue,
            };
            for at in 0..requests.len() {
                let mut without = requests[at].clone();
                without.remove(name);
                let with = values.iter().filter_map(|value| {
                    let mut request = without.clone();
                    request.insert(name, HeaderValue::from_str(value).ok()?);
                    Some(request)
                });
                let more: Vec<_> = with.take(MADE_UP_MAX.saturating_sub(requests.len())).collect();
                requests.extend(more);
                requests.push(without);
            }
            requests.truncate(MADE_UP_MAX);
        }
        requests.into_iter()
    }

    /// Whether the request would get this of what is stored.
    pub(super) fn selects(&self, entry: &Entry) -> bool {
        Vary::of(&entry.head().headers).variance(&self.request, &self.selectors) == entry.variance()
    }
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split_once('?').into_iter().flat_map(|(_, query)| query.split('&')).filter(|parameter| !parameter.is_empty())
}
