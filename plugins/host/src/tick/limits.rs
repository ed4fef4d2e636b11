//! Named bounds on ticks, beside those of the calls of their plugins.

use std::time::Duration;

/// Between the end of a tick and the next one, at least.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The same at most.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A tick with all that it waits for.
pub const TICK_TIME_MAX: Duration = Duration::from_secs(30);
/// After a tick that failed, before the next one; doubled with each that fails after it.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The same at most.
pub const BACKOFF_MAX: Duration = Duration::from_secs(300);
