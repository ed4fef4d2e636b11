//! Any bytes as the reply to the stub's question; once as they are, and once behind the head that a reply must have.
#![no_main]
#![allow(dead_code, reason = "a target checks one of the properties")]

#[path = "../../tests/it/properties.rs"]
mod properties;
#[path = "../../tests/it/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::a_reply_is_an_answer_or_nothing(bytes);
    let Some((counts, records)) = bytes.split_at_checked(6) else { return };
    let head = [&[0, 7, 0x84, 0, 0, 1], counts, b"\x05video\x09netcinema\x07example\x00\x00\x01\x00\x01"].concat();
    properties::a_reply_is_an_answer_or_nothing(&[&head, records].concat());
});
