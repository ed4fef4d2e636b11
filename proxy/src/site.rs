//! What a request is routed to: the sites of the config, ready to use.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::HeaderName;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use littoral_cache::freshness::{Heuristic, Rules, SetCookie, Statuses};
use littoral_cache::query::{Keep, QueryRule};
use littoral_cache::vary::Selectors;

use crate::config::dash::Most;
use crate::config::origin::{Balance, OriginHealth, Retry};
use crate::config::{self, Config, KeyRules, QueryOrder, SetCookies, Timeouts};
use crate::origin::{Origin, Origins, Shield};
use crate::request::manifest::is_manifest;
use crate::video::Video;
use crate::video::told::without_query;

/// A site.
#[derive(Debug)]
pub struct Site {
    /// Its first host: its name in logs and figures.
    pub name: String,
    /// Its origins.
    pub origins: Origins,
    /// Nodes that are asked before them.
    pub shield: Option<Shield>,
    /// Time-outs towards them.
    pub timeouts: Timeouts,
    /// How its origins are probed.
    pub health: Option<OriginHealth>,
    /// How often one request may be sent again.
    pub retries: usize,
    /// What it adds to what its responses say of their freshness.
    pub rules: Rules,
    /// Whether an answer to POST may be kept for GETs.
    pub store_post: bool,
    /// Whether requests' own directives count.
    pub client_directives: bool,
    /// How long a key is remembered whose response could not be stored.
    pub pass_for: Duration,
    /// What becomes of queries.
    pub query: QueryRule,
    /// What tells variants apart beside Vary.
    pub selectors: Selectors,
    /// Negotiation fields that are folded to what the origin has.
    pub folded: Vec<(HeaderName, Vec<String>)>,
    /// What becomes of requests for a range of what is not stored whole.
    pub ranges: config::Ranges,
    /// Bytes of a slice, where objects are kept in slices.
    pub slice: Option<u64>,
    /// What becomes of fills that meet trouble.
    pub fill: config::Fill,
    /// How many of them go on that nobody reads.
    pub unread: Arc<AtomicUsize>,
    /// What is compressed, and how.
    pub compress: Option<config::Compress>,
    /// Whether `auto` segment URLs are answered.
    pub auto: bool,
    /// Whether their bodies go at the pace of the rate policy.
    pub pace: bool,
    /// Whether what players tell (CMCD) is read, and kept out of keys.
    pub knows_cmcd: bool,
    /// Whether paths are looked at on the shortest way: see [`Site::short_path`].
    pub looks_at_paths: bool,
    /// What else of video it has.
    pub video: Option<Video>,
    /// Whether that has to do with hits on the shortest way.
    pub talks: bool,
    /// Guests that see its requests and responses.
    pub filters: crate::filters::Chain,
    /// How its clients are told of the cluster that is chosen for them.
    pub steer: Option<Steering>,
}

/// How the clients of a site are told of the cluster that is chosen for them.
#[derive(Debug)]
pub struct Steering {
    /// The service whose decision it is.
    pub service: String,
    /// Where players ask for it.
    pub path: Option<String>,
    /// Whether redirects go by what was pushed to clusters.
    pub content: bool,
    /// Whether requests are redirected.
    redirects: bool,
    /// The clusters' own hosts, which nobody is redirected from.
    hosts: Vec<String>,
}

impl Steering {
    fn of(raw: &config::Steer, clusters: &[config::Cluster]) -> Self {
        let hosts = clusters.iter().filter_map(|cluster| cluster.host.clone()).collect();
        let (service, path, content) = (raw.service.clone(), raw.path.clone(), raw.content);
        Self { service, path, content, redirects: raw.redirect, hosts }
    }

    /// Whether a client that asks for this host may be sent to another.
    pub fn redirects_from(&self, host: &str) -> bool {
        self.redirects && !self.hosts.iter().any(|own| own == host)
    }
}

impl Site {
    /// What requests to the explicit proxy are cached by: a shared cache that is no CDN's.
    pub fn of_forward(raw: &config::Forward) -> Self {
        let heuristic = raw.heuristic.as_ref();
        let heuristic = heuristic.map(|raw| Heuristic { percent: raw.percent, longest: raw.longest.0 });
        Self {
            name: "forward".to_owned(),
            origins: Origins::new(Vec::new(), Balance::default(), Duration::ZERO, &Retry::default()),
            shield: None,
            timeouts: raw.timeouts.clone(),
            health: None,
            retries: Retry::default().times,
            rules: Rules { heuristic, untargeted: true, ..Rules::default() },
            store_post: false,
            client_directives: true,
            pass_for: config::Site::pass_for_default().0,
            query: QueryRule::default(),
            selectors: Selectors::default(),
            folded: Vec::new(),
            slice: None,
            ranges: config::Ranges::Whole,
            fill: config::Fill::default(),
            unread: Arc::default(),
            compress: None,
            auto: false,
            pace: false,
            knows_cmcd: false,
            looks_at_paths: false,
            video: None,
            talks: false,
            filters: crate::filters::Chain::default(),
            steer: None,
        }
    }
}

impl Site {
    /// Whether players get its manifests rewritten.
    pub fn rewrites_manifests(&self) -> bool {
        self.video.as_ref().is_some_and(|video| video.rewriting.is_some())
    }

    /// What a path is looked up by on the shortest way; `None`: not there.
    pub(crate) fn short_path<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        let file = path.split('?').next().unwrap_or(path);
        if (self.auto && path.contains("auto")) || (self.rewrites_manifests() && is_manifest(file)) {
            return None;
        }
        Some(if self.knows_cmcd { without_query(path) } else { Cow::Borrowed(path) })
    }
}

/// All sites, by host.
#[derive(Debug, Default)]
pub struct Sites {
    by_host: HashMap<String, Arc<Site>, RandomState>,
    fallback: Option<Arc<Site>>,
    all: Vec<Arc<Site>>,
}

impl Sites {
    /// Those of a checked config. An origin that was among those `before`, or is of several sites, is the same one still, with
    /// its addresses and its health.
    pub fn of(config: &Config, before: &Self) -> Self {
        let mut sites = Self::default();
        let owned = |origin: &Origin| (origin.host.clone(), origin.port, origin.tls);
        let mut known: HashMap<_, _> = before.origins().into_iter().map(|origin| (owned(&origin), origin)).collect();
        let mut known_or_new = |origin: Origin| {
            let identity = owned(&origin);
            let origin = Arc::new(match known.get(&identity) {
                Some(same) => origin.knowing(same),
                None => origin,
            });
            known.insert(identity, origin.clone());
            origin
        };
        for raw in &config.site {
            let mut origins_of = |raw: &[crate::config::origin::Origin]| -> Vec<Arc<Origin>> {
                let origins = raw.iter().filter_map(|raw| Origin::of(raw).ok());
                origins.map(&mut known_or_new).collect()
            };
            let origins = origins_of(&raw.origin);
            let nodes = raw.shield.as_ref().map(|shield| (origins_of(&shield.nodes), shield.balance));
            let of = |all: Vec<Arc<Origin>>, balance| Origins::new(all, balance, raw.slow_start.0, &raw.retry);
            let name = raw.hosts.first().cloned().unwrap_or_default();
            let was = before.all.iter().find(|site| site.name == name);
            let by_policy = raw.dash.rewrite.as_ref().is_some_and(|raw| raw.max_bandwidth == Some(Most::Policy));
            let knows_cmcd = raw.dash.auto || raw.dash.cmcd || raw.dash.prefetch.is_some() || by_policy;
            let video = Video::of(&raw.dash, was.and_then(|site| site.video.as_ref()));
            let site = Arc::new(Site {
                name,
                origins: of(origins, raw.balance),
                timeouts: raw.timeouts.clone(),
                shield: nodes.map(|(nodes, balance)| Shield::new(of(nodes, balance))),
                health: raw.health.clone(),
                retries: raw.retry.times,
                rules: rules_of(raw),
                store_post: raw.store_post,
                client_directives: raw.client_directives,
                pass_for: raw.pass_for.0,
                query: query_of(&raw.key),
                selectors: Selectors {
                    headers: raw.key.headers.iter().filter_map(|name| name.parse().ok()).collect(),
                    cookies: raw.key.cookies.clone(),
                },
                folded: folded_of(raw),
                slice: raw.slice.map(|size| size.0),
                ranges: raw.ranges,
                fill: raw.fill.clone(),
                unread: Arc::default(),
                compress: raw.compress.clone(),
                auto: raw.dash.auto,
                pace: raw.dash.pace,
                knows_cmcd,
                looks_at_paths: knows_cmcd || raw.dash.rewrite.is_some(),
                talks: video.as_ref().is_some_and(Video::sees_hits),
                video,
                filters: crate::filters::Chain::of(&raw.filters),
                steer: raw.steer.as_ref().map(|steer| Steering::of(steer, &config.cluster)),
            });
            for host in &raw.hosts {
                match host.as_str() {
                    "*" => sites.fallback = Some(site.clone()),
                    host => drop(sites.by_host.insert(host.to_owned(), site.clone())),
                }
            }
            sites.all.push(site);
        }
        sites
    }

    /// The site of a normalised host.
    pub fn find(&self, host: &str) -> Option<&Arc<Site>> {
        self.by_host.get(host).or(self.fallback.as_ref())
    }

    /// All of them, in the order of the config.
    pub fn all(&self) -> &[Arc<Site>] {
        &self.all
    }

    /// The origins of all of them, and the nodes of their shields.
    pub fn origins(&self) -> Vec<Arc<Origin>> {
        let nodes = |site: &Arc<Site>| site.shield.as_ref().map_or_else(Vec::new, |shield| shield.nodes.all().to_vec());
        self.all.iter().flat_map(|site| site.origins.all().iter().cloned().chain(nodes(site))).collect()
    }

    /// Those whose name has not been looked up yet, or not with success.
    pub fn origins_without_address(&self) -> Vec<Arc<Origin>> {
        self.origins().into_iter().filter(|origin| origin.address(0).is_none()).collect()
    }
}

fn rules_of(raw: &config::Site) -> Rules {
    let mut ttl: Vec<_> = raw.ttl.iter().filter_map(|(status, ttl)| Some((statuses(status)?, ttl.0))).collect();
    // One status goes before its class.
    ttl.sort_by_key(|(statuses, _)| matches!(statuses, Statuses::Class(_)));
    Rules {
        ttl,
        default_ttl: raw.default_ttl.0,
        heuristic: raw.heuristic.as_ref().map(|raw| Heuristic { percent: raw.percent, longest: raw.longest.0 }),
        set_cookie: match raw.set_cookie {
            SetCookies::Pass => SetCookie::Pass,
            SetCookies::Strip => SetCookie::Strip,
            SetCookies::Store => SetCookie::Store,
        },
        stale_while_revalidate: raw.stale_while_revalidate.0,
        stale_if_error: raw.stale_if_error.0,
        untargeted: false,
    }
}

/// `404`, or `5xx` for a class.
pub fn statuses(text: &str) -> Option<Statuses> {
    match text.strip_suffix("xx") {
        Some(digit) => digit.parse().ok().filter(|digit| (2..=5).contains(digit)).map(Statuses::Class),
        None => text.parse().ok().map(Statuses::One),
    }
}

fn query_of(raw: &KeyRules) -> QueryRule {
    let keep = match raw.query {
        QueryOrder::Ignore => Keep::Nothing,
        _ if !raw.only.is_empty() => Keep::Only(raw.only.clone()),
        _ if !raw.drop.is_empty() => Keep::AllBut(raw.drop.clone()),
        _ => Keep::All,
    };
    QueryRule { sort: raw.query == QueryOrder::Sort, keep }
}

fn folded_of(raw: &config::Site) -> Vec<(HeaderName, Vec<String>)> {
    let made = |compress: &config::Compress| compress.codings.iter().map(|coding| coding.as_str().to_owned()).collect();
    let encodings = raw.compress.as_ref().map(made).or_else(|| raw.encodings.clone());
    let lists = [(ACCEPT_ENCODING, &encodings), (ACCEPT_LANGUAGE, &raw.languages)];
    lists.into_iter().filter_map(|(name, list)| Some((name, list.clone()?))).collect()
}

/// A Host field as a key and a site name: lower case, without port and without the root's dot. `None` when it is no
/// host (RFC 9110 §7.2).
pub fn normalise_host(field: &str) -> Option<String> {
    let without_port = match field.strip_prefix('[') {
        Some(rest) => &field[..rest.find(']')? + 2],
        None => field.rsplit_once(':').map_or(field, |(host, _)| host),
    };
    let port = &field[without_port.len()..];
    let port_is_fine = port.is_empty() || (port.len() <= 6 && port[1..].bytes().all(|byte| byte.is_ascii_digit()));
    let host = without_port.strip_suffix('.').unwrap_or(without_port);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    let fine = port_is_fine && !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed);
    fine.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_folded_to_one_spelling_and_nonsense_is_refused() {
        for (field, expected) in [
            ("a.example", Some("a.example")),
            ("A.Example.:8080", Some("a.example")),
            ("[::1]:80", Some("[::1]")),
            ("a.example:", Some("a.example")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a.example/x", None),
            ("a@b", None),
            ("a:99999999", None),
            ("a:b", None),
        ] {
            assert_eq!(normalise_host(field).as_deref(), expected, "{field:?}");
        }
    }

    #[test]
    fn an_origin_that_stays_keeps_what_is_known_of_it_when_the_config_changes() {
        let config = |port: u16| {
            let text = format!(
                "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"a.example\"]\norigin = [\"http://o.example\", \"http://127.0.0.1:{port}\"]\n"
            );
            Config::parse(std::path::Path::new("node.toml"), &text).unwrap()
        };
        let before = Sites::of(&config(1), &Sites::default());
        let after = Sites::of(&config(2), &before);
        let kept: Vec<bool> =
            before.origins().iter().zip(after.origins()).map(|(old, new)| old.is_known_as(&new)).collect();
        assert_eq!(kept, [true, false]);
    }
}
