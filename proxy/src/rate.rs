//! Which representation an `auto` segment URL gets.
//!
//! The trait is this crate's; a guest or the native throughput rule implements it. What a title's ladder is comes from the
//! manifest in the same directory, read from the cache or fetched through this node's own data port, parsed once and kept
//! until the stored manifest changes. The request then goes on under the chosen representation's own URL and cache key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use littoral_cache::{Entry, Key, Outcome, Store};
use littoral_manifests::limits::MPD_BYTES_MAX;
use littoral_manifests::{Presentation, Title};
use parking_lot::Mutex;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;
use url::Url;

use crate::clock::elapsed_ms;
use crate::itself::{self, Itself};
use crate::request::context::Context;
use crate::request::manifest::AS_IS;
use crate::video::told::Told;
use pace::Pace;
use refused::{Refused, Why};

pub(crate) mod advice;
mod behind;
pub mod chosen;
pub mod pace;
mod refused;

/// Titles whose manifests are kept parsed; with one more all are parsed again when they are asked for.
const TITLES_MAX: usize = 256;
/// Directories whose manifest's name is remembered.
const DIRECTORIES_MAX: usize = 4096;
/// Sessions whose last rung is remembered; they share slots beyond.
const SESSIONS: usize = 1 << 14;
/// Clients whose delivery rate is remembered; they share slots beyond.
const CLIENTS: usize = 1 << 12;
/// Responses smaller than this say nothing of the rate towards a client.
const MEASURED_BYTES_MIN: u64 = 32 << 10;
/// The manifest looked for where none has passed yet.
const MANIFEST: &str = "manifest.mpd";
/// Directories in which the manifest of a segment is looked for.
const DIRECTORIES_UP: usize = 4;
/// "No rung before".
pub const NO_RUNG: u8 = u8::MAX;

/// What a rate policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateAsk {
    /// What the last answer for this session carried; 0 at first.
    pub state: u64,
    /// Estimated throughput towards the client, kbit/s; 0 when unknown.
    pub est_kbps: u32,
    /// Media the player has buffered, ms.
    pub buffer_ms: u32,
    /// The rung before; 255: none.
    pub last_rung: u8,
    /// Duration of the segment, ms.
    pub segment_ms: u32,
    /// The ladder, as told to [`RatePolicy::ladder`].
    pub ladder: u32,
    /// Entropy.
    pub rand: u64,
}

/// What a rate policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateAnswer {
    /// The rung, below the ladder's length.
    pub rung: u8,
    /// Kept for the session's next question.
    pub state: u64,
    /// Advice to send no faster than this, kbit/s; 0: none.
    pub pace_kbps: u32,
    /// The generation of the guest that chose it; `None` for the native policy.
    pub guest: Option<u64>,
}

/// A rate policy.
pub trait RatePolicy: Send + Sync {
    /// Tells a ladder: its rates in kbit/s, slowest first.
    fn ladder(&self, id: u32, kbps: &[u32]);

    /// The rung of `ladder` to answer.
    fn select(&self, ask: &RateAsk, ladder: &[u32]) -> RateAnswer;
}

/// The native policy: the highest rung that nine tenths of the estimate carry, half of that with less than a segment in
/// the buffer; up one rung at a time.
#[derive(Debug, Clone, Copy)]
pub struct NativeThroughput;

impl RatePolicy for NativeThroughput {
    fn ladder(&self, _id: u32, _kbps: &[u32]) {}

    fn select(&self, ask: &RateAsk, ladder: &[u32]) -> RateAnswer {
        let trusted = u64::from(ask.est_kbps) * if ask.buffer_ms < ask.segment_ms { 45 } else { 90 } / 100;
        let carried = ladder.iter().rposition(|kbps| u64::from(*kbps) <= trusted).unwrap_or(0);
        let carried = u8::try_from(carried).unwrap_or(NO_RUNG - 1);
        let rung = if ask.last_rung == NO_RUNG { carried } else { carried.min(ask.last_rung.saturating_add(1)) };
        RateAnswer { rung, state: ask.state, pace_kbps: 0, guest: None }
    }
}

/// A title with its manifest parsed.
struct Known {
    title: Title,
    /// The ladder's number as told to the policy, for each ladder of the title.
    ladders: Vec<u32>,
    /// The stored manifest that this was parsed from, if it was stored.
    stored: Weak<Entry>,
}

/// What is known of the title in a directory without asking for anything.
enum AtHand {
    /// All.
    Title(Arc<Known>),
    /// What there is in place of its manifest is of no use, and why.
    Refused(Why),
    /// It has no manifest here: its place, and the path at which there may be one.
    Nothing(String, String),
}

/// A success under a manifest's name.
enum Fetched {
    Whole(Vec<u8>),
    /// Longer than a manifest may be.
    TooLong,
}

/// The rate side of a node.
pub struct Rate {
    policy: Box<dyn RatePolicy>,
    store: Arc<Store>,
    /// Asks the node itself for manifests that are not stored yet.
    itself: Option<reqwest::Client>,
    token: String,
    titles: Mutex<HashMap<String, Arc<Known>>>,
    manifests: Mutex<HashMap<String, String>>,
    /// What is in the place of manifests and of no use.
    refused: Refused,
    /// Live manifests that were read for what comes next.
    lives: behind::Lives,
    next_ladder: AtomicU32,
    rungs: Box<[AtomicU32]>,
    states: Box<[AtomicU64]>,
    rates: Box<[AtomicU32]>,
    by_guest: AtomicU64,
    by_native: AtomicU64,
    paced: AtomicU64,
    chosen: chosen::Chosen,
    advised: advice::Advised,
}

impl Rate {
    /// With a policy, over a store; by `token` the node knows itself.
    pub fn new(policy: Box<dyn RatePolicy>, store: Arc<Store>, itself: Option<&Itself>, token: String) -> Self {
        Self {
            policy,
            token,
            store,
            itself: itself.and_then(|itself| itself.client().timeout(Duration::from_secs(10)).build().ok()),
            titles: Mutex::default(),
            manifests: Mutex::default(),
            refused: Refused::default(),
            lives: behind::Lives::default(),
            next_ladder: AtomicU32::new(1),
            rungs: (0..SESSIONS).map(|_| AtomicU32::new(u32::from(NO_RUNG))).collect(),
            states: (0..SESSIONS).map(|_| AtomicU64::new(0)).collect(),
            rates: (0..CLIENTS).map(|_| AtomicU32::new(0)).collect(),
            by_guest: AtomicU64::new(0),
            by_native: AtomicU64::new(0),
            paced: AtomicU64::new(0),
            chosen: chosen::Chosen::default(),
            advised: advice::Advised::default(),
        }
    }

    /// Rewrites the request to the representation chosen, when its URL is an `auto` one. `false`: it is one, but of no
    /// title that is known.
    pub(crate) async fn resolve(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let request = session.req_header();
        let path = request.uri.path().to_owned();
        let Some((directory, file)) = path.rsplit_once('/').filter(|(_, file)| is_auto(file)) else {
            return Ok(true);
        };
        let Some(known) = self.title(&ctx.host, directory).await else {
            return Ok(false);
        };
        let Some(segment) = known.title.find(&path) else {
            return Ok(false);
        };
        let client = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let told = ctx.told.unwrap_or_default();
        let answer = self.choose(&known, segment, &told, client);
        let rung = usize::from(answer.rung);
        let Some((chosen, id)) = known.title.resolve(segment, rung) else {
            return Ok(false);
        };
        (ctx.representation, ctx.rate_generation) = (Some(id.to_owned()), answer.guest);
        if ctx.site.as_ref().is_some_and(|site| site.pace) {
            let kbps = known.title.ladder(segment).rung(rung).map_or(0, |rung| rung.kbps);
            let segment_ms = u32::try_from(known.title.duration_ms(segment)).unwrap_or(u32::MAX);
            ctx.pace = Pace::of(answer.pace_kbps, &told, kbps, segment_ms);
        }
        tracing::debug!(file, chosen, rung, "auto URL");
        let uri = chosen
            .parse::<http::Uri>()
            .map_err(|error| Error::because(ErrorType::InternalError, "an auto URL", error))?;
        session.req_header_mut().set_uri(uri);
        Ok(true)
    }

    fn choose(
        &self,
        known: &Known,
        segment: &littoral_manifests::AutoSegment,
        told: &Told,
        client: Option<IpAddr>,
    ) -> RateAnswer {
        let ladder = known.title.ladder(segment).kbps();
        let session = session_of(told, client);
        let slot = session as usize % SESSIONS;
        let ask = RateAsk {
            state: self.states[slot].load(Relaxed),
            est_kbps: self.estimate(told, client),
            buffer_ms: told.buffer_ms.unwrap_or(0),
            last_rung: u8::try_from(self.rungs[slot].load(Relaxed)).unwrap_or(NO_RUNG),
            segment_ms: u32::try_from(known.title.duration_ms(segment)).unwrap_or(u32::MAX),
            ladder: known.ladders[segment.ladder],
            rand: session,
        };
        let answer = self.policy.select(&ask, &ladder);
        let RateAnswer { rung, state, guest, .. } = answer;
        if guest.is_some() { &self.by_guest } else { &self.by_native }.fetch_add(1, Relaxed);
        if segment.segment.is_some() {
            self.chosen.note(ladder.get(usize::from(rung)).copied().unwrap_or(0), ask.last_rung, rung);
            self.rungs[slot].store(u32::from(rung), Relaxed);
            self.states[slot].store(state, Relaxed);
        }
        answer
    }

    /// The title in a directory: known, or read from its manifest.
    async fn title(&self, host: &str, directory: &str) -> Option<Arc<Known>> {
        match self.at_hand(host, directory) {
            AtHand::Title(known) => Some(known),
            AtHand::Refused(_) => None,
            AtHand::Nothing(place, path) => match self.fetch(host, &path).await? {
                Fetched::Whole(bytes) => self.learn(host, place, &path, &bytes, Weak::new()).ok(),
                Fetched::TooLong => {
                    self.refused.note(format!("{host} {path}"), Why::Unreadable, Weak::new(), elapsed_ms());
                    None
                }
            },
        }
    }

    fn at_hand(&self, host: &str, directory: &str) -> AtHand {
        let (place, path) = self.manifest_in(host, directory);
        let stored = self.store.stored(&Key::new(host, &path), None);
        let is_it = |known: &&Arc<Known>| stored.as_ref().is_none_or(|stored| refused::is(&known.stored, stored));
        if let Some(known) = self.titles.lock().get(&place).filter(is_it) {
            return AtHand::Title(known.clone());
        }
        if let Some(why) = self.refused.why(&format!("{host} {path}"), stored.as_ref(), elapsed_ms()) {
            return AtHand::Refused(why);
        }
        let body = stored.as_ref().and_then(|entry| Some((entry, entry.body()?)));
        let Some((entry, body)) = body else { return AtHand::Nothing(place, path) };
        let meant = Arc::downgrade(entry);
        if body.length() > MPD_BYTES_MAX as u64 {
            self.refused.note(format!("{host} {path}"), Why::Unreadable, meant, elapsed_ms());
            return AtHand::Refused(Why::Unreadable);
        }
        match self.learn(host, place, &path, &body.blocks().concat(), meant) {
            Ok(known) => AtHand::Title(known),
            Err(why) => AtHand::Refused(why),
        }
    }

    /// A directory as a place, and where its manifest is, as far as one is there.
    fn manifest_in(&self, host: &str, directory: &str) -> (String, String) {
        let place = format!("{host} {directory}");
        let name = self.manifests.lock().get(&place).cloned().unwrap_or_else(|| MANIFEST.to_owned());
        (place, format!("{directory}/{name}"))
    }

    /// Reads a manifest, and keeps what it says, or that it is of no use.
    fn learn(
        &self,
        host: &str,
        place: String,
        path: &str,
        bytes: &[u8],
        stored: Weak<Entry>,
    ) -> Result<Arc<Known>, Why> {
        let base = Url::parse(&format!("http://{host}{path}")).map_err(|_| Why::Unreadable)?;
        let presentation = match Presentation::parse(bytes, &base) {
            Ok(presentation) => presentation,
            Err(error) => {
                let why = Why::of(&error);
                match why {
                    // It comes anew every few seconds.
                    Why::Live => tracing::debug!(host, path, %error, "the manifest of a title"),
                    Why::Unreadable => tracing::warn!(host, path, %error, "the manifest of a title"),
                }
                self.refused.note(format!("{host} {path}"), why, stored, elapsed_ms());
                return Err(why);
            }
        };
        let title = Title::new(presentation);
        let ladders = title.ladders().iter().map(|ladder| {
            let id = self.next_ladder.fetch_add(1, Relaxed);
            self.policy.ladder(id, &ladder.kbps());
            id
        });
        let known = Arc::new(Known { ladders: ladders.collect(), title, stored });
        let mut titles = self.titles.lock();
        if titles.len() >= TITLES_MAX {
            titles.clear();
        }
        titles.insert(place, known.clone());
        Ok(known)
    }

    /// Fetches a manifest the way a client would, so that it is stored; but as its origin has it.
    async fn fetch(&self, host: &str, path: &str) -> Option<Fetched> {
        let asking = self.itself.as_ref()?.get(itself::url(path)).header(http::header::HOST, host);
        let mut response = asking.header(AS_IS, &self.token).send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MPD_BYTES_MAX {
                return Some(Fetched::TooLong);
            }
        }
        Some(Fetched::Whole(bytes))
    }

    /// A manifest passed through: its directory is a title's.
    pub(crate) fn passed(&self, ctx: &Context, path: &str) {
        let Some((directory, file)) = path.rsplit_once('/').filter(|(_, file)| file.ends_with(".mpd")) else {
            return;
        };
        let mut manifests = self.manifests.lock();
        if manifests.len() >= DIRECTORIES_MAX {
            manifests.clear();
        }
        manifests.insert(format!("{} {directory}", ctx.host), file.to_owned());
    }

    /// A response was delivered: what that says of the rate towards its client (an average with weight 1/4).
    pub(crate) fn delivered(&self, session: &Session, sent: u64, took: Duration) {
        let Some(client) = session.client_addr().and_then(|address| address.as_inet()) else {
            return;
        };
        let millis = took.as_millis() as u64;
        if sent < MEASURED_BYTES_MIN || millis == 0 {
            return;
        }
        let measured = u32::try_from(sent * 8 / millis).unwrap_or(u32::MAX);
        let slot = self.rate_slot(client.ip());
        let known = slot.load(Relaxed);
        let average = if known == 0 { measured } else { known / 4 * 3 + measured / 4 };
        slot.store(average, Relaxed);
    }

    /// How long the next piece of a body waits before it goes to its client: of what is stored only, since others may read a fill as it comes.
    pub(crate) fn paced(&self, ctx: &mut Context, piece: Option<&Bytes>) -> Option<Duration> {
        let pace = ctx.pace.as_mut().filter(|_| matches!(ctx.outcome, Some(Outcome::Hit | Outcome::Stale)))?;
        let wait = pace.delay(piece?.len(), Instant::now())?;
        if !std::mem::replace(&mut ctx.is_paced, true) {
            self.paced.fetch_add(1, Relaxed);
        }
        Some(wait)
    }

    /// Bodies that waited.
    pub fn paced_bodies(&self) -> u64 {
        self.paced.load(Relaxed)
    }

    /// Throughput towards a client, kbit/s, as its player measured it, else as this node did; 0: nobody knows.
    fn estimate(&self, told: &Told, client: Option<IpAddr>) -> u32 {
        told.throughput_kbps.unwrap_or_else(|| client.map_or(0, |client| self.rate_slot(client).load(Relaxed)))
    }

    fn rate_slot(&self, client: IpAddr) -> &AtomicU32 {
        &self.rates[hash(client) as usize % CLIENTS]
    }

    /// What was advised so far.
    pub(crate) fn advised(&self) -> &advice::Advised {
        &self.advised
    }

    /// What was chosen so far.
    pub fn chosen(&self) -> &chosen::Chosen {
        &self.chosen
    }

    /// How often what was in a manifest's place was none: found so by reading, and remembered.
    pub fn refused(&self) -> [(&'static str, u64); 2] {
        self.refused.counts()
    }

    /// Decisions so far, by who made them.
    pub fn decisions(&self) -> [(&'static str, u64); 2] {
        [("guest", self.by_guest.load(Relaxed)), ("native", self.by_native.load(Relaxed))]
    }
}

/// Whether a file name has `auto` where a representation's id would be.
pub(crate) fn is_auto(file: &str) -> bool {
    file.split(['-', '_', '.', '$']).any(|word| word == "auto")
}

/// What a session is known by; that of a player that names none is its client's.
fn session_of(told: &Told, client: Option<IpAddr>) -> u64 {
    told.session.map_or_else(|| client.map_or(0, hash), |session| session.hash)
}

pub(crate) fn hash(client: IpAddr) -> u64 {
    littoral_cache::key::hash_bytes(client.to_string().as_bytes()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_rule_is_that_of_the_guest() {
        let select = |est_kbps, buffer_ms, last_rung| {
            let ask = RateAsk { state: 7, est_kbps, buffer_ms, last_rung, segment_ms: 2000, ladder: 1, rand: 0 };
            let answer = NativeThroughput.select(&ask, &[100, 400, 1000, 3000]);
            assert_eq!((answer.state, answer.guest), (7, None), "a guest's state outlives a fault");
            answer.rung
        };
        assert_eq!([select(0, 9000, NO_RUNG), select(445, 9000, NO_RUNG), select(1200, 500, NO_RUNG)], [0, 1, 1]);
        assert_eq!([select(9000, 9000, 0), select(150, 9000, 3)], [1, 0]);
    }

    #[test]
    fn auto_is_a_word_of_the_file_name() {
        assert!(is_auto("seg-auto-00003.m4s") && is_auto("init-auto.m4s") && is_auto("auto_1.m4s"));
        assert!(!is_auto("automobile-1.m4s") && !is_auto("seg-1.m4s"));
    }
}
