//! Video on a site: what players tell (CMCD) is read and counted, and what this node knows of the way to them is told (CMSD, CTA-5006).
//!
//! A site without any of it has no [`Video`], and its requests pay nothing. Which representation an `auto` URL gets is [`crate::rate`]'s.
//! Invariant: what a player says changes no byte of what is stored, and nothing of what others get.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use http::HeaderValue;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, HeaderName};
use littoral_cache::Key;
use littoral_manifests::cmsd::Dynamic;
use littoral_plugin_host::filter::Change;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::ext::{TCP_INFO, get_tcp_info};
use pingora::proxy::Session;

use crate::config;
use crate::node::Node;
use crate::request::context::Context;
use figures::Figures;
use prefetch::Prefetch;
use rewrite::Rewriting;
use told::{Heard, Told};

pub mod figures;
pub(crate) mod prefetch;
pub(crate) mod reports;
pub mod rewrite;
pub mod told;

/// From so much of its load on a node says that it is at its limit (`du`), in permille.
const DURESS_PERMILLE: u16 = 950;
/// Fields of a request that are looked through for CMCD.
const FIELDS_MAX: usize = 64;
const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");
/// Pages of other origins may read these fields (Fetch Standard, CORS-safelisted response headers).
const EXPOSED: &str = "CMSD-Dynamic, CMSD-Static";

/// What of video a site has.
#[derive(Debug)]
pub struct Video {
    /// Whether what players tell is counted.
    pub cmcd: bool,
    /// Where they send reports.
    pub reports: Option<String>,
    /// Whether they are told.
    pub cmsd: bool,
    /// Whether they are told what the rate policy would have them ask for.
    pub hints: bool,
    /// What becomes of its manifests.
    pub rewriting: Option<Rewriting>,
    /// What is fetched ahead for them.
    pub(crate) prefetch: Option<Arc<Prefetch>>,
    /// What is counted.
    pub figures: Arc<Figures>,
}

/// What is known of the way to a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Way {
    rtt_ms: Option<u32>,
    throughput_kbps: Option<u32>,
}

impl Video {
    /// Of a site that had `before` until now; `None` when it has nothing of it.
    pub fn of(raw: &config::Dash, before: Option<&Self>) -> Option<Self> {
        let has_any =
            raw.cmcd || raw.cmcd_path.is_some() || raw.cmsd || raw.rewrite.is_some() || raw.prefetch.is_some();
        has_any.then(|| Self {
            cmcd: raw.cmcd,
            reports: raw.cmcd_path.clone(),
            cmsd: raw.cmsd,
            hints: raw.hint,
            prefetch: raw
                .prefetch
                .as_ref()
                .map(|raw| Prefetch::of(raw, before.and_then(|before| before.prefetch.as_ref()))),
            rewriting: raw.rewrite.as_ref().map(Rewriting::of),
            figures: before.map_or_else(Arc::default, |before| before.figures.clone()),
        })
    }

    /// Whether it has to do with a hit.
    pub fn sees_hits(&self) -> bool {
        self.cmcd || self.cmsd || self.prefetch.is_some()
    }

    /// What is told of a hit on the shortest way, and what its player told.
    pub(crate) fn on_hit(
        &self,
        node: &Node,
        head: &[u8],
        key: &Key,
        to: (IpAddr, Way),
        changes: &mut Vec<Change>,
    ) -> Option<Told> {
        let (client, way) = to;
        let told = if self.cmcd { self.told(head) } else { None };
        if self.cmsd {
            let (host, path) = std::str::from_utf8(key.text()).ok().and_then(|text| text.split_once(' ')).unzip();
            let path = path.and_then(|path| path.split('?').next());
            let hint = host.zip(path).and_then(|(host, path)| self.hint(node, host, path, told.as_ref(), Some(client)));
            let text = self.dynamic(node, way, 0, hint);
            changes.push(Change::Set(CMSD_DYNAMIC.as_str().to_owned(), text.into_bytes()));
            changes.push(Change::Add(ACCESS_CONTROL_EXPOSE_HEADERS.as_str().to_owned(), EXPOSED.into()));
        }
        told
    }

    /// What a player told with the request that has this head.
    fn told(&self, head: &[u8]) -> Option<Told> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        // It was parsed before, or it would be no hit.
        let _ = request.parse(head);
        let query = request.path.and_then(|path| path.split_once('?')).map(|(_, query)| query);
        let field = |name: &'static str| {
            let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| field.value)
        };
        self.heard(told::hear(field, query))
    }

    /// The most that a player should ask for next, as the rate policy has it: for video and what has video in it.
    fn hint(&self, node: &Node, host: &str, path: &str, told: Option<&Told>, client: Option<IpAddr>) -> Option<u32> {
        let told = told.filter(|told| self.hints && told.object.is_some_and(told::Object::has_video))?;
        node.rate.hint(host, path, told, client)
    }

    fn dynamic(&self, node: &Node, way: Way, delay_ms: u32, hint: Option<u32>) -> String {
        let mut text = String::with_capacity(64);
        let is_duress = node.load_permille() >= DURESS_PERMILLE;
        let max_kbps = self.rewriting.as_ref().and_then(Rewriting::max_kbps).into_iter().chain(hint).min();
        let Way { rtt_ms, throughput_kbps } = way;
        Dynamic { name: &node.name, is_duress, throughput_kbps, max_kbps, delay_ms: Some(delay_ms), rtt_ms }
            .write(&mut text);
        text
    }

    fn heard(&self, heard: Option<std::result::Result<Heard, littoral_manifests::cmcd::CmcdError>>) -> Option<Told> {
        let heard = heard?;
        if self.cmcd {
            self.figures.heard(&heard);
        }
        heard.ok().map(|heard| heard.told)
    }
}

impl Way {
    /// To the other end of a socket, as the kernel knows it: the congestion window, or what the client has room for, in each round trip.
    pub(crate) fn of(info: Option<&TCP_INFO>) -> Self {
        let Some(info) = info.filter(|info| info.tcpi_rtt > 0) else { return Self::default() };
        let window = u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss);
        // 0 from a kernel that does not tell it.
        let window = if info.tcpi_snd_wnd > 0 { window.min(info.tcpi_snd_wnd.into()) } else { window };
        let kbps = window * 8 * 1000 / u64::from(info.tcpi_rtt);
        Self {
            rtt_ms: Some(info.tcpi_rtt.div_ceil(1000)),
            throughput_kbps: Some(u32::try_from(kbps).unwrap_or(u32::MAX)).filter(|kbps| *kbps > 0),
        }
    }

    /// The same of a socket by its number, which is open.
    pub(crate) fn of_socket(socket: Option<RawFd>) -> Self {
        Self::of(socket.and_then(|socket| get_tcp_info(socket).ok()).as_ref())
    }
}

/// A request is about to be looked up: what its player told.
pub(crate) fn begin(session: &Session, ctx: &mut Context) {
    let Some(site) = ctx.site.as_ref().filter(|site| site.knows_cmcd && !ctx.background && ctx.slice.is_none()) else {
        return;
    };
    let request = session.req_header();
    let field = |name: &'static str| request.headers.get(name).map(HeaderValue::as_bytes);
    let heard = told::hear(field, request.uri.query());
    ctx.told = match &site.video {
        Some(video) => video.heard(heard),
        None => heard.and_then(std::result::Result::ok).map(|heard| heard.told),
    };
}

/// A head is about to go to a client.
pub(crate) fn tell(session: &Session, node: &Node, ctx: &Context, response: &mut ResponseHeader) -> Result<()> {
    let video = ctx.site.as_ref().and_then(|site| site.video.as_ref()).filter(|video| video.cmsd && !ctx.background);
    let Some(video) = video else { return Ok(()) };
    let socket = session.digest().and_then(|digest| digest.socket_digest.as_ref());
    let way = Way::of(socket.and_then(|socket| socket.tcp_info()).as_ref());
    let delay_ms = u32::try_from(ctx.started.elapsed().as_millis()).unwrap_or(u32::MAX);
    // Of an `auto` URL the policy has chosen already, and an error is no segment.
    let is_segment = ctx.representation.is_none() && matches!(response.status.as_u16(), 200 | 206 | 304);
    let client = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
    let path = session.req_header().uri.path();
    let told = ctx.told.as_ref().filter(|_| is_segment);
    let hint = video.hint(node, &ctx.host, path, told, client);
    // Of an origin that says the same, what it said is of another connection.
    response.insert_header(CMSD_DYNAMIC, video.dynamic(node, way, delay_ms, hint))?;
    response.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
    Ok(())
}
