//! `[plugins]`, `[[plugin]]` and `[policy]`: which guests there are and what they decide.

use std::path::PathBuf;

use littoral_plugin_host::fetch::{FetchSpec, Origin};
use littoral_plugin_host::limits::MEMORY_TOTAL_BYTES_DEFAULT;
use littoral_plugin_host::service::reach::Reach;
use littoral_plugin_host::service::swarm::Content;
use littoral_plugin_host::signature::{PublicKey, Trust};
use serde::Deserialize;

use super::filter::OnFault;
use super::units::{Size, Span};

/// What holds for all plugins: who must have signed them, and what they may have together.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginTrust {
    /// One of these must have signed each plugin; none: nothing is demanded.
    pub trusted_keys: Vec<PublicKey>,
    /// What becomes of a plugin that none of them signed.
    pub signature: Option<Signature>,
    /// Linear memory of all instances of all plugins together.
    pub memory: Option<Size>,
    /// Whether the node starts only with all of them.
    pub required: bool,
}

impl PluginTrust {
    /// Bytes of linear memory that all may have together.
    pub fn memory_bytes(&self) -> usize {
        self.memory.map_or(MEMORY_TOTAL_BYTES_DEFAULT, |memory| usize::try_from(memory.0).unwrap_or(usize::MAX))
    }

    /// As the host of plugins takes it.
    pub fn trust(&self) -> Trust {
        Trust { keys: self.trusted_keys.clone(), warn_only: self.signature == Some(Signature::Warn) }
    }
}

/// What becomes of a plugin that nobody trusted has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// It is refused.
    Required,
    /// It is loaded, with a warning.
    Warn,
}

/// A Wasm plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// Its name, by which `[policy]` and the admin API call it.
    pub name: String,
    /// The component.
    pub file: PathBuf,
    /// Handed to the plugin's `init` as JSON.
    #[serde(default)]
    pub config: toml::Table,
    /// The file must have this sha256 (hex).
    pub sha256: Option<String>,
    /// What is tried beside it.
    pub candidate: Option<PathBuf>,
    /// The candidate must have this sha256 (hex).
    pub candidate_sha256: Option<String>,
    /// The candidate's share of the requests, percent.
    pub share: Option<f64>,
    /// Fuel of one call.
    pub fuel: Option<u64>,
    /// Linear memory.
    pub memory: Option<Size>,
    /// What each generation must answer before it goes live.
    pub vectors: Option<PathBuf>,
    /// Where a policy's decisions are recorded.
    pub record: Option<PathBuf>,
    /// Bytes of that file and the one before it.
    pub record_bytes: Option<Size>,
    /// Time a filter's call may compute.
    pub deadline: Option<Span>,
    /// Bytes of the store that a filter is granted.
    pub store: Option<Size>,
    /// Whom a service may dial.
    pub dial: Option<Vec<Reach>>,
    /// Which contents of the cache a swarm may send.
    pub content: Option<Vec<Content>>,
    /// Authorities that are believed then, beside the system's.
    pub dial_ca: Option<PathBuf>,
    /// Whom it may ask by HTTP.
    pub http: Option<Vec<Origin>>,
    /// Authorities that are believed then, beside the system's.
    pub http_ca: Option<PathBuf>,
    /// How long the requests of one call may take together.
    pub http_timeout: Option<Span>,
    /// Bytes of a body of them, in either direction.
    pub http_body: Option<Size>,
    /// Bytes that a service may keep on disk.
    pub durable: Option<Size>,
    /// Entries that it may keep there.
    pub durable_keys: Option<u64>,
    /// What becomes of a request when a filter fails.
    pub on_fault: Option<OnFault>,
}

impl Plugin {
    /// Whom it may ask by HTTP, as the host of plugins takes it.
    pub fn fetch(&self) -> Option<FetchSpec> {
        let mut spec = FetchSpec::of(self.http.as_ref()?);
        spec.authorities.clone_from(&self.http_ca);
        spec.timeout = self.http_timeout.map_or(spec.timeout, |timeout| timeout.0);
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        spec.body_bytes = self.http_body.map_or(spec.body_bytes, bytes);
        Some(spec)
    }

    /// All it names, to be found from the config's directory.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let authorities = [&mut self.dial_ca, &mut self.http_ca];
        let others = [&mut self.candidate, &mut self.vectors, &mut self.record].into_iter().chain(authorities);
        [&mut self.file].into_iter().chain(others.flatten())
    }
}

/// Which plugin decides what; without one the native policy does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which cluster.
    pub route: Option<String>,
    /// Which representation.
    pub rate: Option<String>,
    /// What to keep; see [`super::Config::native_eviction`].
    pub evict: Option<String>,
}
