//! `littoral play`: a DASH player without a screen, over real DNS and HTTP.
//!
//! It resolves the manifest's host through a given DNS server with a given client subnet, fetches the manifest, then
//! segment after segment at the representation its rule chooses, and keeps the books of a player: buffer, start-up,
//! switches, stalls. Nothing is decoded. [`clock`] is the model, [`rule`] the choice, [`fetch`] the network, [`report`] what
//! comes out. Invariant: every segment of the presentation is in the report once, fetched or failed.

mod args;
mod clock;
mod fetch;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod report;
mod rule;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use littoral_manifests::{Kind, Ladder, Presentation, Representation, Resource};
use url::Url;

pub use args::{PlayArgs, main};
pub use clock::Stall;
pub use link::Link;
pub use report::{Played, Report};

use crate::rate::{NO_RUNG, RateAnswer, RateAsk, RatePolicy};
use clock::{Clock, millis};
use fetch::{Fetched, Fetcher, Told};
use lookup::Names;
use report::Tally;
use rule::Throughput;

/// Who chooses the representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rule {
    /// The player, by its measured throughput.
    Throughput,
    /// The edge's rate policy: the player asks for `auto` segments.
    Edge,
    /// The player, by a rate policy of its own: the same guest that an edge loads.
    Guest,
}

impl Rule {
    /// Who chooses, in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throughput => "player",
            Self::Edge => "edge",
            Self::Guest => "guest",
        }
    }
}

/// The lowest speed: a thousand seconds of waiting for one of the player's clock.
const SPEED_MIN: f64 = 0.001;

/// How a title is played.
#[derive(Debug, Clone)]
pub struct Options {
    /// The manifest, `http://…`.
    pub manifest: Url,
    /// DNS server to ask; the system's resolver without one.
    pub dns: Option<SocketAddr>,
    /// A client address whose /24 is sent as EDNS client subnet (RFC 7871).
    pub client: Option<Ipv4Addr>,
    /// Who chooses.
    pub rule: Rule,
    /// The component that chooses by [`Rule::Guest`].
    pub plugin: Option<PathBuf>,
    /// The access link; without one only the real network counts.
    pub link: Option<Link>,
    /// How much faster than the player's clock waits are; 1 is real time, infinite never waits. Downloads take what they
    /// take.
    pub speed: f64,
    /// Media buffered at most.
    pub buffer: Duration,
    /// Media buffered before playing starts.
    pub enough: Duration,
    /// How long a failing segment is tried again before it counts as failed.
    pub patience: Duration,
}

impl Options {
    /// Plays `manifest` in real time with the throughput rule, 12 s of buffer and 10 s of patience.
    pub fn new(manifest: Url) -> Self {
        let seconds = Duration::from_secs;
        Self {
            manifest,
            dns: None,
            client: None,
            rule: Rule::Throughput,
            plugin: None,
            link: None,
            speed: 1.0,
            buffer: seconds(12),
            enough: seconds(2),
            patience: seconds(10),
        }
    }
}

/// Plays the whole presentation and tells each segment to `observer` as it arrives.
///
/// # Errors
/// When the manifest or what is needed to list its segments cannot be had. A segment that fails is in the report.
pub async fn run(options: &Options, observer: impl FnMut(&Played)) -> anyhow::Result<Report> {
    Player::new(options)?.play(observer).await
}

struct Player<'a> {
    options: &'a Options,
    fetcher: Fetcher,
    clock: Clock,
    throughput: Throughput,
    guest: Option<Box<dyn RatePolicy>>,
    /// What its last answer carried.
    state: u64,
    session: String,
    inits: Vec<Url>,
    tally: Tally,
}

impl<'a> Player<'a> {
    /// With options that can be used, else the error.
    fn new(options: &'a Options) -> anyhow::Result<Self> {
        ensure!(options.speed >= SPEED_MIN, "a speed of {}: give 1 for real time, {SPEED_MIN} or more", options.speed);
        let names = Names::new(options.dns, options.client);
        Ok(Self {
            options,
            fetcher: Fetcher::new(names, options.patience)?,
            clock: Clock::default(),
            throughput: Throughput::default(),
            guest: guest(options)?,
            state: 0,
            session: format!("{:x}-{:x}", std::process::id(), crate::clock::now_ms()),
            inits: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// Plays to the end.
    async fn play(mut self, mut observer: impl FnMut(&Played)) -> anyhow::Result<Report> {
        let presentation = self.manifest().await?;
        let all = &presentation.representations;
        let listed = all.iter().any(|representation| !representation.segments.is_empty());
        ensure!(listed, "{}: the manifest lists no segments: nothing to play", self.options.manifest);
        let periods = all.iter().map(|representation| representation.period).max().unwrap_or(0);
        for period in 0..=periods {
            self.period(&presentation, period, &mut observer).await?;
        }
        Ok(self.report())
    }

    async fn manifest(&mut self) -> anyhow::Result<Presentation> {
        let manifest = Resource { url: self.options.manifest.clone(), range: None };
        let fetched = self.fetch(&manifest).await.context("the manifest")?;
        let mut presentation = Presentation::parse(&fetched.body, &self.options.manifest)?;
        for representation in &mut presentation.representations {
            while let Some(index) = representation.index.clone() {
                let fetched = self.fetch(&index).await.context("a segment index")?;
                representation.index_fetched(&fetched.body)?;
            }
        }
        Ok(presentation)
    }

    /// Plays one period: its main ladder, and its first audio beside it.
    async fn period(
        &mut self,
        presentation: &Presentation,
        period: usize,
        observer: &mut impl FnMut(&Played),
    ) -> anyhow::Result<()> {
        let of_period = || presentation.representations.iter().filter(move |one| one.period == period);
        let video = of_period().find(|one| one.kind == Kind::Video && !one.is_trick);
        let Some(main) = video.or(of_period().next()) else {
            return Ok(());
        };
        let audio = of_period().find(|one| one.kind == Kind::Audio && one.set != main.set);
        let ladder = Ladder::of_set(presentation, period, main.set);
        let (kbps, number) = (ladder.kbps(), period as u32);
        self.guest.iter().for_each(|policy| policy.ladder(number, &kbps));
        let mut last_rung = NO_RUNG;
        for place in 0..main.segments.len() {
            let duration = Duration::from_millis(main.segments[place].duration_ms);
            self.wait(self.clock.until_room(duration, self.options.buffer)).await;
            let (rung, chosen_by) = self.choose(number, &kbps, duration, last_rung);
            last_rung = u8::try_from(rung).unwrap_or(NO_RUNG);
            let chosen = ladder.rung(rung).map_or(main, |rung| &presentation.representations[rung.representation]);
            let mut played = self.segment(presentation, main, chosen, place).await;
            if let Some(audio) = audio.filter(|audio| place < audio.segments.len()) {
                self.beside(audio, place, &mut played).await;
            }
            self.clock.arrived(duration, self.options.enough);
            (played.buffer_ms, played.chosen_by) = (millis(self.clock.buffer()), chosen_by);
            observer(&played);
            self.tally.played(played);
        }
        Ok(())
    }

    /// The rung to fetch next, and who chose it. The edge chooses by itself; a guest that faults has the native policy's
    /// answer.
    fn choose(&mut self, ladder: u32, kbps: &[u32], segment: Duration, last_rung: u8) -> (usize, &'static str) {
        let Some(policy) = &self.guest else {
            return (self.throughput.choose(kbps, self.clock.buffer(), segment), self.options.rule.as_str());
        };
        let ask = RateAsk {
            state: self.state,
            est_kbps: self.throughput.estimate().map_or(0, |kbps| u32::try_from(kbps).unwrap_or(u32::MAX)),
            buffer_ms: u32::try_from(millis(self.clock.buffer())).unwrap_or(u32::MAX),
            last_rung,
            segment_ms: u32::try_from(millis(segment)).unwrap_or(u32::MAX),
            ladder,
            rand: 0,
        };
        let RateAnswer { rung, state, guest, .. } = policy.select(&ask, kbps);
        self.state = state;
        (usize::from(rung), if guest.is_some() { Rule::Guest.as_str() } else { "native" })
    }

    /// Fetches one segment of the main ladder, with its initialisation segment when that is new.
    async fn segment(
        &mut self,
        presentation: &Presentation,
        main: &Representation,
        chosen: &Representation,
        place: usize,
    ) -> Played {
        let resource = match self.options.rule {
            Rule::Edge => auto_resource(main, place),
            Rule::Throughput | Rule::Guest => chosen.resource(place),
        };
        let number = self.tally.next_number();
        let Some(resource) = resource else {
            return Played::failed(number, &chosen.id, "the representation has no such segment".into());
        };
        let begun = self.clock.now();
        let fetched = match self.fetch(&resource).await {
            Ok(fetched) => fetched,
            Err(error) => return Played::failed(number, &chosen.id, format!("{error:#}")),
        };
        let bits = fetched.body.len() as u64 * 8;
        let took = self.clock.now() - begun - fetched.lost;
        self.throughput.note((bits as f64 / took.as_secs_f64().max(1e-6) / 1000.0) as u64);
        let said = report::text(&fetched.headers, "x-littoral-representation");
        let id = if said.is_empty() { &chosen.id } else { said };
        let in_set = |one: &&Representation| one.id == id && (one.period, one.set) == (main.period, main.set);
        let representation = presentation.representations.iter().find(in_set).unwrap_or(chosen);
        let mut played = Played::fetched(number, representation, &fetched, took);
        if let Err(error) = self.init(representation).await {
            played.failure = Some(format!("{error:#}"));
        }
        played
    }

    /// The audio segment that belongs to a video segment.
    async fn beside(&mut self, audio: &Representation, place: usize, played: &mut Played) {
        let fetched = match self.init(audio).await {
            Ok(()) => match audio.resource(place) {
                Some(resource) => self.fetch(&resource).await.map(drop),
                None => Err(anyhow::anyhow!("{}: a segment's name makes no URL", audio.id)),
            },
            failed => failed,
        };
        if let Err(error) = fetched {
            played.failure.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    async fn init(&mut self, representation: &Representation) -> anyhow::Result<()> {
        let Some(init) = representation.init.as_ref().filter(|init| !self.inits.contains(&init.url)) else {
            return Ok(());
        };
        self.fetch(init).await?;
        self.inits.push(init.url.clone());
        Ok(())
    }

    /// Fetches, and lets the player's clock pass by what it took or by what the link would have needed.
    async fn fetch(&mut self, resource: &Resource) -> anyhow::Result<Fetched> {
        let told = Told {
            buffer_ms: self.clock.started_at().map(|_| millis(self.clock.buffer())),
            throughput_kbps: self.throughput.estimate(),
            session: self.session.clone(),
        };
        let begun = std::time::Instant::now();
        let fetched = self.fetcher.fetch(resource, &told).await;
        let real = begun.elapsed();
        self.clock.pass(real);
        let fetched = fetched?;
        let link = self.options.link.as_ref();
        let on_link = link.map_or(Duration::ZERO, |link| link.time_for(fetched.body.len() as u64, self.clock.now()));
        self.wait(on_link.saturating_sub(fetched.took)).await;
        self.tally.response(&fetched);
        Ok(fetched)
    }

    /// Waits on the player's clock, and as much of it as the speed asks for on the machine's.
    async fn wait(&mut self, time: Duration) {
        self.clock.pass(time);
        let real = time.as_secs_f64() / self.options.speed;
        if real > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(real)).await;
        }
    }

    fn report(self) -> Report {
        let started = self.clock.started_at();
        self.tally.report(self.options, started, self.clock.stalls())
    }
}

/// The rate policy the options name.
fn guest(options: &Options) -> anyhow::Result<Option<Box<dyn RatePolicy>>> {
    match (options.rule, &options.plugin) {
        (Rule::Guest, Some(file)) => Ok(Some(crate::plugins::rate_policy(file).map_err(anyhow::Error::msg)?)),
        (Rule::Guest, None) => {
            anyhow::bail!("--rule guest needs --plugin FILE, such as target/plugins/rate-throughput.wasm")
        }
        (_, Some(_)) => anyhow::bail!("--plugin is for --rule guest"),
        (_, None) => Ok(None),
    }
}

/// The `auto` URL of a segment, where the manifest's addressing has one.
fn auto_resource(main: &Representation, place: usize) -> Option<Resource> {
    let mut url = main.resource(place)?.url;
    url.set_path(&main.auto_path(Some(place))?);
    Some(Resource { url, range: None })
}

#[cfg(test)]
mod tests;
