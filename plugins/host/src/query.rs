//! The four questions as a call asks them: of an instance, and as values for a record.

use crate::instance::Instance;
use crate::limits::{FUEL_CACHE, FUEL_DECISION};
use crate::question::{Admit, Question, Reply, Score, Select};
use crate::types::{Answer, Ask, Choice, Fault, Flow, Object, Verdict};

/// A question on its way to an instance.
pub(crate) trait Query {
    /// What it is answered with.
    type Answer;
    /// Fuel of one call where the operator says nothing.
    const FUEL: u64;

    /// Asks an instance. What is written elsewhere (scores) is there when this is `Ok`.
    ///
    /// # Errors
    /// See [`Fault`].
    fn ask(&mut self, instance: &mut Instance) -> Result<Self::Answer, Fault>;

    /// Whom it is about, for who is asked of two: the same for the same client, session or object.
    fn who(&self) -> u64;

    /// What is asked, for a record.
    fn question(&self) -> Question;

    /// What was answered, for a record.
    fn reply(&self, answer: &Self::Answer) -> Reply;
}

/// `routing.decide`
pub(crate) struct Decide<'a>(pub(crate) &'a Flow);

/// `rate.select`; the number is the length of the ladder.
pub(crate) struct Choose<'a>(pub(crate) &'a Ask, pub(crate) usize);

/// `cache.admit`
pub(crate) struct Keep(pub(crate) Admit);

/// `cache.score`
pub(crate) struct Rank<'a> {
    pub(crate) sample: &'a [Object],
    pub(crate) now_ms: u64,
    pub(crate) rand: u64,
    pub(crate) scores: &'a mut [f32],
}

impl Query for Decide<'_> {
    type Answer = Choice;
    const FUEL: u64 = FUEL_DECISION;

    fn ask(&mut self, instance: &mut Instance) -> Result<Choice, Fault> {
        instance.decide(self.0)
    }

    fn who(&self) -> u64 {
        // The prefix that the answer holds for: all of its clients are answered alike.
        self.0.addr_hi.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.0.addr_lo
    }

    fn question(&self) -> Question {
        Question::Decide(*self.0)
    }

    fn reply(&self, answer: &Choice) -> Reply {
        Reply::Choice(*answer)
    }
}

impl Query for Choose<'_> {
    type Answer = Answer;
    const FUEL: u64 = FUEL_DECISION;

    fn ask(&mut self, instance: &mut Instance) -> Result<Answer, Fault> {
        instance.select(self.0, self.1)
    }

    fn who(&self) -> u64 {
        // Of the session.
        self.0.rand
    }

    fn question(&self) -> Question {
        Question::Select(Select { ask: *self.0, rungs: self.1 })
    }

    fn reply(&self, answer: &Answer) -> Reply {
        Reply::Answer(*answer)
    }
}

impl Query for Keep {
    type Answer = Verdict;
    const FUEL: u64 = FUEL_CACHE;

    fn ask(&mut self, instance: &mut Instance) -> Result<Verdict, Fault> {
        let Admit { object, fill_permille, now_ms, rand } = &self.0;
        instance.admit(object, *fill_permille, *now_ms, *rand)
    }

    fn who(&self) -> u64 {
        self.0.object.id
    }

    fn question(&self) -> Question {
        Question::Admit(self.0)
    }

    fn reply(&self, answer: &Verdict) -> Reply {
        Reply::Verdict(*answer)
    }
}

impl Query for Rank<'_> {
    type Answer = ();
    const FUEL: u64 = FUEL_CACHE;

    fn ask(&mut self, instance: &mut Instance) -> Result<(), Fault> {
        instance.score(self.sample, self.now_ms, self.rand, self.scores)
    }

    fn who(&self) -> u64 {
        // Objects that nobody asks for: the sample as such.
        self.rand
    }

    fn question(&self) -> Question {
        Question::Score(Score { sample: self.sample.to_vec(), now_ms: self.now_ms, rand: self.rand })
    }

    fn reply(&self, (): &()) -> Reply {
        Reply::Scores(self.scores.to_vec())
    }
}
