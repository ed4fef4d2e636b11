//! Those who lie to a resolver: a server that adds records of others, one beside the way who guesses, one that never answers,
//! and one whose aliases never end.

use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record};
use tokio::sync::mpsc;

use super::*;

const FALSE: [u8; 4] = [198, 51, 100, 66];

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(name.parse().unwrap(), 3600, data)
}

fn false_address(name: &str) -> Record {
    record(name, RData::A(A::from(std::net::Ipv4Addr::from(FALSE))))
}

/// An Internet with a server at its address 127.0.53.6, to which `forger.example` is delegated.
async fn beside() -> (Internet, Arc<UdpSocket>) {
    let more = "forger IN NS ns.forger\nns.forger IN A 127.0.53.6\n";
    let places = [upper(more), lower()].concat();
    for _ in 0..PORT_TRIES {
        let internet = internet(&places);
        if let Ok(socket) = UdpSocket::bind((address(6), internet.port)).await {
            return (internet, Arc::new(socket));
        }
    }
    panic!("no port is free on all addresses");
}

/// The next question to a server, and who asks.
async fn next(socket: &UdpSocket) -> (Message, SocketAddr) {
    let mut buffer = [0; 4096];
    let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
    (Message::from_vec(&buffer[..length]).unwrap(), client)
}

fn is_for_address(question: &Message) -> bool {
    question.queries[0].query_type() == RecordType::A
}

/// What its server would truly say: itself, its address, and one for every other name.
fn truth(question: &Message) -> Vec<Record> {
    let name = question.queries[0].name().to_string();
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match question.queries[0].query_type() {
        RecordType::A if is("ns.forger.example.") => vec![record(&name, RData::A(A::new(127, 0, 53, 6)))],
        RecordType::A => vec![record(&name, RData::A(A::new(192, 0, 2, 6)))],
        RecordType::NS if is("forger.example.") => {
            vec![record(&name, RData::NS(NS("ns.forger.example.".parse().unwrap())))]
        }
        _ => Vec::new(),
    }
}

/// An authoritative answer with these records, or that there are none.
fn answer(question: &Message, answers: Vec<Record>) -> Message {
    let mut message = question.clone().into_response();
    message.metadata.authoritative = true;
    message.edns = None;
    if answers.is_empty() {
        let name: Name = "forger.example.".parse().unwrap();
        message.add_authority(record("forger.example.", RData::SOA(SOA::new(name.clone(), name, 1, 60, 60, 60, 60))));
    }
    message.insert_answers(answers);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_for_a_name_outside_of_its_servers_zone_is_not_kept() {
    for chosen in [false, true] {
        let (internet, socket) = beside().await;
        let subnets = if chosen { vec!["forger.example.".parse().unwrap()] } else { Vec::new() };
        let local = local(Settings { subnets, ..internet.settings() });
        let poisoner = tokio::spawn(async move {
            loop {
                let (question, client) = next(&socket).await;
                let mut message = answer(&question, truth(&question));
                if is_for_address(&question) {
                    message.add_answer(false_address("www.netcinema.example."));
                }
                // The textbook's: the servers of another's zone, with an address of its own for them.
                message.add_authority(record(
                    "netcinema.example.",
                    RData::NS(NS("ns.netcinema.example.".parse().unwrap())),
                ));
                message.add_additional(false_address("ns.netcinema.example."));
                message.add_additional(false_address("www.netcinema.example."));
                socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
            }
        });
        assert_eq!(local.ask("www.forger.example.", RecordType::A).await, good(&["192.0.2.6"]), "chosen: {chosen}");
        let asked = internet.servers[2].director.counters().udp.load(Relaxed);
        let truth = good(&["192.0.2.80", "192.0.2.81"]);
        assert_eq!(local.ask("www.netcinema.example.", RecordType::A).await, truth, "chosen: {chosen}");
        assert_eq!(local.ask("ns.netcinema.example.", RecordType::A).await, good(&["127.0.53.3"]), "chosen: {chosen}");
        assert!(internet.servers[2].director.counters().udp.load(Relaxed) > asked, "its own server was not asked");
        poisoner.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_elsewhere_with_a_wrong_id_or_to_another_question_is_passed_over_and_not_kept() {
    for chosen in [false, true] {
        let (internet, socket) = beside().await;
        let subnets = if chosen { vec!["forger.example.".parse().unwrap()] } else { Vec::new() };
        let local = local(Settings { subnets, ..internet.settings() });
        let (seen, mut questions) = mpsc::unbounded_channel();
        let server = tokio::spawn(async move {
            // Another port of the same address, and another address.
            let elsewhere =
                [UdpSocket::bind((address(6), 0)).await.unwrap(), UdpSocket::bind(("127.0.0.1", 0)).await.unwrap()];
            loop {
                let (question, client) = next(&socket).await;
                let name = question.queries[0].name().to_string();
                // Before the answer, so that who has that finds this, too.
                if is_for_address(&question) && !name.to_lowercase().starts_with("ns.") {
                    seen.send((name.clone(), question.metadata.id, client.port())).unwrap();
                }
                let forged = answer(&question, vec![false_address(&name)]);
                for socket in &elsewhere {
                    socket.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
                }
                let mut guess = forged.clone();
                guess.metadata.id ^= 0x101;
                socket.send_to(&guess.to_vec().unwrap(), client).await.unwrap();
                let mut other = forged.clone();
                other.queries[0].name = "other.forger.example.".parse().unwrap();
                socket.send_to(&other.to_vec().unwrap(), client).await.unwrap();
                socket.send_to(&answer(&question, truth(&question)).to_vec().unwrap(), client).await.unwrap();
            }
        });
        for round in 0..8 {
            let name = format!("somewhat-longer-name-{round}.forger.example.");
            assert_eq!(local.ask(&name, RecordType::A).await, good(&["192.0.2.6"]), "chosen: {chosen}");
            assert_eq!(local.ask(&name, RecordType::A).await, good(&["192.0.2.6"]), "chosen: {chosen}");
        }
        // What they would have to guess: id, port and the letters' case differ from question to question.
        let (mut ids, mut ports, mut mixed) = (Vec::new(), Vec::new(), 0);
        while let Ok((name, id, port)) = questions.try_recv() {
            ids.push(id);
            ports.push(port);
            mixed += usize::from(name != name.to_lowercase() && name != name.to_uppercase());
        }
        assert!(ids.len() >= 8 && mixed == ids.len(), "chosen: {chosen}, {mixed} of {} in mixed case", ids.len());
        for of in [&mut ids, &mut ports] {
            let all = of.len();
            of.sort_unstable();
            of.dedup();
            assert!(of.len() + 1 >= all, "chosen: {chosen}, not by chance: {of:?}");
        }
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_other_letters_than_the_question_s_is_not_believed() {
    let (internet, socket) = beside().await;
    let local = local(internet.settings());
    let server = tokio::spawn(async move {
        loop {
            let (mut question, client) = next(&socket).await;
            question.queries[0].name = question.queries[0].name.to_lowercase();
            let forged =
                if is_for_address(&question) { vec![false_address("www.forger.example.")] } else { Vec::new() };
            socket.send_to(&answer(&question, forged).to_vec().unwrap(), client).await.unwrap();
        }
    });
    // Nobody listens for connections there, over which it would ask again.
    assert_eq!(local.ask("www.forger.example.", RecordType::A).await, (ResponseCode::ServFail, vec![]));
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_without_an_answer_ends_in_its_time() {
    let (internet, _silent) = beside().await;
    let local = local(Settings { patience: Duration::from_millis(200), ..internet.settings() });
    assert_eq!(local.ask("www.forger.example.", RecordType::A).await, (ResponseCode::ServFail, vec![]));
    assert_eq!((local.limited("time"), local.resolver.under_way()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_beyond_those_that_there_is_room_for_fails_at_once() {
    let (internet, socket) = beside().await;
    let local = local(Settings { lookups: 1, ..internet.settings() });
    assert_eq!(local.ask("mail.netcinema.example.", RecordType::A).await, good(&["192.0.2.25"]));
    let waiting = question("www.forger.example.", RecordType::A);
    let (first, ()) = tokio::join!(local.send(&waiting), async {
        let mut asked = next(&socket).await;
        // It is being waited for: there is no room for others, but for what is kept.
        assert_eq!(local.resolver.under_way(), 1);
        let refused = local.ask("www.netcinema.example.", RecordType::A).await;
        assert_eq!((refused.0, local.limited("lookups")), (ResponseCode::ServFail, 1));
        assert_eq!(local.ask("mail.netcinema.example.", RecordType::A).await, good(&["192.0.2.25"]));
        while !is_for_address(&asked.0) {
            socket.send_to(&answer(&asked.0, truth(&asked.0)).to_vec().unwrap(), asked.1).await.unwrap();
            asked = next(&socket).await;
        }
        socket.send_to(&answer(&asked.0, truth(&asked.0)).to_vec().unwrap(), asked.1).await.unwrap();
    });
    assert_eq!(said(&first), good(&["192.0.2.6"]));
    assert_eq!(local.resolver.under_way(), 0);
    assert_eq!(local.ask("www.netcinema.example.", RecordType::A).await.0, ResponseCode::NoError);
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_that_never_end_or_turn_in_a_circle_are_given_up() {
    let (internet, socket) = beside().await;
    let local = local(internet.settings());
    let server = tokio::spawn(async move {
        for step in 0_u32.. {
            let (question, client) = next(&socket).await;
            let name = question.queries[0].name().to_string();
            let on = record(&name, RData::CNAME(CNAME(format!("a{step}.forger.example.").parse().unwrap())));
            let answers = if is_for_address(&question) { vec![on] } else { Vec::new() };
            socket.send_to(&answer(&question, answers).to_vec().unwrap(), client).await.unwrap();
        }
    });
    assert_eq!(local.ask("www.forger.example.", RecordType::A).await, (ResponseCode::ServFail, vec![]));
    assert!(local.asked() <= littoral_geo::limits::RESOLVER_ASKED_MAX as u64, "{} questions", local.asked());
    assert_eq!(local.ask("loop.netcinema.example.", RecordType::A).await, (ResponseCode::ServFail, vec![]));
    server.abort();
}
