//! Any bytes as CMCD of each carrier: what is made of JSON can be read, and holds no more pairs than are allowed.
#![no_main]

use littoral_manifests::cmcd::{Cmcd, Key, json, query};
use littoral_manifests::limits::CMCD_PAIRS_MAX;

fn look_at(text: &str) {
    let mut cmcd = Cmcd::default();
    let _ = cmcd.read(text);
    assert!(cmcd.iter().count() <= CMCD_PAIRS_MAX);
    for key in Key::ALL {
        let _ = (cmcd.number(*key), cmcd.number_for(*key, "v"), cmcd.thousandths(*key), cmcd.text(*key));
        for item in cmcd.get(*key).into_iter().flat_map(|value| value.items()) {
            let _ = (item.parameter("r"), item.has("v"));
        }
    }
    let _ = cmcd.next_objects().count();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    look_at(text);
    let (mut decoded, mut buffer) = (Vec::new(), String::new());
    if let Ok(Some(text)) = query(text, &mut decoded) {
        look_at(text);
    }
    if let Ok(text) = json(text, &mut buffer) {
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        look_at(text);
    }
});
