//! A seat for native tests of policies: it tells and asks as a node does, and checks answers as the host does. No Wasm is needed.

use super::{Answer, Ask, Cache, Choice, Cluster, Explained, Flow, Moment, NONE, Object, Rate, Routing, Term, Verdict};

/// A policy in the seat it is written for.
#[derive(Debug, Clone)]
pub struct Seat<P>(P);

/// What the host would say of an answer that it refuses. The node's native policy answers then.
pub type Nonsense = String;

impl<P: Routing> Seat<P> {
    /// Starts a routing policy with a config (JSON), and tells it the clusters.
    ///
    /// # Errors
    /// The policy's own, of its config.
    pub fn routing(config: &str, clusters: &[Cluster]) -> Result<Self, String> {
        let mut policy = P::new(config)?;
        policy.clusters(clusters);
        Ok(Self(policy))
    }

    /// Asks it, twice.
    ///
    /// # Errors
    /// An answer that the host refuses, or two that differ.
    pub fn decide(&self, flow: &Flow) -> Result<Choice, Nonsense> {
        let choice = twice(|| self.0.decide(flow))?;
        let (named, rest) = choice.clusters.split_at(choice.named().len());
        let mut left = flow.candidates;
        for cluster in named {
            let bit = 1_u64.checked_shl((*cluster).into()).unwrap_or(0);
            if left & bit == 0 {
                return Err(format!("cluster {cluster} is no candidate, or is named twice: {choice:?}"));
            }
            left &= !bit;
        }
        match rest.iter().all(|cluster| *cluster == NONE) {
            true => Ok(choice),
            false => Err(format!("a cluster is named after the end of the list: {choice:?}")),
        }
    }
}

impl<P: Explained> Seat<P> {
    /// Asks it for its terms, twice.
    ///
    /// # Errors
    /// Terms that the host refuses, or that differ.
    pub fn terms(&self, flow: &Flow) -> Result<Vec<Term>, Nonsense> {
        let terms = twice(|| self.0.terms(flow))?;
        let is_sound = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        for term in &terms {
            let of_it = terms.iter().filter(|other| other.cluster == term.cluster).count();
            let is_candidate = 1_u64.checked_shl(term.cluster.into()).is_some_and(|bit| flow.candidates & bit != 0);
            let is_named = (1..=64).contains(&term.name.len()) && term.name.bytes().all(is_sound);
            if !is_candidate || !is_named || !term.value.is_finite() || of_it > 16 {
                return Err(format!("no term of a candidate, or one of more than 16: {term:?}"));
            }
        }
        Ok(terms)
    }
}

impl<P: Rate> Seat<P> {
    /// Starts a rate policy with a config (JSON).
    ///
    /// # Errors
    /// The policy's own, of its config.
    pub fn rate(config: &str) -> Result<Self, String> {
        P::new(config).map(Self)
    }

    /// Asks it, twice.
    ///
    /// # Errors
    /// An answer that the host refuses, or two that differ.
    pub fn select(&self, ask: &Ask, ladder: &[u32]) -> Result<Answer, Nonsense> {
        let answer = twice(|| self.0.select(ask, ladder))?;
        match usize::from(answer.rung) < ladder.len().max(1) {
            true => Ok(answer),
            false => Err(format!("rung {} of a ladder of {}", answer.rung, ladder.len())),
        }
    }
}

impl<P: Cache> Seat<P> {
    /// Starts a cache policy with a config (JSON).
    ///
    /// # Errors
    /// The policy's own, of its config.
    pub fn cache(config: &str) -> Result<Self, String> {
        P::new(config).map(Self)
    }

    /// Asks it, twice.
    ///
    /// # Errors
    /// Two answers that differ.
    pub fn admit(&self, object: &Object, fill_permille: u16, at: Moment) -> Result<Verdict, Nonsense> {
        twice(|| self.0.admit(object, fill_permille, at))
    }

    /// Asks it, twice: the places of the sample, who is evicted first in front.
    ///
    /// # Errors
    /// Scores that the host refuses, or that differ.
    pub fn order(&self, sample: &[Object], at: Moment) -> Result<Vec<usize>, Nonsense> {
        let scores = twice(|| self.0.scores(sample, at))?;
        if scores.len() != sample.len() {
            return Err(format!("{} scores for {} objects", scores.len(), sample.len()));
        }
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(format!("a score of {score}"));
        }
        let mut places: Vec<usize> = (0..scores.len()).collect();
        places.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
        Ok(places)
    }
}

fn twice<A: PartialEq + std::fmt::Debug>(ask: impl Fn() -> A) -> Result<A, Nonsense> {
    let (answer, again) = (ask(), ask());
    match answer == again {
        true => Ok(answer),
        false => Err(format!(
            "asked again it answers {again:?} and not {answer:?}: a policy keeps nothing from call to call"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Answers what its config says, and one more with each call when that is above 100.
    #[derive(Debug)]
    struct Puppet(Cell<u16>);

    impl Routing for Puppet {
        fn new(config: &str) -> Result<Self, String> {
            config.parse().map(|number| Self(Cell::new(number))).map_err(|_| "a number is wanted".to_owned())
        }
        fn decide(&self, _flow: &Flow) -> Choice {
            let number = self.0.get();
            self.0.set(number + u16::from(number > 100));
            Choice { clusters: [number, NONE, number.saturating_sub(40)], ttl_s: 0 }
        }
    }

    #[test]
    fn answers_that_the_host_refuses_are_told() {
        let flow = Flow { candidates: 0b10, ..Flow::default() };
        let said = |config: &str| Seat::<Puppet>::routing(config, &[]).unwrap().decide(&flow).unwrap_err();
        assert!(said("2").starts_with("cluster 2 is no candidate"), "{}", said("2"));
        assert!(said("1").starts_with("a cluster is named after the end"), "{}", said("1"));
        assert!(said("101").starts_with("asked again it answers"), "{}", said("101"));
        assert_eq!(Seat::<Puppet>::routing("x", &[]).unwrap_err(), "a number is wanted");
    }

    struct Scores;

    impl Cache for Scores {
        fn new(_config: &str) -> Result<Self, String> {
            Ok(Self)
        }
        fn score(&self, object: &Object, _at: Moment) -> f32 {
            1.0 / object.bytes as f32
        }
    }

    #[test]
    fn a_sample_is_put_in_the_order_of_eviction() {
        let (seat, at) = (Seat::<Scores>::cache("{}").unwrap(), Moment::default());
        let sample = [1, 3, 2].map(|bytes| Object { bytes, ..Object::default() });
        assert_eq!(seat.order(&sample, at), Ok(vec![1, 2, 0]));
        assert_eq!(seat.order(&[Object::default()], at), Err("a score of inf".into()));
        assert_eq!(seat.admit(&sample[0], 999, at), Ok(Verdict::Admit), "who does not say keeps everything");
    }
}
