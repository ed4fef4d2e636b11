//! What a play was like: each segment, and the sums over them.

use std::net::IpAddr;
use std::time::Duration;

use littoral_cache::is_hit;
use littoral_manifests::Representation;
use reqwest::header::HeaderMap;
use serde::Serialize;

use super::Options;
use super::clock::Stall;
use super::fetch::Fetched;

/// One media segment of the main ladder.
#[derive(Debug, Clone, Serialize)]
pub struct Played {
    /// Place in the play, from 1.
    pub number: usize,
    /// Representation fetched.
    pub representation: String,
    /// Who chose it: `player`, `edge`, `guest`, or `native` where a guest faulted.
    pub chosen_by: &'static str,
    /// Its bit rate as the manifest states it, kbit/s.
    pub kbps: u64,
    /// Bytes of the segment.
    pub bytes: u64,
    /// Download time on the player's clock, ms.
    pub took_ms: f64,
    /// Bits per download time, kbit/s.
    pub throughput_kbps: u64,
    /// Who served it: `X-Served-By`, else its address.
    pub served_by: String,
    /// The address it came from.
    pub address: Option<IpAddr>,
    /// `Cache-Status` (RFC 9211).
    pub cache_status: String,
    /// Requests it needed.
    pub attempts: u32,
    /// Media buffered after it, ms.
    pub buffer_ms: u64,
    /// Why it, or what belongs to it, could not be had.
    pub failure: Option<String>,
}

/// A whole play.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The manifest.
    pub manifest: String,
    /// From the first DNS question until playing started, ms of the player's clock; `None` when it never did.
    pub startup_ms: Option<f64>,
    /// Times the picture stood still.
    pub stalls: Vec<Stall>,
    /// Changes of representation.
    pub switches: usize,
    /// Mean bit rate of the segments fetched, kbit/s as the manifest states it.
    pub mean_kbps: f64,
    /// Segments that failed.
    pub failed: u64,
    /// Responses of any kind: manifest, initialisation, audio, video.
    pub responses: u64,
    /// How many of them were cache hits.
    pub hits: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Each segment in order.
    pub segments: Vec<Played>,
}

/// The books while playing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    segments: Vec<Played>,
    responses: u64,
    hits: u64,
    bytes: u64,
}

impl Played {
    pub(super) fn failed(number: usize, representation: &str, failure: String) -> Self {
        Self {
            number,
            representation: representation.to_owned(),
            chosen_by: "",
            kbps: 0,
            bytes: 0,
            took_ms: 0.0,
            throughput_kbps: 0,
            served_by: String::new(),
            address: None,
            cache_status: String::new(),
            attempts: 0,
            buffer_ms: 0,
            failure: Some(failure),
        }
    }

    pub(super) fn fetched(number: usize, representation: &Representation, fetched: &Fetched, took: Duration) -> Self {
        let bytes = fetched.body.len() as u64;
        let seconds = took.as_secs_f64().max(1e-6);
        let served_by = text(&fetched.headers, "x-served-by");
        let served_by = if served_by.is_empty() { fetched.address.to_string() } else { served_by.to_owned() };
        Self {
            number,
            representation: representation.id.clone(),
            chosen_by: "",
            kbps: representation.bandwidth.div_ceil(1000),
            bytes,
            took_ms: seconds * 1000.0,
            throughput_kbps: (bytes as f64 * 8.0 / seconds / 1000.0) as u64,
            served_by,
            address: Some(fetched.address),
            cache_status: text(&fetched.headers, "cache-status").to_owned(),
            attempts: fetched.attempts,
            buffer_ms: 0,
            failure: None,
        }
    }
}

impl Tally {
    pub(super) fn next_number(&self) -> usize {
        self.segments.len() + 1
    }

    pub(super) fn played(&mut self, played: Played) {
        self.segments.push(played);
    }

    pub(super) fn response(&mut self, fetched: &Fetched) {
        self.responses += 1;
        self.hits += u64::from(is_hit(text(&fetched.headers, "cache-status")));
        self.bytes += fetched.body.len() as u64;
    }

    pub(super) fn report(self, options: &Options, started: Option<Duration>, stalls: Vec<Stall>) -> Report {
        let Self { segments, responses, hits, bytes } = self;
        let fetched: Vec<&Played> = segments.iter().filter(|segment| segment.failure.is_none()).collect();
        let switches = fetched.windows(2).filter(|pair| pair[0].representation != pair[1].representation).count();
        let kbps: u64 = fetched.iter().map(|segment| segment.kbps).sum();
        Report {
            manifest: options.manifest.to_string(),
            startup_ms: started.map(|started| started.as_secs_f64() * 1000.0),
            stalls: stalls.into_iter().filter(|stall| stall.ms > 0).collect(),
            switches,
            mean_kbps: kbps as f64 / fetched.len().max(1) as f64,
            failed: (segments.len() - fetched.len()) as u64,
            responses,
            hits,
            bytes,
            segments,
        }
    }
}

impl Report {
    /// Time the picture stood still.
    pub fn stalled(&self) -> Duration {
        Duration::from_millis(self.stalls.iter().map(|stall| stall.ms).sum())
    }
}

/// A field as text; empty when it is absent or no text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
