//! Small manifests made for one rule each, and hostile ones.

use super::*;
use crate::sidx::tests::boxed;

fn mpd(inner: &str) -> String {
    format!(r#"<MPD type="static" mediaPresentationDuration="PT10S"><Period>{inner}</Period></MPD>"#)
}

fn parse(text: &str) -> Result<Presentation, ManifestError> {
    Presentation::parse(text.as_bytes(), &Url::parse("http://h/t/m.mpd").unwrap())
}

fn paths(text: &str) -> Vec<String> {
    let presentation = parse(text).unwrap();
    presentation.representations[0].segments.iter().map(|segment| segment.resource.url.path().to_owned()).collect()
}

#[test]
fn attributes_are_inherited_one_by_one_and_base_urls_joined_at_four_levels() {
    let text = r#"<MPD type="static" mediaPresentationDuration="PT4S"><BaseURL>a/</BaseURL><Period><BaseURL>b/</BaseURL>
        <SegmentTemplate timescale="10" duration="20"/>
        <AdaptationSet mimeType="video/mp4"><BaseURL>c/</BaseURL><SegmentTemplate startNumber="5"/>
        <Representation id="r" bandwidth="9"><BaseURL>d/</BaseURL><SegmentTemplate media="$Number$.m4s"/></Representation>
        </AdaptationSet></Period></MPD>"#;
    assert_eq!(paths(text), ["/t/a/b/c/d/5.m4s", "/t/a/b/c/d/6.m4s"]);
}

#[test]
fn a_timeline_repeats_to_the_next_start_or_the_end_of_the_period() {
    let set = |timeline: &str| {
        mpd(&format!(
            r#"<AdaptationSet><SegmentTemplate media="$Time$" timescale="1"><SegmentTimeline>{timeline}</SegmentTimeline>
            </SegmentTemplate><Representation id="r" bandwidth="1"/></AdaptationSet>"#
        ))
    };
    assert_eq!(paths(&set(r#"<S t="1" d="2" r="1"/><S d="3"/>"#)), ["/t/1", "/t/3", "/t/5"]);
    assert_eq!(paths(&set(r#"<S t="0" d="4" r="-1"/>"#)), ["/t/0", "/t/4", "/t/8"]);
    assert_eq!(paths(&set(r#"<S t="0" d="2" r="-1"/><S t="4" d="6"/>"#)), ["/t/0", "/t/2", "/t/4"]);
}

#[test]
fn an_index_gives_ranges_behind_itself() {
    let text = mpd(r#"<AdaptationSet><Representation id="r" bandwidth="1"><BaseURL>f.mp4</BaseURL>
        <SegmentBase indexRange="100-155"><Initialization range="0-99"/></SegmentBase></Representation></AdaptationSet>"#);
    let mut presentation = parse(&text).unwrap();
    let representation = &mut presentation.representations[0];
    representation.index_fetched(&boxed(1000, &[(500, 2000), (300, 1000)])).unwrap();
    let ranges: Vec<_> = representation.segments.iter().map(|s| s.resource.range.map(|r| (r.first, r.last))).collect();
    assert_eq!(ranges, [Some((156, 655)), Some((656, 955))]);
    assert_eq!(representation.segments[1].start_ms, 2000);
    assert!(representation.index_fetched(b"nothing").is_err());
}

#[test]
fn what_cannot_be_listed_says_why() {
    let check = |text: &str, expected: &str| {
        let problem = parse(text).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    };
    check("<html/>", "no MPD");
    check(r#"<MPD type="dynamic"><Period/></MPD>"#, "live");
    check(
        &mpd(r#"<AdaptationSet><SegmentTemplate duration="1"/><Representation id="x" bandwidth="1"/></AdaptationSet>"#),
        "no media",
    );
    check(
        &mpd(
            r#"<AdaptationSet><SegmentTemplate media="$Number$" timescale="1000000000" duration="1"/><Representation id="x" bandwidth="1"/></AdaptationSet>"#,
        ),
        "too many",
    );
    check(
        &mpd(
            r#"<AdaptationSet><SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="999999999"/></SegmentTimeline></SegmentTemplate>
            <Representation id="x" bandwidth="1"/></AdaptationSet>"#,
        ),
        "too many",
    );
}

#[test]
fn an_oversized_manifest_is_refused() {
    assert_eq!(
        Presentation::parse(&vec![b' '; MPD_BYTES_MAX + 1], &Url::parse("http://h/").unwrap()),
        Err(ManifestError::TooLarge)
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[<>/=\"a-zA-Z0-9 $%&;-]{0,300}") {
        let _ = parse(&text);
        let _ = parse(&mpd(&text));
    }
}

#[test]
fn a_period_without_a_start_begins_where_the_one_before_it_ends() {
    let periods = |attributes: [&str; 3]| {
        let period = |attributes: &str| {
            format!(
                r#"<Period {attributes}><AdaptationSet><SegmentTemplate media="$Number$" duration="10"/>
                <Representation id="r" bandwidth="1"/></AdaptationSet></Period>"#
            )
        };
        let text = format!(
            r#"<MPD type="static" mediaPresentationDuration="PT60S">{}</MPD>"#,
            attributes.map(period).concat()
        );
        let listed = parse(&text).unwrap().representations;
        listed.iter().map(|representation| representation.segments.len()).collect::<Vec<_>>()
    };
    assert_eq!(periods([r#"duration="PT30S""#, r#"duration="PT20S""#, ""]), [3, 2, 1]);
    assert_eq!(periods([r#"start="PT0S""#, r#"start="PT20S" duration="PT30S""#, ""]), [2, 3, 1]);
    assert_eq!(periods(["", r#"start="PT40S""#, r#"start="PT50S""#]), [4, 1, 1]);
}
