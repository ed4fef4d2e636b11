//! Any bytes as what another node says: what is taken is within its bounds and, written again, reads the same; and a token of a subject
//! stands for one name only.
#![no_main]
#![allow(dead_code, reason = "the module's own tests stay outside")]

#[path = "../../src/control/message.rs"]
mod message;

use message::{
    DRAINED_BYTES_MAX, DRAINS_MAX, Drained, HASH_DIGITS, NAME_BYTES_MAX, PURGE_BYTES_MAX, PUSHED_BYTES_MAX, Purge, Pushed, REPORT_BYTES_MAX, Report, TITLES_MAX, VOTES_BYTES_MAX, VOTES_MAX,
    Votes, Word,
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(report) = Report::read(input) {
        assert!(input.len() <= REPORT_BYTES_MAX && !report.program.is_empty());
        assert!([&report.serving, &report.directing].into_iter().flatten().all(|hash| hash.len() == HASH_DIGITS));
        assert_eq!(Report::read(&report.written()), Ok(report));
    }
    if let Ok(votes) = Votes::read(input) {
        assert!(input.len() <= VOTES_BYTES_MAX && votes.up.len() + votes.down.len() <= VOTES_MAX);
        assert_eq!(Votes::read(&votes.written()), Ok(votes));
    }
    if let Ok(drained) = Drained::read(input) {
        assert!(input.len() <= DRAINED_BYTES_MAX && drained.words.len() <= DRAINS_MAX);
        assert!(drained.words.iter().all(Word::is_sound));
        assert_eq!(Drained::read(&drained.written()), Ok(drained));
    }
    if let Ok(pushed) = Pushed::read(input) {
        assert!(input.len() <= PUSHED_BYTES_MAX && pushed.titles.len() <= TITLES_MAX);
        assert_eq!(Pushed::read(&pushed.written()), Ok(pushed));
    }
    if let Ok(purge) = Purge::read(input) {
        assert!(input.len() <= PURGE_BYTES_MAX && purge.order.is_object());
        // Numbers that no order has may be written longer than they were read, and differ in their last digit.
        if let Ok(again) = Purge::read(&purge.written()) {
            assert_eq!((again.run, again.seq), (purge.run, purge.seq));
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Some(name) = message::name(text) {
            assert!(name.len() <= NAME_BYTES_MAX);
            assert_eq!(message::token(&name), text);
        }
        let token = message::token(text);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(message::name(&token).as_deref(), (text.len() <= NAME_BYTES_MAX).then_some(text));
    }
});
