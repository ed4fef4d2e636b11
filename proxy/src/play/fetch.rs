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
        Ok(Self {
            client: client.redirect(reqwest::redirect::Policy::none()).build()?,
            names,
            patience,
        })
    }

    /// Fetches `resource`.
    ///
    /// # Errors
    /// The last attempt's, when patience has run out.
    pub(super) async fn fetch(&mut self, resource: &Resource, told: &Told) -> anyhow::Result<Fetched> {
        let begun = Instant::now();
        let host = resource
            .url
            .host_str()
            .with_context(|| format!("{} names no host", resource.url))?
            .to_owned();
        ensure!(
            resource.url.scheme() == "http",
            "{}: this player speaks http only",
            resource.url
        );
        for attempts in 1.. {
            let lost = begun.elapsed();
            match self.attempt(&host, resource, told).await {
                Ok(fetched) => {
                    return Ok(Fetched {
                        took: begun.elapsed() - lost,
                        lost,
                        attempts,
                        ..fetched
                    });
                }
                Err(error) if begun.elapsed() >= self.patience => {
                    return Err(error.context(format!("{} after {attempts} attempts", resource.url)));
                }
                Err(_) => self.names.forget(&host),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        bail!("invariant: attempts do not run out before patience does")
    }

    async fn attempt(&mut self, host: &str, resource: &Resource, told: &Told) -> anyhow::Result<Fetched> {
        let address = self.names.address(host).await?;
        let mut url = resource.url.clone();
        ensure!(url.set_ip_host(address).is_ok(), "{url} cannot have an address");
        let port = resource.url.port().map_or(String::new(), |port| format!(":{port}"));
        let mut request = self.client.get(url).header("host", format!("{host}{port}"));
        request = request.header("cmcd-session", format!("sid=\"{}\"", told.session));
        let known = [("bl", told.buffer_ms), ("mtp", told.throughput_kbps)];
        let known: Vec<String> = known
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", (*value)?)))
            .collect();
        if !known.is_empty() {
            request = request.header("cmcd-request", known.join(","));
        }
        if let Some(range) = resource.range {
            request = request.header("range", format!("bytes={}-{}", range.first, range.last));
        }
        let mut response = request.send().await?;
        let wanted = if resource.range.is_some() { 206 } else { 200 };
        ensure!(response.status() == wanted, "status {}", response.status());
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            ensure!(body.len() + chunk.len() <= BODY_MAX, "more than {BODY_MAX} bytes");
            body.extend_from_slice(&chunk);
        }
        let length = resource.range.map(|range| range.last - range.first + 1);
        ensure!(
            length.is_none_or(|length| length == body.len() as u64),
            "{} bytes for the range asked for",
            body.len()
        );
        Ok(Fetched {
            body,
            headers,
            address,
            took: Duration::ZERO,
            lost: Duration::ZERO,
            attempts: 1,
        })
    }
}
