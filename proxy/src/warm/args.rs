//! The command `littoral warm`: posts a job, shows its progress, cancels it on Ctrl-C.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;

use super::Order;
use crate::cli::{Admin, call};
use crate::fileserver::stop_signal;

const POLL: Duration = Duration::from_millis(200);

/// Arguments of `littoral warm`.
#[derive(Debug, Clone, clap::Args)]
pub struct WarmArgs {
    /// The manifest, as clients ask for it.
    pub url: String,
    /// Ids of the representations to fetch; all without it.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub representations: Vec<String>,
    /// At most this fast, such as 50Mbps.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Only at these hours, UTC, such as 02:00-06:00.
    #[arg(long, value_name = "FROM-TO")]
    pub window: Option<String>,
    /// How long it is kept from eviction [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub pin: Option<String>,
    /// Post the job and do not wait for it.
    #[arg(long)]
    pub detach: bool,
    /// One JSON line for each change instead of a bar; so also when this is no terminal.
    #[arg(long)]
    pub json: bool,
    /// The node.
    #[command(flatten)]
    pub admin: Admin,
}

/// Runs the command. Exit code 1 when the job did not end as done, 130 when it was cancelled by a signal.
///
/// # Errors
/// When the node is not there or refuses the job.
pub async fn main(args: WarmArgs) -> anyhow::Result<ExitCode> {
    let WarmArgs { url, representations, rate, window, pin, detach, json, admin } = args;
    let order = serde_json::to_value(Order { url, representations, rate, window, pin })?;
    let job = ask(&admin, Method::POST, "/v1/warm", Some(order)).await?;
    if detach {
        println!("{job}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/v1/warm/{}", job["id"]);
    let mut shown = Shown::new(json || !std::io::stderr().is_terminal());
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

async fn ask(admin: &Admin, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let text = call(admin.admin, method, path, body).await.map_err(anyhow::Error::msg)?;
    serde_json::from_str(&text).with_context(|| format!("{path}: no JSON"))
}

async fn follow(admin: &Admin, path: &str, shown: &mut Shown) -> anyhow::Result<Value> {
    loop {
        let job = ask(admin, Method::GET, path, None).await?;
        shown.change(&job);
        if !matches!(job["state"].as_str(), Some("waiting" | "running")) {
            return Ok(job);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A bar, or a JSON line for each change.
enum Shown {
    Bar(ProgressBar),
    Lines(Value),
}

impl Shown {
    fn new(lines: bool) -> Self {
        if lines {
            return Self::Lines(Value::Null);
        }
        let style = ProgressStyle::with_template("{msg:10} [{bar:40}] {pos}/{len} objects {prefix}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(0).with_style(style))
    }

    fn change(&mut self, job: &Value) {
        match self {
            Self::Lines(last) if last == job => {}
            Self::Lines(last) => {
                println!("{job}");
                *last = job.clone();
            }
            Self::Bar(bar) => show_bar(bar, job),
        }
    }
}

fn show_bar(bar: &ProgressBar, job: &Value) {
    let count = |key: &str| job[key].as_u64().unwrap_or(0);
    let state = job["state"].as_str().unwrap_or("?").to_owned();
    bar.set_length(count("total"));
    bar.set_position(count("done"));
    bar.set_prefix(bytesize::ByteSize(count("bytes")).to_string());
    bar.set_message(state.clone());
    if matches!(state.as_str(), "waiting" | "running") {
        return;
    }
    bar.abandon();
    if let Some(error) = job["error"].as_str() {
        eprintln!("{error}");
    }
    for failure in job["failed"].as_array().into_iter().flatten() {
        let text = |key: &str| failure[key].as_str().unwrap_or_default();
        eprintln!("failed: {}: {}", text("url"), text("error"));
    }
}
