//! Purges by a stream of JetStream: kept there for [`config::Control::purges_keep`], in one order, so that a node that was away does what it
//! has missed.
//!
//! How far a node has come is its own to know: in memory, and in `node.data`. The consumer is made anew from there with each connection.
//! Invariants: a purge is done here before the next one is looked at; one that cannot be got any more is said; one that was done is at most
//! done again, which harms nobody.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, Message, stream};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Carrying, Client, Ordered, PATIENCE, RETRY, Relaxed, message};
use crate::control::counts::Purged;
use crate::control::message::{PURGE_BYTES_MAX, Purge};
use crate::kept;
use crate::purge::Order;

/// Purges asked for at a time.
const AT_A_TIME: usize = 16;
/// How long the server holds such a question.
const WAIT: Duration = Duration::from_secs(20);
/// Within this the server takes the same purge once only.
const SAME_WITHIN: Duration = Duration::from_secs(120);
/// After this without a word from its node the server forgets a consumer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Purges that the stream keeps, whatever their bytes.
const KEPT_MAX: i64 = 1_000_000;
/// Attempts at a purge that fails here.
const TRIES_MAX: u32 = 5;
/// The file in `node.data` with how far this node has come.
const FILE: &str = "control-purges.json";
/// Bytes of that file.
const FILE_BYTES_MAX: u64 = 1024;
/// Said when purges cannot be got any more.
const MISSED: &str = "purges were missed and cannot be got any more: what they named may still be served here; order `littoral purge --all` at this node";

/// How far a node has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// When the stream was made, in Unix nanoseconds, which tells it from another one of the same name.
    stream: i64,
    /// The last purge that was done.
    seq: u64,
}

/// Where to go on in a stream that holds the purges from `first` on, and how many are lost; some of unknown number are one.
fn resumed(position: Option<&Position>, stream: i64, first: u64, last: u64, knows_nothing: bool) -> (u64, u64) {
    match position {
        Some(position) if position.stream == stream && position.seq <= last => {
            (first.max(position.seq + 1), first.saturating_sub(position.seq + 1))
        }
        Some(_) => (first, 1),
        None => (first, u64::from(knows_nothing)),
    }
}

impl Carrying {
    fn stream(&self) -> stream::Config {
        stream::Config {
            name: format!("{}-purges", self.settings.prefix),
            subjects: vec![format!("{}.purge.*", self.settings.prefix)],
            storage: stream::StorageType::File,
            discard: stream::DiscardPolicy::Old,
            max_age: self.settings.purges_keep.0,
            max_bytes: i64::try_from(self.settings.purges_bytes.0).unwrap_or(i64::MAX),
            max_messages: KEPT_MAX,
            max_message_size: PURGE_BYTES_MAX as i32,
            duplicate_window: SAME_WITHIN.min(self.settings.purges_keep.0),
            num_replicas: self.settings.replicas,
            ..stream::Config::default()
        }
    }

    /// Has the server keep what was ordered here, one after the other, for as long as it takes.
    pub(super) async fn tell_purges(self, client: Client, mut orders: mpsc::Receiver<Ordered>) {
        let context = jetstream::new(client);
        let subject = format!("{}.purge.{}", self.settings.prefix, message::token(&self.own.1));
        let mut seq = 0;
        while let Some(Ordered { order, done }) = orders.recv().await {
            seq += 1;
            let (id, bytes) = self.written(seq, order);
            let kept = self.keep(&context, &subject, &id, bytes).await;
            self.node.control.counts.purge(if kept { Purged::Sent } else { Purged::Unsent });
            self.link.waiting.fetch_sub(1, Relaxed);
            let _ = done.send(kept);
        }
    }

    /// Returns whether the server has it: only one that it will never take is given up.
    async fn keep(&self, context: &Context, subject: &str, id: &str, bytes: Vec<u8>) -> bool {
        let mut said = false;
        loop {
            self.connected().await;
            let publish = PublishMessage::build().payload(bytes.clone().into()).message_id(id);
            let problem = match context.send_publish(subject.to_owned(), publish).await {
                Ok(acknowledged) => match acknowledged.await {
                    Ok(_) => return true,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if problem.kind() == PublishErrorKind::MaxPayloadExceeded {
                tracing::error!(%problem, "a purge is not told to others: the control plane does not take it");
                return false;
            }
            if !said {
                tracing::warn!(%problem, "a purge is not told to others yet");
                said = true;
            }
            // There may be no stream yet.
            let _ = context.get_or_create_stream(self.stream()).await;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Waits until there is a connection; says which one.
    async fn connected(&self) -> u64 {
        let mut made = self.link.made.subscribe();
        made.wait_for(|(_, is_there)| *is_there).await.map_or(0, |now| now.0)
    }

    /// Does what others have ordered, for as long as the node runs.
    pub(super) async fn follow_purges(self, client: Client) {
        let mut context = jetstream::new(client);
        context.set_timeout(PATIENCE);
        let file = self.node.settings.load().node.data.as_ref().map(|data| data.join(FILE));
        let mut position = file.as_deref().and_then(read);
        let mut said = false;
        loop {
            let times = self.connected().await;
            let mut made = self.link.made.subscribe();
            // A question that was under way when a connection ended is never answered.
            let again = made.wait_for(|now| now.0 != times);
            let outcome = tokio::select! {
                outcome = self.consume(&context, &mut position, file.as_deref()) => outcome,
                _ = again => Ok(()),
            };
            match outcome {
                Ok(()) => said = false,
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(%error, "purges of others are not heard: is JetStream there, and may this node use it?");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn consume(
        &self,
        context: &Context,
        position: &mut Option<Position>,
        file: Option<&Path>,
    ) -> Result<(), async_nats::Error> {
        let stream = context.get_or_create_stream(self.stream()).await?;
        let info = stream.get_info().await?;
        let (made, state) = (i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(0), &info.state);
        let first = if state.messages == 0 { state.last_sequence + 1 } else { state.first_sequence.max(1) };
        let has_kept = self.node.store.disks().is_some() && file.is_some_and(|file| !file.exists());
        let (from, missed) = resumed(position.as_ref(), made, first, state.last_sequence, has_kept && first > 1);
        self.missed(missed);
        let mut at = Position { stream: made, seq: from - 1 };
        self.come(position, &at, file).await;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(600),
            inactive_threshold: FORGOTTEN_AFTER,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        loop {
            let mut batch = consumer.batch().max_messages(AT_A_TIME).expires(WAIT).messages().await?;
            while let Some(next) = batch.next().await {
                let next = next?;
                let seq = next.info().map_err(|error| error.to_string())?.stream_sequence;
                if seq > at.seq {
                    self.missed(seq - at.seq - 1);
                    self.take(&next).await;
                    at.seq = seq;
                    self.come(position, &at, file).await;
                }
                next.ack().await?;
            }
        }
    }

    /// Purges of this number are gone.
    fn missed(&self, count: u64) {
        if count > 0 {
            self.node.control.counts.missed.add(count);
            tracing::error!(count, "{MISSED}");
        }
    }

    /// This node has come as far as this.
    async fn come(&self, position: &mut Option<Position>, at: &Position, file: Option<&Path>) {
        if position.as_ref() == Some(at) {
            return;
        }
        *position = Some(at.clone());
        let (Some(file), Ok(text)) = (file.map(Path::to_owned), serde_json::to_vec(at)) else { return };
        // The disk is waited for, elsewhere.
        let writing = tokio::task::spawn_blocking(move || kept::write(&file, &text));
        if let Err(problem) = writing.await.unwrap_or_else(|error| Err(error.to_string())) {
            tracing::error!(problem, "how far purges were done is not kept: after a restart they are done again");
        }
    }

    /// Does a purge, unless it is this process' own.
    async fn take(&self, message: &Message) {
        let counts = &self.node.control.counts;
        let from = message.subject.rsplit('.').next().and_then(message::name).filter(|from| !from.is_empty());
        let expected = from.and_then(|from| {
            let heard = self.node.control.heard.lock();
            heard.expected().admit_node(&from).is_ok().then_some(from)
        });
        let (Some(from), Ok(purge)) = (expected, Purge::read(&message.payload)) else {
            counts.purge(Purged::Refused);
            return tracing::warn!(subject = %message.subject, "a purge is refused: it cannot be read, or its node is not in control.nodes");
        };
        if from == self.own.1 && purge.run == self.node.control.run {
            return counts.purge(Purged::Own);
        }
        counts.purge(self.carry_out(&from, purge).await);
    }

    /// What became of it.
    async fn carry_out(&self, from: &str, purge: Purge) -> Purged {
        for attempt in 1..=TRIES_MAX {
            let Ok(order) = serde_json::from_value::<Order>(purge.order.clone()) else { break };
            match crate::purge::everywhere(&self.node, order, None).await {
                Ok(_) => return Purged::Done,
                Err(crate::purge::Undone::Wrong(problem)) => {
                    tracing::warn!(from, problem, "a purge of another node is refused");
                    return Purged::Refused;
                }
                Err(undone) if attempt == TRIES_MAX => {
                    tracing::error!(from, %undone, "a purge of another node was not done");
                    return Purged::Failed;
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
        tracing::warn!(from, "a purge of another node is refused: it is no order");
        Purged::Refused
    }
}

/// What was kept of an earlier process.
fn read(file: &Path) -> Option<Position> {
    let text = kept::read(file, FILE_BYTES_MAX).transpose()?;
    let position = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    // It was there: what was done is not known, but that something was.
    Some(position.unwrap_or(Position { stream: 0, seq: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_goes_on_after_the_last_purge_it_did_and_knows_how_many_it_cannot_get() {
        let at = |stream, seq| Some(Position { stream, seq });
        for (position, first, last, knows_nothing, expected) in [
            (None, 1, 0, false, (1, 0)),
            (None, 5, 9, false, (5, 0)),
            (None, 5, 9, true, (5, 1)),
            (at(7, 4), 1, 9, false, (5, 0)),
            (at(7, 4), 5, 9, false, (5, 0)),
            (at(7, 4), 6, 9, false, (6, 1)),
            (at(7, 4), 10, 9, false, (10, 5)),
            (at(7, 9), 10, 9, false, (10, 0)),
            (at(7, 9), 1, 3, false, (1, 1)),
            (at(6, 4), 1, 9, false, (1, 1)),
        ] {
            let told = resumed(position.as_ref(), 7, first, last, knows_nothing);
            assert_eq!(told, expected, "{position:?} {first} {last}");
        }
    }

    #[test]
    fn a_position_outlives_a_process_and_a_torn_one_is_known_as_such() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        assert_eq!(read(&file), None);
        kept::write(&file, &serde_json::to_vec(&Position { stream: 7, seq: 3 }).unwrap()).unwrap();
        assert_eq!(read(&file), Some(Position { stream: 7, seq: 3 }));
        std::fs::write(&file, "{\"stream\":7").unwrap();
        assert_eq!(read(&file), Some(Position { stream: 0, seq: 0 }));
    }
}
