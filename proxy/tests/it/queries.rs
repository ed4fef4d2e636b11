//! Queries that servers are known to stumble over: those of RFC 8906 §8, asked with dig as that has them, over UDP and TCP.

use std::process::Command;

use littoral_testkit::Node;
use littoral_testkit::outsider::absent;

use super::BINARY;
use super::dns::{ZONE, config};

/// What dig prints of a query; `None`, said aloud, where it is not installed.
async fn dig(node: &Node, arguments: &str) -> Option<String> {
    let address = node.address("dns");
    let mut command = Command::new("dig");
    command.args([format!("@{}", address.ip()), "-p".into(), address.port().to_string(), "+tries=2".into()]);
    command.args(arguments.split(' '));
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            absent("dig", "bind9-dnsutils", &error);
            None
        }
    }
}

/// The header's flags, as dig has them between `flags:` and `;`.
fn flags(told: &str) -> Vec<&str> {
    let line = told.lines().find_map(|line| line.strip_prefix(";; flags: ")).unwrap_or_default();
    line.split(';').next().unwrap_or_default().split_whitespace().collect()
}

/// The line of EDNS: version, flags and size.
fn edns(told: &str) -> Option<&str> {
    told.lines().find(|line| line.starts_with("; EDNS: "))
}

/// Queries without EDNS, the code of their answers, whether those have the SOA record, and their flags.
const PLAIN: [(&str, &str, bool, &str); 8] = [
    // §8.1.1 is it served; §8.1.2 unknown types; §8.1.3 bits of the header: CD, AD, the reserved one, RD.
    ("+noad +norec soa kingcdn.example", "NOERROR", true, "qr aa"),
    ("+noad +norec type1000 kingcdn.example", "NOERROR", false, "qr aa"),
    ("+noad +norec +cd soa kingcdn.example", "NOERROR", true, "qr aa cd"),
    ("+norec +ad soa kingcdn.example", "NOERROR", true, "qr aa"),
    ("+noad +norec +zflag soa kingcdn.example", "NOERROR", true, "qr aa"),
    ("+noad +rec soa kingcdn.example", "NOERROR", true, "qr aa rd"),
    // §8.1.4 unknown opcodes; §8.1.5 TCP.
    ("+noad +opcode=15 +norec +header-only", "NOTIMP", false, "qr"),
    ("+noad +norec +tcp soa kingcdn.example", "NOERROR", true, "qr aa"),
];

/// Queries with EDNS: the code, whether the SOA record is there, and what dig says of the answer's own.
const EXTENDED: [(&str, &str, bool, &str); 9] = [
    // §8.2.1 EDNS; §8.2.2 a version that nobody knows; §8.2.3 an option that nobody knows; §8.2.4 a flag.
    ("+edns=0 +nocookie soa", "NOERROR", true, "version: 0, flags:;"),
    ("+edns=1 +noednsneg +nocookie soa", "BADVERS", false, "version: 0, flags:;"),
    ("+edns=0 +ednsopt=100 +nocookie soa", "NOERROR", true, "version: 0, flags:;"),
    ("+edns=0 +ednsflags=0x40 +nocookie soa", "NOERROR", true, "version: 0, flags:;"),
    // §8.2.5 and §8.2.6 both of those beside another version; §8.2.7 truncation; §8.2.8 and §8.2.9 DO.
    ("+edns=1 +noednsneg +ednsflags=0x40 +nocookie soa", "BADVERS", false, "version: 0, flags:;"),
    ("+edns=1 +noednsneg +ednsopt=100 +nocookie soa", "BADVERS", false, "version: 0, flags:;"),
    ("+edns=0 +dnssec +bufsize=512 +ignore +nocookie soa", "NOERROR", true, "version: 0, flags: do;"),
    ("+edns=0 +nocookie +dnssec soa", "NOERROR", true, "version: 0, flags: do;"),
    ("+edns=1 +noednsneg +nocookie +dnssec soa", "BADVERS", false, "version: 0, flags: do;"),
];

#[tokio::test]
async fn queries_of_rfc_8906_without_edns_are_answered_as_it_has_them() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    for (query, code, has_soa, expected) in PLAIN {
        for transport in ["+notcp", "+tcp"] {
            let Some(told) = dig(&node, &format!("+noedns {query} {transport}")).await else { return };
            assert!(told.contains(&format!("status: {code},")), "{query}: {told}");
            assert_eq!(
                told.lines()
                    .any(|line| !line.starts_with(';') && line.contains("\tSOA\t") && told.contains("ANSWER: 1,")),
                has_soa,
                "{query}: {told}"
            );
            assert_eq!(flags(&told).join(" "), expected, "{query}: {told}");
            assert!(edns(&told).is_none() && !told.contains("MBZ"), "{query}: {told}");
        }
    }
}

#[tokio::test]
async fn queries_of_rfc_8906_with_edns_are_answered_as_it_has_them() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    for (query, code, has_soa, expected) in EXTENDED {
        for transport in ["+notcp", "+tcp"] {
            let asked = format!("+noad +norec {query} kingcdn.example {transport}");
            let Some(told) = dig(&node, &asked).await else { return };
            assert!(told.contains(&format!("status: {code},")), "{query}: {told}");
            assert_eq!(told.contains("ANSWER: 1,"), has_soa, "{query}: {told}");
            let line = edns(&told).unwrap_or_else(|| panic!("{query}: {told}"));
            assert!(line.contains(expected) && !line.contains("MBZ"), "{query}: {line}");
            assert!(!told.contains("OPT=100"), "{query}: {told}");
        }
    }
    // §8.2.10: several options at once, each answered by itself.
    let several = "+edns=0 +noad +norec +nsid +subnet=0.0.0.0/0 +expire +cookie soa kingcdn.example";
    let Some(told) = dig(&node, several).await else { return };
    for line in ["status: NOERROR,", "ANSWER: 1,", "CLIENT-SUBNET: 0.0.0.0/0/0", "(good)"] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test]
async fn a_client_that_asks_how_long_a_connection_is_kept_is_told_over_tcp_and_not_over_udp() {
    let node = Node::start(BINARY, &config(), &[("k.zone", ZONE.as_bytes())]).await;
    let asked = "+keepalive +nocookie +norec soa kingcdn.example";
    let Some(told) = dig(&node, &format!("{asked} +tcp")).await else { return };
    assert!(told.contains("; TCP-KEEPALIVE: 10.0 secs") || told.contains("; TCP KEEPALIVE: 10.0 secs"), "{told}");
    let told = dig(&node, &format!("{asked} +notcp")).await.unwrap();
    assert!(told.contains("ANSWER: 1,") && !told.contains("KEEPALIVE"), "{told}");
    let told = dig(&node, "+nocookie +norec +tcp soa kingcdn.example").await.unwrap();
    assert!(!told.contains("KEEPALIVE"), "who does not ask is not told: {told}");
}
