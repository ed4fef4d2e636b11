//! Writes small geo-IP databases (MMDB) for tests.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::SystemTime;

use ipnet::IpNet;
use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde_json::{Value, json};

/// A database in the making.
pub struct Builder {
    database: Database,
}

impl Builder {
    /// A city database in the layout of GeoLite2.
    pub fn city() -> Self {
        Self::of("GeoLite2-City")
    }

    /// A country database in the layout of GeoLite2.
    pub fn country() -> Self {
        Self::of("GeoLite2-Country")
    }

    fn of(kind: &str) -> Self {
        let mut database = Database::default();
        database.metadata.database_type = kind.into();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        database.metadata.build_epoch = now.unwrap_or_default().as_secs();
        database.metadata.binary_format_major_version = 2;
        database.metadata.ip_version = IpVersion::V6;
        database.metadata.languages = vec!["en".into()];
        database.metadata.description = [("en".to_owned(), "made for a test".to_owned())].into();
        Self { database }
    }

    /// Says that it was made so many seconds after 1970.
    pub fn built(mut self, at_s: u64) -> Self {
        self.database.metadata.build_epoch = at_s;
        self
    }

    /// Adds a city.
    pub fn add_city(self, prefix: &str, country: &str, city: &str, latitude: f64, longitude: f64) -> Self {
        self.add(
            prefix,
            &json!({
                "country": { "iso_code": country },
                "city": { "names": { "en": city } },
                "location": { "latitude": latitude, "longitude": longitude },
            }),
        )
    }

    /// Adds a country.
    pub fn add_country(self, prefix: &str, country: &str) -> Self {
        self.add(prefix, &json!({ "country": { "iso_code": country } }))
    }

    /// Adds any record.
    ///
    /// # Panics
    /// When `prefix` is no prefix or the record cannot be written.
    pub fn add(mut self, prefix: &str, record: &Value) -> Self {
        let net: IpNet = prefix.parse().expect("a prefix");
        let data = self.database.insert_value(record).expect("a record");
        // One tree for both families, IPv4 under ::/96, as the format has it.
        let (address, length) = match net {
            IpNet::V4(v4) => (Ipv6Addr::from_bits(u128::from(v4.network().to_bits())), v4.prefix_len() + 96),
            IpNet::V6(v6) => (v6.network(), v6.prefix_len()),
        };
        self.database.insert_node(IpAddrWithMask::new(address.into(), length), data);
        self
    }

    /// Writes the file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &Path) {
        let file = std::fs::File::create(path).expect("a file");
        self.database.write_to(file).expect("a written database");
    }
}
