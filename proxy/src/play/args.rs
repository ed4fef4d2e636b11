//! The command `littoral play`: its arguments and what it prints.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use url::Url;

use super::{Link, Options, Played, Player, Report, Rule};
use crate::cli::Failed;

/// Arguments of `littoral play`.
#[derive(Debug, Clone, clap::Args)]
pub struct PlayArgs {
    /// The manifest, for example `http://video.netcinema.example:8080/title/manifest.mpd`.
    #[arg(value_parser = manifest)]
    pub manifest: Url,
    /// DNS server to ask instead of the system's resolver.
    #[arg(long, value_name = "ADDR")]
    pub dns: Option<SocketAddr>,
    /// Client address whose /24 is sent as EDNS client subnet; needs --dns.
    #[arg(long, value_name = "IP", requires = "dns")]
    pub client: Option<Ipv4Addr>,
    /// Who chooses the representation: the player's throughput rule, the edge's rate policy by `auto` URLs, or the player
    /// by a rate policy of its own.
    #[arg(long, value_enum, default_value = "throughput")]
    pub rule: Rule,
    /// The rate policy of --rule guest, such as target/plugins/rate-throughput.wasm.
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// Access link, such as 600kbps, or 2Mbps:8s,300kbps:8s for one that changes.
    #[arg(long, value_name = "RATE")]
    pub link: Option<Link>,
    /// How much faster than real time to wait, at least 0.001; `inf` never waits.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub speed: f64,
    /// Media buffered at most.
    #[arg(long, default_value = "12s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub buffer: Duration,
    /// How long a failing segment is tried again.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub patience: Duration,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

fn manifest(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    url.ok_or_else(|| "write a whole URL, such as http://video.example/title/manifest.mpd; only http is spoken".into())
}

/// Plays and prints. Exit code 1 when a segment failed.
///
/// # Errors
/// The options cannot be used, or the manifest cannot be had or lists nothing.
pub async fn main(args: PlayArgs) -> Result<ExitCode, Failed> {
    let PlayArgs { manifest, dns, client, rule, plugin, link, speed, buffer, patience, json } = args;
    let options = Options { dns, client, rule, plugin, link, speed, buffer, patience, ..Options::new(manifest) };
    let observer = |played: &Played| {
        if !json {
            println!("{}", line(played));
        }
    };
    let player = Player::new(&options).map_err(Failed::wrong_use)?;
    let report = player.play(observer).await.map_err(Failed::outcome)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(Failed::outcome)?);
    } else {
        print!("{}", summary(&report));
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(played: &Played) -> String {
    let Played { number, representation, kbps, throughput_kbps, took_ms, buffer_ms, served_by, cache_status, .. } =
        played;
    match &played.failure {
        Some(failure) => format!("{number:>4}  failed: {failure}"),
        None => format!(
            "{number:>4}  {representation:<8} {kbps:>6} kbit/s  measured {throughput_kbps:>8}  {took_ms:>8.1} ms  \
             buffer {:>5.1} s  {served_by}  {cache_status}",
            *buffer_ms as f64 / 1000.0
        ),
    }
}

fn summary(report: &Report) -> String {
    let startup = report.startup_ms.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
    let mut served: Vec<(String, usize)> = Vec::new();
    for segment in report.segments.iter().filter(|segment| segment.failure.is_none()) {
        match served.iter_mut().find(|(name, _)| *name == segment.served_by) {
            Some((_, count)) => *count += 1,
            None => served.push((segment.served_by.clone(), 1)),
        }
    }
    let served: Vec<String> = served.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    let stalls = format!("{}, {} ms", report.stalls.len(), report.stalled().as_millis());
    let lines = [
        ("start-up", startup),
        ("mean rate", format!("{:.0} kbit/s", report.mean_kbps)),
        ("switches", report.switches.to_string()),
        ("stalls", stalls),
        ("cache hits", format!("{} of {} responses", report.hits, report.responses)),
        ("served by", served.join(", ")),
        ("failed", report.failed.to_string()),
    ];
    lines.iter().fold(String::from("\n"), |text, (what, value)| text + &format!("{what:<10}  {value}\n"))
}
