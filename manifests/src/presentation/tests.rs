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
    names(&parse(text).unwrap().representations[0])
}

fn names(representation: &Representation) -> Vec<String> {
    resources(representation).iter().map(|resource| resource.url.path().to_owned()).collect()
}

fn resources(representation: &Representation) -> Vec<Resource> {
    (0..representation.segments.len()).map(|segment| representation.resource(segment).unwrap()).collect()
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
    let ranges: Vec<_> = resources(representation).iter().map(|found| found.range.map(|r| (r.first, r.last))).collect();
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
    check("<Patch mpdId='1'/>", "patch");
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
fn a_hierarchy_of_indexes_is_followed_within_the_bytes_and_beyond_them() {
    let text = mpd(r#"<AdaptationSet><Representation id="r" bandwidth="1"><BaseURL>f.mp4</BaseURL>
        <SegmentBase timescale="1000" presentationTimeOffset="500" indexRange="100-255"/></Representation></AdaptationSet>"#);
    let nested = |earliest: u32, subsegments: &[(u32, u32)]| {
        let mut index = boxed(1000, subsegments);
        index[20..24].copy_from_slice(&earliest.to_be_bytes());
        index
    };
    let (first, second) = (nested(500, &[(50, 2000), (60, 2000)]), nested(4500, &[(70, 1000)]));
    let is_index = 1 << 31;
    let media = 110;
    let top =
        boxed(1000, &[((first.len() as u32 + media) | is_index, 4000), ((second.len() as u32 + 70) | is_index, 1000)]);
    let mut presentation = parse(&text).unwrap();
    let representation = &mut presentation.representations[0];
    representation.index_fetched(&[top.clone(), first.clone()].concat()).unwrap();
    let first_media = (100 + top.len() + first.len()) as u64;
    let next = representation.index.clone().unwrap().range.unwrap();
    assert_eq!((next.first, representation.segments.len()), (first_media + 110, 2));
    representation.index_fetched(&second).unwrap();
    let last = next.first + second.len() as u64;
    let ranges = resources(representation).into_iter().map(|found| found.range.unwrap().first);
    let listed = ranges.zip(&representation.segments).map(|(first, s)| (first, s.start_ms, s.duration_ms));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        [(first_media, 0, 2000), (first_media + 50, 2000, 2000), (last, 4000, 1000)]
    );
    assert_eq!(representation.index, None);
}

#[test]
fn an_index_of_indexes_without_end_is_refused() {
    let text =
        mpd(r#"<AdaptationSet><Representation id="r" bandwidth="1"><SegmentBase indexRange="0-99"/></Representation>
        </AdaptationSet>"#);
    let mut presentation = parse(&text).unwrap();
    let representation = &mut presentation.representations[0];
    let endless = boxed(1, &[(1000 | 1 << 31, 1)]);
    let rounds = (0..5000).take_while(|_| representation.index_fetched(&endless).is_ok()).count();
    assert_eq!(rounds, crate::limits::INDEXES_MAX);
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

#[test]
fn alternatives_of_base_urls_are_kept_on_every_level() {
    let text = r#"<MPD type="static" mediaPresentationDuration="PT4S"><BaseURL serviceLocation="a">http://a/</BaseURL>
        <BaseURL serviceLocation="b">//b/x/</BaseURL><Period><AdaptationSet><BaseURL>one/</BaseURL><BaseURL><![CDATA[two&]]>&#47;</BaseURL>
        <SegmentTemplate media="$Number$" duration="4"/><Representation id="r" bandwidth="9"/></AdaptationSet></Period></MPD>"#;
    let representation = parse(text).unwrap().representations.remove(0);
    let places: Vec<_> =
        representation.places.iter().map(|p| (p.url.as_str(), p.service_location.as_deref())).collect();
    let expected =
        [("http://a/one/", "a"), ("http://a/two&/", "a"), ("http://b/x/one/", "b"), ("http://b/x/two&/", "b")];
    assert_eq!(places, expected.map(|(url, name)| (url, Some(name))));
    let first = &representation.resource(0).unwrap();
    let elsewhere: Vec<_> =
        (0..5).map(|place| representation.elsewhere(first, place).map(|found| found.url.to_string())).collect();
    assert_eq!(
        elsewhere.iter().flatten().map(String::as_str).collect::<Vec<_>>(),
        ["http://a/one/1", "http://a/two&/1", "http://b/x/one/1", "http://b/x/two&/1"]
    );
}

#[test]
fn numbers_start_and_end_where_they_are_told_to() {
    let set = |attributes: &str, inner: &str| {
        mpd(&format!(
            r#"<AdaptationSet><SegmentTemplate media="$Number$" {attributes}>{inner}</SegmentTemplate>
            <Representation id="r" bandwidth="1"/></AdaptationSet>"#
        ))
    };
    let timeline = r#"<SegmentTimeline><S t="0" d="2" r="-1"/></SegmentTimeline>"#;
    assert_eq!(paths(&set(r#"startNumber="0" duration="4""#, "")), ["/t/0", "/t/1", "/t/2"]);
    assert_eq!(paths(&set(r#"startNumber="7" endNumber="8" duration="2""#, "")), ["/t/7", "/t/8"]);
    assert_eq!(paths(&set(r#"startNumber="7" endNumber="9""#, timeline)), ["/t/7", "/t/8", "/t/9"]);
    assert_eq!(paths(&set(r#"startNumber="9" endNumber="3" duration="1""#, "")), [""; 0]);
    let numbered = r#"<SegmentTimeline><S t="0" d="2" n="100"/><S d="2" r="1"/></SegmentTimeline>"#;
    assert_eq!(paths(&set("", numbered)), ["/t/100", "/t/101", "/t/102"]);
    assert_eq!(paths(&set(r#"timescale="1000" duration="3333.5""#, "")).len(), 3, "2.9997 segments");
    assert_eq!(paths(&set(r#"timescale="90000" duration="300000""#, "")).len(), 3);
}

#[test]
fn a_presentation_time_offset_moves_times_but_no_names() {
    for (offset, first, last) in [(100, 0, 4), (-100, 200, 204)] {
        let text = mpd(&format!(
            r#"<AdaptationSet><SegmentTemplate media="$Time$" timescale="1" presentationTimeOffset="{offset}"><SegmentTimeline>
            <S t="100" d="2" r="2"/></SegmentTimeline></SegmentTemplate><Representation id="r" bandwidth="1"/></AdaptationSet>"#
        ));
        let representation = parse(&text).unwrap().representations.remove(0);
        let segments = &representation.segments;
        assert_eq!(names(&representation), ["/t/100", "/t/102", "/t/104"]);
        assert_eq!([segments[0].start_ms, segments[2].start_ms], [first * 1000, last * 1000], "{offset}");
    }
    let to_the_end = mpd(
        r#"<AdaptationSet><SegmentTemplate media="$Time$" presentationTimeOffset="100"><SegmentTimeline>
        <S t="100" d="4" r="-1"/></SegmentTimeline></SegmentTemplate><Representation id="r" bandwidth="1"/></AdaptationSet>"#,
    );
    assert_eq!(paths(&to_the_end), ["/t/100", "/t/104", "/t/108"]);
}

#[test]
fn a_sequence_of_segments_is_named_by_sub_numbers() {
    let text = mpd(
        r#"<AdaptationSet><SegmentTemplate media="$Number$-$SubNumber$"><SegmentTimeline><S t="0" d="4" k="2" r="1"/>
        </SegmentTimeline></SegmentTemplate><Representation id="r" bandwidth="1"/></AdaptationSet>"#,
    );
    assert_eq!(paths(&text), ["/t/1-1", "/t/1-2", "/t/2-1", "/t/2-2"]);
}

#[test]
fn what_is_elsewhere_is_refused_and_what_resolves_to_nothing_is_left_out() {
    let set = r#"<AdaptationSet><SegmentTemplate media="$Number$" duration="5"/><Representation id="r" bandwidth="1"/></AdaptationSet>"#;
    let linked = |text: &str, href: &str| text.replacen("<Period", &format!(r#"<Period xlink:href="{href}""#), 1);
    assert_eq!(parse(&linked(&mpd(set), "http://x/p.xml")), Err(ManifestError::Remote));
    let void = "urn:mpeg:dash:resolve-to-zero:2013";
    assert_eq!(parse(&linked(&mpd(set), void)).unwrap().representations, []);
    let sets = |href: &str| mpd(&set.replacen("<AdaptationSet", &format!(r#"<AdaptationSet l:href="{href}""#), 1));
    assert_eq!(parse(&sets("http://x/a.xml")), Err(ManifestError::Remote));
    assert_eq!(parse(&sets(void)).unwrap().representations, []);
    let list = mpd(
        r#"<AdaptationSet><SegmentList xlink:href="http://x/"/><Representation id="r" bandwidth="1"/></AdaptationSet>"#,
    );
    assert_eq!(parse(&list), Err(ManifestError::Remote));
}

#[test]
fn sets_for_seeking_for_text_and_for_thumbnails_are_told_apart() {
    let text = mpd(
        r#"<AdaptationSet mimeType="video/mp4"><EssentialProperty schemeIdUri="http://dashif.org/guidelines/trickmode" value="2"/>
        <Representation id="trick" bandwidth="1"/></AdaptationSet>
        <AdaptationSet contentType="video" lang="en"><Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
        <Representation id="v" bandwidth="1" width="640" height="360"/></AdaptationSet>
        <AdaptationSet mimeType="application/mp4" codecs="stpp.ttml.im1t" lang="de"><Representation id="ttml" bandwidth="1"/></AdaptationSet>
        <AdaptationSet><Representation id="vtt" bandwidth="1" mimeType="text/vtt"/></AdaptationSet>
        <AdaptationSet mimeType="image/jpeg"><Representation id="tiles" bandwidth="1"><EssentialProperty
        schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="10x1"/></Representation></AdaptationSet>
        <AdaptationSet><ContentComponent contentType="audio" lang="fr"/><Representation id="a" bandwidth="1"/></AdaptationSet>"#,
    );
    let presentation = parse(&text).unwrap();
    let listed: Vec<_> =
        presentation.representations.iter().map(|r| (r.id.as_str(), r.kind, r.is_trick, r.language.as_str())).collect();
    assert_eq!(
        listed,
        [
            ("trick", Kind::Video, true, ""),
            ("v", Kind::Video, false, "en"),
            ("ttml", Kind::Text, false, "de"),
            ("vtt", Kind::Text, false, ""),
            ("tiles", Kind::Image, true, ""),
            ("a", Kind::Audio, false, "fr"),
        ]
    );
    let video = &presentation.representations[1];
    assert_eq!((video.width, video.height, &video.roles[..]), (Some(640), Some(360), &["main".to_owned()][..]));
    let main = crate::Ladder::main(&presentation);
    assert_eq!(main.rungs[0].representation, 1, "no player adapts on pictures for seeking");
}

#[test]
fn elements_of_another_namespace_are_none_of_ours() {
    let text = r#"<d:MPD xmlns:d="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><BaseURL>no/</BaseURL>
        <d:BaseURL>yes/</d:BaseURL><d:Period><x:AdaptationSet><x:Representation id="x"/></x:AdaptationSet><d:AdaptationSet>
        <d:SegmentTemplate media="$Number$" duration="4"/><d:Representation id="r" bandwidth="1"/></d:AdaptationSet></d:Period></d:MPD>"#;
    assert_eq!(paths(text), ["/t/yes/1"]);
}

mod live;
