//! The cities players sit in, and the cluster that geography alone would give each.
//!
//! `assets/demo-cities.csv` is also what the demo's city database is made from. The nearest cluster is worked out here
//! from the coordinates, independent of the node's own arithmetic, so that the demo checks the node and does not ask it.

use std::net::Ipv4Addr;

use anyhow::Context;

use super::world::{SITES, Site};
use crate::play::Link;

/// A place with players.
#[derive(Debug, Clone)]
pub(super) struct City {
    pub(super) name: String,
    /// A client of the city's network.
    pub(super) client: Ipv4Addr,
    /// Where clients of this network must be sent while all clusters are up.
    pub(super) cluster: &'static str,
    /// By which rule, in the node's word for it.
    pub(super) rule: &'static str,
    /// The access link of its players.
    pub(super) link: Link,
    pub(super) link_text: &'static str,
}

/// Access links, one city after the other, so that the table shows players adapting to different ones.
const LINKS: [&str; 5] = ["1Mbps:6s,250kbps:8s", "2Mbps", "600kbps", "20Mbps", "320kbps"];

/// Cities of the database, and one network that is in no database but in a cluster's coverage zone.
///
/// # Errors
/// When the embedded table is malformed.
pub(super) fn all() -> anyhow::Result<Vec<City>> {
    let table = include_str!("../../../assets/demo-cities.csv");
    let mut links = LINKS.into_iter().cycle();
    let mut link = || links.next().expect("invariant: a cycle never ends");
    let mut cities = Vec::new();
    for line in table.lines().skip(1) {
        cities.push(of_line(line, link())?);
    }
    let campus = Ipv4Addr::new(203, 0, 113, 9);
    cities.push(City::new("Lisbon campus", campus, ("nyc1", "coverage"), link())?);
    Ok(cities)
}

impl City {
    fn new(
        name: &str,
        client: Ipv4Addr,
        (cluster, rule): (&'static str, &'static str),
        link_text: &'static str,
    ) -> anyhow::Result<Self> {
        let link = link_text.parse().map_err(anyhow::Error::msg)?;
        Ok(Self { name: name.into(), client, cluster, rule, link, link_text })
    }
}

fn of_line(line: &str, link: &'static str) -> anyhow::Result<City> {
    let fields: Vec<&str> = line.split(',').collect();
    let [name, _, latitude, longitude, network] = fields[..] else { anyhow::bail!("`{line}` is no city") };
    let at = (latitude.parse()?, longitude.parse()?);
    let network: ipnet::Ipv4Net = network.parse()?;
    let client = network.hosts().nth(6).context("a network without hosts")?;
    City::new(name, client, (nearest(at, &SITES).id, "geo"), link)
}

/// The site at the shortest great-circle distance from `at`.
pub(super) fn nearest<'a>(at: (f64, f64), sites: impl IntoIterator<Item = &'a Site>) -> &'a Site {
    let by_distance = |a: &&Site, b: &&Site| kilometres(at, a.at).total_cmp(&kilometres(at, b.at));
    sites.into_iter().min_by(by_distance).expect("invariant: there is always a site")
}

/// Great-circle distance (haversine) between two points in degrees.
fn kilometres(a: (f64, f64), b: (f64, f64)) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6371.0;
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let haversine = half(a.0, b.0) + a.0.to_radians().cos() * b.0.to_radians().cos() * half(a.1, b.1);
    2.0 * EARTH_RADIUS_KM * haversine.sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_city_has_the_cluster_a_map_would_give_it() {
        let found: Vec<(String, &str)> = all().unwrap().into_iter().map(|city| (city.name, city.cluster)).collect();
        let expected = [
            ("Amsterdam", "ams1"),
            ("Paris", "ams1"),
            ("London", "ams1"),
            ("New York", "nyc1"),
            ("San Francisco", "nyc1"),
            ("Tokyo", "tyo1"),
            ("Singapore", "tyo1"),
            ("Sydney", "tyo1"),
            ("Lisbon campus", "nyc1"),
        ];
        assert_eq!(found, expected.map(|(city, cluster)| (city.to_owned(), cluster)));
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        let amsterdam_new_york = kilometres((52.37, 4.90), (40.71, -74.01));
        assert!((5830.0..5900.0).contains(&amsterdam_new_york), "{amsterdam_new_york}");
    }

    #[test]
    fn the_city_database_places_every_city_where_the_table_has_it() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo-city.mmdb");
        let database = littoral_geo::database::Database::open(file.as_ref()).unwrap();
        for line in include_str!("../../../assets/demo-cities.csv").lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let network: ipnet::Ipv4Net = fields[4].parse().unwrap();
            let (located, prefix) = database.find(network.addr().into());
            let place = littoral_geo::routing::unit_vector(fields[2].parse().unwrap(), fields[3].parse().unwrap());
            assert_eq!(located.place.at, Some(place), "{line}");
            assert_eq!(prefix, 24, "{line}");
        }
    }
}
