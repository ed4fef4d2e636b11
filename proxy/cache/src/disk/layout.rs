//! Where things are in the directory of a disk, and what an object is called there.
//!
//! An object's name is a digest of its key and variant, the same in every process: to look one up is to know its path.

use std::path::{Path, PathBuf};

use crate::key::digest;

/// The name on disk of the object with this key text and, beside the primary slot, this variance.
pub fn id_of(key_text: &[u8], variance: Option<&[u8; 16]>) -> u128 {
    match variance {
        None => digest(&[key_text]),
        Some(variance) => digest(&[key_text, variance]),
    }
}

/// The directory of all objects.
pub fn objects(root: &Path) -> PathBuf {
    root.join("objects")
}

/// The directory of files that are being written.
pub fn unfinished(root: &Path) -> PathBuf {
    root.join("tmp")
}

/// The file whose lock says that a node uses the directory.
pub fn lock(root: &Path) -> PathBuf {
    root.join("lock")
}

/// The journal of purges.
pub fn journal(root: &Path) -> PathBuf {
    root.join("purges")
}

/// The file of an object: one of 4096 directories, so that ten million objects are 2,500 in each.
pub fn object(root: &Path, id: u128) -> PathBuf {
    let name = format!("{id:032x}");
    objects(root).join(&name[..3]).join(name)
}

/// The object a file name is of; `None` when it is no object's.
pub fn id_of_name(name: &str) -> Option<u128> {
    let known = name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    known.then(|| u128::from_str_radix(name, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_gives_back_its_object_and_no_other_name_does() {
        let id = id_of(b"h /a", None);
        let path = object(Path::new("/d"), id);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(id_of_name(name), Some(id));
        assert!(path.parent().unwrap().ends_with(format!("objects/{}", &name[..3])));
        for other in ["", "0", "0000000000000000000000000000000g", "+0000000000000000000000000000001", "purges"] {
            assert_eq!(id_of_name(other), None, "{other}");
        }
    }

    #[test]
    fn variants_have_files_of_their_own() {
        assert_ne!(id_of(b"h /a", None), id_of(b"h /a", Some(&[0; 16])));
        assert_ne!(id_of(b"h /a", Some(&[1; 16])), id_of(b"h /a", Some(&[0; 16])));
    }
}
