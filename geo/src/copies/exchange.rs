//! One question to a primary over TCP, and the messages that answer it.
//!
//! Invariant: a message that is handed out answers the question, and where a key is shared it is signed or lies between two that are. Those
//! without a signature of their own are to be used only once [`Exchange::end`] has said so.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::{TRANSFER_IDLE_SECONDS, ZONE_BYTES_MAX};
use crate::peers::From as Primary;
use crate::tsig::{Behind, Chain};
use crate::zone::Zone;

/// Why nothing came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// What was answered is of no use: where it was to be changes, the whole zone is asked for.
    Unfit(String),
    /// The primary cannot be reached or believed, or the copy cannot be kept.
    Other(String),
}

/// A question and how far its answer has come.
pub(super) struct Exchange {
    address: SocketAddr,
    stream: TcpStream,
    question: Query,
    id: u16,
    chain: Option<Chain>,
    bytes: u64,
}

impl Exchange {
    /// Asks for a zone, or for what has changed since the copy.
    pub(super) async fn begin(zone: &Zone, primary: &Primary, whole: bool) -> Result<Self, Failure> {
        let address = primary.address;
        let problem = |error: std::io::Error| Failure::Other(format!("{address}: {error}"));
        let idle = Duration::from_secs(TRANSFER_IDLE_SECONDS);
        let late = |_| Failure::Other(format!("{address}: no connection within {TRANSFER_IDLE_SECONDS} s"));
        let mut stream = timeout(idle, TcpStream::connect(address)).await.map_err(late)?.map_err(problem)?;
        let kind = if whole { RecordType::AXFR } else { RecordType::IXFR };
        let question = Query::query(Name::from(zone.name()), kind);
        let id = rand::random();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(question.clone());
        if !whole {
            message.add_authority(zone.body().soa().clone());
        }
        let mut message = message.to_vec().map_err(|error| Failure::Other(error.to_string()))?;
        let chain = primary.key.clone().map(|key| {
            let signature = key.sign(&mut message, Behind::Nothing, now_s());
            Chain::behind(key, signature)
        });
        let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        timeout(idle, stream.write_all(&framed)).await.map_err(late)?.map_err(problem)?;
        Ok(Self { address, stream, question, id, chain, bytes: 0 })
    }

    /// The records of the next message.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, Failure> {
        let message = self.message().await?;
        if let Some(chain) = &mut self.chain {
            chain.take(&message, now_s()).map_err(|text| Failure::Other(format!("{}: {text}", self.address)))?;
        }
        let message = Message::from_vec(&message).map_err(|error| self.unfit(error))?;
        let head = &message.metadata;
        let is_other = (head.id, head.message_type, head.op_code) != (self.id, MessageType::Response, OpCode::Query);
        // Further messages may leave the question out (RFC 5936 §2.2.1).
        if is_other || message.queries.iter().any(|query| *query != self.question) {
            return Err(self.unfit("an answer to another question"));
        }
        if head.response_code != ResponseCode::NoError || head.truncation {
            let what = if head.truncation { "a message that is cut".into() } else { head.response_code.to_string() };
            return Err(self.unfit(what));
        }
        Ok(message.answers)
    }

    /// Whether what has come may be used.
    pub(super) fn end(&self) -> Result<(), Failure> {
        match &self.chain {
            Some(chain) if !chain.is_closed() => {
                Err(Failure::Other(format!("{}: an end that is not signed", self.address)))
            }
            _ => Ok(()),
        }
    }

    /// Names the primary in what is wrong with its answer.
    pub(super) fn unfit(&self, what: impl std::fmt::Display) -> Failure {
        Failure::Unfit(format!("{}: {what}", self.address))
    }

    async fn message(&mut self) -> Result<Vec<u8>, Failure> {
        let idle = Duration::from_secs(TRANSFER_IDLE_SECONDS);
        let read = async {
            let length = self.stream.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            self.stream.read_exact(&mut message).await.map(|_| message)
        };
        let message = match timeout(idle, read).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => return Err(self.unfit(format_args!("it ended early: {error}"))),
            Err(_) => return Err(self.unfit(format_args!("nothing came for {TRANSFER_IDLE_SECONDS} s"))),
        };
        self.bytes += message.len() as u64;
        if self.bytes > ZONE_BYTES_MAX {
            return Err(Failure::Other(format!("{}: more than {ZONE_BYTES_MAX} bytes", self.address)));
        }
        Ok(message)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
