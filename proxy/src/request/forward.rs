//! Plain requests to the explicit proxy: told what they are for by an absolute target, kept under their whole URL.
//!
//! What may be asked is [`crate::forward`]'s; the phases are the same as of every other request. Invariant: the server asked is the
//! one in the key, at an address that was permitted when it was connected to.

use std::net::SocketAddr;

use http::header::{HOST, VIA};
use http::{HeaderName, Method, Uri};
use littoral_cache::demand::Demand;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::context::Context;
use super::intake;
use crate::forward::{Refusal, Target};
use crate::node::Node;
use crate::rescue;

const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// Whom a request of the explicit proxy is for.
#[derive(Debug)]
pub(crate) struct Forwarded {
    target: Target,
    /// Those that may be connected to, once it is clear that one is.
    addresses: Vec<SocketAddr>,
}

/// The first phase, instead of looking for a site. `true`: answered.
pub(super) async fn begin(session: &mut Session, node: &Node, ctx: &mut Context) -> Result<bool> {
    let policy = node.forward.policy();
    let asked = settle(session.req_header_mut(), ctx.background);
    let target = match asked.and_then(|target| policy.may_ask(&target).map(|()| target)) {
        Ok(target) => target,
        Err(why) => return refuse(session, node, why).await,
    };
    if intake::is_too_long(session, node) {
        session.set_keepalive(None);
        return rescue::refuse(session, 413, "the request body is larger than this node takes").await;
    }
    if passes(session.req_header(), &node.name) > node.settings.load().limits.passes {
        node.figures.loops.add(1);
        return rescue::refuse(session, 508, "the request has passed this proxy before: it goes round in circles")
            .await;
    }
    if is_at_its_end(session.req_header_mut())? {
        return rescue::refuse(session, 200, "this is as far as Max-Forwards lets the request go").await;
    }
    ctx.demand = Demand::of(&session.req_header().headers);
    (ctx.host, ctx.site) = (target.key_host(), Some(policy.site.clone()));
    ctx.forward = Some(Forwarded { target, addresses: Vec::new() });
    Ok(false)
}

/// Before a server is asked: where it is. `false`: refused.
pub(super) async fn find(session: &mut Session, node: &Node, ctx: &mut Context) -> Result<bool> {
    let Some(forwarded) = &mut ctx.forward else { return Ok(true) };
    match node.forward.addresses(node, &forwarded.target).await {
        Ok(addresses) => {
            forwarded.addresses = addresses;
            Ok(true)
        }
        Err(why) => refuse(session, node, why).await.map(|_| false),
    }
}

/// The server to ask; at a retry, its next address.
pub(super) fn peer(node: &Node, ctx: &mut Context) -> Result<Option<Box<HttpPeer>>> {
    let Some(forwarded) = &ctx.forward else { return Ok(None) };
    let nowhere = || Error::explain(ErrorType::InternalError, "a request of the explicit proxy has no address");
    let address = forwarded.addresses.get(ctx.attempts.count % forwarded.addresses.len().max(1)).ok_or_else(nowhere)?;
    let timeouts = &node.forward.policy().config.timeouts;
    let mut peer = Box::new(HttpPeer::new(*address, false, forwarded.target.host.clone()));
    crate::origin::peer::bound(&mut peer, timeouts);
    Ok(Some(peer))
}

/// The request as it goes to the server: nothing in it is for this proxy or tells of a CDN. `false`: it is not ours.
pub(super) fn send(upstream: &mut RequestHeader, node: &Node, ctx: &Context) -> Result<bool> {
    let Some(forwarded) = &ctx.forward else { return Ok(false) };
    upstream.insert_header(HOST, forwarded.target.host_field())?;
    let ours: Vec<HeaderName> =
        upstream.headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned().collect();
    for name in ours {
        upstream.remove_header(&name);
    }
    upstream.append_header(VIA, node.via.clone())?;
    Ok(true)
}

async fn refuse(session: &mut Session, node: &Node, why: Refusal) -> Result<bool> {
    let (status, sentence) = node.forward.refuse(why).told();
    rescue::refuse(session, status, sentence).await
}

/// Whom a request is for. Its target is in origin-form afterwards (RFC 9112 §3.2.1), its Host field says the same as the target
/// did (§3.2.2), and it asks for no other protocol. One of this node's own has this form already.
fn settle(request: &mut RequestHeader, own: bool) -> Result<Target, Refusal> {
    let text = std::str::from_utf8(request.raw_path()).map_err(|_| Refusal::Malformed)?;
    if own && text.starts_with('/') {
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).ok_or(Refusal::Malformed)?;
        return Target::of_authority(host, Some(80));
    }
    let (target, rest) = Target::of_absolute(text)?;
    let path = match rest.as_str() {
        // RFC 9112 §3.2.4
        "" if request.method == Method::OPTIONS => "*".to_owned(),
        rest if rest.starts_with('/') => rest.to_owned(),
        rest => format!("/{rest}"),
    };
    let uri: Uri = path.parse().map_err(|_| Refusal::Malformed)?;
    if path != "*" && uri.path_and_query().map(|parsed| parsed.as_str()) != Some(&path) {
        return Err(Refusal::Malformed);
    }
    request.set_uri(uri);
    request.remove_header(&http::header::UPGRADE);
    request.insert_header(HOST, target.host_field()).map_err(|_| Refusal::Malformed)?;
    Ok(target)
}

/// How often a request says that it has passed a proxy of this name (RFC 9110 §7.6.3).
fn passes(request: &RequestHeader, name: &str) -> usize {
    let fields = request.headers.get_all(VIA).into_iter().filter_map(|via| via.to_str().ok());
    let by = fields.flat_map(|via| via.split(',')).filter_map(|member| member.split_whitespace().nth(1));
    by.filter(|by| *by == name).count()
}

/// Counts Max-Forwards down (RFC 9110 §7.6.2). Whether this proxy is the last it may reach.
fn is_at_its_end(request: &mut RequestHeader) -> Result<bool> {
    if !matches!(request.method, Method::OPTIONS | Method::TRACE) {
        return Ok(false);
    }
    let left = request.headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok()?.parse::<u64>().ok());
    match left {
        Some(0) => Ok(true),
        Some(left) => request.insert_header(MAX_FORWARDS, left - 1).map(|_| false),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(method: &str, target: &str) -> Option<(String, String, String)> {
        let mut request = RequestHeader::build(method, target.as_bytes(), None).ok()?;
        request.insert_header(HOST, "other.example").unwrap();
        let target = settle(&mut request, false).ok()?;
        let host = request.headers[HOST].to_str().unwrap().to_owned();
        Some((target.key_host(), host, String::from_utf8(request.raw_path().to_vec()).unwrap()))
    }

    #[test]
    fn the_target_says_the_host_and_the_server_gets_a_path() {
        for (method, target, expected) in [
            ("GET", "http://a.example/x?y", Some(("http://a.example:80", "a.example", "/x?y"))),
            ("GET", "http://a.example:8080", Some(("http://a.example:8080", "a.example:8080", "/"))),
            ("GET", "http://a.example?q", Some(("http://a.example:80", "a.example", "/?q"))),
            ("OPTIONS", "http://a.example", Some(("http://a.example:80", "a.example", "*"))),
            ("GET", "/x", None),
            ("GET", "https://a.example/", None),
        ] {
            let expected = expected.map(|(key, host, path)| (key.to_owned(), host.to_owned(), path.to_owned()));
            assert_eq!(settled(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn the_last_proxy_of_max_forwards_is_known_and_others_count_down() {
        for (method, left, ends, then) in
            [("OPTIONS", "0", true, "0"), ("TRACE", "2", false, "1"), ("GET", "0", false, "0")]
        {
            let mut request = RequestHeader::build(method, b"/", None).unwrap();
            request.insert_header(MAX_FORWARDS, left).unwrap();
            assert_eq!(is_at_its_end(&mut request).unwrap(), ends, "{method} {left}");
            assert_eq!(request.headers[MAX_FORWARDS], then);
        }
    }

    #[test]
    fn a_request_that_passed_a_proxy_of_this_name_is_known() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.append_header(VIA, "1.1 other, 1.1 edge (x)").unwrap();
        request.append_header(VIA, "1.0 edge").unwrap();
        assert_eq!((passes(&request, "edge"), passes(&request, "third")), (2, 0));
    }
}
