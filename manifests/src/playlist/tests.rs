//! Playlists of the standard, of bad authors and of none: what is listed, what is refused, and that bounds hold. Another reader judges
//! what segments there are.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::presentation::ByteRange;

fn base() -> Url {
    Url::parse("http://video.example/title/index.m3u8?token=a%2Fb").unwrap()
}

fn media(text: &str) -> Result<Media, PlaylistError> {
    match Playlist::parse(text.as_bytes(), &base())? {
        Playlist::Media(media) => Ok(media),
        Playlist::Multivariant(list) => panic!("{list:?}"),
    }
}

fn multivariant(text: &str) -> Multivariant {
    match Playlist::parse(text.as_bytes(), &base()).unwrap() {
        Playlist::Multivariant(list) => list,
        Playlist::Media(media) => panic!("{media:?}"),
    }
}

/// Path and range, as they are written for byte ranges.
fn told(files: &[File]) -> Vec<String> {
    let range =
        |range: Option<ByteRange>| range.map_or(String::new(), |range| format!(" {}-{}", range.first, range.last));
    files.iter().map(|file| format!("{}{}", file.resource.url, range(file.resource.range))).collect()
}

#[test]
fn the_playlists_of_rfc_8216_8_are_read_as_they_are_meant() {
    // §8.1
    let simple = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-VERSION:3\n#EXTINF:9.009,\nhttp://media.example.com/first.ts\n\
         #EXTINF:9.009,\nhttp://media.example.com/second.ts\n#EXTINF:3.003,\nhttp://media.example.com/third.ts\n#EXT-X-ENDLIST\n",
    )
    .unwrap();
    assert_eq!(told(&simple.files)[2], "http://media.example.com/third.ts");
    assert_eq!((simple.files[2].start_ms, simple.files[2].duration_ms, simple.duration_ms), (18_018, 3003, 21_021));
    // §8.2, with an end, and without one.
    let live = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:8\n#EXT-X-MEDIA-SEQUENCE:2680\n\n#EXTINF:7.975,\n\
                https://priv.example.com/fileSequence2680.ts\n#EXTINF:7.941,\nhttps://priv.example.com/fileSequence2681.ts\n";
    assert_eq!(media(live), Err(PlaylistError::Live));
    let ended = media(&format!("{live}#EXT-X-ENDLIST")).unwrap();
    assert_eq!(ended.files.iter().map(|file| file.number).collect::<Vec<_>>(), [Some(2680), Some(2681)]);
    // §8.6: renditions without a URI are in the variants.
    let list = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,LANGUAGE=\"en\",URI=\"main/english-audio.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Commentary\",DEFAULT=NO,AUTOSELECT=NO,LANGUAGE=\"en\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1280000,CODECS=\"avc1.4d401e,mp4a.40.5\",RESOLUTION=640x360,AUDIO=\"aac\"\nlow/video-only.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=65000,CODECS=\"mp4a.40.5\",AUDIO=\"aac\",STABLE-VARIANT-ID=\"a0\"\nmain/english-audio.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI=\"low/iframe.m3u8\"\n",
    );
    let ids: Vec<_> = list.renditions.iter().map(|one| (one.id.as_str(), one.role, one.bandwidth)).collect();
    assert_eq!(
        ids,
        [
            ("aac/English", Role::Audio, 0),
            ("low/video-only.m3u8", Role::Variant, 1_280_000),
            ("a0", Role::Variant, 65_000),
            ("low/iframe.m3u8", Role::Trick, 86_000)
        ]
    );
    assert_eq!((list.renditions[1].size, list.renditions[0].language.as_str()), (Some((640, 360)), "en"));
    assert_eq!(list.renditions[1].url.as_str(), "http://video.example/title/low/video-only.m3u8");
}

#[test]
fn ranges_go_on_where_the_last_one_of_the_file_ended_also_past_a_gap() {
    let one = media(
        "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MAP:URI=\"v.mp4\",BYTERANGE=\"720@0\"\r\n#EXTINF:4,\r\n#EXT-X-BYTERANGE:1000@720\r\nv.mp4\r\n\
         #EXTINF:4,\r\n#EXT-X-GAP\r\n#EXT-X-BYTERANGE:500\r\nv.mp4\r\n#EXTINF:4,\r\n#EXT-X-BYTERANGE:80\r\nv.mp4\r\n#EXT-X-ENDLIST\r\n",
    )
    .unwrap();
    let file = "http://video.example/title/v.mp4";
    assert_eq!(told(&one.files), [format!("{file} 0-719"), format!("{file} 720-1719"), format!("{file} 2220-2299")]);
    assert_eq!(one.files.iter().map(|file| file.number).collect::<Vec<_>>(), [None, Some(0), Some(2)]);
    assert_eq!((one.files[2].start_ms, one.duration_ms), (8000, 12_000));
}

#[test]
fn variables_come_from_the_playlist_its_url_and_the_one_above_it() {
    let list = multivariant(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"http://b.example\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?{$token}\",PATHWAY-ID=\"a\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1\n{$host}/v.m3u8?t={$token}\n",
    );
    assert_eq!(list.renditions[0].url.as_str(), "http://b.example/v.m3u8?t=a/b");
    assert_eq!(list.steering.as_ref().map(|steering| steering.url.as_str()), Some("/steer?a/b"));
    let text = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXTINF:1,\n{$host}/1.ts\n#EXT-X-ENDLIST\n";
    let below = list.media(text.as_bytes(), &list.renditions[0].url).unwrap();
    assert_eq!(told(&below.files), ["http://b.example/1.ts"]);
    assert!(media(text).unwrap_err().to_string().starts_with("line 2 of the playlist: it imports"));
}

#[test]
fn what_cannot_be_listed_is_refused_with_the_line() {
    let head = "#EXTM3U\n#EXTINF:1,\na.ts\n";
    for (text, expected) in [
        ("<MPD/>", "this is no HLS playlist: it does not begin with #EXTM3U"),
        ("#EXTM3U8\n", "this is no HLS playlist: it does not begin with #EXTM3U"),
        ("#EXTM3U\na.ts\n", "line 2 of the playlist: a URI without #EXTINF or #EXT-X-STREAM-INF before it"),
        (
            "#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:5\na.ts\n",
            "line 4 of the playlist: a range without an offset and none before it",
        ),
        (
            "#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:0@1\na.ts\n",
            "line 4 of the playlist: a range of no bytes, or beyond 64 bits",
        ),
        ("#EXTM3U\n#EXTINF:-1,\na.ts\n", "line 2 of the playlist: a segment that is no time or more than a day long"),
        ("#EXTM3U\n#EXTINF:1,\n{$x}.ts\n", "line 3 of the playlist: a variable that is not defined"),
        ("#EXTM3U\n#EXTINF:1,\n{$x.ts\n", "line 3 of the playlist: a variable that does not end"),
        ("#EXTM3U\n#EXTINF:1,\nhttp://[\n", "line 3 of the playlist: no URL"),
        (
            "#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n",
            "the playlist is a delta update (#EXT-X-SKIP); ask for a whole one",
        ),
        ("#EXTM3U\n", "the playlist has no #EXT-X-ENDLIST (live); only on-demand playlists can be listed"),
    ] {
        assert_eq!(media(text).unwrap_err().to_string(), expected, "{text:?}");
    }
    let both = format!("{head}#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n");
    assert!(Playlist::parse(both.as_bytes(), &base()).unwrap_err().to_string().ends_with("at once"));
    let twice = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n";
    assert!(Playlist::parse(twice.as_bytes(), &base()).unwrap_err().to_string().starts_with("line 3"));
    let inside = multivariant("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n");
    assert!(inside.media(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n", &base()).is_err());
}

#[test]
fn no_playlist_takes_more_than_the_named_bounds() {
    let many = |line: &str, times: usize| format!("#EXTM3U\n{}", line.repeat(times));
    assert_eq!(media(&many("#\n", PLAYLIST_BYTES_MAX)), Err(PlaylistError::TooLarge));
    let define = |number: usize| format!("#EXT-X-DEFINE:NAME=\"v{number}\",VALUE=\"x\"\n");
    let defined: String = (0..=VARIABLES_MAX).map(define).collect();
    assert_eq!(media(&format!("#EXTM3U\n{defined}")), Err(PlaylistError::TooMany("variables")));
    let long = format!(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n#EXTINF:1,\n{}\n",
        "x".repeat(4000),
        "{$a}".repeat(1000)
    );
    assert_eq!(media(&long), Err(PlaylistError::TooMany("bytes in a URL")));
    // Each line is short, but what it stands for is not.
    let base = Url::parse(&format!("http://h/{}/", "d".repeat(4000))).unwrap();
    let short = many("#EXTINF:1,\na\n", 200_000);
    assert_eq!(Playlist::parse(short.as_bytes(), &base), Err(PlaylistError::TooMany("names")));
    assert_eq!(media(&many("#EXTINF:1,\na\n", 250_001)), Err(PlaylistError::TooMany("segments")));
    let variants = many("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", 5000);
    assert_eq!(media(&variants), Err(PlaylistError::TooMany("variants and renditions")));
}

/// A segment: ms, what of a file, whether it is one of its own.
type Segment = (u32, Option<(u16, Option<u32>)>, bool);

fn written(first: u32, segments: &[Segment]) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    let mut is_first = true;
    for (number, (ms, range, own)) in segments.iter().enumerate() {
        writeln!(text, "#EXTINF:{}.{:03},name", ms / 1000, ms % 1000).unwrap();
        if let Some((length, offset)) = range {
            let offset = offset.or(is_first.then_some(0)).map_or(String::new(), |offset| format!("@{offset}"));
            writeln!(text, "#EXT-X-BYTERANGE:{}{offset}", u32::from(*length) + 1).unwrap();
            is_first = false;
            writeln!(text, "all.mp4").unwrap();
        } else {
            is_first = true;
            writeln!(text, "{}", if *own { format!("seg-{number}.ts?x=1") } else { format!("../{number}.m4s") })
                .unwrap();
        }
    }
    text + "#EXT-X-ENDLIST\n"
}

proptest! {
    /// Another reader of playlists is the judge.
    #[test]
    fn segments_are_those_that_another_reader_finds(
        first in any::<u32>(),
        segments in proptest::collection::vec(
            (0_u32..20_000, proptest::option::of((any::<u16>(), proptest::option::of(any::<u32>()))), any::<bool>()),
            0..40,
        ),
    ) {
        let text = written(first, &segments);
        let ours = media(&text).unwrap();
        let theirs = match m3u8_rs::parse_playlist_res(text.as_bytes()) {
            Ok(m3u8_rs::Playlist::MediaPlaylist(theirs)) => theirs,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(theirs.media_sequence, u64::from(first));
        prop_assert_eq!(ours.files.len(), theirs.segments.len());
        let mut end = 0;
        for (ours, theirs) in ours.files.iter().zip(&theirs.segments) {
            prop_assert_eq!(&ours.resource.url, &base().join(&theirs.uri).unwrap());
            prop_assert_eq!(ours.duration_ms, (f64::from(theirs.duration) * 1000.0).round() as u64);
            let range = theirs.byte_range.as_ref().map(|range| {
                let first = range.offset.unwrap_or(end);
                end = first + range.length;
                ByteRange { first, last: end - 1 }
            });
            prop_assert_eq!(ours.resource.range, range);
        }
    }

    /// Nothing makes it panic.
    #[test]
    fn any_lines_are_a_playlist_or_an_error(lines in proptest::collection::vec("(#EXT(INF|-X-BYTERANGE|-X-MAP|-X-DEFINE|-X-STREAM-INF|-X-MEDIA|-X-ENDLIST)[:=,\"@A-Z0-9.{}$-]{0,40})|[ -~]{0,20}", 0..30)) {
        let _ = Playlist::parse(format!("#EXTM3U\n{}", lines.join("\n")).as_bytes(), &base());
    }
}
