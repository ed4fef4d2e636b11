//! One rule at a time on small manifests; what holds for all of them is in `tests/rewriting.rs`.

use super::*;

fn rewritten(text: &str, rules: &Rules) -> (String, Report) {
    let (mut rewriter, mut out) = (Rewriter::new(rules.clone()), Vec::new());
    rewriter.push(text.as_bytes(), &mut out);
    let report = rewriter.finish(&mut out);
    let (mut by_bytes, mut again) = (Rewriter::new(rules.clone()), Vec::new());
    text.as_bytes().iter().for_each(|byte| by_bytes.push(&[*byte], &mut again));
    assert_eq!((by_bytes.finish(&mut again), &again), (report.clone(), &out), "it may not depend on the chunks");
    (String::from_utf8(out).unwrap(), report)
}

fn check(text: &str, rules: &Rules, expected: &str) -> Report {
    let (out, report) = rewritten(text, rules);
    assert_eq!(out, expected);
    report
}

const VIDEO: &str = r#"<MPD><!-- <Period> --><Period><AdaptationSet contentType="video" maxHeight="1080" maxWidth="1920" x:y="&gt;">
<SegmentTemplate media="$RepresentationID$/$Number$.m4s"/><Representation id="a" height="360" bandwidth="1"/><x:Ext>t</x:Ext>
<Representation id='b' height='1080' bandwidth='9'><x:In/></Representation><Representation height="720" id="c" bandwidth="5"/></AdaptationSet></Period></MPD>
"#;

#[test]
fn taller_video_is_left_out_and_what_is_no_longer_true_with_it() {
    let rules = Rules { max_height: Some(720), ..Rules::default() };
    let expected = VIDEO
        .replace(r#" maxHeight="1080" maxWidth="1920""#, "")
        .replace("<Representation id='b' height='1080' bandwidth='9'><x:In/></Representation>", "");
    let report = check(VIDEO, &rules, &expected);
    assert_eq!((report.representations_dropped, report.kept_last, report.verbatim), (1, 0, None));
}

#[test]
fn the_lowest_representation_stays_when_all_should_go() {
    let rules = Rules { max_bandwidth: Some(0), ..Rules::default() };
    let (out, report) = rewritten(VIDEO, &rules);
    assert!(out.contains(r#"id="a""#) && !out.contains("id='b'") && !out.contains(r#"id="c""#), "{out}");
    assert_eq!((report.representations_dropped, report.kept_last), (2, 1));
}

#[test]
fn a_set_of_other_codecs_goes_when_another_of_its_kind_stays() {
    let set = |id: &str, codecs: &str| {
        format!(r#"<AdaptationSet mimeType="video/mp4"><Representation id="{id}" codecs="{codecs}"/></AdaptationSet>"#)
    };
    let mpd = |sets: &str| format!("<MPD><Period>{sets}<Subset/></Period></MPD>");
    let rules = Rules { codecs: vec!["avc1".into(), "mp4a".into()], ..Rules::default() };
    let (avc, hevc) = (set("a", "avc1.64001e"), set("h", "hvc1.1.6"));
    let report = check(&mpd(&format!("{hevc}{avc}")), &rules, &mpd(&avc));
    assert_eq!((report.sets_dropped, report.kept_last), (1, 0));
    let report = check(&mpd(&hevc), &rules, &mpd(&hevc));
    assert_eq!((report.sets_dropped, report.kept_last), (0, 1), "something has to stay");
    let muxed = set("m", "avc1.64001e,mp4a.40.2");
    check(&mpd(&muxed), &rules, &mpd(&muxed));
}

#[test]
fn languages_choose_among_audio_and_text_and_one_audio_always_stays() {
    let set = |kind: &str, lang: &str| {
        format!(
            r#"<AdaptationSet contentType="{kind}" lang="{lang}"><Representation id="{kind}-{lang}"/></AdaptationSet>"#
        )
    };
    let mpd = |sets: &[String]| format!("<MPD><Period>{}</Period></MPD>", sets.concat());
    let rules = Rules { languages: vec!["EN".into()], ..Rules::default() };
    let [german, english, text] = [set("audio", "de"), set("audio", "en-GB"), set("text", "fr")];
    let video = set("video", "de");
    check(
        &mpd(&[video.clone(), german.clone(), english.clone(), text.clone()]),
        &rules,
        &mpd(&[video.clone(), english]),
    );
    check(&mpd(&[german.clone(), text, set("audio", "ende"), video.clone()]), &rules, &mpd(&[video, german]));
    let silent = "<MPD><Period><AdaptationSet contentType=\"audio\"><Representation/></AdaptationSet></Period></MPD>";
    check(silent, &rules, silent);
}

#[test]
fn urls_of_an_origin_are_led_to_the_edge() {
    let rules =
        Rules { origins: vec![("https://o.example".into(), "https://e.example/o?a&b".into())], ..Rules::default() };
    let text = r#"<MPD><BaseURL>
 HTTPS://O.example/x/ </BaseURL><BaseURL>https://o.example.net/</BaseURL><BaseURL>y/</BaseURL><Location>https://o.example</Location>
<Period xlink:href="https://o.example/p"><BaseURL><![CDATA[https://o.example/]]></BaseURL><AdaptationSet><SegmentTemplate initialization='https://o.example/i' media="https://o.example/$Number$"/>
<SegmentList><SegmentURL media = "https://o.example/1" index="z"/></SegmentList><x title="https://o.example/"/></AdaptationSet></Period></MPD>"#;
    let (out, report) = rewritten(text, &rules);
    let edge = "https://e.example/o?a&amp;b";
    for expected in [
        &format!("<BaseURL>\n {edge}/x/ </BaseURL><BaseURL>https://o.example.net/</BaseURL><BaseURL>y/</BaseURL>")[..],
        &format!("<Location>{edge}</Location>"),
        "<![CDATA[https://o.example/]]>",
        &format!("initialization='{edge}/i' media=\"{edge}/$Number$\"/>"),
        &format!("<SegmentURL media = \"{edge}/1\" index=\"z\"/>"),
        r#"<x title="https://o.example/"/>"#,
    ] {
        assert!(out.contains(expected), "{expected} is not in {out}");
    }
    assert_eq!(report.urls_replaced, 6);
}

#[test]
fn steering_is_put_before_the_first_period_in_place_of_what_there_is() {
    let steering = SteeringRule {
        url: "https://s/?a=1&b=<2>".into(),
        default_service_location: Some("\"alpha\"\u{1}".into()),
        query_before_start: true,
    };
    let location = |name: &str| ServiceLocation { name: name.into(), url: format!("https://{name}/") };
    let rules =
        Rules { steering: Some(steering), locations: vec![location("alpha"), location("beta")], ..Rules::default() };
    let ours = r#"<d:ContentSteering defaultServiceLocation="&quot;alpha&quot;" queryBeforeStart="true">https://s/?a=1&amp;b=&lt;2&gt;</d:ContentSteering>"#;
    let bases = r#"<d:BaseURL serviceLocation="alpha">https://alpha/</d:BaseURL><d:BaseURL serviceLocation="beta">https://beta/</d:BaseURL>"#;
    let report = check(
        "<d:MPD>\n<d:ContentSteering a='1'>old<x/></d:ContentSteering>\n<d:Period/><d:Period></d:Period></d:MPD>",
        &rules,
        &format!("<d:MPD>\n\n{bases}{ours}<d:Period/><d:Period></d:Period></d:MPD>"),
    );
    assert!(report.is_inserted);
    let own = "<d:MPD><d:BaseURL>x</d:BaseURL><d:Period/></d:MPD>";
    check(own, &rules, &own.replace("<d:Period/>", &format!("{ours}<d:Period/>")));
}

#[test]
fn one_representation_of_a_video_set_becomes_auto() {
    let rules = Rules { auto: true, max_height: Some(720), ..Rules::default() };
    let (out, report) = rewritten(VIDEO, &rules);
    assert!(out.contains(r#"<Representation height="720" id="auto" bandwidth="5"/></AdaptationSet>"#), "{out}");
    assert!(!out.contains(r#"id="a""#) && !out.contains("id='b'") && out.contains("<x:Ext>t</x:Ext>"));
    assert_eq!((report.autos, report.representations_dropped), (1, 2));

    let inner = VIDEO.replace(r#"<SegmentTemplate media="$RepresentationID$/$Number$.m4s"/>"#, "");
    let inner = inner.replace("<x:In/>", r#"<SegmentTemplate media="$RepresentationID$.m4s"/>"#);
    let (out, _) = rewritten(&inner, &Rules { auto: true, ..Rules::default() });
    assert!(out.contains("id='auto' height='1080'"), "a template of its own counts too: {out}");
    let by_base = VIDEO.replace("<x:In/>", "<BaseURL>b/</BaseURL>");
    let (out, _) = rewritten(&by_base, &Rules { auto: true, ..Rules::default() });
    assert!(out.contains("id='b'") && out.contains(r#"id="auto""#), "one in a place of its own stays: {out}");
    for not_by_id in [VIDEO.replace("$RepresentationID$", "$Bandwidth$"), VIDEO.replace("\"video\"", "\"audio\"")] {
        check(&not_by_id, &Rules { auto: true, ..Rules::default() }, &not_by_id);
    }
}

#[test]
fn what_cannot_be_understood_passes_as_it_is_from_there() {
    let rules = Rules { max_height: Some(1), max_bandwidth: Some(0), auto: true, ..Rules::default() };
    let deep = "<a>".repeat(REWRITE_DEPTH_MAX + 2);
    let long = format!("<MPD a=\"{}", "x".repeat(TAG_BYTES_MAX + 10));
    for (text, why) in [
        ("<MPD></MPD></MPD>", "an end tag too many"),
        ("<MPD><!DOCTYPE a [<!ENTITY b '>'>]></MPD>", "a tag that is none"),
        ("<MPD><Period><AdaptationSet><Representation>", "in the middle"),
        ("<MPD", "in the middle"),
        ("<!-- ", "in the middle"),
        (&deep, "too deep"),
        (&long, "too long"),
    ] {
        let (mut rewriter, mut out) = (Rewriter::new(rules.clone()), Vec::new());
        text.as_bytes().chunks(1000).for_each(|chunk| rewriter.push(chunk, &mut out));
        let report = rewriter.finish(&mut out);
        assert!(out == text.as_bytes(), "{}", &text[..text.len().min(60)]);
        assert!(report.verbatim.is_some_and(|found| found.contains(why)), "{report:?}");
    }
}

#[test]
fn an_element_too_long_to_be_kept_back_stays() {
    let long = VIDEO.replace("<x:In/>", &"<x:In/>".repeat(crate::limits::HELD_BYTES_MAX / 6));
    let rules = Rules { max_height: Some(720), ..Rules::default() };
    let (mut rewriter, mut out) = (Rewriter::new(rules), Vec::new());
    let mut kept_most = 0;
    for chunk in long.as_bytes().chunks(1400) {
        rewriter.push(chunk, &mut out);
        kept_most = kept_most.max(rewriter.filter.kept_bytes());
    }
    let report = rewriter.finish(&mut out);
    assert!(String::from_utf8(out).unwrap().contains("id='b'"));
    assert_eq!((report.kept_over_bound, report.representations_dropped, report.verbatim), (2, 0, None));
    assert!(kept_most <= 2 * crate::limits::HELD_BYTES_MAX, "{kept_most}");
}
