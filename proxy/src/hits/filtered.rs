//! Hits whose response filters see: called between the look-up and the write, without a way through the framework.
//!
//! Invariant: a connection whose hits no filter sees pays nothing for this.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use littoral_cache::entry::millis;

use super::fresh::Fresh;
use super::{Answer, Connection, Next, Step, Wire};
use crate::filters::hit::{Hit, filtered};
use crate::listen::chunks::Rest;
use crate::site::Site;

impl Connection {
    /// Has the filters of the site see an answer, and writes it as [`Self::answer`] does.
    pub(super) async fn filter<S: Wire>(&mut self, stream: &mut S, mut answer: Box<Answer>, site: Arc<Site>) -> Step {
        let Fresh { entry, begun, .. } = &answer.found;
        let hit = Hit {
            site,
            request: self.read[..answer.head_bytes].to_vec(),
            entry: entry.clone(),
            age_s: entry.age_s(millis(*begun)),
            client: self.client.address.ip(),
            secure: !self.client.tls.is_empty(),
        };
        match filtered(hit).await {
            Some(changes) => {
                answer.changes = changes;
                let mut answer = Some(*answer);
                poll_fn(|context| {
                    let answer = answer.take().expect("invariant: it is polled once, and is ready then");
                    Poll::Ready(self.answer(context, stream, answer))
                })
                .await
            }
            // The framework has them called again, and says what becomes of a request whose filters fail.
            None => Step::Over(Next::HandOff(self.read.split_to(answer.head_bytes), Some(Rest::Bytes(0)))),
        }
    }
}
