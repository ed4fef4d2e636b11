//! One fetch of a job: through the node itself, as fast as the rates let it.
//!
//! Whether it is stored then, and whether it is tried again, is [`super::job`]'s. The body is read at the pace of the job's bucket and the node's, and what
//! is not read holds the origin up; but a viewer who waits for the same object is not made to: as long as there is one, it is read on and owed. Invariants:
//! every byte that did not come from the cache is paid for, of a failed fetch too; no wait is without a bound, and none is for the whole body.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use littoral_cache::{Found, Key};
use reqwest::Response;
use url::Url;

use super::bucket::Bucket;
use super::job::Work;
use super::stored::{AGENT, is_stored};

/// Until the head of an answer is there.
const HEAD_WAIT: Duration = Duration::from_secs(60);
/// Between two pieces of a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of one object.
const OBJECT_BYTES_MAX: u64 = 4 << 30;
/// Bytes a second that a body is read at least, or the node would take its own job for a client that hangs (`limits.write_timeout`); what that is
/// above the rate is owed before the next object.
const FLOOR_BYTES_S: u64 = 32 << 10;
/// How often one that waits reckons how long it still has to.
const RECKON: Duration = Duration::from_secs(1);
/// How often a reader that waits looks whether somebody waits for it.
const LOOK: Duration = Duration::from_millis(250);

/// What a fetch brought.
pub(super) struct Got {
    pub(super) bytes: u64,
    pub(super) hit: bool,
}

/// Why a fetch brought nothing, and whether another try may.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) error: String,
    pub(super) again: bool,
}

impl Work<'_> {
    /// Asks the node itself; the body is read to its end, so that a cut one is noticed.
    pub(super) async fn fetch(&self, url: &Url, mut keep: Option<&mut Vec<u8>>) -> Result<Got, Miss> {
        let key = self.key(url)?;
        let was_stored = is_stored(self.node, url, &key).await;
        let host = url.host_str().unwrap_or_default();
        let target = crate::itself::url(&url[url::Position::BeforePath..url::Position::AfterQuery]);
        let request = self.client.get(target).header("host", host).header(http::header::USER_AGENT, AGENT);
        // What is warm is the origin's, and a manifest lists what there is, not what players are let see of it.
        let request = request.header(crate::request::manifest::AS_IS, &self.node.token);
        let mut response = within(HEAD_WAIT, "no answer", request.send()).await?;
        let status = response.status();
        if status != 200 {
            return Err(Miss { error: format!("status {status}"), again: !status.is_client_error() });
        }
        let cache_status = response.headers().get("cache-status").and_then(|value| value.to_str().ok());
        // Of slices the first one's; some may have been missing.
        let hit = was_stored && cache_status.is_some_and(littoral_cache::is_hit);
        // Now, while it is in flight: a crowded cache may evict a new object as soon as it is published.
        self.node.store.pin(&key, self.job.plan.pin_until);
        let mut bytes = 0;
        while let Some(piece) = next(&mut response).await? {
            let length = piece.len() as u64;
            bytes += length;
            if bytes > OBJECT_BYTES_MAX {
                return Err(Miss { error: "an object of more than 4 GiB".into(), again: false });
            }
            if let Some(keep) =
                keep.as_deref_mut().filter(|kept| kept.len() < littoral_manifests::limits::CATALOGUE_BYTES_MAX + 1)
            {
                keep.extend_from_slice(&piece);
            }
            // A hit cost the origin nothing.
            if !hit {
                self.pay(length);
                self.hold_back(length, &key).await;
            }
        }
        Ok(Got { bytes, hit })
    }

    /// Whether the machine's network carries more than leaves room for jobs.
    fn is_crowded(&self) -> bool {
        let ceiling = self.node.settings.load().limits.warm_ceiling;
        self.node.warm.as_ref().zip(ceiling).is_some_and(|(jobs, ceiling)| jobs.link.bits_s() > ceiling.0)
    }

    /// Waits until nothing is owed and there is room on the link.
    pub(super) async fn pace(&self) {
        loop {
            let (owed, is_crowded) = (self.owed(), self.is_crowded());
            {
                let mut progress = self.job.progress.lock();
                (progress.owed_s, progress.is_crowded) = (owed.as_secs_f64().ceil() as u64, is_crowded);
            }
            // A reload may raise the node's rate, and the link may be free by then.
            match (owed.is_zero(), is_crowded) {
                (true, false) => return,
                (_, true) => tokio::time::sleep(RECKON).await,
                (false, false) => tokio::time::sleep(owed.min(RECKON)).await,
            }
        }
    }

    fn pay(&self, bytes: u64) {
        self.spent.fetch_add(bytes, Relaxed);
        self.buckets().into_iter().flatten().for_each(|(bucket, rate)| bucket.take(bytes, rate));
    }

    fn owed(&self) -> Duration {
        let owed = self.buckets().into_iter().flatten().map(|(bucket, rate)| bucket.owed(rate));
        owed.max().unwrap_or_default()
    }

    /// Those that have a rate: the job's and the node's.
    fn buckets(&self) -> [Option<(&Bucket, u64)>; 2] {
        let whole = self.node.warm.as_ref().zip(self.node.settings.load().limits.warm_rate);
        let own = self.job.plan.rate.map(|rate| (&self.bucket, rate));
        [own, whole.map(|(jobs, rate)| (&jobs.bucket, rate.0))]
    }

    /// Waits after a piece of an object, unless somebody else wants it.
    async fn hold_back(&self, bytes: u64, key: &Key) {
        let mut left = Duration::from_secs_f64(bytes as f64 / FLOOR_BYTES_S as f64);
        loop {
            let wait = self.owed().min(left).min(LOOK);
            if wait.is_zero() || is_waited_for(self.node, key) {
                return;
            }
            tokio::time::sleep(wait).await;
            left -= wait;
        }
    }
}

/// Whether others than the job itself read what it fetches.
fn is_waited_for(node: &crate::node::Node, key: &Key) -> bool {
    matches!(node.store.lookup(key, None), Some(Found::Filling(fill)) if fill.readers() > 1)
}

/// The next piece of a body.
async fn next(response: &mut Response) -> Result<Option<Bytes>, Miss> {
    within(SILENCE_MAX, "nothing more of the body", response.chunk()).await
}

async fn within<T>(most: Duration, what: &str, reply: impl Future<Output = reqwest::Result<T>>) -> Result<T, Miss> {
    let again = |error| Miss { error, again: true };
    match tokio::time::timeout(most, reply).await {
        Ok(reply) => reply.map_err(|error| again(error.without_url().to_string())),
        Err(_) => Err(again(format!("{what} for {} s", most.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// Pieces that come so long after each other.
    fn body(every: Duration, count: u32) -> Response {
        let pieces = stream::unfold(0, move |at| async move {
            tokio::time::sleep(every).await;
            (at < count).then_some((Ok::<_, std::io::Error>(Bytes::from_static(b"piece")), at + 1))
        });
        http::Response::new(reqwest::Body::wrap_stream(pieces)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_as_long_as_it_likes_while_something_comes_of_it() {
        let (mut slow, mut pieces) = (body(Duration::from_secs(59), 100), 0);
        while next(&mut slow).await.unwrap().is_some() {
            pieces += 1;
        }
        assert_eq!(pieces, 100);
        let silent = next(&mut body(Duration::from_secs(61), 1)).await.unwrap_err();
        assert_eq!((silent.error.as_str(), silent.again), ("nothing more of the body for 60 s", true));
    }
}
