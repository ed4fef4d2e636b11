//! Any bytes as a UDP request, through all that a UDP thread does but receiving and sending.
#![no_main]
#![allow(dead_code, reason = "a target checks one of the properties")]

#[path = "../../tests/it/properties.rs"]
mod properties;
#[path = "../../tests/it/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::a_request_is_answered_in_form(bytes);
});
