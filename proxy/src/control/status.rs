//! What the control plane knows, for people: `GET /v1/nodes`, `littoral nodes`, and what `explain` says of it.

use std::process::ExitCode;

use clap::Args;
use comfy_table::Table;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::counts::Purged;
use super::heard::{Freshness, Heard, Known, Speaker};
use super::message::Report;
use super::pushed::asking::Asking;
use super::votes::Outcome;
use crate::cli::{Admin, Failed, call};
use crate::clock::elapsed_ms;
use crate::node::Node;
use crate::observe::metrics::{Sample, by, one};

/// All that is known of others.
#[derive(Debug, Serialize, Deserialize)]
pub struct Nodes {
    /// This node.
    pub node: String,
    /// What carries: `local` or `nats`.
    pub plane: String,
    /// Whether its server is there; none: there is none.
    pub connected: Option<bool>,
    /// `none`, `fresh`, `kept` or `old`; none where nothing is carried.
    pub state: Option<String>,
    /// Seconds since anybody was heard.
    pub heard_s: Option<f64>,
    /// After how many the last state does not hold.
    pub max_age_s: f64,
    /// Purges that wait for the server, and those that this node could not get.
    pub purges: Purges,
    /// Nodes that were heard.
    pub nodes: Vec<OfNode>,
}

/// Purges in figures.
#[derive(Debug, Serialize, Deserialize)]
pub struct Purges {
    /// That others are not sure to get yet.
    pub waiting: usize,
    /// Done for others.
    pub done: u64,
    /// That cannot be got any more.
    pub missed: u64,
}

/// A node that was heard.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfNode {
    /// Its name.
    pub node: String,
    /// Its cluster, empty when it is of none.
    pub cluster: String,
    /// `up`, `stopping` or `silent`.
    pub state: String,
    /// In permille.
    pub load_permille: u16,
    /// Since it was heard.
    pub heard_s: f64,
    /// The version of its program.
    pub program: String,
    /// How many configs it has put in force.
    pub generation: u64,
    /// See [`Report::serving`].
    pub serving: Option<String>,
    /// See [`Report::directing`].
    pub directing: Option<String>,
    /// What of its config is not as this node's: `serving`, `directing`.
    pub differs: Vec<String>,
}

/// `littoral nodes`.
#[derive(Debug, Args)]
pub struct NodesArgs {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

impl Nodes {
    /// As this node knows them now.
    pub fn of(node: &Node) -> Self {
        let (control, settings, now_ms) = (&node.control, node.settings.load(), elapsed_ms());
        let carries = control.plane().is_connected().is_some();
        let own = &settings.hashes;
        let heard = control.heard.lock();
        let of = |((cluster, name), known): (&Speaker, &Known)| {
            let Report { up, load, program, generation, serving, directing, .. } = known.report.clone();
            let state = match (heard.is_silent(known), up) {
                (true, _) => "silent",
                (false, true) => "up",
                (false, false) => "stopping",
            };
            let of_both = [("serving", &own.serving, &serving), ("directing", &own.directing, &directing)];
            let differing = of_both.iter().filter(|(_, own, its)| own.is_some() && its.is_some() && own != its);
            OfNode {
                differs: differing.map(|(what, ..)| (*what).to_owned()).collect(),
                node: name.clone(),
                cluster: cluster.clone(),
                state: state.to_owned(),
                load_permille: load,
                heard_s: seconds(now_ms.saturating_sub(known.heard_ms)),
                program,
                generation,
                serving,
                directing,
            }
        };
        Self {
            node: node.name.clone(),
            plane: control.plane().name().to_owned(),
            connected: control.plane().is_connected(),
            state: carries.then(|| heard.freshness(now_ms).label().to_owned()),
            heard_s: heard.age_ms(now_ms).map(seconds),
            max_age_s: settings.control.max_age.0.as_secs_f64(),
            purges: Purges {
                waiting: control.plane().waiting(),
                done: control.counts.purges(Purged::Done),
                missed: control.counts.missed.sum(),
            },
            nodes: heard.nodes().map(of).collect(),
        }
    }
}

/// What a decision goes by besides what is in it, for `explain`; none where nothing is carried.
pub(crate) fn explained(node: &Node) -> Option<Value> {
    let (control, now_ms) = (&node.control, elapsed_ms());
    control.plane().is_connected()?;
    let heard = control.heard.lock();
    let quorum = quorum(node, &heard, now_ms);
    let (freshness, verdicts) = (heard.freshness(now_ms), heard.verdicts(now_ms));
    let says = match freshness {
        Freshness::None => "nothing was heard of other nodes yet",
        Freshness::Fresh => "as nodes tell it",
        Freshness::Kept => "nothing is heard of other nodes: as they told it last",
        Freshness::Old => "nothing was heard of other nodes for too long: what they told last does not hold any more",
    };
    Some(json!({
        "plane": control.plane().name(),
        "state": freshness.label(),
        "says": says,
        "heard_s": heard.age_ms(now_ms).map(seconds),
        "clusters": verdicts.into_iter().map(|(cluster, verdict)| {
            let told = match verdict {
                super::heard::Verdict::Up(load) => json!({ "state": "up", "load_permille": load }),
                super::heard::Verdict::Stopping => json!({ "state": "stopping" }),
                super::heard::Verdict::Silent => json!({ "state": "silent" }),
            };
            (cluster, told)
        }).collect::<serde_json::Map<_, _>>(),
        "quorum": quorum,
    }))
}

/// How deciders find each cluster that any of them probes, and what that makes it.
fn quorum(node: &Node, heard: &Heard, now_ms: u64) -> Value {
    let Some(directing) = &node.directing else { return Value::Null };
    let (own, ballot) = (directing.standing().found(), node.control.ballot.lock());
    let vote = |up: bool| if up { "up" } else { "down" };
    let of_cluster = |cluster: &String| {
        let others = ballot.of(cluster).map(|((of, node), up, heard_ms)| {
            let counts = !heard.is_silent_since(heard_ms);
            let heard_s = seconds(now_ms.saturating_sub(heard_ms));
            json!({ "node": node, "cluster": of, "vote": vote(up), "heard_s": heard_s, "counts": counts })
        });
        let ours = own.get(cluster).map(|up| json!({ "node": node.name, "vote": vote(*up), "counts": true }));
        let (state, by, says) = match ballot.outcomes().get(cluster) {
            Some(Outcome { up, down, of, needed, .. }) => {
                let says = format!("{down} of {of} find it down, {needed} are needed");
                (Some(*up), "quorum", says)
            }
            None => (
                own.get(cluster).copied(),
                "own probes",
                "no other decider says anything, or this node has found something else since".into(),
            ),
        };
        json!({ "state": state.map(vote), "by": by, "says": says, "votes": ours.into_iter().chain(others).collect::<Vec<_>>() })
    };
    let known = |cluster: &String| own.contains_key(cluster) || ballot.of(cluster).next().is_some();
    let clusters = heard.expected().clusters.iter().filter(|cluster| known(cluster));
    clusters.map(|cluster| (cluster.clone(), of_cluster(cluster))).collect::<serde_json::Map<_, _>>().into()
}

/// A figure of the control plane; where nothing is carried only of what nodes are asked for.
pub(crate) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let (control, now_ms) = (&node.control, elapsed_ms());
    match name {
        "littoral_control_titles" => {
            let titles = control.pushed.counts(now_ms).into_iter();
            return titles.map(|(cluster, count)| (count as f64, vec![("cluster", cluster)])).collect();
        }
        "littoral_control_titles_asked_total" => {
            return by("outcome", Asking::OUTCOMES.into_iter().zip(control.asking.counts()));
        }
        _ => {}
    }
    let Some(connected) = control.plane().is_connected() else { return Vec::new() };
    let heard = || control.heard.lock();
    match name {
        "littoral_control_connected" => one(connected.into()),
        "littoral_control_state" => {
            let now = heard().freshness(now_ms).label();
            by("state", Freshness::LABELS.map(|label| (label, u64::from(label == now))))
        }
        "littoral_control_heard_age_seconds" => {
            heard().age_ms(now_ms).map_or_else(Vec::new, |age| vec![(seconds(age), Vec::new())])
        }
        "littoral_control_nodes" => {
            let nodes = Nodes::of(node).nodes;
            let of = |state: &str| nodes.iter().filter(|of| of.state == state).count() as u64;
            let differing = nodes.iter().filter(|of| !of.differs.is_empty()).count() as u64;
            let states = ["up", "stopping", "silent"].map(|state| (state, of(state)));
            by("state", states.into_iter().chain([("differing", differing)]))
        }
        "littoral_control_votes" => votes(node),
        "littoral_control_overruled" => {
            let ballot = control.ballot.lock();
            ballot
                .outcomes()
                .iter()
                .map(|(of, voted)| (f64::from(voted.is_overruled()), vec![("cluster", of.clone())]))
                .collect()
        }
        "littoral_control_heard_total" => by("outcome", control.counts.all_heard()),
        "littoral_control_told_total" => {
            by("outcome", [("sent", control.counts.sent.sum()), ("unsent", control.counts.unsent.sum())])
        }
        "littoral_control_slow_total" => one(control.counts.slow.sum()),
        "littoral_control_purges_total" => by("outcome", control.counts.all_purges()),
        "littoral_control_purges_waiting" => one(control.plane().waiting() as u64),
        "littoral_control_purges_missed_total" => one(control.counts.missed.sum()),
        _ => Vec::new(),
    }
}

/// Votes that count, by cluster and what they find; where no other decider's do, this node's own.
fn votes(node: &Node) -> Vec<Sample> {
    let Some(directing) = &node.directing else { return Vec::new() };
    let (own, ballot) = (directing.standing().found(), node.control.ballot.lock());
    let alone = own.iter().filter(|(cluster, _)| !ballot.outcomes().contains_key(*cluster));
    let alone = alone.map(|(cluster, up)| (cluster, usize::from(*up), usize::from(!up)));
    let counted = ballot.outcomes().iter().map(|(cluster, voted)| (cluster, voted.of - voted.down, voted.down));
    let all = alone.chain(counted).flat_map(|(cluster, up, down)| [(cluster, "up", up), (cluster, "down", down)]);
    all.map(|(cluster, vote, count)| (count as f64, vec![("cluster", cluster.clone()), ("vote", vote.to_owned())]))
        .collect()
}

/// `littoral nodes`.
///
/// # Errors
/// What the node said, or that it is not there.
pub async fn main(args: NodesArgs) -> Result<ExitCode, Failed> {
    let answer = call(args.admin.admin, reqwest::Method::GET, "/v1/nodes", None).await?;
    if args.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let told: Nodes = serde_json::from_str(&answer).map_err(Failed::outcome)?;
    println!("{}", written(&told));
    Ok(ExitCode::SUCCESS)
}

fn written(told: &Nodes) -> String {
    let Some(connected) = told.connected else {
        return format!("{}: nothing is between nodes (control.plane = {:?})", told.node, told.plane);
    };
    let state = match told.state.as_deref() {
        Some("fresh") => "other nodes are heard".to_owned(),
        Some("kept") => format!("nothing is heard for {:.0} s: the last state is kept", told.heard_s.unwrap_or(0.0)),
        Some("old") => {
            format!("nothing is heard for {:.0} s: the last state does not hold any more", told.heard_s.unwrap_or(0.0))
        }
        _ => "nothing was heard yet".to_owned(),
    };
    let mut lines = vec![format!(
        "{}: {}, {}; {state}",
        told.node,
        told.plane,
        if connected { "connected" } else { "not connected" }
    )];
    if told.purges.waiting > 0 {
        lines.push(format!("{} purges wait for the server", told.purges.waiting));
    }
    if told.purges.missed > 0 {
        lines.push(format!("{} purges were missed: order `littoral purge --all` at this node", told.purges.missed));
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["NODE", "CLUSTER", "STATE", "LOAD", "HEARD", "PROGRAM", "GENERATION", "CONFIG"]);
    for of in &told.nodes {
        let config = match of.differs.is_empty() {
            true => "same".to_owned(),
            false => format!("differs: {}", of.differs.join(", ")),
        };
        table.add_row([
            of.node.clone(),
            of.cluster.clone(),
            of.state.clone(),
            format!("{:.1} %", f64::from(of.load_permille) / 10.0),
            format!("{:.1} s", of.heard_s),
            of.program.clone(),
            of.generation.to_string(),
            config,
        ]);
    }
    lines.extend(table.to_string().lines().map(|line| line.trim().to_owned()));
    lines.join("\n")
}
