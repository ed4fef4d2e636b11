//! Byte ranges of a stored response (RFC 9110 §14), and what the framework takes for one: the empty body of a 412.

use http::StatusCode;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use littoral_cache::conditions::if_range;
use littoral_cache::range::{ByteRange, parse};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{MultiRangeInfo, RangeType};

use super::respond::content_length;

/// Turns `response`, a whole one, into the parts that `request` asks for.
pub(super) fn select(request: &RequestHeader, response: &mut ResponseHeader) -> RangeType {
    let (Some(length), StatusCode::OK) = (content_length(&response.headers), response.status) else {
        return RangeType::None;
    };
    // Defined for GET only (§14.2), and in one field.
    let mut fields = request.headers.get_all(RANGE).into_iter();
    let field = fields.next().filter(|_| fields.next().is_none() && request.method == http::Method::GET);
    let asked = field.filter(|_| if_range(&request.headers, &response.headers));
    match asked.map_or(ByteRange::Whole, |field| parse(field.as_bytes(), length)) {
        ByteRange::Whole => {
            set(response, ACCEPT_RANGES, "bytes".to_owned());
            RangeType::None
        }
        ByteRange::Parts(parts) => {
            set_status(response, StatusCode::PARTIAL_CONTENT);
            let ranges: Vec<_> = parts.iter().map(|part| part.first as usize..part.last as usize + 1).collect();
            if let [one] = ranges.as_slice() {
                set(response, CONTENT_RANGE, format!("bytes {}-{}/{length}", one.start, one.end - 1));
                set(response, CONTENT_LENGTH, one.len().to_string());
                return RangeType::Single(one.clone());
            }
            let mut several = MultiRangeInfo::new(ranges);
            several.set_total_length(usize::try_from(length).unwrap_or(usize::MAX));
            if let Some(of_a_part) = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
                several.set_content_type(of_a_part.to_owned());
            }
            set(response, CONTENT_LENGTH, several.calculate_multipart_length().to_string());
            set(response, CONTENT_TYPE, format!("multipart/byteranges; boundary={}", several.boundary));
            RangeType::Multi(several)
        }
        ByteRange::Unsatisfiable => {
            set_status(response, StatusCode::RANGE_NOT_SATISFIABLE);
            set(response, CONTENT_RANGE, format!("bytes */{length}"));
            set(response, CONTENT_LENGTH, "0".to_owned());
            RangeType::Invalid
        }
    }
}

/// Turns `response` into a 412 without a body.
pub(super) fn fail(response: &mut ResponseHeader) -> RangeType {
    set_status(response, StatusCode::PRECONDITION_FAILED);
    set(response, CONTENT_LENGTH, "0".to_owned());
    response.remove_header(&http::header::TRANSFER_ENCODING);
    RangeType::Invalid
}

fn set(response: &mut ResponseHeader, name: http::HeaderName, value: String) {
    response.insert_header(name, value).expect("invariant: digits and tokens are a field value");
}

fn set_status(response: &mut ResponseHeader, status: StatusCode) {
    response.set_status(status).expect("invariant: a constant status is valid");
}
