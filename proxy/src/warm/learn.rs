//! Popularity from access logs, for a job: several logs, such as those of the nodes of a cluster, are read as one, in the order of their
//! times.
//!
//! Reading a log is [`crate::replay`]'s, and what is learnt of it the cache's. Invariant: each log is read once, as it streams; one that cannot be
//! read to its end is an error that names it.

use std::io::Read;
use std::path::{Path, PathBuf};

use littoral_cache::popularity::{Figures, Popularity};
use littoral_cache::trace::{Reader, Request};

use crate::replay::input::Input;

/// Logs that are read as one.
pub(crate) const LOGS_MAX: usize = 64;

/// A log and its next request.
struct Log<'a> {
    path: &'a Path,
    reader: Reader<Box<dyn Read>>,
    next: Option<Request>,
}

impl Log<'_> {
    fn go_on(&mut self) -> Result<(), String> {
        let next = self.reader.next_request();
        self.next = next.map_err(|problem| format!("{}: {problem}", self.path.display()))?;
        Ok(())
    }
}

/// What the logs say.
///
/// # Errors
/// Which log cannot be read, where, and why; that they have no request for an object.
pub(super) fn learn(paths: &[PathBuf]) -> Result<Figures, String> {
    if paths.len() > LOGS_MAX {
        return Err(format!("more than {LOGS_MAX} logs"));
    }
    let mut learnt = Popularity::default();
    each(paths, |request| learnt.saw(request))?;
    let figures = learnt.figures();
    if figures.requests == 0 {
        return Err("the logs have no request that moved an object: GET, answered 200 or 206".into());
    }
    Ok(figures)
}

/// Reads all of them, the earliest request first.
fn each(paths: &[PathBuf], mut request: impl FnMut(&Request)) -> Result<(), String> {
    let mut logs = Vec::new();
    for path in paths {
        let reader = Input::of_log(path).reader().map_err(|problem| format!("{}: {problem}", path.display()))?;
        let mut log = Log { path, reader, next: None };
        log.go_on()?;
        logs.push(log);
    }
    let time = |log: &Log<'_>| log.next.map_or(u64::MAX, |next| next.now_ms);
    while let Some(log) = logs.iter_mut().min_by_key(|log| time(log)) {
        let Some(next) = log.next.take() else { break };
        request(&next);
        log.go_on()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(second: u32, path: &str) -> String {
        format!("1.2.3.4 - - [22/Nov/2026:05:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 100 \"-\" \"-\"\n")
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    /// Writes the logs and reads them.
    fn learnt(logs: &[&[u8]]) -> Result<Figures, String> {
        let directory = tempfile::tempdir().unwrap();
        let write = |(number, log): (usize, &&[u8])| {
            let path = directory.path().join(format!("access.log.{number}"));
            std::fs::write(&path, log).unwrap();
            path
        };
        let paths: Vec<PathBuf> = logs.iter().enumerate().map(write).collect();
        learn(&paths)
    }

    #[test]
    fn logs_of_several_nodes_are_read_as_one_by_their_times_plain_and_compressed() {
        let first = line(1, "/a/720p/seg-1.m4s") + &line(40, "/a/720p/seg-2.m4s");
        let second = line(20, "/a/720p/seg-1.m4s");
        let together = learnt(&[(first.clone() + &second).as_bytes()]).unwrap();
        let apart = learnt(&[first.as_bytes(), &gzip(&second)]).unwrap();
        assert_eq!((apart.requests, apart.span_ms, together.span_ms), (3, 39_000, 39_000));
        assert_eq!(apart.titles[0].1.len(), 1);
        let mut order = Vec::new();
        let directory = tempfile::tempdir().unwrap();
        let paths = ["one", "other"].map(|name| directory.path().join(name));
        std::fs::write(&paths[0], &first).unwrap();
        std::fs::write(&paths[1], zstd::encode_all(second.as_bytes(), 3).unwrap()).unwrap();
        each(&paths, |request| order.push(request.now_ms / 1000 % 60)).unwrap();
        assert_eq!(order, [1, 20, 40]);
    }

    #[test]
    fn what_is_no_log_or_cut_is_told_with_its_file_and_place() {
        let whole = line(1, "/a.jpg").repeat(2000);
        let cut = gzip(&whole);
        let long = [line(1, "/a.jpg").into_bytes(), vec![b'x'; 1 << 20]].concat();
        let binary: Vec<u8> = (0..1 << 16).map(|byte: u32| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (log, said) in [
            (&cut[..cut.len() / 2], "cannot be read"),
            (&long, "line 2, at offset 79: longer than 65536 bytes"),
            (&binary, "no line of an access log"),
            (b"POST\n", "there is no [time]"),
            (b"", "no request that moved an object"),
        ] {
            let error = learnt(&[log]).unwrap_err();
            assert!(error.contains(said) && error.len() < 400, "{said}: {error}");
            assert!(said.starts_with("no request") || error.contains("access.log.0: "), "{error}");
        }
        assert!(learn(&[PathBuf::from("/nowhere.log")]).unwrap_err().starts_with("/nowhere.log: cannot be read"));
        assert!(learn(&vec![PathBuf::new(); LOGS_MAX + 1]).unwrap_err().contains("more than 64"));
    }
}
