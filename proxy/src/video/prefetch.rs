//! The object a player will ask for next, fetched before it does (`site.dash.prefetch`).
//!
//! Which one that is the player says (CMCD `nor`, `nrr`), or a manifest that the node has at hand lists it behind the one asked for. The node
//! asks itself for it, as a client would, so that it is collapsed, admitted, stored and counted as any other; nobody waits for it.
//! Invariants: only objects of the same host are asked for; never more at once, for one session or in bytes a second than the site says, and
//! none while the node is at its limit; what is fetched ahead fetches nothing ahead itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN, RANGE, USER_AGENT};
use http::{HeaderName, Method};
use littoral_cache::entry::millis;
use littoral_cache::key::hash_bytes;
use littoral_cache::{Found, Key, Outcome, Piece};
use littoral_manifests::cmcd::{Cmcd, Key as Said};
use littoral_manifests::limits::URL_BYTES_MAX;
use littoral_manifests::{ByteRange, Coming};
use pingora::proxy::Session;
use url::{Position, Url};

use super::figures::Figures;
use super::told;
use crate::clock::{elapsed_ms, now_ms};
use crate::config::dash;
use crate::node::Node;
use crate::request::context::Context;
use crate::request::manifest::AS_IS;
use crate::request::slices;
use crate::site::Site;

mod budget;
mod marks;

use budget::Budget;
use marks::Marks;

/// Objects fetched ahead for one request.
const NEXT_MAX: usize = 4;
/// Sessions are told apart by so many places; more share them.
const SESSIONS: usize = 1 << 10;
/// An object that is longer is left off.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Fields of a player's request by which responses commonly vary; nothing that says who it is goes along.
const KEPT: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN];

/// What a site fetches ahead.
#[derive(Debug)]
pub(crate) struct Prefetch {
    raw: dash::Prefetch,
    budget: Budget,
    marks: Marks,
    at_once: AtomicUsize,
    by_session: Box<[AtomicU8]>,
}

/// A request of a player that is being answered.
pub(crate) struct Asked<'a> {
    pub(crate) host: &'a str,
    /// Path and query, by which the answer was found.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// Tells sessions apart, where they have no names.
    pub(crate) session: u64,
    /// Its fields, by name.
    pub(crate) field: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// What to fetch ahead.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    path: String,
    range: Option<String>,
}

/// Room for one fetch.
struct Place {
    prefetch: Arc<Prefetch>,
    session: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.prefetch.at_once.fetch_sub(1, Relaxed);
        self.prefetch.by_session[self.session].fetch_sub(1, Relaxed);
    }
}

/// Why nothing is fetched, as places in [`Figures::UNFETCHED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfetched {
    Foreign,
    Present,
    Load,
    AtOnce,
    Session,
    Budget,
    Early,
}

impl Prefetch {
    /// Of a checked config; what is known stays while that does.
    pub(super) fn of(raw: &dash::Prefetch, before: Option<&Arc<Self>>) -> Arc<Self> {
        let new = || {
            Arc::new(Self {
                raw: raw.clone(),
                budget: Budget::new(raw.rate.0),
                marks: Marks::default(),
                at_once: AtomicUsize::new(0),
                by_session: (0..SESSIONS).map(|_| AtomicU8::new(0)).collect(),
            })
        };
        before.filter(|before| before.raw == *raw).cloned().unwrap_or_else(new)
    }

    /// Gives up what nobody has asked for in a long time.
    pub(crate) fn sweep(&self, figures: &Figures) {
        figures.prefetch_ended[1].fetch_add(self.marks.sweep(elapsed_ms() / 1000), Relaxed);
    }

    /// A player has got, or not, what may have been fetched ahead: the range that it asked for, or all.
    fn claim(&self, figures: &Figures, key: u128, range: Option<&[u8]>, was_there: bool) {
        if range.is_some_and(|range| self.marks.take(marked(key, Some(range)))) || self.marks.take(key) {
            figures.prefetch_ended[usize::from(!was_there)].fetch_add(1, Relaxed);
        }
    }

    /// Room for a fetch for a session.
    fn place(self: &Arc<Self>, session: u64) -> Result<Place, Unfetched> {
        let session = session as usize % SESSIONS;
        let take = |bound: usize| move |taken: usize| (taken < bound).then_some(taken + 1);
        let of_session = &self.by_session[session];
        let by_session =
            |taken: u8| take(self.raw.by_session)(usize::from(taken)).and_then(|now| u8::try_from(now).ok());
        self.at_once.fetch_update(Relaxed, Relaxed, take(self.raw.at_once)).map_err(|_| Unfetched::AtOnce)?;
        if of_session.fetch_update(Relaxed, Relaxed, by_session).is_err() {
            self.at_once.fetch_sub(1, Relaxed);
            return Err(Unfetched::Session);
        }
        Ok(Place { prefetch: self.clone(), session })
    }
}

/// A hit on the shortest way, by the head of its request.
pub(crate) fn on_hit(node: &Arc<Node>, site: &Arc<Site>, head: &[u8], key: &Key, client: IpAddr) {
    let Some((prefetch, figures)) = of(site) else { return };
    let mut fields = [httparse::EMPTY_HEADER; super::FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    // It was parsed before, or it would be no hit.
    let _ = request.parse(head);
    let field = |name: &str| {
        let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    };
    if request.method != Some("GET") || field(AS_IS.as_str()).is_some() {
        return;
    }
    // No request with a Range comes this way.
    prefetch.claim(figures, key.hash(), None, true);
    let Some((host, path)) = std::str::from_utf8(key.text()).ok().and_then(|text| text.split_once(' ')) else { return };
    let query = request.path.and_then(|path| path.split_once('?')).map(|(_, query)| query);
    ahead(node, site, &Asked { host, path, query, session: crate::rate::hash(client), field: &field });
}

/// The head of a response is about to go to a client.
pub(crate) fn on_response(session: &Session, node: &Arc<Node>, ctx: &Context, status: u16) {
    let Some(site) = ctx.site.as_ref().filter(|_| !ctx.background && !ctx.as_is) else { return };
    let Some((prefetch, figures)) = of(site) else { return };
    let request = session.req_header();
    if request.method != Method::GET {
        return;
    }
    if !matches!(status, 200 | 206 | 304) {
        return;
    }
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    if let Some(outcome) = ctx.outcome {
        // Who puts slices together has none yet.
        let key = ctx.key.as_ref().map_or_else(|| crate::request::key(site, &ctx.host, path).hash(), Key::hash);
        let range = request.headers.get(RANGE).map(http::HeaderValue::as_bytes);
        prefetch.claim(figures, key, range, matches!(outcome, Outcome::Hit | Outcome::Collapsed));
    }
    let client = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
    let asked = Asked {
        host: &ctx.host,
        path,
        query: request.uri.query(),
        session: client.map_or(0, crate::rate::hash),
        field: &|name| request.headers.get(name).map(http::HeaderValue::as_bytes),
    };
    ahead(node, site, &asked);
}

fn of(site: &Site) -> Option<(&Arc<Prefetch>, &Figures)> {
    let video = site.video.as_ref()?;
    Some((video.prefetch.as_ref()?, &video.figures))
}

/// Begins to fetch what will be asked for next.
fn ahead(node: &Arc<Node>, site: &Arc<Site>, asked: &Asked<'_>) {
    let Some((prefetch, figures)) = of(site) else { return };
    let (said, session) = said(site, asked, figures);
    let asked = &Asked { session: session.unwrap_or(asked.session), ..*asked };
    let (source, all) = match said {
        Some(said) => (0, said),
        None if prefetch.raw.manifest => {
            let file = asked.path.split('?').next().unwrap_or(asked.path);
            let range = (asked.field)(RANGE.as_str()).and_then(asked_range);
            let now_ms = now_ms();
            let behind = node.rate.behind(asked.host, file, range, now_ms);
            let (there, early) = listed(asked, behind, now_ms);
            figures.prefetch_unfetched[Unfetched::Early as usize].fetch_add(early, Relaxed);
            (1, there)
        }
        None => return,
    };
    for next in all {
        match begin(node, site, asked, next) {
            Ok(()) => &figures.prefetch_begun[source],
            Err(why) => &figures.prefetch_unfetched[why as usize],
        }
        .fetch_add(1, Relaxed);
    }
}

/// Of what a manifest lists next what may be asked for, and of how much it is too early: nobody asks an origin for what is not there yet.
fn listed(asked: &Asked<'_>, behind: Vec<Coming>, now_ms: u64) -> (Vec<Next>, u64) {
    let (there, early): (Vec<Coming>, Vec<Coming>) =
        behind.into_iter().partition(|coming| coming.available_ms.is_none_or(|at| at <= now_ms));
    let next = |Coming { resource, .. }: Coming| {
        let path = resource.url[Position::BeforePath..Position::AfterQuery].to_owned();
        let range = resource.range.map(|ByteRange { first, last }| format!("bytes={first}-{last}"));
        (resolve(asked, &path).as_ref() == Some(&path)).then_some(Next { path, range })
    };
    (there.into_iter().filter_map(next).collect(), early.len() as u64)
}

/// What an object, or a range of it, is marked by.
fn marked(key: u128, range: Option<&[u8]>) -> u128 {
    range.map_or(key, |range| key ^ hash_bytes(range))
}

/// The one range that a Range field asks for, with both its ends.
fn asked_range(field: &[u8]) -> Option<ByteRange> {
    let (first, last) = std::str::from_utf8(field).ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let range = ByteRange { first: number(first)?, last: number(last)? };
    (range.first <= range.last).then_some(range)
}

/// What the player says that it asks for next (`None`: nothing that would do), and in which session.
fn said(site: &Site, asked: &Asked<'_>, figures: &Figures) -> (Option<Vec<Next>>, Option<u64>) {
    let field = |name: &'static str| (asked.field)(name);
    let listed = |cmcd: &Cmcd<'_>| {
        let mut all: Vec<Next> = Vec::new();
        for (url, range) in cmcd.next_objects().take(NEXT_MAX) {
            match resolve(asked, &url) {
                Some(path) => all.push(Next { path, range: range.and_then(range_of) }),
                None => drop(figures.prefetch_unfetched[Unfetched::Foreign as usize].fetch_add(1, Relaxed)),
            }
        }
        // Without a URL, the range is one of the same (CTA-5004, nrr).
        let same = cmcd.get(Said::Nor).is_none().then(|| cmcd.text(Said::Nrr)).flatten().and_then(range_of);
        all.extend(same.map(|range| Next { path: asked.path.to_owned(), range: Some(range) }));
        all
    };
    let read = told::read(field, asked.query, |cmcd, _| (listed(cmcd), told::Told::of(cmcd).session));
    let Some(Ok((mut all, session))) = read else { return (None, None) };
    // Which representation an `auto` URL will be, nobody knows before it is asked for.
    all.retain(|next| !(site.auto && crate::rate::is_auto(next.path.rsplit('/').next().unwrap_or_default())));
    ((!all.is_empty()).then_some(all), session.map(|session| session.hash))
}

/// Path and query of what a player names, seen from what it asked for; `None`: it is of another host, or no URL that is asked for here.
fn resolve(asked: &Asked<'_>, named: &str) -> Option<String> {
    if named.len() > URL_BYTES_MAX {
        return None;
    }
    let base = Url::parse(&format!("http://{}{}", asked.host, asked.path)).ok()?;
    let url = base.join(named).ok()?;
    let is_ours = matches!(url.scheme(), "http" | "https")
        && url.host_str() == base.host_str()
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let path = told::without_query(&url[Position::BeforePath..Position::AfterQuery]).into_owned();
    (is_ours && path.len() <= URL_BYTES_MAX && slices::is_as_written(&path)).then_some(path)
}

/// A range as a Range field has it.
fn range_of(text: &str) -> Option<String> {
    let (first, last) = text.split_once('-')?;
    let is_number = |text: &str| text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(first) && is_number(last) && !(first.is_empty() && last.is_empty())).then(|| format!("bytes={text}"))
}

/// Begins one fetch, where there is room for it.
fn begin(node: &Arc<Node>, site: &Arc<Site>, asked: &Asked<'_>, next: Next) -> Result<(), Unfetched> {
    let (prefetch, _) = of(site).ok_or(Unfetched::Foreign)?;
    let key = crate::request::key(site, asked.host, &next.path);
    let now = millis(SystemTime::now());
    let is_there = match node.store.lookup(&key, None) {
        Some(Found::Filling(_)) => true,
        Some(Found::Stored(entry)) => entry.ttl_ms(now) > 0,
        _ => false,
    };
    let range = next.range.as_deref().and_then(|range| asked_range(range.as_bytes()));
    let lies_in = |ByteRange { first, last }: ByteRange| {
        let has = |piece: Piece| piece.first <= first && last < piece.end;
        let pieces = node.store.pieces(&key);
        pieces.into_iter().any(|entry| entry.piece().is_some_and(has) && entry.ttl_ms(now) > 0)
    };
    if is_there || range.is_some_and(lies_in) {
        return Err(Unfetched::Present);
    }
    if node.load_permille() >= super::DURESS_PERMILLE {
        return Err(Unfetched::Load);
    }
    if !prefetch.budget.has_some(elapsed_ms()) {
        return Err(Unfetched::Budget);
    }
    let place = prefetch.place(asked.session)?;
    let mut asking = slices::of_itself(node, asked.host, &next.path).ok_or(Unfetched::Foreign)?;
    for name in &KEPT {
        if let Some(value) = (asked.field)(name.as_str()) {
            asking = asking.header(name, value);
        }
    }
    let mark = marked(key.hash(), next.range.as_deref().map(str::as_bytes));
    if let Some(range) = next.range {
        asking = asking.header(RANGE, range);
    }
    asking = asking.header(USER_AGENT, "littoral-prefetch").header(AS_IS, &node.token);
    let figures = site.video.as_ref().map(|video| video.figures.clone()).unwrap_or_default();
    if prefetch.marks.set(mark, elapsed_ms() / 1000) {
        figures.prefetch_ended[1].fetch_add(1, Relaxed);
    }
    tokio::spawn(async move {
        if !fetch(asking, &place.prefetch, &figures).await && place.prefetch.marks.take(mark) {
            figures.prefetch_ended[2].fetch_add(1, Relaxed);
        }
    });
    Ok(())
}

/// Reads an object to its end. Whether it is in the cache now.
async fn fetch(asking: reqwest::RequestBuilder, prefetch: &Prefetch, figures: &Figures) -> bool {
    let Ok(mut reply) = slices::ask(asking).await else { return false };
    let text = reply.headers().get(crate::request::respond::CACHE_STATUS).and_then(|value| value.to_str().ok());
    let text = text.unwrap_or_default();
    // Of a fill that it has joined, another request pays for the bytes.
    let is_another_s = littoral_cache::is_hit(text) || text.contains("; collapsed");
    let is_stored = text.contains("; stored");
    let mut left = OBJECT_BYTES_MAX;
    loop {
        match reply.chunk().await {
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                if !is_another_s {
                    prefetch.budget.spend(length, elapsed_ms());
                    figures.prefetch_bytes.fetch_add(length, Relaxed);
                }
                left = left.saturating_sub(length);
                if left == 0 {
                    return false;
                }
            }
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    reply.status().is_success() && (is_another_s || is_stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_same_host_has_is_named() {
        let asked = Asked { host: "h.example", path: "/v/a/1.m4s?x=1", query: None, session: 0, field: &|_| None };
        for (named, expected) in [
            ("2.m4s", Some("/v/a/2.m4s")),
            ("../b/2.m4s?y=2", Some("/v/b/2.m4s?y=2")),
            ("/2.m4s?CMCD=bl%3D1&z=3", Some("/2.m4s?z=3")),
            ("http://h.example/2.m4s", Some("/2.m4s")),
            ("https://H.example/2.m4s", Some("/2.m4s")),
            ("//h.example/2.m4s#x", Some("/2.m4s")),
            ("../../../../2.m4s", Some("/2.m4s")),
            ("http://10.0.0.1/2.m4s", None),
            ("//other.example/2.m4s", None),
            ("http://h.example:9145/v1/purge", None),
            ("http://u:p@h.example/2.m4s", None),
            ("file:///etc/passwd", None),
            ("ftp://h.example/2.m4s", None),
            ("\\\\other.example\\x", None),
            ("http://[", None),
        ] {
            assert_eq!(resolve(&asked, named).as_deref(), expected, "{named}");
        }
        assert_eq!(resolve(&asked, &"a".repeat(URL_BYTES_MAX + 1)), None);
    }

    #[test]
    fn a_range_is_one_of_numbers() {
        for (text, expected) in [
            ("0-99", Some("bytes=0-99")),
            ("5-", Some("bytes=5-")),
            ("-5", Some("bytes=-5")),
            ("-", None),
            ("1-2,3-4", None),
            ("x-2", None),
            ("1", None),
            ("00000000000000000000-1", None),
        ] {
            assert_eq!(range_of(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_not_asked_for() {
        let asked = Asked { host: "h.example", path: "/v/1.m4s", query: None, session: 0, field: &|_| None };
        let coming = |url: &str, range, available_ms| Coming {
            resource: littoral_manifests::Resource { url: Url::parse(url).unwrap(), range },
            available_ms,
        };
        let behind = |now_ms| {
            let range = Some(ByteRange { first: 5, last: 9 });
            let all = vec![
                coming("http://h.example/v/2.m4s", None, Some(1000)),
                coming("http://h.example/v/f.mp4", range, None),
            ];
            listed(&asked, all, now_ms)
        };
        let next = |path: &str, range: Option<&str>| Next { path: path.into(), range: range.map(Into::into) };
        assert_eq!(behind(999), (vec![next("/v/f.mp4", Some("bytes=5-9"))], 1));
        assert_eq!(behind(1000), (vec![next("/v/2.m4s", None), next("/v/f.mp4", Some("bytes=5-9"))], 0));
    }

    #[test]
    fn a_range_that_was_asked_for_is_one_with_both_ends() {
        assert_eq!(asked_range(b"bytes=5-9"), Some(ByteRange { first: 5, last: 9 }));
        for field in [
            "bytes=5-",
            "bytes=-5",
            "bytes=5-9,11-12",
            "bytes=9-5",
            "items=5-9",
            "bytes=+5-9",
            "bytes=5-99999999999999999999",
        ] {
            assert_eq!(asked_range(field.as_bytes()), None, "{field}");
        }
    }
}
