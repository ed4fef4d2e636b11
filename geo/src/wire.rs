//! Replies as bytes: what hickory's encoder makes of a question and the records for it.
//!
//! Names are compressed against the question, and a record of the name that was asked for repeats its letters as they were
//! written, so that a client that mixes their case finds them everywhere (draft-vixie-dnsext-dns0x20). [`Ready`] is such an
//! answer made beforehand: all behind the question, which is the same for all who ask. Invariant: what is ready is what
//! [`encoded`] makes of the same records and a question in small letters.

use std::collections::HashMap;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, EmitAndCount, MessageType, Metadata, OpCode, Query, emit_message_parts};
use hickory_proto::rr::{LowerName, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::answer::Reply;

/// Bytes of a header (RFC 1035 §4.1.1).
pub(crate) const HEADER_BYTES: usize = 12;
/// Bytes of type and class behind the name of a question.
pub(crate) const TYPE_AND_CLASS_BYTES: usize = 4;

/// A name in wire form, in small letters.
pub(crate) fn lower(name: &LowerName) -> Box<[u8]> {
    Name::from(name.clone()).to_bytes().unwrap_or_default().into()
}

/// Behind a name that may end in a pointer (RFC 1035 §4.1.4), which is not followed.
pub(crate) fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The number at a place.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The question that comes back, or none.
struct Asked<'a>(Option<&'a Query>);

impl EmitAndCount for Asked<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        self.0.map_or(Ok(0), |query| query.emit(encoder).map(|()| 1))
    }
}

/// The message of `reply` to `query`; `None` when it is longer than `bound` bytes.
///
/// # Errors
/// When a record cannot be written at all.
pub(crate) fn encoded(
    metadata: Metadata,
    query: Option<&Query>,
    reply: &mut Reply,
    edns: Option<&Edns>,
    bound: u16,
) -> Result<Option<Vec<u8>>, ProtoError> {
    let Reply { answers, authority, additional, .. } = reply;
    if let Some(asked) = query.map(Query::name) {
        for record in answers.iter_mut().chain(&mut *authority).filter(|record| record.name == *asked) {
            record.name.clone_from(asked);
        }
    }
    let mut message = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut message);
    encoder.set_max_size(bound);
    let (mut answers, mut authority, mut additional) = (answers.iter(), authority.iter(), additional.iter());
    let (question, sections) = (&mut Asked(query), (&mut answers, &mut authority, &mut additional));
    let (answers, authority, additional) = sections;
    let header = emit_message_parts(&metadata, question, answers, authority, additional, edns, None, &mut encoder)?;
    // Cut short is what has not all been written, unless it was meant so.
    Ok(Some(message).filter(|_| metadata.truncation || !header.metadata.truncation))
}

/// The sections of an answer, made beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Records of the answer section.
    pub(crate) answers: u16,
    /// Records of the authority section.
    pub(crate) authority: u16,
    /// Both, as they stand behind a question.
    pub(crate) bytes: Box<[u8]>,
}

impl Ready {
    /// Of a question and the records for it; `None` when they are more than one message holds.
    pub(crate) fn new(
        name: &LowerName,
        kind: RecordType,
        answers: Vec<Record>,
        authority: Vec<Record>,
    ) -> Option<Self> {
        let query = Query::query(name.into(), kind);
        let mut reply = Reply { answers, authority, ..Reply::empty(hickory_proto::op::ResponseCode::NoError) };
        let metadata = Metadata::new(0, MessageType::Response, OpCode::Query);
        let message = encoded(metadata, Some(&query), &mut reply, None, u16::MAX).ok()??;
        let begin = HEADER_BYTES + name.len().max(1) + usize::from(!name.is_root()) + TYPE_AND_CLASS_BYTES;
        let count = |records: &[Record]| u16::try_from(records.len()).ok();
        Some(Self {
            answers: count(&reply.answers)?,
            authority: count(&reply.authority)?,
            bytes: message.get(begin..)?.into(),
        })
    }
}

/// Ready answers by name (wire form, small letters) and type.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: HashMap<Box<[u8]>, Vec<(u16, Ready)>>,
}

impl Table {
    pub(crate) fn insert(&mut self, name: &LowerName, answers: Vec<(u16, Ready)>) {
        self.names.insert(lower(name), answers);
    }

    pub(crate) fn get(&self, name: &[u8], kind: u16) -> Option<&Ready> {
        self.names.get(name)?.iter().find(|(known, _)| *known == kind).map(|(_, ready)| ready)
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::rr::RData;
    use hickory_proto::rr::rdata::{A, NS};

    use super::*;

    fn name(text: &str) -> LowerName {
        text.parse::<Name>().unwrap().into()
    }

    #[test]
    fn what_is_ready_stands_behind_any_spelling_of_its_question() {
        for owner in ["www.example.", "."] {
            let owner = name(owner);
            let records = vec![
                Record::from_rdata(Name::from(&owner), 60, RData::NS(NS("ns.example.".parse().unwrap()))),
                Record::from_rdata(Name::from(&owner), 60, RData::A(A::new(192, 0, 2, 1))),
            ];
            let ready = Ready::new(&owner, RecordType::NS, records.clone(), Vec::new()).unwrap();
            assert_eq!((ready.answers, ready.authority), (2, 0));
            let question = [&lower(&owner).to_ascii_uppercase()[..], &[0, 2, 0, 1]].concat();
            let header = [0, 7, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 0];
            let message = Message::from_vec(&[&header[..], &question, &ready.bytes].concat()).unwrap();
            assert_eq!(message.answers, records);
        }
    }

    #[test]
    fn a_record_repeats_the_letters_of_the_question_and_a_message_beyond_its_bound_is_none() {
        let query = Query::query("wWw.eXample.".parse().unwrap(), RecordType::A);
        let record = Record::from_rdata("www.example.".parse().unwrap(), 60, RData::A(A::new(192, 0, 2, 1)));
        let mut reply = Reply { answers: vec![record], ..Reply::empty(hickory_proto::op::ResponseCode::NoError) };
        let metadata = Metadata::new(7, MessageType::Response, OpCode::Query);
        let mut bytes = |bound| encoded(metadata, Some(&query), &mut reply, None, bound).unwrap();
        let whole = bytes(512).unwrap();
        assert_eq!(whole.len(), 12 + 17 + 16);
        assert_eq!(whole[29..31], [0xc0, 12]);
        assert_eq!((bytes(whole.len() as u16), bytes(whole.len() as u16 - 1)), (Some(whole), None));
    }
}
