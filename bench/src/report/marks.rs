//! Which mark was met: one row for each case that has one.
//!
//! "The best" is the engine with the lowest median in the case; the ratio to it is taken round by round like any other.
//! Invariant: a case that was not measured, or not against whom the mark names, is never met.

use std::fmt::Write as _;

use super::{Results, Spread, size};
use crate::case::{Against, Case, Mark};
use crate::engine::Engine;

/// How one mark was met.
struct Row {
    ours: String,
    other: String,
    /// What the limit bounds: ratios, or bytes.
    got: Spread,
}

impl Results {
    /// Every mark of every case that was measured.
    pub(super) fn marks_table(&self) -> String {
        let mut rows = String::new();
        for case in Case::all() {
            for mark in case.marks() {
                if let Some(row) = self.row(case, mark) {
                    rows += &line(case, mark, &row);
                }
            }
        }
        if rows.is_empty() {
            return rows;
        }
        "Marks; ratios: median (min–max) over rounds, the median decides.\n\n\
         | case | what | mark | littoral | compared with | ratio | |\n|---|---|---|---|---|---|---|\n"
            .to_owned()
            + &rows
            + "\n"
    }

    fn row(&self, case: Case, mark: Mark) -> Option<Row> {
        match case {
            Case::Index => {
                let index = self.index?;
                let each = index.held_bytes as f64 / index.objects as f64;
                let got = Spread { min: each, median: each, max: each };
                Some(Row { ours: format!("{each:.0} B"), other: "–".to_owned(), got })
            }
            Case::Idle => {
                let total = |engine| self.idle.iter().find(|idle| idle.engine == engine).map(|idle| idle.total_bytes);
                self.paired_once(mark, |engine| total(engine).map(|bytes| bytes as f64))
            }
            _ => self.paired(case, mark),
        }
    }

    /// Of rounds, with the first generator of the case.
    fn paired(&self, case: Case, mark: Mark) -> Option<Row> {
        let key = self.cases().into_iter().find(|&(measured, _)| measured == case)?;
        let middle = |engine| Spread::of(self.figure(key, engine).into_values().collect()).map(|spread| spread.median);
        let (other, theirs) = opponent(mark, middle)?;
        let got = Spread::of(self.ratios(key, other))?;
        let figure = |value: f64| format!("{value:.2} µs");
        Some(Row {
            ours: figure(middle(Engine::Littoral)?),
            other: format!("{} {}", other.title(), figure(theirs)),
            got,
        })
    }

    /// Of a figure that was taken once.
    fn paired_once(&self, mark: Mark, figure: impl Fn(Engine) -> Option<f64>) -> Option<Row> {
        let ours = figure(Engine::Littoral)?;
        let (other, theirs) = opponent(mark, &figure)?;
        let ratio = ours / theirs;
        let got = Spread { min: ratio, median: ratio, max: ratio };
        let bytes = |value: f64| size((value as u64) >> 20 << 20);
        Some(Row { ours: bytes(ours), other: format!("{} {}", other.title(), bytes(theirs)), got })
    }
}

/// Whom the mark is against, and its figure.
fn opponent(mark: Mark, figure: impl Fn(Engine) -> Option<f64>) -> Option<(Engine, f64)> {
    match mark.against {
        Against::One(engine) => Some((engine, figure(engine)?)),
        Against::Best => {
            let figures = Engine::OTHERS.into_iter().filter_map(|engine| Some((engine, figure(engine)?)));
            figures.min_by(|(_, one), (_, two)| one.total_cmp(two))
        }
        Against::Bytes => None,
    }
}

fn line(case: Case, mark: Mark, row: &Row) -> String {
    let limit = match mark.against {
        Against::One(engine) => format!("≤ {:.2} × {}", mark.limit, engine.title()),
        Against::Best => format!("≤ {:.2} × the best", mark.limit),
        Against::Bytes => format!("≤ {} B", mark.limit),
    };
    let Row { ours, other, got } = row;
    let ratio = match mark.against {
        Against::Bytes => "–".to_owned(),
        _ if got.min == got.max => format!("{:.2}", got.median),
        _ => format!("{:.2} ({:.2}–{:.2})", got.median, got.min, got.max),
    };
    let verdict = match (got.median <= mark.limit, mark.stretch) {
        (true, false) => "met",
        (false, false) => "**missed**",
        (true, true) => "stretch met",
        (false, true) => "stretch missed",
    };
    let mut out = String::new();
    let _ = writeln!(out, "| {} | {} | {limit} | {ours} | {other} | {ratio} | {verdict} |", case.name(), case.title());
    out
}
