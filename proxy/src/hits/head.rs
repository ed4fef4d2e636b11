//! The head of a hit's response, from what its object keeps ready and what only this moment knows.

use littoral_cache::Entry;

/// Writes what comes behind the object's own fields; `tail` are the fields that every response ends with, to the empty line.
pub(super) fn end(head: &mut Vec<u8>, entry: &Entry, now_ms: u64, tail: &[u8], closes: bool) {
    head.extend_from_slice(b"age: ");
    push_number(head, entry.age_s(now_ms));
    head.extend_from_slice(b"\r\ncache-status: littoral; hit; ttl=");
    push_number(head, u64::try_from(entry.ttl_ms(now_ms)).unwrap_or(0) / 1000);
    if closes {
        head.extend_from_slice(tail.strip_suffix(b"\r\n").unwrap_or(tail));
        head.extend_from_slice(b"connection: close\r\n\r\n");
    } else {
        head.extend_from_slice(tail);
    }
}

/// Writes a number in decimals.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_decimals() {
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
