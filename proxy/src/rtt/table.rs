//! Round-trip times by prefix: bounded, each leaning to its short ones, forgotten when nobody comes any more.
//!
//! What connections show of a prefix stands before what probes do. Invariant: an index leads to each row by its prefix, and to no other.

use std::collections::HashMap;

use littoral_geo::rtt::{Means, Prefix, Row};

/// A time comes down by a quarter of the way to a shorter sample and up by a sixteenth to a longer one, so that it comes to rest near the
/// fifth that is shortest: the way itself, rather than what access networks add at times.
const DOWN: u32 = 4;
const UP: u32 = 16;
/// Rows looked at for the one that goes.
const LOOKS: usize = 8;
/// A prefix with more measurements is no better known.
const SAMPLES_MAX: u32 = 1000;

#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Kept>,
    places: HashMap<Prefix, usize>,
    /// Where the next look begins.
    hand: usize,
    evicted: u64,
    rows_max: usize,
    samples_min: u32,
    keep_s: u64,
}

#[derive(Clone, Copy)]
struct Kept {
    prefix: Prefix,
    /// Of connections.
    passive: Figure,
    /// Of probes.
    active: Figure,
}

/// What measurements of one kind come to.
#[derive(Clone, Copy, Default)]
struct Figure {
    us: u32,
    samples: u32,
    last_s: u64,
}

impl Figure {
    /// One more; what is older than `keep_s` does not count any more.
    fn note(&mut self, us: u32, now_s: u64, keep_s: u64) {
        if self.samples == 0 || now_s.saturating_sub(self.last_s) > keep_s {
            (self.us, self.samples) = (us, 0);
        }
        self.us = match us < self.us {
            true => self.us - (self.us - us).div_ceil(DOWN),
            false => self.us + (us - self.us).div_ceil(UP),
        };
        (self.samples, self.last_s) = ((self.samples + 1).min(SAMPLES_MAX), now_s);
    }
}

impl Table {
    /// How many rows there may be, from how many measurements and for how many seconds after the last one they are told.
    pub(super) fn bound(&mut self, rows_max: usize, samples_min: u32, keep_s: u64) {
        (self.rows_max, self.samples_min, self.keep_s) = (rows_max, samples_min, keep_s);
        while self.rows.len() > rows_max {
            self.make_room();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// A connection took `us` microseconds. Seconds are of a clock that does not go back.
    pub(super) fn note(&mut self, prefix: Prefix, us: u32, now_s: u64) {
        let keep_s = self.keep_s;
        if let Some(row) = self.row(prefix, now_s) {
            row.passive.note(us, now_s, keep_s);
        }
    }

    /// A probe took `us` microseconds.
    pub(super) fn probed(&mut self, prefix: Prefix, us: u32, now_s: u64) {
        let keep_s = self.keep_s;
        if let Some(row) = self.row(prefix, now_s) {
            row.active.note(us, now_s, keep_s);
        }
    }

    /// Takes a row as it is.
    pub(super) fn learn(&mut self, told: &Row, now_s: u64) {
        let Some(row) = self.row(told.prefix, now_s) else { return };
        let figure = if told.means == Means::Probes { &mut row.active } else { &mut row.passive };
        let last_s = now_s.saturating_sub(told.age_s.into());
        *figure = Figure { us: told.rtt_us, samples: told.samples.min(SAMPLES_MAX), last_s };
    }

    /// Takes rows that a process before this one has kept, but for those that are too old.
    pub(super) fn resume(&mut self, kept: &[Row], now_s: u64) {
        let keep_s = self.keep_s;
        kept.iter().filter(|row| u64::from(row.age_s) <= keep_s).for_each(|row| self.learn(row, now_s));
    }

    /// All that is known and young enough, whether it is told or not, the oldest first; of more than `rows_max`, the youngest.
    pub(super) fn all(&self, now_s: u64, rows_max: usize) -> Vec<Row> {
        let of = |row: &Kept| {
            let prefix = row.prefix;
            [(row.passive, Means::Connections), (row.active, Means::Probes)].map(|(figure, means)| {
                let age_s = u32::try_from(now_s.saturating_sub(figure.last_s)).unwrap_or(u32::MAX);
                Row { prefix, rtt_us: figure.us, samples: figure.samples, age_s, means }
            })
        };
        let is_known = |row: &Row| row.samples > 0 && u64::from(row.age_s) <= self.keep_s;
        let mut rows: Vec<Row> = self.rows.iter().flat_map(of).filter(is_known).collect();
        rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.age_s), row.prefix));
        rows.split_off(rows.len().saturating_sub(rows_max))
    }

    /// Whether connections of a prefix say enough to be told.
    pub(super) fn is_measured(&self, prefix: Prefix, now_s: u64) -> bool {
        self.places.get(&prefix).is_some_and(|at| self.passive(&self.rows[*at], now_s).is_some())
    }

    /// What connections say of a row, where it is enough and young enough.
    fn passive<'a>(&self, row: &'a Kept, now_s: u64) -> Option<&'a Figure> {
        let is_young = |figure: &&Figure| now_s.saturating_sub(figure.last_s) <= self.keep_s;
        Some(&row.passive).filter(is_young).filter(|figure| figure.samples > 0 && figure.samples >= self.samples_min)
    }

    /// The same of probes: one is enough.
    fn active<'a>(&self, row: &'a Kept, now_s: u64) -> Option<&'a Figure> {
        let is_young = |figure: &&Figure| now_s.saturating_sub(figure.last_s) <= self.keep_s;
        Some(&row.active).filter(is_young).filter(|figure| figure.samples > 0)
    }

    /// The row of a prefix; a new one has no samples.
    fn row(&mut self, prefix: Prefix, now_s: u64) -> Option<&mut Kept> {
        if !self.places.contains_key(&prefix) {
            if self.rows_max == 0 {
                return None;
            }
            if self.rows.len() >= self.rows_max {
                self.make_room();
            }
            self.places.insert(prefix, self.rows.len());
            let passive = Figure { last_s: now_s, ..Figure::default() };
            self.rows.push(Kept { prefix, passive, active: Figure::default() });
        }
        self.rows.get_mut(*self.places.get(&prefix)?)
    }

    /// Of the next few rows the one nobody came for longest goes.
    fn make_room(&mut self) {
        let count = self.rows.len();
        let looked = (0..LOOKS.min(count)).map(|step| (self.hand + step) % count);
        let Some(oldest) = looked.min_by_key(|at| self.rows[*at].passive.last_s.max(self.rows[*at].active.last_s))
        else {
            return;
        };
        self.hand = (self.hand + LOOKS) % count;
        let gone = self.rows.swap_remove(oldest);
        self.places.remove(&gone.prefix);
        if let Some(moved) = self.rows.get(oldest) {
            self.places.insert(moved.prefix, oldest);
        }
        self.evicted += 1;
    }

    /// The rows that have enough behind them and are young enough, in order.
    pub(super) fn told(&self, now_s: u64) -> Vec<Row> {
        let told = |row: &Kept| {
            let passive = self.passive(row, now_s).map(|figure| (figure, Means::Connections));
            let (figure, means) = passive.or_else(|| Some((self.active(row, now_s)?, Means::Probes)))?;
            let age_s = u32::try_from(now_s.saturating_sub(figure.last_s)).unwrap_or(u32::MAX);
            Some(Row { prefix: row.prefix, rtt_us: figure.us, samples: figure.samples, age_s, means })
        };
        let mut rows: Vec<Row> = self.rows.iter().filter_map(told).collect();
        rows.sort_unstable_by_key(|row| row.prefix);
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn prefix(number: u32) -> Prefix {
        Prefix::of(IpAddr::V4((number << 8).into()))
    }

    fn table(rows_max: usize) -> Table {
        let mut table = Table::default();
        table.bound(rows_max, 3, 100);
        table
    }

    #[test]
    fn a_time_comes_to_rest_near_its_short_samples() {
        let mut table = table(8);
        // Four of five wait in a queue.
        for step in 0..500_u32 {
            table.note(prefix(1), if step % 5 == 0 { 20_000 } else { 20_000 + step % 7 * 10_000 }, 0);
        }
        let us = table.told(0)[0].rtt_us;
        assert!((20_000..40_000).contains(&us), "{us}");
        (0..50).for_each(|_| table.note(prefix(1), 5_000, 0));
        assert_eq!(table.told(0)[0].rtt_us, 5_000, "a way that has become shorter is so at once");
        assert_eq!(table.told(0)[0].samples, 550);
    }

    #[test]
    fn too_few_measurements_are_not_told_and_old_ones_begin_anew() {
        let mut table = table(8);
        (0..2).for_each(|_| table.note(prefix(1), 9_000, 10));
        assert_eq!(table.told(10), []);
        table.note(prefix(1), 9_000, 20);
        let row = Row { prefix: prefix(1), rtt_us: 9_000, samples: 3, age_s: 100, means: Means::Connections };
        assert_eq!((table.told(120), table.told(121)), (vec![row], vec![]));
        (0..3).for_each(|_| table.note(prefix(1), 50_000, 200));
        assert_eq!(table.told(200)[0].rtt_us, 50_000);
    }

    #[test]
    fn probes_stand_in_for_connections_and_never_in_their_place() {
        let mut table = table(8);
        let told = |table: &Table, now_s| {
            table.told(now_s).iter().map(|row| (row.rtt_us, row.samples, row.age_s, row.means)).collect::<Vec<_>>()
        };
        table.probed(prefix(1), 40_000, 10);
        assert_eq!(told(&table, 15), [(40_000, 1, 5, Means::Probes)], "one is enough");
        (0..2).for_each(|_| table.note(prefix(1), 9_000, 20));
        assert_eq!(told(&table, 20), [(40_000, 1, 10, Means::Probes)], "too few connections to go by");
        assert!(!table.is_measured(prefix(1), 20));
        table.note(prefix(1), 9_000, 30);
        table.probed(prefix(1), 70_000, 40);
        assert_eq!(told(&table, 40), [(9_000, 3, 10, Means::Connections)], "and no later probe changes that");
        assert!(table.is_measured(prefix(1), 130) && !table.is_measured(prefix(1), 131));
        assert_eq!(told(&table, 131)[0].3, Means::Probes, "until nobody came for long");
        assert_eq!(told(&table, 141), [], "which goes for probes, too");
        let row = Row { prefix: prefix(2), rtt_us: 5_000, samples: 2, age_s: 1, means: Means::Probes };
        table.learn(&row, 200);
        assert_eq!(table.told(200), [row]);
    }

    #[test]
    fn the_table_stays_within_its_bound_and_keeps_who_comes_again() {
        let mut table = table(64);
        for second in 0..1000 {
            (0..5).for_each(|regular| table.note(prefix(regular), 1_000, second));
            table.note(prefix(1_000 + second as u32), 1_000, second);
        }
        assert_eq!((table.len(), table.evicted()), (64, 1005 - 64));
        let told = table.told(999);
        assert_eq!(told.iter().filter(|row| row.prefix < prefix(5)).count(), 5);
        assert!(table.places.iter().all(|(prefix, place)| table.rows[*place].prefix == *prefix));
        table.bound(4, 1, 100);
        assert_eq!((table.len(), table.places.len()), (4, 4));
    }
}
