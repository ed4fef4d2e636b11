//! Questions that are answered without the library get the bytes that the library would have given them.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use littoral_geo::server::{Handler, Identity, RateLimit, Settings};
use proptest::prelude::*;

use crate::edns::{opt, query};
use crate::world;

/// Names in and outside of the zones: of services, of records of all kinds, of aliases, of nothing.
const NAMES: &[&str] = &[
    "a1105.kingcdn.example",
    "ns.kingcdn.example",
    "big.kingcdn.example",
    "middle.kingcdn.example",
    "l",
    "a1105.child.signed.example",
    "www.child.signed.example",
    "child.signed.example",
    "kingcdn.example",
    "types.example",
    "ns.types.example",
    "www.types.example",
    "7.types.example",
    "_sip._tcp.types.example",
    "svc.types.example",
    "w.types.example",
    "x.w.types.example",
    "sub.types.example",
    "ns.sub.types.example",
    "video.netcinema.example",
    "nothing.netcinema.example",
    "elsewhere.example",
];
/// A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DS, SVCB, HTTPS, ANY, CAA and one that nobody has.
const KINDS: &[u16] = &[1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 64, 65, 255, 257, 9999];
const COOKIE: [u8; 16] = [7; 16];

static HANDLER: LazyLock<Handler> = LazyLock::new(|| {
    let identity = Identity { name: Some("ams1-a".into()), version: None };
    let settings = Settings { identity, cookie_secret: Some(COOKIE), ..Settings::default() };
    Handler::with(Arc::new(world::director()), settings)
});

type Options = Vec<(u16, Vec<u8>)>;
/// What came of a question: not answered here, nothing sent, or a response.
type Told = Option<Option<Vec<u8>>>;

/// Options as clients send them, and as none should.
fn option() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..24);
    prop_oneof![
        4 => (0_u8..=32, any::<[u8; 4]>()).prop_map(|(source, bits)| (8, subnet(1, source, &bits))),
        2 => (0_u8..=128, any::<[u8; 16]>()).prop_map(|(source, bits)| (8, subnet(2, source, &bits))),
        1 => bytes().prop_map(|bytes| (8, bytes)),
        2 => bytes().prop_map(|bytes| (10, bytes)),
        1 => Just((10, vec![1; 8])),
        1 => Just((3, Vec::new())),
        1 => (prop::sample::select(vec![3_u16, 5, 12, 65001]), bytes()),
    ]
}

fn subnet(family: u8, source: u8, bits: &[u8]) -> Vec<u8> {
    let octets = usize::from(source).div_ceil(8);
    let mut octets = bits[..octets].to_vec();
    if let Some(last) = octets.last_mut().filter(|_| !source.is_multiple_of(8)) {
        *last &= 0xff << (8 - source % 8);
    }
    [&[0, family, source, 0][..], &octets].concat()
}

/// A question with flags and, when a payload is given, EDNS.
fn questions() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![3 => Just([1_u8, 0x20]), 1 => Just([0, 0x10]), 1 => any::<[u8; 2]>()];
    let (name, kind) = (prop::sample::select(NAMES), prop::sample::select(KINDS));
    let edns = prop::option::of((any::<u16>(), any::<bool>(), prop::collection::vec(option(), 0..3)));
    (name, kind, flags, edns).prop_map(|(name, kind, flags, edns): (_, _, _, Option<(u16, bool, Options)>)| {
        let opts: Vec<Vec<u8>> = edns
            .iter()
            .map(|(payload, dnssec_ok, options)| {
                let options: Vec<(u16, &[u8])> = options.iter().map(|(code, bytes)| (*code, &bytes[..])).collect();
                let mut opt = opt(*payload, 0, &options);
                opt[7] = if *dnssec_ok { 0x80 } else { 0 };
                opt
            })
            .collect();
        let mut message = query(name, kind, 1, &opts);
        message[2..4].copy_from_slice(&flags);
        message
    })
}

/// The octets of the name of a question.
fn name_of(message: &[u8]) -> std::ops::Range<usize> {
    let end = message[12..].iter().position(|octet| *octet == 0).unwrap();
    12..12 + end
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_are_those_of_the_library_in_any_spelling(question in questions(), letters in any::<u64>(), client in any::<[u8; 4]>()) {
        let client = SocketAddr::from((client, 5353));
        let mut spelled = question.clone();
        for (at, octet) in spelled[name_of(&question)].iter_mut().enumerate().skip(1) {
            *octet = if letters >> (at % 64) & 1 == 1 { octet.to_ascii_uppercase() } else { *octet };
        }
        // A cookie has the time in it: what is not answered within one second is asked again.
        let once = || (HANDLER.respond_hot(&question, client), HANDLER.respond_by_library(&question, client), HANDLER.respond_hot(&spelled, client));
        let expected = |mut response: Vec<u8>| {
            response[name_of(&question)].copy_from_slice(&spelled[name_of(&question)]);
            response
        };
        let same = |(hot, library, spelled): &(Told, Option<Vec<u8>>, Told)| match (hot, spelled) {
            (Some(hot), Some(Some(spelled))) => hot == library && hot.clone().map(expected).as_ref() == Some(spelled),
            (None, None) => true,
            _ => false,
        };
        let tried: Vec<_> = std::iter::repeat_with(once).take(3).collect();
        prop_assert!(tried.iter().any(same), "{:?}", tried[0]);
    }
}

#[test]
fn what_most_clients_ask_is_answered_without_the_library() {
    let client = SocketAddr::from(([10, 1, 3, 7], 5353));
    let is_hot =
        |name: &str, kind, opts: &[Vec<u8>]| HANDLER.respond_hot(&query(name, kind, 1, opts), client).is_some();
    let subnet = opt(1232, 0, &[(8, &[0, 1, 24, 0, 10, 2, 9])]);
    for (name, kind) in [
        ("a1105.kingcdn.example", 1),
        ("a1105.kingcdn.example", 28),
        ("A1105.kingCDN.example", 1),
        ("ns.types.example", 1),
        ("ns.kingcdn.example", 28),
        ("types.example", 15),
        ("www.types.example", 5),
    ] {
        assert!(is_hot(name, kind, &[]) && is_hot(name, kind, std::slice::from_ref(&subnet)), "{name} {kind}");
    }
    for (name, kind) in
        [("www.types.example", 1), ("types.example", 1), ("sub.types.example", 1), ("x.w.types.example", 1)]
    {
        assert!(!is_hot(name, kind, &[]), "{name} {kind}");
    }
    // Too long for a client with little room; it is cut by the library.
    assert!(!is_hot("big.kingcdn.example", 16, &[]));
}

#[test]
fn an_answer_that_is_cut_for_its_number_is_the_one_that_the_library_cuts() {
    let client = SocketAddr::from(([10, 1, 3, 7], 5353));
    let limited = || {
        let rate = Some(RateLimit { answers_per_second: 1, slip: 1 });
        Handler::with(Arc::new(world::director()), Settings { rate, ..Settings::default() })
    };
    let subnet = opt(1232, 0, &[(8, &[0, 1, 24, 0, 10, 2, 9])]);
    for opts in [&[][..], &[subnet]] {
        let question = query("a1105.kingcdn.example", 1, 1, opts);
        let (hot, library) = (limited(), limited());
        let cut = |response: &Option<Vec<u8>>| response.as_ref().is_some_and(|response| response[2] & 2 != 0);
        // A new second begins a new bound, so that a few may be needed until one is cut.
        let hot: Vec<_> = (0..100).map(|_| hot.respond_hot(&question, client).unwrap()).filter(cut).collect();
        let library: Vec<_> = (0..100).map(|_| library.respond_by_library(&question, client)).filter(cut).collect();
        assert!(hot.len() > 50 && library.len() > 50);
        assert!(hot.iter().chain(&library).all(|response| *response == hot[0]), "{:?} {:?}", hot[0], library[0]);
    }
}
