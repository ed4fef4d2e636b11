//! Roll-outs: who is asked, what a candidate's faults cost, and what a config says that says the same again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use littoral_plugin_host::{
    Choice, Fault, Flow, GenerationStatus, Interface, LoadError, Plugin, PluginSpec, Rollout, RolloutState, Share,
    State,
};

use super::{advance, flow, guest, host, rows, spec};

/// A routing policy in a file, and a candidate in another.
struct Tried {
    plugin: Arc<Plugin>,
    present: PathBuf,
    candidate: PathBuf,
    _directory: tempfile::TempDir,
}

/// The same component, and yet another file.
fn twin(name: &str) -> Vec<u8> {
    [std::fs::read(guest(name)).unwrap(), b"\0\x02\x01x".to_vec()].concat()
}

fn share(percent: f64) -> Share {
    Share::of_percent(percent).unwrap()
}

impl Tried {
    /// `route-geo`, and beside it a candidate that holds this.
    fn new(candidate: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [present, file] = ["present", "candidate"].map(|name| directory.path().join(format!("{name}.wasm")));
        std::fs::copy(guest("route-geo"), &present).unwrap();
        std::fs::write(&file, candidate).unwrap();
        let plugin = host().load(spec("route", present.clone()), Some(Interface::Routing)).unwrap();
        plugin.push_clusters(1, rows());
        Self { plugin, present, candidate: file, _directory: directory }
    }

    /// A config that has a candidate with this share, or none.
    fn configure(&self, percent: Option<f64>) -> Result<(), LoadError> {
        let candidate = percent.map(|percent| (spec("route", self.candidate.clone()), share(percent)));
        self.plugin.plan(spec("route", self.present.clone()), candidate).map(|planned| planned.adopt())
    }

    fn rolling(candidate: &[u8], percent: f64) -> Self {
        let tried = Self::new(candidate);
        tried.configure(Some(percent)).unwrap();
        tried
    }

    /// What is decided for a client, and the generation that did.
    fn decide(&self, client: u64) -> (Result<Choice, Fault>, u64) {
        let choice = self.plugin.decide(&Flow { addr_lo: client, ..flow() });
        (choice, self.plugin.called())
    }

    /// Who is asked about each of a thousand clients. All are answered.
    fn asked(&self) -> BTreeMap<u64, u64> {
        let asked = |client| {
            let (choice, generation) = self.decide(client);
            assert!(choice.is_ok(), "{client}: {choice:?}");
            (client, generation)
        };
        (0..1000).map(asked).collect()
    }

    fn rollout(&self) -> Rollout {
        self.plugin.status().rollout.unwrap()
    }

    fn generation(&self) -> u64 {
        self.plugin.status().generation
    }
}

fn of(asked: &BTreeMap<u64, u64>, generation: u64) -> usize {
    asked.values().filter(|number| **number == generation).count()
}

#[test]
fn a_candidate_is_asked_about_its_share_and_clients_stay_with_it_as_it_grows() {
    let tried = Tried::rolling(&twin("route-geo"), 10.0);
    let small = tried.asked();
    assert!((60..150).contains(&of(&small, 2)), "{}", of(&small, 2));
    assert_eq!(small, tried.asked(), "the same clients again");
    let Rollout { state, present, candidate, .. } = tried.rollout();
    assert_eq!((state, present.calls + candidate.calls), (RolloutState::Running, 2000));
    assert_eq!(candidate.calls, 2 * of(&small, 2) as u64);
    assert_eq!(tried.plugin.roll_out(share(50.0)), Ok(2));
    let large = tried.asked();
    assert!(of(&large, 2) > 400 && small.iter().all(|(client, asked)| *asked == 1 || large[client] == 2));
    tried.plugin.roll_out(share(0.0)).unwrap();
    assert_eq!(of(&tried.asked(), 1), 1000);
    assert_eq!(tried.generation(), 1, "what runs is what ran");
}

#[test]
fn what_a_candidate_fails_at_is_answered_by_what_runs_and_a_storm_of_it_ends_the_rollout() {
    let tried = Tried::rolling(&std::fs::read(guest("trap")).unwrap(), 50.0);
    let asked = tried.asked();
    assert_eq!(of(&asked, 1), 1000, "those whom it failed too");
    let Rollout { state, candidate, present, fault, .. } = tried.rollout();
    assert_eq!((state, candidate.calls, candidate.faults, present.faults), (RolloutState::RolledBack, 3, 3, 0));
    assert!(fault.is_some_and(|fault| fault.contains("trapped")));
    let status = tried.plugin.status();
    assert_eq!((status.state, status.generation, status.quarantined_until_ms), (State::Running, 1, 0));
    // Its faults are not what runs answers for: two of its own are not three.
    tried.plugin.roll_out(share(100.0)).unwrap();
    assert!((0..3).all(|client| tried.decide(client).0.is_ok()));
    assert_eq!(tried.rollout().generation, 3, "a number is not used again");
    assert_eq!(tried.plugin.status().state, State::Running);
}

#[test]
fn each_generation_is_told_what_it_did() {
    let tried = Tried::new(&std::fs::read(guest("trap")).unwrap());
    let told = || -> Vec<[u64; 3]> {
        let of = |one: &GenerationStatus| [one.generation, one.calls, one.faults];
        tried.plugin.status().generations.iter().map(of).collect()
    };
    assert!((0..10).all(|client| tried.decide(client).0.is_ok()));
    assert_eq!(told(), [[1, 10, 0]]);
    tried.configure(Some(100.0)).unwrap();
    // What the candidate fails at is asked of the other.
    assert!((0..2).all(|client| tried.decide(client).0.is_ok()));
    assert_eq!(told(), [[1, 12, 0], [2, 2, 2]]);
    assert!((2..10).all(|client| tried.decide(client).0.is_ok()));
    assert_eq!(told(), [[1, 20, 0]], "the third was one too many");
    assert_eq!(tried.plugin.reload(None).unwrap(), 3);
    assert!(tried.decide(0).0.is_ok());
    assert_eq!(told(), [[3, 1, 0]], "each begins at nothing");
}

#[test]
fn faults_of_what_runs_do_not_end_a_rollout() {
    let tried = Tried::new(&twin("route-geo"));
    // What runs fails at everything, and the candidate at nothing.
    let starved = PluginSpec { fuel: Some(1), ..spec("route", tried.present.clone()) };
    let candidate = (spec("route", tried.candidate.clone()), share(50.0));
    tried.plugin.plan(starved, Some(candidate)).unwrap().adopt();
    advance(61_000);
    let answered = (0..100).filter(|client| tried.decide(*client).0.is_ok()).count();
    assert!((30..70).contains(&answered), "those of the candidate: {answered}");
    assert_eq!((tried.plugin.status().state, tried.rollout().state), (State::Quarantined, RolloutState::Running));
    assert_eq!(tried.rollout().candidate.faults, 0);
}

#[test]
fn a_candidate_that_is_promoted_runs_and_can_still_be_rolled_back() {
    let tried = Tried::rolling(&std::fs::read(guest("trap")).unwrap(), 0.0);
    advance(3_600_000);
    assert_eq!(tried.plugin.promote(), Ok(2));
    assert_eq!((tried.generation(), tried.rollout().state), (2, RolloutState::Promoted));
    for client in 0..3 {
        assert_eq!(tried.decide(client).0, Err(Fault::Trap));
    }
    assert_eq!((tried.decide(1).0.is_ok(), tried.generation()), (true, 1));
    assert_eq!(tried.plugin.status().state, State::RolledBack);
    assert!(tried.plugin.promote().unwrap_err().contains("is not tried now"), "the config still names it");
    tried.configure(None).unwrap();
    assert!(tried.plugin.promote().unwrap_err().contains("it has no candidate"));
}

#[test]
fn an_aborted_candidate_is_asked_no_more() {
    let tried = Tried::rolling(&twin("route-geo"), 100.0);
    assert_eq!(of(&tried.asked(), 2), 1000);
    assert_eq!(tried.plugin.abort(), Ok(1));
    assert_eq!((of(&tried.asked(), 1), tried.rollout().state), (1000, RolloutState::Aborted));
    assert!(tried.plugin.abort().is_err());
    assert_eq!(tried.plugin.roll_out(share(100.0)), Ok(3), "the operator's word tries it again");
    assert_eq!(of(&tried.asked(), 3), 1000);
}

#[test]
fn a_config_that_says_the_same_again_changes_nothing_and_another_does() {
    let tried = Tried::rolling(&twin("route-geo"), 10.0);
    let state = || (tried.rollout().state, tried.rollout().generation, tried.rollout().percent.percent());
    tried.plugin.roll_out(share(20.0)).unwrap();
    tried.configure(Some(10.0)).unwrap();
    assert_eq!(state(), (RolloutState::Running, 2, 20.0), "the operator's share stays");
    tried.configure(Some(30.0)).unwrap();
    assert_eq!(state(), (RolloutState::Running, 2, 30.0));
    tried.plugin.abort().unwrap();
    tried.configure(Some(30.0)).unwrap();
    assert_eq!(state().0, RolloutState::Aborted);
    tried.configure(None).unwrap();
    tried.configure(Some(5.0)).unwrap();
    assert_eq!(state(), (RolloutState::Running, 3, 5.0));
    tried.configure(None).unwrap();
    assert_eq!(state().0, RolloutState::Aborted);
    assert_eq!(tried.generation(), 1);
}

#[test]
fn a_config_may_name_a_promoted_candidate_as_such_or_as_what_runs() {
    let tried = Tried::rolling(&twin("route-geo"), 10.0);
    tried.plugin.promote().unwrap();
    tried.configure(Some(10.0)).unwrap();
    assert_eq!(tried.generation(), 2, "it still names both, and says nothing new");
    let renamed: PluginSpec = spec("route", tried.candidate.clone());
    tried.plugin.plan(renamed, None).unwrap().adopt();
    assert_eq!(tried.generation(), 2, "it is what runs");
    tried.configure(None).unwrap();
    assert_eq!(tried.generation(), 3, "the old file is wanted again");
    assert_eq!(tried.plugin.status().file, tried.present.display().to_string());
}

#[test]
fn a_changed_file_of_a_candidate_is_a_new_chance() {
    let tried = Tried::rolling(&std::fs::read(guest("trap")).unwrap(), 100.0);
    (0..3).for_each(|client| assert!(tried.decide(client).0.is_ok()));
    assert_eq!(tried.rollout().state, RolloutState::RolledBack);
    assert_eq!(tried.plugin.retry_if_changed(), Ok(None), "what failed is not tried again");
    std::fs::write(&tried.candidate, twin("route-geo")).unwrap();
    assert_eq!(tried.plugin.retry_if_changed(), Ok(Some(3)));
    assert_eq!(of(&tried.asked(), 3), 1000);
    std::fs::write(&tried.candidate, b"half a fi").unwrap();
    assert!(tried.plugin.retry_if_changed().is_err());
    assert_eq!(tried.rollout().state, RolloutState::Running);
}

#[test]
fn what_cannot_be_loaded_or_serves_something_else_is_no_candidate() {
    let tried = Tried::new(&std::fs::read(guest("rate-throughput")).unwrap());
    let problem = tried.configure(Some(10.0)).unwrap_err().to_string();
    assert!(problem.contains("candidate.wasm"), "{problem}");
    std::fs::write(&tried.candidate, b"no component").unwrap();
    assert!(tried.configure(Some(10.0)).is_err());
    assert!(tried.plugin.status().rollout.is_none() && tried.plugin.roll_out(share(1.0)).is_err());
}

#[test]
fn a_reload_of_what_runs_leaves_the_candidate_where_it_is() {
    let tried = Tried::rolling(&twin("route-geo"), 50.0);
    let before = of(&tried.asked(), 2);
    assert_eq!(tried.plugin.reload(None).unwrap(), 3);
    let asked = tried.asked();
    assert_eq!((of(&asked, 2), of(&asked, 3)), (before, 1000 - before));
}
