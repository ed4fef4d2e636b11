//! A title and a network trace, in the form of sabre.
//!
//! A title is `{segment_duration_ms, bitrates_kbps: [per rung], segment_sizes_bits: [[per rung] per segment]}`, a trace a list of
//! `{duration_ms, bandwidth_kbps, latency_ms}` over which the player loops. Invariant: what is read here can be played to its end.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use littoral_rate::Ladder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longest title, in segments.
const SEGMENTS_MAX: usize = 100_000;
/// Most rungs of a title.
const RUNGS_MAX: usize = 64;
/// Longest duration, latency or size per figure of a file: far beyond any real one, and sums of them stay exact.
const FIGURE_MAX: f64 = 1e12;

/// A title.
#[derive(Debug, Clone, Deserialize)]
pub struct Movie {
    /// Duration of every segment.
    pub segment_duration_ms: f64,
    bitrates_kbps: Vec<f64>,
    /// Bits per segment and rung.
    pub segment_sizes_bits: Vec<Vec<f64>>,
}

impl Movie {
    /// Read from a file and checked.
    pub fn read(file: &Path) -> Result<Self> {
        let movie: Self = read(file)?;
        let (rungs, segments) = (movie.bitrates_kbps.len(), movie.segment_sizes_bits.len());
        let fits = |figure: &f64| (0.0..FIGURE_MAX).contains(figure);
        let file = file.display();
        ensure!((1..=RUNGS_MAX).contains(&rungs), "{file}: bitrates_kbps has {rungs} rungs; 1 to {RUNGS_MAX}");
        ensure!((1..=SEGMENTS_MAX).contains(&segments), "{file}: {segments} segments; 1 to {SEGMENTS_MAX}");
        let duration = movie.segment_duration_ms;
        ensure!(duration >= 1.0 && fits(&duration), "{file}: segment_duration_ms is {duration}; at least 1");
        let rising = movie.bitrates_kbps.windows(2).all(|pair| pair[0] < pair[1]);
        ensure!(rising && movie.bitrates_kbps[0] > 0.0, "{file}: bitrates_kbps must be positive and rise");
        for (number, sizes) in movie.segment_sizes_bits.iter().enumerate() {
            let whole = sizes.len() == rungs && sizes.iter().all(|bits| *bits > 0.0 && fits(bits));
            ensure!(whole, "{file}: segment_sizes_bits[{number}] needs a positive size for each of the {rungs} rungs");
        }
        Ok(movie)
    }

    /// Its rungs.
    pub fn ladder(&self) -> Ladder {
        Ladder::new(self.bitrates_kbps.iter().copied())
    }
}

/// A while with one bandwidth.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Period {
    /// How long.
    #[serde(rename = "duration_ms")]
    pub ms: f64,
    /// Throughput.
    #[serde(rename = "bandwidth_kbps")]
    pub kbps: f64,
    /// Time to the first byte.
    pub latency_ms: f64,
}

/// A trace, read from a file and checked.
pub fn trace(file: &Path) -> Result<Vec<Period>> {
    let periods: Vec<Period> = read(file)?;
    let shown = file.display();
    for (number, period) in periods.iter().enumerate() {
        let fits = |figure: f64| (0.0..FIGURE_MAX).contains(&figure);
        let sound = period.ms >= 1.0 && fits(period.ms) && fits(period.kbps) && fits(period.latency_ms);
        ensure!(sound, "{shown}: period {number} has a figure that is negative, too large, or lasts less than 1 ms");
    }
    let (bits, ms) = periods.iter().fold((0.0, 0.0), |(bits, ms), one| (bits + one.ms * one.kbps, ms + one.ms));
    ensure!(bits >= ms && ms > 0.0, "{shown}: less than 1 kbit/s on average; nothing could ever be played");
    Ok(periods)
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let shown = file.display();
    let bytes = std::fs::metadata(file).with_context(|| format!("{shown}: cannot be read"))?.len();
    ensure!(bytes <= FILE_BYTES_MAX, "{shown}: {bytes} bytes; at most {FILE_BYTES_MAX} are read");
    let text = std::fs::read(file).with_context(|| format!("{shown}: cannot be read"))?;
    serde_json::from_slice(&text).with_context(|| format!("{shown}: not in sabre's form"))
}
