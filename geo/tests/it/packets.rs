//! The properties with random input: quick, and without a nightly toolchain. `geo/fuzz` looks longer.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use crate::properties::{
    NAME, SUBNET, a_reply_is_an_answer_or_nothing, a_request_is_answered_in_form, a_zone_is_read_or_refused,
};

/// Names to ask for, in and outside of the zones.
const NAMES: &[&str] = &[
    "big.kingcdn.example.",
    "middle.kingcdn.example.",
    "l.",
    "A1105.kingcdn.example.",
    NAME,
    "loop.netcinema.example.",
    "x.",
    ".",
];
const KINDS: &[RecordType] =
    &[RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::ANY, RecordType::SOA, RecordType::IXFR];
/// Lines of zone files, right and wrong.
const ZONE_LINES: &[&str] = &[
    "$ORIGIN example.",
    "$TTL 60",
    "@ IN SOA ns hostmaster 1 3600 600 86400 30",
    "@ IN NS ns",
    "ns IN A 192.0.2.53",
    "b.a IN AAAA 2001:db8::1",
    "* IN TXT \"any\"",
    "a 30 IN CNAME ns",
    "a IN NS elsewhere.",
    "www.other. IN A 192.0.2.1",
    "@ IN MX 10 (",
    ") ; end",
    "$INCLUDE other.zone",
];

/// Bytes to change, each by its place and to what.
type Damage = Vec<(prop::sample::Index, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage, length: usize) -> Vec<u8> {
    for (place, byte) in damage {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    bytes.truncate(length);
    bytes
}

/// Whole three times in four, else cut.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..120]
}

/// A message about `names` of `kind`, with EDNS when a payload is given.
fn message(names: &[&str], kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_queries(names.iter().map(|name| Query::query(name.parse().unwrap(), kind)));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        let (address, length) = SUBNET.split_once('/').unwrap();
        let subnet = ClientSubnet::new(address.parse().unwrap(), length.parse().unwrap(), 0);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        message.set_edns(edns);
    }
    message
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::collection::vec(prop::sample::select(NAMES), 0..40);
    let kind = prop::sample::select(KINDS);
    (names, any::<bool>(), kind, prop::option::of(0..2000_u16), damage(), length()).prop_map(
        |(names, one, kind, payload, damage, length)| {
            let names = if one { &names[..names.len().min(1)] } else { &names[..] };
            damaged(message(names, kind, payload).to_vec().unwrap(), &damage, length)
        },
    )
}

fn replies() -> impl Strategy<Value = Vec<u8>> {
    let target = || NAME.parse::<Name>().unwrap();
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| RData::A(A(octets.into()))),
        Just(RData::CNAME(CNAME("a1105.kingcdn.example.".parse().unwrap()))),
        Just(RData::CNAME(CNAME(target()))),
    ];
    let record = (any::<u32>(), data).prop_map(move |(ttl, data)| Record::from_rdata(target(), ttl, data));
    (prop::collection::vec(record, 0..8), damage(), length()).prop_map(|(records, damage, length)| {
        let mut reply = message(&[NAME], RecordType::A, Some(1232)).into_response();
        reply.add_answers(records);
        damaged(reply.to_vec().unwrap(), &damage, length)
    })
}

fn zones() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => prop::sample::select(ZONE_LINES).prop_map(str::to_owned),
        1 => "[ -~\t]{0,40}",
    ];
    let head = prop_oneof![3 => Just(format!("{}\n{}\n", ZONE_LINES[1], ZONE_LINES[2])), 1 => Just(String::new())];
    (head, prop::collection::vec(line, 0..12)).prop_map(|(head, lines)| head + &lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_answered_in_form_or_not_at_all(request in requests()) {
        a_request_is_answered_in_form(&request);
    }

    #[test]
    fn any_reply_is_an_answer_to_the_question_or_nothing(reply in replies()) {
        a_reply_is_an_answer_or_nothing(&reply);
    }

    #[test]
    fn any_zone_file_is_read_or_refused_in_one_line(text in zones()) {
        a_zone_is_read_or_refused(&text);
    }
}

#[test]
fn an_undamaged_request_reply_and_zone_get_through() {
    a_request_is_answered_in_form(&message(&[NAME], RecordType::A, Some(512)).to_vec().unwrap());
    let reply = message(&[NAME], RecordType::A, Some(1232)).into_response().to_vec().unwrap();
    assert!(a_reply_is_an_answer_or_nothing(&reply).is_some());
    assert!(a_zone_is_read_or_refused("$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns\n"));
}

#[test]
fn many_questions_at_once_are_not_sent_back_to_a_client_with_little_room() {
    let names: Vec<String> = (0..100).map(|number| format!("{number}.kingcdn.example.")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let request = message(&names, RecordType::A, Some(512)).to_vec().unwrap();
    assert!(request.len() > 512);
    a_request_is_answered_in_form(&request);
}

#[test]
fn a_question_that_points_into_its_own_header_is_not_sent_back_to_be_misread() {
    // The name is a pointer to the zero octet of QDCOUNT; in a response, header octets differ.
    let request = b"\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x04\x00\x01\x00\x01";
    a_request_is_answered_in_form(request);
    let request = b"\x01\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x02\x00\x01\x00\x01";
    a_request_is_answered_in_form(request);
}
