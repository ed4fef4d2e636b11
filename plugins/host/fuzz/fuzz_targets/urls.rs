//! URLs that a guest asks for, beside the reader that requests are written with: what one takes is what the other takes it for.
#![no_main]

use littoral_plugin_host::fuzzing::url;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((is_secure, host, port, target)) = url(text) else { return };
    assert!(port != 0 && target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    let uri: http::Uri = text.parse().expect("what is taken is a URI");
    assert_eq!(uri.scheme_str(), Some(if is_secure { "https" } else { "http" }));
    let authority = uri.authority().expect("a host");
    assert_eq!(authority.host().trim_start_matches('[').trim_end_matches(']'), host);
    assert_eq!(authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }), port);
    assert!(!authority.as_str().contains('@'));
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    assert_eq!(path.strip_prefix('/').unwrap_or(path), target.strip_prefix('/').unwrap_or(&target), "{target}");
});
