//! What is measured and which mark it has to meet.
//!
//! A case is one kind of request under load, measured in rounds, or one figure that is taken once (memory, time to start).
//! Invariant: a mark compares littoral with its policies to others of the same run, never to a number of another day.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;

/// Bytes of memory for each object in the index of a disk.
const INDEX_BYTES_MAX: f64 = 120.0;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Case {
    /// Cached, 1 KiB, HTTP/1.1, connections kept open
    #[value(name = "hit-1k")]
    #[serde(rename = "hit-1k")]
    Hit1k,
    /// Cached, 64 KiB
    #[value(name = "hit-64k")]
    #[serde(rename = "hit-64k")]
    Hit64k,
    /// Cached, 1 MiB
    #[value(name = "hit-1m")]
    #[serde(rename = "hit-1m")]
    Hit1m,
    /// Cached, 10,000 objects of 1 KiB to 1 MiB by Zipf 0.9
    Mix,
    /// Cached, 1 KiB, a new connection for each request
    Connect,
    /// Cached, 64 KiB, HTTP/1.1 over TLS 1.3
    Tls,
    /// Cached, 64 KiB, HTTP/2 over TLS 1.3
    H2,
    /// Latency of the mix at 70 % of what the engine can do
    Latency,
    /// Not cached before, 64 KiB, each URL once
    Miss,
    /// On disk, 1 MiB, page cache warm
    Disk,
    /// Memory of idle connections
    Idle,
    /// Memory per cached object of 64 KiB
    Memory,
    /// Memory per object in the index of a disk
    Index,
    /// Time from start to the first answer
    Start,
}

/// What a mark is measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// One engine.
    One(Engine),
    /// Whichever of [`Engine::OTHERS`] is best in the case.
    Best,
    /// Nobody: a bound in bytes.
    Bytes,
}

/// What has to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Largest ratio, or bytes.
    pub limit: f64,
    /// To whom.
    pub against: Against,
    /// Worth reaching, but not asked for.
    pub stretch: bool,
}

impl Case {
    /// Cases under load that one started engine serves from one cache in memory.
    pub const HITS: [Self; 8] =
        [Self::Hit1k, Self::Hit64k, Self::Hit1m, Self::Mix, Self::Connect, Self::Tls, Self::H2, Self::Latency];

    /// All, in the order of the report.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// The name on the command line and in results.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it is, for tables.
    #[must_use]
    pub fn title(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// What it has to meet, the stretch last.
    #[must_use]
    pub fn marks(self) -> Vec<Mark> {
        let mark = |limit, against| Mark { limit, against, stretch: false };
        let nginx = Against::One(Engine::Nginx);
        match self {
            Self::Hit1k => {
                let stretch = Mark { limit: 1.0, against: Against::One(Engine::Haproxy), stretch: true };
                vec![mark(0.80, nginx), stretch]
            }
            Self::Hit64k => vec![mark(0.80, Against::Best)],
            Self::Hit1m | Self::Latency => vec![mark(1.0, Against::Best)],
            Self::Mix => vec![mark(0.80, nginx)],
            Self::Connect | Self::Tls | Self::H2 | Self::Miss => vec![mark(1.0, nginx)],
            Self::Disk | Self::Idle => vec![mark(1.2, nginx)],
            Self::Index => vec![mark(INDEX_BYTES_MAX, Against::Bytes)],
            Self::Memory | Self::Start => Vec::new(),
        }
    }

    /// Why an engine cannot be measured in this case.
    #[must_use]
    pub fn beyond(self, engine: Engine) -> Option<&'static str> {
        match (self, engine) {
            (Self::Tls | Self::H2, Engine::Varnish) => Some("it speaks no TLS"),
            (Self::Memory, Engine::Haproxy) => Some("its cache is one piece of memory from the start"),
            (Self::Disk, Engine::Haproxy) => Some("it keeps nothing on disks"),
            // What policies cost is asked of plain hits only.
            (Self::Hit1k | Self::Hit64k | Self::Hit1m | Self::Memory, Engine::LittoralBare) => None,
            (_, Engine::LittoralBare) => Some("not asked"),
            (Self::Index | Self::Start, engine) if engine != Engine::Littoral => Some("not asked"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_a_title_and_is_read_back_by_its_name() {
        for case in Case::all() {
            assert!(!case.title().is_empty(), "{case:?}");
            assert_eq!(Case::from_str(&case.name(), false), Ok(case));
            assert_eq!(serde_json::to_value(case).expect("a name"), case.name().as_str(), "one name everywhere");
        }
    }

    #[test]
    fn a_mark_is_against_an_engine_that_can_be_measured() {
        for case in Case::all() {
            assert_eq!(case.beyond(Engine::Littoral), None, "{case:?}");
            for mark in case.marks() {
                if let Against::One(engine) = mark.against {
                    assert_eq!(case.beyond(engine), None, "{case:?}");
                }
            }
        }
    }
}
