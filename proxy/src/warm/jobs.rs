//! The commands `littoral warm list`, `show` and `cancel`: the jobs of a node, as its admin API tells them.
//!
//! People get tables, programs JSON. Invariant: what is printed is what the node said; nothing is reckoned here.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::HumanDuration;
use reqwest::Method;
use serde_json::Value;

use super::args::ask;
use crate::cli::{Admin, Failed};

/// What is done with jobs that are there.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum WarmCommand {
    /// The jobs that the node remembers, and the standing ones of its config.
    List(Options),
    /// One job: all that is known of it, with what failed.
    Show(OneJob),
    /// Ends a job; what it has fetched stays.
    Cancel(OneJob),
}

/// Of which node, and how it is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// JSON as the admin API gives it.
    #[arg(long)]
    json: bool,
    /// The node.
    #[command(flatten)]
    admin: Admin,
}

/// Which job.
#[derive(Debug, Clone, clap::Args)]
pub struct OneJob {
    /// Its number, as `littoral warm list` tells it.
    id: u64,
    /// How, and where.
    #[command(flatten)]
    options: Options,
}

/// Runs one of them.
///
/// # Errors
/// When the node is not there or has no such job.
pub(super) async fn main(command: WarmCommand) -> Result<ExitCode, Failed> {
    match command {
        WarmCommand::List(Options { json, admin }) => {
            let jobs = ask(&admin, Method::GET, "/v1/warm", None).await?;
            let standing = ask(&admin, Method::GET, "/v1/warm/standing", None).await?;
            match json {
                true => println!("{}", serde_json::json!({ "jobs": jobs, "standing": standing })),
                false => println!("{}", listed(&jobs, &standing)),
            }
        }
        WarmCommand::Show(OneJob { id, options: Options { json, admin } }) => {
            let job = ask(&admin, Method::GET, &format!("/v1/warm/{id}"), None).await?;
            println!("{}", if json { job.to_string() } else { shown(&job) });
        }
        WarmCommand::Cancel(OneJob { id, options: Options { json, admin } }) => {
            let job = ask(&admin, Method::DELETE, &format!("/v1/warm/{id}"), None).await?;
            let told = || format!("job {id} is {}: {} objects are there", text(&job["state"]), text(&job["done"]));
            println!("{}", if json { job.to_string() } else { told() });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if !heads.is_empty() {
        table.set_header(heads);
    }
    table
}

/// A value as people write it; what is not there is a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn size(bytes: &Value) -> String {
    bytesize::ByteSize(bytes.as_u64().unwrap_or(0)).to_string()
}

/// How much time, which nothing tells of a job that is not under way.
fn time(seconds: &Value) -> String {
    seconds.as_u64().map_or_else(|| "-".to_owned(), |seconds| HumanDuration(Duration::from_secs(seconds)).to_string())
}

/// Where its objects are named.
fn name(job: &Value) -> String {
    match (&job["standing"], &job["url"]) {
        (Value::String(standing), _) => format!("[[warm]] {standing}"),
        (_, Value::String(url)) => url.clone(),
        _ => "a list".to_owned(),
    }
}

/// A state, with what it waits for.
fn state(job: &Value) -> String {
    match &job["waits_for"] {
        Value::String(what) => format!("{} ({what})", text(&job["state"])),
        _ => text(&job["state"]),
    }
}

/// Lines of a table, without the margins that it has around columns.
fn lines(table: &Table) -> String {
    table.to_string().lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn listed(jobs: &Value, standing: &Value) -> String {
    let mut told = Vec::new();
    let jobs = jobs.as_array().map_or(&[][..], Vec::as_slice);
    match jobs.is_empty() {
        true => told.push("no job has been posted since this node began".to_owned()),
        false => {
            let mut table = table(["JOB", "STATE", "OBJECTS", "FAILED", "FETCHED", "LEFT", "WHAT"]);
            for job in jobs {
                let objects = format!("{}/{}", text(&job["done"]), text(&job["total"]));
                let failed = text(&job["failed_count"]);
                let (fetched, left) = (size(&job["bytes"]), time(&job["eta_s"]));
                table.add_row([text(&job["id"]), state(job), objects, failed, fetched, left, name(job)]);
            }
            told.push(lines(&table));
        }
    }
    let standing = standing.as_array().map_or(&[][..], Vec::as_slice);
    if !standing.is_empty() {
        let mut table = table(["STANDING", "WINDOW", "ZONE", "OPENS IN", "LAST ERROR"]);
        for one in standing {
            let [name, window, zone, error] = ["name", "window", "zone", "error"].map(|key| text(&one[key]));
            table.add_row([name, window, zone, time(&one["opens_in_s"]), error]);
        }
        told.push(lines(&table));
    }
    told.join("\n\n")
}

fn shown(job: &Value) -> String {
    let mut table = table([]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("job", text(&job["id"]));
    row("what", name(job));
    row("state", state(job));
    row(
        "objects",
        format!("{} of {}, {} of them here before", text(&job["done"]), text(&job["total"]), text(&job["hits"])),
    );
    row("fetched", size(&job["bytes"]));
    row("left", time(&job["eta_s"]));
    row("tried again", text(&job["retries"]));
    row("left out", text(&job["left_out"]));
    row("failed", text(&job["failed_count"]));
    row("error", text(&job["error"]));
    let failed = job["failed"].as_array().into_iter().flatten();
    let failed = failed.map(|one| format!("failed: {}: {}", text(&one["url"]), text(&one["error"])));
    std::iter::once(lines(&table)).chain(failed).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_told_in_lines_and_what_is_not_known_is_a_dash() {
        let jobs = json!([
            { "id": 1, "state": "done", "done": 9, "total": 9, "failed_count": 0, "bytes": 5 << 20, "eta_s": null, "url": "http://v.example/m.mpd" },
            { "id": 2, "state": "running", "waits_for": "link", "done": 1, "total": 4, "failed_count": 1, "bytes": 0, "eta_s": 90, "standing": "films" },
        ]);
        let standing = json!([{ "name": "films", "window": "02:00-06:00", "zone": "Europe/Amsterdam", "opens_in_s": 0, "error": null }]);
        let told = listed(&jobs, &standing);
        let words: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["1", "done", "9/9", "0", "5.0", "MiB", "-", "http://v.example/m.mpd"]);
        assert_eq!(words[2][..5], ["2", "running", "(link)", "1/4", "1"]);
        assert!(told.lines().nth(2).unwrap().contains("2 minutes") && words[2].ends_with(&["[[warm]]", "films"]));
        assert_eq!(words[5], ["films", "02:00-06:00", "Europe/Amsterdam", "0", "seconds", "-"]);
        assert_eq!(listed(&json!([]), &json!([])), "no job has been posted since this node began");
    }

    #[test]
    fn a_job_is_shown_with_what_failed_and_why() {
        let failed = json!([{ "url": "http://v.example/1", "error": "status 404" }]);
        let told = shown(
            &json!({ "id": 3, "state": "incomplete", "done": 1, "total": 2, "hits": 0, "failed_count": 1, "failed": failed }),
        );
        assert!(told.lines().any(|line| line.split_whitespace().eq(["what", "a", "list"])), "{told}");
        assert!(told.ends_with("\nfailed: http://v.example/1: status 404"), "{told}");
    }
}
