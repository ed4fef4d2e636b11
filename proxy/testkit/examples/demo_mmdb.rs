//! Writes `assets/demo-city.mmdb`, the city database of `littoral demo`, from `assets/demo-cities.csv`.
//!
//! Run it from the repository's root after changing the cities:
//! `cargo run -p littoral-testkit --example demo_mmdb -- assets/demo-cities.csv assets/demo-city.mmdb`.
//! The networks are from 198.18.0.0/15, which RFC 2544 sets aside for tests.

use std::fs::File;

use anyhow::Context;
use maxminddb_writer::Database;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;

/// A record in the shape of GeoLite2-City, as far as a routing policy reads it.
#[derive(Serialize)]
struct Record<'a> {
    city: Names<'a>,
    country: Country<'a>,
    location: Location,
}

#[derive(Serialize)]
struct Names<'a> {
    names: English<'a>,
}

#[derive(Serialize)]
struct English<'a> {
    en: &'a str,
}

#[derive(Serialize)]
struct Country<'a> {
    iso_code: &'a str,
}

#[derive(Serialize)]
struct Location {
    latitude: f64,
    longitude: f64,
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(cities), Some(out)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: demo_mmdb CITIES.csv OUT.mmdb");
    };
    let mut database = Database::default();
    database.metadata.database_type = "GeoLite2-City".into();
    database.metadata.binary_format_major_version = 2;
    database.metadata.languages = vec!["en".into()];
    database.metadata.description = [("en".to_owned(), "cities of the littoral demo".to_owned())].into();
    for line in std::fs::read_to_string(&cities).with_context(|| cities.clone())?.lines().skip(1) {
        insert(&mut database, line).with_context(|| format!("{cities}: `{line}`"))?;
    }
    database.write_to(File::create(&out).with_context(|| out.clone())?)?;
    Ok(())
}

fn insert(database: &mut Database, line: &str) -> anyhow::Result<()> {
    let fields: Vec<&str> = line.split(',').collect();
    let [city, country, latitude, longitude, network] = fields[..] else {
        anyhow::bail!("not city,country,latitude,longitude,network");
    };
    let record = Record {
        city: Names { names: English { en: city } },
        country: Country { iso_code: country },
        location: Location { latitude: latitude.parse()?, longitude: longitude.parse()? },
    };
    let record = database.insert_value(record).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let network: IpAddrWithMask = network.parse().map_err(|error| anyhow::anyhow!("{error:?}"))?;
    database.insert_node(network, record);
    Ok(())
}
