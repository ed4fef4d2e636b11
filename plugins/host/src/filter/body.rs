//! A body on its way through a filter, piece by piece.
//!
//! The guest holds no bytes: what it cannot decide on yet, it says how much of, and gets again with the next piece. So a fault
//! loses nothing, and what is kept for a body is bounded. Invariant: without a fault the guest has seen every byte.

use std::sync::Arc;

use super::fault::Fault;
use super::guest::Point;
use super::instance::Instance;
use super::limits::PIECE_BYTES_MAX;
use super::plugin::Filter;

/// Rewrites one body.
pub struct Rewriter {
    filter: Arc<Filter>,
    /// Gone after a fault.
    instance: Option<Box<Instance>>,
    held: Vec<u8>,
    failed: Option<Fault>,
}

impl std::fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriter").field("filter", &self.filter).field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Rewriter {
    pub(super) fn new(filter: Arc<Filter>, instance: Box<Instance>) -> Self {
        Self { filter, instance: Some(instance), held: Vec::new(), failed: None }
    }

    /// What comes out for a piece; with the last one, the rest. After a fault what is left passes as it is.
    ///
    /// # Errors
    /// The fault of a filter that is not to be gone past.
    pub fn rewrite(&mut self, data: &[u8], last: bool) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        let mut rest = data;
        loop {
            let (part, after) = rest.split_at(rest.len().min(PIECE_BYTES_MAX));
            let ends = last && after.is_empty();
            if !part.is_empty() || ends {
                self.piece(part, ends, &mut out)?;
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if last && let Some(instance) = self.instance.take() {
            self.filter.give_back(instance);
        }
        Ok(out)
    }

    fn piece(&mut self, part: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(instance) = &mut self.instance else {
            return match self.failed {
                Some(fault) if self.filter.is_closed() => Err(fault),
                _ => {
                    out.extend_from_slice(part);
                    Ok(())
                }
            };
        };
        let joined;
        let data = match self.held.is_empty() {
            true => part,
            false => {
                self.held.extend_from_slice(part);
                joined = std::mem::take(&mut self.held);
                &joined
            }
        };
        self.filter.figures.calls[Point::Body as usize].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match instance.piece(data, last) {
            Ok((rewritten, hold)) => {
                match out.is_empty() {
                    true => *out = rewritten,
                    false => out.extend_from_slice(&rewritten),
                }
                self.held = data[data.len() - hold..].to_vec();
                Ok(())
            }
            Err(failure) => {
                self.filter.failed(Point::Body, &failure, instance.generation);
                (self.instance, self.failed) = (None, Some(failure.fault));
                if self.filter.is_closed() {
                    return Err(failure.fault);
                }
                out.extend_from_slice(data);
                Ok(())
            }
        }
    }
}
