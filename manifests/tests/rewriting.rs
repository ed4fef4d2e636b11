//! What holds for a manifest that is rewritten, whatever it is and whatever the rules: nothing is lost without a rule, and what is
//! well-formed stays so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "rewriting/properties.rs"]
mod properties;

use std::path::{Path, PathBuf};

use littoral_manifests::rewrite::{Rules, ServiceLocation, SteeringRule};
use littoral_manifests::{Kind, Presentation, Title};
use properties::{is_well_formed, rewritten};
use proptest::prelude::*;
use url::Url;

fn files_below(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, into);
        } else if path.extension().is_some_and(|found| found == "mpd" || found == "xml") {
            into.push(path);
        }
    }
}

/// Our own manifests, and those of the shared test data where they are there.
fn manifests() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in ["../assets", "fuzz/seeds/mpd", "fuzz/seeds/rewrite", "../../shared/data/mpd"] {
        files_below(&here.join(directory), &mut paths);
    }
    let own = [OWN.as_bytes().to_vec()];
    own.into_iter().chain(paths.iter().map(|path| std::fs::read(path).unwrap())).collect()
}

/// White space, quotes, comments and names that a parser would not give back as they were.
const OWN: &str = "\u{feff}<?xml  version='1.0'?>\r\n<!-- > -- <MPD> \" -->\n<MPD\n\ttype = 'static' a=\"b'&gt;\"  ><ProgramInformation\n/>
<Period ><![CDATA[<AdaptationSet>]]]]>&#10;&amp;<AdaptationSet contentType=\"video\" mimeType='video/mp4' lang='de'>
<Representation id='1' bandwidth='1' height='100'></Representation ><?pi ?>?><Representation id='2' height=\"2000\"/></AdaptationSet
></Period><x:Unknown xmlns:x='urn:x' x:a=''/></MPD >\n<!---->\n";

#[test]
fn without_rules_every_manifest_comes_out_as_it_went_in() {
    let manifests = manifests();
    assert!(manifests.len() >= 5, "the own ones at least");
    for text in &manifests {
        for chunk in [1, 2, 7, 100, 4096, usize::MAX] {
            assert!(rewritten(text, &Rules::default(), chunk) == *text, "{}", String::from_utf8_lossy(text));
        }
    }
}

#[test]
fn a_ladder_of_one_auto_representation_resolves_to_every_rung_of_the_original() {
    let original =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd")).unwrap();
    let base = Url::parse("http://h/title/manifest.mpd").unwrap();
    let out = rewritten(&original, &Rules { auto: true, ..Rules::default() }, 1000);
    let seen = Presentation::parse(&out, &base).unwrap();
    let video: Vec<_> = seen.representations.iter().filter(|one| one.kind == Kind::Video).collect();
    assert_eq!(video.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["auto"]);
    let title = Title::new(Presentation::parse(&original, &base).unwrap());
    for segment in 0..video[0].segments.len() {
        let asked = video[0].resource(segment).unwrap();
        let found = title.find(asked.url.path()).unwrap();
        assert_eq!((found.segment, title.ladder(found).kbps().len()), (Some(segment), 3));
    }
    assert!(title.find(video[0].init.as_ref().unwrap().url.path()).is_some());
}

#[test]
fn a_filtered_manifest_lists_what_the_rules_allow() {
    let original =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd")).unwrap();
    let base = Url::parse("http://h/title/manifest.mpd").unwrap();
    let out = rewritten(&original, &Rules { max_bandwidth: Some(200_000), ..Rules::default() }, 77);
    let (before, after) = (Presentation::parse(&original, &base).unwrap(), Presentation::parse(&out, &base).unwrap());
    let allowed: Vec<_> =
        before.representations.into_iter().filter(|one| one.kind != Kind::Video || one.bandwidth <= 200_000).collect();
    assert!(after.representations.len() == allowed.len() && allowed.len() == 3, "two of video, one of audio");
    assert!(
        after
            .representations
            .iter()
            .zip(&allowed)
            .all(|(after, before)| (&after.id, &after.segments) == (&before.id, &before.segments))
    );
}

fn rules() -> impl Strategy<Value = Rules> {
    let word = || proptest::option::of("[a-z0-9:/.<&\"']{0,12}");
    let limits = (proptest::option::of(0_u64..2000), proptest::option::of(0_u64..3_000_000));
    (limits, word(), word(), word(), word(), any::<bool>()).prop_map(
        |((height, bandwidth), codec, language, url, location, auto)| Rules {
            origins: vec![
                ("https://a.example".into(), url.clone().unwrap_or_default()),
                ("http".into(), String::new()),
            ],
            max_height: height,
            max_bandwidth: bandwidth,
            codecs: codec.map(|codec| vec![codec, "mp4a".into()]).unwrap_or_default(),
            languages: language.into_iter().collect(),
            steering: url.map(|url| SteeringRule {
                url,
                default_service_location: location.clone(),
                query_before_start: auto,
            }),
            locations: location.into_iter().map(|name| ServiceLocation { url: name.clone(), name }).collect(),
            auto,
        },
    )
}

proptest! {
    #[test]
    fn what_is_well_formed_stays_so_whatever_the_rules_and_the_chunks(rules in rules(), chunk in 1_usize..3000) {
        for text in manifests().iter().filter(|text| is_well_formed(text)) {
            let out = rewritten(text, &rules, chunk);
            prop_assert!(is_well_formed(&out), "{}", String::from_utf8_lossy(&out));
            prop_assert_eq!(out, rewritten(text, &rules, usize::MAX), "it may not depend on the chunks");
        }
    }

    #[test]
    fn any_text_comes_out_as_it_went_in_without_rules(
        text in "(<MPD>|</MPD>|<Period>|</Period>|<AdaptationSet|<Representation|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|[<>/='\" a-z&;-]){0,40}",
        chunk in 1_usize..20,
    ) {
        prop_assert_eq!(rewritten(text.as_bytes(), &Rules::default(), chunk), text.as_bytes());
    }

    #[test]
    fn no_text_and_no_rules_make_it_panic(
        text in "(<MPD>|</MPD>|<Period>|</Period>|<AdaptationSet>|</AdaptationSet>|<Representation id='a'>|</Representation>|<BaseURL>https:|<SegmentTemplate media='\\$RepresentationID\\$'/>|<ContentSteering>|[<>/='\" a-z&;-]){0,40}",
        rules in rules(), chunk in 1_usize..20,
    ) {
        let _ = rewritten(text.as_bytes(), &rules, chunk);
    }
}
