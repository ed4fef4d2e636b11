//! One byte range of a stored response (RFC 9110 §13.1.5, §14).

use http::StatusCode;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use littoral_cache::range::{ByteRange, parse};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::RangeType;

use super::respond::content_length;

/// Turns `response`, a whole one, into the part that `request` asks for.
pub(super) fn select(request: &RequestHeader, response: &mut ResponseHeader) -> RangeType {
    let (Some(length), StatusCode::OK) = (content_length(&response.headers), response.status) else {
        return RangeType::None;
    };
    // Defined for GET only (§14.2), and in one field.
    let mut fields = request.headers.get_all(RANGE).into_iter();
    let field = fields.next().filter(|_| fields.next().is_none() && request.method == http::Method::GET);
    let asked = field.filter(|_| condition_holds(request, response));
    match asked.map_or(ByteRange::Whole, |field| parse(field.as_bytes(), length)) {
        ByteRange::Whole => {
            set(response, ACCEPT_RANGES, "bytes".to_owned());
            RangeType::None
        }
        ByteRange::Part { first, last } => {
            set_status(response, StatusCode::PARTIAL_CONTENT);
            set(response, CONTENT_RANGE, format!("bytes {first}-{last}/{length}"));
            set(response, CONTENT_LENGTH, (last - first + 1).to_string());
            RangeType::Single(first as usize..last as usize + 1)
        }
        ByteRange::Unsatisfiable => {
            set_status(response, StatusCode::RANGE_NOT_SATISFIABLE);
            set(response, CONTENT_RANGE, format!("bytes */{length}"));
            set(response, CONTENT_LENGTH, "0".to_owned());
            RangeType::Invalid
        }
    }
}

/// If-Range: a strong entity tag that is equal, or the very date of Last-Modified.
fn condition_holds(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let Some(condition) = request.headers.get(IF_RANGE) else {
        return true;
    };
    let validator = if condition.as_bytes().ends_with(b"\"") { ETAG } else { LAST_MODIFIED };
    let strong = !condition.as_bytes().starts_with(b"W/");
    strong && response.headers.get(validator) == Some(condition)
}

fn set(response: &mut ResponseHeader, name: http::HeaderName, value: String) {
    response.insert_header(name, value).expect("invariant: digits and tokens are a field value");
}

fn set_status(response: &mut ResponseHeader, status: StatusCode) {
    response.set_status(status).expect("invariant: a constant status is valid");
}
