//! The resolver in front of authoritative servers that are tasks of the test.

use super::*;
use crate::play::wire::Data;
use std::sync::atomic::AtomicU64;

/// An authoritative server that answers with an alias, or with an address made of the third octet of the client subnet.
async fn authority(zone: &'static str, alias: Option<&'static str>, asked: Arc<AtomicU64>) -> Authority {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Relaxed);
            let mut message = Message::decode(&buffer[..length]).unwrap();
            let octet = message.subnet.map_or(0, |subnet| subnet.network.octets()[2]);
            let data = alias.map_or(Data::A(Ipv4Addr::new(127, 0, 9, octet)), |name| Data::Cname(name.into()));
            message.answers.push(Record { name: message.name.clone(), ttl: 60, data });
            message.subnet = message.subnet.map(|subnet| ClientSubnet { scope: 24, ..subnet });
            message.response = true;
            message.authoritative = true;
            socket.send_to(&message.encode().unwrap(), from).await.unwrap();
        }
    });
    Authority { zone, owner: "test", server }
}

async fn resolver(asked: &Arc<AtomicU64>) -> Arc<Resolver> {
    let company = authority("netcinema.example.", Some("a1105.kingcdn.example."), asked.clone()).await;
    let cdn = authority("kingcdn.example.", None, asked.clone()).await;
    Resolver::start(vec![company, cdn]).await.unwrap()
}

async fn asks(resolver: &Resolver, third_octet: u8) -> Message {
    let subnet = ClientSubnet::of(Ipv4Addr::new(198, 18, third_octet, 7));
    ask(resolver.address(), Message::query(9, "video.netcinema.example", Some(subnet))).await.unwrap()
}

#[tokio::test]
async fn an_alias_into_another_zone_is_followed_and_both_records_are_answered() {
    let resolver = resolver(&Arc::default()).await;
    let answer = asks(&resolver, 3).await;
    assert_eq!(answer.final_name(), "a1105.kingcdn.example.");
    assert_eq!(answer.addresses(), [std::net::IpAddr::from([127, 0, 9, 3])]);
}

#[tokio::test]
async fn a_cached_answer_serves_its_scope_and_no_other_subnet() {
    let asked = Arc::default();
    let resolver = resolver(&asked).await;
    let first = asks(&resolver, 3).await;
    assert_eq!(asks(&resolver, 3).await.addresses(), first.addresses());
    assert_eq!(asked.load(Relaxed), 2, "the second question of the same subnet was not asked again");
    assert_ne!(asks(&resolver, 4).await.addresses(), first.addresses());
    assert_eq!(asked.load(Relaxed), 4);
}

#[tokio::test]
async fn a_name_without_a_known_server_fails_with_servfail() {
    let resolver = resolver(&Arc::default()).await;
    let answer = ask(resolver.address(), Message::query(1, "www.elsewhere.example", None)).await.unwrap();
    assert_eq!((answer.rcode, answer.answers.len()), (RCODE_SERVFAIL, 0));
}

#[test]
fn a_prefix_masks_as_many_bits_as_it_says() {
    assert_eq!(masked(0xc612_0307, 24), 0xc612_0300);
    assert_eq!(masked(0xc612_0307, 0), 0);
    assert_eq!(masked(0xc612_0307, 32), 0xc612_0307);
}
