//! The clock of the process in one place: Unix milliseconds.

use std::time::SystemTime;

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    littoral_cache::entry::millis(SystemTime::now())
}
