//! Warm jobs: a title is fetched into the cache before anybody asks for it.
//!
//! A job reads what names its objects, a manifest, a list or a sitemap, through this node's own data port, lists what [`littoral_manifests`] finds in it, and fetches
//! each object through that port too, so that a warm fetch is a miss like any other; what arrived whole is pinned. [`order`]
//! is what an operator may ask for, [`listing`] what that means, [`choice`] what of it is fetched in which order, by what [`learn`] reads in access logs,
//! [`job`] how it is done, [`fetch`] one object of it at the pace of [`bucket`] and below the ceiling of [`link`], [`stored`] whether it is there, [`pushed`] what
//! deciders are told of it; here are the jobs of a node, [`book`] keeps those that have not ended for the process after this one, and [`standing`] begins
//! those that the config has for each day. Invariant: at most [`JOBS_MAX`] jobs
//! are remembered and [`OPEN_MAX`] of them are open.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_cache::Store;
use parking_lot::Mutex;
use serde_json::Value;

mod args;
mod book;
mod bucket;
mod choice;
mod fetch;
mod job;
mod jobs;
mod learn;
mod link;
mod listing;
mod order;
mod pushed;
mod standing;
mod stored;
mod window;

pub use args::{WarmArgs, main};
pub use choice::Place;
pub use jobs::WarmCommand;
pub(crate) use learn::LOGS_MAX;
pub use order::Order;
pub use standing::Standing;
pub(crate) use standing::keep;
pub(crate) use window::zone;

use crate::control::message::Title;
use crate::itself::Itself;
use crate::node::Node;
use job::Job;

/// Jobs remembered; the oldest ended one makes room.
pub const JOBS_MAX: usize = 64;
/// Bytes of an order: a list, as JSON writes it, and popularity.
pub const ORDER_BYTES_MAX: usize =
    littoral_manifests::limits::CATALOGUE_BYTES_MAX + littoral_cache::popularity::FIGURES_BYTES_MAX + (1 << 20);
/// Jobs open at a time.
pub const OPEN_MAX: usize = 8;

/// The jobs of a node.
#[derive(Debug)]
pub struct Jobs {
    itself: Itself,
    next_id: AtomicU64,
    jobs: Mutex<Vec<Arc<Job>>>,
    book: book::Book,
    days: standing::Days,
    pushed: pushed::Pushed,
    /// By `limits.warm_rate`.
    bucket: bucket::Bucket,
    /// By `limits.warm_ceiling`.
    link: link::Link,
}

impl Jobs {
    /// For a node that asks itself for what it warms, and may keep files in a directory.
    pub fn new(itself: Itself, directory: Option<&Path>) -> Self {
        let book = book::Book::new(directory);
        let days = standing::Days::new(directory);
        let (jobs, pushed, bucket, link) = Default::default();
        Self { itself, next_id: AtomicU64::new(1), jobs, book, days, pushed, bucket, link }
    }

    /// Starts a job and returns its state. Needs a runtime.
    ///
    /// # Errors
    /// One line: what is wrong with the order, or that there are too many jobs.
    pub fn start(&self, node: &Arc<Node>, order: Order) -> Result<Value, String> {
        let (plan, source) = order.checked(node)?;
        let mut jobs = self.jobs.lock();
        if jobs.iter().filter(|job| job.is_open()).count() >= OPEN_MAX {
            return Err(format!("{OPEN_MAX} warm jobs are open already; wait for one or cancel one"));
        }
        if jobs.len() >= JOBS_MAX {
            let oldest = jobs.iter().position(|job| !job.is_open()).expect("invariant: JOBS_MAX is above OPEN_MAX");
            jobs.remove(oldest);
        }
        let job = Arc::new(Job::new(self.next_id.fetch_add(1, Relaxed), order, plan, source));
        jobs.push(job.clone());
        let told = job.told();
        drop(jobs);
        let (node, itself) = (node.clone(), self.itself.clone());
        tokio::spawn(async move {
            book::write(&node).await;
            job::run(job, node, itself).await;
        });
        Ok(told)
    }

    /// All jobs, oldest first.
    pub fn list(&self) -> Value {
        self.jobs.lock().iter().map(|job| job.told()).collect()
    }

    /// One job.
    pub fn one(&self, id: u64) -> Option<Value> {
        self.find(id).map(|job| job.told())
    }

    /// Cancels a job; what it has fetched stays. Returns its state, `None` when there is no such job.
    pub fn cancel(&self, id: u64) -> Option<Value> {
        let job = self.find(id)?;
        job.cancel();
        Some(job.told())
    }

    /// Titles that jobs have pushed to this node and are still there.
    pub(crate) fn pushed(&self, store: &Store) -> Vec<Title> {
        self.pushed.told(store)
    }

    /// Jobs that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.jobs.lock().iter().filter(|job| job.is_open()).count()
    }

    /// Bits a second that the network carried of late, in its busier direction; 0 without `limits.warm_ceiling`.
    pub(crate) fn link_bits_s(&self) -> u64 {
        self.link.bits_s()
    }

    /// Whether the job of a standing one's day has not ended.
    fn is_open_of(&self, standing: &Standing) -> bool {
        self.jobs.lock().iter().any(|job| job.is_open() && job.standing.as_ref() == Some(standing))
    }

    /// Cancels open jobs of such standing ones.
    fn cancel_standing(&self, which: impl Fn(&Standing) -> bool) {
        let jobs = self.jobs.lock().clone();
        let those = jobs.iter().filter(|job| job.is_open() && job.standing.as_ref().is_some_and(&which));
        those.for_each(|job| job.cancel());
    }

    fn find(&self, id: u64) -> Option<Arc<Job>> {
        self.jobs.lock().iter().find(|job| job.id() == id).cloned()
    }
}
