//! The stub against servers that lose, cut and confuse.

use std::net::IpAddr;

use hickory_proto::rr::{RData, Record as WireRecord, RecordType};
use tokio::net::TcpListener;

use super::*;

const NAME: &str = "a.example.";

/// The answer to a question: one address.
fn answered(question: &[u8], last: u8) -> Message {
    let mut message = Message::from_vec(question).unwrap().into_response();
    let name = message.queries[0].name().clone();
    message.add_answer(WireRecord::from_rdata(name, 60, RData::A(Ipv4Addr::new(192, 0, 2, last).into())));
    message
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_and_what_is_no_answer_is_passed_over() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    let serve = async {
        let mut buffer = [0; 512];
        let (lost, _) = socket.recv_from(&mut buffer).await.unwrap();
        let first = buffer[..lost].to_vec();
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], first, "not the same question again");
        let mut forged = answered(&first, 66);
        forged.metadata.id ^= 1;
        for datagram in [b"noise".to_vec(), forged.to_vec().unwrap(), answered(&first, 1).to_vec().unwrap()] {
            socket.send_to(&datagram, client).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(lookup(server, NAME, None, Duration::from_millis(600)), serve);
    assert_eq!(answer.unwrap().addresses(), [IpAddr::from([192, 0, 2, 1])]);
}

#[tokio::test]
async fn an_answer_that_was_cut_is_asked_for_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(server).await.unwrap();
    let serve = async {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let cut = answered(&buffer[..length], 66).truncate().to_vec().unwrap();
        socket.send_to(&cut, client).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = usize::from(stream.read_u16().await.unwrap());
        stream.read_exact(&mut buffer[..length]).await.unwrap();
        let answer = answered(&buffer[..length], 1).to_vec().unwrap();
        stream.write_u16(answer.len() as u16).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    };
    let (answer, ()) = tokio::join!(lookup(server, NAME, None, Duration::from_secs(5)), serve);
    let answer = answer.unwrap();
    assert_eq!((answer.addresses(), answer.truncated), (vec![IpAddr::from([192, 0, 2, 1])], false));
}

#[test]
fn the_subnet_of_a_client_is_its_24() {
    assert_eq!(subnet_of(Ipv4Addr::new(198, 18, 3, 77)).to_string(), "198.18.3.0/24");
}

/// Answers `times` questions: `of` says what is added to the answer to each type.
async fn serve(socket: &UdpSocket, times: usize, of: impl Fn(RecordType) -> Vec<(u32, RData)>) {
    for _ in 0..times {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
        let (name, kind) = (message.queries[0].name().clone(), message.queries[0].query_type());
        message.add_answers(of(kind).into_iter().map(|(ttl, data)| WireRecord::from_rdata(name.clone(), ttl, data)));
        socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
    }
}

#[tokio::test]
async fn addresses_of_both_families_hold_as_long_as_the_shorter() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (server, patience) = (socket.local_addr().unwrap(), Duration::from_secs(5));
    let v4: IpAddr = [192, 0, 2, 1].into();
    let both = |kind| match kind {
        RecordType::A => vec![(60, RData::A(Ipv4Addr::new(192, 0, 2, 1).into()))],
        _ => vec![(20, RData::AAAA(std::net::Ipv6Addr::LOCALHOST.into()))],
    };
    let (found, ()) = tokio::join!(addresses(server, NAME, patience), serve(&socket, 2, both));
    let v6 = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
    assert_eq!(found, Ok(Addresses { found: vec![v4, v6], ttl_s: 20 }));
    let only_v4 = |kind| if kind == RecordType::A { both(kind) } else { Vec::new() };
    let (found, ()) = tokio::join!(addresses(server, NAME, patience), serve(&socket, 2, only_v4));
    assert_eq!(found, Ok(Addresses { found: vec![v4], ttl_s: 60 }));
    let (none, ()) = tokio::join!(addresses(server, NAME, patience), serve(&socket, 2, |_| Vec::new()));
    assert_eq!(none, Err(StubError::NoAddress(server, NAME.to_owned(), 0)));
}
