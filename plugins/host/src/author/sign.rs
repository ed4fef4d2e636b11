//! Keys and signatures at the author's: making a key, signing a component in place, asking whose it is.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::component::open;
use crate::engine::read;
use crate::signature::{PublicKey, SecretKey, Trust};

/// Makes a key: the secret goes to `file`, for its owner only, the public one to `file` with `.pub` after it.
///
/// # Errors
/// One line; a file that is there is not touched.
pub fn keygen(file: &Path) -> Result<PublicKey, String> {
    use std::os::unix::fs::OpenOptionsExt;
    let (secret, text) = SecretKey::generate()?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    let write = |file: &Path, text: &str, mode: u32| {
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| format!("{}: cannot be made: {error}", file.display()))
    };
    write(file, &text, 0o600)?;
    write(&beside, &format!("{}\n", secret.public()), 0o644)?;
    Ok(secret.public())
}

/// Signs components in place, each in one step, so that a running node reads the old or the new file.
///
/// # Errors
/// One line: which file, what is wrong. Those before it are signed.
pub fn sign(key: &Path, files: &[PathBuf]) -> Result<PublicKey, String> {
    let key = SecretKey::read(key)?;
    for file in files {
        let told = |problem: String| format!("{}: {problem}", file.display());
        let component = read(file).map_err(told)?;
        open(&component).map_err(told)?;
        let signed = key.sign(&component).map_err(told)?;
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = std::fs::metadata(file).and_then(|before| {
            let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
            temporary.write_all(&signed)?;
            temporary.as_file().set_permissions(before.permissions())?;
            temporary.persist(file).map(drop).map_err(|error| error.error)
        });
        written.map_err(|error| told(format!("cannot be written: {error}")))?;
    }
    Ok(key.public())
}

/// Which of `keys` signed a component; `None` when there are no keys.
///
/// # Errors
/// Why a node that trusts these keys refuses it; the outer error: the file cannot be read.
pub fn verify(file: &Path, keys: Vec<PublicKey>) -> Result<Result<Option<PublicKey>, String>, String> {
    let component = read(file).map_err(|problem| format!("{}: {problem}", file.display()))?;
    Ok(Trust { keys, warn_only: false }.vouched(&component))
}
