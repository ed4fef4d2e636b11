//! Manifests that real packagers wrote, and the segments they wrote with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use littoral_manifests::{Kind, Ladder, ManifestError, Presentation, Title};
use url::Url;

fn base() -> Url {
    Url::parse("http://video.example/title/manifest.mpd").unwrap()
}

fn asset() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema")
}

/// A file of the shared test data; `None`, said aloud, where that is not there.
fn shared(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/mpd").join(name);
    let found = std::fs::read(&path).ok();
    if found.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    found
}

fn files(presentation: &Presentation) -> BTreeSet<String> {
    let resources = presentation.resources(|_| true);
    resources.iter().map(|resource| resource.url.path().rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn every_segment_of_our_own_asset_is_listed_but_the_audio_tail_that_no_manifest_mentions() {
    let mpd = std::fs::read(asset().join("manifest.mpd")).unwrap();
    let presentation = Presentation::parse(&mpd, &base()).unwrap();
    let mut listed = files(&presentation);
    listed.insert("manifest.mpd".into());
    let directory = std::fs::read_dir(asset()).unwrap();
    let mut there: BTreeSet<String> =
        directory.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.remove("index.html");
    // ffmpeg ends audio with a fragment past the presentation's duration.
    there.remove("seg-3-00017.m4s");
    assert_eq!(listed, there);
    assert_eq!(Ladder::main(&presentation).kbps(), [70, 170, 350]);
}

#[test]
fn an_auto_url_means_the_same_segment_of_each_rung() {
    let mpd = std::fs::read(asset().join("manifest.mpd")).unwrap();
    let title = Title::new(Presentation::parse(&mpd, &base()).unwrap());
    let segment = title.find("/title/seg-auto-00003.m4s").unwrap();
    assert_eq!(title.duration_ms(segment), 2000);
    assert_eq!(title.ladder(segment).kbps(), [70, 170, 350]);
    assert_eq!(title.resolve(segment, 0), Some(("/title/seg-0-00003.m4s".to_owned(), "0")));
    assert_eq!(title.resolve(segment, 9), Some(("/title/seg-2-00003.m4s".to_owned(), "2")));
    let init = title.find("/title/init-auto.m4s").unwrap();
    assert_eq!(title.resolve(init, 1), Some(("/title/init-1.m4s".to_owned(), "1")));
    assert!(title.find("/title/seg-auto-00099.m4s").is_none() && title.find("/title/seg-1-00003.m4s").is_none());
}

/// How many media segments each representation of a manifest has.
fn segment_counts(name: &str) -> Option<Vec<usize>> {
    let presentation = Presentation::parse(&shared(name)?, &base()).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(presentation.representations.iter().map(|representation| representation.segments.len()).collect())
}

#[test]
fn all_addressing_modes_of_ffmpeg_list_the_same_twelve_segments_of_video() {
    for name in ["number", "timeline", "list", "single", "ondemand", "cmaf-ll"] {
        let Some(counts) = segment_counts(&format!("ffmpeg/ffmpeg-{name}-manifest.mpd")) else {
            return;
        };
        assert_eq!(counts[..3], [12, 12, 12], "{name}: {counts:?}");
        assert!((12..=13).contains(&counts[3]), "{name}: audio {counts:?}");
    }
}

#[test]
fn byte_ranges_follow_each_other_without_a_gap() {
    let Some(mpd) = shared("ffmpeg/ffmpeg-single-manifest.mpd") else {
        return;
    };
    let presentation = Presentation::parse(&mpd, &base()).unwrap();
    for representation in &presentation.representations {
        let ranges: Vec<_> = (0..representation.segments.len())
            .map(|place| representation.resource(place).unwrap().range.unwrap())
            .collect();
        assert!(ranges.windows(2).all(|pair| pair[1].first == pair[0].last + 1));
        assert_eq!(ranges[0].first, representation.init.as_ref().unwrap().range.unwrap().last + 1);
    }
}

#[test]
fn segment_base_asks_for_its_index() {
    let Some(mpd) = shared("ffmpeg/ffmpeg-ondemand-manifest-segmentbase.mpd") else {
        return;
    };
    let presentation = Presentation::parse(&mpd, &base()).unwrap();
    let first = &presentation.representations[0];
    assert_eq!(first.index.as_ref().unwrap().range.map(|range| (range.first, range.last)), Some((830, 1013)));
    assert!(first.segments.is_empty());
}

#[test]
fn manifests_of_other_packagers_are_read() {
    for (name, representations) in
        [("livesim2-testpic_2s-Manifest.mpd", 1..9), ("st-sl.mpd", 1..99), ("aws.xml", 20..200)]
    {
        let Some(mpd) = shared(&format!("vectors/{name}")) else {
            return;
        };
        match Presentation::parse(&mpd, &base()) {
            Ok(presentation) => {
                let count = presentation.representations.len();
                assert!(representations.contains(&count), "{name}: {count}");
                assert!(presentation.representations.iter().any(|r| r.kind == Kind::Video), "{name}");
            }
            Err(error) => assert_eq!(error, ManifestError::Dynamic, "{name}"),
        }
    }
    let Some(live) = shared("vectors/dashif-low-latency.mpd") else {
        return;
    };
    assert_eq!(Presentation::parse(&live, &base()), Err(ManifestError::Dynamic));
    // A million segments of 8 s after 1970, the last one 7 s early; 60 s of them and one more stay.
    let presentation = Presentation::parse_at(&live, &base(), 8_000_001_000).unwrap();
    let numbers = presentation
        .representations
        .iter()
        .map(|r| (r.segments.first().unwrap().number, r.segments.last().unwrap().number));
    assert_eq!(numbers.collect::<Vec<_>>(), [(999_991, 1_000_000), (999_991, 1_000_000)]);
    assert_eq!(presentation.clocks.len(), 1);
}

#[test]
fn a_manifest_with_content_steering_and_unknown_elements_is_listed_for_both_locations() {
    let Some(mpd) = shared("vectors/content-steering-hand.mpd") else {
        return;
    };
    let presentation = Presentation::parse(&mpd, &base()).unwrap();
    let second = &presentation.representations[1];
    assert_eq!(second.segments.len(), 31);
    assert_eq!(second.resource(30).unwrap().url.as_str(), "https://a.example/v2/060000.m4s");
    let elsewhere = second.elsewhere(&second.resource(1).unwrap(), 1).unwrap();
    assert_eq!(elsewhere.url.as_str(), "https://b.example/v2/002000.m4s");
    assert_eq!(second.places[1].service_location.as_deref(), Some("beta"));
    assert_eq!(presentation.steering.unwrap().url, "https://steer.example/s?x=1&y=2");
}
