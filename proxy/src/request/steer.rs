//! Tells clients of the cluster that is chosen for them, by the decision that DNS answers with, and where the site wants it by what was pushed to clusters: as a redirect, or as the document that
//! players ask for (content steering, ETSI TS 103 998 for DASH, RFC 8216bis §7.1 for HLS).
//!
//! Invariant: a request is redirected at most once. Whoever asks for a cluster's own host is served there.

use std::sync::Arc;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HOST, LOCATION};
use http::{HeaderValue, Method};
use littoral_geo::Steered;
use pingora::Result;
use pingora::proxy::Session;
use serde_json::json;

use super::cdn_loop::CDN_LOOP;
use super::respond::{own_value, own_with};
use crate::node::Node;
use crate::site::Site;

/// Answers a request that is for another cluster, or asks which one to go to. `true`: answered.
pub(super) async fn answers(
    session: &mut Session,
    node: &Arc<Node>,
    site: &Site,
    host: &str,
    background: bool,
) -> Result<bool> {
    let (Some(steer), Some(directing)) = (&site.steer, &node.directing) else { return Ok(false) };
    let request = session.req_header();
    let reads = matches!(request.method, Method::GET | Method::HEAD) && !background;
    let client = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let Some(client) = client.filter(|_| reads) else { return Ok(false) };
    let asks = steer.path.as_deref() == Some(request.uri.path());
    // The node asks itself over loopback; other nodes of ours come for what they miss.
    let is_of_ours = client.to_canonical().is_loopback() || request.headers.contains_key(CDN_LOOP);
    let is_redirected = steer.redirects_from(host) && !is_of_ours;
    if !asks && !is_redirected {
        return Ok(false);
    }
    let by_content = steer.content && !asks;
    let holders = match by_content {
        true => node.control.holders(&site.name, request.uri.path()),
        false => Vec::new(),
    };
    let steered = directing.director().steer(&steer.service, client, &holders);
    let Some(Steered { clusters: chosen, ttl_s, is_held }) = steered else { return Ok(false) };
    if by_content {
        directing.steered_by_content(is_held);
    }
    let holds = own_value(&format!("private, max-age={ttl_s}"));
    if asks {
        node.figures.steered[1].add(1);
        return content_steering(session, &chosen, ttl_s, holds).await;
    }
    let Some(location) = location(session, node, &chosen) else { return Ok(false) };
    node.figures.steered[0].add(1);
    let more = [(LOCATION, location), (CACHE_CONTROL, holds)];
    own_with(session, 302, "text/plain", "another cluster is nearer", more).await
}

/// Where the first of the chosen clusters is found that is another one; `None`: it is this one, or has no name.
fn location(session: &Session, node: &Node, chosen: &[String]) -> Option<HeaderValue> {
    let (settings, request) = (node.settings.load(), session.req_header());
    let first = chosen.first().filter(|first| settings.node.cluster.as_ref() != Some(first))?;
    let host = settings.cluster.iter().find(|cluster| cluster.id == *first)?.host.as_ref()?;
    let is_tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let scheme = if is_tls { "https" } else { "http" };
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    HeaderValue::try_from(format!("{scheme}://{host}{}{path}", port(session))).ok()
}

/// The port that the client came to, as it stands behind a host; nothing where it named none.
fn port(session: &Session) -> String {
    let field = session.req_header().headers.get(HOST).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let port = field.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map_or_else(String::new, |port| format!(":{port}"))
}

async fn content_steering(session: &mut Session, chosen: &[String], ttl_s: u32, holds: HeaderValue) -> Result<bool> {
    let document = json!({
        "VERSION": 1,
        "TTL": ttl_s,
        "RELOAD-URI": session.req_header().uri.path(),
        "PATHWAY-PRIORITY": chosen,
    });
    // Players run in pages of other origins.
    let more = [(CACHE_CONTROL, holds), (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))];
    own_with(session, 200, "application/json", &document.to_string(), more).await
}
