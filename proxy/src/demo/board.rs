//! What the demo shows, once: printed on the terminal as it happens and served as JSON to the page.
//!
//! Steps write what they saw here and nowhere else, so the terminal, `--json` and the page cannot differ. Nothing is
//! decided here. Invariant: the lists the page polls are bounded ([`EVENTS_MAX`], [`LINES_MAX`]).

use std::collections::VecDeque;
use std::future::Future;
use std::io::IsTerminal;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

const EVENTS_MAX: usize = 200;
const LINES_MAX: usize = 40;

/// Everything the page shows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Show {
    pub(super) processes: Vec<Process>,
    pub(super) steps: Vec<Step>,
    pub(super) cities: Vec<CityRow>,
    pub(super) clusters: Vec<ClusterRow>,
    pub(super) policies: Vec<PolicyRow>,
    pub(super) events: VecDeque<Event>,
    /// `running`, `held` or `failed`.
    pub(super) verdict: &'static str,
    pub(super) seconds: f64,
}

/// A process the demo started.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) pid: u32,
    pub(super) address: String,
    pub(super) admin: Option<String>,
    pub(super) alive: bool,
}

/// One numbered step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// `running`, `held` or `failed`.
    pub(super) state: &'static str,
    pub(super) ms: u64,
}

/// What the player of a city got.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CityRow {
    pub(super) city: String,
    pub(super) subnet: String,
    pub(super) rule: String,
    pub(super) cluster: String,
    /// Share of the player's responses that the edge had in its cache.
    pub(super) hit_ratio: f64,
    /// Mean bit rate of the segments played.
    pub(super) kbit_per_s: f64,
    /// Representations in the order played.
    pub(super) representations: String,
    pub(super) link: String,
    /// Who chose the representations: the player, or the edge's policy.
    pub(super) chosen_by: &'static str,
    pub(super) startup_ms: f64,
    pub(super) stalls: usize,
    pub(super) failed: u64,
}

/// A cluster's own counters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ClusterRow {
    pub(super) cluster: String,
    pub(super) up: bool,
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) hit_ratio: f64,
    pub(super) evicted: u64,
    pub(super) bytes: u64,
}

/// What a policy decided.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PolicyRow {
    pub(super) policy: String,
    pub(super) place: String,
    pub(super) calls: u64,
    pub(super) faults: u64,
    pub(super) ns_per_call: Option<u64>,
    pub(super) example: String,
}

/// Something that happened, for the page's log.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Event {
    pub(super) at_s: f64,
    pub(super) text: String,
}

/// The one place where the demo's findings go.
pub(super) struct Board {
    show: Mutex<Show>,
    started: Instant,
    json: bool,
    color: bool,
}

impl Board {
    pub(super) fn new(json: bool) -> Self {
        let color = !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let show = Mutex::new(Show { verdict: "running", ..Show::default() });
        Self { show, started: Instant::now(), json, color }
    }

    /// A copy of everything, for the page and `--json`.
    pub(super) fn show(&self) -> Show {
        Show { seconds: self.seconds(), ..self.show.lock().clone() }
    }

    /// Changes what is shown without printing.
    pub(super) fn update(&self, change: impl FnOnce(&mut Show)) {
        change(&mut self.show.lock());
    }

    /// Prints a line that belongs to no step.
    pub(super) fn note(&self, text: &str) {
        self.print(text);
        self.event(text);
    }

    /// Adds to the page's log without printing.
    pub(super) fn event(&self, text: &str) {
        let event = Event { at_s: self.seconds(), text: text.trim().to_owned() };
        let mut show = self.show.lock();
        if show.events.len() == EVENTS_MAX {
            show.events.pop_front();
        }
        show.events.push_back(event);
    }

    /// Runs one numbered step; a failure is shown and returned.
    pub(super) async fn step<T>(
        &self,
        title: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        let number = self.open(title);
        let result = work.await;
        let state = if result.is_ok() { "held" } else { "failed" };
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(step) = self.show.lock().steps.get_mut(number - 1) {
            (step.state, step.ms) = (state, ms);
        }
        match &result {
            Ok(_) => self.print(&format!("    {} {}", self.paint("32", "✓"), self.paint("2", &format!("{ms} ms")))),
            Err(error) => self.say(&format!("{} {error:#}", self.paint("31", "✗ failed:"))),
        }
        result
    }

    /// A line of what was seen, in the step that runs.
    pub(super) fn say(&self, text: &str) {
        self.print(&format!("    {text}"));
        let plain = text.replace("\x1b[31m", "").replace("\x1b[0m", "");
        if let Some(step) = self.show.lock().steps.last_mut()
            && step.lines.len() < LINES_MAX
        {
            step.lines.push(plain);
        }
    }

    /// Prints a block as it is: a table.
    pub(super) fn block(&self, text: &str) {
        text.lines().for_each(|line| self.print(&format!("    {line}")));
    }

    /// The verdict; prints it, or everything with `--json`.
    pub(super) fn close(&self, failures: usize) {
        self.update(|show| show.verdict = if failures == 0 { "held" } else { "failed" });
        let show = self.show();
        if self.json {
            let text = serde_json::to_string_pretty(&show).expect("invariant: plain data has a JSON form");
            return println!("{text}");
        }
        let steps = show.steps.len();
        let seconds = show.seconds;
        match failures {
            0 => self.print(&format!("\n{} all {steps} steps held in {seconds:.1} s", self.paint("32", "✓"))),
            _ => {
                self.print(&format!("\n{} {failures} of {steps} steps failed in {seconds:.1} s", self.paint("31", "✗")))
            }
        }
    }

    fn open(&self, title: &str) -> usize {
        let mut show = self.show.lock();
        let number = show.steps.len() + 1;
        show.steps.push(Step { number, title: title.into(), lines: Vec::new(), state: "running", ms: 0 });
        drop(show);
        self.print(&format!("\n{}  {}", self.paint("36", &format!("{number:>2}")), self.paint("1", title)));
        self.event(&format!("step {number}: {title}"));
        number
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// Part of a whole, 0 when there is nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_keeps_what_was_said_in_it_and_how_it_ended() {
        let board = Board::new(true);
        let held: anyhow::Result<()> = board
            .step("first", async {
                board.say("seen");
                Ok(())
            })
            .await;
        let failed: anyhow::Result<()> = board.step("second", async { anyhow::bail!("no answer") }).await;
        assert!(held.is_ok() && failed.is_err());
        let steps = board.show().steps;
        assert_eq!((steps[0].state, steps[0].lines.as_slice()), ("held", ["seen".to_owned()].as_slice()));
        assert_eq!((steps[1].number, steps[1].state), (2, "failed"));
        assert!(steps[1].lines[0].contains("no answer"));
    }

    #[test]
    fn the_log_of_the_page_stays_bounded() {
        let board = Board::new(true);
        (0..EVENTS_MAX + 5).for_each(|index| board.event(&index.to_string()));
        let events = board.show().events;
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events[0].text, "5");
    }
}
