//! DNS over TCP as a client speaks it, byte by byte.

use std::sync::atomic::Ordering::Relaxed;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use littoral_geo::limits::TCP_CONNECTIONS_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::dns::{Running, running};

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.parse().unwrap(), RecordType::A));
    framed(&message.to_vec().unwrap())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// The next answer, `None` at the end of the connection.
async fn answer(stream: &mut TcpStream) -> Option<Message> {
    let length = stream.read_u16().await.ok()?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.unwrap();
    Some(Message::from_vec(&bytes).unwrap())
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_counted_and_one_that_ends_makes_room() {
    let running = running().await;
    let mut open = Vec::new();
    for id in 0..TCP_CONNECTIONS_MAX as u16 {
        let mut stream = connect(&running).await;
        stream.write_all(&question(id, "ns.kingcdn.example.")).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().metadata.id, id);
        open.push(stream);
    }
    assert!(answer(&mut connect(&running).await).await.is_none(), "one too many is served");
    assert_eq!(running.director.counters().tcp_refused.load(Relaxed), 1);
    let mut last = open.pop().unwrap();
    last.shutdown().await.unwrap();
    assert!(answer(&mut last).await.is_none());
    let mut next = connect(&running).await;
    next.write_all(&question(7, "ns.kingcdn.example.")).await.unwrap();
    assert_eq!(answer(&mut next).await.unwrap().metadata.id, 7);
}

#[tokio::test]
async fn queries_sent_ahead_are_answered_in_order_even_when_the_client_sends_no_more() {
    let running = running().await;
    let mut stream = connect(&running).await;
    let ahead: Vec<u8> = (0..100).flat_map(|id| question(id, "ns.kingcdn.example.")).collect();
    stream.write_all(&ahead).await.unwrap();
    stream.shutdown().await.unwrap();
    for id in 0..100 {
        assert_eq!(answer(&mut stream).await.unwrap().metadata.id, id);
    }
    assert!(answer(&mut stream).await.is_none());
}

#[tokio::test]
async fn what_is_no_query_is_counted_and_refused_or_passed_over_and_an_empty_message_ends_it() {
    let running = running().await;
    let mut stream = connect(&running).await;
    let torn = &question(9, "ns.kingcdn.example.")[2..20];
    let mut response = question(10, "ns.kingcdn.example.");
    response[4] |= 0x80;
    let sent = [framed(b"short"), response, framed(torn), question(11, "ns.kingcdn.example."), framed(b"")].concat();
    stream.write_all(&sent).await.unwrap();
    let refused = answer(&mut stream).await.unwrap();
    assert_eq!((refused.metadata.id, refused.metadata.response_code), (9, ResponseCode::FormErr));
    assert_eq!(answer(&mut stream).await.unwrap().metadata.id, 11);
    assert!(answer(&mut stream).await.is_none());
    let counters = running.director.counters();
    assert_eq!((counters.tcp.load(Relaxed), counters.malformed.load(Relaxed)), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_slowly_is_cut_off() {
    let running = running().await;
    let mut stream = connect(&running).await;
    stream.write_all(&question(1, "ns.kingcdn.example.")[..9]).await.unwrap();
    assert!(answer(&mut stream).await.is_none());
}
