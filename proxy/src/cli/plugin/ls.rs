//! `littoral plugin ls`: what a running node has loaded, and what each plugin was granted.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Failed;
use crate::cli::{Admin, call};

/// What it is told.
#[derive(Debug, Args)]
pub(in super::super) struct LsArgs {
    #[command(flatten)]
    admin: Admin,
    /// As JSON: all that `GET /v1/plugins` tells.
    #[arg(long)]
    json: bool,
}

/// Asks the node and prints.
pub(super) async fn main(args: LsArgs) -> Result<ExitCode, Failed> {
    let told = call(args.admin.admin, reqwest::Method::GET, "/v1/plugins", None).await?;
    if args.json {
        println!("{told}");
        return Ok(ExitCode::SUCCESS);
    }
    let plugins: Value = serde_json::from_str(&told).map_err(Failed::outcome)?;
    print!("{}", table(plugins.as_array().map_or(&[][..], Vec::as_slice)));
    Ok(ExitCode::SUCCESS)
}

/// A line for each, the columns as wide as what is in them.
fn table(plugins: &[Value]) -> String {
    let head =
        ["NAME", "WORLD", "STATE", "GENERATION", "CALLS", "FAULTS", "MEAN", "MEMORY", "GRANTS"].map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(plugins.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row(plugin: &Value) -> [String; 9] {
    let text = |key: &str| plugin[key].as_str().unwrap_or("-").to_owned();
    let number = |key: &str| plugin[key].as_u64().unwrap_or(0);
    let list = |key: &str| {
        let names = plugin[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(",")
    };
    let faults: u64 = plugin["faults"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    [
        text("name"),
        list("interfaces"),
        text("state"),
        generation(plugin),
        number("calls").to_string(),
        faults.to_string(),
        format!("{} ns", number("mean_ns")),
        format!("{} KiB", number("memory_bytes") >> 10),
        grants(plugin, &list("points")),
    ]
}

/// Who is asked: what runs, and what is tried beside it.
fn generation(plugin: &Value) -> String {
    let number = plugin["generation"].as_u64().unwrap_or(0);
    let rollout = &plugin["rollout"];
    match (rollout["state"].as_str(), rollout["generation"].as_u64(), rollout["percent"].as_f64()) {
        (Some("running"), Some(candidate), Some(percent)) => format!("{number} + {candidate} at {percent}%"),
        _ => number.to_string(),
    }
}

/// What it may do that another may not.
fn grants(plugin: &Value, points: &str) -> String {
    let mut grants = Vec::new();
    if !points.is_empty() {
        grants.push(points.to_owned());
    }
    if let Some(granted) = plugin["store"]["granted"].as_u64() {
        grants.push(format!("store {} KiB", granted >> 10));
    }
    if let Some(dial) = plugin["grants"]["dial"].as_array() {
        grants.push(format!("dial {}", dial.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")));
    }
    if let Some(content) = plugin["grants"]["content"].as_array().filter(|content| !content.is_empty()) {
        grants.push(format!("content {}", content.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")));
    }
    if let Some(http) = plugin["grants"]["http"].as_array() {
        grants.push(format!("asks {}", http.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")));
    }
    if let Some(granted) = plugin["durable"]["granted"].as_u64() {
        grants.push(format!("durable {} KiB", granted >> 10));
    }
    if let Some(file) = plugin["record"]["file"].as_str() {
        grants.push(format!("recorded in {file}"));
    }
    if grants.is_empty() { "-".to_owned() } else { grants.join("; ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_plugin_has_a_line_with_what_it_was_granted() {
        let policy = json!({
            "name": "geo", "interfaces": ["routing"], "state": "running", "generation": 3, "calls": 12, "mean_ns": 90,
            "faults": { "trap": 1, "fuel": 2 }, "memory_bytes": 131072, "record": { "file": "geo.jsonl" },
        });
        let filter = json!({
            "name": "limit", "interfaces": ["filter"], "state": "quarantined", "points": ["request", "response"],
            "store": { "granted": 1 << 20 }, "generation": 1,
            "rollout": { "state": "running", "generation": 2, "percent": 5.0 },
        });
        let told = table(&[policy, filter]);
        let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0].len(), 9);
        assert_eq!(
            lines[1],
            ["geo", "routing", "running", "3", "12", "3", "90", "ns", "128", "KiB", "recorded", "in", "geo.jsonl"]
        );
        assert_eq!(lines[2][3..8], ["1", "+", "2", "at", "5%"]);
        assert!(lines[2].ends_with(&["request,response;", "store", "1024", "KiB"]), "{told}");
    }
}
