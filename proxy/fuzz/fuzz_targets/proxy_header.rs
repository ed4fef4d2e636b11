//! Any bytes as the beginning of a connection that must begin with a PROXY header.
#![no_main]
#![allow(dead_code, reason = "the module's own tests stay outside")]

#[path = "../../src/listen/proxy_protocol.rs"]
mod proxy_protocol;

use proxy_protocol::{Look, V2_BYTES_MAX, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut read = 0;
    // As a socket is read: what is asked for is never more than the longest header, and never nothing.
    while let Look::More(more) = parse(&bytes[..read]) {
        assert!(more > 0 && read + more <= V2_BYTES_MAX, "asked for {more} behind {read}");
        if read + more > bytes.len() {
            return;
        }
        read += more;
    }
});
