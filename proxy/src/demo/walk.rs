//! The textbook's walk: a local resolver that knows only the root finds the way to the edge, keeps what it found, and finds
//! mail exchangers and names of addresses.
//!
//! The resolver is a node's own, asked over UDP as users ask it; whom it asked is told by its admin API. Invariant: every line
//! shown came over the wire.

use anyhow::{Context, ensure};
use littoral_geo::stub::subnet_of;
use serde_json::Value;

use super::Stage;
use super::cities::City;
use super::hierarchy::owner;
use super::world::{SERVICE, VIDEO_HOST, cluster_at};
use crate::play::lookup::ask;

const COMPANY: &str = "netcinema.example";
const MIRRORS: &str = "mirrors.netcinema.example";
/// How often the name with several addresses is asked for; by chance, one of three is first each time once in 3^39.
const MIRROR_QUESTIONS: usize = 40;

/// Walks for the user in `city`.
///
/// # Errors
/// At the first line that is not what it had to be.
pub(super) async fn tell(stage: &Stage, city: &City) -> anyhow::Result<()> {
    let walk = resolve(stage, VIDEO_HOST, "A", Some(city)).await?;
    let asked = tell_exchanges(stage, &walk)?;
    ensure!(
        asked.iter().filter(|kind| *kind == "referral").count() >= 3,
        "it was referred {asked:?}, not from zone to zone"
    );
    let found = addresses(&walk);
    let address = found.first().context("the walk ends without an address")?.parse()?;
    ensure!(cluster_at(address) == Some(city.cluster), "{} was sent to {address}, not to {}", city.name, city.cluster);
    stage.board.say(&format!("so {VIDEO_HOST} is {address} for {}, {}", city.name, city.cluster));
    kept(stage, city).await?;
    mirrors(stage).await?;
    mail(stage).await
}

/// What was learnt on the way is not asked for again: neither the answer nor the zones' servers.
async fn kept(stage: &Stage, city: &City) -> anyhow::Result<()> {
    let resolver = stage.world.hierarchy.resolver.resolver()?;
    ask(resolver, MIRRORS, None).await?;
    let before = asked(stage).await?;
    let answer = ask(resolver, MIRRORS, Some(city.client)).await?;
    ensure!(answer.addresses().len() == 3, "{MIRRORS} has {} addresses", answer.addresses().len());
    ensure!(asked(stage).await? == before, "what is kept was asked for");
    stage.board.say(&format!("{MIRRORS} A? twice → the second time out of the cache, TTL {} s left", answer.ttl_s()));
    let walk = resolve(stage, SERVICE, "A", Some(city)).await?;
    let asked = tell_exchanges(stage, &walk)?;
    ensure!(asked.iter().all(|kind| kind == "answer"), "servers that are known were looked for: {asked:?}");
    stage.board.say("the TTL of a chosen answer is short: only its own server was asked again, nobody above it");
    Ok(())
}

/// Load distribution: all addresses come each time, and another one is first.
async fn mirrors(stage: &Stage) -> anyhow::Result<()> {
    let resolver = stage.world.hierarchy.resolver.resolver()?;
    let mut first: std::collections::BTreeMap<std::net::IpAddr, usize> = std::collections::BTreeMap::new();
    for _ in 0..MIRROR_QUESTIONS {
        let answer = ask(resolver, MIRRORS, None).await?;
        let address = answer.addresses().first().copied().with_context(|| format!("{MIRRORS} has no address"))?;
        *first.entry(address).or_default() += 1;
    }
    ensure!(first.len() > 1, "one address is first each time: {first:?}");
    let shares: Vec<String> = first.iter().map(|(address, count)| format!("{address} {count}×")).collect();
    stage.board.say(&format!("{MIRRORS} A? {MIRROR_QUESTIONS} times → first was {}", shares.join(", ")));
    Ok(())
}

async fn mail(stage: &Stage) -> anyhow::Result<()> {
    let exchangers = resolve(stage, COMPANY, "MX", None).await?;
    let exchangers = records(&exchangers);
    ensure!(exchangers.len() == 2, "{COMPANY} has {} mail exchangers", exchangers.len());
    exchangers.iter().for_each(|record| stage.board.say(&format!("{COMPANY} MX? ← {record}")));
    let address = addresses(&resolve(stage, "mail.netcinema.example", "A", None).await?);
    let address: std::net::Ipv4Addr = address.first().context("the mail exchanger has no address")?.parse()?;
    let [a, b, c, d] = address.octets();
    let reverse = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    let walk = resolve(stage, &reverse, "PTR", None).await?;
    tell_exchanges(stage, &walk)?;
    let name = records(&walk).first().cloned().with_context(|| format!("{address} has no name"))?;
    ensure!(name.ends_with("mail.netcinema.example."), "{address} is {name}");
    stage.board.say(&format!("{address} is the address of mail.netcinema.example, and that is the name of {address}"));
    Ok(())
}

/// One lookup of the resolver, told by itself.
async fn resolve(stage: &Stage, name: &str, kind: &str, city: Option<&City>) -> anyhow::Result<Value> {
    let admin = stage.world.hierarchy.resolver.admin()?;
    let client = city.map_or_else(String::new, |city| format!("&client={}", subnet_of(city.client).addr()));
    let walk = stage.web.admin(admin, &format!("/v1/resolve?name={name}&type={kind}{client}")).await?;
    ensure!(walk["code"] == "No Error", "{name} {kind}: {}", walk["code"]);
    Ok(walk)
}

/// Says each question and what was answered; returns the kinds of the answers.
fn tell_exchanges(stage: &Stage, walk: &Value) -> anyhow::Result<Vec<String>> {
    let mut kinds = Vec::new();
    for exchange in walk["exchanges"].as_array().context("a walk without exchanges")? {
        let server: std::net::SocketAddr = exchange["server"].as_str().unwrap_or("").parse()?;
        let question = exchange["question"].as_str().unwrap_or("");
        let subnet = exchange["subnet"].as_str().map_or(String::new(), |subnet| format!(", client subnet {subnet}"));
        let kind = exchange["kind"].as_str().unwrap_or("");
        stage.board.say(&format!("{question}? → {server} ({}){subnet}", owner(server.ip())));
        let told: Vec<&str> = exchange["told"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        stage.board.say(&format!("← {kind}: {}", told.join("; ")));
        kinds.push(kind.to_owned());
    }
    Ok(kinds)
}

/// The data of a walk's answer, line by line.
fn records(walk: &Value) -> Vec<String> {
    walk["answers"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn addresses(walk: &Value) -> Vec<String> {
    let last = |record: &String| record.rsplit(' ').next().unwrap_or("").to_owned();
    records(walk).iter().filter(|record| record.contains(" A ")).map(last).collect()
}

/// Questions that the resolver has asked servers so far.
async fn asked(stage: &Stage) -> anyhow::Result<u64> {
    let admin = stage.world.hierarchy.resolver.admin()?;
    let metrics = stage.web.get(admin, &admin.to_string(), "/metrics").await?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("littoral_resolver_asked_total "));
    Ok(line.context("the resolver does not tell what it asked")?.trim().parse::<f64>()? as u64)
}
