//! The resolver in front of authoritative servers that are tasks of the test.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record};

use super::*;
use crate::stub::subnet_of;

const PATIENCE: Duration = Duration::from_secs(10);

/// An authoritative server that answers with an alias, or with an address made of the third octet of the client subnet.
async fn authority(zone: &str, alias: Option<&'static str>, asked: Arc<AtomicU64>) -> Authority {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Relaxed);
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let octet = scope_24(&mut message);
            let address = || RData::A(Ipv4Addr::new(127, 0, 9, octet).into());
            let data = alias.map_or_else(address, |name| RData::CNAME(CNAME(name.parse().unwrap())));
            let name = message.queries[0].name().clone();
            message.add_answer(Record::from_rdata(name, 60, data));
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    Authority { zone: zone.into(), owner: "test".into(), server }
}

/// Sets the scope of the client subnet, and tells its third octet.
fn scope_24(message: &mut Message) -> u8 {
    let Some(edns) = message.edns.as_mut() else { return 0 };
    let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet).cloned() else { return 0 };
    let scoped = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), 24);
    edns.options_mut().remove(EdnsCode::Subnet);
    edns.options_mut().insert(EdnsOption::Subnet(scoped));
    let IpAddr::V4(address) = subnet.addr() else { return 0 };
    address.octets()[2]
}

async fn resolver(asked: &Arc<AtomicU64>) -> Arc<Resolver> {
    let company = authority("netcinema.example.", Some("a1105.kingcdn.example."), asked.clone()).await;
    let cdn = authority("kingcdn.example.", None, asked.clone()).await;
    Resolver::start(vec![company, cdn]).await.unwrap()
}

async fn asks(resolver: &Resolver, third_octet: u8) -> Answer {
    let subnet = subnet_of(Ipv4Addr::new(198, 18, third_octet, 7));
    lookup(resolver.address(), "video.netcinema.example", Some(subnet), PATIENCE).await.unwrap()
}

#[tokio::test]
async fn an_alias_into_another_zone_is_followed_and_both_records_are_answered() {
    let resolver = resolver(&Arc::default()).await;
    let answer = asks(&resolver, 3).await;
    assert_eq!((answer.final_name(), answer.scope), ("a1105.kingcdn.example.", Some(24)));
    assert_eq!(answer.addresses(), [IpAddr::from([127, 0, 9, 3])]);
    let seen = resolver.take_seen();
    let zones: Vec<&str> = seen.iter().map(|exchange| exchange.authority.zone.as_str()).collect();
    assert_eq!(zones, ["netcinema.example.", "kingcdn.example."]);
    assert!(resolver.take_seen().is_empty(), "an exchange was told twice");
}

#[tokio::test]
async fn a_cached_answer_serves_its_scope_and_no_other_subnet() {
    let asked = Arc::default();
    let resolver = resolver(&asked).await;
    let first = asks(&resolver, 3).await;
    assert_eq!(asks(&resolver, 3).await.addresses(), first.addresses());
    assert_eq!(asked.load(Relaxed), 2, "the second question of the same subnet was asked again");
    assert_ne!(asks(&resolver, 4).await.addresses(), first.addresses());
    assert_eq!(asked.load(Relaxed), 4);
}

#[tokio::test]
async fn a_name_without_a_known_server_fails_with_servfail() {
    let resolver = resolver(&Arc::default()).await;
    let answer = lookup(resolver.address(), "www.elsewhere.example", None, PATIENCE).await.unwrap();
    assert_eq!((answer.code, answer.records.len()), (SERVER_FAILURE, 0));
}

#[tokio::test]
async fn aliases_without_an_end_are_followed_so_far_and_no_further() {
    let asked: Arc<AtomicU64> = Arc::default();
    let there = authority("a.example.", Some("x.b.example."), asked.clone()).await;
    let back = authority("b.example.", Some("x.a.example."), asked.clone()).await;
    let resolver = Resolver::start(vec![there, back]).await.unwrap();
    let answer = lookup(resolver.address(), "x.a.example", None, PATIENCE).await.unwrap();
    assert_eq!(answer.code, SERVER_FAILURE);
    assert_eq!(asked.load(Relaxed), RESOLVE_STEPS_MAX as u64);
}

#[tokio::test]
async fn what_is_no_question_gets_no_answer_and_holds_no_room() {
    let resolver = resolver(&Arc::default()).await;
    let response = Message::response(7, hickory_proto::op::OpCode::Query).to_vec().unwrap();
    assert_eq!(resolver.reply(&response).await, None);
    assert_eq!(resolver.reply(b"no question").await, None);
    asks(&resolver, 3).await;
    let all = u32::try_from(RESOLVER_QUESTIONS_MAX).unwrap();
    let _all = timeout(PATIENCE, resolver.room.acquire_many(all)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_question_beyond_those_in_flight_is_lost() {
    let asked: Arc<AtomicU64> = Arc::default();
    let resolver = resolver(&asked).await;
    let all = u32::try_from(RESOLVER_QUESTIONS_MAX).unwrap();
    let full = resolver.room.acquire_many(all).await.unwrap();
    let lost = lookup(resolver.address(), "video.netcinema.example", None, Duration::from_millis(30)).await;
    assert_eq!(lost.unwrap_err(), StubError::TimedOut(resolver.address()));
    assert_eq!(asked.load(Relaxed), 0);
    drop(full);
    asks(&resolver, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_given_up_before_the_deadline() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap();
    let authority = Authority { zone: ".".into(), owner: String::new(), server };
    let resolver = Resolver::start(vec![authority]).await.unwrap();
    let question = crate::stub::message::question(7, "video.netcinema.example", None).unwrap();
    let started = tokio::time::Instant::now();
    let reply = resolver.reply(&question.to_vec().unwrap()).await.unwrap();
    assert_eq!(crate::stub::message::read(&reply, &question).unwrap().code, SERVER_FAILURE);
    assert!(started.elapsed() <= Duration::from_secs(RESOLVE_SECONDS), "{:?}", started.elapsed());
}
