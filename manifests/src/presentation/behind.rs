//! What a player asks for next: the media segment behind one that it has asked for, found by its path.
//!
//! Names are not kept, since a title of hours has tens of thousands of them: a template is read backwards, and what is found so is filled in
//! again and compared. Invariant: nothing is named that the manifest does not list.

use super::names::{Names, range_of};
use super::{ByteRange, Presentation, Representation, Resource};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// What to ask for.
    pub resource: Resource,
    /// When it becomes available, in ms since 1970; `None` in what is not live.
    pub available_ms: Option<u64>,
}

impl Presentation {
    /// What a player asks for behind what it asked for at `path`, `range` of it or all: the next media segment of the same representation;
    /// behind an initialisation segment, or an index, the first; behind the last of a period what the next one begins with. Nothing: it is
    /// none of this presentation, the last of all, or a range that ends in the middle of a segment.
    pub fn behind(&self, path: &str, range: Option<ByteRange>) -> Vec<Coming> {
        let mut last = None;
        for one in &self.representations {
            let Some(next) = one.place_behind(path, range) else { continue };
            match one.coming(next) {
                Some(coming) => return vec![coming],
                None => last = last.or(Some(one)),
            }
        }
        last.map_or_else(Vec::new, |one| self.goes_on(one))
    }

    /// The same for a representation whose index, [`Self::index_at`], has these bytes.
    pub fn behind_in(&self, representation: usize, index: &[u8], path: &str, range: Option<ByteRange>) -> Vec<Coming> {
        let Some(mut one) = self.representations.get(representation).cloned() else { return Vec::new() };
        let is_index = one.index.as_ref().is_some_and(|index| is_asked(index, path, range));
        if one.index_fetched(index).is_err() {
            return Vec::new();
        }
        let next = if is_index { Some(0) } else { one.place_behind(path, range) };
        match next.map(|next| one.coming(next)) {
            Some(Some(coming)) => vec![coming],
            // An index of indexes may have more to list: then it is not the last.
            Some(None) if one.index.is_none() => self.goes_on(&one),
            _ => Vec::new(),
        }
    }

    /// The representation whose segments are ranges of the file at `path` and known from an index in it, and where that is.
    pub fn index_at(&self, path: &str) -> Option<(usize, ByteRange)> {
        let of = |one: &Representation| one.index.as_ref().filter(|index| index.url.path() == path)?.range;
        self.representations.iter().enumerate().find_map(|(place, one)| Some((place, of(one)?)))
    }

    /// The representation that a player has when it asks for a media segment at `path`, and the place of the segment in it: the first, where all
    /// are in one file.
    pub fn asked(&self, path: &str) -> Option<(usize, usize)> {
        self.representations.iter().enumerate().find_map(|(representation, one)| {
            let is_one_file = matches!(one.names, Names::Whole | Names::Ranges(_));
            let place = match is_one_file {
                true => (one.base().path() == path).then_some(0),
                false => one.place_of(path, None),
            };
            Some((representation, place?))
        })
    }

    /// What the period behind that of `one` begins with, for who plays that: its own representation there, by id, else the nearest in rate of
    /// its kind and language.
    fn goes_on(&self, one: &Representation) -> Vec<Coming> {
        let fits = |next: &&Representation| {
            next.period == one.period + 1
                && next.kind == one.kind
                && next.is_trick == one.is_trick
                && next.language == one.language
        };
        let nearest = |next: &&Representation| (next.id != one.id, next.bandwidth.abs_diff(one.bandwidth));
        let Some(next) = self.representations.iter().filter(fits).min_by_key(nearest) else { return Vec::new() };
        let first = next.coming(0);
        let available_ms = first.as_ref().and_then(|first| first.available_ms);
        let init = next.init.clone().filter(|init| one.init.as_ref() != Some(init));
        let init = init.map(|resource| Coming { resource, available_ms });
        init.into_iter().chain(first).collect()
    }
}

impl Representation {
    fn coming(&self, place: usize) -> Option<Coming> {
        let available_ms = self.segments.get(place)?.available_ms;
        self.resource(place).map(|resource| Coming { resource, available_ms })
    }

    fn place_behind(&self, path: &str, range: Option<ByteRange>) -> Option<usize> {
        if self.init.as_ref().is_some_and(|init| is_asked(init, path, range)) {
            return Some(0);
        }
        self.place_of(path, range).map(|place| place + 1)
    }

    /// Place of the segment at `path`, or at `range` of it.
    fn place_of(&self, path: &str, range: Option<ByteRange>) -> Option<usize> {
        let is_it = |place: &usize| self.resource(*place).is_some_and(|resource| is_asked(&resource, path, range));
        match &self.names {
            Names::Template { media, .. } => {
                let (directory, _) = self.base().path().rsplit_once('/')?;
                let beside = path.strip_prefix(directory).and_then(|beside| beside.strip_prefix('/'));
                // A template may begin at the root.
                let values = beside.and_then(|beside| media.read(beside)).or_else(|| media.read(path))?;
                let place = match (values.number, values.time) {
                    (Some(number), _) => self.segments.partition_point(|segment| segment.number < number),
                    (None, Some(time)) => self.segments.partition_point(|segment| segment.time < time),
                    (None, None) => return None,
                };
                let place =
                    place + values.sub_number.map_or(0, |sub| usize::try_from(sub).unwrap_or(1).saturating_sub(1));
                Some(place).filter(is_it)
            }
            Names::List(parts) => (0..self.segments.len()).find(|place| {
                let Some(part) = parts.get(self.segments[*place].entry as usize) else { return false };
                // What is quickly seen, before a URL is made of it.
                let name =
                    part.url.as_deref().map_or(self.base().path(), |url| url.split('?').next().unwrap_or_default());
                let file = name.rsplit('/').next().unwrap_or_default();
                let ends = part
                    .range
                    .as_deref()
                    .is_none_or(|text| range_of(text).map(|part| part.last) == range.map(|range| range.last));
                ends && !file.is_empty() && path.ends_with(file) && is_it(place)
            }),
            Names::Ranges(ranges) => {
                let last = range.filter(|_| self.base().path() == path)?.last;
                self.segments
                    .iter()
                    .position(|segment| ranges.get(segment.entry as usize).is_some_and(|part| part.last == last))
            }
            Names::Whole => None,
        }
    }
}

/// Whether who asks for `path`, or `range` of it, gets to the end of this.
fn is_asked(resource: &Resource, path: &str, range: Option<ByteRange>) -> bool {
    let ends = resource.range.is_none_or(|whole| range.is_some_and(|asked| asked.last == whole.last));
    ends && resource.url.path() == path
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn check(set: &str, pairs: &[(&str, Option<&str>)]) {
        let mpd = format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT6S\"><Period><AdaptationSet \
             contentType=\"video\">{set}<Representation id=\"a\" bandwidth=\"1000\"/><Representation id=\"b\" bandwidth=\"2000\"/>\
             </AdaptationSet></Period></MPD>"
        );
        let base = Url::parse("http://h.example/v/x/manifest.mpd").unwrap();
        let presentation = Presentation::parse(mpd.as_bytes(), &base).unwrap();
        for (path, expected) in pairs {
            let next = behind(&presentation, path, None);
            assert_eq!(next.first().map(String::as_str), *expected, "{path} in {set}");
            assert!(next.len() < 2);
        }
    }

    fn range(text: &str) -> Option<ByteRange> {
        range_of(text)
    }

    fn told(all: Vec<Coming>) -> Vec<String> {
        let one = |Coming { resource, .. }: Coming| match resource.range {
            Some(range) => format!("{} {}-{}", resource.url.path(), range.first, range.last),
            None => resource.url.path().to_owned(),
        };
        all.into_iter().map(one).collect()
    }

    fn behind(presentation: &Presentation, path: &str, asked: Option<&str>) -> Vec<String> {
        told(presentation.behind(path, asked.and_then(range)))
    }

    fn parsed(mpd: &str, now_ms: u64) -> Presentation {
        let base = Url::parse("http://h.example/v/manifest.mpd").unwrap();
        Presentation::parse_at(mpd.as_bytes(), &base, now_ms).unwrap()
    }

    #[test]
    fn whose_segment_a_player_asks_for_is_told_by_its_path() {
        let mpd = |set: &str, names: [&str; 2]| {
            let one = |at: usize| {
                format!("<Representation id=\"r{at}\" bandwidth=\"{at}000\">{}</Representation>", names[at - 1])
            };
            format!(
                "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT6S\"><Period>\
                 <AdaptationSet contentType=\"video\">{set}{}{}</AdaptationSet></Period></MPD>",
                one(1),
                one(2)
            )
        };
        let template = "<SegmentTemplate media=\"$RepresentationID$/$Number$.m4s\" initialization=\"$RepresentationID$/i\" duration=\"2\"/>";
        let by_template = parsed(&mpd(template, ["", ""]), 0);
        for (path, expected) in
            [("/v/r1/1.m4s", Some((0, 0))), ("/v/r2/3.m4s", Some((1, 2))), ("/v/r2/4.m4s", None), ("/v/r1/i", None)]
        {
            assert_eq!(by_template.asked(path), expected, "{path}");
        }
        let index = |name: &str| format!("<BaseURL>{name}.mp4</BaseURL><SegmentBase indexRange=\"10-65\"/>");
        let files = parsed(&mpd("", [&index("a"), &index("b")]), 0);
        assert_eq!((files.asked("/v/b.mp4"), files.asked("/v/c.mp4")), (Some((1, 0)), None));
    }

    #[test]
    fn what_comes_next_in_a_live_presentation_says_when_it_is_there() {
        let mpd = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00Z\" \
                   timeShiftBufferDepth=\"PT10S\"><Period start=\"PT0S\"><AdaptationSet contentType=\"video\"><SegmentTemplate \
                   media=\"s-$Number$.m4s\" duration=\"2\" startNumber=\"0\"/><Representation id=\"a\" bandwidth=\"1000\"/>\
                   </AdaptationSet></Period></MPD>";
        // At 21 s ten segments are whole, of which the first four ended more than ten seconds ago.
        let presentation = parsed(mpd, 21_000);
        let next = presentation.behind("/v/s-8.m4s", None);
        assert_eq!(next.iter().map(|next| next.available_ms).collect::<Vec<_>>(), [Some(20_000)]);
        assert_eq!(told(next), ["/v/s-9.m4s"]);
        assert_eq!(
            (behind(&presentation, "/v/s-9.m4s", None), behind(&presentation, "/v/s-2.m4s", None)),
            (vec![], vec![])
        );
    }

    #[test]
    fn behind_a_range_comes_the_next_range_of_the_same_file() {
        let mpd = |set: &str| {
            format!(
                "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT4S\"><Period><AdaptationSet \
                 contentType=\"video\"><Representation id=\"a\" bandwidth=\"1000\"><BaseURL>f.mp4</BaseURL>{set}</Representation>\
                 </AdaptationSet></Period></MPD>"
            )
        };
        let list = "<SegmentList duration=\"2\"><Initialization range=\"0-9\"/><SegmentURL mediaRange=\"10-99\"/>\
                    <SegmentURL mediaRange=\"100-199\"/></SegmentList>";
        let presentation = parsed(&mpd(list), 0);
        for (asked, expected) in [
            (Some("0-9"), &["/v/f.mp4 10-99"][..]),
            (Some("10-99"), &["/v/f.mp4 100-199"]),
            (Some("50-99"), &["/v/f.mp4 100-199"]),
            (Some("10-50"), &[]),
            (Some("100-199"), &[]),
            (None, &[]),
        ] {
            assert_eq!(behind(&presentation, "/v/f.mp4", asked), expected, "{asked:?}");
        }
        let indexed =
            parsed(&mpd("<SegmentBase indexRange=\"10-65\"><Initialization range=\"0-9\"/></SegmentBase>"), 0);
        let (place, at) = indexed.index_at("/v/f.mp4").unwrap();
        assert_eq!((place, at, indexed.index_at("/v/g.mp4")), (0, range("10-65").unwrap(), None));
        // A version 0 sidx of 56 bytes: two segments of 100 and 50 bytes behind it.
        let words = [56, 0x7369_6478, 0, 1, 1000, 0, 0, 2, 100, 2000, 0, 50, 2000, 0];
        let sidx: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        let next = |asked: &str| told(indexed.behind_in(place, &sidx, "/v/f.mp4", range(asked)));
        assert_eq!(next("10-65"), ["/v/f.mp4 66-165"]);
        assert_eq!(next("66-165"), ["/v/f.mp4 166-215"]);
        assert_eq!((next("166-215"), next("66-100")), (vec![], vec![]));
        assert!(indexed.behind_in(place, &sidx[..20], "/v/f.mp4", range("10-65")).is_empty());
    }

    #[test]
    fn behind_a_segment_comes_the_next_of_its_representation_and_behind_the_last_none() {
        check(
            r#"<SegmentTemplate media="$RepresentationID$/s-$Number%03d$.m4s" initialization="$RepresentationID$/i.mp4" duration="2" startNumber="9"/>"#,
            &[
                ("/v/x/a/i.mp4", Some("/v/x/a/s-009.m4s")),
                ("/v/x/a/s-009.m4s", Some("/v/x/a/s-010.m4s")),
                ("/v/x/b/s-010.m4s", Some("/v/x/b/s-011.m4s")),
                ("/v/x/b/s-011.m4s", None),
                ("/v/x/b/s-9.m4s", None),
                ("/v/x/b/s-0010.m4s", None),
                ("/v/x/b/s-99999999999999999999999.m4s", None),
                ("/v/x/c/s-010.m4s", None),
                ("/b/s-010.m4s", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn behind_the_last_segment_of_a_period_comes_what_the_next_one_begins_with() {
        let set = |kind: &str, ids: &[(&str, u32)]| {
            let all = ids.iter().map(|(id, rate)| format!("<Representation id=\"{id}\" bandwidth=\"{rate}\"/>"));
            format!("<AdaptationSet contentType=\"{kind}\">{}</AdaptationSet>", all.collect::<String>())
        };
        let period = |name: &str, init: &str, sets: &str| {
            format!(
                "<Period duration=\"PT4S\"><SegmentTemplate media=\"{name}/$RepresentationID$/s-$Number$.m4s\" \
                 initialization=\"{init}/$RepresentationID$/i.mp4\" duration=\"2\"/>{sets}</Period>"
            )
        };
        let film = set("video", &[("low", 1000), ("high", 9000)]) + &set("audio", &[("a", 100)]);
        let advert = set("audio", &[("x", 100)]) + &set("video", &[("v1", 1500), ("v2", 5000)]);
        let periods =
            [("1", "1", &*film), ("ad", "ad", &advert), ("2", "2", &film), ("3", "2", &film), ("end", "", "")];
        let periods: String = periods.iter().map(|(name, init, sets)| period(name, init, sets)).collect();
        let mpd = format!("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\">{periods}</MPD>");
        let presentation = parsed(&mpd, 0);
        for (path, expected) in [
            ("/v/1/high/s-1.m4s", &["/v/1/high/s-2.m4s"][..]),
            ("/v/1/high/s-2.m4s", &["/v/ad/v2/i.mp4", "/v/ad/v2/s-1.m4s"]),
            ("/v/1/low/s-2.m4s", &["/v/ad/v1/i.mp4", "/v/ad/v1/s-1.m4s"]),
            ("/v/1/a/s-2.m4s", &["/v/ad/x/i.mp4", "/v/ad/x/s-1.m4s"]),
            ("/v/ad/v1/s-2.m4s", &["/v/2/low/i.mp4", "/v/2/low/s-1.m4s"]),
            ("/v/ad/v2/i.mp4", &["/v/ad/v2/s-1.m4s"]),
            ("/v/2/high/s-2.m4s", &["/v/3/high/s-1.m4s"]),
            ("/v/3/high/s-2.m4s", &[]),
        ] {
            assert_eq!(behind(&presentation, path, None), expected, "{path}");
        }
    }

    #[test]
    fn times_roots_and_lists_are_read_too() {
        let timeline = r#"<SegmentTimeline><S t="5" d="20" r="1"/><S d="10"/></SegmentTimeline>"#;
        check(
            &format!(
                r#"<SegmentTemplate media="/o/$RepresentationID$-$Time$.m4s" timescale="10">{timeline}</SegmentTemplate>"#
            ),
            &[
                ("/o/a-5.m4s", Some("/o/a-25.m4s")),
                ("/o/b-25.m4s", Some("/o/b-45.m4s")),
                ("/o/b-45.m4s", None),
                ("/o/b-6.m4s", None),
            ],
        );
        check(
            r#"<SegmentList duration="2"><SegmentURL media="one.m4s"/><SegmentURL media="y/two.m4s?q=1"/><SegmentURL media="../three.m4s"/></SegmentList>"#,
            &[
                ("/v/x/one.m4s", Some("/v/x/y/two.m4s")),
                ("/v/x/y/two.m4s", Some("/v/three.m4s")),
                ("/v/three.m4s", None),
                ("/v/x/three.m4s", None),
            ],
        );
    }
}
