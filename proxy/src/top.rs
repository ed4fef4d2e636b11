//! `littoral top`: a running node on a terminal, from `GET /v1/top`. Plain ANSI: nothing is needed of the terminal but to clear
//! itself. Invariant: what clients sent (keys) cannot write to the terminal but as printable ASCII.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::cli::{Admin, Failed, call};
use crate::config::units::Span;

/// Columns of a line; longer ones are cut.
const COLUMNS: usize = 100;
/// Another screen, which leaves what was there before; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place, and everything behind it away.
const CLEAR: &str = "\x1b[H\x1b[J";

/// `littoral top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print one frame, with averages since the node's start, and end.
    #[arg(long)]
    once: bool,
    /// Between two frames.
    #[arg(long, default_value = "1s", value_name = "TIME")]
    every: Span,
    #[command(flatten)]
    admin: Admin,
}

/// `littoral top`.
///
/// # Errors
/// The node is not there, or went away.
pub async fn main(args: TopArgs) -> Result<ExitCode, Failed> {
    let first = ask(&args).await?;
    if args.once {
        print!("{}", frame(&first, None, first["uptime_s"].as_f64().unwrap_or(0.0)));
        return Ok(ExitCode::SUCCESS);
    }
    print!("{ENTER}{CLEAR}{}", frame(&first, None, first["uptime_s"].as_f64().unwrap_or(0.0)));
    let ended = tokio::select! {
        ended = draw(&args, first) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    print!("{LEAVE}");
    ended.map(|()| ExitCode::SUCCESS)
}

async fn draw(args: &TopArgs, first: Value) -> Result<(), Failed> {
    let (mut before, mut then) = (first, Instant::now());
    loop {
        flush();
        tokio::time::sleep(args.every.0).await;
        let now = ask(args).await?;
        print!("{CLEAR}{}", frame(&now, Some(&before), then.elapsed().as_secs_f64()));
        (before, then) = (now, Instant::now());
    }
}

fn flush() {
    // A terminal that is gone ends the process by its own signal.
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

async fn ask(args: &TopArgs) -> Result<Value, Failed> {
    let answer = call(args.admin.admin, reqwest::Method::GET, "/v1/top", None).await?;
    serde_json::from_str(&answer).map_err(Failed::outcome)
}

/// One frame: what is now, and how it grew since `before` (else since the start) in `seconds`.
fn frame(now: &Value, before: Option<&Value>, seconds: f64) -> String {
    let count = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    // A node that was replaced counts from zero: then nothing has grown.
    let grown = |path: &str| (count(now, path) - before.map_or(0.0, |before| count(before, path))).max(0.0);
    let rate = |path: &str| if seconds > 0.0 { grown(path) / seconds } else { 0.0 };
    let labels =
        |of: &str| -> Vec<String> { now[of].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default() };
    let total = |of: &str| labels(of).iter().map(|label| grown(&format!("/{of}/{label}"))).sum::<f64>();
    let (requests, hits) = (total("requests"), grown("/requests/hit"));
    let ratio = if requests > 0.0 { 100.0 * hits / requests } else { 0.0 };
    let mut out = String::new();
    let mut line = |text: String| {
        let shown: String =
            text.chars().take(COLUMNS).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        let _ = writeln!(out, "{}", shown.trim_end());
    };
    let up = humantime::format_duration(std::time::Duration::from_secs(count(now, "/uptime_s") as u64));
    line(format!("littoral {}  up {up}  load {:.1}%", text(&now["node"]), count(now, "/load_permille") / 10.0));
    let per_second = if seconds > 0.0 { requests / seconds } else { 0.0 };
    line(format!(
        "requests {per_second:.1}/s  hit ratio {ratio:.1}%  sent {}/s  connections {}  origin fetches {:.1}/s",
        bytes(rate("/sent_bytes")),
        count(now, "/connections_open"),
        rate("/fetches"),
    ));
    for of in ["requests", "responses"] {
        let each = labels(of).into_iter().map(|label| (rate(&format!("/{of}/{label}")), label));
        let each = each.map(|(rate, label)| format!("{label} {rate:.1}"));
        line(format!("  {of:<9} /s  {}", each.collect::<Vec<_>>().join("  ")));
    }
    let (used, bound) = (count(now, "/cache/bytes"), count(now, "/cache/bound_bytes"));
    line(format!(
        "cache    {} of {} ({:.1}%)  objects {}  filling {}  evicted {:.1}/s",
        bytes(used),
        bytes(bound),
        if bound > 0.0 { 100.0 * used / bound } else { 0.0 },
        count(now, "/cache/objects"),
        count(now, "/cache/filling"),
        rate("/cache/evicted"),
    ));
    tables(now, &mut line);
    out
}

/// Origins, plugins and hot keys.
fn tables(now: &Value, line: &mut impl FnMut(String)) {
    let list = |of: &str| now[of].as_array().cloned().unwrap_or_default();
    line(format!("{:<50}{:<10}{:>10}{:>10}", "ORIGIN", "STATE", "UNDER WAY", "WAITING"));
    for origin in list("origins") {
        let state = if origin["asked"] == true { "asked" } else { "left out" };
        let (name, under_way, waiting) = (text(&origin["origin"]), &origin["under_way"], &origin["waiting"]);
        line(format!("{name:<50}{state:<10}{under_way:>10}{waiting:>10}"));
    }
    for plugin in list("plugins") {
        let state = match plugin["state"].as_str() {
            Some("not-loaded") => "not loaded",
            _ if plugin["quarantined_until_ms"].as_u64().unwrap_or(0) > 0 => "quarantined",
            _ => "live",
        };
        line(format!("plugin {:<43}{state:<12}generation {}", text(&plugin["name"]), plugin["generation"]));
    }
    line(format!("{:>10}  {:>10}  {:>8}  HOT KEY", "HITS", "SIZE", "TTL"));
    for hot in list("hot") {
        let size = bytes(hot["bytes"].as_f64().unwrap_or(0.0));
        line(format!("{:>10}  {size:>10}  {:>7}s  {}", hot["hits"], hot["ttl_s"], text(&hot["key"])));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn bytes(count: f64) -> String {
    bytesize::ByteSize::b(count.max(0.0) as u64).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(hits: u64, misses: u64, sent: u64) -> Value {
        json!({
            "node": "n1", "uptime_s": 10.0, "load_permille": 125, "connections_open": 3, "fetches": misses,
            "requests": { "hit": hits, "miss": misses }, "responses": { "2xx": hits + misses }, "sent_bytes": sent,
            "cache": { "bytes": 1024, "bound_bytes": 4096, "objects": 2, "filling": 1, "evicted": 0 },
            "origins": [{ "origin": "http://o.example:80", "asked": false, "under_way": 4, "waiting": 5 }],
            "plugins": [{ "name": "evict-x", "generation": 2 }],
            "hot": [{ "key": "h /a\u{1b}[31m\n", "hits": 9, "bytes": 2048, "ttl_s": 60 }],
        })
    }

    #[test]
    fn a_frame_tells_rates_since_the_one_before_and_averages_without_one() {
        let average = frame(&at(30, 10, 10_240), None, 10.0);
        assert!(average.contains("requests 4.0/s  hit ratio 75.0%  sent 1.0 KiB/s  connections 3"), "{average}");
        let grown = frame(&at(40, 10, 10_240), Some(&at(30, 10, 10_240)), 2.0);
        assert!(grown.contains("requests 5.0/s  hit ratio 100.0%  sent 0 B/s"), "{grown}");
        let replaced = frame(&at(0, 0, 0), Some(&at(30, 10, 10_240)), 2.0);
        assert!(replaced.contains("requests 0.0/s  hit ratio 0.0%"), "{replaced}");
        for expected in ["1.0 KiB of 4.0 KiB (25.0%)", "http://o.example:80", "left out", "evict-x", "2.0 KiB"] {
            assert!(grown.contains(expected), "{expected}: {grown}");
        }
    }

    #[test]
    fn a_key_cannot_write_to_the_terminal() {
        let shown = frame(&at(1, 1, 1), None, 1.0);
        assert!(shown.contains("h /a?[31m?") && !shown.contains('\u{1b}'), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= COLUMNS));
    }
}
