//! `littoral cache`: what lies in a disk's directory, read without a node and without changing anything.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use littoral_cache::disk::format::Header;
use littoral_cache::disk::offline::{Finding, Look, Offline};
use littoral_cache::entry::millis;
use serde_json::{Value, json};

use crate::cli::Failed;
use crate::clock::now_ms;

/// What to do with a directory.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the objects: bytes, status, seconds they stay fresh, key.
    #[command(after_help = "Example: littoral cache ls /var/cache/littoral")]
    Ls(Directory),
    /// Show what is kept of a URL, all variants.
    #[command(
        after_help = "Example: littoral cache show /var/cache/littoral --url http://video.example/title/manifest.mpd"
    )]
    Show {
        #[command(flatten)]
        /// Where it is kept.
        directory: Directory,
        /// The URL.
        #[arg(long, value_name = "URL")]
        url: String,
    },
    /// Read every byte and compare the checksums; exit code 1 when a file is not as it was written.
    #[command(after_help = "Example: littoral cache verify /var/cache/littoral")]
    Verify(Directory),
}

/// Where to look.
#[derive(Debug, Args)]
pub struct Directory {
    /// The directory of a disk (`cache.disk.path`).
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// One JSON object for each file.
    #[arg(long)]
    json: bool,
}

impl Directory {
    fn open(&self) -> Result<Offline, Failed> {
        let problem = |error| {
            let path = self.path.display();
            Failed::Use(format!("{path}: no node has kept objects there ({error}); name a cache.disk.path"))
        };
        Offline::open(&self.path).map_err(problem)
    }
}

/// `littoral cache`.
///
/// # Errors
/// When the directory is none, or something in it is not as it was written.
pub fn main(command: &CacheCommand) -> Result<ExitCode, Failed> {
    match command {
        CacheCommand::Ls(directory) => {
            let offline = directory.open()?;
            print(offline.files().map(|path| line(&offline.look(path, false), directory.json)))
        }
        CacheCommand::Show { directory, url } => show(directory, url),
        CacheCommand::Verify(directory) => verify(directory),
    }
}

fn show(directory: &Directory, url: &str) -> Result<ExitCode, Failed> {
    let wrong = || Failed::Use(format!("{url:?}: {}", crate::purge::NO_URL));
    let (host, path) = crate::purge::host_and_path(url).ok_or_else(wrong)?;
    let (offline, key) = (directory.open()?, littoral_cache::Key::new(&host, &path));
    let of_url = |look: &Look| look.header.as_ref().is_some_and(|header| header.key == key.text());
    let found: Vec<Look> = offline.files().map(|path| offline.look(path, true)).filter(of_url).collect();
    if found.is_empty() {
        return Err(Failed::Outcome(format!("nothing of {url} is kept there")));
    }
    print(found.iter().map(|look| if directory.json { line(look, true) } else { sheet(look) }))
}

fn verify(directory: &Directory) -> Result<ExitCode, Failed> {
    let offline = directory.open()?;
    let (mut files, mut bytes, mut wrong) = (0_u64, 0, 0_u64);
    let looks = offline.files().map(|path| offline.look(path, true)).inspect(|look| {
        (files, bytes) = (files + 1, bytes + look.bytes);
        wrong += u64::from(matches!(look.finding, Finding::Refused(_) | Finding::Failed(_)));
    });
    let told = looks.filter(|look| directory.json || matches!(look.finding, Finding::Refused(_) | Finding::Failed(_)));
    print(told.map(|look| line(&look, directory.json)))?;
    if wrong > 0 {
        return Err(Failed::Outcome(format!("{wrong} of {files} files are not as they were written")));
    }
    if !directory.json {
        println!("{files} files, {bytes} bytes: as they were written");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints line by line, until nobody reads any more.
fn print(lines: impl Iterator<Item = String>) -> Result<ExitCode, Failed> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut read = true;
    for line in lines {
        // The others are still looked at: a verdict may hang on them.
        read = read && writeln!(out, "{line}").is_ok();
    }
    Ok(ExitCode::SUCCESS)
}

fn word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Whole => "whole",
        Finding::Stale => "stale",
        Finding::Purged => "purged",
        Finding::Refused(_) => "refused",
        Finding::Failed(_) => "failed",
    }
}

fn reason(finding: &Finding) -> Option<&str> {
    match finding {
        Finding::Refused(why) | Finding::Failed(why) => Some(why),
        _ => None,
    }
}

fn ttl_s(header: &Header) -> i64 {
    (millis(header.lifetime.fresh_until) as i64 - now_ms() as i64) / 1000
}

/// A key as people write it.
fn url_of(header: &Header) -> String {
    String::from_utf8_lossy(&header.key).replacen(' ', "", 1)
}

fn line(look: &Look, as_json: bool) -> String {
    if as_json {
        return as_value(look).to_string();
    }
    match (&look.header, reason(&look.finding)) {
        (Some(header), None) => {
            let (status, ttl_s) = (header.head.status.as_u16(), ttl_s(header));
            format!("{:>12} {status} {ttl_s:>9} {:7} {}", header.body, word(&look.finding), url_of(header))
        }
        (_, why) => format!("{:>12} {} {}", look.bytes, look.path.display(), why.unwrap_or("refused")),
    }
}

fn as_value(look: &Look) -> Value {
    let mut value = json!({
        "file": look.path,
        "file_bytes": look.bytes,
        "finding": word(&look.finding),
        "reason": reason(&look.finding),
    });
    if let Some(header) = &look.header {
        let fields = header.head.headers.iter();
        let fields = fields.map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
        let more = json!({
            "url": url_of(header),
            "status": header.head.status.as_u16(),
            "body_bytes": header.body,
            "ttl_s": ttl_s(header),
            "stored_ms": header.stored_ms,
            "pinned_until_ms": header.pinned_until_ms,
            "variance": header.variance.map(|variance| format!("{:032x}", u128::from_le_bytes(variance))),
            "fields": fields.collect::<Value>(),
        });
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
    }
    value
}

/// All that is known of an object, for reading.
fn sheet(look: &Look) -> String {
    let mut out = format!("{}\n  {} bytes, {}", look.path.display(), look.bytes, word(&look.finding));
    let mut add = |name: &str, value: String| out.push_str(&format!("\n  {name}: {value}"));
    if let Some(why) = reason(&look.finding) {
        add("reason", why.to_owned());
    }
    if let Some(header) = &look.header {
        add("url", url_of(header));
        add("status", header.head.status.to_string());
        add("body", format!("{} bytes", header.body));
        add("fresh for", format!("{} s", ttl_s(header)));
        for (name, value) in &header.head.headers {
            add(name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    out
}
