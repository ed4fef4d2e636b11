//! Named bounds on manifests.

/// Bytes of an MPD.
pub const MPD_BYTES_MAX: usize = 4 << 20;
/// Periods of an MPD.
pub const PERIODS_MAX: usize = 256;
/// Tags of an MPD, opening or closing. An element of ten bytes may cost more than a hundred when it is read, so that the bytes of
/// the text alone bound no memory.
pub const TAGS_MAX: usize = 100_000;
/// Adaptation sets of all periods together.
pub const SETS_MAX: usize = 4096;
/// Roles of one adaptation set.
pub const ROLES_MAX: usize = 16;
/// BaseURLs of one element, places of one representation, and locations, patches and clocks of an MPD.
pub const LOCATIONS_MAX: usize = 16;
/// Representations of all periods together.
pub const REPRESENTATIONS_MAX: usize = 4096;
/// Segments of all representations together: 34 hours of eight rungs in 2 s segments fit.
pub const SEGMENTS_MAX: usize = 500_000;
/// Bytes of all URLs and `auto` paths together. A template of a few kilobytes may stand for hundreds of thousands of names, so
/// that counting segments alone bounds no memory.
pub const NAMES_BYTES_MAX: usize = 64 << 20;
/// Segments of one representation.
pub const SEGMENTS_OF_ONE_MAX: usize = 250_000;
/// References of one sidx box (a 16-bit field).
pub const SIDX_REFERENCES_MAX: usize = 65_535;
/// Bytes of a sidx box.
pub const SIDX_BYTES_MAX: usize = 1 << 20;
/// Segment indexes of one representation.
pub const INDEXES_MAX: usize = 1024;
/// Bytes asked for of a further segment index whose length is not known: 5,400 references fit.
pub const INDEX_FETCH_BYTES: u64 = 64 << 10;
/// Bytes of an id, a language, a role or of `@codecs`, which every representation of a set may inherit.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Digits of each number of a duration: ten suffice for 317 years of seconds, and so many years fit 64 bits of seconds.
pub const DURATION_DIGITS_MAX: usize = 10;
/// Digits a `%0Nd` format may ask for; a number of 64 bits has no more.
pub const FORMAT_WIDTH_MAX: usize = 20;
/// Numbers in one template.
pub const TEMPLATE_PARTS_MAX: usize = 16;
/// Bytes of one expanded template, and of one URL.
pub const URL_BYTES_MAX: usize = 4096;
/// Bytes of one tag of a manifest that is rewritten.
pub const TAG_BYTES_MAX: usize = 64 << 10;
/// Bytes of an element that are kept back until it is known whether it goes. No more than six such elements are at a time.
pub const HELD_BYTES_MAX: usize = 1 << 20;
/// Elements inside each other in a manifest that is rewritten.
pub const REWRITE_DEPTH_MAX: usize = 256;
/// Bytes of an HLS playlist.
pub const PLAYLIST_BYTES_MAX: usize = MPD_BYTES_MAX;
/// Variables of one playlist (`EXT-X-DEFINE`).
pub const VARIABLES_MAX: usize = 64;
/// Bytes of a list of URLs or of a sitemap.
pub const CATALOGUE_BYTES_MAX: usize = 16 << 20;
/// URLs of one list; a sitemap has at most 50,000.
pub const CATALOGUE_URLS_MAX: usize = 100_000;
/// Sitemaps of one index.
pub const SITEMAPS_MAX: usize = 1000;
/// Bytes of one CMCD text, and of one JSON object of it.
pub const CMCD_BYTES_MAX: usize = 8 << 10;
/// Keys of one CMCD report.
pub const CMCD_PAIRS_MAX: usize = 128;
