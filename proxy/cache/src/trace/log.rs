//! A node's own access log, in its formats `json`, `common` and `combined`; each line says by itself which of them it is.
//!
//! A request counts when it moved an object: GET, answered 200 or 206, whole. `common` and `combined` have no host: there all
//! sites are one.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use super::place::place_of;
use super::{Line, Request};
use crate::entry::millis;
use crate::key::digest;

/// The fields of a `json` line that matter here.
#[derive(Debug, Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    status: Option<u16>,
    bytes: Option<u64>,
    #[serde(borrow, default)]
    end: Option<Cow<'a, str>>,
}

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    latest_ms: u64,
}

impl Lines {
    pub(super) fn parse(&mut self, line: &[u8]) -> Result<Line, String> {
        let told = if line.first() == Some(&b'{') { json(line)? } else { text(line)? };
        let Some((now_ms, host, path, bytes)) = told else { return Ok(Line::Other) };
        // Lines are written when requests end, by several threads: their times go back a little.
        self.latest_ms = self.latest_ms.max(now_ms);
        let id = id_of(&host, &path);
        let place = place_of(&host, &path);
        Ok(Line::Request(Request { now_ms: self.latest_ms, id, bytes, next: None, place }))
    }
}

/// The number of the object that `path` (query included) on `host` is; what players tell of themselves names no other.
pub fn id_of(host: &str, path: &str) -> u64 {
    digest(&[host.as_bytes(), without_cmcd(path).as_bytes()]) as u64
}

/// What a player tells of itself in the query names no other object.
fn without_cmcd(path: &str) -> Cow<'_, str> {
    let Some((path_only, query)) = path.split_once('?').filter(|(_, query)| query.contains("CMCD=")) else {
        return path.into();
    };
    let rest: Vec<&str> = query.split('&').filter(|argument| !argument.starts_with("CMCD=")).collect();
    if rest.is_empty() { path_only.into() } else { format!("{path_only}?{}", rest.join("&")).into() }
}

/// Time, host, path and bytes of a request that moved an object.
type Told = Option<(u64, String, String, u64)>;

fn json(line: &[u8]) -> Result<Told, String> {
    let line: Json<'_> = serde_json::from_slice(line).map_err(|error| format!("no line of an access log: {error}"))?;
    let moved = line.method.as_deref() == Some("GET")
        && matches!(line.status, Some(200 | 206))
        && line.end.as_deref() != Some("broken");
    let (Some(path), Some(bytes), true) = (line.path, line.bytes, moved) else { return Ok(None) };
    let time =
        rfc3339(&line.time).ok_or_else(|| format!("the time is not as the access log has it: {:?}", line.time))?;
    Ok(Some((time, line.host.unwrap_or_default().into_owned(), path.into_owned(), bytes)))
}

/// `client - - [time] "METHOD path PROTOCOL" status bytes …`
fn text(line: &[u8]) -> Result<Told, String> {
    let not = |what: &str| format!("no line of an access log: {what}");
    let line = std::str::from_utf8(line).map_err(|_| not("it is no text"))?;
    let (_, rest) = line.split_once('[').ok_or_else(|| not("there is no [time]"))?;
    let (time, rest) = rest.split_once(']').ok_or_else(|| not("there is no [time]"))?;
    let (_, rest) = rest.split_once('"').ok_or_else(|| not("there is no \"request\""))?;
    let (request, rest) = rest.split_once("\" ").ok_or_else(|| not("there is no \"request\""))?;
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut numbers = rest.split(' ');
    let (status, bytes) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if method != "GET" || !matches!(status, "200" | "206") || path.is_empty() {
        return Ok(None);
    }
    let bytes = bytes.parse().map_err(|_| not("the bytes are no number"))?;
    let time = clf(time).ok_or_else(|| not("the time is not as the common log format has it"))?;
    Ok(Some((time, String::new(), path.to_owned(), bytes)))
}

/// `2026-11-22T05:12:07.123Z` in Unix milliseconds.
fn rfc3339(text: &str) -> Option<u64> {
    let digits = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (day, rest) = (days(digits(0, 4)?, digits(5, 7)?, digits(8, 10)?)?, text.get(19..)?);
    let fraction = rest.strip_prefix('.').and_then(|rest| rest.get(..3)?.parse::<u64>().ok()).unwrap_or(0);
    clock(day, digits(11, 13)?, digits(14, 16)?, digits(17, 19)?).map(|ms| ms + fraction)
}

/// `22/Nov/2026:05:12:07 +0000` in Unix milliseconds.
fn clf(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let digits = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let month = MONTHS.iter().position(|month| text.get(3..6) == Some(month))? as u64 + 1;
    clock(days(digits(7, 11)?, month, digits(0, 2)?)?, digits(12, 14)?, digits(15, 17)?, digits(18, 20)?)
}

/// Days since 1970 of a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    (365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day).checked_sub(719_469)
}

fn clock(days: u64, hour: u64, minute: u64, second: u64) -> Option<u64> {
    let in_day = (hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + in_day)).map(millis)
}
