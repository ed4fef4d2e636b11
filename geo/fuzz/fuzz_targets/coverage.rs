//! Any coverage file: refused in one line, or read.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use littoral_geo::coverage::CoverageFile;

fuzz_target!(|text: &str| {
    for is_csv in [false, true] {
        match CoverageFile::parse(Path::new("zones"), text, is_csv) {
            Ok(file) => assert!(file.zones.iter().all(|(_, at)| usize::from(*at) < file.names.len())),
            Err(problem) => assert!(problem.starts_with("zones:") && !problem.contains('\n'), "{problem}"),
        }
    }
});
