//! `littoral-bench video`: the marks of reading and rewriting manifests and of reading CMCD, each with its spread over rounds.
//!
//! Everything is timed in this process, on one thread. Titles and texts are made here, the same each time. What is read is checked, so that no
//! figure is of something that fails. Invariant: a mark is met by the median, of each shape apart.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use littoral_manifests::Presentation;
use littoral_manifests::cmcd::{Cmcd, Key};
use littoral_manifests::rewrite::{Rewriter, Rules};
use url::Url;

use crate::report::Spread;

/// Segments of a title.
const SEGMENTS: usize = 10_000;
/// As chunks of a body come.
const CHUNK_BYTES: usize = 16 << 10;
/// A round of a figure goes on for at least so long.
const ROUND: Duration = Duration::from_millis(50);
/// Milliseconds that one may take to list a title's segments.
const ENUMERATE_MS: f64 = 5.0;
/// Megabytes a second that are rewritten at least.
const REWRITE_MBPS: f64 = 200.0;
/// Nanoseconds that reading what one request tells may take.
const CMCD_NS: f64 = 300.0;

/// What players of each version send with a segment.
const CMCD: [(&str, &str); 2] = [
    (
        "version 1, 17 keys",
        r#"bl=21300,br=3200,bs,cid="faec5fc2-ac30-11ea-bb37-0242ac130002",d=4004,dl=18500,mtp=48100,nor="..%2F300kbps%2Ftrack.m4v",nrr="12323-48763",ot=v,pr=1.08,rtp=12000,sf=d,sid="6e2fb550-c457-11e9-bb97-0800200c9a66",st=v,su,tb=6000"#,
    ),
    (
        "version 2, 13 keys",
        r#"bl=(3200;v 5000;a),br=(3200;v),d=4004,ltc=2500,mtp=(25400),nor=("../300kbps/track.m4v"),ot=v,sf=d,sid="6e2fb550-c457-11e9-bb97-0800200c9a66",sn=17,st=ll,tb=(6000;v),v=2"#,
    ),
];

/// Arguments of the command.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Rounds; a figure is given with its spread over them
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// A figure, and what it may be at most, or has to be at least.
struct Figure {
    what: String,
    unit: &'static str,
    mark: f64,
    is_least: bool,
    got: Spread,
}

impl Figure {
    fn is_met(&self) -> bool {
        if self.is_least { self.got.median >= self.mark } else { self.got.median <= self.mark }
    }
}

/// Measures, and prints a line for each figure.
///
/// # Errors
/// What is read is not what was made; never that a mark is missed.
pub fn run(options: &Options) -> Result<()> {
    let mut figures = enumerate(options.rounds)?;
    figures.extend(rewrite(options.rounds)?);
    figures.extend(cmcd(options.rounds)?);
    println!("{:<44} {:>9} {:>21}  {:<12} mark", "figure", "median", "least–most", "");
    for figure in &figures {
        let Spread { min, median, max } = figure.got;
        let (bound, met) = (if figure.is_least { "≥" } else { "≤" }, if figure.is_met() { "met" } else { "MISSED" });
        let spread = format!("{min:.2}–{max:.2}");
        println!("{:<44} {median:>9.2} {spread:>21}  {:<12} {bound} {} {met}", figure.what, figure.unit, figure.mark);
    }
    Ok(())
}

/// Nanoseconds that a call takes, the mean of a round, over rounds.
fn nanos<T>(rounds: u32, mut call: impl FnMut() -> T) -> Result<Spread> {
    let mut round = || {
        let (begun, mut calls) = (Instant::now(), 0_u64);
        // The clock is read once in a while, or it would be what is measured.
        while begun.elapsed() < ROUND {
            for _ in 0..16 {
                black_box(call());
            }
            calls += 16;
        }
        begun.elapsed().as_nanos() as f64 / calls as f64
    };
    round();
    Spread::of((0..rounds).map(|_| round()).collect()).context("no round")
}

fn scaled(spread: &Spread, of: impl Fn(f64) -> f64) -> Spread {
    let (one, other) = (of(spread.min), of(spread.max));
    Spread { min: one.min(other), median: of(spread.median), max: one.max(other) }
}

fn enumerate(rounds: u32) -> Result<Vec<Figure>> {
    let base = Url::parse("https://video.example/titles/a-title/manifest.mpd")?;
    let figure = |(name, text): (&str, String)| {
        let listed = Presentation::parse(text.as_bytes(), &base)?;
        let one = listed.representations.first().context("no representation")?;
        ensure!(one.segments.len() == SEGMENTS, "{name}: {} segments", one.segments.len());
        let ns = nanos(rounds, || Presentation::parse(black_box(text.as_bytes()), &base))?;
        let got = scaled(&ns, |ns| ns / 1e6);
        let what = format!("enumerate 10,000 segments, {name}");
        Ok(Figure { what, unit: "ms", mark: ENUMERATE_MS, is_least: false, got })
    };
    shapes().into_iter().map(figure).collect()
}

fn rewrite(rounds: u32) -> Result<Vec<Figure>> {
    let rules = Rules {
        origins: vec![("https://origin.example".into(), "https://edge.example".into())],
        max_height: Some(720),
        languages: vec!["en".into()],
        ..Rules::default()
    };
    let mut figures = Vec::new();
    for (name, text) in shapes().into_iter().filter(|(_, text)| text.len() > CHUNK_BYTES) {
        for (with, rules) in [("no rules", &Rules::default()), ("rules", &rules)] {
            let mut out = Vec::new();
            let mut once = || {
                out.clear();
                let mut rewriter = Rewriter::new(rules.clone());
                text.as_bytes().chunks(CHUNK_BYTES).for_each(|chunk| rewriter.push(chunk, &mut out));
                rewriter.finish(&mut out).verbatim
            };
            ensure!(once().is_none(), "{name}: it passes as it is");
            let ns = nanos(rounds, once)?;
            let got = scaled(&ns, |ns| text.len() as f64 * 1e3 / ns);
            let what = format!("rewrite, {name}, {with}");
            figures.push(Figure { what, unit: "MB/s", mark: REWRITE_MBPS, is_least: true, got });
        }
    }
    Ok(figures)
}

fn cmcd(rounds: u32) -> Result<Vec<Figure>> {
    let read = |text: &str| {
        let mut cmcd = Cmcd::default();
        let read = cmcd.read(text);
        (read, cmcd.number(Key::Bl), cmcd.number(Key::Mtp), cmcd.text(Key::Sid).map(str::len), cmcd.ignored())
    };
    let figure = |(name, text): (&str, &str)| {
        let (all, _, throughput, _, ignored) = read(text);
        ensure!(all.is_ok() && throughput.is_some() && ignored == 0, "{name}: not all of it is read");
        let got = nanos(rounds, || read(black_box(text)))?;
        Ok(Figure { what: format!("read CMCD, {name}"), unit: "ns", mark: CMCD_NS, is_least: false, got })
    };
    CMCD.into_iter().map(figure).collect()
}

/// The same segments in each way of naming them.
fn shapes() -> [(&'static str, String); 4] {
    let mpd = |addressing: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT20000S\">\n<Period id=\"p0\"><AdaptationSet mimeType=\"video/mp4\">{addressing}\n\
             <Representation id=\"v1\" bandwidth=\"500000\" width=\"640\" height=\"360\" codecs=\"avc1.64001e\"/>\
             </AdaptationSet></Period></MPD>"
        )
    };
    let template = |media: &str, rest: &str| {
        mpd(&format!(
            "<SegmentTemplate timescale=\"1000\" initialization=\"$RepresentationID$/init.mp4\" media=\"$RepresentationID$/{media}.m4s\" \
             {rest}</SegmentTemplate>"
        ))
    };
    let entries: String = (0..SEGMENTS).map(|at| format!("<S d=\"{}\"/>\n", 1999 + at % 3)).collect();
    let urls: String = (0..SEGMENTS).map(|at| format!("<SegmentURL media=\"video/seg-{at:05}.m4s\"/>\n")).collect();
    let timeline = |entries: &str| template("$Time$", &format!("><SegmentTimeline>{entries}</SegmentTimeline>"));
    [
        ("by number", template("$Number%05d$", "duration=\"2000\">")),
        ("timeline of one entry", timeline("<S t=\"0\" d=\"2000\" r=\"9999\"/>")),
        ("timeline of 10,000", timeline(&entries)),
        ("list", mpd(&format!("<SegmentList duration=\"2\">{urls}</SegmentList>"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_of_what_was_read_whole() {
        assert!(shapes().iter().all(|(_, text)| text.len() > 300));
        let figures = [enumerate(1).unwrap(), rewrite(1).unwrap(), cmcd(1).unwrap()];
        assert_eq!(figures.each_ref().map(Vec::len), [4, 4, 2]);
        assert!(figures.iter().flatten().all(|figure| figure.got.median > 0.0));
    }

    #[test]
    fn a_mark_is_met_at_most_or_at_least() {
        let figure = |median, is_least| {
            let got = Spread { min: 1.0, median, max: 9.0 };
            Figure { what: String::new(), unit: "", mark: 5.0, is_least, got }.is_met()
        };
        assert_eq!(
            [figure(4.0, false), figure(6.0, false), figure(4.0, true), figure(6.0, true)],
            [true, false, false, true]
        );
    }
}
