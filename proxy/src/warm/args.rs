//! The command `littoral warm` with something to fetch: posts a job, shows its progress, cancels it on Ctrl-C.
//!
//! People get a bar on stderr, programs JSON lines on stdout; a file or pipe behind stdout has at least the last one.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use littoral_manifests::limits::CATALOGUE_BYTES_MAX;
use reqwest::Method;
use serde_json::Value;

use super::learn::learn;
use super::{Order, Place, WarmCommand};
use crate::cli::{Admin, Failed, call};
use crate::fileserver::stop_signal;

const POLL: Duration = Duration::from_millis(200);

/// Arguments of `littoral warm`.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct WarmArgs {
    /// What is done with jobs that are there, instead of posting one.
    #[command(subcommand)]
    pub command: Option<WarmCommand>,
    /// What names it, as clients ask for it: a manifest (an MPD or an HLS playlist), a list of URLs or a sitemap.
    #[arg(required_unless_present = "list", default_value = "", hide_default_value = true)]
    pub url: String,
    /// A file instead: whole URLs of titles and objects, one on a line; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub list: Option<PathBuf>,
    /// Ids of the representations to fetch; all without it.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub representations: Vec<String>,
    /// At most this fast, such as 50Mbps.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Only at these hours, such as 02:00-06:00, of the node's cluster, or "02:00-06:00 Europe/Amsterdam".
    #[arg(long, value_name = "FROM-TO")]
    pub window: Option<String>,
    /// How long it is kept from eviction [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub pin: Option<String>,
    /// Access logs, of this node or of all its siblings; what they say is asked for most for its bytes is fetched first. In any of the
    /// named formats, also compressed with zstd or gzip.
    #[arg(long, value_name = "LOG", value_delimiter = ',', help_heading = "What is popular")]
    pub by_popularity: Vec<PathBuf>,
    /// Of each set of representations those that viewers see, until together they have this share, such as 0.95.
    #[arg(long, value_name = "SHARE", requires = "by_popularity", help_heading = "What is popular")]
    pub share: Option<f64>,
    /// Fetch no more than this, such as 40GB.
    #[arg(long, value_name = "SIZE", help_heading = "What is popular")]
    pub bytes: Option<String>,
    /// Only this node's part among its siblings, the nodes of the site's shield, and of that the part of a tier.
    #[arg(long, value_enum, value_name = "TIER", help_heading = "What is popular")]
    pub place: Option<Place>,
    /// The share of all expected requests that the head has [default: 0.8]
    #[arg(long, value_name = "SHARE", requires = "place", help_heading = "What is popular")]
    pub head: Option<f64>,
    /// How many siblings have each object of the head [default: 1]
    #[arg(long, value_name = "COUNT", requires = "place", help_heading = "What is popular")]
    pub copies: Option<usize>,
    /// Only read what names the objects, and say what would be fetched.
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Post the job and do not wait for it.
    #[arg(long)]
    pub detach: bool,
    /// One JSON line for each change instead of a bar; so also when stderr is no terminal.
    #[arg(long)]
    pub json: bool,
    /// The node.
    #[command(flatten)]
    pub admin: Admin,
}

/// Runs the command. Exit code 1 when the job did not end as done, 130 when it was cancelled by a signal.
///
/// # Errors
/// When an argument is wrong, the node is not there or refuses the job.
pub async fn main(args: WarmArgs) -> Result<ExitCode, Failed> {
    if let Some(command) = args.command {
        return super::jobs::main(command).await;
    }
    let WarmArgs { url, list, representations, rate, window, pin, by_popularity, share, bytes, .. } = args;
    let WarmArgs { place, head, copies, dry_run, detach, json, admin, .. } = args;
    let list = list.map(|file| read(&file)).transpose()?;
    let popularity = match by_popularity.is_empty() {
        true => None,
        false => Some(learn(&by_popularity).map_err(Failed::Use)?),
    };
    let asked = Order { url, list, representations, rate, window, pin, ..Order::default() };
    let order = Order { dry_run, popularity, share, bytes, place, head, copies, ..asked };
    order.parsed(SystemTime::now()).map_err(Failed::Use)?;
    let order = serde_json::to_value(order).map_err(Failed::outcome)?;
    let job = ask(&admin, Method::POST, "/v1/warm", Some(order)).await?;
    if detach {
        println!("{job}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/v1/warm/{}", job["id"]);
    let (bar, lines) = shown_on(json, std::io::stderr().is_terminal(), std::io::stdout().is_terminal());
    let mut shown = Shown { bar: bar.then(new_bar), lines, last: Value::Null };
    tokio::select! {
        ended = follow(&admin, &path, &mut shown) => {
            let ended = ended?;
            Ok(if ended["state"] == "done" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        () = stop_signal() => {
            shown.change(&ask(&admin, Method::DELETE, &path, None).await?);
            Ok(ExitCode::from(130))
        }
    }
}

/// The text of a file, or of standard input.
fn read(file: &Path) -> Result<String, Failed> {
    let mut text = String::new();
    let most = CATALOGUE_BYTES_MAX as u64 + 1;
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(most).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|opened| opened.take(most).read_to_string(&mut text)),
    };
    read.map_err(|error| Failed::Use(format!("{}: {error}", file.display())))?;
    Ok(text)
}

pub(super) async fn ask(admin: &Admin, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failed> {
    let text = call(admin.admin, method, path, body).await?;
    serde_json::from_str(&text).map_err(|error| Failed::Outcome(format!("{path}: no JSON: {error}")))
}

async fn follow(admin: &Admin, path: &str, shown: &mut Shown) -> Result<Value, Failed> {
    loop {
        let job = ask(admin, Method::GET, path, None).await?;
        shown.change(&job);
        if !is_open(&job) {
            return Ok(job);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_open(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("waiting" | "running"))
}

/// Which JSON lines go to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Each,
    Last,
    None,
}

/// Whether there is a bar, and which lines there are.
fn shown_on(json: bool, stderr_is_terminal: bool, stdout_is_terminal: bool) -> (bool, Lines) {
    match (json || !stderr_is_terminal, stdout_is_terminal) {
        (true, _) => (false, Lines::Each),
        (false, true) => (true, Lines::None),
        (false, false) => (true, Lines::Last),
    }
}

/// What has been shown of a job.
struct Shown {
    bar: Option<ProgressBar>,
    lines: Lines,
    last: Value,
}

impl Shown {
    fn change(&mut self, job: &Value) {
        if let Some(bar) = &self.bar {
            show_bar(bar, job);
        }
        let wanted = self.lines == Lines::Each || (self.lines == Lines::Last && !is_open(job));
        if wanted && self.last != *job {
            println!("{job}");
            self.last = job.clone();
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:10} [{bar:40}] {pos}/{len} objects {prefix} {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show_bar(bar: &ProgressBar, job: &Value) {
    let count = |key: &str| job[key].as_u64().unwrap_or(0);
    bar.set_length(count("total"));
    bar.set_position(count("done"));
    bar.set_prefix(bytesize::ByteSize(count("bytes")).to_string());
    bar.set_message(job["state"].as_str().unwrap_or("?").to_owned());
    if is_open(job) {
        return;
    }
    bar.abandon();
    if job["dry_run"] == true && !job["expected"].is_null() {
        eprintln!("{}", planned(&job["expected"]));
    }
    if let Some(error) = job["error"].as_str() {
        eprintln!("{error}");
    }
    for failure in job["failed"].as_array().into_iter().flatten() {
        let text = |key: &str| failure[key].as_str().unwrap_or_default();
        eprintln!("failed: {}: {}", text("url"), text("error"));
    }
}

/// What a job would do, in a sentence.
fn planned(expected: &Value) -> String {
    let count = |key: &str| expected[key].as_u64().unwrap_or(0);
    let mut told = format!("{} objects, {} of them stored already", count("objects"), count("stored"));
    if count("bytes") > 0 {
        told += &format!("; about {}", bytesize::ByteSize(count("bytes")));
    }
    if count("seconds") > 0 {
        told += &format!(
            ", which take {} at the rate given",
            indicatif::HumanDuration(Duration::from_secs(count("seconds")))
        );
    }
    if count("unmeasured") > 0 {
        told += &format!("; nothing tells how large {} of them are", count("unmeasured"));
    }
    if count("left_out") > 0 {
        told += &format!("; {} others are left out", count("left_out"));
    }
    let gain = &expected["gain"];
    if let (Some(requests), Some(bytes), Some(share)) =
        (gain["requests"].as_f64(), gain["bytes"].as_u64(), gain["share"].as_f64())
    {
        told += &format!(
            "; by the log some {requests:.0} requests for {}, {:.1} % of all bytes, are hits then that were misses",
            bytesize::ByteSize(bytes),
            100.0 * share
        );
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_says_what_is_known_and_no_more() {
        let told =
            planned(&serde_json::json!({ "objects": 9, "stored": 2, "bytes": 0, "unmeasured": 7, "seconds": null }));
        assert_eq!(told, "9 objects, 2 of them stored already; nothing tells how large 7 of them are");
        let told = planned(
            &serde_json::json!({ "objects": 9, "stored": 0, "bytes": 3_u64 << 30, "unmeasured": 0, "seconds": 7200 }),
        );
        assert_eq!(told, "9 objects, 0 of them stored already; about 3.0 GiB, which take 2 hours at the rate given");
        let gain = serde_json::json!({ "requests": 12.4, "bytes": 5_u64 << 20, "share": 0.1234 });
        let told = planned(&serde_json::json!({ "objects": 2, "stored": 0, "left_out": 7, "gain": gain }));
        assert!(told.ends_with(
            "; 7 others are left out; by the log some 12 requests for 5.0 MiB, 12.3 % of all bytes, are hits then that were misses"
        ));
    }

    #[test]
    fn a_file_behind_stdout_gets_the_result_and_a_terminal_the_bar() {
        assert_eq!(shown_on(false, true, true), (true, Lines::None));
        assert_eq!(shown_on(false, true, false), (true, Lines::Last));
        assert_eq!(shown_on(false, false, true), (false, Lines::Each));
        assert_eq!(shown_on(true, true, true), (false, Lines::Each));
    }
}
