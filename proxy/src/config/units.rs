//! Values in human units: sizes, durations, bandwidths, prefixes.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Bytes: `"64MiB"`, `"1GB"`, `"512"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A duration: `"250ms"`, `"30s"`, `"1h 30m"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Bits per second: `"40Gbps"`, `"100 Mbps"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth(pub u64);

/// Addresses: `"198.51.100.0/24"`, or one alone: `"198.51.100.7"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix(pub IpNet);

impl Bandwidth {
    /// In megabits per second, at least 1, at most `u32::MAX`.
    pub fn mbps(self) -> u32 {
        u32::try_from((self.0 / 1_000_000).max(1)).unwrap_or(u32::MAX)
    }
}

impl std::str::FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let size: Result<bytesize::ByteSize, _> = text.parse();
        size.map(|size| Self(size.as_u64()))
            .map_err(|_| format!("{text:?} is no size: write a number and a unit, such as \"64MiB\""))
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text);
        span.map(Self)
            .map_err(|_| format!("{text:?} is no duration: write a number and a unit, such as \"30s\" or \"500ms\""))
    }
}

impl std::str::FromStr for Prefix {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let prefix: IpNet = text.parse().or_else(|_| alone()).map_err(|_| {
            format!("{text:?} is no prefix: write \"198.51.100.0/24\" or one address, \"198.51.100.7\"")
        })?;
        match prefix == prefix.trunc() {
            true => Ok(Self(prefix)),
            false => Err(format!("{prefix} has bits beyond its length: write {}", prefix.trunc())),
        }
    }
}

impl std::str::FromStr for Bandwidth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is no bandwidth: write a number and a unit, such as \"40Gbps\"");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..digits].parse().map_err(|_| problem())?;
        let scale = match text[digits..].trim() {
            "bps" => 1.0,
            "kbps" | "Kbps" => 1e3,
            "Mbps" => 1e6,
            "Gbps" => 1e9,
            "Tbps" => 1e12,
            _ => return Err(problem()),
        };
        Ok(Self((number * scale) as u64))
    }
}

/// Reads a unit from a TOML string.
struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: std::str::FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a size in quotes, such as \"64MiB\""))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a duration in quotes, such as \"30s\""))
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a prefix in quotes, such as \"198.51.100.0/24\""))
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a bandwidth in quotes, such as \"40Gbps\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_people_write_them() {
        assert_eq!("64MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("1 GB".parse(), Ok(Size(1_000_000_000)));
        assert_eq!("1m 30s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("2.5Gbps".parse(), Ok(Bandwidth(2_500_000_000)));
        assert_eq!("2001:db8::1".parse(), Ok(Prefix("2001:db8::1/128".parse().unwrap())));
    }

    #[test]
    fn a_wrong_unit_says_how_to_write_it() {
        assert!("64 parsecs".parse::<Size>().unwrap_err().contains("64MiB"));
        assert!("30".parse::<Span>().unwrap_err().contains("30s"));
        assert!("40".parse::<Bandwidth>().unwrap_err().contains("40Gbps"));
        assert!("10.0.0.0/33".parse::<Prefix>().unwrap_err().contains("198.51.100.0/24"));
        assert!("10.0.0.1/8".parse::<Prefix>().unwrap_err().contains("write 10.0.0.0/8"));
    }
}
