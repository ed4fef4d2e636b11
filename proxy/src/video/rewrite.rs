//! Manifests as the players of a site get them: the rules of `site.dash.rewrite`, and what came of them of late.
//!
//! The rewriter is `littoral_manifests::rewrite`'s; when a manifest is rewritten is the request path's. Invariant: the same bytes under the
//! same rules have the same validator, on every node.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderValue;
use littoral_cache::key::{digest, hash_bytes};
use littoral_manifests::limits::MPD_BYTES_MAX;
use littoral_manifests::rewrite::{Rewriter, Rules, ServiceLocation, SteeringRule};
use parking_lot::Mutex;

use crate::config::dash::{self, Most};
use crate::rate::advice::Offer;

/// Rewritten manifests of a site that are kept, and their bytes without a coding, which weigh the most; with more all are made again when
/// they are asked for.
const MADE_MAX: usize = 256;
const MADE_BYTES_MAX: usize = 32 << 20;

/// The rules of a site, and what they made.
#[derive(Debug)]
pub struct Rewriting {
    rules: Rules,
    /// Whether what is left depends on the client.
    by_policy: bool,
    made: Mutex<Kept>,
    /// What of a manifest the policy is asked about, by the same identity; at most as many.
    offers: Mutex<HashMap<u128, Option<Arc<Offer>>>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By what it was made of, and the most that was left in it for its client.
    by_original: HashMap<(u128, Option<u64>), Arc<Made>>,
    bytes: usize,
}

/// A manifest rewritten.
#[derive(Debug)]
pub struct Made {
    /// All of it.
    pub bytes: Bytes,
    /// The same in each [`Coding`](crate::config::Coding) that was asked for.
    pub coded: [OnceLock<Bytes>; 3],
    /// Its strong validator (RFC 9110 §8.8.3).
    pub tag: HeaderValue,
    /// Why it is as it was from some place on, when it is.
    pub verbatim: Option<&'static str>,
}

impl Rewriting {
    /// Of a checked config.
    pub fn of(raw: &dash::Rewrite) -> Self {
        let steering = raw.steering.as_ref().map(|raw| SteeringRule {
            url: raw.url.clone(),
            default_service_location: raw.default.clone(),
            query_before_start: raw.query_before_start,
        });
        let location = |raw: &dash::Location| ServiceLocation { name: raw.name.clone(), url: raw.url.clone() };
        let rules = Rules {
            origins: raw.base_urls.clone().into_iter().collect(),
            max_height: raw.max_height,
            max_bandwidth: raw.max_bandwidth.and_then(|most| match most {
                Most::Rate(rate) => Some(rate.0),
                Most::Policy => None,
            }),
            codecs: raw.codecs.clone(),
            languages: raw.languages.clone(),
            steering,
            locations: raw.locations.iter().map(location).collect(),
            auto: raw.auto,
        };
        let by_policy = raw.max_bandwidth == Some(Most::Policy);
        Self { rules, by_policy, made: Mutex::default(), offers: Mutex::default() }
    }

    /// The highest rate that is left in a manifest, in kbit/s, where a rule says it.
    pub fn max_kbps(&self) -> Option<u32> {
        self.rules.max_bandwidth.map(|rate| u32::try_from(rate / 1000).unwrap_or(u32::MAX))
    }

    /// Whether what is left in a manifest depends on who asks for it.
    pub fn is_by_policy(&self) -> bool {
        self.by_policy
    }

    /// What the rate policy is asked about a manifest, where it is.
    pub(crate) fn offer(&self, original: &[u8], now_ms: u64) -> Option<Arc<Offer>> {
        if !self.by_policy {
            return None;
        }
        let identity = hash_bytes(original);
        if let Some(known) = self.offers.lock().get(&identity) {
            return known.clone();
        }
        let offer = Offer::of(original, now_ms).map(Arc::new);
        let mut offers = self.offers.lock();
        if offers.len() >= MADE_MAX {
            offers.clear();
        }
        offers.insert(identity, offer.clone());
        offer
    }

    /// A manifest under the rules, and without video above `most` bit/s, where a client has one of its own.
    pub fn make(&self, original: &[u8], most: Option<u64>) -> Arc<Made> {
        let identity = (hash_bytes(original), most);
        if let Some(made) = self.made.lock().by_original.get(&identity) {
            return made.clone();
        }
        let mut out = Vec::with_capacity(original.len());
        let max_bandwidth = self.rules.max_bandwidth.into_iter().chain(most).min();
        let mut rewriter = Rewriter::new(Rules { max_bandwidth, ..self.rules.clone() });
        rewriter.push(original, &mut out);
        let report = rewriter.finish(&mut out);
        let tag = HeaderValue::from_str(&format!("\"{:032x}\"", digest(&[&out])));
        let made = Arc::new(Made {
            bytes: Bytes::from(out),
            coded: Default::default(),
            tag: tag.expect("invariant: hex digits are a field value"),
            verbatim: report.verbatim,
        });
        let mut kept = self.made.lock();
        if kept.by_original.len() >= MADE_MAX || kept.bytes + made.bytes.len() > MADE_BYTES_MAX {
            *kept = Kept::default();
        }
        kept.bytes += made.bytes.len();
        kept.by_original.insert(identity, made.clone());
        made
    }
}

/// A body without its content coding, when it is one that this node knows and no longer than a manifest may be.
pub(crate) fn plain<'a>(coded: &'a [u8], coding: Option<&str>) -> Option<Cow<'a, [u8]>> {
    let reader: Box<dyn Read + '_> = match coding.map(str::trim) {
        None | Some("identity") => return Some(Cow::Borrowed(coded)),
        Some("gzip" | "x-gzip") => Box::new(flate2::bufread::MultiGzDecoder::new(coded)),
        Some("br") => Box::new(brotli::Decompressor::new(coded, 4 << 10)),
        Some("zstd") => Box::new(zstd::Decoder::with_buffer(coded).ok()?),
        Some(_) => return None,
    };
    let mut text = Vec::new();
    reader.take(MPD_BYTES_MAX as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= MPD_BYTES_MAX).then_some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MPD: &[u8] = b"<MPD><BaseURL>http://o.example/v/</BaseURL><Period/></MPD>";

    fn rewriting() -> Rewriting {
        let base_urls = [("http://o.example".to_owned(), "https://edge.example".to_owned())].into();
        Rewriting::of(&dash::Rewrite { base_urls, ..dash::Rewrite::default() })
    }

    #[test]
    fn what_was_made_is_kept_and_has_a_validator_of_its_own() {
        let (one, other) = (rewriting(), rewriting());
        let made = one.make(MPD, None);
        assert_eq!(&made.bytes[..], b"<MPD><BaseURL>https://edge.example/v/</BaseURL><Period/></MPD>");
        assert!(Arc::ptr_eq(&made, &one.make(MPD, None)));
        assert_eq!(made.tag, other.make(MPD, None).tag);
        assert_ne!(made.tag, Rewriting::of(&dash::Rewrite::default()).make(MPD, None).tag);
        for number in 0..2 * MADE_MAX {
            one.make(format!("<MPD>{number}</MPD>").as_bytes(), None);
        }
        let kept = one.made.lock();
        assert!(kept.by_original.len() <= MADE_MAX && kept.bytes <= MADE_BYTES_MAX);
    }

    #[test]
    fn a_coding_is_taken_off_within_the_bound_of_a_manifest() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4 << 10, 5, 20).write_all(MPD).unwrap();
        let zstd = zstd::encode_all(MPD, 1).unwrap();
        let coded = [(gzip(MPD), "gzip"), (brotli, "br"), (zstd, "zstd"), (MPD.to_vec(), "identity")];
        for (body, coding) in coded {
            assert_eq!(plain(&body, Some(coding)).as_deref(), Some(MPD), "{coding}");
        }
        assert_eq!(plain(&gzip(&vec![b' '; MPD_BYTES_MAX + 1]), Some("gzip")), None, "a bomb");
        assert_eq!(plain(&gzip(MPD)[..20], Some("gzip")), None);
        assert_eq!((plain(MPD, Some("gzip")), plain(MPD, Some("compress"))), (None, None));
    }
}
