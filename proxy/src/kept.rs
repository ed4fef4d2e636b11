//! Small files: those an operator writes are read with a bound, and those a node keeps from one process to the next are replaced whole (the
//! account and certificates of an authority, warm jobs, how far purges of others were done).
//!
//! What is in them is for those whose they are. Invariants: no more than the bound is ever read; what is kept is there whole or as it was
//! before, and is its owner's alone to read.

use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What is in a file.
///
/// # Errors
/// What the file system says, and that there is more than `bytes_max`.
pub(crate) fn bytes(file: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = std::fs::File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    match length as u64 <= bytes_max {
        true => Ok(bytes),
        false => Err(Error::new(ErrorKind::InvalidData, format!("it has more than {bytes_max} bytes"))),
    }
}

/// The text of a file.
///
/// # Errors
/// As [`bytes`], and that it is no text.
pub(crate) fn text(file: &Path, bytes_max: u64) -> std::io::Result<String> {
    String::from_utf8(bytes(file, bytes_max)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// The text of a file that may not be there yet: then `None`.
///
/// # Errors
/// As [`text`].
pub(crate) fn read(file: &Path, bytes_max: u64) -> std::io::Result<Option<String>> {
    match text(file, bytes_max) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// Replaces a file, and makes its directory.
///
/// # Errors
/// One line that names the file.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let problem = |error: Error| format!("cannot write {}: {error}", file.display());
    let directory = file.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(problem)?;
    let fresh = file.with_extension(format!("new-{}", std::process::id()));
    // Left by a process of the same number that ended here.
    let _ = std::fs::remove_file(&fresh);
    let mut opened =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(problem)?;
    let written = opened.write_all(bytes).and_then(|()| opened.sync_all()).and_then(|()| std::fs::rename(&fresh, file));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        problem(error)
    })
}
