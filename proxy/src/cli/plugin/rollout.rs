//! `littoral plugin rollout`, `promote`, `abort`: what an operator says of a running node's candidates.

use std::process::ExitCode;

use clap::Args;
use littoral_plugin_host::Share;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::Failed;
use crate::cli::{Admin, call};

/// Of which plugin.
#[derive(Debug, Args)]
pub(in super::super) struct OfArgs {
    /// The plugin's name.
    name: String,
    #[command(flatten)]
    admin: Admin,
}

/// Of which plugin, and how much.
#[derive(Debug, Args)]
pub(in super::super) struct RolloutArgs {
    /// The plugin's name.
    name: String,
    /// The candidate's share of the requests, 0 to 100.
    #[arg(value_parser = percent)]
    percent: f64,
    #[command(flatten)]
    admin: Admin,
}

/// What the API answers.
#[derive(Debug, serde::Deserialize)]
struct Answer {
    generation: u64,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse().map_err(|_| format!("{text:?} is no number"))?;
    Share::of_percent(percent).map(Share::percent)
}

/// Gives a candidate a share.
pub(super) async fn roll_out(RolloutArgs { name, percent, admin }: RolloutArgs) -> Result<ExitCode, Failed> {
    let number = order(&OfArgs { name: name.clone(), admin }, "rollout", Some(json!({ "percent": percent }))).await?;
    println!("{name}: generation {number} is asked about {percent} % of the requests");
    Ok(ExitCode::SUCCESS)
}

/// Has a candidate take over.
pub(super) async fn promote(of: OfArgs) -> Result<ExitCode, Failed> {
    let number = order(&of, "promote", None).await?;
    println!(
        "{}: generation {number} runs; now name its file as `file` in the config, and remove `candidate`",
        of.name
    );
    Ok(ExitCode::SUCCESS)
}

/// Ends a roll-out.
pub(super) async fn abort(of: OfArgs) -> Result<ExitCode, Failed> {
    let number = order(&of, "abort", None).await?;
    println!("{}: generation {number} runs alone", of.name);
    Ok(ExitCode::SUCCESS)
}

async fn order(OfArgs { name, admin }: &OfArgs, what: &str, body: Option<Value>) -> Result<u64, Failed> {
    let name: String = byte_serialize(name.as_bytes()).collect();
    // Of forms; in a path a space is no plus.
    let path = format!("/v1/plugins/{}/{what}", name.replace('+', "%20"));
    let told = call(admin.admin, reqwest::Method::POST, &path, body).await?;
    serde_json::from_str(&told).map(|Answer { generation }| generation).map_err(Failed::outcome)
}
