//! Live manifests at given times.

use super::*;

/// 2026-11-21T00:00:00Z.
const MIDNIGHT_MS: u64 = 1_795_219_200_000;

fn live(attributes: &str, template: &str) -> String {
    format!(
        r#"<MPD type="dynamic" availabilityStartTime="2026-11-21T00:00:00Z" {attributes}><Period id="p" start="PT10S"><AdaptationSet>
        {template}<Representation id="r" bandwidth="1"/></AdaptationSet></Period></MPD>"#
    )
}

/// Names of the segments that are there so many ms after midnight.
fn at(text: &str, ms: u64) -> Vec<String> {
    let base = Url::parse("http://h/t/m.mpd").unwrap();
    let presentation = Presentation::parse_at(text.as_bytes(), &base, MIDNIGHT_MS + ms).unwrap();
    presentation.representations.iter().flat_map(names).map(|name| name[3..].to_owned()).collect()
}

const EVEN: &str = r#"<SegmentTemplate media="$Number$" timescale="1000" duration="2000" startNumber="1"/>"#;

#[test]
fn a_live_segment_is_listed_from_its_end_until_its_length_after_the_time_shift_buffer() {
    let text = live(r#"timeShiftBufferDepth="PT4S""#, EVEN);
    assert_eq!(at(&text, 5_000), [""; 0], "the period has not begun");
    assert_eq!(at(&text, 11_999), [""; 0]);
    assert_eq!(at(&text, 12_000), ["1"]);
    assert_eq!(at(&text, 18_000), ["1", "2", "3", "4"]);
    assert_eq!(at(&text, 18_001), ["2", "3", "4"]);
    assert_eq!(at(&text, 18_001 + 2000), ["3", "4", "5"]);
    assert_eq!(
        at(&text, 1_000_000_010_000),
        ["499999997", "499999998", "499999999", "500000000"],
        "no count from the first"
    );
}

#[test]
fn a_low_latency_segment_is_listed_as_soon_as_its_first_chunk_may_be_there() {
    let early = EVEN.replace("media=", r#"availabilityTimeOffset="1.5" availabilityTimeComplete="false" media="#);
    let text = live(r#"timeShiftBufferDepth="PT2S""#, &early);
    assert_eq!(at(&text, 10_499), [""; 0]);
    assert_eq!(at(&text, 10_500), ["1"]);
    let base = Url::parse("http://h/t/m.mpd").unwrap();
    let presentation = Presentation::parse_at(text.as_bytes(), &base, MIDNIGHT_MS + 10_500).unwrap();
    assert_eq!(presentation.representations[0].segments[0].available_ms, Some(MIDNIGHT_MS + 10_500));
    let of_base =
        text.replace("<AdaptationSet>", r#"<AdaptationSet><BaseURL availabilityTimeOffset="0.5">x/</BaseURL>"#);
    assert_eq!(at(&of_base, 10_000), ["x/1"], "offsets add up, and may precede the period");
    let at_once = live("", &EVEN.replace("media=", r#"availabilityTimeOffset="INF" media="#));
    assert_eq!(at(&at_once, 14_000), ["1", "2"], "nothing else ends it");
}

#[test]
fn a_live_timeline_ends_now_and_a_run_of_years_is_not_unrolled() {
    let template = |inner: &str| {
        format!(
            r#"<SegmentTemplate media="$Time$" timescale="1"><SegmentTimeline>{inner}</SegmentTimeline></SegmentTemplate>"#
        )
    };
    let open = live(r#"timeShiftBufferDepth="PT4S""#, &template(r#"<S t="0" d="2" r="-1"/>"#));
    assert_eq!(at(&open, 15_000), ["0", "2"]);
    assert_eq!(at(&open, 1_000_000_010_000), ["999999992", "999999994", "999999996", "999999998"]);
    let listed = live("", &template(r#"<S t="0" d="2"/><S d="2"/><S d="2"/>"#));
    assert_eq!(at(&listed, 14_500), ["0", "2"], "the third is announced only");
}

#[test]
fn a_live_presentation_that_ends_lists_its_last_short_segment() {
    let text = live(r#"mediaPresentationDuration="PT15S""#, EVEN);
    assert_eq!(at(&text, 14_500), ["1", "2"]);
    assert_eq!(at(&text, 60_000), ["1", "2", "3"]);
    let gone = live(
        r#"mediaPresentationDuration="PT15S" timeShiftBufferDepth="PT1S" availabilityEndTime="2026-11-21T00:00:13Z""#,
        EVEN,
    );
    assert_eq!(at(&gone, 60_000), ["1"], "nothing came after the end of availability");
}

#[test]
fn what_a_live_manifest_says_of_itself_is_told() {
    let text = live(
        r#"publishTime="2026-11-21T00:00:05Z" minimumUpdatePeriod="PT2S" suggestedPresentationDelay="PT6S""#,
        EVEN,
    );
    let text = text.replace(
        "</MPD>",
        r#"<Location>http://h/next.mpd</Location><PatchLocation ttl="60">p.mpp</PatchLocation>
        <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="https://time.example/?iso"/>
        <ContentSteering defaultServiceLocation="a" queryBeforeStart="true">https://s/?a=1&amp;b=2</ContentSteering></MPD>"#,
    );
    let base = Url::parse("http://h/t/m.mpd").unwrap();
    assert_eq!(Presentation::parse(text.as_bytes(), &base), Err(ManifestError::Dynamic));
    let presentation = Presentation::parse_at(text.as_bytes(), &base, MIDNIGHT_MS).unwrap();
    assert_eq!(presentation.update_due_ms(), Some(MIDNIGHT_MS + 7000));
    assert_eq!(presentation.representations, [], "the period has not begun");
    assert_eq!(presentation.periods, [Period { id: "p".into(), start_ms: Some(10_000), duration_ms: None }]);
    assert_eq!(presentation.clocks[0].value, "https://time.example/?iso");
    let steering = presentation.steering.unwrap();
    assert_eq!((steering.url.as_str(), steering.query_before_start), ("https://s/?a=1&b=2", true));
    let live = presentation.live.unwrap();
    assert_eq!(live.locations, ["http://h/next.mpd"]);
    assert_eq!(live.patches, [("p.mpp".to_owned(), Some(60_000))]);
    assert_eq!((live.suggested_delay_ms, live.availability_start_ms), (Some(6000), MIDNIGHT_MS));
}

#[test]
fn a_live_period_that_nothing_places_in_time_is_announced_only() {
    let text = live("", EVEN).replace(r#"start="PT10S""#, "");
    assert_eq!(at(&text, 60_000), [""; 0]);
}

proptest::proptest! {
    #[test]
    fn no_time_and_no_number_makes_it_panic(
        now in proptest::num::u64::ANY, duration in proptest::num::u64::ANY, scale in proptest::num::u64::ANY,
        time in proptest::num::u64::ANY, offset in proptest::num::i64::ANY, depth in 0u64..10_000_000_000, repeats in proptest::num::i64::ANY,
    ) {
        let base = Url::parse("http://h/t/m.mpd").unwrap();
        for template in [
            format!(r#"<SegmentTemplate media="$Number$" timescale="{scale}" duration="{duration}" presentationTimeOffset="{offset}"/>"#),
            format!(r#"<SegmentTemplate media="$Number$" timescale="{scale}" presentationTimeOffset="{offset}"><SegmentTimeline>
                <S t="{time}" d="{duration}" r="{repeats}"/><S d="{duration}"/></SegmentTimeline></SegmentTemplate>"#),
        ] {
            let text = live(&format!(r#"timeShiftBufferDepth="PT{depth}S""#), &template);
            let _ = Presentation::parse_at(text.as_bytes(), &base, now);
            let _ = Presentation::parse_at(text.replace("dynamic", "static").as_bytes(), &base, now);
        }
    }
}
