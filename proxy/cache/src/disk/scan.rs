//! Looking through the disks: at the start, to know what is there, and when the ledger fills up, to forget its purges.
//!
//! Every file's header is read and verified. What is not as it was written, what a purge names and what another disk is now
//! asked for is removed. The node serves meanwhile: what the index does not have yet is looked up in the directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::amend::{Amended, Stamp};
use super::writer::item_of;
use super::{Shared, Volume, layout, url_id, volume};
use crate::limits::DISK_SCANNERS;
use crate::surrogate::{Purged, keys_of};

/// Directories of objects.
const DIRECTORIES: usize = 1 << 12;
/// How much less of a core a scanner gets than those who serve, when both want it (setpriority(2)): a tenth. It needs no more, since
/// what it has not seen yet is found without it, and not so little that it would never end on a busy node.
const NICENESS: i32 = 10;
/// How often the ledger is looked at, should a word that something is to be done come while it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keeping thread: looks through the disks at the start, and again whenever half the ledger is used.
pub(super) fn keep(shared: &Shared, volumes: &[Arc<Volume>]) {
    while !shared.closing.load(Relaxed) {
        let number = shared.next_purge.load(Relaxed);
        // What is being written may have been found in order before the purges noted so far; what is written from here on is
        // not.
        volumes.iter().for_each(|volume| volume.flush(None));
        look_through_all(shared, volumes);
        // What was passed over because it is about to be replaced or removed is, until here.
        volumes.iter().for_each(|volume| volume.flush(None));
        if shared.closing.load(Relaxed) {
            return;
        }
        shared.forget(number, volumes);
        let mut rounds = shared.rounds.0.lock();
        *rounds += 1;
        shared.rounds.1.notify_all();
        while !shared.closing.load(Relaxed) && !shared.ledger.is_filling() {
            shared.rounds.1.wait_for(&mut rounds, LOOK_EVERY);
            parking_lot::MutexGuard::unlocked(&mut rounds, || {
                shared.commit(volumes);
                volumes.iter().filter(|volume| !volume.is_out()).for_each(|volume| volume.settle(shared));
            });
        }
    }
}

fn look_through_all(shared: &Shared, volumes: &[Arc<Volume>]) {
    std::thread::scope(|scope| {
        for volume in volumes.iter().filter(|volume| !volume.is_out()) {
            scope.spawn(move || {
                volume.looked_at.store(0, Relaxed);
                let next = AtomicUsize::new(0);
                std::thread::scope(|scanners| {
                    for _ in 0..DISK_SCANNERS {
                        scanners.spawn(|| {
                            yield_to_others();
                            look_through(shared, volumes, volume, &next);
                        });
                    }
                });
                volume.set_scanned();
            });
        }
    });
}

/// Puts this thread behind those who serve; on Linux, a priority is that of a thread.
fn yield_to_others() {
    // What cannot be had (a sandbox may forbid it) is not needed.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Takes one directory after the other.
fn look_through(shared: &Shared, volumes: &[Arc<Volume>], volume: &Arc<Volume>, next: &AtomicUsize) {
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= DIRECTORIES {
            return;
        }
        let Ok(names) = std::fs::read_dir(layout::objects(&volume.root).join(format!("{number:03x}"))) else {
            continue;
        };
        for entry in names.flatten() {
            if shared.closing.load(Relaxed) || volume.is_out() {
                return;
            }
            volume.looked_at.fetch_add(1, Relaxed);
            match entry.file_name().to_str().and_then(layout::id_of_name) {
                Some(id) => look_at(shared, volumes, volume, id),
                None => volume.unlink(&entry.path(), &shared.counters),
            }
        }
    }
}

fn look_at(shared: &Shared, volumes: &[Arc<Volume>], volume: &Arc<Volume>, id: u128) {
    let counters = &shared.counters;
    if volume.queue.concerns(id) {
        return;
    }
    let Some(object) = volume.open(id, counters) else { return };
    let header = &object.header;
    let (url, stamp) = (url_id(&header.key), Stamp::of_header(header));
    let (surrogates, _) = keys_of(&header.head.headers);
    let purged = shared.ledger.since(header.purges, &header.key, &surrogates);
    if purged == Purged::Hard {
        counters.purged.fetch_add(1, Relaxed);
        return volume.remove_stamped(id, stamp, shared);
    }
    if !volume::place(volumes, id).is_some_and(|placed| Arc::ptr_eq(placed, volume)) {
        return volume.remove_now(id, shared);
    }
    if purged == Purged::Soft && !header.expired {
        match volume.mark_expired(id, stamp) {
            Amended::Done => {}
            Amended::Other => return,
            // It would be fresh again once the purge is forgotten.
            Amended::Failed => return volume.remove_stamped(id, stamp, shared),
        }
    }
    let mut item = item_of(id, object.file_bytes, header, header.stored_ms);
    item.class = u16::from(header.head.headers.contains_key(http::header::VIA));
    if let Some(until_ms) = shared.ledger.pinned_until_ms(url) {
        item.pinned_until_s = u32::try_from(until_ms.div_ceil(1000)).unwrap_or(u32::MAX);
    }
    if volume.index.insert_unknown(item) {
        volume.found(id);
    }
    volume.note_variant(header.is_variant);
}
