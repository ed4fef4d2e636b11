//! A plugin that is named by its directory: the one component in it, and its vectors.
//!
//! What `littoral plugin build --out` writes can be deployed whole. Invariant: which file is meant is never guessed.

use std::path::{Path, PathBuf};

use crate::author::vectors_of;

/// The file of a plugin: itself, or the one component in a directory. Names that begin with a dot are being written.
///
/// # Errors
/// What is wrong with the directory, and the fix.
pub(crate) fn component(file: &Path) -> Result<PathBuf, String> {
    if !file.is_dir() {
        return Ok(file.to_owned());
    }
    let entries = std::fs::read_dir(file).map_err(|error| format!("cannot be read: {error}"))?;
    let is_one = |path: &PathBuf| {
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|extension| extension == "wasm")
    };
    let mut found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err("it is a directory without a .wasm file: put the component there, or name a file".into()),
        (Some(one), Some(other)) => {
            let mut names = [name(&one), name(&other)];
            names.sort();
            Err(format!("it is a directory with {} and {}: leave one there, or name the file", names[0], names[1]))
        }
    }
}

/// The vectors of a plugin: those the operator names, or those in its directory (`NAME.vectors.toml`, `vectors.toml`, or either in JSON).
pub(crate) fn vectors(named: Option<&Path>, file: &Path) -> Option<PathBuf> {
    if named.is_some() || !file.is_dir() {
        return named.map(Path::to_owned);
    }
    let plain = ["vectors.toml", "vectors.json"].map(|name| file.join(name));
    let of_name = component(file).ok().and_then(|component| vectors_of(&component));
    of_name.or_else(|| plain.into_iter().find(|vectors| vectors.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_one_component_and_the_vectors_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let (at, put) = (directory.path(), |name: &str| std::fs::write(directory.path().join(name), "").unwrap());
        assert!(component(at).unwrap_err().contains("a directory without a .wasm file"));
        put("geo.wasm");
        put(".geo.wasm");
        put("readme.md");
        assert_eq!(component(at), Ok(at.join("geo.wasm")));
        assert_eq!(vectors(None, at), None);
        put("vectors.toml");
        assert_eq!(vectors(None, at), Some(at.join("vectors.toml")));
        put("geo.vectors.toml");
        assert_eq!(vectors(None, at), Some(at.join("geo.vectors.toml")));
        assert_eq!(vectors(None, &at.join("geo.wasm")), None, "of a file only what the operator names");
        assert_eq!(vectors(Some(Path::new("v.toml")), at), Some("v.toml".into()));
        put("abr.wasm");
        assert!(component(at).unwrap_err().contains("abr.wasm and geo.wasm: leave one there"));
    }
}
