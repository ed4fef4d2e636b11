//! DASH manifests (ISO/IEC 23009-1): what representations and segments an MPD has, as URLs and byte ranges; ladders; which
//! segment an `auto` URL means; rewriting as a manifest passes; and what player and server tell each other (CMCD, CMSD). HLS playlists
//! (RFC 8216), lists of URLs and sitemaps: what they name.
//!
//! Pure: bytes in, values out, no I/O and no clock, so that it can run in a guest. Of live presentations it lists what is available
//! at a given time.
//!
//! Invariant: no input makes it panic, loop or allocate beyond [`limits`].

pub mod auto;
pub mod catalogue;
pub mod cmcd;
pub mod cmsd;
pub mod ladder;
pub mod limits;
pub mod playlist;
pub mod presentation;
pub mod rewrite;
pub mod sidx;
mod template;

pub use auto::{AutoSegment, Title};
pub use ladder::{Ladder, Rung};
pub use playlist::{Playlist, PlaylistError};
pub use presentation::{
    ByteRange, Clock, Coming, Kind, Live, ManifestError, Period, Place, Presentation, Representation, Resource,
    Segment, Steering,
};
