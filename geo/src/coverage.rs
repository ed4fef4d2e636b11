//! Coverage zones from files: prefixes to clusters by name, as JSON or CSV.
//!
//! JSON is Traffic Control's coverage zone file (`coverageZones` and `deepCoverageZones`, whose zones are clusters here), or an
//! object of prefixes to clusters, or both at once. CSV is `prefix,cluster` in each line; `#` begins a comment. As what a cluster
//! serves a prefix is its tier's business and not the file's. Invariant: a file is read whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::{COVERAGE_BYTES_MAX, PREFIXES_MAX};

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub struct CoverageFile {
    /// The file.
    pub path: PathBuf,
    /// Names of clusters.
    pub names: Vec<String>,
    /// Prefixes, each with the place of its cluster among the names.
    pub zones: Vec<(IpNet, u16)>,
}

/// Zones in the making.
#[derive(Default)]
struct Zones {
    places: HashMap<String, u16>,
    file: CoverageFile,
}

impl CoverageFile {
    /// Reads a file; `.csv` is CSV, everything else JSON.
    ///
    /// # Errors
    /// One line with file, place and what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let problem = |text: String| format!("{}: {text}", path.display());
        let unreadable = |error| problem(format!("cannot be read: {error}; geo.coverage names it"));
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > COVERAGE_BYTES_MAX {
            return Err(problem(format!("it has {length} bytes; a coverage file has at most {COVERAGE_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        Self::parse(path, &text, is_csv)
    }

    /// Reads a text at hand; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(path: &Path, text: &str, is_csv: bool) -> Result<Self, String> {
        let zones = if is_csv {
            csv(text).map_err(|(line, text)| format!("{}:{line}: {text}", path.display()))?
        } else {
            serde_json::from_str::<Zones>(text).map_err(|error| {
                let text = error.to_string();
                let text = text.split(" at line ").next().unwrap_or_default();
                format!("{}:{}:{}: {text}", path.display(), error.line(), error.column())
            })?
        };
        let mut file = CoverageFile { path: path.to_owned(), ..zones.file };
        file.zones.shrink_to_fit();
        Ok(file)
    }
}

impl Zones {
    fn add(&mut self, prefix: IpNet, cluster: &str) -> Result<(), String> {
        if cluster.is_empty() {
            return Err(format!("{prefix} has no cluster: name one, such as \"{prefix}\": \"ams1\""));
        }
        let known = self.places.get(cluster).copied();
        let at = match known {
            Some(at) => at,
            None => {
                let at = u16::try_from(self.file.names.len());
                let at = at.map_err(|_| "more than 65536 names of clusters: divide the file".to_owned())?;
                self.file.names.push(cluster.to_owned());
                self.places.insert(cluster.to_owned(), at);
                at
            }
        };
        if self.file.zones.len() == PREFIXES_MAX {
            return Err(format!("more than {PREFIXES_MAX} prefixes: merge neighbours"));
        }
        self.file.zones.push((prefix, at));
        Ok(())
    }
}

/// A prefix or a whole address; bits beyond the length do not count.
fn prefix(text: &str) -> Result<IpNet, String> {
    let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let parsed = text.parse::<IpNet>().ok().or_else(host);
    let parsed =
        parsed.ok_or_else(|| format!("{text:?} is no prefix: write one such as 192.0.2.0/24 or 2001:db8::/48"))?;
    Ok(parsed.trunc())
}

/// The error is a line, from 1, and what is wrong with it.
fn csv(text: &str) -> Result<Zones, (usize, String)> {
    let mut zones = Zones::default();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let read = line.split_once(',').ok_or_else(|| format!("{line:?} has no comma: write prefix,cluster"));
        let read = read.and_then(|(network, cluster)| {
            let [network, cluster] = [network, cluster].map(|field| field.trim().trim_matches('"'));
            // A header may stand before everything else.
            match zones.file.zones.is_empty() && matches!(network, "prefix" | "network" | "cidr") {
                true => Ok(()),
                false => zones.add(prefix(network)?, cluster),
            }
        });
        read.map_err(|text| (at + 1, text))?;
    }
    Ok(zones)
}

/// A zone of Traffic Control's file; where it lies and its caches are not for us.
#[derive(Deserialize)]
struct Zone {
    #[serde(default)]
    network: Vec<Prefix>,
    #[serde(default)]
    network6: Vec<Prefix>,
}

struct Prefix(IpNet);

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        prefix(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Zones {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Zones;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of prefixes to clusters, or with coverageZones")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Zones, A::Error> {
                let mut zones = Zones::default();
                while let Some(name) = members.next_key::<String>()? {
                    if matches!(name.as_str(), "coverageZones" | "deepCoverageZones") {
                        for (cluster, zone) in members.next_value::<BTreeMap<String, Zone>>()? {
                            for Prefix(prefix) in zone.network.into_iter().chain(zone.network6) {
                                zones.add(prefix, &cluster).map_err(de::Error::custom)?;
                            }
                        }
                    } else if name.contains(['.', ':', '/']) {
                        let prefix = prefix(&name).map_err(de::Error::custom)?;
                        zones.add(prefix, &members.next_value::<String>()?).map_err(de::Error::custom)?;
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(zones)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str) -> Result<Vec<(String, String)>, String> {
        let file = CoverageFile::parse(Path::new(file), text, file.ends_with("csv"))?;
        Ok(file.zones.iter().map(|(prefix, at)| (prefix.to_string(), file.names[usize::from(*at)].clone())).collect())
    }

    fn zones(zones: &[(&str, &str)]) -> Vec<(String, String)> {
        zones.iter().map(|(prefix, cluster)| ((*prefix).to_owned(), (*cluster).to_owned())).collect()
    }

    #[test]
    fn a_coverage_zone_file_of_traffic_control_is_read() {
        let text = r#"{ "revision": "Mon Dec 21 15:04:01 MST 2026", "customerName": "Kabletown",
            "deepCoverageZones": { "isp1": { "network": ["10.7.0.0/16"], "caches": ["edge-01"] } },
            "coverageZones": {
                "ams1": { "network": ["192.0.2.7/24", "198.51.100.7"], "network6": ["2001:db8::/48"] },
                "nyc1": { "network6": ["2001:db8:1::/48"], "coordinates": { "latitude": 1.1, "longitude": 2 } } } }"#;
        let expected = [
            ("10.7.0.0/16", "isp1"),
            ("192.0.2.0/24", "ams1"),
            ("198.51.100.7/32", "ams1"),
            ("2001:db8::/48", "ams1"),
            ("2001:db8:1::/48", "nyc1"),
        ];
        assert_eq!(read("czf.json", text).unwrap(), zones(&expected));
    }

    #[test]
    fn plain_json_and_csv_say_the_same() {
        let expected = zones(&[("192.0.2.0/24", "ams1"), ("2001:db8::/32", "nyc1")]);
        assert_eq!(read("a.json", r#"{"192.0.2.0/24": "ams1", "2001:db8::/32": "nyc1"}"#).unwrap(), expected);
        let csv = "\u{feff}prefix,cluster\n# ours\n192.0.2.0/24, ams1 # Amsterdam\n\n\"2001:db8::/32\",\"nyc1\"\r\n";
        assert_eq!(read("a.csv", csv).unwrap(), expected);
        assert_eq!((read("a.csv", ""), read("a.json", "{}")), (Ok(Vec::new()), Ok(Vec::new())));
    }

    #[test]
    fn what_is_wrong_is_told_by_file_and_place_and_with_what_to_write() {
        for (file, text, expected) in [
            ("a.csv", "192.0.2.0/24,x\n192.0.2/24,x\n", "a.csv:2: \"192.0.2/24\" is no prefix: write one such as"),
            ("a.csv", "192.0.2.0/24\n", "a.csv:1: \"192.0.2.0/24\" has no comma: write prefix,cluster"),
            ("a.csv", "192.0.2.0/24,\n", "a.csv:1: 192.0.2.0/24 has no cluster: name one"),
            ("a.csv", "192.0.2.0/24,x\nprefix,cluster\n", "a.csv:2: \"prefix\" is no prefix"),
            ("a.json", "{\n\"192.0.2.0/33\": \"x\"}", "a.json:2:14: \"192.0.2.0/33\" is no prefix"),
            (
                "a.json",
                "{\"coverageZones\": {\"x\": {\"network\": [\n\"10.0.0.0/40\"]}}}",
                "a.json:2:14: \"10.0.0.0/40\" is no",
            ),
            ("a.json", "{\"192.0.2.0/24\": 7}", "a.json:1:18: invalid type: integer `7`"),
            ("a.json", "[]", "a.json:1:0: invalid type: sequence, expected an object of prefixes"),
            ("a.json", "{\"a\": ", "a.json:1:6: EOF"),
        ] {
            let problem = read(file, text).unwrap_err();
            assert!(problem.starts_with(expected) && !problem.contains('\n'), "{expected:?} is not in {problem:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,./0-9a-fx\n#-]{0,120}") {
            let _ = CoverageFile::parse(Path::new("any"), &text, true);
            let _ = CoverageFile::parse(Path::new("any"), &text, false);
        }
    }
}
