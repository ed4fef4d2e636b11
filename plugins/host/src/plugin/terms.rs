//! What a decision is made of, told by the policy that decided: for people.
//!
//! Invariant: an instance of its own is asked and thrown away, so that whatever it does changes no decision, no figure and no quarantine.

use std::sync::Arc;

use super::Plugin;
use crate::instance::name_of;
use crate::types::{Flow, Term};

impl Plugin {
    /// The terms of the candidates of a question that this thread has asked just now; empty when the policy does not tell.
    ///
    /// # Errors
    /// What the guest did instead, in a sentence; and that it is in quarantine, when it has decided nothing.
    pub fn terms(&self, flow: &Flow) -> Result<Vec<Term>, String> {
        if self.generations.is_quarantined() {
            return Err("the plugin is in quarantine: the native policy decides".into());
        }
        let (running, asked) = (self.generations.running(), self.called());
        // While a candidate is tried beside it, who was asked.
        let trial = running.trial.as_ref().map(|trial| &trial.candidate);
        let generation = trial.filter(|candidate| candidate.number == asked).unwrap_or(&running.present);
        if name_of(&generation.code.module, "", "terms", "of").is_none() {
            return Ok(Vec::new());
        }
        let mut instance = generation.instance(Arc::default())?;
        let told = self.pushed.lock().all.tell(&mut instance);
        let terms = told.and_then(|()| instance.terms(flow));
        terms.map_err(|fault| format!("the plugin does not tell its terms: {}", instance.words(fault)))
    }
}
