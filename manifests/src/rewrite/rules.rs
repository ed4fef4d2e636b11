//! What to change in a manifest, and what came of it.

/// What to change; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// URLs that begin with the first are made to begin with the second: in BaseURL, Location, PatchLocation, names of segments and
    /// xlink. `https://origin.example` stands for itself and for what is under it, not for `https://origin.example.net`. Relative
    /// URLs stay: they lead to where the manifest came from.
    pub origins: Vec<(String, String)>,
    /// Video taller than this, in pixels, is left out.
    pub max_height: Option<u64>,
    /// Video with more bits per second is left out.
    pub max_bandwidth: Option<u64>,
    /// Beginnings of the codecs (RFC 6381) that video and audio may have, such as `avc1`; all, when empty.
    pub codecs: Vec<String>,
    /// Languages (RFC 5646) that audio and text may have, `en` also for `en-GB`; all, when empty. What says no language stays.
    pub languages: Vec<String>,
    /// Content steering to put in, in place of what there is.
    pub steering: Option<SteeringRule>,
    /// BaseURLs to put in where the manifest has none of its own on its outermost level.
    pub locations: Vec<ServiceLocation>,
    /// Leave one representation of each video set, the best that the other rules allow, under the id `auto`, so that the edge chooses.
    /// Only where a template names the segments by `$RepresentationID$`.
    pub auto: bool,
}

/// ContentSteering (ETSI TS 103 998).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SteeringRule {
    /// The steering server.
    pub url: String,
    /// The service location to begin with.
    pub default_service_location: Option<String>,
    /// Whether a player asks before it fetches anything.
    pub query_before_start: bool,
}

/// A BaseURL with a name that steering knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceLocation {
    /// The name.
    pub name: String,
    /// What the manifest's URLs are relative to.
    pub url: String,
}

/// What was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Representations left out of sets that stayed.
    pub representations_dropped: u32,
    /// Adaptation sets left out.
    pub sets_dropped: u32,
    /// Times that the rules would have left nothing to play, so that the lowest representation, or the first set, stayed all the same.
    pub kept_last: u32,
    /// Elements that stayed because they have more bytes than are kept back until it is known whether they go.
    pub kept_over_bound: u32,
    /// Sets of which one representation is left, under the id `auto`.
    pub autos: u32,
    /// URLs led to the edge.
    pub urls_replaced: u32,
    /// Whether steering or locations were put in.
    pub is_inserted: bool,
    /// Why the manifest passed as it is from some place on, when it did.
    pub verbatim: Option<&'static str>,
    /// Whether a BaseURL of the outermost level was seen.
    pub(super) has_base_url: bool,
}

impl Rules {
    /// Whether there is nothing to do.
    pub(super) fn are_none(&self) -> bool {
        !self.filters() && self.origins.is_empty() && self.locations.is_empty() && self.steering.is_none()
    }

    /// Whether elements may have to go.
    pub(super) fn filters(&self) -> bool {
        let is_limited = self.max_height.is_some() || self.max_bandwidth.is_some();
        is_limited || !self.codecs.is_empty() || !self.languages.is_empty() || self.auto
    }

    /// Where a URL begins with an origin: how many bytes of it, and what takes their place, escaped for XML.
    pub(super) fn replacement(&self, url: &[u8]) -> Option<(usize, Vec<u8>)> {
        let (from, to) = self.origins.iter().find(|(from, _)| {
            let is_prefix = url.get(..from.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(from.as_bytes()));
            let ends_there = from.ends_with('/') || matches!(url.get(from.len()), None | Some(b'/' | b'?' | b'#'));
            is_prefix && ends_there && !from.is_empty()
        })?;
        Some((from.len(), escaped(to)))
    }

    /// Writes what goes before the first Period.
    pub(super) fn insert(&self, prefix: &[u8], report: &mut Report, out: &mut Vec<u8>) {
        let mut element = |name: &[u8], attributes: &[(&str, Option<&str>)], text: &str| {
            for part in [b"<", prefix, name] {
                out.extend_from_slice(part);
            }
            for (attribute, value) in attributes {
                if let Some(value) = value {
                    out.extend_from_slice(format!(" {attribute}=\"").as_bytes());
                    out.extend_from_slice(&escaped(value));
                    out.push(b'"');
                }
            }
            out.push(b'>');
            for part in [&escaped(text)[..], b"</", prefix, name, b">"] {
                out.extend_from_slice(part);
            }
            report.is_inserted = true;
        };
        let has_base_url = report.has_base_url;
        for location in self.locations.iter().filter(|_| !has_base_url) {
            element(b"BaseURL", &[("serviceLocation", Some(&location.name))], &location.url);
        }
        if let Some(steering) = &self.steering {
            let query = steering.query_before_start.then_some("true");
            let attributes =
                [("defaultServiceLocation", steering.default_service_location.as_deref()), ("queryBeforeStart", query)];
            element(b"ContentSteering", &attributes, &steering.url);
        }
    }
}

/// Text as it may stand in content and in attributes; what XML has no place for is left out.
pub(super) fn escaped(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => out.push(other),
        }
    }
    out.into_bytes()
}
