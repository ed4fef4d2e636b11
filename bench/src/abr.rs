//! `littoral-bench abr`: how a rate policy does on network traces, with a headless player.
//!
//! `movie` reads titles and traces, `network` is the link, `player` the session; the policies are those of `littoral_rate`, which the
//! guests in `plugins/policy` are made of, and `edge` plays with a guest. Here are the command and the list of policies.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use littoral_rate::bola::{Bola, Form, Rise};
use littoral_rate::bola_e::BolaE;
use littoral_rate::dynamic::{Dynamic, DynamicDash};
use littoral_rate::throughput::Throughput;
use littoral_rate::{Rule, bba::Bba, littoral::Littoral, mpc::Mpc};
use serde::Serialize;

use edge::Seated;
use movie::Movie;
use player::Session;

pub mod edge;
pub mod movie;
pub mod network;
pub mod player;

/// Arguments of the command.
#[derive(Args)]
pub struct Options {
    /// The title: durations, rates and sizes of its segments, JSON in sabre's form
    #[arg(long)]
    movie: PathBuf,
    /// Which policy: its name, with or without `rate-`
    #[arg(long, value_parser = named(), required_unless_present = "plugin")]
    policy: Option<String>,
    /// A rate policy as a plugin in place of one by name; its config is told with --config
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    plugin: Option<PathBuf>,
    /// The plugin's config, JSON; unless it is given, the player's buffer is told
    #[arg(long, value_name = "JSON", requires = "plugin")]
    config: Option<String>,
    /// Seconds of media that the player buffers
    #[arg(long, default_value_t = 25.0)]
    buffer: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Network traces, JSON in sabre's form
    #[arg(required = true)]
    traces: Vec<PathBuf>,
}

/// The policies there are. `-u` goes above what throughput sustains for more utility, where the others wait.
pub const POLICIES: [&str; 12] = [
    "rate-throughput",
    "rate-bba",
    "rate-bola",
    "rate-bola-plain",
    "rate-bola-basic",
    "rate-bola-basic-u",
    "rate-bola-finite",
    "rate-bola-finite-u",
    "rate-mpc",
    "rate-dynamic",
    "rate-dynamic-dash",
    "rate-littoral",
];

/// Their names, and those without `rate-`.
fn named() -> clap::builder::PossibleValuesParser {
    let value =
        |name: &'static str| clap::builder::PossibleValue::new(name).alias(name.strip_prefix("rate-").unwrap_or(name));
    clap::builder::PossibleValuesParser::new(POLICIES.map(value))
}

/// A policy by its name, at the beginning of a session.
pub fn policy(name: &str) -> Option<Box<dyn Rule>> {
    let name = name.strip_prefix("rate-").unwrap_or(name);
    Some(match name {
        "throughput" => Box::new(Throughput::default()),
        "bba" => Box::new(Bba::default()),
        "bola" => Box::new(BolaE::new(Rise::Sustained)),
        "bola-plain" => Box::new(BolaE::plain(Rise::Sustained)),
        "bola-basic" => Box::new(Bola::new(Form::Basic, Rise::Sustained)),
        "bola-basic-u" => Box::new(Bola::new(Form::Basic, Rise::OneAbove)),
        "bola-finite" => Box::new(Bola::new(Form::Finite, Rise::Sustained)),
        "bola-finite-u" => Box::new(Bola::new(Form::Finite, Rise::OneAbove)),
        "mpc" => Box::new(Mpc::default()),
        "dynamic" => Box::new(Dynamic::default()),
        "dynamic-dash" => Box::new(DynamicDash::default()),
        "littoral" => Box::new(Littoral::default()),
        _ => return None,
    })
}

/// A trace and how it went.
#[derive(Serialize)]
struct Row {
    trace: String,
    #[serde(flatten)]
    session: Session,
}

/// Plays all traces and prints a line for each, and the mean.
pub fn run(options: &Options) -> Result<()> {
    let movie = Movie::read(&options.movie)?;
    let least_s = movie.segment_duration_ms / 1000.0;
    let room = (least_s..86_400.0).contains(&options.buffer);
    ensure!(room, "--buffer {}: seconds, from one segment ({least_s}) to a day", options.buffer);
    let told = || format!("{{\"buffer\": {}}}", options.buffer);
    let config = options.config.clone().unwrap_or_else(told);
    let plugin = options.plugin.as_deref().map(|file| Seated::new(file, &config)).transpose()?;
    let mut rows = Vec::new();
    for file in &options.traces {
        let trace = movie::trace(file)?;
        let mut rule = match (&plugin, &options.policy) {
            (Some(plugin), _) => plugin.rule(),
            (None, name) => policy(name.as_deref().unwrap_or_default()).context("no such policy; --help lists them")?,
        };
        let session = player::play(&movie, &trace, options.buffer * 1000.0, rule.as_mut(), |_| ());
        let trace = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        rows.push(Row { trace, session });
    }
    let faults = plugin.as_ref().map_or(0, Seated::faults);
    ensure!(
        faults == 0,
        "the plugin did not answer {faults} times, and no figure would be its own; `littoral plugin test` tells more"
    );
    rows.push(Row { trace: "mean".to_owned(), session: mean(rows.iter().map(|row| &row.session)) });
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!(
        "{:<40} {:>10} {:>7} {:>9} {:>9} {:>8} {:>8}",
        "trace", "kbit/s", "stalls", "stall s", "switches", "QoE", "score"
    );
    for Row { trace, session } in &rows {
        let Session { rate_kbps, stalls, stall_s, switches, qoe, score, .. } = session;
        println!("{trace:<40} {rate_kbps:>10.1} {stalls:>7} {stall_s:>9.3} {switches:>9} {qoe:>8.4} {score:>8.4}");
    }
    Ok(())
}

/// The mean of each figure; counts are rounded down.
pub fn mean<'a>(sessions: impl Iterator<Item = &'a Session> + Clone) -> Session {
    let count = sessions.clone().count().max(1) as f64;
    let of = |figure: fn(&Session) -> f64| sessions.clone().map(figure).sum::<f64>() / count;
    Session {
        rate_kbps: of(|session| session.rate_kbps),
        stalls: of(|session| session.stalls as f64) as u64,
        stall_s: of(|session| session.stall_s),
        stall_share: of(|session| session.stall_share),
        switches: of(|session| session.switches as f64) as u64,
        change_kbps: of(|session| session.change_kbps),
        play_s: of(|session| session.play_s),
        qoe: of(|session| session.qoe),
        qoe_log: of(|session| session.qoe_log),
        score: of(|session| session.score),
    }
}
