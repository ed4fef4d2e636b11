//! Any bytes as an HLS playlist, and as the playlist of what it lists itself.
#![no_main]

use littoral_manifests::limits::{REPRESENTATIONS_MAX, SEGMENTS_OF_ONE_MAX};
use littoral_manifests::playlist::{Media, Playlist};

fn look_at(media: &Media) {
    assert!(media.files.len() <= SEGMENTS_OF_ONE_MAX);
    for file in &media.files {
        assert!(file.start_ms <= media.duration_ms);
        assert!(file.resource.range.is_none_or(|range| range.first <= range.last));
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let base = url::Url::parse("http://host/title/index.m3u8?a=b").expect("invariant: a constant URL");
    match Playlist::parse(bytes, &base) {
        Ok(Playlist::Media(media)) => look_at(&media),
        Ok(Playlist::Multivariant(list)) => {
            assert!(list.renditions.len() <= REPRESENTATIONS_MAX);
            // What comes after an empty line may be a playlist that imports what this one defines.
            let below = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(bytes, |at| &bytes[at + 2..]);
            if let Ok(media) = list.media(below, &base) {
                look_at(&media);
            }
        }
        Err(_) => {}
    }
});
