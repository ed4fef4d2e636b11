//! How round-trip times are written between nodes: a first line that names the format, then a line for each prefix, `198.51.100.0/24 21500 7 40`:
//! microseconds, measurements, seconds since the last one; and `probes` behind them where it is not clients' connections that were measured.
//!
//! What comes may be anybody's. Invariants: a text is taken whole or not at all; every figure of it is within its bounds.

use std::fmt::Write as _;

use super::{Means, Prefix, Row};
use crate::limits::{RTT_LINE_BYTES_MAX, RTT_PREFIXES_MAX, RTT_US_MAX};

/// Behind the figures of a row that was measured so.
const PROBES: &str = "probes";
const FIRST_LINE: &str = "littoral-rtt 1";

/// Reads a text.
///
/// # Errors
/// The line and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.split('\n').zip(1..);
    if lines.next().map(|(first, _)| first) != Some(FIRST_LINE) {
        return Err(format!("line 1: it begins with {FIRST_LINE:?}"));
    }
    let mut rows = Vec::new();
    for (line, number) in lines {
        if line.is_empty() {
            continue;
        }
        let problem = |text: &str| format!("line {number}: {text}");
        if line.len() > RTT_LINE_BYTES_MAX {
            return Err(problem("it is too long"));
        }
        if rows.len() == RTT_PREFIXES_MAX {
            return Err(problem(&format!("more than {RTT_PREFIXES_MAX} prefixes")));
        }
        rows.push(row(line).ok_or_else(|| {
            problem("a prefix (/24 or /48), microseconds, measurements, seconds, and `probes` where it is those")
        })?);
    }
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let mut parts = line.split(' ');
    let prefix: Prefix = parts.next()?.parse().ok()?;
    let mut figure = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
    let (rtt_us, samples, age_s): (u32, u32, u32) = (figure()?, figure()?, figure()?);
    let means = match parts.next() {
        None => Means::Connections,
        Some(word) => Some(Means::Probes).filter(|_| word == PROBES)?,
    };
    let is_sound = (1..=RTT_US_MAX).contains(&rtt_us) && samples > 0 && parts.next().is_none();
    is_sound.then_some(Row { prefix, rtt_us, samples, age_s, means })
}

/// Writes rows, as [`parse`] reads them.
pub fn write<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text = format!("{FIRST_LINE}\n");
    for Row { prefix, rtt_us, samples, age_s, means } in rows {
        let end = if *means == Means::Probes { format!(" {PROBES}") } else { String::new() };
        // A string takes everything.
        let _ = writeln!(text, "{prefix} {rtt_us} {samples} {age_s}{end}");
    }
    text
}
