//! What a server says of itself, which by default is nothing: its name when a query asks for it (NSID, RFC 5001), its name and
//! version as TXT records of class CH (RFC 4892).

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};

use crate::answer::Reply;

/// What may be said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Which of the servers of a name it is, at most [`IDENTITY_BYTES_MAX`] bytes.
    pub name: Option<String>,
    /// Of its software, at most [`IDENTITY_BYTES_MAX`] bytes.
    pub version: Option<String>,
}

/// Bytes of a name or a version.
pub const IDENTITY_BYTES_MAX: usize = 64;

impl Identity {
    /// Answers a question of class CH: REFUSED, but for what may be said.
    pub(super) fn answer(&self, name: &LowerName, qtype: RecordType) -> Reply {
        let said = match Name::from(name.clone()).to_ascii().as_str() {
            "id.server." | "hostname.bind." => &self.name,
            "version.server." | "version.bind." => &self.version,
            _ => &None,
        };
        let mut reply = Reply::empty(ResponseCode::Refused);
        if let Some(text) = said.as_ref().filter(|_| matches!(qtype, RecordType::TXT | RecordType::ANY)) {
            let mut record = Record::from_rdata(Name::from(name.clone()), 0, RData::TXT(TXT::new(vec![text.clone()])));
            record.dns_class = DNSClass::CH;
            (reply.code, reply.authoritative) = (ResponseCode::NoError, true);
            reply.answers.push(record);
        }
        reply
    }
}
