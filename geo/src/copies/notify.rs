//! Tells a secondary over UDP that a zone has changed, until it says that it has heard (RFC 1996 §3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::limits::{NOTIFY_TRIES, UDP_QUERY_BYTES_MAX};
use crate::tsig::Behind;
use crate::zone::Zone;

const PAUSE: Duration = Duration::from_secs(1);

/// Tells `address` of the zone as it is; what comes back is only looked at for its id, as nothing depends on it.
pub(super) async fn tell(zone: Zone, address: SocketAddr) {
    let mut pause = PAUSE;
    for _ in 0..NOTIFY_TRIES {
        match once(&zone, address, pause).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(zone = %zone.name(), %address, %error, "a secondary could not be told");
                tokio::time::sleep(pause).await;
            }
        }
        pause *= 2;
    }
    tracing::warn!(zone = %zone.name(), %address, "a secondary does not say that it was told of a change");
}

async fn once(zone: &Zone, address: SocketAddr, patience: Duration) -> std::io::Result<bool> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Notify);
    message.metadata.authoritative = true;
    message.add_query(Query::query(Name::from(zone.name()), RecordType::SOA));
    message.add_answer(zone.body().soa().clone());
    let mut bytes = message.to_vec().map_err(std::io::Error::other)?;
    if let Some(key) = zone.relations().transfer.as_ref().and_then(|access| access.key.as_ref()) {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        key.sign(&mut bytes, Behind::Nothing, now_s);
    }
    socket.send(&bytes).await?;
    let mut response = [0; UDP_QUERY_BYTES_MAX];
    match timeout(patience, socket.recv(&mut response)).await {
        Ok(received) => Ok(received? >= 12 && response[..2] == bytes[..2] && response[2] & 0x80 != 0),
        Err(_) => Ok(false),
    }
}
