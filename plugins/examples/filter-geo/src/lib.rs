//! Lets clients pass by the country and the autonomous system that the node's databases (`[geo] database`) place them in.
//!
//! ```toml
//! config = { allow = ["NL", "BE"], deny_systems = [64496], unknown = "allow", status = 451, except = ["/imprint"], field = "x-country" }
//! ```
//!
//! `allow` names the only countries that pass, `deny` those that do not; one of the two, or neither. Who is in none of the databases
//! passes or not as `unknown` says (`allow` by default). A system in `allow_systems` passes wherever it is, one in `deny_systems` never.
//! `field` tells the origin the country, `ZZ` where it is not known; name it in `site.key.headers` where answers differ by it.

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// What the origin is told of who is nowhere (ISO 3166-1: for users to assign).
const NOWHERE: &str = "ZZ";

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Geo {
    allow: Vec<String>,
    deny: Vec<String>,
    allow_systems: Vec<u32>,
    deny_systems: Vec<u32>,
    unknown: Unknown,
    status: u16,
    text: String,
    except: Vec<String>,
    field: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Allow,
    Deny,
}

impl Default for Geo {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            allow_systems: Vec::new(),
            deny_systems: Vec::new(),
            unknown: Unknown::Allow,
            status: 403,
            text: "not available where you are".to_owned(),
            except: Vec::new(),
            field: None,
        }
    }
}

impl Geo {
    fn passes(&self, country: Option<&str>, system: u32) -> bool {
        if system != 0 && self.allow_systems.contains(&system) {
            return true;
        }
        if system != 0 && self.deny_systems.contains(&system) {
            return false;
        }
        let names = |list: &[String], country: &str| list.iter().any(|known| known == country);
        match country {
            None if self.allow.is_empty() && self.deny.is_empty() => true,
            None => self.unknown == Unknown::Allow,
            Some(country) if self.allow.is_empty() => !names(&self.deny, country),
            Some(country) => names(&self.allow, country),
        }
    }
}

impl Filter for Geo {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let is_country = |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        match () {
            () if !filter.allow.is_empty() && !filter.deny.is_empty() => {
                Err("allow and deny: name those who pass, or those who do not, not both".into())
            }
            () if !filter.allow.iter().chain(&filter.deny).all(is_country) => {
                Err("allow and deny: a country is two capital letters (ISO 3166-1), such as \"NL\"".into())
            }
            () if !(400..=599).contains(&filter.status) => {
                Err(format!("status: {} refuses nobody; 403 and 451 do", filter.status))
            }
            () => Ok(filter),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        let country = x.country();
        if let Some(field) = &self.field {
            x.set_field(field, country.as_deref().unwrap_or(NOWHERE));
        }
        let target = x.target();
        let is_excepted = self.except.iter().any(|start| target.starts_with(start));
        match is_excepted || self.passes(country.as_deref(), x.asn()) {
            true => None,
            false => Some(Reply::text(self.status, &self.text)),
        }
    }
}

littoral_plugin::export_filter!(Geo, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    fn status(config: &str, country: Option<&str>, asn: u32) -> u16 {
        let mut x = Sketch { country: country.map(String::from), asn, ..Sketch::get("/a", &[]) };
        Geo::new(config).unwrap().on_request(&mut x, &mut Shelf::default()).map_or(200, |reply| reply.status)
    }

    #[test]
    fn countries_and_systems_pass_as_the_operator_says() {
        let allow = r#"{"allow": ["NL"], "deny_systems": [7], "allow_systems": [8], "status": 451}"#;
        let deny = r#"{"deny": ["NL"], "unknown": "deny"}"#;
        for (config, country, asn, expected) in [
            (allow, Some("NL"), 1, 200),
            (allow, Some("NL"), 7, 451),
            (allow, Some("DE"), 1, 451),
            (allow, Some("DE"), 8, 200),
            (allow, None, 0, 200),
            (deny, Some("NL"), 1, 403),
            (deny, Some("DE"), 1, 200),
            (deny, None, 0, 403),
            (r#"{"deny_systems": [7], "unknown": "deny"}"#, None, 0, 200),
        ] {
            assert_eq!(status(config, country, asn), expected, "{config} {country:?} {asn}");
        }
    }

    #[test]
    fn the_origin_is_told_the_country_and_not_what_a_client_claims() {
        let mut filter = Geo::new(r#"{"field": "x-country", "deny": ["NL"], "except": ["/a"]}"#).unwrap();
        for (country, told) in [(Some("NL"), "NL"), (None, "ZZ")] {
            let mut x = Sketch { country: country.map(String::from), ..Sketch::get("/a", &[("x-country", "XX")]) };
            assert_eq!(filter.on_request(&mut x, &mut Shelf::default()), None, "its path is excepted");
            assert_eq!(x.fields("x-country"), [told]);
        }
    }

    #[test]
    fn a_config_that_cannot_be_meant_is_refused() {
        for wrong in [
            r#"{"allow": ["NL"], "deny": ["DE"]}"#,
            r#"{"allow": ["nl"]}"#,
            r#"{"deny": ["NLD"]}"#,
            r#"{"status": 200}"#,
        ] {
            assert!(Geo::new(wrong).is_err(), "{wrong}");
        }
    }
}
