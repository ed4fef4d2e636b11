//! Where a guest was when its call failed, for whoever looks for the reason: of policies, filters and services alike.
//!
//! Whether it was a fault, and whose, is said elsewhere. Invariant: what is kept is bounded in lines and in bytes of each, whatever a
//! guest calls its functions.

use wasmtime::{FrameInfo, WasmBacktrace};

use crate::limits::{TRACE_FRAMES_MAX, TRACE_LINE_BYTES_MAX};

/// The last fault, for whoever looks for its reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastFault {
    pub(crate) words: Option<String>,
    pub(crate) trace: Vec<String>,
}

impl LastFault {
    /// In words, and where the guest was.
    pub(crate) fn new(words: String, trace: &[String]) -> Self {
        Self { words: Some(words), trace: trace.to_vec() }
    }
}

/// What is wrong, if that is known, and the functions a failed call was in, innermost first, at most [`TRACE_FRAMES_MAX`]: by the names
/// its author left in the file, else by their numbers. Each is one line of at most [`TRACE_LINE_BYTES_MAX`].
pub(crate) fn backtrace(cause: Option<String>, error: &wasmtime::Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let bounded = |mut line: String| {
        line.truncate(line.floor_char_boundary(TRACE_LINE_BYTES_MAX));
        line
    };
    cause.into_iter().chain(frames.iter().take(TRACE_FRAMES_MAX).map(named)).map(bounded).collect()
}

fn named(frame: &FrameInfo) -> String {
    let plain =
        |name: &str| rustc_demangle::try_demangle(name).map_or_else(|_| name.to_owned(), |name| format!("{name:#}"));
    let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), plain);
    match frame.symbols().first().and_then(|symbol| Some((symbol.file()?, symbol.line()?))) {
        Some((file, line)) => format!("{name} ({file}:{line})"),
        None => name,
    }
}
