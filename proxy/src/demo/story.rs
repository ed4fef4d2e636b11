//! The textbook's six steps, from the page to the player, each told from what was seen on the wire.
//!
//! One user in the first city visits the page; nothing here is looked up in the demo's own configuration except to check
//! what came back. Invariant: a step that says "held" has compared the answer with what it had to be.

use anyhow::{Context, ensure};
use littoral_geo::stub::resolver::Exchange;
use littoral_geo::stub::{Answer, subnet_of};

use super::Stage;
use super::cities::City;
use super::players;
use super::policies;
use super::world::{SERVICE, TITLES, VIDEO_HOST, WEB_HOST, cluster_at};
use crate::play::Rule;
use crate::play::lookup::ask;

/// Tells all six steps for the user in `city`.
///
/// # Errors
/// At the first step that does not hold, because each builds on the one before.
pub(super) async fn tell(stage: &Stage, city: &City) -> anyhow::Result<()> {
    let board = &stage.board;
    board.step("The user opens a page of NetCinema, and it names a video", page(stage)).await?;
    let title = format!("The user's machine asks its local resolver for {VIDEO_HOST}");
    let (answer, exchanges) = board.step(&title, question(stage, city)).await?;
    board.step("NetCinema's authoritative server answers with an alias into KingCDN", alias(stage, &exchanges)).await?;
    board.step("KingCDN's server picks the cluster by the client's subnet", choice(stage, city, &exchanges)).await?;
    board.step("The resolver gives the user the edge's address", address(stage, city, &answer)).await?;
    board.step("The player fetches manifest and segments from that edge, and adapts", playing(stage, city)).await
}

async fn page(stage: &Stage) -> anyhow::Result<()> {
    let web_server = ask(stage.world.netcinema.dns()?, WEB_HOST, None).await?;
    let found = web_server.addresses().first().copied().with_context(|| format!("{WEB_HOST} has no address"))?;
    let origin = stage.world.origin.http()?;
    ensure!(found == origin.ip(), "{WEB_HOST} is {found}, not the origin {}", origin.ip());
    stage.board.say(&format!("{WEB_HOST} A? → {found} (NetCinema's DNS)"));
    let page = stage.web.get(origin, WEB_HOST, "/").await?;
    ensure!(page.status == 200, "the page has status {}", page.status);
    let text = String::from_utf8_lossy(&page.body);
    let manifest = stage.world.manifest(TITLES[0]);
    ensure!(text.contains(&manifest), "the page does not name {manifest}");
    stage.board.say(&format!("GET http://{WEB_HOST}:{}/ → 200, {} bytes", origin.port(), page.body.len()));
    stage.board.say(&format!("it names {manifest}"));
    Ok(())
}

/// Asks over UDP as a player does; what the resolver did for it is in the exchanges.
async fn question(stage: &Stage, city: &City) -> anyhow::Result<(Answer, Vec<Exchange>)> {
    let resolver = &stage.world.resolver;
    resolver.take_seen();
    stage.board.say(&format!("{VIDEO_HOST} A? → {} from {} in {}", resolver.address(), city.client, city.name));
    let answer = ask(resolver.address(), VIDEO_HOST, Some(city.client)).await?;
    ensure!(answer.code == 0, "the resolver answered with code {}", answer.code);
    let exchanges = resolver.take_seen();
    ensure!(exchanges.len() == 2, "the resolver asked {} servers, not two", exchanges.len());
    stage.board.say(&format!("it passes the client's subnet on: EDNS client subnet {}", subnet_of(city.client)));
    Ok((answer, exchanges))
}

async fn alias(stage: &Stage, exchanges: &[Exchange]) -> anyhow::Result<()> {
    let exchange = &exchanges[0];
    tell_exchange(stage, exchange);
    ensure!(exchange.authority.owner == "NetCinema", "{} was asked first", exchange.authority.owner);
    ensure!(exchange.answer.authoritative, "the answer is not authoritative");
    let target = exchange.answer.final_name();
    ensure!(target == format!("{SERVICE}."), "the alias names {target}, not {SERVICE}.");
    Ok(())
}

async fn choice(stage: &Stage, city: &City, exchanges: &[Exchange]) -> anyhow::Result<()> {
    let exchange = &exchanges[1];
    tell_exchange(stage, exchange);
    ensure!(exchange.answer.authoritative, "the answer is not authoritative");
    let address = exchange.answer.addresses().first().copied().context("KingCDN answered with no address")?;
    let cluster = cluster_at(address).with_context(|| format!("{address} is no edge's"))?;
    ensure!(cluster == city.cluster, "{} was sent to {cluster}, not to {}", city.name, city.cluster);
    let scope = exchange.answer.scope.context("the answer has no client subnet, so resolvers could not cache it")?;
    ensure!((1..=24).contains(&scope), "scope /{scope} does not fit a question for /24");
    let network = subnet_of(city.client).addr();
    stage.board.say(&format!("{address} is {cluster}; valid for clients in {network}/{scope}"));
    let explained = policies::explain(stage, city.client).await?;
    stage.board.say(&format!("why: {}", policies::reason(&explained)));
    Ok(())
}

async fn address(stage: &Stage, city: &City, answer: &Answer) -> anyhow::Result<()> {
    let address = answer.addresses().first().copied().context("the resolver gave no address")?;
    ensure!(cluster_at(address) == Some(city.cluster), "the resolver gave {address}, not an edge of {}", city.cluster);
    answer.records.iter().for_each(|record| stage.board.say(&record.to_string()));
    // The same question of a client elsewhere must not be answered with this user's cluster.
    let elsewhere = stage.cities.iter().find(|other| other.cluster != city.cluster).context("one cluster only")?;
    let other = ask(stage.world.resolver.address(), VIDEO_HOST, Some(elsewhere.client)).await?;
    let other = other.addresses().first().copied().context("no address for the other client")?;
    ensure!(
        cluster_at(other) == Some(elsewhere.cluster),
        "{} was given {other}, not an edge of {}",
        elsewhere.name,
        elsewhere.cluster
    );
    stage.board.say(&format!("a client in {} asks the same resolver and gets {other}", elsewhere.name));
    Ok(())
}

async fn playing(stage: &Stage, city: &City) -> anyhow::Result<()> {
    let viewing = players::watch(stage, TITLES[0], city, Rule::Throughput).await?;
    ensure!(viewing.failed == 0, "{} segments failed: {}", viewing.failed, viewing.failure());
    let elsewhere = viewing.clusters.iter().find(|cluster| **cluster != city.cluster);
    ensure!(elsewhere.is_none(), "a segment came from {}", elsewhere.map_or("", |cluster| cluster));
    stage.board.say(&format!("GET manifest and {} segments, all from {}", viewing.segments, city.cluster));
    stage.board.say(&format!("representations: {}", viewing.ladder_walk()));
    ensure!(viewing.representations.len() > 1, "the player never changed its representation");
    let (startup, hits) = (viewing.startup_ms, viewing.hit_ratio() * 100.0);
    stage.board.say(&format!("start-up {startup:.0} ms, {} stalls, {hits:.0} % from the edge's cache", viewing.stalls));
    Ok(())
}

fn tell_exchange(stage: &Stage, exchange: &Exchange) {
    let Exchange { authority, subnet, answer, took } = exchange;
    // Told only when the server took note of it.
    let subnet = answer.scope.and(*subnet).map_or(String::new(), |subnet| format!(", client subnet {subnet}"));
    stage.board.say(&format!(
        "{} A? → {} ({}'s DNS){subnet}",
        answer.name.trim_end_matches('.'),
        authority.server,
        authority.owner
    ));
    for record in &answer.records {
        stage.board.say(&format!("← {record}  ({} µs)", took.as_micros()));
    }
}
