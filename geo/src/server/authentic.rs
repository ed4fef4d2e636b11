//! Requests signed with a shared secret: who sent them, and what is answered to those that are not right (RFC 8945 §5.2).
//!
//! Invariant: a request that has a signature is answered with one, unless the reason is that no key is shared.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;

use super::{Handler, RESPONSE_BIT};
use crate::counters::count;
use crate::tsig::{Behind, Key, Signature, Wrong};
use crate::wire::{HEADER_BYTES, TYPE_AND_CLASS_BYTES, behind_name, number};

/// Of whom a request is, when it is signed.
pub(super) struct Signed {
    pub(super) key: Arc<Key>,
    mac: Vec<u8>,
}

impl Signed {
    /// Bytes that the signature adds to the response.
    pub(super) fn bytes(&self) -> u16 {
        u16::try_from(self.key.signature_bytes()).unwrap_or(u16::MAX)
    }

    /// Signs the response.
    pub(super) fn sign(&self, response: &mut Vec<u8>, now_s: u64) -> Vec<u8> {
        self.key.sign(response, Behind::Request(&self.mac), now_s)
    }
}

impl Handler {
    /// Of whom a request is; `None` for one that is not signed.
    ///
    /// # Errors
    /// What to answer to one whose signature is not right.
    pub(super) fn authenticated(&self, request: &[u8], now_s: u64) -> Result<Option<Signed>, Vec<u8>> {
        let refused = |code: ResponseCode| {
            let counters = self.director.counters();
            count(&counters.tsig_refused);
            counters.rcode(u16::from(code));
            echoed(request, code)
        };
        let signature = match Signature::of(request) {
            Ok(Some(signature)) => signature,
            Ok(None) => return Ok(None),
            Err(_) => return Err(refused(ResponseCode::FormErr)),
        };
        let key = self.director.snapshot().keys.get(&signature.key).cloned();
        let checked = match &key {
            Some(key) => key.verify(request, &signature, Behind::Nothing, now_s),
            None => Err(Wrong::BadKey),
        };
        match (checked, key) {
            (Ok(()), Some(key)) => Ok(Some(Signed { key, mac: signature.mac })),
            (Err(Wrong::Malformed), _) => Err(refused(ResponseCode::FormErr)),
            (Err(Wrong::BadTime), Some(key)) => {
                let mut response = refused(ResponseCode::NotAuth);
                key.sign_late(&mut response, &signature, now_s);
                Err(response)
            }
            (wrong, _) => {
                let mut response = refused(ResponseCode::NotAuth);
                signature.refuse(&mut response, wrong.err().unwrap_or(Wrong::BadKey));
                Err(response)
            }
        }
    }
}

/// A response with the question of a request and a code, and nothing else.
fn echoed(request: &[u8], code: ResponseCode) -> Vec<u8> {
    const OPCODE_AND_RD: u8 = 0x79;
    let behind = behind_name(request, HEADER_BYTES).map(|name| name + TYPE_AND_CLASS_BYTES);
    let one = number(request, 4) == Some(1);
    let question = behind.filter(|_| one).and_then(|end| request.get(HEADER_BYTES..end)).unwrap_or_default();
    let mut response = vec![0; HEADER_BYTES];
    let flags = [RESPONSE_BIT | request[2] & OPCODE_AND_RD, u16::from(code) as u8];
    response[..4].copy_from_slice(&[request[0], request[1], flags[0], flags[1]]);
    response[5] = u8::from(!question.is_empty());
    response.extend(question);
    response
}
