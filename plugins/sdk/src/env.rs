//! What every plugin may say: lines for the node's log, and counters.
//!
//! The macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and [`error!`](crate::error) format as `format!` does
//! and then [`log`]; a node keeps ten lines a second of 1 KiB each, but what is dropped has been formatted all the same. In native tests
//! both are kept for the thread that said them: [`logged`], [`counted`].

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever writes the plugin.
    Debug,
    /// What happened.
    Info,
    /// What is odd, but dealt with.
    Warn,
    /// What went wrong.
    Error,
}

/// A line at the level `debug`.
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::env::log($crate::env::Level::Debug, &format!($($line)+)) }; }
/// A line at the level `info`.
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::env::log($crate::env::Level::Info, &format!($($line)+)) }; }
/// A line at the level `warn`.
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::env::log($crate::env::Level::Warn, &format!($($line)+)) }; }
/// A line at the level `error`.
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::env::log($crate::env::Level::Error, &format!($($line)+)) }; }

pub use here::{count, log};
#[cfg(not(target_arch = "wasm32"))]
pub use here::{counted, logged};

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "functions of the host are foreign")]
mod here {
    use super::Level;

    #[link(wasm_import_module = "littoral:plugin/env@0.1.0")]
    unsafe extern "C" {
        #[link_name = "log"]
        fn host_log(level: i32, text: *const u8, bytes: usize);
        #[link_name = "count"]
        fn host_count(counter: i32, delta: i64);
    }

    /// Writes a line to the node's log.
    pub fn log(level: Level, line: &str) {
        // SAFETY: the flat signature of `env.log`; the host reads the line's bytes during the call and keeps no pointer.
        unsafe { host_log(level as i32, line.as_ptr(), line.len()) }
    }

    /// Adds to one of the plugin's 64 counters, which the node shows as `littoral_plugin_counts_total`.
    pub fn count(counter: u32, delta: u64) {
        // SAFETY: the flat signature of `env.count`; no memory is handed over.
        unsafe { host_count(counter as i32, delta as i64) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod here {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Level;

    thread_local! {
        static LOGGED: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
        static COUNTED: RefCell<BTreeMap<u32, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Writes a line to the node's log.
    pub fn log(level: Level, line: &str) {
        LOGGED.with_borrow_mut(|lines| lines.push((level, line.to_owned())));
    }

    /// Adds to one of the plugin's 64 counters, which the node shows as `littoral_plugin_counts_total`.
    pub fn count(counter: u32, delta: u64) {
        COUNTED.with_borrow_mut(|counts| *counts.entry(counter).or_default() += delta);
    }

    /// What this thread has logged since it was asked last.
    pub fn logged() -> Vec<(Level, String)> {
        LOGGED.take()
    }

    /// What this thread has counted so far.
    pub fn counted(counter: u32) -> u64 {
        COUNTED.with_borrow(|counts| counts.get(&counter).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_natively_is_there_for_the_test_that_asks() {
        let place = 7;
        crate::warn!("cluster {place} is {}", "gone");
        crate::info!("done");
        assert_eq!(logged(), [(Level::Warn, "cluster 7 is gone".to_owned()), (Level::Info, "done".to_owned())]);
        assert_eq!(logged(), [], "once");
        count(3, 2);
        count(3, 1);
        assert_eq!([counted(3), counted(4)], [3, 0]);
    }
}
