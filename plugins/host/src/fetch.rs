//! HTTP requests that filters and services make themselves: who may be asked, how much and how long, and what of it is counted.
//!
//! What a guest says is checked here; finding, connecting, TLS and HTTP are the caller's ([`Fetchers`]). Invariant: nobody is asked for who is not
//! listed; each request takes a place of its plugin while it is under way; the time that it takes is not the guest's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Result;
use wasmtime::component::HasData;

use crate::ambient::nonsense;
use crate::bounds::Place;
use crate::filter::bindings::littoral::plugin::fetch::Host;
pub(crate) use crate::filter::bindings::littoral::plugin::fetch::{Refusal, Request, Response};
use crate::service::time::Time;

mod grant;
pub mod limits;
mod request;
mod status;

pub use grant::{FetchSpec, Origin};
pub use request::Asked;
pub(crate) use status::Fetched;
pub use status::FetchedStatus;

use limits::{REQUESTS_MAX, REQUESTS_TOTAL};

/// Why there is no response; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not listed.
    #[error("it is not granted")]
    NotGranted,
    /// Nobody knows the name.
    #[error("nobody knows the name")]
    NotFound,
    /// No address of it can be connected to.
    #[error("it cannot be connected to")]
    Unreachable,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// As many as there may be were made, or are under way.
    #[error("there are too many requests")]
    TooMany,
    /// The handshake failed.
    #[error("the handshake failed")]
    Tls,
    /// The request or the response is larger than it may be.
    #[error("it is too large")]
    TooLarge,
    /// What came is no HTTP, or ended too soon.
    #[error("what came is no HTTP")]
    Broken,
}

impl Refused {
    /// Labels of all kinds, in the order of the variants, and the one of success.
    pub const KINDS: [&'static str; 9] =
        ["not-granted", "not-found", "unreachable", "timeout", "too-many", "tls", "too-large", "broken", "answered"];
    const ALL: [Self; 8] = [
        Self::NotGranted,
        Self::NotFound,
        Self::Unreachable,
        Self::Timeout,
        Self::TooMany,
        Self::Tls,
        Self::TooLarge,
        Self::Broken,
    ];

    /// The one with a label.
    pub(crate) fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refused| Self::KINDS[*refused as usize] == label)
    }

    /// The labels of all of them, for people.
    pub(crate) fn labels() -> String {
        Self::KINDS[..Self::ANSWERED].join(", ")
    }

    /// The place of that one.
    const ANSWERED: usize = 8;
}

/// A response to a request of a guest's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, names in lower case, at most [`limits::FIELDS_MAX`] of [`limits::FIELDS_BYTES_MAX`].
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body, within [`FetchSpec::body_bytes`].
    pub body: Vec<u8>,
}

impl Answer {
    /// Itself, if its body has at most so many bytes.
    fn within(self, most: usize) -> Result<Self, Refused> {
        if self.body.len() > most { Err(Refused::TooLarge) } else { Ok(self) }
    }
}

/// What came of a request, as the contract has it.
pub(crate) fn told(outcome: Result<Answer, Refused>) -> Result<Response, Refusal> {
    let told = outcome.map(|Answer { status, fields, body }| Response { status, fields, body });
    told.map_err(refusal)
}

/// A request that is under way; one that is dropped is given up.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send>>;

/// Asks for the guests of one generation of a plugin, as far as it was granted that.
pub trait Fetcher: Send + Sync {
    /// Asks, for at most so long. An address that the host leads to must be one that the grant permits ([`crate::service::reach`]).
    fn fetch(&self, asked: Asked, within: Duration) -> Fetching;
}

/// A URL's parts, for its fuzz target.
pub(crate) fn read_url(text: &str) -> Option<(bool, String, u16, String)> {
    request::place(text).ok().map(|place| (place.secure, place.host, place.port, place.target))
}

/// Makes fetchers.
pub trait Fetchers: Send + Sync {
    /// One for a grant.
    ///
    /// # Errors
    /// What of the grant cannot be used.
    fn open(&self, granted: &FetchSpec) -> Result<Arc<dyn Fetcher>, String>;
}

/// Nobody asks: for whoever only wants to see whether a guest starts.
struct Nobody;

impl Fetcher for Nobody {
    fn fetch(&self, _asked: Asked, _within: Duration) -> Fetching {
        Box::pin(async { Err(Refused::Unreachable) })
    }
}

/// What a generation is granted, and who asks for it.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) spec: FetchSpec,
    pub(crate) fetcher: Arc<dyn Fetcher>,
}

impl Granted {
    /// # Errors
    /// What of the grant cannot be used.
    pub(crate) fn open(spec: &FetchSpec, fetchers: Option<&Arc<dyn Fetchers>>) -> Result<Self, String> {
        let fetcher = fetchers.map_or_else(|| Ok(Arc::new(Nobody) as Arc<dyn Fetcher>), |fetchers| fetchers.open(spec));
        Ok(Self { spec: spec.clone(), fetcher: fetcher? })
    }
}

/// How far what a call may ask goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All requests of one call share its time, and are bounded in number.
    Call,
    /// Each request has its time.
    Connection,
}

/// What one instance may ask.
pub(crate) struct Asking {
    granted: Option<Arc<Granted>>,
    fetched: Arc<Fetched>,
    scope: Scope,
    left: Duration,
    made: usize,
}

impl Asking {
    pub(crate) fn of(granted: Option<&Arc<Granted>>, fetched: &Arc<Fetched>, scope: Scope) -> Self {
        let (granted, fetched) = (granted.cloned(), fetched.clone());
        let mut asking = Self { granted, fetched, scope, left: Duration::ZERO, made: 0 };
        asking.begin();
        asking
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self) {
        self.made = 0;
        self.left = self.granted.as_ref().map_or(Duration::ZERO, |granted| granted.spec.timeout);
    }

    /// What is asked, checked; or why nobody is.
    fn checked(&self, request: Request, passed: Vec<Vec<u8>>) -> Result<Result<(Asked, Arc<Granted>), Refused>> {
        let granted = self.granted.clone().ok_or_else(|| nonsense("it was granted nobody to ask by HTTP".into()))?;
        let place = request::place(&request.url).map_err(nonsense)?;
        let method = request::method(request.method).map_err(nonsense)?;
        let fields = request::fields(request.fields).map_err(nonsense)?;
        let Some(fields) = fields.filter(|_| request.body.len() <= granted.spec.body_bytes) else {
            return Ok(Err(Refused::TooLarge));
        };
        let request::Place { secure, host, port, target } = place;
        let Some(host) = granted.spec.named(secure, &host, port) else { return Ok(Err(Refused::NotGranted)) };
        Ok(Ok((Asked { method, secure, host, port, target, fields, body: request.body, passed }, granted)))
    }

    async fn ask(&mut self, request: Request, passed: Vec<Vec<u8>>) -> Result<Result<Answer, Refused>> {
        let wanted = Duration::from_millis(request.timeout_ms.into());
        let (asked, granted) = match self.checked(request, passed)? {
            Ok(checked) => checked,
            Err(refused) => return Ok(Err(refused)),
        };
        self.made += 1;
        let is_one_more = self.scope == Scope::Connection || self.made <= REQUESTS_MAX;
        let taken = is_one_more.then(|| Place::take(&self.fetched.open, REQUESTS_TOTAL)).flatten();
        let Some(_taken) = taken else { return Ok(Err(Refused::TooMany)) };
        let within = if wanted.is_zero() { self.left } else { wanted.min(self.left) };
        if within.is_zero() {
            return Ok(Err(Refused::Timeout));
        }
        let (since, most) = (Instant::now(), granted.spec.body_bytes);
        let answered = granted.fetcher.fetch(asked, within).await;
        if self.scope == Scope::Call {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        Ok(answered.and_then(|answer| answer.within(most)))
    }

    /// Begins a request for whoever does not wait for it. What comes of it is noted when it does; what is refused at once, here.
    pub(crate) fn begin_one(&mut self, request: Request) -> Result<Result<Fetching, Refused>> {
        let wanted = Duration::from_millis(request.timeout_ms.into());
        let sent = request.body.len();
        let begun = match self.checked(request, Vec::new())? {
            Ok(checked) => {
                Place::take(&self.fetched.open, REQUESTS_TOTAL).map(|place| (checked, place)).ok_or(Refused::TooMany)
            }
            Err(refused) => Err(refused),
        };
        let ((asked, granted), place) = match begun {
            Ok(begun) => begun,
            Err(refused) => {
                self.fetched.noted(&Err(refused), sent, Duration::ZERO);
                return Ok(Err(refused));
            }
        };
        let most = granted.spec.timeout;
        let within = if wanted.is_zero() { most } else { wanted.min(most) };
        let fetched = self.fetched.clone();
        Ok(Ok(Box::pin(async move {
            let (since, _place) = (Instant::now(), place);
            let answered = granted.fetcher.fetch(asked, within).await;
            let outcome = answered.and_then(|answer| answer.within(granted.spec.body_bytes));
            fetched.noted(&outcome, sent, since.elapsed());
            outcome
        })))
    }
}

/// A guest that asks, for the time of one function of the host.
pub(crate) struct Asker<'a> {
    pub(crate) asking: &'a mut Asking,
    pub(crate) time: &'a mut Time,
    /// Values of `CDN-Loop` of the request at hand.
    pub(crate) passed: Vec<Vec<u8>>,
    /// Why nothing may be asked here.
    pub(crate) forbidden: Option<&'static str>,
}

/// What has an [`Asker`].
pub(crate) struct OfGuest;

impl HasData for OfGuest {
    type Data<'a> = Asker<'a>;
}

/// The guest gave up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct GaveUp(String);

pub(crate) fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::NotGranted => Refusal::NotGranted,
        Refused::NotFound => Refusal::NotFound,
        Refused::Unreachable => Refusal::Unreachable,
        Refused::Timeout => Refusal::Timeout,
        Refused::TooMany => Refusal::TooMany,
        Refused::Tls => Refusal::Tls,
        Refused::TooLarge => Refusal::TooLarge,
        Refused::Broken => Refusal::Broken,
    }
}

impl Host for Asker<'_> {
    async fn send(&mut self, request: Request) -> Result<Result<Response, Refusal>> {
        if let Some(why) = self.forbidden {
            return Err(nonsense(why.into()));
        }
        let (since, sent) = (Instant::now(), request.body.len());
        let outcome = self.asking.ask(request, std::mem::take(&mut self.passed)).await?;
        let waited = since.elapsed();
        self.time.waited(waited);
        self.asking.fetched.noted(&outcome, sent, waited);
        Ok(told(outcome))
    }

    fn give_up(&mut self, mut why: String) -> Result<()> {
        why.truncate(why.floor_char_boundary(crate::limits::ERROR_BYTES_MAX));
        Err(wasmtime::Error::new(GaveUp(why)))
    }
}

#[cfg(test)]
mod tests;
