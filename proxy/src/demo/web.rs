//! HTTP as the demo speaks it: requests to one address with the Host of another name, and the admin API's JSON.
//!
//! Names are never resolved here, so that what reaches an edge is what the demo's own DNS answered. Invariant: every
//! request has a deadline and every body a bound.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use littoral_cache::is_hit;
use reqwest::header::HeaderMap;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(5);
const BODY_MAX: usize = 32 << 20;

/// A client; cheap to clone.
#[derive(Clone)]
pub(super) struct Web {
    client: reqwest::Client,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Web {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub(super) fn new() -> anyhow::Result<Self> {
        let client =
            reqwest::Client::builder().no_proxy().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none());
        Ok(Self { client: client.build()? })
    }

    /// `GET path` at `address` for `host`.
    ///
    /// # Errors
    /// When there is no whole response in time.
    pub(super) async fn get(&self, address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Response> {
        let request = self.client.get(format!("http://{address}{path}")).header("host", host);
        send(request).await.with_context(|| format!("GET {path} at {address}"))
    }

    /// `GET path` of an admin listener.
    ///
    /// # Errors
    /// When the answer is not 200 with JSON.
    pub(super) async fn admin(&self, address: SocketAddr, path: &str) -> anyhow::Result<Value> {
        let response = send(self.client.get(format!("http://{address}{path}"))).await;
        json(response).with_context(|| format!("GET {path} of the admin API at {address}"))
    }

    /// `POST path` of an admin listener, with a JSON body when there is one.
    ///
    /// # Errors
    /// When the answer is not a success with JSON.
    pub(super) async fn admin_post(
        &self,
        address: SocketAddr,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.client.post(format!("http://{address}{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        json(send(request).await).with_context(|| format!("POST {path} of the admin API at {address}"))
    }
}

impl Response {
    /// A header as text, empty when it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the edge had it in its cache (RFC 9211).
    pub(super) fn is_hit(&self) -> bool {
        is_hit(self.header("cache-status"))
    }
}

async fn send(request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        ensure!(body.len() + chunk.len() <= BODY_MAX, "a body of more than {BODY_MAX} bytes");
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

fn json(response: anyhow::Result<Response>) -> anyhow::Result<Value> {
    let response = response?;
    let text = String::from_utf8_lossy(&response.body);
    if !(200..300).contains(&response.status) {
        bail!("status {}: {}", response.status, text.trim());
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("no JSON: {}", text.chars().take(80).collect::<String>()))
}
