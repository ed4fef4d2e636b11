//! Hits that somebody sees between the look-up and the write, without a way through the framework: response filters of their site, and
//! what is told to players and heard of them.
//!
//! Invariant: a connection whose hits nobody sees pays nothing for this.

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::Poll;

use littoral_cache::entry::millis;
use littoral_plugin_host::filter::Point;

use super::fresh::Fresh;
use super::{Answer, Connection, Next, Step, Wire};
use crate::filters::hit::{Hit, filtered};
use crate::listen::chunks::Rest;
use crate::site::Site;
use crate::video::{Way, prefetch};

impl Connection {
    /// Has those who see an answer see it, and writes it as [`Self::answer`] does.
    pub(super) async fn show<S: Wire>(&mut self, stream: &mut S, mut answer: Box<Answer>, site: Arc<Site>) -> Step {
        if site.filters.asks(Point::Response) {
            let Fresh { entry, begun, .. } = &answer.found;
            let hit = Hit {
                site: site.clone(),
                request: self.read[..answer.head_bytes].to_vec(),
                entry: entry.clone(),
                age_s: entry.age_s(millis(*begun)),
                client: self.client.address.ip(),
                secure: !self.client.tls.is_empty(),
            };
            match filtered(hit).await {
                Some(changes) => answer.changes = changes,
                // The framework has them called again, and says what becomes of a request whose filters fail.
                None => return Step::Over(Next::HandOff(self.read.split_to(answer.head_bytes), Some(Rest::Bytes(0)))),
            }
        }
        if let Some(video) = &site.video {
            let way = if video.cmsd { self.way(stream) } else { Way::default() };
            let (head, key, client) =
                (&self.read[..answer.head_bytes], answer.found.entry.key(), self.client.address.ip());
            let told = video.on_hit(&self.node, head, key, (client, way), &mut answer.changes);
            answer.told = told.map(Box::new);
            if video.prefetch.is_some() {
                prefetch::on_hit(&self.node, &site, head, key, client);
            }
        }
        let mut answer = Some(*answer);
        poll_fn(|context| {
            let answer = answer.take().expect("invariant: it is polled once, and is ready then");
            Poll::Ready(self.answer(context, stream, answer))
        })
        .await
    }

    /// To the client, as the kernel knows it.
    fn way<S: Wire>(&self, stream: &S) -> Way {
        match &self.socket {
            Some(socket) => Way::of_socket(Some(socket.as_raw_fd())),
            None => Way::of(stream.tcp_info().as_ref()),
        }
    }
}
