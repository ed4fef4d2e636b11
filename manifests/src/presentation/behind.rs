//! What a player asks for next: the media segment behind one that it has asked for, found by its path.
//!
//! Names are not kept, since a title of hours has tens of thousands of them: a template is read backwards, and what is found so is filled in
//! again and compared. Invariant: nothing is named that the manifest does not list.

use super::names::Names;
use super::{Presentation, Representation, Resource};

impl Presentation {
    /// The media segment behind the one at `path`, of the same representation; behind an initialisation segment, its first. `None`: it is
    /// none of this presentation, the last of its representation, or one of several in one file, which paths do not tell apart.
    pub fn behind(&self, path: &str) -> Option<Resource> {
        self.representations.iter().find_map(|one| {
            let next = one.place_behind(path)?;
            one.resource(next).filter(|resource| resource.range.is_none())
        })
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
