//! W3C Trace Context: `traceparent`, read and written. Pure but for the entropy of new identifiers.
//!
//! Invariant: what is written was either read whole and valid, or made here.

use http::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId};

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Whom a span belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

impl Parent {
    /// Of a field; `None` when it is not valid, and then as if it were not there (§4.3).
    pub fn read(field: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(field).ok()?;
        let is_lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (version, rest) = text.split_at_checked(2)?;
        // A later version may have more behind what is known (§3.2.4).
        let known = match version {
            "00" => text.len() == LENGTH,
            "ff" => false,
            _ => text.len() == LENGTH || text.as_bytes().get(LENGTH) == Some(&b'-'),
        };
        let mut parts = rest.get(..LENGTH - 2).filter(|_| known && is_lower_hex(version))?.split('-').skip(1);
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = (trace.len(), span.len(), flags.len()) == (32, 16, 2) && parts.next().is_none();
        if !fits || ![trace, span, flags].into_iter().all(is_lower_hex) {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != TraceId::INVALID && span != SpanId::INVALID).then_some(Self { trace, span, sampled })
    }

    /// A trace of its own, recorded with this probability.
    pub fn new(sample: f64) -> Self {
        let trace = rand::random::<u128>().max(1);
        // As ratios are decided on everywhere: by the trace's last bits, so that all who see it decide alike.
        let sampled = (trace as u64 >> 1) < (sample * (1_u64 << 63) as f64) as u64;
        Self { trace: TraceId::from_bytes(trace.to_be_bytes()), span: SpanId::INVALID, sampled }
    }

    /// The field for somebody who is asked in `span`.
    pub fn write(&self, span: SpanId) -> HeaderValue {
        let text = format!("00-{}-{span}-0{}", self.trace, u8::from(self.sampled));
        HeaderValue::try_from(text).expect("invariant: hex digits and dashes are a field value")
    }

    /// The trace.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The span above; invalid when there is none.
    pub fn span(&self) -> SpanId {
        self.span
    }

    /// Whether it is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Whether somebody else began it.
    pub fn is_remote(&self) -> bool {
        self.span != SpanId::INVALID
    }
}

/// A new one.
pub fn span_id() -> SpanId {
    SpanId::from_bytes(rand::random::<u64>().max(1).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_strictly_and_written_as_it_was() {
        let parent = Parent::read(GOOD.as_bytes()).unwrap();
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.write(parent.span()), GOOD);
        for (field, sampled) in [
            (GOOD.replace("-01", "-00"), Some(false)),
            (GOOD.replace("-01", "-03"), Some(true)),
            (GOOD.replacen("00", "01", 1), Some(true)),
            (GOOD.replacen("00", "01", 1) + "-more", Some(true)),
            (GOOD.replacen("00", "01", 1) + "more", None),
            (GOOD.to_owned() + "-more", None),
            (GOOD.replacen("00", "ff", 1), None),
            (GOOD.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"), None),
            (GOOD.replace("b7ad6b7169203331", "0000000000000000"), None),
            (GOOD.to_uppercase(), None),
            (GOOD.replace('-', "_"), None),
            (GOOD[..54].to_owned(), None),
            (String::new(), None),
            ("0é".to_owned(), None),
        ] {
            assert_eq!(Parent::read(field.as_bytes()).map(|parent| parent.is_sampled()), sampled, "{field}");
        }
    }

    #[test]
    fn of_new_traces_the_share_that_was_asked_for_is_recorded() {
        let recorded = |sample| (0..10_000).filter(|_| Parent::new(sample).is_sampled()).count();
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 10_000));
        assert!((4_000..6_000).contains(&recorded(0.5)));
        assert!(!Parent::new(1.0).is_remote());
    }
}
