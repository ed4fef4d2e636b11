//! What holds for any bytes from the network and any zone file. `packets` asks with random input, `geo/fuzz` with more.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{LowerName, Name, RecordType};
use littoral_geo::server::Handler;
use littoral_geo::stub::{Answer, Data, read_reply};
use littoral_geo::zone::{Told, Zone};

use crate::world;

/// The name that questions and replies are about.
pub(crate) const NAME: &str = "video.netcinema.example.";
/// The subnet that replies are for.
pub(crate) const SUBNET: &str = "10.1.3.0/24";
/// Bytes of a UDP answer at most, whatever a client offers, and at least, whatever it does not.
const OFFER_BOUNDS: (u16, u16) = (512, 1232);
/// Bytes of it at most to a client that has no cookie and signs nothing, and times those of its query.
const UNVERIFIED_BOUNDS: (usize, usize) = (512, 16);

static HANDLER: LazyLock<Handler> = LazyLock::new(|| Handler::new(Arc::new(world::director())));

/// A request as UDP brings it: whatever is answered is a response to it, readable and no longer than the client takes, nor than
/// somebody else should get whose address was forged. No bytes that a test thinks of have a cookie of this server.
///
/// Returns whether it was answered.
pub(crate) fn a_request_is_answered_in_form(request: &[u8]) -> bool {
    let client = SocketAddr::from(([10, 1, 3, 7], 5353));
    let Some(response) = HANDLER.respond(request, client) else {
        return false;
    };
    let (bytes, times) = UNVERIFIED_BOUNDS;
    let unverified = bytes.min(times * request.len());
    assert!(response.len() <= unverified, "{} bytes for {} that may be forged", response.len(), request.len());
    assert!(request[2] & 0x80 == 0, "a response was answered");
    assert_eq!(response[..2], request[..2], "not the id of the request");
    let message = Message::from_vec(&response).unwrap_or_else(|error| panic!("the response does not parse: {error}"));
    assert_eq!(message.metadata.message_type, MessageType::Response);
    let (least, most) = OFFER_BOUNDS;
    // What the client offers is read by the codec alone, apart from the handler under test.
    let offered = Message::from_vec(request).map_or(least, |request| request.max_payload()).clamp(least, most);
    assert!(response.len() <= usize::from(offered), "{} bytes for a client that takes {offered}", response.len());
    true
}

/// A datagram as the stub gets it: it is no answer, or one to the stub's question, of records that were there.
pub(crate) fn a_reply_is_an_answer_or_nothing(reply: &[u8]) -> Option<Answer> {
    let id = reply.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let answer = read_reply(id, NAME, SUBNET.parse().ok(), reply)?;
    assert_eq!(answer.name, NAME);
    assert!(reply[2] & 0x80 != 0, "a question was taken for an answer");
    assert!(answer.scope.is_none_or(|scope| scope <= 32));
    // A record has at least a name, a type, a class, a TTL and a length.
    assert!(answer.records.len() * 11 <= reply.len());
    assert!(answer.records.iter().all(|record| record.ttl_s >= answer.ttl_s()));
    let known = |name: &str| {
        let targets = answer.records.iter().filter_map(|record| match &record.data {
            Data::Alias(target) => Some(target.as_str()),
            _ => None,
        });
        targets.chain([answer.name.as_str()]).any(|known| known == name)
    };
    assert!(known(answer.final_name()));
    assert!(answer.addresses().len() <= answer.records.len());
    Some(answer)
}

/// A zone file as an operator may write it, of records or of tables: refused in one line, or a zone that answers any question about it.
pub(crate) fn a_zone_is_read_or_refused(text: &str) -> bool {
    let read: [fn(&str, &str, &str) -> _; 2] = [Zone::parse, Zone::parse_tables];
    read.map(|read| answers_or_is_refused(read("example.", text, "zone.txt"))).contains(&true)
}

fn answers_or_is_refused(read: Result<Zone, littoral_geo::director::GeoError>) -> bool {
    let zone = match read {
        Ok(zone) => zone,
        Err(error) => {
            assert!(error.0.starts_with("zone.txt:") && !error.0.contains('\n'), "no place in {error}");
            return false;
        }
    };
    assert_eq!(zone.negative_soa().record_type(), RecordType::SOA);
    let names = ["example.", "a.example.", "b.a.example.", "*.example.", "x.y.z.example."];
    for name in names.map(|name| LowerName::from(Name::from_ascii(name).unwrap())) {
        for kind in [RecordType::A, RecordType::NS, RecordType::SOA, RecordType::CNAME, RecordType::ANY] {
            if let Told::Answer(records) = zone.tell(&name, kind) {
                assert!(!records.is_empty(), "an answer of no records for {name} {kind}");
                assert!(records.iter().all(|record| LowerName::from(&record.name) == name));
            }
        }
    }
    true
}
