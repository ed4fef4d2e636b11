//! The lines of a record: JSON, one value a line, so that `jq` and people can read it.
//!
//! The first line names the plugin; a generation and what was told come before the decisions that rest on them. `snapshot` numbers what was
//! told: a decision was made knowing all up to its number.

use serde::{Deserialize, Serialize};

use crate::question::{Question, Reply};
use crate::types::{ClusterRow, Fault};

/// Of the format.
pub(crate) const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// The first.
    Record { version: u32, plugin: String },
    /// A generation that is called from here on.
    Generation { number: u64, sha256: String, config: serde_json::Value },
    /// All clusters.
    Clusters { snapshot: u64, version: u64, all: Vec<ClusterRow> },
    /// A ladder.
    Ladder { snapshot: u64, id: u32, kbps: Vec<u32> },
    /// A decision: the answer, or why there was none.
    Decision {
        generation: u64,
        snapshot: u64,
        question: Question,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{Admit, Score, Select};
    use crate::types::{Answer, Ask, Choice, Flow, Object, Verdict};

    #[test]
    fn every_question_and_answer_comes_back_as_it_was() {
        let flow = Flow { place: [0.1, -0.7, 1.0e-9], candidates: u64::MAX, rand: u64::MAX, ..Flow::default() };
        let object = Object { id: u64::MAX, bytes: 1 << 60, ..Object::default() };
        let score = Score { sample: vec![object; 2], now_ms: 1, rand: 2 };
        let said = [
            (Question::Decide(flow), Some(Reply::Choice(Choice { clusters: [1, 65535, 65535], ttl_s: 3 })), None),
            (
                Question::Select(Select { ask: Ask::default(), rungs: 3 }),
                Some(Reply::Answer(Answer { rung: 2, pace_kbps: 0, hold_ms: 1, state: u64::MAX })),
                None,
            ),
            (Question::Admit(Admit { object, ..Admit::default() }), Some(Reply::Verdict(Verdict::Bypass)), None),
            (Question::Score(score.clone()), Some(Reply::Scores(vec![0.1, f32::MIN_POSITIVE])), None),
            (Question::Score(score), None, Some(Fault::Nonsense)),
        ];
        for (question, reply, fault) in said {
            let line = Line::Decision { generation: 7, snapshot: 3, question, reply, fault };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }
}
