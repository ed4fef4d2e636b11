//! Reports of players on their own (CMCD as JSON, and in the event mode of version 2): POST to the path that a site names.
//!
//! A body is JSON, an object or a list of them, or lines of CMCD text, each of which may be such an object. It is read, counted, and gone.
//! Invariant: no more than [`REPORT_BYTES_MAX`] of a body is held.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    CONTENT_LENGTH,
};
use http::{HeaderValue, Method};
use littoral_manifests::cmcd::{self, Cmcd, CmcdError};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::told::{Carrier, Heard, Told};
use super::{Figures, Video};
use crate::rescue;
use crate::site::Site;

/// Bytes of one body.
const REPORT_BYTES_MAX: usize = 64 << 10;
/// Reports in one.
const REPORTS_MAX: usize = 256;

/// Answers what is for the path of reports. `true`: answered.
pub(crate) async fn take(session: &mut Session, site: &Site) -> Result<bool> {
    let Some(video) = &site.video else { return Ok(false) };
    let Video { reports: Some(path), figures, .. } = video else { return Ok(false) };
    let request = session.req_header();
    if request.uri.path() != path {
        return Ok(false);
    }
    let method = request.method.clone();
    if method == Method::OPTIONS {
        return answer(session).await;
    }
    if method != Method::POST {
        return rescue::refuse(session, 405, "reports of players are sent by POST").await;
    }
    let mut body = Vec::new();
    while let Some(bytes) = session.read_request_body().await? {
        if body.len() + bytes.len() > REPORT_BYTES_MAX {
            figures.report_refused();
            session.set_keepalive(None);
            return rescue::refuse(session, 413, "a report has at most 64 KiB").await;
        }
        body.extend_from_slice(&bytes);
    }
    count(&body, figures);
    answer(session).await
}

/// Counts what is in a body.
fn count(body: &[u8], figures: &Figures) {
    let Ok(text) = std::str::from_utf8(body) else { return figures.heard(&Err(CmcdError::Encoding)) };
    let text = text.trim();
    let listed = text.starts_with('[').then(|| serde_json::from_str::<Vec<serde_json::Value>>(text));
    match listed {
        Some(Ok(list)) if list.len() > REPORTS_MAX => figures.report_refused(),
        Some(Ok(list)) => list.iter().for_each(|one| figures.heard(&read(&one.to_string()))),
        Some(Err(_)) => figures.heard(&Err(CmcdError::Json)),
        // An object of JSON may be written over several lines.
        None if text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            figures.heard(&read(text));
        }
        None => {
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.by_ref().take(REPORTS_MAX).for_each(|line| figures.heard(&read(line.trim())));
            if lines.next().is_some() {
                figures.report_refused();
            }
        }
    }
}

/// One report.
fn read(text: &str) -> std::result::Result<Heard, CmcdError> {
    let mut buffer = String::new();
    let text = if text.starts_with('{') { cmcd::json(text, &mut buffer)? } else { text };
    let mut cmcd = Cmcd::default();
    cmcd.read(text)?;
    Ok(Heard { told: Told::of(&cmcd), carrier: Carrier::Report, ignored: cmcd.ignored() })
}

/// Nothing more to say; players run in pages of other origins.
async fn answer(session: &mut Session) -> Result<bool> {
    let mut response = ResponseHeader::build_no_case(204, Some(4))?;
    response.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))?;
    response.insert_header(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"))?;
    response.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"))?;
    response.remove_header(&CONTENT_LENGTH);
    session.write_response_header(Box::new(response), true).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn reports_come_as_json_or_as_lines_and_each_counts_once() {
        for (body, reports, refused, stalls) in [
            (r#"{"bs":true,"bl":900}"#, 1, 0, 1),
            ("{\n\"bs\": true\n}\n", 1, 0, 1),
            (r#"[{"bs":true},{"bl":5},{"br":[1,[2]]}]"#, 2, 1, 1),
            ("e=ps,sta=p,v=2\nbs,bl=100\n\n", 2, 0, 1),
            ("{\"bs\":true}\n{\"bs\":true}\n", 2, 0, 2),
            ("[1", 0, 1, 0),
            ("{\"bs\":", 0, 1, 0),
        ] {
            let figures = Figures::default();
            count(body.as_bytes(), &figures);
            let refusals: u64 = figures.refused.iter().map(|count| count.load(Relaxed)).sum();
            let told = (figures.told[2].load(Relaxed), refusals, figures.stalls.load(Relaxed));
            assert_eq!(told, (reports, refused, stalls), "{body}");
        }
        let figures = Figures::default();
        count("bs\n".repeat(REPORTS_MAX + 1).as_bytes(), &figures);
        assert_eq!((figures.stalls.load(Relaxed), figures.refused[4].load(Relaxed)), (REPORTS_MAX as u64, 1));
        count(b"\xff", &figures);
        assert_eq!(figures.refused[3].load(Relaxed), 1);
    }
}
