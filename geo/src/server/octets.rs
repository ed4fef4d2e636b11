//! How many octets an option of a query really has: the library reads a client subnet and says nothing of what follows it.
//!
//! Invariant: whatever the bytes are, nothing outside of them is read.

use crate::wire::{behind_name, number};

/// The type of OPT (RFC 6891 §6.1.1).
const OPT: u16 = 41;
/// Bytes of type and class, and of the TTL and the length behind them.
const TYPE_AND_CLASS: usize = 4;
const RECORD_HEAD: usize = 10;

/// The length of the first option with this code, when the message has an OPT record that has it.
pub(super) fn of_option(message: &[u8], code: u16) -> Option<usize> {
    let count = |at| number(message, at).map(usize::from);
    let mut at = 12;
    for _ in 0..count(4)? {
        at = behind_name(message, at)? + TYPE_AND_CLASS;
    }
    for _ in 0..count(6)? + count(8)? + count(10)? {
        let head = behind_name(message, at)?;
        let data = head + RECORD_HEAD;
        let end = data + count(head + 8)?;
        if number(message, head)? == OPT {
            return in_options(message.get(data..end)?, code);
        }
        at = end;
    }
    None
}

fn in_options(options: &[u8], code: u16) -> Option<usize> {
    let mut at = 0;
    loop {
        let (found, length) = (number(options, at)?, usize::from(number(options, at + 2)?));
        if found == code {
            return Some(length);
        }
        at += 4 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_found_behind_records_with_pointers_and_other_options() {
        let head = [0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
        let question = [&b"\x01a\x00"[..], &[0, 1, 0, 1]].concat();
        let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &[192, 0, 2, 1]].concat();
        let opt = [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 13][..], &[0, 3, 0, 0, 0, 8, 0, 5, 0, 1, 8, 0, 10]].concat();
        let message = [&head[..], &question, &record, &opt].concat();
        assert_eq!((of_option(&message, 8), of_option(&message, 3), of_option(&message, 10)), (Some(5), Some(0), None));
        for cut in 0..message.len() {
            assert_eq!(of_option(&message[..cut], 8), None, "{cut}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let _ = of_option(&bytes, 8);
        }
    }
}
