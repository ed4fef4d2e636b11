//! HTTP requests that plugins make: a client for each grant, over connections that lead to whom it names and to nobody else.
//!
//! Whom a plugin may ask, and what, was looked at before ([`littoral_plugin_host::fetch`]); what a name stands for is looked at where a service dials
//! ([`crate::services::dial`]), in [`connect`]. HTTP itself and the pool are hyper's. Invariants: nothing is followed; what comes back is bounded
//! before it is held; each request carries this node's name in `CDN-Loop`, behind those that the request at hand came with, so that none goes round.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use littoral_plugin_host::fetch::limits::{FIELDS_BYTES_MAX, FIELDS_MAX};
use littoral_plugin_host::fetch::{self, Answer, Asked, FetchSpec, Fetcher, Fetching, Refused};
use littoral_plugin_host::service::Wires;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::node::Node;
use crate::services::dial::client_config;
use crate::services::wire::Peer;

mod connect;
pub(crate) mod fetched;

use connect::Connector;

/// Idle connections to one host that are kept for the next request.
const IDLE_MAX: usize = 8;
/// How long.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Connections of one grant, idle ones included.
const CONNECTIONS_MAX: usize = 320;
/// Fields that end at this hop (RFC 9110 §7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// The node that requests are made by, once there is one.
pub(crate) type AskedBy = Arc<OnceLock<Weak<Node>>>;

/// Makes fetchers for plugins of a node.
#[derive(Clone, Default)]
pub(crate) struct Fetchers(AskedBy);

impl Fetchers {
    /// From now on requests are made by this node. Before, nobody can be reached.
    pub(crate) fn serve(&self, node: &Arc<Node>) {
        let _ = self.0.set(Arc::downgrade(node));
    }
}

impl Fetchers {
    /// What filters dial from: somebody outside of a connection, who is told nothing of the node's end, as a call ends soon.
    pub(crate) fn wires(&self) -> Wires {
        let (node, (lasts, ending)) = (self.0.clone(), watch::channel(false));
        Arc::new(move || {
            let (_lasts, node) = (&lasts, node.get().cloned().unwrap_or_default());
            Peer::none_of(&node, &ending)
        })
    }
}

impl fetch::Fetchers for Fetchers {
    fn open(&self, granted: &FetchSpec) -> Result<Arc<dyn Fetcher>, String> {
        let tls = match granted.reaches(true).is_empty() {
            true => None,
            false => {
                let config = client_config(granted.authorities.as_deref());
                Some(Arc::new(config.map_err(|problem| format!("http_ca: {problem}"))?))
            }
        };
        let connector = Connector::new(self.0.clone(), granted, tls, CONNECTIONS_MAX);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(FIELDS_BYTES_MAX)
            .http1_max_headers(FIELDS_MAX)
            .build(connector);
        Ok(Arc::new(Asking { client, node: self.0.clone(), body_bytes: granted.body_bytes }))
    }
}

/// Asks for one generation of a plugin.
struct Asking {
    client: Client<Connector, Full<Bytes>>,
    node: AskedBy,
    body_bytes: usize,
}

impl Fetcher for Asking {
    fn fetch(&self, asked: Asked, within: Duration) -> Fetching {
        let (client, most) = (self.client.clone(), self.body_bytes);
        let node = self.node.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let node = node.ok_or(Refused::Unreachable)?;
            let request = request(asked, &node.name).ok_or(Refused::Broken)?;
            drop(node);
            timeout(within, answered(&client, request, most)).await.unwrap_or(Err(Refused::Timeout))
        })
    }
}

async fn answered(
    client: &Client<Connector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, Refused> {
    let response = client.request(request).await.map_err(|error| refused(&error))?;
    let (head, body) = response.into_parts();
    if !(200..=599).contains(&head.status.as_u16()) {
        return Err(Refused::Broken);
    }
    let body = Limited::new(body, most).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
        true => Refused::TooLarge,
        false => Refused::Broken,
    })?;
    Ok(Answer { status: head.status.as_u16(), fields: fields(&head.headers), body: body.to_bytes().into() })
}

/// What was asked, as it is sent; `None` for what cannot be written, which was looked at before.
fn request(asked: Asked, node: &str) -> Option<Request<Full<Bytes>>> {
    let Asked { method, secure, host, port, target, fields, body, passed } = asked;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
    let authority = if port == usual { host } else { format!("{host}:{port}") };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build().ok()?;
    let passed: Vec<&[u8]> = passed.iter().map(Vec::as_slice).chain([node.as_bytes()]).collect();
    let mut request = Request::builder().method(method.as_str()).uri(uri).header("cdn-loop", passed.join(&b", "[..]));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).ok()
}

/// Fields of a response that are the guest's to see.
fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let named = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let ends_here =
        |name: &HeaderName| HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|end| end == name.as_str());
    let of = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
    headers.iter().filter(|(name, _)| !ends_here(name)).map(of).collect()
}

/// Why a request was not answered.
fn refused(error: &Error) -> Refused {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(known) = cause {
        if let Some(refused) = known.downcast_ref::<Refused>() {
            return *refused;
        }
        if known.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
            return Refused::TooLarge;
        }
        cause = known.source();
    }
    Refused::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(secure: bool, host: &str, port: u16) -> Asked {
        let (method, target) = ("POST".to_owned(), "/a?b".to_owned());
        let fields = vec![("x-a".to_owned(), b"b".to_vec())];
        Asked {
            method,
            secure,
            host: host.to_owned(),
            port,
            target,
            fields,
            body: b"c".to_vec(),
            passed: vec![b"other".to_vec()],
        }
    }

    #[test]
    fn a_request_is_for_its_url_and_says_whose_it_is() {
        for (secure, host, port, uri) in [
            (true, "a.example", 443, "https://a.example/a?b"),
            (false, "a.example", 443, "http://a.example:443/a?b"),
            (false, "2001:db8::1", 80, "http://[2001:db8::1]/a?b"),
        ] {
            let request = request(asked(secure, host, port), "edge-1").unwrap();
            assert_eq!(request.uri(), uri);
            assert_eq!([&request.headers()["cdn-loop"], &request.headers()["x-a"]], ["other, edge-1", "b"]);
        }
    }

    #[test]
    fn fields_that_end_at_this_hop_end_here() {
        let headers: HeaderMap =
            [("connection", "close, X-Gone"), ("x-gone", "1"), ("keep-alive", "x"), ("x-user", "ann")]
                .into_iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
        assert_eq!(fields(&headers), [("x-user".to_owned(), b"ann".to_vec())]);
    }
}
