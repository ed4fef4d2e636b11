//! HTTP requests that a plugin makes itself: [`Request`], [`Response`], and why there is none, [`Refused`].
//!
//! ```
//! use littoral_plugin::filter::{Exchange, Request};
//!
//! fn tell_plan(x: &mut impl Exchange, token: &str) {
//!     let request = Request::get("https://api.example.org/v1/plan").with("authorization", token);
//!     match x.fetch(&request) {
//!         Ok(response) if response.status == 200 => x.set_field("x-plan", &response.text()),
//!         Ok(response) => littoral_plugin::warn!("the plan is not known: {}", response.status),
//!         Err(refused) => x.give_up(&refused.to_string()),
//!     }
//! }
//! # use littoral_plugin::filter::sketch::{Sketch, Web};
//! # let web = Web::default().answering("https://api.example.org/v1/plan", 200, &[], "gold");
//! # let mut x = Sketch { web, ..Sketch::get("/", &[]) };
//! # tell_plan(&mut x, "secret");
//! # assert_eq!(x.field("x-plan").as_deref(), Some("gold"));
//! ```
//!
//! The operator grants whom (`http` of the `[[plugin]]`). A filter asks at `request` and `origin`
//! ([`Exchange::fetch`](crate::filter::Exchange::fetch)), a service while it serves ([`Connection::fetch`](crate::service::Connection::fetch),
//! [`Host::fetch`](crate::datagrams::Host::fetch)). The contract in `plugins/wit/fetch.wit` says what is allowed. In native tests, [`sketch::Web`]
//! is who is asked.

pub mod sketch;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Whom, and for what.
    pub url: String,
    /// Its fields, beside Host and those that frame the body.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long the answer may take, ms, where that is less than there is. 0: as long as there is.
    pub timeout_ms: u32,
}

impl Request {
    /// Of a method and a URL.
    pub fn of(method: &str, url: &str) -> Self {
        Self { method: method.to_owned(), url: url.to_owned(), ..Self::default() }
    }

    /// A GET.
    pub fn get(url: &str) -> Self {
        Self::of("GET", url)
    }

    /// A POST of a body.
    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::of("POST", url) }
    }

    /// The same with one field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The same with so long to be answered, ms.
    #[must_use]
    pub fn within(mut self, ms: u32) -> Self {
        self.timeout_ms = ms;
        self
    }
}

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a field, as text.
    pub fn field(&self, name: &str) -> Option<String> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The operator's list does not name it, or its addresses are not public and not listed.
    NotGranted,
    /// Nobody knows the name.
    NotFound,
    /// No address of it can be connected to.
    Unreachable,
    /// It took too long.
    Timeout,
    /// As many as there may be were made by this call, or are under way.
    TooMany,
    /// The handshake failed.
    Tls,
    /// The request or the response has more bytes or fields than it may.
    TooLarge,
    /// What came is no HTTP, or ended too soon.
    Broken,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotGranted => "it may not be asked",
            Self::NotFound => "nobody knows the name",
            Self::Unreachable => "it cannot be connected to",
            Self::Timeout => "it took too long",
            Self::TooMany => "too many requests were made",
            Self::Tls => "the handshake failed",
            Self::TooLarge => "it is too large",
            Self::Broken => "what came is no HTTP",
        })
    }
}

impl std::error::Error for Refused {}

/// Binds requests to the host, inside what the export macros make: the functions `fetched` and `gave_up`.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_fetch {
    () => {
        fn fetched(request: &$crate::fetch::Request) -> Result<$crate::fetch::Response, $crate::fetch::Refused> {
            use littoral::plugin::fetch::send;
            use $crate::fetch::Response;
            let $crate::fetch::Request { method, url, fields, body, timeout_ms } = request.clone();
            let asked = littoral::plugin::fetch::Request { method, url, fields, body, timeout_ms };
            match send(&asked) {
                Ok(told) => Ok(Response { status: told.status, fields: told.fields, body: told.body }),
                Err(told) => Err(fetch_refused(told)),
            }
        }

        $crate::bind_fetch_refused!();

        fn gave_up(why: &str) -> ! {
            littoral::plugin::fetch::give_up(why);
            unreachable!("the host ends the call")
        }
    };
}

/// Binds why there is no response: the function `fetch_refused`.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_fetch_refused {
    () => {
        fn fetch_refused(told: littoral::plugin::fetch::Refusal) -> $crate::fetch::Refused {
            use littoral::plugin::fetch::Refusal;
            use $crate::fetch::Refused;
            match told {
                Refusal::NotGranted => Refused::NotGranted,
                Refusal::NotFound => Refused::NotFound,
                Refusal::Unreachable => Refused::Unreachable,
                Refusal::Timeout => Refused::Timeout,
                Refusal::TooMany => Refused::TooMany,
                Refusal::Tls => Refused::Tls,
                Refusal::TooLarge => Refused::TooLarge,
                Refusal::Broken => Refused::Broken,
            }
        }
    };
}
