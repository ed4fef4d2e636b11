//! Keys of a zone out of a directory, in the files that dnssec-keygen and ldns-keygen make: `.key` has the DNSKEY record,
//! `.private` the private half and, of the former, the times at which the key is used.
//!
//! Invariant: no two keys of a zone have one tag, so that a signature says which key made it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::{LowerName, Name};

use super::key::{ENTRY, Key, PROTOCOL, Times, ZONE_KEY};
use crate::limits::{KEY_DIRECTORY_FILES_MAX, KEY_FILE_BYTES_MAX, KEYS_MAX};

/// All keys of the zone `apex` in a directory, in the order of their tags.
///
/// # Errors
/// One line: file, what is wrong and what to do.
pub(super) fn read(directory: &Path, apex: &LowerName) -> Result<Vec<Key>, String> {
    let place = directory.display();
    let unreadable = |error| {
        format!("{place}: cannot be read: {error}; zone {apex} names it as the directory of its keys (dnssec.keys)")
    };
    let prefix = format!("K{}+", Name::from(apex.clone()).to_ascii().to_ascii_lowercase());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)?.take(KEY_DIRECTORY_FILES_MAX) {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let of_zone = name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(&prefix));
        if of_zone && name.ends_with(".key") {
            files.push(directory.join(name));
        }
    }
    files.sort();
    match files.len() {
        0 => Err(format!(
            "{place}: no key of zone {apex}: make one there, such as with dnssec-keygen -K {place} -a ECDSAP256SHA256 -f KSK {apex}"
        )),
        1..=KEYS_MAX => {
            let keys: Vec<Key> = files.iter().map(|file| key(file, apex)).collect::<Result<_, _>>()?;
            let twice = keys.iter().enumerate().find(|(at, key)| keys[..*at].iter().any(|other| other.tag == key.tag));
            match twice {
                Some((_, key)) => {
                    Err(format!("{place}: two keys of zone {apex} have the tag {}: replace one", key.tag))
                }
                None => Ok(keys),
            }
        }
        count => Err(format!("{place}: {count} keys of zone {apex}: at most {KEYS_MAX}; move old ones elsewhere")),
    }
}

fn key(file: &Path, apex: &LowerName) -> Result<Key, String> {
    let private_file = file.with_extension("private");
    let problem = |file: &Path, text: String| format!("{}: {text}", file.display());
    let (flags, algorithm, public) =
        text(file).and_then(|text| public(&text, apex)).map_err(|text| problem(file, text))?;
    let private = text(&private_file).and_then(|text| private(&text)).map_err(|text| problem(&private_file, text))?;
    if private.algorithm != algorithm {
        let text =
            format!("it is of algorithm {}, its .key of {algorithm}: take both files of one key", private.algorithm);
        return Err(problem(&private_file, text));
    }
    Key::new(flags, algorithm, &public, &private.key, private.times).map_err(|text| problem(&private_file, text))
}

fn text(file: &Path) -> Result<String, String> {
    let unreadable = |error| format!("cannot be read: {error}; a key is two files, .key and .private");
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > KEY_FILE_BYTES_MAX {
        return Err(format!("it has {length} bytes; a key file has at most {KEY_FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

/// Flags, algorithm and key of the DNSKEY record in a `.key` file.
fn public(text: &str, apex: &LowerName) -> Result<(u16, u8, Vec<u8>), String> {
    let wrong = "it has no record such as: example. IN DNSKEY 257 3 13 AbC=";
    let lines = text.lines().map(|line| line.split(';').next().unwrap_or(""));
    let line = lines.into_iter().find(|line| line.contains("DNSKEY")).ok_or(wrong)?;
    let mut words = line.split_ascii_whitespace();
    let owner = words.next().and_then(|owner| owner.parse::<Name>().ok()).ok_or(wrong)?;
    if LowerName::from(owner) != *apex {
        return Err(format!("its record is not of zone {apex}: move it elsewhere"));
    }
    // A TTL and a class may stand before the type.
    let mut data = words.skip_while(|word| *word != "DNSKEY").skip(1);
    let flags: u16 = data.next().and_then(|flags| flags.parse().ok()).ok_or(wrong)?;
    let protocol: u8 = data.next().and_then(|protocol| protocol.parse().ok()).ok_or(wrong)?;
    let algorithm: u8 = data.next().and_then(|algorithm| algorithm.parse().ok()).ok_or(wrong)?;
    if flags & !ENTRY != ZONE_KEY || protocol != PROTOCOL {
        return Err(format!("flags {flags}, protocol {protocol}: a key that signs a zone has 256 or 257, and 3"));
    }
    let public = BASE64_STANDARD.decode(data.collect::<String>()).map_err(|_| wrong)?;
    Ok((flags, algorithm, public))
}

#[derive(Debug, PartialEq)]
struct Private {
    algorithm: u8,
    key: Vec<u8>,
    times: Times,
}

/// A `.private` file: lines of a word, a colon and a value. Those that are not known are passed over.
fn private(text: &str) -> Result<Private, String> {
    let (mut algorithm, mut key, mut times) = (None, None, Times::default());
    for (number, line) in text.lines().enumerate() {
        let Some((word, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let at = |text: &str| format!("line {}: {word}: {text}", number + 1);
        let time = || time(value).map(Some).ok_or_else(|| at("write a time as YYYYMMDDHHMMSS, in UTC"));
        match word {
            "Algorithm" => {
                let number = value.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
                algorithm = Some(number.ok_or_else(|| at("write a number, such as 13"))?);
            }
            "PrivateKey" => key = Some(BASE64_STANDARD.decode(value).map_err(|_| at("it is not base64"))?),
            "Publish" => times.publish = time()?,
            "Activate" => times.activate = time()?,
            "Inactive" => times.inactive = time()?,
            "Delete" => times.delete = time()?,
            "Revoke" => return Err(at("keys are not revoked (RFC 5011): remove the line, and set Delete")),
            _ => {}
        }
    }
    let algorithm = algorithm.ok_or("it has no line such as Algorithm: 13 (ECDSAP256SHA256)")?;
    let key = key.ok_or("it has no line PrivateKey: of an ECDSA or Ed25519 key")?;
    Ok(Private { algorithm, key, times })
}

/// Seconds since 1970 of YYYYMMDDHHMMSS.
fn time(text: &str) -> Option<u64> {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    // Years that begin in March, so that a leap day is the last: days before a month are then a line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "; a comment of DNSKEYs\nexample.\t3600 IN\tDNSKEY\t257 3 15 BIgYPzA1G1giSO6118IHBGS/t9pKLUSx EcgXHcayIt8= ;{id}\n";
    const PRIVATE: &str = "Private-key-format: v1.3\nAlgorithm: 15 (ED25519)\nPrivateKey: 2KFbwAaZc89yTanbjJ1O+2v/Ta/6pI3Az2ti7C9Tz0Y=\nCreated: 20261122052236\nActivate: 20261122052236\n";

    fn apex() -> LowerName {
        "example.".parse::<Name>().unwrap().into()
    }

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(directory.path().join(name), text).unwrap());
        directory
    }

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, seconds) in [
            ("19700101000000", 0),
            ("20000229235959", 951_868_799),
            ("20261122052236", 1_795_324_956),
            ("21000301000000", 4_107_542_400),
        ] {
            assert_eq!(time(text), Some(seconds), "{text}");
        }
        for text in ["", "2026112205223", "20261322052236", "+0261122052236", "20261122242236"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_read_with_its_times_and_its_tag() {
        let files = directory(&[
            ("Kexample.+015+06681.key", KEY),
            ("Kexample.+015+06681.private", PRIVATE),
            ("Kother.+015+1.key", "x"),
        ]);
        let keys = read(files.path(), &apex()).unwrap();
        assert_eq!((keys.len(), keys[0].tag, keys[0].algorithm(), keys[0].is_entry()), (1, 6681, 15, true));
        assert_eq!(keys[0].times, Times { activate: Some(1_795_324_956), ..Times::default() });
        assert!(!keys[0].times.active(1_795_324_955) && keys[0].times.active(1_795_324_956));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_with_its_file_and_what_to_do() {
        let (name, private) = ("Kexample.+015+06681.key", "Kexample.+015+06681.private");
        let other = PRIVATE.replace("2KFb", "2KFc");
        for (files, place, told) in [
            (&[][..], "", "no key of zone example.: make one there"),
            (&[(name, KEY)], private, "cannot be read: No such file"),
            (&[(name, "nothing"), (private, PRIVATE)], name, "it has no record such as"),
            (&[(name, &KEY.replace("example.", "example.org.")), (private, PRIVATE)], name, "not of zone example."),
            (&[(name, &KEY.replace("257", "385")), (private, PRIVATE)], name, "has 256 or 257"),
            (&[(name, KEY), (private, &other)], private, "does not belong to the public one"),
            (&[(name, KEY), (private, "Algorithm: 13\nPrivateKey: AA==")], private, "of algorithm 13, its .key of 15"),
            (&[(name, KEY), (private, "Publish: today")], private, "line 1: Publish: write a time"),
            (&[(name, KEY), (private, "Algorithm: 15")], private, "no line PrivateKey"),
            (
                &[(name, &KEY.replace(" 15 ", " 8 ")), (private, &PRIVATE.replace(": 15", ": 8"))],
                private,
                "13 (ECDSAP256SHA256) and 15 (ED25519) are used",
            ),
        ] {
            let files = directory(files);
            let problem = read(files.path(), &apex()).unwrap_err();
            let place = files.path().join(place);
            assert!(problem.starts_with(place.to_str().unwrap().trim_end_matches('/')), "{problem}");
            assert!(problem.contains(told) && !problem.contains('\n'), "{problem}");
        }
        let problem = read(Path::new("/nonexistent"), &apex()).unwrap_err();
        assert!(problem.starts_with("/nonexistent: cannot be read") && problem.contains("dnssec.keys"), "{problem}");
    }
}
