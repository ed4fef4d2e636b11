//! The signatures of an answer in several messages, in the order in which they come (RFC 8945 §5.3.1).
//!
//! We sign each message; others leave some out, and the next signature is over those, too. Invariant: between two signatures there are at
//! most [`TSIG_UNSIGNED_MAX`] messages without one, and the first has one. That the last has one is the caller's to ask.

use std::sync::Arc;

use super::{Behind, Key, Signature, Wrong};
use crate::limits::TSIG_UNSIGNED_MAX;

/// How far an answer has been verified.
#[derive(Debug)]
pub(crate) struct Chain {
    key: Arc<Key>,
    /// The signature of the request, or of the last message that had one.
    prior: Vec<u8>,
    begun: bool,
    /// The messages since then, and how many.
    unsigned: Vec<u8>,
    count: usize,
}

impl Chain {
    /// Of the answer to a request with this signature.
    pub(crate) fn behind(key: Arc<Key>, request: Vec<u8>) -> Self {
        Self { key, prior: request, begun: false, unsigned: Vec::new(), count: 0 }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// Why it is not to be believed, to be read behind who sent it.
    pub(crate) fn take(&mut self, message: &[u8], now_s: u64) -> Result<(), String> {
        let signature = Signature::of(message).map_err(|_| "a signature that cannot be read")?;
        let Some(signature) = signature else {
            if !self.begun || self.count == TSIG_UNSIGNED_MAX {
                return Err("a message that is not signed".into());
            }
            self.count += 1;
            self.unsigned.extend(message);
            return Ok(());
        };
        if signature.mac.is_empty() && signature.error != 0 {
            return Err(format!("our signature is not taken: {}", refusal(signature.error)));
        }
        let behind = match self.begun {
            true => Behind::Message { mac: &self.prior, unsigned: &self.unsigned },
            false => Behind::Request(&self.prior),
        };
        let wrong = |wrong| format!("a message whose signature is not right: {wrong:?}");
        self.key.verify(message, &signature, behind, now_s).map_err(wrong)?;
        (self.prior, self.begun, self.count) = (signature.mac, true, 0);
        self.unsigned.clear();
        Ok(())
    }

    /// Whether nothing was taken since the last signature.
    pub(crate) fn is_closed(&self) -> bool {
        self.begun && self.count == 0
    }
}

/// What somebody has against a signature, as operators look it up.
fn refusal(error: u16) -> String {
    match error {
        error if error == Wrong::BadSignature as u16 => "BADSIG, the secrets differ".into(),
        error if error == Wrong::BadKey as u16 => "BADKEY, the key is not known there".into(),
        error if error == Wrong::BadTime as u16 => "BADTIME, the clocks differ".into(),
        other => format!("error {other}"),
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode};
    use hickory_proto::serialize::binary::BinEncodable;

    use super::super::Secret;
    use super::*;

    const NOW_S: u64 = 1000;

    fn key() -> Arc<Key> {
        let secret = Secret { name: "k".into(), algorithm: "hmac-sha256".into(), secret: vec![7; 32] };
        Arc::new(Key::new(&secret).unwrap())
    }

    fn message(id: u16) -> Vec<u8> {
        Message::new(id, MessageType::Response, OpCode::Query).to_bytes().unwrap()
    }

    /// Messages of an answer to a request with the signature `[1]`: signed where it is said.
    fn answer(signed: &[bool]) -> Vec<Vec<u8>> {
        let (key, mut prior, mut between, mut first) = (key(), vec![1], Vec::new(), true);
        let mut sent = Vec::new();
        for (signed, id) in signed.iter().zip(0..) {
            let mut message = message(id);
            if *signed {
                let further = Behind::Message { mac: &prior, unsigned: &between };
                prior = key.sign(&mut message, if first { Behind::Request(&prior) } else { further }, NOW_S);
                between.clear();
            } else {
                between.extend(&message);
            }
            first = false;
            sent.push(message);
        }
        sent
    }

    fn taken(messages: &[Vec<u8>]) -> Result<bool, String> {
        let mut chain = Chain::behind(key(), vec![1]);
        messages.iter().try_for_each(|message| chain.take(message, NOW_S))?;
        Ok(chain.is_closed())
    }

    #[test]
    fn messages_between_signatures_need_none_and_the_next_one_is_over_them() {
        assert_eq!(taken(&answer(&[true, true, true])), Ok(true));
        assert_eq!(taken(&answer(&[true, false, false, true, false, true])), Ok(true));
        assert_eq!(taken(&answer(&[true, false])), Ok(false), "an end that is not signed");
        assert_eq!(taken(&answer(&[false, true])), Err("a message that is not signed".into()));
        let wrong = "a message whose signature is not right: BadSignature";
        let mut changed = answer(&[true, false, true]);
        changed[1][2] ^= 1;
        assert_eq!(taken(&changed), Err(wrong.into()));
        let mut exchanged = answer(&[true, false, false, true]);
        exchanged.swap(1, 2);
        assert_eq!(taken(&exchanged), Err(wrong.into()));
        let mut left_out = answer(&[true, false, true]);
        left_out.remove(1);
        assert_eq!(taken(&left_out), Err(wrong.into()));
    }

    #[test]
    fn no_more_messages_than_agreed_go_without_a_signature() {
        let with = |unsigned: usize| [&[true][..], &vec![false; unsigned], &[true]].concat();
        assert_eq!(taken(&answer(&with(TSIG_UNSIGNED_MAX))), Ok(true));
        assert_eq!(taken(&answer(&with(TSIG_UNSIGNED_MAX + 1))), Err("a message that is not signed".into()));
    }

    #[test]
    fn who_does_not_take_our_signature_says_why() {
        let mut request = message(7);
        key().sign(&mut request, Behind::Nothing, NOW_S);
        let ours = Signature::of(&request).unwrap().unwrap();
        let mut refused = message(7);
        ours.refuse(&mut refused, Wrong::BadKey);
        let told = taken(&[refused]).unwrap_err();
        assert_eq!(told, "our signature is not taken: BADKEY, the key is not known there");
    }
}
