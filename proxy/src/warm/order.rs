//! What an operator may ask of a warm job, and whether this node can do it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use littoral_cache::popularity::{Estimate, Figures};
use littoral_manifests::catalogue::Catalogue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::choice::{COPIES_MAX, HEAD_DEFAULT, Part, Place};
use super::standing::Standing;
use super::window::Window;
use crate::config::Tier;
use crate::config::units::{Bandwidth, Size, Span};
use crate::node::Node;

/// Pinned for so long when the order says nothing.
const PIN_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The longest time an object may be pinned.
const PIN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Representations an order may name.
const REPRESENTATIONS_MAX: usize = 64;

/// The body of `POST /v1/warm`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What names it, as clients ask for it: a manifest (an MPD or an HLS playlist), a list of URLs or a sitemap.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Instead of `url`: whole URLs of titles and objects, one on a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Ids of the representations to fetch; all when it is empty. In HLS: stable ids, else URIs of variants as written, and `GROUP/NAME`
    /// of what goes beside them.
    #[serde(default)]
    pub representations: Vec<String>,
    /// At most this fast, such as `50Mbps`; as fast as the origin gives when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Only at these hours, such as `02:00-06:00 Europe/Amsterdam`; without a zone in that of the node's cluster, or else UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How long what was fetched is kept from eviction, such as `24h` (the default); at most 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Only read what names the objects, and say what would be fetched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What access logs say (`littoral warm --by-popularity`): the most requests for its bytes is fetched first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub popularity: Option<Figures>,
    /// Of each set of representations those that viewers see, until together they have this share of them; 0 to 1. Needs `popularity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Fetch no more than this, such as `40GB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Only this node's part of it: what siblings, the nodes of the site's shield by consistent hash, do not have, and of that the part of a
    /// tier. A tier needs `popularity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The share of all expected requests that the head has, 0 to 1; 0.8 when it is left out. Needs `place`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<f64>,
    /// How many siblings have each object of the head; 1 when it is left out. Needs `place`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<usize>,
    /// Of which standing job it is; nobody else may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// What tells a job its objects.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// It is there.
    At(Url),
    /// It came with the order.
    Given(Catalogue),
}

/// An order that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) representations: Vec<String>,
    /// Bits per second.
    pub(super) rate: Option<u64>,
    pub(super) window: Option<Window>,
    pub(super) pin_until: SystemTime,
    pub(super) dry_run: bool,
    pub(super) popularity: Option<Arc<Estimate>>,
    pub(super) share: f64,
    pub(super) bytes: Option<u64>,
    pub(super) part: Option<Part>,
}

impl Order {
    /// Checks the order against the node.
    pub(super) fn checked(&self, node: &Node) -> Result<(Plan, Source), String> {
        let (mut plan, source) = self.parsed(SystemTime::now())?;
        plan.window = plan.window.map(|window| window.by(&zone_of(&node.settings.load())));
        if let Some(part) = plan.part.as_mut().filter(|part| part.place == Place::Node) {
            part.place = place_of(&node.settings.load())?;
        }
        let urls = match &source {
            Source::At(url) => std::slice::from_ref(url),
            Source::Given(list) => &list.urls,
        };
        let sites = node.sites.load();
        for url in urls {
            let host = url.host_str().and_then(crate::site::normalise_host).unwrap_or_default();
            if sites.find(&host).is_none() {
                return Err(format!("{host:?} is no [[site]] of this node"));
            }
        }
        Ok((plan, source))
    }

    /// Checks it as far as that can be done without a node.
    pub(crate) fn parsed(&self, now: SystemTime) -> Result<(Plan, Source), String> {
        let source = self.source()?;
        if self.representations.len() > REPRESENTATIONS_MAX {
            return Err(format!("more than {REPRESENTATIONS_MAX} representations"));
        }
        let rate = self.rate.as_deref().map(str::parse::<Bandwidth>).transpose()?;
        if rate.is_some_and(|rate| rate.0 == 0) {
            return Err("a rate of 0 fetches nothing; leave it out for no limit".into());
        }
        let pin = self.pin.as_deref().map(str::parse::<Span>).transpose()?.map_or(PIN_DEFAULT, |span| span.0);
        if pin > PIN_MAX {
            return Err("objects are pinned for 30 days at most".into());
        }
        let plan = Plan {
            representations: self.representations.clone(),
            rate: rate.map(|rate| rate.0),
            window: self.window.as_deref().map(str::parse).transpose()?,
            pin_until: now + pin,
            dry_run: self.dry_run,
            popularity: self.estimate()?,
            share: self.share.unwrap_or(1.0),
            bytes: self.bytes.as_deref().map(str::parse::<Size>).transpose()?.map(|size| size.0),
            part: self.part()?,
        };
        Ok((plan, source))
    }

    fn estimate(&self) -> Result<Option<Arc<Estimate>>, String> {
        let Some(figures) = &self.popularity else {
            let needs = |what| Err(format!("{what} needs popularity: give --by-popularity LOG"));
            return match (self.share, self.place) {
                (Some(_), _) => needs("a share"),
                (_, Some(Place::Node | Place::Deep | Place::Home)) => needs("the part of a tier"),
                _ => Ok(None),
            };
        };
        figures.check()?;
        if self.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            return Err("a share is more than 0 and at most 1".into());
        }
        Ok(Some(Arc::new(Estimate::new(figures.clone()))))
    }

    fn part(&self) -> Result<Option<Part>, String> {
        let Some(place) = self.place else {
            let needless = self.head.is_some() || self.copies.is_some();
            return if needless { Err("head and copies are of a place: give it too".into()) } else { Ok(None) };
        };
        let (head, copies) = (self.head.unwrap_or(HEAD_DEFAULT), self.copies.unwrap_or(1));
        if !(0.0..=1.0).contains(&head) {
            return Err("the head is a share of all requests, from 0 to 1".into());
        }
        if !(1..=COPIES_MAX).contains(&copies) {
            return Err(format!("an object has 1 to {COPIES_MAX} copies among siblings"));
        }
        Ok(Some(Part { place, head, copies }))
    }

    fn source(&self) -> Result<Source, String> {
        let url = &self.url;
        let Some(list) = &self.list else {
            let source = Url::parse(url).ok().filter(|url| url.scheme() == "http" || url.scheme() == "https");
            let no_url = || format!("{url:?} is no URL of a manifest, such as http://video.example/title/manifest.mpd");
            return source.filter(Url::has_host).map(Source::At).ok_or_else(no_url);
        };
        if !url.is_empty() {
            return Err("give a URL or a list, not both".into());
        }
        // Against which only whole URLs stay whole.
        let nowhere = Url::parse("http://nowhere.invalid/").expect("invariant: a constant URL");
        let list = Catalogue::of_lines(list.as_bytes(), &nowhere).map_err(|error| error.to_string())?;
        if list.urls.iter().any(|url| url.host_str() == nowhere.host_str()) {
            return Err(
                "a list that comes with the order has whole URLs, such as http://video.example/title/manifest.mpd"
                    .into(),
            );
        }
        if list.urls.is_empty() {
            Err("the list names nothing: nothing to warm".into())
        } else {
            Ok(Source::Given(list))
        }
    }
}

/// The zone that clocks of a node's place go by: its cluster's, else UTC.
pub(super) fn zone_of(config: &crate::config::Config) -> TimeZone {
    let own = |cluster: &&crate::config::Cluster| Some(&cluster.id) == config.node.cluster.as_ref();
    let name = config.cluster.iter().find(own).and_then(|cluster| cluster.time_zone.as_deref());
    name.and_then(|name| super::window::zone(name).ok()).unwrap_or(TimeZone::UTC)
}

/// The part of a node of such a cluster.
fn place_of(config: &crate::config::Config) -> Result<Place, String> {
    let own = |cluster: &&crate::config::Cluster| Some(&cluster.id) == config.node.cluster.as_ref();
    match config.cluster.iter().find(own).map(|cluster| cluster.tier) {
        Some(Tier::Deep) => Ok(Place::Deep),
        Some(Tier::Home) => Ok(Place::Home),
        None => {
            Err("node.cluster names no [[cluster]] of this node's config: give the place as deep, home or all".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Order)) -> String {
        let mut order = Order { url: "http://video.example/title/manifest.mpd".into(), ..Order::default() };
        change(&mut order);
        order.parsed(SystemTime::UNIX_EPOCH).unwrap_err()
    }

    #[test]
    fn an_order_is_pinned_for_a_day_unless_it_says_otherwise() {
        let order = Order { url: "http://video.example/m.mpd".into(), ..Order::default() };
        let (plan, _) = order.parsed(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(plan.pin_until, SystemTime::UNIX_EPOCH + PIN_DEFAULT);
        let order = Order { pin: Some("2h".into()), rate: Some("8Mbps".into()), ..order };
        let (plan, _) = order.parsed(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(plan.pin_until, SystemTime::UNIX_EPOCH + Duration::from_secs(7200));
        assert_eq!(plan.rate, Some(8_000_000));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_what_to_write() {
        assert!(refusal(|order| order.url = "manifest.mpd".into()).contains("http://video.example/"));
        assert!(refusal(|order| order.url = "ftp://a/b".into()).contains("http://video.example/"));
        assert!(refusal(|order| order.list = Some("http://video.example/a".into())).contains("not both"));
        let given = |text: &str| Order { list: Some(text.into()), ..Order::default() }.parsed(SystemTime::UNIX_EPOCH);
        assert!(
            given("/a\n").unwrap_err().contains("whole URLs") && given("# no\n").unwrap_err().contains("names nothing")
        );
        assert!(given("http://video.example/a\nfilm").unwrap_err().contains("line 2"));
        assert!(refusal(|order| order.rate = Some("fast".into())).contains("40Gbps"));
        assert!(refusal(|order| order.rate = Some("0Mbps".into())).contains("leave it out"));
        assert!(refusal(|order| order.window = Some("night".into())).contains("02:00-06:00"));
        assert!(refusal(|order| order.pin = Some("400d".into())).contains("30 days"));
        assert!(refusal(|order| order.representations = vec!["x".into(); 65]).contains("64"));
    }

    #[test]
    fn what_needs_popularity_says_so_and_shares_copies_and_sizes_have_bounds() {
        let with = |change: fn(&mut Order)| {
            refusal(|order| {
                order.popularity = Some(Figures::default());
                change(order);
            })
        };
        assert!(refusal(|order| order.share = Some(0.9)).contains("--by-popularity"));
        assert!(refusal(|order| order.place = Some(Place::Deep)).contains("--by-popularity"));
        assert!(refusal(|order| order.bytes = Some("much".into())).contains("64MiB"));
        assert!(refusal(|order| order.copies = Some(2)).contains("of a place"));
        assert!(with(|order| order.share = Some(0.0)).contains("at most 1"));
        assert!(with(|order| order.share = Some(f64::NAN)).contains("at most 1"));
        assert!(with(|order| (order.place, order.head) = (Some(Place::Deep), Some(1.5))).contains("from 0 to 1"));
        assert!(with(|order| (order.place, order.copies) = (Some(Place::All), Some(0))).contains("1 to 64"));
        assert!(
            with(|order| order.popularity = Some(Figures { reach: vec![2.0], ..Figures::default() }))
                .contains("0 to 1")
        );
        let order = Order { url: "http://video.example/m.mpd".into(), place: Some(Place::All), ..Order::default() };
        let (plan, _) = order.parsed(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(plan.part, Some(Part { place: Place::All, head: HEAD_DEFAULT, copies: 1 }));
    }

    #[test]
    fn a_node_has_the_part_and_the_clocks_of_its_own_cluster() {
        let config = |cluster: &str| {
            let text = format!(
                "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"a.example\"]\norigin = [\"http://127.0.0.1:1\"]\n[node]\n{cluster}\n[[cluster]]\nid = \"isp\"\ntier = \"deep\"\n\
                 time_zone = \"Asia/Tokyo\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"192.0.2.1\" }}]\n"
            );
            crate::config::Config::parse(std::path::Path::new("node.toml"), &text).unwrap()
        };
        assert_eq!(place_of(&config("cluster = \"isp\"")), Ok(Place::Deep));
        assert_eq!(zone_of(&config("cluster = \"isp\"")), super::super::window::zone("Asia/Tokyo").unwrap());
        assert_eq!(zone_of(&config("")), TimeZone::UTC);
        assert!(place_of(&config("")).unwrap_err().contains("names no [[cluster]]"));
    }
}
