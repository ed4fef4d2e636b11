//! Small files that a node keeps from one process to the next: the account and certificates of an authority, warm jobs.
//!
//! What is in them is for those whose they are. Invariant: a file is there whole or as it was before, and is its owner's alone to read.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The text of a file, of which so many bytes are read; `None` when there is none.
///
/// # Errors
/// What the file system says, and that it is no text.
pub(crate) fn read(file: &Path, bytes_max: u64) -> std::io::Result<Option<String>> {
    use std::io::Read;
    let opened = match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    opened.take(bytes_max).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Replaces a file, and makes its directory.
///
/// # Errors
/// One line that names the file.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
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
