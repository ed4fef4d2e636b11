//! Asks a primary for what has changed since the copy that there is, or for the whole zone, and puts it in force once it is
//! on disk.
//!
//! Invariant: nothing of an answer is used before its end has come, and where a key is shared each message of it is signed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::director::{Director, GeoError};
use crate::limits::{RECORDS_MAX, TRANSFER_IDLE_SECONDS, TRANSFER_SECONDS, ZONE_BYTES_MAX};
use crate::peers::From as Primary;
use crate::tsig::{Behind, Signature};
use crate::zone::{Change, Silent, Zone, confirm, newer, serial_of};

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    New,
    Same,
}

/// What a primary has sent.
#[derive(Debug, PartialEq)]
enum Brought {
    Nothing,
    Whole(Vec<Record>),
    Changes(Vec<Change>),
}

/// Asks the primary of a zone; `whole`: not for changes.
///
/// # Errors
/// In words, what went wrong; then nothing has changed.
pub(super) async fn fetch(director: &Arc<Director>, zone: &Zone, whole: bool) -> Result<Fetched, String> {
    let Some(primary) = zone.relations().primary.clone() else {
        return Ok(Fetched::Same);
    };
    let whole = whole || zone.silent() == Some(Silent::NoCopy);
    let all = Duration::from_secs(TRANSFER_SECONDS);
    let brought = timeout(all, ask(zone, &primary, whole)).await;
    let brought = brought.map_err(|_| format!("a copy took longer than {TRANSFER_SECONDS} s"))??;
    let (director, name) = (director.clone(), zone.name().clone());
    let applied = tokio::task::spawn_blocking(move || apply(&director, &name, &primary, brought)).await;
    applied.map_err(|error| error.to_string())?
}

async fn ask(zone: &Zone, primary: &Primary, whole: bool) -> Result<Brought, String> {
    let address = primary.address;
    let problem = |error: std::io::Error| format!("{address}: {error}");
    let idle = Duration::from_secs(TRANSFER_IDLE_SECONDS);
    let late = |_| format!("{address}: nothing came for {TRANSFER_IDLE_SECONDS} s");
    let mut stream = timeout(idle, TcpStream::connect(address)).await.map_err(late)?.map_err(problem)?;
    let kind = if whole { RecordType::AXFR } else { RecordType::IXFR };
    let mut question = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from(zone.name()), kind));
    if !whole {
        question.add_authority(zone.body().soa().clone());
    }
    let mut question = question.to_vec().map_err(|error| error.to_string())?;
    let mut prior = primary.key.as_ref().map(|key| key.sign(&mut question, Behind::Nothing, now_s()));
    let framed = [&(question.len() as u16).to_be_bytes()[..], &question].concat();
    timeout(idle, stream.write_all(&framed)).await.map_err(late)?.map_err(problem)?;
    let mut incoming = Incoming::new(serial_of(zone.body().soa()), whole);
    let (mut first, mut bytes) = (true, 0);
    while !incoming.ended {
        let length = timeout(idle, stream.read_u16()).await.map_err(late)?.map_err(problem)?;
        let mut message = vec![0; usize::from(length)];
        timeout(idle, stream.read_exact(&mut message)).await.map_err(late)?.map_err(problem)?;
        bytes += u64::from(length);
        if bytes > ZONE_BYTES_MAX {
            return Err(format!("{address}: more than {ZONE_BYTES_MAX} bytes"));
        }
        if let (Some(key), Some(before)) = (&primary.key, &mut prior) {
            let signature = Signature::of(&message).ok().flatten();
            let signature = signature.ok_or_else(|| format!("{address}: a message that is not signed"))?;
            let behind = if first { Behind::Request(before) } else { Behind::Message(before) };
            let wrong = |wrong| format!("{address}: a message whose signature is not right: {wrong:?}");
            key.verify(&message, &signature, behind, now_s()).map_err(wrong)?;
            *before = signature.mac;
        }
        if message.get(..2) != question.get(..2) {
            return Err(format!("{address}: an answer to another question"));
        }
        let message = Message::from_vec(&message).map_err(|error| format!("{address}: {error}"))?;
        if message.metadata.response_code != ResponseCode::NoError {
            return Err(format!("{address}: {}", message.metadata.response_code));
        }
        message
            .answers
            .into_iter()
            .try_for_each(|record| incoming.take(record))
            .map_err(|text| format!("{address}: {text}"))?;
        first = false;
    }
    Ok(incoming.brought())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a change removes, and the SOA record behind it.
type Gone = (Vec<Record>, Record);

/// The records of an answer, one after the other (RFC 5936 §2.2, RFC 1995 §4).
struct Incoming {
    /// The serial of the copy that there is.
    known: u32,
    whole: bool,
    newest: Option<Record>,
    /// Of a whole zone, or of the change that is being read.
    records: Vec<Record>,
    changes: Vec<Change>,
    /// The change that is being read: where it begins, what goes, and where it ends.
    from: Option<(Record, Option<Gone>)>,
    count: usize,
    ended: bool,
}

impl Incoming {
    fn new(known: u32, whole: bool) -> Self {
        Self {
            known,
            whole,
            newest: None,
            records: Vec::new(),
            changes: Vec::new(),
            from: None,
            count: 0,
            ended: false,
        }
    }

    fn take(&mut self, record: Record) -> Result<(), String> {
        self.count += 1;
        if self.ended || self.count > 2 * RECORDS_MAX {
            return Err("more records than there can be".into());
        }
        let is_soa = matches!(record.data, RData::SOA(_));
        let Some(newest) = &self.newest else {
            if !is_soa {
                return Err("an answer that does not begin with a SOA record".into());
            }
            self.ended = !self.whole && !newer(serial_of(&record), self.known);
            self.newest = Some(record);
            return Ok(());
        };
        let is_end = is_soa && serial_of(&record) == serial_of(newest);
        match (&mut self.from, is_soa) {
            // The second record tells which form it is.
            (None, true) if self.count == 2 && !is_end && !self.whole => self.from = Some((record, None)),
            (None, true) if is_end => self.ended = true,
            (None, true) => return Err("a SOA record in the middle of a zone".into()),
            (None, false) => self.records.push(record),
            (Some((_, removed @ None)), true) => *removed = Some((std::mem::take(&mut self.records), record)),
            (Some((_, Some(_))), true) => {
                self.end_change();
                if is_end {
                    self.ended = true;
                } else {
                    self.from = Some((record, None));
                }
            }
            (Some(_), false) => self.records.push(record),
        }
        Ok(())
    }

    fn end_change(&mut self) {
        if let Some((from, Some((removed, to)))) = self.from.take() {
            let added = std::mem::take(&mut self.records);
            self.changes.push(Change { from, to, removed, added });
        }
    }

    fn brought(mut self) -> Brought {
        match (self.newest.take(), self.changes.is_empty()) {
            (_, false) => Brought::Changes(self.changes),
            (Some(soa), true) if self.count > 1 => {
                self.records.push(soa);
                Brought::Whole(self.records)
            }
            _ => Brought::Nothing,
        }
    }
}

/// Puts it in force, after it was written to the file of the copy.
fn apply(director: &Director, name: &LowerName, primary: &Primary, brought: Brought) -> Result<Fetched, String> {
    let file = &primary.file;
    let unconfirmed = |error| format!("{}: {error}", file.display());
    let words = |error: GeoError| error.to_string();
    match brought {
        Brought::Nothing => {
            // One that had expired is what the primary has.
            director
                .change_zone::<GeoError>(name, |zone| Ok(zone.is_silent().then(|| zone.silenced(None))), |_, _| Ok(()))
                .map_err(words)?;
            confirm(file).map_err(unconfirmed)?;
            Ok(Fetched::Same)
        }
        Brought::Whole(records) => {
            let later = Zone::of_records(name.clone(), records).map_err(|text| format!("no zone: {text}"))?;
            let changed = director.change_zone::<GeoError>(
                name,
                |zone| Ok(Some(zone.replaced_by(later).in_place_of(zone))),
                |_, later| later.keep_whole(file, later.serial()).map_err(GeoError),
            );
            changed.map_err(words)?;
            Ok(Fetched::New)
        }
        Brought::Changes(changes) => {
            let changed = director.change_zone::<GeoError>(
                name,
                |zone| {
                    let mut later = zone.clone();
                    for change in &changes {
                        if serial_of(&change.from) != later.serial() {
                            return Err(GeoError(format!("changes that do not begin at serial {}", later.serial())));
                        }
                        later = later.after(change.clone()).map_err(GeoError)?;
                    }
                    Ok(Some(later.in_place_of(zone)))
                },
                |zone, later| {
                    changes.iter().try_for_each(|change| zone.keep_change(file, later, change)).map_err(GeoError)
                },
            );
            changed.map_err(words)?;
            Ok(Fetched::New)
        }
    }
}
