//! Bytes as people write and read them: text, or hexadecimal digits where they are none.

use serde::Deserialize;

/// Bytes of what differs that are told.
const SHOWN_MAX: usize = 512;

/// What is said or heard.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Bytes(Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "bytes are a text, or { hex = \"0d0a\" }")]
enum Written {
    Text(String),
    Hex(Hex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

impl TryFrom<Written> for Bytes {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let hex = match written {
            Written::Text(text) => return Ok(Self(text.into_bytes())),
            Written::Hex(Hex { hex }) => hex,
        };
        let digits: Option<Vec<u8>> = hex
            .chars()
            .filter(|one| !one.is_whitespace())
            .map(|one| one.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
        let digits = digits.ok_or_else(|| format!("hex {hex:?}: write two digits for each byte"))?;
        Ok(Self(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
    }
}

impl Bytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes for people: as a text where they are one, else as `{ hex = "…" }`; of many the first.
pub(super) fn shown(bytes: &[u8]) -> String {
    let (first, rest) = bytes.split_at(bytes.len().min(SHOWN_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} bytes more", rest.len()) };
    let text = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // A character that was cut off at the end makes no text less of one.
        Err(error) if !rest.is_empty() && error.error_len().is_none() => {
            std::str::from_utf8(&first[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text {
        Some(text) => format!("{text:?}{more}"),
        None => {
            let digits: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{ hex = \"{digits}\" }}{more}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct One {
        says: Bytes,
    }

    #[test]
    fn bytes_are_read_as_text_or_digits_and_shown_as_they_are_written() {
        for (written, bytes, told) in [
            (r#"says = "a\r\n""#, &b"a\r\n"[..], r#""a\r\n""#),
            (r#"says = { hex = "FF 00" }"#, &[255, 0][..], r#"{ hex = "ff00" }"#),
        ] {
            let one: One = toml::from_str(written).unwrap();
            assert_eq!((one.says.as_slice(), shown(one.says.as_slice()).as_str()), (bytes, told));
        }
        for (wrong, expected) in [
            ("says = 5", "bytes are a text, or { hex"),
            (r#"says = { hex = "f" }"#, "write two digits for each byte"),
            (r#"says = { hex = "xy" }"#, "write two digits for each byte"),
        ] {
            let said = toml::from_str::<One>(wrong).err().unwrap().to_string();
            assert!(said.contains(expected), "{wrong}: {said}");
        }
        let long = "ä".repeat(SHOWN_MAX);
        assert!(shown(long.as_bytes()).ends_with("ä\" and 512 bytes more"));
    }
}
