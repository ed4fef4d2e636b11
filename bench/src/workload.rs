//! What is asked for: the mix of objects, its sequence of requests, and the scripts with which wrk asks for them.
//!
//! The mix is 10,000 objects with sizes of a bounded Pareto distribution (half are below 4 KiB, the mean is 32 KiB), asked for by
//! Zipf's law with exponent 0.9. Invariant: all of it comes from fixed seeds, so that every engine gets the same requests in
//! the same order, today and on another machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::origin::Object;

/// Objects of the mix.
pub const MIX_OBJECTS: u64 = 10_000;
/// Exponent of Zipf's law.
const ZIPF: f64 = 0.9;
/// Smallest and largest object of the mix, in bytes.
const MIX_BYTES: (f64, f64) = (1024.0, 1_048_576.0);
/// Requests before the sequence begins anew.
const MIX_DRAWS: usize = 100_000;
/// Objects of the disk case, 1 MiB each: in turn, so that no memory tier that is smaller helps.
pub const DISK_OBJECTS: u64 = 256;

/// A sequence of numbers that is the same each time: xorshift64*.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Above 0, at most 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// The objects of the mix; the first is the most popular one. Size and popularity are independent.
#[must_use]
pub fn mix() -> Vec<Object> {
    let mut draws = Draws::new(1);
    let (least, most) = MIX_BYTES;
    // Pareto with exponent 1/2, bounded: the inverse of its distribution function.
    let bounded = 1.0 - (least / most).sqrt();
    let bytes = |unit: f64| (least / (1.0 - unit * bounded).powi(2)) as usize;
    (0..MIX_OBJECTS).map(|number| Object { bytes: bytes(draws.unit()), number: number + 1 }).collect()
}

/// The requests of the mix, in order.
#[must_use]
pub fn sequence(objects: &[Object]) -> Vec<Object> {
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=objects.len())
        .map(|rank| {
            sum += (rank as f64).powf(-ZIPF);
            sum
        })
        .collect();
    let mut draws = Draws::new(2);
    (0..MIX_DRAWS)
        .map(|_| {
            let at = draws.unit() * sum;
            objects[shares.partition_point(|&share| share < at).min(objects.len() - 1)]
        })
        .collect()
}

/// The objects of the disk case.
#[must_use]
pub fn on_disk() -> Vec<Object> {
    (0..DISK_OBJECTS).map(|number| Object { bytes: 1 << 20, number }).collect()
}

/// Files that generators read.
#[derive(Clone, Debug)]
pub struct Scripts {
    directory: PathBuf,
}

impl Scripts {
    /// Scripts of a directory that is there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// A list of paths, one in a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn paths(&self, name: &str, objects: &[Object]) -> Result<PathBuf> {
        let mut text = String::new();
        for object in objects {
            writeln!(text, "{}", object.path())?;
        }
        let file = self.directory.join(format!("{name}.paths"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// A script of wrk that asks for the paths of a list in turn.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn in_turn(&self, name: &str, objects: &[Object]) -> Result<PathBuf> {
        let paths = self.paths(name, objects)?;
        self.script(
            name,
            &format!(
                "local requests, at = {{}}, 0
function init(args)
  for path in io.lines({paths:?}) do requests[#requests + 1] = wrk.format(nil, path) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"
            ),
        )
    }

    /// A script of wrk that asks for objects of one size nobody has asked for: numbers from `first` on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn once_each(&self, name: &str, bytes: usize, first: u64) -> Result<PathBuf> {
        self.script(
            name,
            &format!(
                "local number = {first} - 1
function request()
  number = number + 1
  return wrk.format(nil, string.format(\"/o/{bytes}/%d\", number))
end
"
            ),
        )
    }

    /// A script of wrk that asks for the paths of a list in turn, every `each`-th time for an object nobody has asked for,
    /// and waits `pause_ms` before each request of a connection.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn paced(&self, name: &str, objects: &[Object], each: u32, pause_ms: u32) -> Result<PathBuf> {
        let paths = self.paths(name, objects)?;
        let delay = if pause_ms == 0 { String::new() } else { format!("function delay() return {pause_ms} end") };
        self.script(
            name,
            &format!(
                "local requests, at, asked = {{}}, 0, 0
function init(args)
  for path in io.lines({paths:?}) do requests[#requests + 1] = wrk.format(nil, path) end
end
{delay}
function request()
  asked = asked + 1
  if asked % {each} == 0 then return wrk.format(nil, string.format(\"/o/16384/%d\", 1000000000 + asked)) end
  at = at % #requests + 1
  return requests[at]
end
"
            ),
        )
    }

    fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.directory.join(format!("{name}.lua"));
        fs::write(&file, text)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_the_same_each_time_and_within_its_bounds() {
        let objects = mix();
        assert_eq!(objects, mix());
        assert_eq!(objects.len(), 10_000);
        assert!(objects.iter().all(|object| (1024..=1 << 20).contains(&object.bytes)));
        let mean = objects.iter().map(|object| object.bytes).sum::<usize>() / objects.len();
        assert!((28_000..36_000).contains(&mean), "the mean is {mean}");
        let small = objects.iter().filter(|object| object.bytes < 4096).count();
        assert!((4_500..5_800).contains(&small), "{small} are small");
    }

    #[test]
    fn requests_follow_zipf() {
        let objects = mix();
        let requests = sequence(&objects);
        let asked = |rank: usize| requests.iter().filter(|&&asked| asked == objects[rank - 1]).count() as f64;
        let (first, second, tenth) = (asked(1), asked(2), asked(10));
        assert!((first / second - 2_f64.powf(0.9)).abs() < 0.15, "{first} {second}");
        assert!((first / tenth - 10_f64.powf(0.9)).abs() < 1.0, "{first} {tenth}");
        assert!(first / 100_000.0 > 0.05 && first / 100_000.0 < 0.08);
    }
}
