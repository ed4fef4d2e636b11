//! A line of the access log: its fields, the named formats, and how a value is written so that it cannot end its line.
//!
//! What a request was is told by [`Record`]; where lines go is the parent's. Writing allocates nothing but what the line
//! buffer itself grows by. Invariant: no byte of a request can close a quote, end a line or be taken for another field.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::value::{Value, write_json, write_text};
use crate::video::told::Told;

/// Bytes of one value as they came; longer ones are cut.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Bytes of a format.
pub const FORMAT_BYTES_MAX: usize = 4096;

/// What one request was. Times are absent where the stage did not happen.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When it ended.
    pub ended: SystemTime,
    /// The client.
    pub client: Option<SocketAddr>,
    /// The TLS version, empty without TLS.
    pub tls: &'a str,
    /// The site's name, empty without one.
    pub site: &'a str,
    /// Host of the request.
    pub host: &'a str,
    /// Method.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Protocol.
    pub protocol: &'a str,
    /// Status sent, 0 when none was.
    pub status: u16,
    /// Bytes of the body sent.
    pub bytes: u64,
    /// Bytes of the request's body that came.
    pub received: u64,
    /// `Referer`.
    pub referer: &'a [u8],
    /// `User-Agent`.
    pub agent: &'a [u8],
    /// The client's `X-Request-ID`, empty without one.
    pub id: &'a [u8],
    /// What the cache did.
    pub outcome: &'a str,
    /// Why it went forward.
    pub reason: &'a str,
    /// Freshness left, in seconds.
    pub ttl_s: Option<i64>,
    /// Age in seconds.
    pub age_s: Option<u64>,
    /// Host and port of the origin asked last.
    pub origin: Option<(&'a str, u16)>,
    /// Times an origin was asked.
    pub attempts: usize,
    /// The representation chosen for an `auto` URL.
    pub representation: &'a str,
    /// The generation of the plugin that chose it.
    pub rate_generation: Option<u64>,
    /// The generation of the plugin that said whether the response is stored.
    pub cache_generation: Option<u64>,
    /// What its player told, where the site reads that.
    pub told: Option<&'a Told>,
    /// Whether it ended as it should.
    pub whole: bool,
    /// How long what took.
    pub stages: Stages,
}

/// How long the stages of a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// All of it, from the parsed head to the last byte handed to the kernel.
    pub total: Option<Duration>,
    /// Looking the object up.
    pub lookup: Option<Duration>,
    /// Waiting for another request's fill.
    pub wait: Option<Duration>,
    /// Waiting for room at origins.
    pub queue: Option<Duration>,
    /// Getting a connection to the origin.
    pub connect: Option<Duration>,
    /// From there to the origin's head.
    pub first_byte: Option<Duration>,
    /// From asking the origin to the end of its body.
    pub origin: Option<Duration>,
    /// From the response head to the end.
    pub send: Option<Duration>,
}

/// A field that a format may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Time,
    ClfTime,
    Client,
    ClientPort,
    Site,
    Host,
    Method,
    Path,
    Protocol,
    Tls,
    Status,
    Bytes,
    Received,
    Referer,
    UserAgent,
    RequestId,
    Outcome,
    Reason,
    Ttl,
    Age,
    Origin,
    Attempts,
    Representation,
    RateGeneration,
    CacheGeneration,
    Cmcd,
    End,
    Total,
    Lookup,
    Wait,
    Queue,
    Connect,
    FirstByte,
    OriginTime,
    Send,
}

/// Every field with its name and meaning, in the order of `json`.
const FIELDS: &[(&str, Field, &str)] = &[
    ("time", Field::Time, "when it ended, UTC, RFC 3339 with milliseconds"),
    ("clf_time", Field::ClfTime, "the same as the common log format has it; not in `json`"),
    ("client", Field::Client, "the client's address"),
    ("client_port", Field::ClientPort, "its port"),
    ("site", Field::Site, "first host of the `[[site]]`"),
    ("host", Field::Host, "host of the request"),
    ("method", Field::Method, "method"),
    ("path", Field::Path, "path and query"),
    ("protocol", Field::Protocol, "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`"),
    ("tls", Field::Tls, "TLS version"),
    ("status", Field::Status, "status sent; 0 when none was"),
    ("bytes", Field::Bytes, "bytes of the body sent; of a tunnel, those to the client"),
    ("received", Field::Received, "bytes of the request's body that came; of a tunnel, those from the client"),
    ("referer", Field::Referer, "`Referer`"),
    ("user_agent", Field::UserAgent, "`User-Agent`"),
    ("request_id", Field::RequestId, "`X-Request-ID` of the request"),
    ("outcome", Field::Outcome, "what the cache did, as in `littoral_http_requests_total`"),
    ("reason", Field::Reason, "why it went forward (RFC 9211)"),
    ("ttl", Field::Ttl, "freshness left, in seconds"),
    ("age", Field::Age, "age in seconds"),
    ("origin", Field::Origin, "host and port of the origin asked last"),
    ("attempts", Field::Attempts, "times an origin was asked"),
    ("representation", Field::Representation, "what an `auto` URL became"),
    (
        "rate_generation",
        Field::RateGeneration,
        "generation of the plugin that chose it; `-`, or null, when the native policy did",
    ),
    ("cache_generation", Field::CacheGeneration, "the same of the plugin that said whether the response is stored"),
    (
        "cmcd",
        Field::Cmcd,
        "what the player told (CMCD) that this node uses, its keys in alphabetical order, where the site has `dash.cmcd` or `dash.auto`",
    ),
    ("end", Field::End, "`ok`, or `broken` when it ended with an error"),
    ("total_us", Field::Total, "microseconds from the parsed head to the last byte given to the kernel"),
    ("lookup_us", Field::Lookup, "of them looking the object up"),
    ("wait_us", Field::Wait, "waiting for another request's fill"),
    ("queue_us", Field::Queue, "waiting for room at origins, of all attempts"),
    ("connect_us", Field::Connect, "getting a connection to the origin"),
    ("first_byte_us", Field::FirstByte, "from there to the origin's head"),
    ("origin_us", Field::OriginTime, "from asking the origin to the end of its body"),
    ("send_us", Field::Send, "from the response head to the end"),
];

const COMMON: &str = "$client - - [$clf_time] \"$method $path $protocol\" $status $bytes";
const COMBINED: &str =
    "$client - - [$clf_time] \"$method $path $protocol\" $status $bytes \"$referer\" \"$user_agent\"";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Field(Field),
}

/// A format, ready to write with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line with every field.
    Json,
    /// Text with fields in it.
    #[allow(private_interfaces, reason = "made by parse only")]
    Text(Parts),
}

/// The pieces of a text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts(Vec<Part>);

impl Format {
    /// `common`, `combined`, `json`, or a text with `$field`s (`$$` is a dollar).
    ///
    /// # Errors
    /// One sentence that names the unknown field.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "json" => return Ok(Self::Json),
            "common" => return Self::parse(COMMON),
            "combined" => return Self::parse(COMBINED),
            _ if text.is_empty() => return Err("an empty format: write \"combined\", \"json\" or fields".into()),
            _ if text.len() > FORMAT_BYTES_MAX => return Err(format!("at most {FORMAT_BYTES_MAX} bytes")),
            _ if text.contains(['\n', '\r']) => return Err("a format is one line".into()),
            _ => {}
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            literal.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                literal.push(b'$');
                rest = after;
                continue;
            }
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let name = &after[..end];
            let field = FIELDS.iter().find(|(known, ..)| *known == name).ok_or_else(|| unknown(name))?.1;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Field(field));
            rest = &after[end..];
        }
        literal.extend_from_slice(rest.as_bytes());
        if parts.is_empty() {
            return Err(format!("{text:?} has no field: write \"combined\", \"json\" or a text with $fields"));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self::Text(Parts(parts)))
    }

    /// Appends the line of a request, its end included.
    pub fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Text(Parts(parts)) => {
                for part in parts {
                    match part {
                        Part::Literal(text) => out.extend_from_slice(text),
                        Part::Field(field) => write_text(field.value(record), out),
                    }
                }
            }
            Self::Json => {
                let fields = FIELDS.iter().filter(|(_, field, _)| *field != Field::ClfTime);
                for (at, (name, field, _)) in fields.enumerate() {
                    out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":");
                    write_json(field.value(record), out);
                }
                out.push(b'}');
            }
        }
        out.push(b'\n');
    }
}

/// The fields as a list for the reference.
pub fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().map(|(name, _, meaning)| (*name, *meaning))
}

fn unknown(name: &str) -> String {
    let known = || FIELDS.iter().map(|(known, ..)| *known);
    let near = crate::config::error::nearest(name, known());
    near.map_or_else(
        || format!("no field is called ${name}; there are {}", known().collect::<Vec<_>>().join(", ")),
        |near| format!("no field is called ${name}; did you mean ${near}?"),
    )
}

impl Field {
    fn value<'a>(self, record: &Record<'a>) -> Value<'a> {
        let text = |text: &'a [u8]| if text.is_empty() { Value::Absent } else { Value::Bytes(text) };
        let number = |number: Option<i64>| number.map_or(Value::Absent, Value::Number);
        let micros = |time: Option<Duration>| number(time.and_then(|time| i64::try_from(time.as_micros()).ok()));
        let stages = &record.stages;
        match self {
            Self::Time => Value::Time(record.ended),
            Self::ClfTime => Value::ClfTime(record.ended),
            Self::Client => record.client.map_or(Value::Absent, |client| Value::Client(client.ip().to_canonical())),
            Self::ClientPort => number(record.client.map(|client| i64::from(client.port()))),
            Self::Site => text(record.site.as_bytes()),
            Self::Host => text(record.host.as_bytes()),
            Self::Method => text(record.method.as_bytes()),
            Self::Path => text(record.path.as_bytes()),
            Self::Protocol => text(record.protocol.as_bytes()),
            Self::Tls => text(record.tls.as_bytes()),
            Self::Status => Value::Number(i64::from(record.status)),
            Self::Bytes => Value::Number(i64::try_from(record.bytes).unwrap_or(i64::MAX)),
            Self::Received => Value::Number(i64::try_from(record.received).unwrap_or(i64::MAX)),
            Self::Referer => text(record.referer),
            Self::UserAgent => text(record.agent),
            Self::RequestId => text(record.id),
            Self::Outcome => text(record.outcome.as_bytes()),
            Self::Reason => text(record.reason.as_bytes()),
            Self::Ttl => number(record.ttl_s),
            Self::Age => number(record.age_s.and_then(|age| i64::try_from(age).ok())),
            Self::Origin => record.origin.map_or(Value::Absent, |(host, port)| Value::Pair(host, port)),
            Self::Attempts => Value::Number(record.attempts as i64),
            Self::Representation => text(record.representation.as_bytes()),
            Self::RateGeneration => number(record.rate_generation.and_then(|number| i64::try_from(number).ok())),
            Self::CacheGeneration => number(record.cache_generation.and_then(|number| i64::try_from(number).ok())),
            Self::Cmcd => record.told.map_or(Value::Absent, Value::Told),
            Self::End => Value::Bytes(if record.whole { b"ok" } else { b"broken" }),
            Self::Total => micros(stages.total),
            Self::Lookup => micros(stages.lookup),
            Self::Wait => micros(stages.wait),
            Self::Queue => micros(stages.queue),
            Self::Connect => micros(stages.connect),
            Self::FirstByte => micros(stages.first_byte),
            Self::OriginTime => micros(stages.origin),
            Self::Send => micros(stages.send),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            ended: SystemTime::UNIX_EPOCH + Duration::from_millis(971_186_136_250),
            client: Some("[::ffff:192.0.2.7]:5000".parse().unwrap()),
            tls: "TLSv1.3",
            site: "s.example",
            host: "h.example",
            method: "GET",
            path: "/a?b",
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 12,
            received: 3,
            referer: b"",
            agent: b"curl \"8\"\n\xff",
            id: b"",
            outcome: "miss",
            reason: "uri-miss",
            ttl_s: Some(-4),
            age_s: None,
            origin: Some(("o.example", 80)),
            attempts: 1,
            representation: "",
            rate_generation: None,
            cache_generation: Some(3),
            told: None,
            whole: true,
            stages: Stages { total: Some(Duration::from_micros(1500)), ..Stages::default() },
        }
    }

    fn line(format: &str, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        Format::parse(format).unwrap().write(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_named_formats_are_what_log_readers_know() {
        let common = "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?b HTTP/1.1\" 200 12";
        assert_eq!(line("common", &record()), format!("{common}\n"));
        let agent = r#"curl \x228\x22\x0A\xFF"#;
        assert_eq!(line("combined", &record()), format!("{common} \"-\" \"{agent}\"\n"));
        let json: serde_json::Value = serde_json::from_str(&line("json", &record())).unwrap();
        assert_eq!(json["user_agent"], "curl \"8\"\n\u{fffd}");
        assert_eq!((&json["total_us"], &json["referer"]), (&1500.into(), &serde_json::Value::Null));
        assert_eq!(json["time"], "2000-10-10T13:55:36.250Z");
        assert_eq!(json.as_object().unwrap().len(), FIELDS.len() - 1);
    }

    #[test]
    fn a_format_of_ones_own_names_fields_and_dollars() {
        assert_eq!(line("$$5 $ttl/$age $origin $end $client_port", &record()), "$5 -4/- o.example:80 ok 5000\n");
        for (format, expected) in [
            ("$clint", "did you mean $client?"),
            ("text", "has no field"),
            ("", "empty"),
            ("$host\n", "one line"),
            ("$ ", "no field is called $"),
        ] {
            let said = Format::parse(format).unwrap_err();
            assert!(said.contains(expected), "{format:?}: {said}");
        }
    }

    #[test]
    fn nothing_a_client_sends_ends_a_line_or_a_quote() {
        let every: Vec<u8> = (0..=255).collect();
        let hostile = Record { referer: &every, agent: &every, id: &every, ..record() };
        for format in ["combined", "json", "\"$request_id\" $host"] {
            let written = line(format, &hostile);
            assert_eq!(written.matches('\n').count(), 1);
            assert!(written.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte) || byte >= 0x80));
        }
        assert_eq!(line("\"$referer\"", &hostile).matches('"').count(), 2);
        let long = Record { agent: &[b'a'; 9999], ..record() };
        assert_eq!(line("$user_agent", &long).len(), VALUE_BYTES_MAX + 1);
    }
}
