//! What options of a query do to its answer: client subnets as RFC 7871 has them, cookies, the server's name, and sizes. Asked
//! byte by byte, because a library writes no malformed option.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use littoral_geo::server::{Handler, Identity, RateLimit, Settings};

use crate::world;

const SERVICE: &str = "a1105.kingcdn.example";
const SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const NSID: u16 = 3;
const A: u16 = 1;

/// An OPT record: root, type, payload, code and version, flags, options.
pub(crate) fn opt(payload: u16, version: u8, options: &[(u16, &[u8])]) -> Vec<u8> {
    let options: Vec<u8> = options
        .iter()
        .flat_map(|(code, bytes)| [&code.to_be_bytes()[..], &(bytes.len() as u16).to_be_bytes(), bytes].concat())
        .collect();
    let head = [&[0, 0, 41][..], &payload.to_be_bytes(), &[0, version, 0, 0], &(options.len() as u16).to_be_bytes()];
    [head.concat(), options].concat()
}

/// A question of a class with some OPT records behind it.
pub(crate) fn query(name: &str, kind: u16, class: u16, opts: &[Vec<u8>]) -> Vec<u8> {
    let labels: Vec<u8> = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    let header = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, opts.len() as u8];
    [&header[..], &labels, &[0], &kind.to_be_bytes(), &class.to_be_bytes(), &opts.concat()].concat()
}

fn handler(settings: Settings) -> (Handler, Arc<littoral_geo::Director>) {
    let director = Arc::new(world::director());
    (Handler::with(director.clone(), settings), director)
}

fn asked_from(handler: &Handler, client: &str, query: Vec<u8>) -> Option<Message> {
    let client = SocketAddr::new(client.parse().unwrap(), 5353);
    handler.respond(&query, client).map(|response| Message::from_vec(&response).unwrap())
}

fn asked(handler: &Handler, query: Vec<u8>) -> Message {
    asked_from(handler, "10.1.3.7", query).unwrap()
}

/// The subnet that a response is for: source and scope.
fn subnet(response: &Message) -> Option<(String, u8, u8)> {
    match response.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some((subnet.addr().to_string(), subnet.source_prefix(), subnet.scope_prefix())),
        _ => None,
    }
}

fn option(response: &Message, code: u16) -> Option<Vec<u8>> {
    match response.edns.as_ref()?.option(EdnsCode::from(code))? {
        EdnsOption::Unknown(_, bytes) => Some(bytes.clone()),
        EdnsOption::NSID(name) => Some(name.as_ref().to_vec()),
        _ => None,
    }
}

#[test]
fn a_client_subnet_is_answered_as_rfc_7871_has_it() {
    let (handler, director) = handler(Settings::default());
    let ask = |name: &str, option: &[u8]| asked(&handler, query(name, A, 1, &[opt(1232, 0, &[(SUBNET, option)])]));
    let address = |response: &Message| response.answers.last().map(|record| record.data.to_string());
    // What the client wrote comes back, and the scope is that of the map, longer or shorter than the source (§7.2.1).
    for (option, expected, told) in [
        (&[0, 1, 24, 0, 10, 2, 9][..], "203.0.113.2", ("10.2.9.0", 24, 16)),
        (&[0, 1, 32, 0, 10, 2, 9, 7], "203.0.113.2", ("10.2.9.7", 32, 16)),
        (&[0, 1, 8, 0, 10], "203.0.113.1", ("10.0.0.0", 8, 16)),
        (&[0, 1, 12, 0, 10, 0xf0], "203.0.113.1", ("10.240.0.0", 12, 9)),
        (&[0, 1, 0, 0], "203.0.113.1", ("0.0.0.0", 0, 0)),
        (&[0, 2, 0, 0], "203.0.113.1", ("::", 0, 0)),
        // Of IPv6 nothing is known but where IPv4 addresses are: none is in this prefix, and one is in any that is shorter.
        (&[0, 2, 32, 0, 0x20, 1, 0x0d, 0xb8], "203.0.113.1", ("2001:db8::", 32, 21)),
        (&[0, 2, 56, 0, 0x20, 2, 10, 2, 9, 7, 0], "203.0.113.2", ("2002:a02:907::", 56, 32)),
    ] {
        let response = ask(SERVICE, option);
        let (client, source, scope) = told;
        assert_eq!(response.metadata.response_code, ResponseCode::NoError, "{option:?}");
        assert_eq!(subnet(&response), Some((client.to_owned(), source, scope)), "{option:?}");
        if scope > 8 || source == 0 {
            assert_eq!(address(&response).as_deref(), Some(expected), "{option:?}");
        }
    }
    // What a zone file says is for everybody, and so is what does not exist (§7.4).
    for name in ["ns.kingcdn.example", "nothing.kingcdn.example", "big.kingcdn.example", "www.elsewhere.example"] {
        assert_eq!(subnet(&ask(name, &[0, 1, 24, 0, 10, 2, 9])), Some(("10.2.9.0".into(), 24, 0)), "{name}");
    }
    let before = director.counters().malformed.load(Relaxed);
    let malformed: [&[u8]; 11] = [
        // A scope in a query, bits beyond the source, too many and too few octets, longer than an address (§6).
        &[0, 1, 24, 24, 10, 2, 9],
        &[0, 1, 23, 0, 10, 2, 9],
        &[0, 1, 24, 0, 10, 2, 9, 0],
        &[0, 1, 24, 0, 10, 2],
        &[0, 1, 33, 0, 10, 2, 9, 7, 0],
        &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 1, 0, 0, 0],
        // No such family (§7.1.2), and no whole option.
        &[0, 0, 0, 0],
        &[0, 3, 0, 0],
        &[0, 1],
        &[],
    ];
    for option in malformed {
        let response = ask(SERVICE, option);
        assert_eq!(response.metadata.response_code, ResponseCode::FormErr, "{option:?}");
        assert_eq!((response.answers.len(), subnet(&response)), (0, None), "{option:?}");
    }
    assert_eq!(director.counters().malformed.load(Relaxed) - before, malformed.len() as u64);
}

#[test]
fn an_answer_has_edns_when_its_question_has_and_never_more_than_it_asks_for() {
    let (handler, _) = handler(Settings::default());
    let plain = asked(&handler, query(SERVICE, A, 1, &[]));
    assert!(plain.edns.is_none() && plain.answers.len() == 1);
    let bare = asked(&handler, query(SERVICE, A, 1, &[opt(4096, 0, &[])]));
    let edns = bare.edns.as_ref().unwrap();
    assert_eq!((edns.max_payload(), edns.version(), edns.options().as_ref().len()), (1232, 0, 0));
    let newer = asked(&handler, query(SERVICE, A, 1, &[opt(1232, 1, &[])]));
    // BADVERS, which the library reads as the code of another option.
    assert_eq!((u16::from(newer.metadata.response_code), newer.answers.len()), (16, 0));
    let twice = asked(&handler, query(SERVICE, A, 1, &[opt(1232, 0, &[]), opt(1232, 0, &[])]));
    assert_eq!(twice.metadata.response_code, ResponseCode::FormErr);
    let unknown = asked(&handler, query(SERVICE, A, 1, &[opt(1232, 0, &[(65001, b"x")])]));
    assert_eq!((unknown.answers.len(), option(&unknown, 65001)), (1, None));
}

#[test]
fn a_server_names_itself_only_where_it_may_and_is_asked() {
    const TXT: u16 = 16;
    let identity = Identity { name: Some("ams1-a".into()), version: Some("littoral".into()) };
    let (named, _) = handler(Settings { identity, ..Settings::default() });
    let (silent, _) = handler(Settings::default());
    let asking = |code| query(SERVICE, A, 1, &[opt(1232, 0, code)]);
    assert_eq!(option(&asked(&named, asking(&[(NSID, b"")])), NSID).as_deref(), Some(&b"ams1-a"[..]));
    assert_eq!(option(&asked(&named, asking(&[])), NSID), None);
    assert_eq!(option(&asked(&silent, asking(&[(NSID, b"")])), NSID), None);
    for (name, said) in [("version.bind", "littoral"), ("VERSION.server", "littoral"), ("id.server", "ams1-a")] {
        let response = asked(&named, query(name, TXT, 3, &[]));
        assert_eq!(response.answers.first().map(|record| record.data.to_string()).as_deref(), Some(said), "{name}");
        assert_eq!(asked(&silent, query(name, TXT, 3, &[])).metadata.response_code, ResponseCode::Refused);
    }
    for (name, class) in [("authors.bind", 3), (SERVICE, 3), (SERVICE, 4)] {
        assert_eq!(asked(&named, query(name, TXT, class, &[])).metadata.response_code, ResponseCode::Refused, "{name}");
    }
}

#[test]
fn a_cookie_is_answered_with_one_that_is_known_again_at_the_same_address_only() {
    let limited = || Settings { rate: Some(RateLimit { answers_per_second: 1, slip: 0 }), ..Settings::default() };
    let (handler, director) = handler(limited());
    let asking = |cookie: &[u8]| query(SERVICE, A, 1, &[opt(1232, 0, &[(COOKIE, cookie)])]);
    let given = option(&asked_from(&handler, "10.1.3.7", asking(b"8 octets")).unwrap(), COOKIE).unwrap();
    assert_eq!((given.len(), &given[..8]), (24, &b"8 octets"[..]));
    // Whoever brings it back is really there: what it is sent is not bounded.
    for _ in 0..1000 {
        let again = asked_from(&handler, "10.1.3.7", asking(&given)).unwrap();
        assert_eq!((again.answers.len(), option(&again, COOKIE)), (1, Some(given.clone())));
    }
    assert_eq!(director.counters().rate_dropped.load(Relaxed), 0);
    let elsewhere = (0..1000).filter(|_| asked_from(&handler, "10.9.3.7", asking(&given)).is_none()).count();
    assert!(elsewhere > 0, "a cookie of another address lifts the bound");
    assert_eq!(director.counters().rate_dropped.load(Relaxed), elsewhere as u64);
    let malformed = asked_from(&handler, "10.8.3.7", asking(b"short")).unwrap();
    assert_eq!((malformed.metadata.response_code, option(&malformed, COOKIE)), (ResponseCode::FormErr, None));
}

#[test]
fn a_forged_query_brings_its_victim_16_times_its_bytes_and_512_at_most() {
    const TXT: u16 = 16;
    let (handler, director) = handler(Settings::default());
    let client = SocketAddr::from(([10, 1, 3, 7], 5353));
    // On the way that UDP takes, and on that of the library alone.
    let answer = |query: &[u8]| {
        let [hot, library] = [handler.respond_hot(query, client).unwrap(), handler.respond_by_library(query, client)];
        assert_eq!(hot, library);
        hot.unwrap()
    };
    let is_cut = |answer: &[u8]| answer[2] & 2 != 0;
    let cookie =
        option(&asked(&handler, query(SERVICE, A, 1, &[opt(1232, 0, &[(COOKIE, b"8 octets")])])), COOKIE).unwrap();
    // Records of 824 bytes, and of 412 for a question of 19.
    for (name, whole) in [("middle.kingcdn.example", 824), ("l", 412)] {
        let asking = |cookie: &[(u16, &[u8])]| query(name, TXT, 1, &[opt(1232, 0, cookie)]);
        let known = answer(&asking(&[(COOKIE, &cookie)]));
        assert!(!is_cut(&known) && known.len() > whole, "{name}: {}", known.len());
    }
    let cut = [query("middle.kingcdn.example", TXT, 1, &[opt(1232, 0, &[])]), query("l", TXT, 1, &[])];
    for query in &cut {
        let answer = answer(query);
        assert!(is_cut(&answer) && answer.len() == query.len(), "{} bytes for {}", answer.len(), query.len());
    }
    assert_eq!(director.counters().truncated.load(Relaxed), 2 * cut.len() as u64);
    // 16 times the 34 bytes of this one are enough.
    assert!(!is_cut(&answer(&query("l", TXT, 1, &[opt(1232, 0, &[(65001, b"")])]))));
    // The factor holds where the other bound is lifted.
    let everything = Settings { bytes_without_cookie: 1232, ..Settings::default() };
    let generous = Handler::with(director, everything);
    let long = query("middle.kingcdn.example", TXT, 1, &[opt(1232, 0, &[(65001, &[0; 16])])]);
    let told = generous.respond(&long, client).unwrap();
    assert!(!is_cut(&told) && told.len() <= 16 * long.len());
}

#[test]
fn a_flood_in_a_victims_name_brings_it_little_and_cut_answers_ask_it_to_come_by_tcp() {
    let rate = Some(RateLimit { answers_per_second: 5, slip: 2 });
    let (handler, director) = handler(Settings { rate, ..Settings::default() });
    let sent: Vec<Message> = (0..1000)
        .filter_map(|at| {
            let name = format!("{at}.kingcdn.example");
            asked_from(&handler, "203.0.113.77", query(&name, A, 1, &[]))
        })
        .collect();
    let cut = sent.iter().filter(|response| response.metadata.truncation).count();
    let counters = director.counters();
    assert_eq!(counters.rate_cut.load(Relaxed), cut as u64);
    assert_eq!(counters.rate_dropped.load(Relaxed), 1000 - sent.len() as u64);
    assert!(
        cut > 0 && sent.iter().filter(|response| response.metadata.truncation).all(|cut| cut.authorities.is_empty())
    );
    assert!(sent.len() < 1000, "random names below a zone are all answered");
}
