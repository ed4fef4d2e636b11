//! Manifests made to hurt: nesting, entities and templates that would cost far more than they weigh.

use littoral_manifests::limits::{MPD_BYTES_MAX, TAGS_MAX};
use littoral_manifests::{ManifestError, Presentation};
use url::Url;

fn parse(text: &str) -> Result<Presentation, ManifestError> {
    assert!(text.len() <= MPD_BYTES_MAX, "the size alone would refuse it");
    Presentation::parse(text.as_bytes(), &Url::parse("http://h/t/m.mpd").expect("a URL"))
}

fn of(adaptation_set: &str) -> String {
    format!(r#"<MPD type="static" mediaPresentationDuration="PT10S"><Period>{adaptation_set}</Period></MPD>"#)
}

const REPRESENTATION: &str = r#"<AdaptationSet><SegmentTemplate media="$Number$" duration="1"/><Representation id="r" bandwidth="1"/></AdaptationSet>"#;

#[test]
fn elements_nested_as_deep_as_the_bound_allows_do_not_exhaust_the_stack() {
    for name in [
        "a",
        "MPD",
        "Period",
        "Event",
        "EventStream",
        "Representation",
        "SubRepresentation",
        "ContentProtection",
        "UTCTiming",
    ] {
        let depth = TAGS_MAX / 2 - 20;
        let nested = format!("{}{}", format!("<{name}>").repeat(depth), format!("</{name}>").repeat(depth));
        for text in [
            of(&format!("{nested}{REPRESENTATION}")),
            of(&format!("<EventStream>{nested}</EventStream>{REPRESENTATION}")),
            nested,
        ] {
            assert_ne!(parse(&text), Err(ManifestError::TooMany("tags")), "it must get as far as the parser");
        }
    }
}

#[test]
fn small_elements_in_great_number_are_refused_before_they_are_parsed() {
    for name in ["Period", "AdaptationSet", "Representation", "S"] {
        let text = of(&format!("<{name}/>").repeat(110_000));
        assert_eq!(parse(&text), Err(ManifestError::TooMany("tags")), "{name}");
    }
}

#[test]
fn an_entity_of_its_own_is_refused_wherever_it_is_used() {
    let prolog = r#"<!DOCTYPE MPD [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>"#;
    for entity in ["&b;", "&c;"] {
        let used_as_value = of(&REPRESENTATION.replace(r#"id="r""#, &format!(r#"id="{entity}""#)));
        let used_as_text = of(&format!("<BaseURL>{entity}</BaseURL>{REPRESENTATION}"));
        for text in [used_as_value, used_as_text] {
            assert!(matches!(parse(&format!("{prolog}{text}")), Err(ManifestError::Malformed(_))), "{text}");
        }
    }
    assert!(parse(&of(REPRESENTATION)).is_ok(), "the same without entities is read");
}

#[test]
fn long_names_times_many_segments_are_refused_before_they_are_listed() {
    let name = "n".repeat(4000);
    let set = format!(
        r#"<AdaptationSet><SegmentTemplate media="{name}$Number$" duration="1" startNumber="1" endNumber="240000"/>{}</AdaptationSet>"#,
        r#"<Representation id="r" bandwidth="1"/>"#.repeat(8)
    );
    let text = of(&set).replace("PT10S", "PT240000S");
    assert_eq!(parse(&text), Err(ManifestError::TooMany("bytes of segment names")));
}

#[test]
fn text_that_every_representation_inherits_is_bounded() {
    let long = "n".repeat(1 << 20);
    let many = r#"<Representation id="r" bandwidth="1"/>"#.repeat(4000);
    let template = r#"<SegmentTemplate media="$Number$" duration="10"/>"#;
    for set in [
        format!(r#"<AdaptationSet codecs="{long}">{template}{many}</AdaptationSet>"#),
        format!(r#"<AdaptationSet><BaseURL>{long}/</BaseURL>{template}{many}</AdaptationSet>"#),
        format!(
            r#"<AdaptationSet><SegmentList duration="1"><SegmentURL media="{long}"/></SegmentList>{many}</AdaptationSet>"#
        ),
    ] {
        assert!(parse(&of(&set)).is_err(), "{}", &set[..60]);
    }
    assert_eq!(
        parse(&of(&format!("<AdaptationSet>{template}{many}</AdaptationSet>"))).unwrap().representations.len(),
        4000
    );
}

#[test]
fn a_duration_too_long_to_be_computed_with_is_refused() {
    // Found by fuzzing: minutes that do not fit 64 bits as seconds.
    for duration in [
        "PT002583880013122808491M666.64S",
        "P99999999999999999999Y",
        "PT0025838800131228084&#57;&#49;M",
        "-P18446744073709551615D",
    ] {
        let refused = ManifestError::TooMany("digits in a duration");
        let text = of(REPRESENTATION);
        assert_eq!(parse(&text.replace("PT10S", duration)), Err(refused.clone()), "{duration}");
        assert_eq!(parse(&text.replace("<Period", &format!("<Period start='{duration}'"))), Err(refused), "{duration}");
    }
    let longest = "P9999999999Y9999999999M9999999999DT9999999999H9999999999M9999999999.999999999999S";
    let listed = parse(&of(REPRESENTATION).replace("PT10S", longest));
    assert!(matches!(listed, Err(ManifestError::Addressing(..))), "it must get past the reader: {listed:?}");
    for negative in ["-PT1S", "PT1,5S", "ten"] {
        let listed = parse(&of(REPRESENTATION).replace("PT10S", negative));
        assert!(matches!(listed, Err(ManifestError::Malformed(_))), "{negative}");
    }
}

#[test]
fn a_manifest_cut_anywhere_is_refused() {
    let text = of(&format!("<BaseURL>a/</BaseURL><!-- c --><![CDATA[x]]>{REPRESENTATION}"));
    for end in 0..text.len() {
        assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
    }
    assert!(parse(&text).is_ok());
    assert!(matches!(parse(&format!("{text}{text}")), Err(ManifestError::Malformed(_))), "two documents");
}

#[test]
fn numbers_beyond_their_range_are_refused_or_bounded() {
    for attribute in [
        r#"startNumber="-1""#,
        r#"startNumber="99999999999999999999""#,
        r#"timescale="-5""#,
        r#"timescale="4294967296""#,
        r#"duration="-1""#,
        r#"duration="18446744073709551615""#,
        r#"duration="nan""#,
        r#"presentationTimeOffset="99999999999999999999""#,
        r#"media="$Number%09999d$""#,
    ] {
        let name = attribute.split('=').next().expect("a name");
        let others = [r#"media="$Number$""#, r#"duration="1""#];
        let others: String = others.into_iter().filter(|other| !other.starts_with(name)).collect();
        let set = format!(
            r#"<AdaptationSet><SegmentTemplate {attribute} {others}/><Representation id="r" bandwidth="1"/></AdaptationSet>"#
        );
        assert!(parse(&of(&set)).is_err(), "{attribute}");
    }
    for fine in [r#"presentationTimeOffset="-9223372036854775808""#, r#"presentationTimeOffset="9223372036854775807""#]
    {
        let set = REPRESENTATION.replace("media=", &format!("{fine} media="));
        assert_eq!(parse(&of(&set)).unwrap().representations[0].segments.len(), 10, "{fine}");
    }
    let set = r#"<AdaptationSet><SegmentTemplate media="$Time$"><SegmentTimeline><S t="18446744073709551615" d="2" r="1"/></SegmentTimeline></SegmentTemplate><Representation id="r" bandwidth="1"/></AdaptationSet>"#;
    assert!(parse(&of(set)).is_err(), "a time beyond 64 bits");
}
