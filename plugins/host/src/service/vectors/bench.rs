//! Measuring services: what a connection or a message of the vectors' cases costs in time, fuel and memory.
//!
//! Time is that of the guest and the host around it, its start included where each connection has one; sockets and TLS are a node's own part.
//! Fuel is counted apart, in an engine that counts it.

use std::path::Path;

use super::stage::Stage;
use super::{Case, Cases, Turn, Vectors, of};
use crate::author::Measured;
use crate::service::host::{Whole, kind_of};

/// Measures a service with the cases of `vectors` that are not to fail. About `calls` connections or messages are timed for each.
///
/// # Errors
/// One line: the component cannot be loaded, or the vectors cannot be read or are missing.
pub(crate) fn bench(file: &Path, vectors: Option<&Path>, config: &str, calls: u64) -> Result<Vec<Measured>, String> {
    let kind = kind_of(file)?;
    let Some(vectors) = vectors else {
        return Err(format!("{}: what its clients say is its own affair: name --vectors", file.display()));
    };
    let vectors = Vectors::read(vectors, kind)?;
    of!(&vectors, cases => cases.measured(file, config, calls))
}

impl<T: Turn> Cases<T> {
    /// Each of its cases that stands alone and is not to fail.
    fn measured(&self, file: &Path, config: &str, calls: u64) -> Result<Vec<Measured>, String> {
        let is_good = |case: &&Case<T>| {
            let expects_none = |expect: &super::Expect| expect.fault.is_none() && expect.refused.is_none();
            !case.continues && !case.turns.is_empty() && case.expect.as_ref().is_none_or(expects_none)
        };
        let config = self.config_or(config);
        let (metered, plain) = (Whole::load(file, &config, true)?, Whole::load(file, &config, false)?);
        let of = |case: &Case<T>| {
            let own = self.config_of(case);
            case.measured(&metered, &plain, (own.as_deref().unwrap_or(&config), self.now_ms), calls)
        };
        self.case.iter().filter(is_good).map(of).collect()
    }
}

impl<T: Turn> Case<T> {
    fn measured(
        &self,
        metered: &Whole,
        plain: &Whole,
        (config, now_ms): (&str, u64),
        calls: u64,
    ) -> Result<Measured, String> {
        let mut measured = Measured {
            function: T::FUNCTION,
            question: self.name.clone(),
            calls: 0,
            p50_ns: 0.0,
            p99_ns: 0.0,
            fuel: 0,
            fuel_limit: None,
            memory_bytes: 0,
            fault: None,
        };
        let told = |failure: crate::filter::Failure| failure.told();
        let counted = Stage::new(&metered.generation, now_ms)
            .and_then(|mut stage| self.played(&mut stage, &metered.generation, config));
        match counted {
            Ok((_, played)) => (measured.fuel, measured.memory_bytes) = (played.fuel, played.memory_bytes),
            Err(failure) => {
                measured.fault = Some(failure.told());
                return Ok(measured);
            }
        }
        let mut stage = Stage::new(&plain.generation, now_ms).map_err(told)?;
        let timed = measured.time(calls, || {
            stage.begin(self.now_ms, &self.fetch);
            T::timed(self, &stage, (&plain.generation, config)).map_err(told)
        });
        measured.fault = timed.err();
        Ok(measured)
    }
}
