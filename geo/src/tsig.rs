//! Messages signed with a shared secret (TSIG, RFC 8945): HMAC with SHA-256, 384 or 512, whole.
//!
//! Works on messages as bytes: what is signed is what is sent. Invariant: a message whose signature is not right is never told
//! to be from anybody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use ring::hmac;

use crate::wire::{HEADER_BYTES, TYPE_AND_CLASS_BYTES, behind_name, lower, number};

mod chain;

pub(crate) use chain::Chain;

/// Seconds by which the clocks of two nodes may differ (RFC 8945 §10).
const FUDGE_SECONDS: u16 = 300;
const TSIG: u16 = 250;
const ANY: u16 = 255;
/// Bytes of type, class, TTL and length of a record.
const RECORD_HEAD: usize = 10;
/// Bytes of a record's data beside the algorithm, the hash and what an error adds.
const SIGNATURE_FIXED: usize = 16;
const ADDITIONALS_AT: usize = 10;

/// A shared secret as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name that both sides know it by.
    pub name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
    pub algorithm: String,
    /// Its bytes.
    pub secret: Vec<u8>,
}

/// The bytes of a secret as it is written, in base64.
pub fn bytes_of(base64: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(base64).ok()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A shared secret as used.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: LowerName,
    wire: Box<[u8]>,
    algorithm: Box<[u8]>,
    hmac: hmac::Key,
}

/// What is wrong with a signature (RFC 8945 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It cannot be read: FORMERR.
    Malformed,
    BadSignature = 16,
    BadKey = 17,
    BadTime = 18,
}

/// The TSIG record of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key: LowerName,
    /// Where the record begins.
    at: usize,
    algorithm: Vec<u8>,
    time: [u8; 6],
    fudge: u16,
    pub(crate) mac: Vec<u8>,
    id: [u8; 2],
    error: u16,
    other: Vec<u8>,
}

/// What a signature is over beside the message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behind<'a> {
    /// Nothing: a request.
    Nothing,
    /// The signature of the request, or of the message before.
    Request(&'a [u8]),
    /// The same for a further message of one answer, and the messages between that have no signature: of the record only its times are
    /// signed (RFC 8945 §5.3.1).
    Message { mac: &'a [u8], unsigned: &'a [u8] },
}

impl Key {
    /// Of a secret as configured.
    ///
    /// # Errors
    /// What is wrong with it, to be read behind its name.
    pub(crate) fn new(secret: &Secret) -> Result<Self, String> {
        let algorithm = match secret.algorithm.to_ascii_lowercase().trim_end_matches('.') {
            "hmac-sha256" => hmac::HMAC_SHA256,
            "hmac-sha384" => hmac::HMAC_SHA384,
            "hmac-sha512" => hmac::HMAC_SHA512,
            other => {
                return Err(format!("has the algorithm {other:?}: hmac-sha256, hmac-sha384 and hmac-sha512 are used"));
            }
        };
        if secret.secret.len() < SECRET_BYTES_MIN {
            return Err(format!("has a secret of {} bytes: at least {SECRET_BYTES_MIN}", secret.secret.len()));
        }
        let absolute = |text: &str| {
            let mut name: Name = text.parse().ok()?;
            name.set_fqdn(true);
            Some(LowerName::from(name))
        };
        let name = absolute(&secret.name).ok_or("is no domain name: correct it")?;
        let algorithm_name = absolute(&secret.algorithm).ok_or("has no algorithm")?;
        let hmac = hmac::Key::new(algorithm, &secret.secret);
        Ok(Self { wire: lower(&name), name, algorithm: lower(&algorithm_name), hmac })
    }

    /// Whether `signature` is this key's over `message`, at `now_s`.
    ///
    /// # Errors
    /// In the order of RFC 8945 §5.2.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        signature: &Signature,
        behind: Behind<'_>,
        now_s: u64,
    ) -> Result<(), Wrong> {
        if signature.key != self.name || *signature.algorithm != *self.algorithm {
            return Err(Wrong::BadKey);
        }
        let mut bare = message.get(..signature.at).ok_or(Wrong::Malformed)?.to_vec();
        let count = number(&bare, ADDITIONALS_AT).and_then(|count| count.checked_sub(1)).ok_or(Wrong::Malformed)?;
        bare[ADDITIONALS_AT..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
        bare[..2].copy_from_slice(&signature.id);
        let signed = self.signed(&bare, signature, behind);
        hmac::verify(&self.hmac, &signed, &signature.mac).map_err(|_| Wrong::BadSignature)?;
        let time = signature.time.iter().fold(0_u64, |time, byte| time << 8 | u64::from(*byte));
        if now_s.abs_diff(time) > u64::from(signature.fudge) { Err(Wrong::BadTime) } else { Ok(()) }
    }

    /// Signs `message`, which has no signature yet; tells what the next message is signed behind.
    pub(crate) fn sign(&self, message: &mut Vec<u8>, behind: Behind<'_>, now_s: u64) -> Vec<u8> {
        self.sign_with(message, behind, now_s, 0, Vec::new())
    }

    /// Bytes that [`Self::sign`] adds to a message.
    pub(crate) fn signature_bytes(&self) -> usize {
        let hash = self.hmac.algorithm().digest_algorithm().output_len();
        self.wire.len() + RECORD_HEAD + self.algorithm.len() + SIGNATURE_FIXED + hash
    }

    /// The same with an error: what BADTIME answers (RFC 8945 §5.2.3).
    pub(crate) fn sign_late(&self, message: &mut Vec<u8>, request: &Signature, now_s: u64) {
        let ours = now_s.to_be_bytes()[2..].to_vec();
        let asked_at = request.time.iter().fold(0_u64, |time, byte| time << 8 | u64::from(*byte));
        self.sign_with(message, Behind::Request(&request.mac), asked_at, Wrong::BadTime as u16, ours);
    }

    fn sign_with(&self, message: &mut Vec<u8>, behind: Behind<'_>, time: u64, error: u16, other: Vec<u8>) -> Vec<u8> {
        let mut signature = Signature {
            key: self.name.clone(),
            at: message.len(),
            algorithm: self.algorithm.to_vec(),
            time: time.to_be_bytes()[2..].try_into().unwrap_or_default(),
            fudge: FUDGE_SECONDS,
            mac: Vec::new(),
            id: [message[0], message[1]],
            error,
            other,
        };
        let signed = self.signed(message, &signature, behind);
        signature.mac = hmac::sign(&self.hmac, &signed).as_ref().to_vec();
        signature.append(message, &self.wire);
        signature.mac
    }

    /// What is signed (RFC 8945 §4.3).
    fn signed(&self, bare: &[u8], signature: &Signature, behind: Behind<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(bare.len() + 128);
        let mut prior = |mac: &[u8]| {
            bytes.extend((mac.len() as u16).to_be_bytes());
            bytes.extend(mac);
        };
        let whole = match behind {
            Behind::Nothing => true,
            Behind::Request(mac) => {
                prior(mac);
                true
            }
            Behind::Message { mac, unsigned } => {
                prior(mac);
                bytes.extend(unsigned);
                false
            }
        };
        bytes.extend(bare);
        if whole {
            bytes.extend([&self.wire[..], &ANY.to_be_bytes(), &[0; 4], &self.algorithm].concat());
        }
        bytes.extend([&signature.time[..], &signature.fudge.to_be_bytes()].concat());
        if whole {
            let length = (signature.other.len() as u16).to_be_bytes();
            bytes.extend([&signature.error.to_be_bytes()[..], &length, &signature.other].concat());
        }
        bytes
    }
}

/// Bytes of a secret at least (RFC 8945 §8: not shorter than half of what the hash gives).
const SECRET_BYTES_MIN: usize = 16;

impl Signature {
    /// Of a message; `None` when it has none.
    ///
    /// # Errors
    /// When there is one that cannot be read, or not in its place.
    pub(crate) fn of(message: &[u8]) -> Result<Option<Self>, Wrong> {
        let count = |at| number(message, at).map(usize::from).ok_or(Wrong::Malformed);
        let mut at = HEADER_BYTES;
        for _ in 0..count(4)? {
            at = behind_name(message, at).ok_or(Wrong::Malformed)? + TYPE_AND_CLASS_BYTES;
        }
        let (others, additionals) = (count(6)? + count(8)?, count(ADDITIONALS_AT)?);
        for record in 0..others + additionals {
            let head = behind_name(message, at).ok_or(Wrong::Malformed)?;
            let end = head + RECORD_HEAD + count(head + 8)?;
            if number(message, head) == Some(TSIG) {
                // The last, of class ANY, with a TTL of 0, and nothing behind it (RFC 8945 §5.1).
                let last = record + 1 == others + additionals && record >= others && end == message.len();
                let plain = message.get(head + 2..head + 8) == Some(&[0, 255, 0, 0, 0, 0]);
                let read = Self::read(message, at, head + RECORD_HEAD).filter(|_| last && plain);
                return read.map(Some).ok_or(Wrong::Malformed);
            }
            at = end;
        }
        Ok(None)
    }

    fn read(message: &[u8], at: usize, data: usize) -> Option<Self> {
        let mut decoder = BinDecoder::new(message).clone(u16::try_from(at).ok()?);
        let key = LowerName::from(Name::read(&mut decoder).ok()?);
        let behind_algorithm = behind_name(message, data)?;
        let algorithm = message.get(data..behind_algorithm)?.to_ascii_lowercase();
        let mut rest = message.get(behind_algorithm..)?;
        let mut take = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(taken)
        };
        let time = take(6)?.try_into().ok()?;
        let fudge = number(take(2)?, 0)?;
        let length = number(take(2)?, 0)?;
        let mac = take(length.into())?.to_vec();
        let id = take(2)?.try_into().ok()?;
        let error = number(take(2)?, 0)?;
        let length = number(take(2)?, 0)?;
        let other = take(length.into())?.to_vec();
        rest.is_empty().then_some(Self { key, at, algorithm, time, fudge, mac, id, error, other })
    }

    /// Puts an unsigned record behind a response: why the request's was not taken (RFC 8945 §5.2.1 and §5.2.2).
    pub(crate) fn refuse(&self, message: &mut Vec<u8>, wrong: Wrong) {
        let refusal = Self { mac: Vec::new(), error: wrong as u16, other: Vec::new(), ..self.clone() };
        refusal.append(message, &lower(&self.key));
    }

    fn append(&self, message: &mut Vec<u8>, name: &[u8]) {
        let (mac_length, other_length) = (self.mac.len() as u16, self.other.len() as u16);
        let data = [
            &self.algorithm[..],
            &self.time,
            &self.fudge.to_be_bytes(),
            &mac_length.to_be_bytes(),
            &self.mac,
            &self.id,
            &self.error.to_be_bytes(),
            &other_length.to_be_bytes(),
            &self.other,
        ]
        .concat();
        let head = [&TSIG.to_be_bytes()[..], &ANY.to_be_bytes(), &[0; 4], &(data.len() as u16).to_be_bytes()].concat();
        message.extend([name, &head, &data].concat());
        let count = number(message, ADDITIONALS_AT).unwrap_or_default() + 1;
        message[ADDITIONALS_AT..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode, Query};
    use hickory_proto::rr::RecordType;
    use hickory_proto::serialize::binary::BinEncodable;

    use super::*;

    fn key(name: &str, byte: u8) -> Key {
        let secret = Secret { name: name.into(), algorithm: "hmac-sha256".into(), secret: vec![byte; 32] };
        Key::new(&secret).unwrap()
    }

    fn question() -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query("example.".parse().unwrap(), RecordType::AXFR));
        message.to_bytes().unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_message_its_key_and_its_time() {
        let (ours, mut message) = (key("Xfr.example", 7), question());
        assert_eq!(Signature::of(&message), Ok(None));
        let unsigned = message.len();
        let mac = ours.sign(&mut message, Behind::Nothing, 1000);
        assert_eq!(message.len() - unsigned, ours.signature_bytes());
        let signature = Signature::of(&message).unwrap().unwrap();
        assert_eq!((signature.key.clone(), &signature.mac), (ours.name.clone(), &mac));
        let verify = |key: &Key, message: &[u8], now_s| key.verify(message, &signature, Behind::Nothing, now_s);
        assert_eq!((verify(&ours, &message, 1300), verify(&ours, &message, 700)), (Ok(()), Ok(())));
        assert_eq!(verify(&ours, &message, 1301), Err(Wrong::BadTime));
        assert_eq!(verify(&key("xfr.example", 8), &message, 1000), Err(Wrong::BadSignature));
        assert_eq!(verify(&key("other.example", 7), &message, 1000), Err(Wrong::BadKey));
        assert_eq!(ours.verify(&message, &signature, Behind::Request(&[1]), 1000), Err(Wrong::BadSignature));
        let mut changed = message.clone();
        changed[2] ^= 1;
        assert_eq!(verify(&ours, &changed, 1000), Err(Wrong::BadSignature));
        // Another id than the original one is restored (RFC 8945 §5.1).
        message[1] = 99;
        assert_eq!(verify(&ours, &message, 1000), Ok(()));
    }

    #[test]
    fn a_record_that_is_not_as_it_must_be_is_malformed() {
        let mut message = question();
        key("k", 7).sign(&mut message, Behind::Nothing, 1000);
        let mut twice = message.clone();
        key("k", 7).sign(&mut twice, Behind::Nothing, 1000);
        let longer = [&message[..], &[0]].concat();
        for wrong in [twice, longer, message[..message.len() - 1].to_vec()] {
            assert_eq!(Signature::of(&wrong), Err(Wrong::Malformed));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), at: u16) {
            let _ = Signature::of(&bytes);
            let mut message = question();
            key("k", 7).sign(&mut message, Behind::Nothing, 1000);
            let at = usize::from(at) % message.len();
            let end = (at + bytes.len()).min(message.len());
            message[at..end].copy_from_slice(&bytes[..end - at]);
            let _ = Signature::of(&message);
        }
    }
}
