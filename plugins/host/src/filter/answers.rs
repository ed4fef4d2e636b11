//! What is outside of a filter, as a text tells it ([`super::script`]): what others answer to its own requests, what those say whom it dials, and a disk
//! that is thrown away. Nobody else is asked then.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::outside;
use super::script::Fields;
use crate::durable::Scratch;
use crate::fetch::{Answer, Asked, FetchSpec, Fetcher, Fetching, Granted, Refused};
use crate::service::{DialSpec, Wires};

/// An answer to whatever is asked of a URL.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    url: String,
    /// Asked so; any where it is not said.
    method: Option<String>,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    fields: Fields,
    #[serde(default)]
    body: String,
    /// Why there is no answer.
    refused: Option<String>,
}

fn ok() -> u16 {
    200
}

impl Told {
    /// # Errors
    /// Why nobody can be asked so.
    pub(crate) fn check(&self) -> Result<(), String> {
        let url = format!("fetch {:?}", self.url);
        Asked::check_url(&self.url).map_err(|why| format!("{url}: {why}"))?;
        self.fields.check()?;
        match &self.refused {
            Some(label) if Refused::of(label).is_none() => {
                Err(format!("{url}: refused is one of {}", Refused::labels()))
            }
            _ if !(200..=599).contains(&self.status) => Err(format!("{url}: status is 200 to 599")),
            _ => Ok(()),
        }
    }

    fn is_for(&self, asked: &Asked) -> bool {
        asked.is_of(&self.url) && self.method.as_ref().is_none_or(|method| *method == asked.method)
    }

    fn answer(&self) -> Result<Answer, Refused> {
        if let Some(refused) = self.refused.as_deref().and_then(Refused::of) {
            return Err(refused);
        }
        let of = |(name, values): (&str, &[String])| {
            let (name, values) = (name.to_owned(), values.to_vec());
            values.into_iter().map(move |value| (name.clone(), value.into_bytes()))
        };
        let fields = self.fields.iter().flat_map(of).collect();
        Ok(Answer { status: self.status, fields, body: self.body.clone().into_bytes() })
    }
}

struct Answers(Vec<Told>);

impl Fetcher for Answers {
    fn fetch(&self, asked: Asked, _within: Duration) -> Fetching {
        let told = self.0.iter().find(|told| told.is_for(&asked));
        let answer = told.map_or(Err(Refused::NotGranted), Told::answer);
        Box::pin(std::future::ready(answer))
    }
}

/// Whoever is told of answers so; anybody else is not granted.
pub(crate) fn granted(told: &[Told]) -> Arc<Granted> {
    Arc::new(Granted { spec: FetchSpec::anybody(), fetcher: Arc::new(Answers(told.to_vec())) })
}

/// Whom a filter dials and what it keeps on disk, where a text tells it.
pub(crate) struct Scripted {
    scratch: Option<Scratch>,
    dial: DialSpec,
    wires: Wires,
}

impl Scripted {
    /// What `wires` lead to, with a disk where it keeps something.
    ///
    /// # Errors
    /// That there is no place for what it keeps.
    pub(super) fn new(keeps: bool, wires: Wires) -> Result<Self, String> {
        let scratch = keeps.then(Scratch::new).transpose()?;
        Ok(Self { scratch, dial: DialSpec::anybody(), wires })
    }

    /// As what it is granted.
    pub(super) fn granted(&self) -> outside::Granted<'_> {
        outside::Granted {
            durable: self.scratch.as_ref().map(|scratch| &scratch.store),
            dial: Some(&self.dial),
            wires: Some(&self.wires),
            is_scripted: true,
        }
    }
}
