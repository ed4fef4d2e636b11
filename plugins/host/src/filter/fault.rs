//! Why the call of a filter or service has no answer.

use crate::trace::LastFault;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped.
    #[error("it trapped")]
    Trap,
    /// It computed for too long.
    #[error("it took too long")]
    Deadline,
    /// It asked for more memory than it may have.
    #[error("it asked for too much memory")]
    Memory,
    /// It said what is not allowed.
    #[error("what it says is not allowed")]
    Nonsense,
    /// It could not be started.
    #[error("it could not be started")]
    Init,
    /// All of its instances, or of all filters, are taken, or all memory for plugins. Not held against it.
    #[error("all of its instances, or all memory for plugins, are taken")]
    Busy,
    /// It is in quarantine; nothing was called.
    #[error("it is in quarantine")]
    Quarantined,
    /// It gave up: somebody whom it asked has not answered. Not held against it.
    #[error("it gave up")]
    GaveUp,
}

impl Fault {
    /// Labels of all kinds.
    pub const KINDS: [&'static str; 8] =
        ["trap", "deadline", "memory", "nonsense", "init", "busy", "quarantined", "gave-up"];

    /// Whether it is the guest's own doing.
    pub(crate) fn is_its_own(self) -> bool {
        !matches!(self, Self::Busy | Self::Quarantined | Self::GaveUp)
    }
}

/// A fault in words.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) text: String,
    /// What is wrong and the guest's functions it happened in, innermost first, as [`crate::trace`] bounds them; empty when it was in none.
    pub(crate) trace: Vec<String>,
}

impl Failure {
    pub(crate) fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into(), trace: Vec::new() }
    }

    /// The same of an instance that could not be started: what failed is the guest's `export`. What was none of its doing stays that.
    pub(crate) fn at_start(self, export: &str) -> Self {
        let fault = if self.fault.is_its_own() { Fault::Init } else { self.fault };
        Self { fault, text: format!("its {export} failed: {}", self.text), trace: self.trace }
    }

    /// What is kept of it: in words, which begin with `place`, and where the guest was.
    pub(crate) fn last(&self, place: &str) -> LastFault {
        LastFault::new(format!("{place}{}: {}", self.fault, self.text), &self.trace)
    }

    /// For people.
    pub(crate) fn told(&self) -> String {
        match self.fault {
            Fault::Init => self.text.clone(),
            fault => format!("{fault}: {}", self.text),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault, fault.to_string())
    }
}
