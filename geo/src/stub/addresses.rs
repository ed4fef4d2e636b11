//! All addresses of a name, for whoever wants to connect: both families, and for how long they hold.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::RecordType;

use super::{Answer, StubError, ask, message};

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4 first; at least one.
    pub found: Vec<IpAddr>,
    /// For how many seconds all of them hold.
    pub ttl_s: u32,
}

/// Asks `server`, a recursive one, for the addresses of `name`: of both families at once, each within `patience` over UDP and
/// as long over TCP. One family is enough.
///
/// # Errors
/// See [`StubError`]; without an address, what the question for IPv4 came to.
pub async fn addresses(server: SocketAddr, name: &str, patience: Duration) -> Result<Addresses, StubError> {
    let asked = |kind| async move {
        let question = message::question_of(rand::random(), name, kind, None);
        ask(server, &question.ok_or_else(|| StubError::NoName(name.to_owned()))?, patience).await
    };
    let (v4, v6) = tokio::join!(asked(RecordType::A), asked(RecordType::AAAA));
    let answers: Vec<&Answer> =
        [&v4, &v6].into_iter().flatten().filter(|answer| !answer.addresses().is_empty()).collect();
    let found = answers.iter().flat_map(|answer| answer.addresses()).collect();
    match answers.iter().map(|answer| answer.ttl_s()).min() {
        Some(ttl_s) => Ok(Addresses { found, ttl_s }),
        None => Err(v4.map_or_else(|error| error, |answer| StubError::NoAddress(server, name.to_owned(), answer.code))),
    }
}
