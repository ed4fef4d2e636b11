//! The stub against servers that lose, cut and confuse.

use std::net::IpAddr;

use hickory_proto::rr::{RData, Record as WireRecord};
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
