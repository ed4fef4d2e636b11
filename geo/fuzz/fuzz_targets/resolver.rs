//! Any bytes as a client's question to the local resolver, as the reply of a server that was told of the client, and as what stands in such
//! a reply behind the question.
#![no_main]

use littoral_geo::resolver::{is_answer, is_question};

/// Of the question that the replies are to.
const ID: u16 = 7;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _looked_up = is_question(bytes);
    let answers = |reply: &[u8]| is_answer(reply, ID, "www.chosen.example.", "chosen.example.").unwrap();
    let _by_chance = answers(bytes);
    let Some((counts, records)) = bytes.split_at_checked(6) else { return };
    let head = [&[0, 7, 0x84, 0, 0, 1], counts, b"\x03www\x06chosen\x07example\x00\x00\x01\x00\x01"].concat();
    let _of_the_server = answers(&[&head, records].concat());
});
