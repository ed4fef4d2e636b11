//! Cross-origin resource sharing (Fetch Standard §3.2): answers preflights, and says in responses who may read them.
//!
//! ```toml
//! config = { origins = ["https://app.example"], methods = ["GET", "HEAD"], headers = ["range"], expose = ["content-range"], max_age_s = 600 }
//! ```
//!
//! `origins = ["*"]` allows everybody, which excludes `credentials = true`. What is stored is the same for all: the fields are added on
//! the way to the client, with `Vary: Origin` where the answer depends on it.

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Store};
use serde::Deserialize;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    expose: Vec<String>,
    max_age_s: u32,
    credentials: bool,
}

impl Default for Cors {
    fn default() -> Self {
        let methods = ["GET", "HEAD"].map(String::from).into();
        Self {
            origins: Vec::new(),
            methods,
            headers: Vec::new(),
            expose: Vec::new(),
            max_age_s: 600,
            credentials: false,
        }
    }
}

impl Cors {
    fn is_for_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    /// What Access-Control-Allow-Origin says to a page of this origin.
    fn allowed<'a>(&self, origin: &'a str) -> Option<&'a str> {
        match self.is_for_all() {
            true => Some("*"),
            false => self.origins.iter().any(|known| known == origin).then_some(origin),
        }
    }
}

impl Filter for Cors {
    const POINTS: &'static [Point] = &[Point::Request, Point::Response];

    fn new(config: &str) -> Result<Self, String> {
        let cors: Self = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match () {
            () if cors.origins.is_empty() => Err("origins: name who may read, such as \"https://app.example\"".into()),
            () if cors.is_for_all() && cors.credentials => {
                Err("credentials: not with origins = [\"*\"]: name the origins".into())
            }
            () => Ok(cors),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, _store: &mut impl Store) -> Option<Reply> {
        if x.method() != "OPTIONS" {
            return None;
        }
        x.field("access-control-request-method")?;
        let mut reply = Reply { status: 204, ..Reply::default() }.with("vary", "origin");
        if let Some(allowed) = x.field("origin").as_deref().and_then(|origin| self.allowed(origin)) {
            reply = reply
                .with("access-control-allow-origin", allowed)
                .with("access-control-allow-methods", &self.methods.join(", "))
                .with("access-control-max-age", &self.max_age_s.to_string());
            if !self.headers.is_empty() {
                reply = reply.with("access-control-allow-headers", &self.headers.join(", "));
            }
            if self.credentials {
                reply = reply.with("access-control-allow-credentials", "true");
            }
        }
        Some(reply)
    }

    fn on_response(&mut self, x: &mut impl Exchange) {
        let origin = x.request_field("origin");
        if !self.is_for_all() {
            x.add_field("vary", "origin");
        }
        x.remove_field("access-control-allow-origin");
        let Some(allowed) = origin.as_deref().and_then(|origin| self.allowed(origin)) else { return };
        x.set_field("access-control-allow-origin", allowed);
        if !self.expose.is_empty() {
            x.set_field("access-control-expose-headers", &self.expose.join(", "));
        }
        if self.credentials {
            x.set_field("access-control-allow-credentials", "true");
        }
    }
}

littoral_plugin::export_filter!(Cors, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};

    use super::*;

    fn of(reply: &Reply, name: &str) -> Option<String> {
        reply.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_preflight_is_answered_and_allows_only_those_who_are_named() {
        let mut cors = Cors::new(r#"{"origins": ["https://a.example"], "headers": ["range"]}"#).unwrap();
        for (origin, allowed) in [("https://a.example", Some("https://a.example")), ("https://b.example", None)] {
            let mut x = Sketch::get("/", &[("origin", origin), ("access-control-request-method", "GET")]);
            x.method = "OPTIONS".into();
            let reply = cors.on_request(&mut x, &mut Shelf::default()).unwrap();
            assert_eq!((reply.status, of(&reply, "access-control-allow-origin").as_deref()), (204, allowed));
        }
        assert_eq!(cors.on_request(&mut Sketch::get("/", &[("origin", "x")]), &mut Shelf::default()), None);
    }

    #[test]
    fn a_response_says_who_may_read_it_and_what_that_depends_on() {
        let mut cors = Cors::new(r#"{"origins": ["https://a.example"], "credentials": true}"#).unwrap();
        let mut x = Sketch::get("/", &[("origin", "https://a.example")]).answered(200, &[]);
        cors.on_response(&mut x);
        assert_eq!(x.field("access-control-allow-origin").as_deref(), Some("https://a.example"));
        assert_eq!(x.fields("vary"), ["origin"]);
        let mut x = Sketch::get("/", &[]).answered(200, &[("access-control-allow-origin", "*")]);
        cors.on_response(&mut x);
        assert_eq!(x.field("access-control-allow-origin"), None);
    }

    #[test]
    fn everybody_and_credentials_exclude_each_other() {
        assert!(Cors::new(r#"{"origins": ["*"], "credentials": true}"#).is_err());
        assert!(Cors::new("{}").is_err());
    }
}
