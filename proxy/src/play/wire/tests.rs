//! The codec against itself, against a compressed message written by hand, and against damage.

use super::*;

fn answer() -> Message {
    let cname = Record { name: "video.a.example.".into(), ttl: 30, data: Data::Cname("x.cdn.example.".into()) };
    let address = Record { name: "x.cdn.example.".into(), ttl: 1, data: Data::A(Ipv4Addr::new(127, 0, 1, 2)) };
    Message {
        response: true,
        authoritative: true,
        answers: vec![cname, address],
        subnet: Some(ClientSubnet { network: Ipv4Addr::new(198, 18, 3, 0), source: 24, scope: 20 }),
        ..Message::query(7, "Video.A.example", None)
    }
}

#[test]
fn a_message_reads_back_as_it_was_written() {
    let message = answer();
    assert_eq!(Message::decode(&message.encode().unwrap()).unwrap(), message);
    assert_eq!(message.final_name(), "x.cdn.example.");
    assert_eq!(message.addresses(), [IpAddr::from([127, 0, 1, 2])]);
}

#[test]
fn a_compressed_name_is_followed_and_a_loop_is_refused() {
    let mut bytes = vec![0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    bytes.extend(b"\x01a\x02ex\x00\x00\x01\x00\x01");
    bytes.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01b\xc0\x0e");
    let message = Message::decode(&bytes).unwrap();
    assert_eq!(message.answers[0].name, "a.ex.");
    assert_eq!(message.answers[0].data, Data::Cname("b.ex.".into()));

    let mut looping = vec![0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    looping.extend(b"\xc0\x0c\x00\x01\x00\x01");
    assert!(Message::decode(&looping).unwrap_err().to_string().contains("loops"));
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    let bytes = answer().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Message::decode(&bytes[..length]).is_err(), "{length} octets were accepted");
    }
}

#[test]
fn a_subnet_is_sent_with_no_more_octets_than_its_prefix_has() {
    let subnet = ClientSubnet::of(Ipv4Addr::new(198, 18, 3, 77));
    assert_eq!(subnet.to_string(), "198.18.3.0/24");
    let bytes = Message::query(1, "a.example", Some(subnet)).encode().unwrap();
    assert!(bytes.ends_with(&[0, 8, 0, 7, 0, 1, 24, 0, 198, 18, 3]));
}

#[test]
fn damaged_messages_never_panic() {
    let whole = answer().encode().unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..50_000 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        if let Ok(message) = Message::decode(&bytes) {
            assert!(message.answers.len() <= usize::from(RECORDS_MAX));
        }
    }
}
