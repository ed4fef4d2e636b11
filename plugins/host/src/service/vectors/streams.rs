//! Cases of services of connections: one connection each, and ticks, which services of datagrams have too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stage::{Stage, waited};
use super::talk::{End, Shared, Talk, Turn, check_turns};
use super::{Case, Played, Side};
use crate::author::BATCH;
use crate::fetch::Scope;
use crate::filter::{Failure, Fault};
use crate::service::connection::Connection;
use crate::service::datagrams;
use crate::service::instance::Instance;
use crate::service::plugin::{Generation, Kind};

/// Whose a connection is where the text does not say (RFC 5737).
pub(super) const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 40_000);

impl super::Turn for Turn {
    const FUNCTION: &'static str = "serve";

    fn check(case: &Case<Self>) -> Result<(), String> {
        if !case.content.is_empty() {
            return Err("content is for swarms: leave it out".into());
        }
        match case.amplification {
            Some(_) => Err("amplification is for datagrams: leave it out".into()),
            None => check_turns(&case.turns, false),
        }
    }

    fn talk(case: &Case<Self>) -> Shared {
        Talk::new(&case.turns, &case.dial)
    }

    fn play(
        case: &Case<Self>,
        stage: &Stage,
        (generation, config): (&Generation, &str),
        talk: &Shared,
    ) -> Result<Played, Failure> {
        let recipe = stage.recipe(generation, config)?;
        let end = End::with_client(talk, case.client.unwrap_or(CLIENT), case.tls);
        let connection = Connection::new(Box::new(end), Arc::default());
        let mut played = waited(async {
            let started = Instance::start(recipe, connection, true).await;
            let mut instance = started.map_err(|(failure, _)| failure)?;
            let error = instance.serve().await.map_err(|(failure, _)| failure)?.err();
            let (fuel, memory_bytes) = (instance.fuel(), instance.memory_bytes());
            instance.close().await;
            Ok::<_, Failure>(Played { error, fuel, memory_bytes, ..Played::default() })
        })??;
        played.ends = Some(if talk.lock().client_ended() { Side::Client } else { Side::Service });
        Ok(played)
    }

    fn timed(case: &Case<Self>, stage: &Stage, of: (&Generation, &str)) -> Result<Duration, Failure> {
        let mut took = Duration::ZERO;
        for _ in 0..BATCH {
            let talk = Self::talk(case);
            let started = Instant::now();
            Self::play(case, stage, of, &talk)?;
            took += started.elapsed();
        }
        Ok(took)
    }
}

/// Has a service tick so often, each time in an instance of its own. What it said last.
///
/// # Errors
/// How it failed.
pub(super) fn ticked(
    ticks: u32,
    stage: &Stage,
    (generation, config): (&Generation, &str),
    talk: &Shared,
) -> Result<Option<u64>, Failure> {
    if ticks > 0 && !generation.code.ticks {
        return Err(Failure::new(Fault::Nonsense, "it exports no timer, and is to tick"));
    }
    let mut said = None;
    for _ in 0..ticks {
        let mut recipe = stage.recipe(generation, config)?;
        // It asks as one call does, whatever it is else.
        recipe.scope = Scope::Call;
        let connection = Connection::none(Box::new(End::with_client(talk, CLIENT, None)));
        let tick = async {
            match generation.code.kind {
                Kind::Datagrams => datagrams::Instance::start(recipe, connection, 1, true).await?.ticker().tick().await,
                // One of a swarm that says it ticks is not loaded.
                Kind::Connections | Kind::Swarm => {
                    let started = Instance::start(recipe, connection, true).await;
                    started.map_err(|(failure, _)| failure)?.ticker().tick().await
                }
            }
        };
        said = Some(waited(tick)??);
    }
    Ok(said)
}
