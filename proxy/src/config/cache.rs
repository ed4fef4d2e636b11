//! `[cache]`: what is kept, and how much of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::units::{Size, Span};

/// The cache's bounds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Bytes for objects in memory, overhead included.
    pub memory: Size,
    /// Largest object stored.
    pub max_object: Size,
    /// How long a request waits for another's fill to begin before it goes to the origin alone.
    pub collapse_wait: Span,
    /// Where objects are kept besides.
    #[serde(deserialize_with = "one_or_more")]
    pub disk: Vec<Disk>,
}

/// A directory for objects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The directory.
    pub path: PathBuf,
    /// Bytes of files in it.
    pub size: Size,
    /// Its share of the objects, relative to the other disks'.
    #[serde(default = "Disk::weight_default")]
    pub weight: u32,
    /// Bytes left free on its file system.
    #[serde(default = "Disk::min_free_default")]
    pub min_free: Size,
    /// What is waited for before a file appears.
    #[serde(default)]
    pub fsync: Fsync,
}

/// When bodies are brought to the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// When the system likes: after a loss of power a file may be torn, is found to be, and is a miss.
    #[default]
    None,
    /// Before the file appears.
    Data,
}

impl Disk {
    fn weight_default() -> u32 {
        1
    }

    fn min_free_default() -> Size {
        Size(1 << 30)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: Size(256 << 20),
            max_object: Size(64 << 20),
            collapse_wait: Span(Duration::from_secs(10)),
            disk: Vec::new(),
        }
    }
}

/// One disk as a table, or several as a list of tables.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Disk>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<Disk>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a disk, such as { path = \"/var/cache/littoral\", size = \"200GiB\" }, or a list of them")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Disk>, A::Error> {
            Disk::deserialize(MapAccessDeserializer::new(map)).map(|disk| vec![disk])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Disk>, A::Error> {
            let mut disks = Vec::new();
            while let Some(disk) = list.next_element()? {
                disks.push(disk);
            }
            Ok(disks)
        }
    }
    deserializer.deserialize_any(OneOrMore)
}
