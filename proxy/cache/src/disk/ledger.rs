//! Which purges concern what is on disk: the memory of the [journal](super::journal).
//!
//! An object's header says which purges it has outlived by a number; whoever reads it asks here whether a later one names it.
//! So a purge need not find the files it names, and what it names stays gone whenever, and in whichever process, the file is
//! looked at.
//!
//! Invariant: what is forgotten here names nothing on disk any more, or everything written before counts as purged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::disk::journal::{Record, Subject};
use crate::disk::url_id;
use crate::key::digest;
use crate::limits::{LEDGER_PATTERNS, LEDGER_TARGETS};
use crate::surrogate::Purged;
use crate::target::Target;

/// Purges and pins of what is on disk.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Times it was full.
    pub(crate) overflows: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// What is found by a digest.
    marks: HashMap<Subject, Marks>,
    /// What has to be tried on each object.
    patterns: Vec<(Subject, Target, Marks)>,
    /// Pinned objects and until when, in Unix milliseconds.
    pins: HashMap<u128, u64>,
    /// What the journals have not been told yet.
    pending: Vec<Record>,
}

/// One more than the number of the last purge of each strength; 0: none.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    soft: u64,
    hard: u64,
}

impl Ledger {
    /// Notes a purge, to be recorded by the next commit.
    pub(crate) fn note(&self, number: u64, target: &Target, purged: Purged) {
        let subject = subject_of(target);
        let mut state = self.state.lock();
        let record = match state.has_room_for(&subject) {
            true => Record { subject, number, hard: purged == Purged::Hard },
            false => {
                self.overflows.fetch_add(1, Relaxed);
                Record { subject: Subject::All, number, hard: true }
            }
        };
        state.learn(record.clone());
        state.pending.push(record);
    }

    /// Notes a pin, to be recorded by the next commit; 0 unpins.
    pub(crate) fn pin(&self, id: u128, until_ms: u64) {
        let record = Record { subject: Subject::Pin(id), number: until_ms, hard: false };
        let mut state = self.state.lock();
        state.learn(record.clone());
        state.pending.push(record);
    }

    /// Takes in what a journal tells.
    pub(crate) fn learn(&self, record: Record) {
        self.state.lock().learn(record);
    }

    /// The strongest purge, numbered `purges` or higher, that names an object of this key and these surrogate keys.
    pub(crate) fn since(&self, purges: u64, key_text: &[u8], surrogates: &[u128]) -> Purged {
        let host = &key_text[..key_text.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1)];
        let own = [Subject::All, Subject::Url(url_id(key_text)), Subject::Host(digest(&[host]))];
        let subjects = own.into_iter().chain(surrogates.iter().map(|key| Subject::Surrogate(*key)));
        let state = self.state.lock();
        let found = subjects.filter_map(|subject| state.marks.get(&subject)).map(|marks| marks.since(purges)).max();
        let tried = state.patterns.iter().filter(|(_, _, marks)| marks.since(purges) != Purged::No);
        let named = tried.filter(|(_, target, _)| target.names(key_text, &[])).map(|(_, _, marks)| marks.since(purges));
        found.max(named.max()).unwrap_or(Purged::No)
    }

    /// Until when an object is pinned, in Unix milliseconds; 0 when it is not, `None` when nothing is known.
    pub(crate) fn pinned_until_ms(&self, id: u128) -> Option<u64> {
        self.state.lock().pins.get(&id).copied()
    }

    /// What the journals have not been told yet; they are told by the caller.
    pub(crate) fn take_pending(&self) -> Vec<Record> {
        std::mem::take(&mut self.state.lock().pending)
    }

    /// Forgets purges numbered below `number`, which name nothing on disk any more, and pins that are over.
    pub(crate) fn forget(&self, number: u64, now_ms: u64) {
        let mut state = self.state.lock();
        state.forget(number);
        state.pins.retain(|_, until_ms| *until_ms > now_ms);
    }

    /// All there is to know, for a journal that starts anew.
    pub(crate) fn records(&self) -> Vec<Record> {
        let state = self.state.lock();
        let patterns = state.patterns.iter().map(|(subject, _, marks)| (subject, marks));
        let mut records = Vec::with_capacity(state.marks.len() + state.pins.len());
        for (subject, marks) in state.marks.iter().chain(patterns) {
            let of = |mark: u64, hard| (mark > 0).then(|| Record { subject: subject.clone(), number: mark - 1, hard });
            records.extend(of(marks.soft, false).into_iter().chain(of(marks.hard, true)));
        }
        records.extend(state.pins.iter().map(|(id, until_ms)| Record {
            subject: Subject::Pin(*id),
            number: *until_ms,
            hard: false,
        }));
        records
    }

    /// Purges it remembers.
    pub(crate) fn targets(&self) -> usize {
        let state = self.state.lock();
        state.marks.len() + state.patterns.len()
    }

    /// Whether it is time to look through the disks, so that it can forget.
    pub(crate) fn is_filling(&self) -> bool {
        let state = self.state.lock();
        state.marks.len() > LEDGER_TARGETS / 2 || state.patterns.len() > LEDGER_PATTERNS / 2
    }
}

impl Marks {
    fn since(self, purges: u64) -> Purged {
        match () {
            () if self.hard > purges => Purged::Hard,
            () if self.soft > purges => Purged::Soft,
            () => Purged::No,
        }
    }
}

impl State {
    fn has_room_for(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Prefix(_) | Subject::Regex(_) => {
                self.patterns.len() < LEDGER_PATTERNS || self.patterns.iter().any(|(known, _, _)| known == subject)
            }
            _ => self.marks.len() < LEDGER_TARGETS || self.marks.contains_key(subject),
        }
    }

    fn learn(&mut self, record: Record) {
        let Record { subject, number, hard } = record;
        if let Subject::Pin(id) = subject {
            self.pins.insert(id, number);
            return;
        }
        let is_all = subject == Subject::All;
        let marks = match pattern_of(&subject) {
            None => self.marks.entry(subject).or_default(),
            Some(target) => {
                let known = self.patterns.iter().position(|(known, _, _)| *known == subject);
                let place = known.unwrap_or(self.patterns.len());
                if known.is_none() {
                    self.patterns.push((subject, target, Marks::default()));
                }
                &mut self.patterns[place].2
            }
        };
        let mark = if hard { &mut marks.hard } else { &mut marks.soft };
        *mark = (*mark).max(number.saturating_add(1));
        if is_all && hard {
            // It says more than all that came before.
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.marks.retain(|_, marks| marks.soft.max(marks.hard) > number);
        self.patterns.retain(|(_, _, marks)| marks.soft.max(marks.hard) > number);
    }
}

fn subject_of(target: &Target) -> Subject {
    match target {
        Target::Url(key) => Subject::Url(url_id(key.text())),
        Target::Surrogate(key) => Subject::Surrogate(*key),
        Target::All => Subject::All,
        Target::Host(start) => Subject::Host(digest(&[start])),
        Target::Prefix(start) => Subject::Prefix(start.clone()),
        Target::Regex(regex) => Subject::Regex(regex.as_str().as_bytes().into()),
    }
}

/// What has to be tried on each object. An expression that is none any more names everything.
fn pattern_of(subject: &Subject) -> Option<Target> {
    match subject {
        Subject::Prefix(start) => Some(Target::Prefix(start.clone())),
        Subject::Regex(pattern) => {
            Some(std::str::from_utf8(pattern).ok().and_then(|text| Target::regex(text).ok()).unwrap_or(Target::All))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::key::Key;

    fn url(number: u128) -> Target {
        Target::Url(Key::new("h", &format!("/{number}")))
    }

    fn since(ledger: &Ledger, purges: u64, number: u128, surrogates: &[u128]) -> Purged {
        ledger.since(purges, Key::new("h", &format!("/{number}")).text(), surrogates)
    }

    #[test]
    fn a_purge_names_what_began_before_it_and_not_what_began_after() {
        let ledger = Ledger::default();
        ledger.note(5, &url(1), Purged::Hard);
        ledger.note(6, &Target::Surrogate(9), Purged::Soft);
        assert_eq!([5, 6].map(|purges| since(&ledger, purges, 1, &[])), [Purged::Hard, Purged::No]);
        assert_eq!([6, 7].map(|purges| since(&ledger, purges, 2, &[8, 9])), [Purged::Soft, Purged::No]);
        assert_eq!(since(&ledger, 0, 2, &[8]), Purged::No);
        ledger.note(7, &Target::All, Purged::Soft);
        let expected = [Purged::Hard, Purged::Hard, Purged::Soft, Purged::No];
        assert_eq!([0, 5, 7, 8].map(|purges| since(&ledger, purges, 1, &[])), expected);
    }

    #[test]
    fn what_the_records_tell_is_what_was_noted() {
        let more = [Target::host("h"), Target::prefix("h", "/1"), Target::regex("[0-9]$").unwrap()];
        for third in more {
            let (ledger, again) = (Ledger::default(), Ledger::default());
            ledger.note(5, &url(1), Purged::Hard);
            ledger.note(8, &third, Purged::Hard);
            ledger.note(9, &third, Purged::Soft);
            ledger.note(6, &Target::Surrogate(9), Purged::Soft);
            ledger.pin(3, 77);
            ledger.records().into_iter().for_each(|record| again.learn(record));
            for purges in 4..11 {
                assert_eq!(since(&again, purges, 1, &[9]), since(&ledger, purges, 1, &[9]));
            }
            assert_eq!(
                [8, 9, 10].map(|purges| since(&again, purges, 1, &[])),
                [Purged::Hard, Purged::Soft, Purged::No]
            );
            assert_eq!((again.pinned_until_ms(3), again.pinned_until_ms(4)), (Some(77), None));
            assert_eq!((ledger.take_pending().len(), ledger.take_pending().len()), (5, 0));
        }
    }

    #[test]
    fn a_purge_of_everything_replaces_those_before_it_and_a_full_ledger_is_one() {
        let full = |subject: fn(usize) -> Subject, count: usize| {
            let ledger = Ledger::default();
            (0..count).for_each(|at| ledger.learn(Record { subject: subject(at), number: 1, hard: true }));
            assert!(ledger.is_filling());
            ledger
        };
        let urls = full(|at| Subject::Url(at as u128), LEDGER_TARGETS);
        let prefixes = full(|at| Subject::Prefix(Box::from(at.to_le_bytes())), LEDGER_PATTERNS);
        for (ledger, one_more) in [(urls, url(7)), (prefixes, Target::prefix("h", "/1"))] {
            assert_eq!(since(&ledger, 1, 12, &[]), Purged::No);
            ledger.note(3, &one_more, Purged::Soft);
            assert_eq!((ledger.targets(), ledger.overflows.load(Relaxed)), (1, 1));
            assert_eq!([3, 4].map(|purges| since(&ledger, purges, 12, &[])), [Purged::Hard, Purged::No]);
        }
    }

    #[test]
    fn only_what_is_below_the_number_is_forgotten() {
        let ledger = Ledger::default();
        ledger.note(5, &url(1), Purged::Hard);
        ledger.note(6, &url(2), Purged::Hard);
        ledger.pin(1, 10);
        ledger.pin(2, 30);
        ledger.forget(6, 20);
        assert_eq!((since(&ledger, 0, 1, &[]), since(&ledger, 0, 2, &[])), (Purged::No, Purged::Hard));
        assert_eq!((ledger.pinned_until_ms(1), ledger.pinned_until_ms(2)), (None, Some(30)));
    }
}
