//! Where an object stands in a title, from its URL: the way packagers name manifests, initialisation segments and segments.

use littoral_evict::Place;

use crate::key::digest;

/// Endings of what is part of a title, besides manifests.
const MEDIA: [&str; 13] =
    ["m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "cmft", "ts", "aac", "webm", "vtt", "ttml", "stpp"];

/// The place of `path` (query included) on `host`; `None` for what is no part of a title.
///
/// The last number of a segment's name is its place. What is left of the name says which representation, and is named alike in all
/// titles (`seg-720p-$.m4s`); where nothing is left that tells two apart, the directory does, and the title is the one above.
pub fn place_of(host: &str, path: &str) -> Option<Place> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let (directory, name) = path.rsplit_once('/')?;
    let (stem, ending) = name.rsplit_once('.')?;
    let title = |directory: &str| digest(&[host.as_bytes(), directory.as_bytes()]) as u32;
    if ending.eq_ignore_ascii_case("mpd") || ending.eq_ignore_ascii_case("m3u8") {
        return Some(Place { title: title(directory), rung: Place::NONE, segment: Place::HEAD });
    }
    if !MEDIA.iter().any(|media| ending.eq_ignore_ascii_case(media)) {
        return None;
    }
    // By bytes: what stands before a digit ends a character, however long that is.
    let end = stem.bytes().rposition(|byte| byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let start = stem.as_bytes()[..end].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |before| before + 1);
    let is_head = stem.to_ascii_lowercase().contains("init");
    let number = stem[start..end].parse::<u32>().ok().filter(|_| !is_head);
    // The number of an initialisation segment is its representation's.
    let (before, after) = if is_head { (stem, "") } else { (&stem[..start], &stem[end..]) };
    let tells = before.bytes().chain(after.bytes()).any(|byte| byte.is_ascii_digit());
    let (above, last) = directory.rsplit_once('/').unwrap_or(("", directory));
    let (title, rung) = match tells || above.is_empty() {
        true => (title(directory), digest(&[before.replace("init", "").as_bytes(), after.as_bytes()]) as u16),
        false => (title(above), digest(&[last.as_bytes()]) as u16),
    };
    Some(Place { title, rung: rung.min(Place::NONE - 1), segment: number.unwrap_or(Place::HEAD) })
}
