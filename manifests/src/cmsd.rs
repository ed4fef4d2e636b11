//! Common Media Server Data (CTA-5006): what the edge tells a player, as the values of `CMSD-Static` and `CMSD-Dynamic`.
//!
//! Written as structured fields in their canonical form, without spaces, since players split them by hand: one hop in
//! `CMSD-Dynamic`, keys in alphabetical order.
//!
//! Invariant: whatever the texts are, the value is one of a header field: printable ASCII.

use std::fmt::Write;

/// What is true of an object whoever asks for it. What is `None`, or not so, is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Static<'a> {
    /// `at`: when the object became available, in ms since 1970.
    pub available_ms: Option<u64>,
    /// `br`: rate it is encoded at, kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// `d`: how long it plays, ms.
    pub duration_ms: Option<u32>,
    /// `ht`: how long the origin held the request back, ms.
    pub held_ms: Option<u32>,
    /// `n`: who says so.
    pub name: Option<&'a str>,
    /// `nor`: what will be asked for next, relative to this.
    pub next: Option<&'a str>,
    /// `nrr`: which bytes of it, such as `0-999`.
    pub next_range: Option<&'a str>,
    /// `ot`: what it is, a token as in CMCD.
    pub object_type: Option<&'a str>,
    /// `sf`: how it is streamed, a token as in CMCD.
    pub format: Option<&'a str>,
    /// `st`: `v`, `l` or `ll`.
    pub stream: Option<&'a str>,
    /// `su`: it is needed to start.
    pub is_startup: bool,
}

impl Static<'_> {
    /// Appends the value of `CMSD-Static`; nothing when there is nothing to say.
    pub fn write(&self, into: &mut String) {
        let begun = into.len();
        let mut member = |key: &str, write: &mut dyn FnMut(&mut String)| {
            if into.len() > begun {
                into.push(',');
            }
            into.push_str(key);
            write(into);
        };
        let numbers = [
            ("at=", self.available_ms),
            ("br=", self.bitrate_kbps.map(u64::from)),
            ("d=", self.duration_ms.map(u64::from)),
            ("ht=", self.held_ms.map(u64::from)),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                member(key, &mut |into| number(value, into));
            }
        }
        for (key, text) in [("n=", self.name), ("nor=", self.next), ("nrr=", self.next_range)] {
            if let Some(text) = text {
                member(key, &mut |into| quoted(text, into));
            }
        }
        for (key, token) in [("ot=", self.object_type), ("sf=", self.format), ("st=", self.stream)] {
            if let Some(token) = token.filter(|token| is_token(token)) {
                member(key, &mut |into| into.push_str(token));
            }
        }
        if self.is_startup {
            member("su", &mut |_| {});
        }
        if into.len() > begun {
            into.push_str(",v=1");
        }
    }
}

/// What is true of one response. What is `None`, or not so, is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dynamic<'a> {
    /// Who says so: the node.
    pub name: &'a str,
    /// `du`: the server is at its limit.
    pub is_duress: bool,
    /// `etp`: estimated throughput to the player, kbit/s.
    pub throughput_kbps: Option<u32>,
    /// `mb`: highest rate the player should choose, kbit/s.
    pub max_kbps: Option<u32>,
    /// `rd`: from the request to the first byte that could be sent, ms.
    pub delay_ms: Option<u32>,
    /// `rtt`: round-trip time to the player, ms.
    pub rtt_ms: Option<u32>,
}

impl Dynamic<'_> {
    /// Appends the value of `CMSD-Dynamic`.
    pub fn write(&self, into: &mut String) {
        quoted(self.name, into);
        if self.is_duress {
            into.push_str(";du");
        }
        let numbers =
            [("etp", self.throughput_kbps), ("mb", self.max_kbps), ("rd", self.delay_ms), ("rtt", self.rtt_ms)];
        for (key, value) in numbers {
            if let Some(value) = value {
                into.push(';');
                into.push_str(key);
                into.push('=');
                number(value.into(), into);
            }
        }
    }
}

/// Most that an integer of a structured field may be.
const INTEGER_MAX: u64 = 999_999_999_999_999;

fn number(value: u64, into: &mut String) {
    write!(into, "{}", value.min(INTEGER_MAX)).expect("invariant: a String takes what is written");
}

/// Writes a string of a structured field; what is not printable ASCII is left out.
pub(crate) fn quoted(text: &str, into: &mut String) {
    into.push('"');
    for byte in text.chars().filter(|byte| matches!(byte, ' '..='~')) {
        if matches!(byte, '"' | '\\') {
            into.push('\\');
        }
        into.push(byte);
    }
    into.push('"');
}

fn is_token(text: &str) -> bool {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text.bytes().all(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_told_of_in_the_order_and_form_players_expect() {
        let mut value = String::new();
        let dynamic = Dynamic {
            name: "edge1",
            throughput_kbps: Some(8000),
            max_kbps: Some(3000),
            delay_ms: Some(4),
            rtt_ms: Some(20),
            is_duress: false,
        };
        dynamic.write(&mut value);
        assert_eq!(value, r#""edge1";etp=8000;mb=3000;rd=4;rtt=20"#);
        value.clear();
        Dynamic { name: "a\"b\\\r\nü", is_duress: true, ..Dynamic::default() }.write(&mut value);
        assert_eq!(value, r#""a\"b\\";du"#);
    }

    #[test]
    fn an_object_is_told_of_with_each_key() {
        let mut value = String::new();
        Static::default().write(&mut value);
        assert_eq!(value, "");
        let all = Static {
            available_ms: Some(1_795_219_200_000),
            bitrate_kbps: Some(3200),
            duration_ms: Some(4004),
            held_ms: Some(12),
            name: Some("origin 1"),
            next: Some("../seg-5.m4s"),
            next_range: Some("0-999"),
            object_type: Some("v"),
            format: Some("d"),
            stream: Some("ll"),
            is_startup: true,
        };
        all.write(&mut value);
        let expected = r#"at=1795219200000,br=3200,d=4004,ht=12,n="origin 1",nor="../seg-5.m4s",nrr="0-999",ot=v,sf=d,st=ll,su,v=1"#;
        assert_eq!(value, expected);
        value.clear();
        Static { available_ms: Some(u64::MAX), stream: Some("x y"), ..Static::default() }.write(&mut value);
        assert_eq!(value, "at=999999999999999,v=1", "what is no token is left out");
    }

    proptest::proptest! {
        #[test]
        fn any_text_makes_a_header_value(name in proptest::arbitrary::any::<String>(), rtt in proptest::num::u32::ANY) {
            let mut value = String::new();
            Dynamic { name: &name, rtt_ms: Some(rtt), ..Dynamic::default() }.write(&mut value);
            let of_object = Static { next: Some(&name), object_type: Some(&name), ..Static::default() };
            of_object.write(&mut value);
            proptest::prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
