//! Named bounds on manifests.

/// Bytes of an MPD.
pub const MPD_BYTES_MAX: usize = 4 << 20;
/// Periods of an MPD.
pub const PERIODS_MAX: usize = 256;
/// Representations of all periods together.
pub const REPRESENTATIONS_MAX: usize = 4096;
/// Segments of all representations together: 100 hours of eight rungs in 2 s segments fit.
pub const SEGMENTS_MAX: usize = 2_000_000;
/// Segments of one representation.
pub const SEGMENTS_OF_ONE_MAX: usize = 250_000;
/// References of one sidx box (a 16-bit field).
pub const SIDX_REFERENCES_MAX: usize = 65_535;
/// Bytes of a sidx box.
pub const SIDX_BYTES_MAX: usize = 1 << 20;
/// Digits a `%0Nd` format may ask for.
pub const FORMAT_WIDTH_MAX: usize = 20;
/// Bytes of one expanded template.
pub const URL_BYTES_MAX: usize = 4096;
