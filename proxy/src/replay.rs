//! `littoral replay`: what a policy would hit of a trace, in a tier of a given size.
//!
//! Each policy and size is a pass over the trace, read as it streams ([`input`]); the tier is the cache crate's own
//! ([`littoral_cache::replay`]), fresh for each. Which policy decides is [`policy`]'s; what comes out is told as a table,
//! JSON, or a plot ([`plot`]).

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use littoral_cache::replay::bounds::{Belady, Curve};
use littoral_cache::replay::{Tally, Tier};
use serde_json::{Value, json};

use crate::cli::Failed;

pub(crate) mod input;
mod plot;
mod policy;

use input::{Input, Survey};
use policy::{Choice, Options};

/// Arguments of `littoral replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// Traces: libCacheSim's oracleGeneral, CSV (`.csv`; a first line may name the columns time_s, obj_id, size, title, rung, seg), or a
    /// node's access log (`.log`, `.json`), each also compressed with zstd or gzip.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Policies: `native` is the node's own; lru, gdsf, s3fifo, sieve, tinylfu and littoral keep state of their own; a file, or a
    /// name in --plugins, is a plugin.
    #[arg(long, default_value = "native", value_delimiter = ',', value_name = "NAME")]
    policy: Vec<String>,
    /// Size of the tier: bytes (2GB) or a percentage of all objects' bytes (5%).
    #[arg(long, required = true, value_delimiter = ',', value_name = "SIZE")]
    size: Vec<Size>,
    /// The form of the traces, where their names do not tell it.
    #[arg(long, value_name = "FORM")]
    form: Option<input::FormArg>,
    /// Where plugins are looked for by name.
    #[arg(long, env = "LITTORAL_PLUGINS", value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Config of a plugin, as JSON.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    config: String,
    /// What `littoral` makes large.
    #[arg(long, default_value = "both", value_name = "METRIC")]
    metric: policy::MetricArg,
    /// Adds Belady's policy, which knows what comes, and the curve of least recently used.
    #[arg(long)]
    context: bool,
    /// One JSON object for each trace.
    #[arg(long)]
    json: bool,
    /// Draws object hit ratio over size, with the curve of least recently used.
    #[arg(long)]
    plot: bool,
}

/// Of a tier.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Bytes(u64),
    Percent(f64),
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: write bytes, such as 2GB, or a percentage, such as 5%");
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                if percent > 0.0 && percent <= 100.0 { Ok(Self::Percent(percent)) } else { Err(wrong()) }
            }
            None => match text.parse::<bytesize::ByteSize>() {
                Ok(size) if size.0 > 0 => Ok(Self::Bytes(size.0)),
                _ => Err(wrong()),
            },
        }
    }
}

impl Size {
    fn of(self, survey: Option<&Survey>) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let all = survey.map_or(0, |survey| survey.bytes);
                ((all as f64 * percent / 100.0) as u64).max(1)
            }
        }
    }
}

/// One pass.
struct Row {
    policy: String,
    capacity: u64,
    tally: Tally,
    took: Duration,
    /// Answers of a plugin that the node's own policy gave in its place.
    faults: u64,
}

/// `littoral replay`.
///
/// # Errors
/// A trace that cannot be read, or not to its end; a policy that is none.
pub fn main(args: &ReplayArgs) -> Result<ExitCode, Failed> {
    let options = Options { plugins: args.plugins.as_deref(), config: &args.config, metric: args.metric.into() };
    let choices: Vec<Choice> =
        args.policy.iter().map(|name| policy::find(name, &options)).collect::<Result<_, _>>().map_err(Failed::Use)?;
    for trace in &args.traces {
        let input = Input::new(trace, args.form, std::io::stderr().is_terminal() && !args.json);
        let (curve, survey, rows) = replay(args, &input, &choices)
            .map_err(|problem| Failed::Outcome(format!("{}: {problem}", trace.display())))?;
        let curve = curve.as_ref();
        if args.json {
            println!("{}", as_json(trace, survey.as_ref(), curve, &rows));
            continue;
        }
        print_table(trace, survey.as_ref(), &rows);
        if args.plot {
            println!("\n{}", plot::draw(&curve.map(Curve::points).unwrap_or_default(), &points(&rows)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

type Outcome = (Option<Curve>, Option<Survey>, Vec<Row>);

fn replay(args: &ReplayArgs, input: &Input, choices: &[Choice]) -> Result<Outcome, String> {
    let drawn = args.context || args.plot;
    let mut curve = drawn.then(Curve::default);
    let by_share = args.size.iter().any(|size| matches!(size, Size::Percent(_)));
    let survey = match by_share || drawn {
        true => Some(input.survey(curve.as_mut())?),
        false => None,
    };
    let next = if args.context { input.next_requests(survey.as_ref())? } else { None };
    let mut rows = Vec::new();
    for size in &args.size {
        let capacity = size.of(survey.as_ref());
        for choice in choices {
            let (took, tally, faults) = choice.replay(capacity, |tier| input.pass(&choice.name, None, tier))?;
            rows.push(Row { policy: choice.name.clone(), capacity, tally, took, faults });
        }
        if args.context {
            let mut belady = Belady::new(capacity);
            let took = input.pass("belady", next.as_deref(), &mut belady)?;
            rows.push(Row { policy: "belady".into(), capacity, tally: belady.tally(), took, faults: 0 });
        }
    }
    Ok((curve, survey, rows))
}

fn points(rows: &[Row]) -> Vec<plot::Point<'_>> {
    let ratio = |row: &Row| row.tally.object_hit_ratio();
    rows.iter().map(|row| plot::Point { policy: &row.policy, bytes: row.capacity, ratio: ratio(row) }).collect()
}

fn as_json(trace: &Path, survey: Option<&Survey>, curve: Option<&Curve>, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let Tally { requests, hits, bytes, hit_bytes, evicted, refused, nonsense } = row.tally;
        json!({
            "policy": row.policy,
            "bytes": row.capacity,
            "requests": requests,
            "hits": hits,
            "requested_bytes": bytes,
            "hit_bytes": hit_bytes,
            "object_hit_ratio": row.tally.object_hit_ratio(),
            "byte_hit_ratio": row.tally.byte_hit_ratio(),
            "evicted": evicted,
            "refused": refused,
            "nonsense": nonsense,
            "faults": row.faults,
            "seconds": row.took.as_secs_f64(),
        })
    };
    let point = |(bytes, objects, share): (u64, f64, f64)| json!([bytes, objects, share]);
    json!({
        "trace": trace.display().to_string(),
        "objects": survey.map(|survey| survey.objects),
        "object_bytes": survey.map(|survey| survey.bytes),
        "skipped_lines": survey.map(|survey| survey.skipped),
        "lru": curve.map(|curve| curve.points().into_iter().map(point).collect::<Vec<_>>()),
        "replays": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn print_table(trace: &Path, survey: Option<&Survey>, rows: &[Row]) {
    let requests = rows.first().map_or(0, |row| row.tally.requests);
    match survey {
        Some(Survey { objects, bytes, .. }) => {
            println!("{}: {requests} requests for {objects} objects of {}", trace.display(), ByteSize(*bytes))
        }
        None => println!("{}: {requests} requests", trace.display()),
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["policy", "size", "objects %", "bytes %", "evicted", "refused", "requests/s", "faults"]);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    for Row { policy, capacity, tally, took, faults } in rows {
        table.add_row([
            policy.clone(),
            ByteSize(*capacity).to_string(),
            format!("{:.2}", 100.0 * tally.object_hit_ratio()),
            format!("{:.2}", 100.0 * tally.byte_hit_ratio()),
            tally.evicted.to_string(),
            tally.refused.to_string(),
            format!("{:.2} M", tally.requests as f64 / took.as_secs_f64().max(1e-9) / 1e6),
            (faults + tally.nonsense).to_string(),
        ]);
    }
    println!("{table}");
}

#[cfg(test)]
mod tests;
