//! A primary says that a zone has changed (NOTIFY, RFC 1996): it is believed to be worth a look, no more.
//!
//! Invariant: whoever sends it, all that comes of it is one question to the primary that the config names.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, RecordType};
use hickory_server::server::Request;

use super::{Handler, repeatable};
use crate::address::canonical;
use crate::counters::count;

impl Handler {
    /// The code for a NOTIFY.
    pub(super) fn told(&self, request: &Request, signer: Option<&LowerName>) -> ResponseCode {
        let query = request.queries.queries().first().filter(|_| repeatable(&request.queries));
        let Some(query) = query.filter(|query| query.query_type() == RecordType::SOA) else {
            return ResponseCode::FormErr;
        };
        let snapshot = self.director.snapshot();
        let Some(zone) = snapshot.zones.named(query.name()) else {
            return ResponseCode::NotAuth;
        };
        let from_primary = zone.relations().primary.as_ref().is_some_and(|primary| {
            let by_key = primary.key.as_ref().is_some_and(|key| signer == Some(&key.name));
            by_key || canonical(request.src().ip()) == canonical(primary.address.ip())
        });
        if !from_primary {
            return ResponseCode::Refused;
        }
        count(&self.director.counters().notifies);
        self.director.fetch_soon(zone.name());
        ResponseCode::NoError
    }
}
