//! `littoral plugin replay`: how another version does on what a node recorded.

use std::path::Path;
use std::process::ExitCode;

use littoral_plugin_host::author::{self, Difference, Replayed, Tally};

use super::{Failed, counted};

/// Replays a record and prints what differs.
pub(super) fn main(record: &Path, file: &Path, config: Option<&str>, json: bool) -> Result<ExitCode, Failed> {
    let found = author::replay(record, file, config).map_err(Failed::Use)?;
    match json {
        true => println!("{}", serde_json::json!(found)),
        false => print(&found),
    }
    Ok(ExitCode::from(u8::from(!found.is_same())))
}

fn print(found: &Replayed) {
    let Replayed { plugin, functions, changes, differences, skipped, is_cut } = found;
    if functions.is_empty() {
        println!("nothing of what {plugin:?} was asked could be asked");
    }
    for (function, Tally { asked, different, faults, fuel }) in functions {
        let fuel = fuel.checked_div(*asked).unwrap_or(0);
        println!(
            "{function}: {asked} asked, {different} answered otherwise, {}, {fuel} fuel each",
            counted(*faults, "fault")
        );
    }
    let mut changes: Vec<_> = changes.iter().collect();
    changes.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    changes.iter().for_each(|(change, times)| println!("{times:>6}  {change}"));
    for Difference { line, generation, question, then, now } in differences {
        println!("line {line} (generation {generation}): {then}; now {now}\n  {}", serde_json::json!(question));
    }
    let told: u64 = functions.values().map(|tally| tally.different).sum();
    match told.saturating_sub(differences.len() as u64) {
        0 => {}
        more => println!("and {more} more"),
    }
    if *skipped > 0 {
        println!(
            "{} skipped: made on what was known before, or of an interface it does not export",
            counted(*skipped, "decision")
        );
    }
    if *is_cut {
        println!("the record ends in the middle of a line: it was being written");
    }
}
