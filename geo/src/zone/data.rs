//! Names, strings and record data as master files write them.
//!
//! The types of RFC 1035, AAAA and SRV are read here, where escapes are octets and nothing that follows is passed over;
//! the others by the codec's own reader. Invariant: a name that is told is absolute.

use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::domain::Label;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::txt::parse_ttl;

use super::master::Token;

/// Octets of a character-string (RFC 1035 §3.3).
const STRING_BYTES_MAX: usize = 255;

/// The types served and what each takes.
const SHAPES: [(RecordType, &str); 22] = [
    (RecordType::A, "one IPv4 address, such as 192.0.2.1"),
    (RecordType::AAAA, "one IPv6 address, such as 2001:db8::1"),
    (RecordType::CNAME, "one name"),
    (RecordType::NS, "one name"),
    (RecordType::PTR, "one name"),
    (RecordType::MX, "a preference and a name, such as 10 mail"),
    (RecordType::SRV, "priority, weight, port and a name, such as 0 5 443 www"),
    (RecordType::SOA, "two names, a serial and four times, such as ns hostmaster 1 3600 600 86400 60"),
    (RecordType::TXT, "strings, such as \"v=spf1 -all\""),
    (RecordType::ANAME, "one name of this node's zones"),
    (RecordType::CAA, "flags, a tag and a value, such as 0 issue \"ca.example\""),
    (RecordType::CERT, "type, key tag, algorithm and base64"),
    (RecordType::CSYNC, "serial, flags and types"),
    (RecordType::DS, "key tag, algorithm, digest type and hex, such as dnssec-dsfromkey prints"),
    (RecordType::HINFO, "two strings"),
    (RecordType::HTTPS, "priority, target and parameters, such as 1 . alpn=h2"),
    (RecordType::NAPTR, "order, preference, flags, service, regexp and replacement"),
    (RecordType::OPENPGPKEY, "base64"),
    (RecordType::SMIMEA, "usage, selector, matching type and hex"),
    (RecordType::SSHFP, "algorithm, fingerprint type and hex"),
    (RecordType::SVCB, "priority, target and parameters, such as 1 . alpn=h2"),
    (RecordType::TLSA, "usage, selector, matching type and hex"),
];

/// What the data of a type looks like; `None` when the type is not served.
pub(super) fn shape(kind: RecordType) -> Option<&'static str> {
    SHAPES.iter().find(|(known, _)| *known == kind).map(|(_, shape)| *shape)
}

/// The types served.
pub(super) fn kinds() -> String {
    SHAPES.map(|(kind, _)| kind.to_string()).join(", ")
}

/// The data of a record.
///
/// # Errors
/// What its type takes, and what was found.
pub(super) fn data(kind: RecordType, tokens: &[Token<'_>], origin: &Name) -> Result<RData, String> {
    let read = match (kind, tokens) {
        (RecordType::A, [address]) => address.text.parse().ok().map(|address| RData::A(A(address))),
        (RecordType::AAAA, [address]) => address.text.parse().ok().map(|address| RData::AAAA(AAAA(address))),
        (RecordType::CNAME, [target]) => Some(RData::CNAME(CNAME(name(target, origin)?))),
        (RecordType::NS, [target]) => Some(RData::NS(NS(name(target, origin)?))),
        (RecordType::PTR, [target]) => Some(RData::PTR(PTR(name(target, origin)?))),
        (RecordType::MX, [preference, target]) => {
            let target = name(target, origin)?;
            preference.text.parse().ok().map(|preference| RData::MX(MX::new(preference, target)))
        }
        (RecordType::SRV, [priority, weight, port, target]) => {
            let target = name(target, origin)?;
            let number = |token: &Token<'_>| token.text.parse::<u16>().ok();
            let numbers = number(priority).zip(number(weight)).zip(number(port));
            numbers.map(|((priority, weight), port)| RData::SRV(SRV::new(priority, weight, port, target)))
        }
        (RecordType::SOA, [server, mailbox, serial, times @ ..]) => {
            soa(name(server, origin)?, name(mailbox, origin)?, serial, times)
        }
        (RecordType::TXT, [_, ..]) => {
            let strings = tokens.iter().map(string).collect::<Result<Vec<_>, _>>()?;
            Some(RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect())))
        }
        (RecordType::DS, [tag, algorithm, digest_type, digest @ ..]) => {
            delegation_signer(tag, algorithm, digest_type, digest)
        }
        (kind, tokens) => by_codec(kind, tokens, origin)?,
    };
    read.ok_or_else(|| {
        let found: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        format!("{kind} takes {}; it has {:?}", shape(kind).unwrap_or("nothing"), found.join(" "))
    })
}

/// Times are at most 2³¹-1 s (RFC 2308 §8 for the last of them).
fn soa(server: Name, mailbox: Name, serial: &Token<'_>, times: &[Token<'_>]) -> Option<RData> {
    let time = |token: &Token<'_>| parse_ttl(token.text).ok().and_then(|time| i32::try_from(time).ok());
    let times: Vec<i32> = times.iter().map(time).collect::<Option<_>>()?;
    let [refresh, retry, expire, minimum] = times[..] else {
        return None;
    };
    let serial = serial.text.parse().ok()?;
    Some(RData::SOA(SOA::new(server, mailbox, serial, refresh, retry, expire, minimum.unsigned_abs())))
}

/// The hex digits of a digest may be in several parts (RFC 4034 §5.3).
fn delegation_signer(tag: &Token<'_>, algorithm: &Token<'_>, kind: &Token<'_>, digest: &[Token<'_>]) -> Option<RData> {
    let tag: u16 = tag.text.parse().ok()?;
    let (algorithm, kind): (u8, u8) = (algorithm.text.parse().ok()?, kind.text.parse().ok()?);
    let digits: Vec<u8> = digest.iter().flat_map(|part| part.text.bytes()).collect();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let digest: Vec<u8> = digits.chunks(2).map(octet).collect::<Option<_>>()?;
    // Those of RFC 4509 and RFC 6605 are known, of others any whole number of octets.
    let fits = match kind {
        1 => digest.len() == 20,
        2 => digest.len() == 32,
        4 => digest.len() == 48,
        _ => !digest.is_empty(),
    };
    // As the codec reads it from the wire, so that a record of a file and one of a change are equal.
    let record = || DS::new(tag, Algorithm::from_u8(algorithm), DigestType::from(kind), digest);
    (fits && digits.len().is_multiple_of(2)).then(|| RData::DNSSEC(DNSSECRData::DS(record())))
}

/// The types whose data the codec reads. It knows no origin, so names are made absolute first.
fn by_codec(kind: RecordType, tokens: &[Token<'_>], origin: &Name) -> Result<Option<RData>, String> {
    let (count, name_at) = match kind {
        RecordType::ANAME => (Some(1), Some(0)),
        RecordType::CAA => (Some(3), None),
        RecordType::HINFO => (Some(2), None),
        RecordType::NAPTR => (Some(6), Some(5)),
        RecordType::HTTPS | RecordType::SVCB => (None, Some(1)),
        RecordType::CERT
        | RecordType::CSYNC
        | RecordType::OPENPGPKEY
        | RecordType::SMIMEA
        | RecordType::SSHFP
        | RecordType::TLSA => (None, None),
        _ => return Ok(None),
    };
    if count.is_some_and(|count| count != tokens.len()) {
        return Ok(None);
    }
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        if Some(at) == name_at {
            text.push_str(&name(token, origin)?.to_ascii());
        } else if token.text.split('\\').skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
            return Err(format!("an escape \\DDD in {kind} is not read: write the character itself"));
        } else if token.quoted {
            text.extend(["\"", token.text, "\""]);
        } else {
            text.push_str(token.text);
        }
        text.push(' ');
    }
    Ok(RData::try_from_str(kind, &text).ok())
}

/// A name, made absolute with `origin`; `@` is the origin.
///
/// # Errors
/// What is wrong with it.
pub(super) fn name(token: &Token<'_>, origin: &Name) -> Result<Name, String> {
    let text = token.text;
    match text {
        "@" if !token.quoted => return Ok(origin.clone()),
        "." => return Ok(Name::root()),
        _ => {}
    }
    let wrong = |why: String| format!("{text:?} is no name: {why}");
    let (mut labels, mut label, mut ended) = (Vec::new(), Vec::new(), false);
    unescape(text, |bytes, escaped| {
        ended = bytes == b"." && !escaped;
        if ended {
            labels.push(std::mem::take(&mut label));
        } else {
            label.extend_from_slice(bytes);
        }
    })
    .map_err(&wrong)?;
    if !ended {
        labels.push(label);
    }
    let labels = labels.iter().map(|label| match std::str::from_utf8(label) {
        Ok(text) if !text.is_ascii() => Label::from_utf8(text),
        _ => Label::from_raw_bytes(label),
    });
    let labels = labels.collect::<Result<Vec<_>, _>>();
    let labels = labels.map_err(|_| wrong("each label between dots has 1 to 63 octets".into()))?;
    let own = Name::from_labels(labels).and_then(|own| {
        let origin = if ended { Name::root() } else { origin.clone() };
        Name::from_labels(own.iter().chain(origin.iter()))
    });
    own.map_err(|_| wrong("with its origin it has more than 255 octets".into()))
}

/// The octets of a character-string.
fn string(token: &Token<'_>) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    unescape(token.text, |bytes, _| octets.extend_from_slice(bytes))?;
    match octets.len() {
        ..=STRING_BYTES_MAX => Ok(octets),
        length => Err(format!(
            "a string of {length} octets: at most {STRING_BYTES_MAX}; cut it into several strings, each in quotes"
        )),
    }
}

/// Hands over the octets of each character, and whether it was escaped: `\DDD` is one octet by its decimal number, `\X`
/// the character X.
fn unescape(text: &str, mut each: impl FnMut(&[u8], bool)) -> Result<(), String> {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut buffer = [0; 4];
        if c != '\\' {
            each(c.encode_utf8(&mut buffer).as_bytes(), false);
            continue;
        }
        let after = rest.as_str();
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            let octet = after.get(..3).filter(|_| digits >= 3).and_then(|number| number.parse().ok());
            let wrong = || "an escape \\DDD has three digits, 000 to 255".to_owned();
            each(&[octet.ok_or_else(wrong)?], true);
            rest = after[3..].chars();
        } else {
            let next = rest.next().ok_or("a character is missing after the last backslash")?;
            each(next.encode_utf8(&mut buffer).as_bytes(), true);
        }
    }
    Ok(())
}
