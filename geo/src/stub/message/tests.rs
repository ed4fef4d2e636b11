//! The codec against answers written with hickory, a compressed one written by hand, and damage.

use super::*;

const NAME: &str = "video.a.example.";

fn asked() -> Message {
    question(7, "Video.A.example", "198.18.3.77/24".parse().ok()).unwrap()
}

/// An alias and its address, for the asked subnet when `subnet` says so.
fn answered(subnet: &str, scope: u8) -> Message {
    let mut message = asked().into_response();
    message.metadata.authoritative = true;
    let alias = Record { name: NAME.into(), ttl_s: 30, data: Data::Alias("x.cdn.example.".into()) };
    let address = Record { name: "x.cdn.example.".into(), ttl_s: 1, data: Data::Address([127, 0, 1, 2].into()) };
    message.add_answers([alias, address].iter().filter_map(Record::to_wire));
    let subnet: IpNet = subnet.parse().unwrap();
    message.set_edns(edns(Some(ClientSubnet::new(subnet.addr(), subnet.prefix_len(), scope))));
    message
}

fn read_back(message: &Message) -> Option<Answer> {
    read(&message.to_vec().unwrap(), &asked())
}

#[test]
fn an_answer_reads_back_as_it_was_written() {
    let answer = read_back(&answered("198.18.3.0/24", 20)).unwrap();
    assert_eq!((answer.name.as_str(), answer.code, answer.authoritative), (NAME, 0, true));
    assert_eq!((answer.final_name(), answer.ttl_s(), answer.scope), ("x.cdn.example.", 1, Some(20)));
    assert_eq!(answer.addresses(), [IpAddr::from([127, 0, 1, 2])]);
    let lines: Vec<String> = answer.records.iter().map(Record::to_string).collect();
    assert_eq!(lines, ["video.a.example. 30 CNAME x.cdn.example.", "x.cdn.example. 1 A 127.0.1.2"]);
}

#[test]
fn an_answer_to_another_question_or_for_another_subnet_is_none() {
    let other_id = {
        let mut message = answered("198.18.3.0/24", 20);
        message.metadata.id = 8;
        message
    };
    let other_name = {
        let mut message = answered("198.18.3.0/24", 20);
        message.queries = question(7, "other.example", None).unwrap().queries;
        message
    };
    assert_eq!(read_back(&other_id), None);
    assert_eq!(read_back(&other_name), None);
    assert_eq!(read_back(&asked()), None, "a question was taken for an answer");
    assert_eq!(read_back(&answered("198.18.4.0/24", 20)), None);
    assert_eq!(read_back(&answered("198.18.3.0/24", 33)), None, "a scope beyond the address was believed");
}

#[test]
fn a_compressed_name_is_followed_and_a_loop_is_refused() {
    let asked = question(7, "a.ex", None).unwrap();
    let mut bytes = vec![0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    bytes.extend(b"\x01a\x02ex\x00\x00\x01\x00\x01");
    bytes.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01b\xc0\x0e");
    let answer = read(&bytes, &asked).unwrap();
    assert_eq!(answer.records[0].to_string(), "a.ex. 5 CNAME b.ex.");
    let mut looping = vec![0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    looping.extend(b"\xc0\x0c\x00\x01\x00\x01");
    assert_eq!(read(&looping, &asked), None);
}

#[test]
fn an_answer_cut_anywhere_is_none() {
    let bytes = answered("198.18.3.0/24", 20).to_vec().unwrap();
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length], &asked()), None, "{length} octets were accepted");
    }
}

#[test]
fn aliases_that_loop_end_somewhere() {
    let alias = |name: &str, target: &str| {
        let (name, data) = (format!("{name}.example."), Data::Alias(format!("{target}.example.")));
        Record { name, ttl_s: 1, data }
    };
    let mut answer = read_back(&answered("198.18.3.0/24", 20)).unwrap();
    (answer.name, answer.records) = ("a.example.".into(), vec![alias("a", "b"), alias("b", "a")]);
    assert!(["a.example.", "b.example."].contains(&answer.final_name()));
}

#[test]
fn a_subnet_is_sent_with_no_more_octets_than_its_prefix_has() {
    assert!(asked().to_vec().unwrap().ends_with(&[0, 8, 0, 7, 0, 1, 24, 0, 198, 18, 3]));
}

#[test]
fn a_name_that_is_none_has_no_question() {
    assert!(question(1, "a..example", None).is_none());
    assert!(question(1, &"long".repeat(20), None).is_none());
}

#[test]
fn a_reply_that_is_too_long_for_the_client_is_cut_and_says_so() {
    let mut from_old_client = asked();
    from_old_client.edns = None;
    let old = Asked::read(&from_old_client.to_vec().unwrap()).unwrap();
    let new = Asked::read(&asked().to_vec().unwrap()).unwrap();
    let record = |last: u8| Record { name: NAME.into(), ttl_s: 1, data: Data::Address([127, 0, 0, last].into()) };
    let found = Found { records: (0..40).map(record).collect(), ..Found::default() };
    let read = |asked: &Asked| Message::from_vec(&asked.reply(&found).unwrap()).unwrap();
    assert_eq!((read(&old).metadata.truncation, read(&old).answers.len()), (true, 0));
    assert_eq!((read(&new).metadata.truncation, read(&new).answers.len()), (false, 40));
    assert!(read(&old).edns.is_none(), "an OPT record was sent to a client without EDNS (RFC 6891 §7)");
}
