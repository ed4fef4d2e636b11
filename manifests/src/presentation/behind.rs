//! What a player asks for next: the media segment behind one that it has asked for, found by its path.
//!
//! Names are not kept, since a title of hours has tens of thousands of them: a template is read backwards, and what is found so is filled in
//! again and compared. Invariant: nothing is named that the manifest does not list.

use super::names::Names;
use super::{Presentation, Representation, Resource};

impl Presentation {
    /// What a player asks for behind the media segment at `path`: the next of the same representation; behind an initialisation segment, its
    /// first; behind the last of a period what the next one begins with. `None`: it is none of this presentation, the last of all, or one
    /// of several in one file, which paths do not tell apart.
    pub fn behind(&self, path: &str) -> Option<Resource> {
        let mut last = None;
        for one in &self.representations {
            let Some(next) = one.place_behind(path) else { continue };
            match one.resource(next) {
                Some(resource) if resource.range.is_none() => return Some(resource),
                Some(_) => {}
                None => last = last.or(Some(one)),
            }
        }
        self.begins_behind(last?).filter(|resource| resource.range.is_none())
    }

    /// What the period behind that of `one` begins with for who plays that: the initialisation segment, if it is another, else the first media
    /// segment, of its own representation there, by id, else of that of its kind and language whose rate is nearest.
    fn begins_behind(&self, one: &Representation) -> Option<Resource> {
        let fits = |next: &&Representation| {
            let is_alike = next.kind == one.kind && next.is_trick == one.is_trick && next.language == one.language;
            next.period == one.period + 1 && is_alike
        };
        let nearest = |next: &&Representation| (next.id != one.id, next.bandwidth.abs_diff(one.bandwidth));
        let next = self.representations.iter().filter(fits).min_by_key(nearest)?;
        let init = next.init.clone().filter(|init| one.init.as_ref() != Some(init));
        init.or_else(|| next.resource(0))
    }
}

impl Representation {
    fn place_behind(&self, path: &str) -> Option<usize> {
        if self.init.as_ref().is_some_and(|init| init.range.is_none() && init.url.path() == path) {
            return Some(0);
        }
        self.place_of(path).map(|place| place + 1)
    }

    /// Place of the segment that has a file of its own at `path`.
    fn place_of(&self, path: &str) -> Option<usize> {
        let is_it = |place: &usize| {
            self.resource(*place).is_some_and(|resource| resource.range.is_none() && resource.url.path() == path)
        };
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
                let part = parts.get(self.segments[*place].entry as usize);
                let name = part.and_then(|part| part.url.as_deref()).unwrap_or_default();
                let file = name.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default();
                !file.is_empty() && path.ends_with(file) && is_it(place)
            }),
            Names::Whole | Names::Ranges(_) => None,
        }
    }
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
            let next = presentation.behind(path).map(|resource| resource.url.path().to_owned());
            assert_eq!(next.as_deref(), *expected, "{path} in {set}");
        }
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
        let periods = [("1", "1", &film), ("ad", "ad", &advert), ("2", "2", &film), ("3", "2", &film)];
        let periods: String = periods.iter().map(|(name, init, sets)| period(name, init, sets)).collect();
        let mpd = format!("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\">{periods}</MPD>");
        let base = Url::parse("http://h.example/v/manifest.mpd").unwrap();
        let presentation = Presentation::parse(mpd.as_bytes(), &base).unwrap();
        for (path, expected) in [
            ("/v/1/high/s-1.m4s", Some("/v/1/high/s-2.m4s")),
            ("/v/1/high/s-2.m4s", Some("/v/ad/v2/i.mp4")),
            ("/v/1/low/s-2.m4s", Some("/v/ad/v1/i.mp4")),
            ("/v/1/a/s-2.m4s", Some("/v/ad/x/i.mp4")),
            ("/v/ad/v1/s-2.m4s", Some("/v/2/low/i.mp4")),
            ("/v/ad/v2/i.mp4", Some("/v/ad/v2/s-1.m4s")),
            ("/v/2/high/s-2.m4s", Some("/v/3/high/s-1.m4s")),
            ("/v/3/high/s-2.m4s", None),
        ] {
            let next = presentation.behind(path).map(|resource| resource.url.path().to_owned());
            assert_eq!(next.as_deref(), expected, "{path}");
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
        check(
            r#"<SegmentList duration="2"><SegmentURL mediaRange="0-9"/><SegmentURL mediaRange="10-19"/></SegmentList>"#,
            &[("/v/x/manifest.mpd", None)],
        );
    }
}
