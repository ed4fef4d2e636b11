//! Any text as a zone file; once as it is, and once behind the records that a zone must have.
#![no_main]
#![allow(dead_code, reason = "a target checks one of the properties")]

#[path = "../../tests/it/properties.rs"]
mod properties;
#[path = "../../tests/it/world.rs"]
mod world;

const HEAD: &str = "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns\n";

libfuzzer_sys::fuzz_target!(|text: &str| {
    properties::a_zone_is_read_or_refused(text);
    properties::a_zone_is_read_or_refused(&format!("{HEAD}{text}"));
});
