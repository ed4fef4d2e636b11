//! Fetching one resource: resolve, request, and when that fails ask the DNS again and retry for as long as patience lasts.
//!
//! Invariant: a body is returned whole or not at all; what was tried is counted.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use littoral_manifests::Resource;
use reqwest::header::HeaderMap;

use super::lookup::Names;

/// Bytes of one segment.
const BODY_MAX: usize = 64 << 20;
/// One request, body included.
const REQUEST_WAIT: Duration = Duration::from_secs(15);
/// Between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What an edge sent.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    pub(super) headers: HeaderMap,
    pub(super) address: IpAddr,
    /// From the first question of the successful attempt to the last byte.
    pub(super) took: Duration,
    /// Failed attempts and waits before that.
    pub(super) lost: Duration,
    pub(super) attempts: u32,
}

/// Why an attempt did not work.
enum Attempt {
    /// The edge says that there is no such thing (4xx): asking again would not help.
    Refused(reqwest::StatusCode),
    /// Anything else may be different next time, or from another edge.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Attempt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a request tells of the player (CTA-5004).
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) buffer_ms: Option<u64>,
    pub(super) throughput_kbps: Option<u64>,
    pub(super) session: String,
}

/// Fetches for one player.
pub(super) struct Fetcher {
    client: reqwest::Client,
    names: Names,
    patience: Duration,
}

impl Fetcher {
    pub(super) fn new(names: Names, patience: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_WAIT);
        Ok(Self { client: client.redirect(reqwest::redirect::Policy::none()).build()?, names, patience })
    }

    /// Fetches `resource`.
    ///
    /// # Errors
    /// The last attempt's, when patience has run out.
    pub(super) async fn fetch(&mut self, resource: &Resource, told: &Told) -> anyhow::Result<Fetched> {
        let begun = Instant::now();
        let host = resource.url.host_str().with_context(|| format!("{} names no host", resource.url))?.to_owned();
        ensure!(resource.url.scheme() == "http", "{}: this player speaks http only", resource.url);
        for attempts in 1.. {
            let lost = begun.elapsed();
            match self.attempt(&host, resource, told).await {
                Ok(fetched) => {
                    return Ok(Fetched { took: begun.elapsed() - lost, lost, attempts, ..fetched });
                }
                Err(Attempt::Refused(status)) => bail!("{}: status {status}", resource.url),
                Err(Attempt::Failed(error)) if begun.elapsed() >= self.patience => {
                    return Err(error.context(format!("{} after {attempts} attempts", resource.url)));
                }
                Err(Attempt::Failed(_)) => self.names.forget(&host),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        bail!("invariant: attempts do not run out before patience does")
    }

    async fn attempt(&mut self, host: &str, resource: &Resource, told: &Told) -> Result<Fetched, Attempt> {
        let address = self.names.address(host).await?;
        let mut url = resource.url.clone();
        url.set_ip_host(address).map_err(|()| anyhow::anyhow!("{} cannot have an address", resource.url))?;
        let port = resource.url.port().map_or(String::new(), |port| format!(":{port}"));
        let mut request = self.client.get(url).header("host", format!("{host}{port}"));
        request = request.header("cmcd-session", format!("sid=\"{}\"", told.session));
        let known = [("bl", told.buffer_ms), ("mtp", told.throughput_kbps)];
        let known: Vec<String> = known.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))).collect();
        if !known.is_empty() {
            request = request.header("cmcd-request", known.join(","));
        }
        if let Some(range) = resource.range {
            request = request.header("range", format!("bytes={}-{}", range.first, range.last));
        }
        let mut response = request.send().await?;
        let (status, wanted) = (response.status(), if resource.range.is_some() { 206 } else { 200 });
        if status.is_client_error() {
            return Err(Attempt::Refused(status));
        }
        if status != wanted {
            return Err(anyhow::anyhow!("status {status}").into());
        }
        let headers = response.headers().clone();
        let body = whole_body(&mut response, resource).await?;
        Ok(Fetched { body, headers, address, took: Duration::ZERO, lost: Duration::ZERO, attempts: 1 })
    }
}

async fn whole_body(response: &mut reqwest::Response, resource: &Resource) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        ensure!(body.len() + chunk.len() <= BODY_MAX, "more than {BODY_MAX} bytes");
        body.extend_from_slice(&chunk);
    }
    let length = resource.range.map(|range| range.last - range.first + 1);
    ensure!(length.is_none_or(|length| length == body.len() as u64), "{} bytes for the range asked for", body.len());
    Ok(body)
}
