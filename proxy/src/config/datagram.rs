//! `[[listen.datagram]]`: where a plugin of world `datagram-service` answers over UDP.

use std::net::SocketAddr;

use serde::Deserialize;

/// Answers a datagram may have, in times its bytes.
pub const AMPLIFICATION_MAX: u32 = 100;

/// An address whose datagrams a service has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datagram {
    /// Where.
    pub bind: SocketAddr,
    /// The `[[plugin]]` that answers.
    pub plugin: String,
    /// How many times its bytes all answers to a datagram may have.
    #[serde(default = "Datagram::amplification_default")]
    pub amplification: u32,
}

impl Datagram {
    fn amplification_default() -> u32 {
        3
    }
}
