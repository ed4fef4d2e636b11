//! The cache engine of Littoral: keys, freshness (RFC 9111), conditions, Vary, ranges, the index, the memory tier, eviction and
//! surrogate keys.
//!
//! It stores bytes and answers questions about them; it speaks no HTTP on a socket, knows no proxy framework and calls
//! no guest. What it needs decided it asks through [`Eviction`], a trait it owns.
//!
//! Invariants: the bytes of all objects, published or in flight, stay within the configured bound plus
//! [`limits::OVERDRAFT_BYTES`]; a fill that did not end as its origin promised is never published; a fill that began
//! before a purge is not joined after it, and not published, or stale after a soft one; no lock is held across an await or while a policy
//! is asked, but for the seat of an exact policy ([`exact`]), which no request waits for.

pub mod budget;
pub mod conditions;
pub mod control;
pub mod demand;
pub mod disk;
pub mod entry;
pub mod evict;
pub mod exact;
pub mod fill;
pub mod freshness;
pub mod histogram;
pub mod index;
pub mod key;
pub mod limits;
mod memory;
pub mod outcome;
pub mod popularity;
pub mod query;
pub mod range;
mod remembered;
pub mod replay;
pub mod store;
pub mod surrogate;
pub mod target;
pub mod trace;
pub mod vary;

pub use entry::{Entry, Head};
pub use evict::{Candidate, Eviction, LfuSize, Verdict};
pub use exact::Keep;
pub use fill::{Fill, FillReader, FillWriter};
pub use key::Key;
pub use littoral_pages::{Pages, SLOT_BYTES};
pub use outcome::{FwdReason, Outcome, is_hit, told};
pub use store::{Begin, Counters, Found, Piece, PieceOf, Refused, Settings, Store, Ticket};
pub use target::Target;
