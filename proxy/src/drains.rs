//! Clusters that are emptied by command: who said so and when, kept from one process to the next in the file [`FILE`] of `node.data`, and put
//! together with what other deciders say.
//!
//! What it means for an answer is the director's, how words travel `control`'s. Of each cluster the later word holds, wherever it was said; a command is
//! later than all that is known when it comes, whatever clocks say. Invariants: no more than [`WORDS_MAX`] words are kept; a word outlives a reload, and the absence of
//! its cluster from the config while there is room; what is in the file and not right to the last byte changes nothing and costs a warning; a process
//! that has handed over takes no command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use littoral_geo::Director;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::form_urlencoded::byte_serialize;

use crate::cli::{Admin, Failed, call};
use crate::clock::now_ms;
use crate::config::Service;
use crate::control::message::{DRAINS_MAX as WORDS_MAX, UNIX_MS_MAX, Word};
use crate::kept;
use crate::node::Node;

/// Its name.
const FILE: &str = "drains";
/// Bytes it may have.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// What it begins with.
const FORMAT: &str = "littoral-drains 1";

const _: () = assert!(WORDS_MAX >= crate::config::CLUSTERS_MAX, "every cluster can be drained");

/// What was said of clusters.
pub struct Drains {
    director: Arc<Director>,
    /// Held while the file is written, and before `words`.
    keeping: Mutex<Keeping>,
    words: Mutex<BTreeMap<String, Word>>,
}

/// Where it is kept, and whose it is to write.
#[derive(Default)]
struct Keeping {
    file: Option<PathBuf>,
    is_handed_over: bool,
}

/// What a command has come to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The cluster.
    pub cluster: String,
    /// Whether it is being emptied now, by whoever's word.
    pub draining: bool,
    /// By whose, for people.
    pub by: Option<String>,
    /// Whether the command was news.
    pub changed: bool,
    /// Whether the next process of this node will know of it.
    pub kept: bool,
    /// Why not, where it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What becomes of it beyond this node: `alone`, `told` or `waiting`.
    pub others: String,
    /// How long resolvers may go on with what they were answered before: the longest `ttl` of its services.
    pub ttl_s: u64,
}

/// Why a command is not obeyed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// This node's config has no such cluster; those that it has.
    #[error("no [[cluster]] of this node has the id {asked:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// Ids.
        known: String,
    },
    /// It chooses no clusters at all.
    #[error("this node has no [[zone]] or [[service]]: it sends nobody to clusters")]
    Nobody,
    /// A new process has taken over.
    #[error("a new process has taken over: say it again")]
    HandedOver,
}

/// Does what an operator says of a cluster at this node. Blocks.
///
/// # Errors
/// As [`Drains::order`], and that the node directs nobody.
pub(crate) fn ordered(node: &Node, cluster: &str, drained: bool) -> Result<Done, Undone> {
    let directing = node.directing.as_ref().ok_or(Undone::Nobody)?;
    let done = directing.drains().order(cluster, drained, &node.name)?;
    let settings = node.settings.load();
    let serves = |service: &&Service| service.clusters.iter().any(|id| id == "*" || id == cluster);
    let ttls = settings.service.iter().filter(serves).map(|service| service.ttl.0.as_secs());
    let others = match node.control.plane().is_connected() {
        None => "alone",
        Some(true) => "told",
        Some(false) => "waiting",
    };
    Ok(Done { others: others.to_owned(), ttl_s: ttls.max().unwrap_or(0), ..done })
}

impl Drains {
    /// Nothing was said yet.
    pub(crate) fn new(director: Arc<Director>) -> Self {
        Self { director, keeping: Mutex::default(), words: Mutex::default() }
    }

    /// Takes up what a process before this one has kept in a directory, and keeps it there from now on. `None`: it is kept nowhere.
    pub(crate) fn resume(&self, directory: Option<&Path>) {
        let Some(file) = directory.map(|directory| directory.join(FILE)) else { return };
        let read = kept::read(&file, FILE_BYTES_MAX).map_err(|error| error.to_string());
        match read.and_then(|text| text.map_or(Ok(Vec::new()), |text| words_of(&text))) {
            Ok(words) => {
                *self.words.lock() = words.into_iter().map(|word| (word.cluster.clone(), word)).collect();
                self.apply();
            }
            Err(problem) => {
                tracing::warn!(file = %file.display(), problem, "which clusters were drained cannot be read: none is by command");
            }
        }
        self.keeping.lock().file = Some(file);
    }

    /// Has the director know it, which may have another config now.
    pub(crate) fn apply(&self) {
        let words = self.words.lock();
        words.values().for_each(|word| self.tell(word));
    }

    fn tell(&self, word: &Word) {
        self.director.set_draining(&word.cluster, why(word).as_deref());
    }

    /// Drains a cluster, or takes that back, in the name of the node `by`. Blocks while it is written.
    ///
    /// # Errors
    /// Why nothing was done.
    pub(crate) fn order(&self, cluster: &str, drained: bool, by: &str) -> Result<Done, Undone> {
        let keeping = self.keeping.lock();
        if keeping.is_handed_over {
            return Err(Undone::HandedOver);
        }
        let known: Vec<String> = self.director.clusters().into_iter().map(|cluster| cluster.id).collect();
        if !known.iter().any(|id| id == cluster) {
            return Err(Undone::Unknown { asked: cluster.to_owned(), known: known.join(", ") });
        }
        let changed = {
            let mut words = self.words.lock();
            let before = words.get(cluster);
            let changed = before.is_some_and(|word| word.drained) != drained;
            let at_ms = now_ms().max(before.map_or(0, |word| word.at_ms.saturating_add(1))).min(UNIX_MS_MAX);
            let since_ms = before.filter(|_| !changed).map_or(at_ms, |word| word.since_ms);
            let word = Word { cluster: cluster.to_owned(), drained, at_ms, since_ms, by: by.to_owned() };
            self.tell(&word);
            put(&mut words, word, &known);
            changed
        };
        if changed {
            tracing::info!(cluster, drained, "a command has changed whether a cluster is drained");
        }
        let written = self.written(&keeping);
        let view = self.director.clusters().into_iter().find(|view| view.id == cluster);
        Ok(Done {
            cluster: cluster.to_owned(),
            draining: view.as_ref().is_some_and(|view| view.draining),
            by: view.and_then(|view| view.draining_by),
            changed,
            kept: written == Ok(true),
            problem: written.err(),
            others: String::new(),
            ttl_s: 0,
        })
    }

    /// Takes what another decider says, as far as it is later than what is known. Blocks while it is written. Says whether there was news.
    pub(crate) fn hear(&self, said: Vec<Word>) -> bool {
        let keeping = self.keeping.lock();
        if keeping.is_handed_over {
            return false;
        }
        let known: Vec<String> = self.director.clusters().into_iter().map(|cluster| cluster.id).collect();
        let mut has_news = false;
        for word in said.into_iter().filter(|word| known.contains(&word.cluster)) {
            let mut words = self.words.lock();
            let before = words.get(&word.cluster);
            // At the very same moment: the same one everywhere.
            if before.is_some_and(|before| (before.at_ms, &before.by) >= (word.at_ms, &word.by)) {
                continue;
            }
            if before.is_some_and(|before| before.drained) != word.drained {
                let Word { cluster, drained, by, .. } = &word;
                tracing::info!(
                    cluster,
                    drained,
                    by,
                    "another decider's command has changed whether a cluster is drained"
                );
            }
            self.tell(&word);
            put(&mut words, word, &known);
            has_news = true;
        }
        if has_news {
            let unkept = self.written(&keeping).err();
            unkept.iter().for_each(|problem| tracing::warn!(problem, "which clusters are drained is not kept"));
        }
        has_news
    }

    /// All that was said.
    pub(crate) fn words(&self) -> Vec<Word> {
        self.words.lock().values().cloned().collect()
    }

    /// Writes the file; `false`: there is none.
    fn written(&self, keeping: &Keeping) -> Result<bool, String> {
        let Some(file) = &keeping.file else { return Ok(false) };
        kept::write(file, text_of(&self.words()).as_bytes()).map(|()| true)
    }

    /// A process takes over: commands are that one's from now on, unless it fails.
    pub(crate) fn hand_over(&self) {
        self.keeping.lock().is_handed_over = true;
    }

    /// Nobody has taken over.
    pub(crate) fn take_back(&self) {
        self.keeping.lock().is_handed_over = false;
    }
}

/// Why a cluster is drained, for people; `None`: it is not.
fn why(word: &Word) -> Option<String> {
    let since = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(word.since_ms));
    word.drained.then(|| format!("by command since {since}, at {}", word.by))
}

/// A word in place of what was said of its cluster before; where there is no room, in place of the oldest of a cluster that is not `known`.
fn put(words: &mut BTreeMap<String, Word>, word: Word, known: &[String]) {
    if words.len() >= WORDS_MAX && !words.contains_key(&word.cluster) {
        let unknown = words.values().filter(|word| !known.contains(&word.cluster));
        let oldest = unknown.min_by_key(|word| word.at_ms).map(|word| word.cluster.clone());
        oldest.and_then(|cluster| words.remove(&cluster));
    }
    words.insert(word.cluster.clone(), word);
}

fn text_of(words: &[Word]) -> String {
    let text = serde_json::to_string(words).unwrap_or_default();
    format!("{FORMAT} {}\n{text}\n", digest(&text))
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words_of(text: &str) -> Result<Vec<Word>, String> {
    let (head, text) = text.split_once('\n').ok_or("it has no first line")?;
    let sum = head.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' '));
    let sum = sum.ok_or_else(|| format!("it does not begin with {FORMAT:?}"))?;
    let text = text.strip_suffix('\n').ok_or("it is cut off")?;
    if sum != digest(text) {
        return Err("its checksum is another: it was cut off or changed".into());
    }
    let words: Vec<Word> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match words.len() <= WORDS_MAX && words.iter().all(Word::is_sound) {
        true => Ok(words),
        false => Err("it has what cannot be".into()),
    }
}

/// `littoral drain` and `littoral undrain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The cluster's id, as `[[cluster]]` has it.
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Gives a running node the command.
///
/// # Errors
/// What the node said, or that it is not there.
pub async fn main(args: DrainArgs, drained: bool) -> Result<ExitCode, Failed> {
    let cluster: String = byte_serialize(args.cluster.as_bytes()).collect();
    // Of forms; in a path a space is no plus.
    let path = format!("/v1/clusters/{}/drain", cluster.replace('+', "%20"));
    let method = if drained { reqwest::Method::POST } else { reqwest::Method::DELETE };
    let answer = call(args.admin.admin, method, &path, None).await?;
    if args.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let done: Done = serde_json::from_str(&answer).map_err(Failed::outcome)?;
    println!("{}", told(&done));
    Ok(ExitCode::SUCCESS)
}

fn told(done: &Done) -> String {
    let Done { cluster, ttl_s, .. } = done;
    let mut lines = vec![match (done.draining, &done.by) {
        (true, Some(by)) => format!(
            "{cluster} is drained ({by}): it gets only clients whom nobody else may serve; others may come for {ttl_s} s more"
        ),
        _ => format!("{cluster} takes clients again, as its health and load let it"),
    }];
    if let Some(problem) = &done.problem {
        lines.push(format!("a restart of the node ends that: {problem}"));
    } else if !done.kept {
        lines.push("a restart of the node ends that: it has no node.data".to_owned());
    }
    lines.push(match &*done.others {
        "told" => "the other deciders are told".to_owned(),
        "waiting" => "the other deciders are told when the control plane's server is there again".to_owned(),
        _ => "it is this node's alone: say it to each node that directs".to_owned(),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests;
