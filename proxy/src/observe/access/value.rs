//! Values of a log line, and how they are written so that none ends its line or its quote.

use std::io::Write;
use std::time::SystemTime;

use super::format::VALUE_BYTES_MAX;
use crate::video::told::Told;

/// A value, before it is written as text or JSON.
pub(super) enum Value<'a> {
    Absent,
    Bytes(&'a [u8]),
    Number(i64),
    Client(std::net::IpAddr),
    Pair(&'a str, u16),
    Time(SystemTime),
    ClfTime(SystemTime),
    Told(&'a Told),
}

/// Writing to a `Vec` cannot fail.
pub(super) fn put(out: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(value);
}

pub(super) fn write_text(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.push(b'-'),
        Value::Bytes(bytes) => {
            for byte in &bytes[..bytes.len().min(VALUE_BYTES_MAX)] {
                match byte {
                    b'"' | b'\\' | 0..0x20 | 0x7f.. => put(out, format_args!("\\x{byte:02X}")),
                    plain => out.push(*plain),
                }
            }
        }
        Value::Number(number) => put(out, format_args!("{number}")),
        other => write_plain(other, out),
    }
}

pub(super) fn write_json(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.extend_from_slice(b"null"),
        Value::Number(number) => put(out, format_args!("{number}")),
        Value::Bytes(bytes) => {
            out.push(b'"');
            for chunk in bytes[..bytes.len().min(VALUE_BYTES_MAX)].utf8_chunks() {
                for byte in chunk.valid().bytes() {
                    match byte {
                        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                        0..0x20 | 0x7f => put(out, format_args!("\\u{byte:04x}")),
                        plain => out.push(plain),
                    }
                }
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
            out.push(b'"');
        }
        other => {
            out.push(b'"');
            write_plain(other, out);
            out.push(b'"');
        }
    }
}

/// Values of this node's own making, which need no escaping.
fn write_plain(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Client(address) => put(out, format_args!("{address}")),
        Value::Pair(host, port) => put(out, format_args!("{host}:{port}")),
        Value::Time(time) => put(out, format_args!("{}", humantime::format_rfc3339_millis(time))),
        Value::ClfTime(time) => write_clf_time(time, out),
        Value::Told(told) => told.write(out),
        Value::Absent | Value::Bytes(_) | Value::Number(_) => {}
    }
}

/// `10/Oct/2000:13:55:36 +0000`.
fn write_clf_time(time: SystemTime, out: &mut Vec<u8>) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // From 2000-10-10T13:55:36Z, written where the line goes and taken off again.
    let start = out.len();
    put(out, format_args!("{}", humantime::format_rfc3339_seconds(time)));
    let mut written = [0; 20];
    let length = (out.len() - start).min(written.len());
    written[..length].copy_from_slice(&out[start..start + length]);
    out.truncate(start);
    let month = usize::from(written[5].wrapping_sub(b'0')) * 10 + usize::from(written[6].wrapping_sub(b'0'));
    out.extend_from_slice(&written[8..10]);
    out.push(b'/');
    out.extend_from_slice(MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"---").as_bytes());
    out.push(b'/');
    out.extend_from_slice(&written[..4]);
    out.push(b':');
    out.extend_from_slice(&written[11..19]);
    out.extend_from_slice(b" +0000");
}
