//! The book of warm jobs: the orders that have not ended, in a file, so that the process after this one does them anew.
//!
//! What is stored by then is a hit and costs nothing, so a job goes on where it stopped. A job that ended, was cancelled or was a dry run is
//! in no book. Invariant: the file is one that was true at some time; without a `[node] data` there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{OPEN_MAX, ORDER_BYTES_MAX, Order};
use crate::kept;
use crate::node::Node;

/// Its name in the directory of the node.
const FILE: &str = "warm.json";

/// Where the orders are kept.
#[derive(Debug)]
pub(super) struct Book {
    file: Option<PathBuf>,
    writing: Mutex<()>,
}

impl Book {
    pub(super) fn new(directory: Option<&Path>) -> Self {
        Self { file: directory.map(|directory| directory.join(FILE)), writing: Mutex::default() }
    }
}

/// Writes what is so now. That a file cannot be written ends no job.
pub(super) async fn write(node: &Arc<Node>) {
    let node = node.clone();
    let written = tokio::task::spawn_blocking(move || {
        let Some((jobs, file)) = node.warm.as_ref().and_then(|jobs| Some((jobs, jobs.book.file.as_ref()?))) else {
            return Ok(());
        };
        // One after the other, each of what is so when it begins: the last one is right.
        let _alone = jobs.book.writing.lock();
        if node.upgrade.is_done() {
            return Ok(()); // The book is the new process's.
        }
        let orders: Vec<Order> = jobs.jobs.lock().iter().filter_map(|job| job.unfinished()).collect();
        let text = serde_json::to_vec(&orders).map_err(|error| error.to_string())?;
        kept::write(file, &text)
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(error, "warm jobs will not be resumed after a restart");
    }
}

/// Starts what the process before this one had not ended.
pub(crate) async fn resume(node: Arc<Node>) {
    let Some((jobs, file)) = node.warm.as_ref().and_then(|jobs| Some((jobs, jobs.book.file.clone()?))) else { return };
    let most = (OPEN_MAX * ORDER_BYTES_MAX) as u64;
    let read = tokio::task::spawn_blocking(move || {
        kept::read(&file, most).map_err(|error| format!("{}: {error}", file.display()))
    });
    let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
    let orders = read.and_then(|text| {
        let text = text.unwrap_or_else(|| "[]".into());
        serde_json::from_str::<Vec<Order>>(&text).map_err(|error| format!("{FILE}: {error}"))
    });
    match orders {
        Ok(orders) => {
            for order in orders {
                let url = order.url.clone();
                match jobs.start(&node, order) {
                    Ok(job) => tracing::info!(url, job = %job["id"], "a warm job goes on"),
                    Err(error) => tracing::warn!(url, error, "a warm job does not go on"),
                }
            }
        }
        Err(error) => tracing::warn!(error, "which warm jobs had not ended is not known"),
    }
}
