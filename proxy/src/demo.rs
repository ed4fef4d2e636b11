//! `littoral demo`: a small CDN at work on this machine, with real processes and real traffic.
//!
//! It starts a content company and a CDN ([`world`]), tells the textbook's six steps ([`story`]), lets players in several
//! cities watch ([`audience`]), then breaks and changes things under load ([`outage`], [`swap`], [`premiere`], [`trap`]).
//! Everything shown is measured and goes through [`board`] to the terminal, to `--json` and to a live page ([`page`]).
//! It uses no door of the node that an operator does not have. Invariant: when it returns, no process it started is left.

mod audience;
mod board;
mod cities;
mod fleet;
mod hierarchy;
mod load;
mod outage;
mod page;
mod players;
mod policies;
mod premiere;
mod sentences;
mod story;
mod swap;
mod trap;
mod walk;
mod web;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::fileserver::stop_signal;
use board::Board;
use cities::City;
use web::Web;
use world::{Material, World};

/// How long the nodes may take to load their plugins and to be found healthy.
const SETTLE_POLL: Duration = Duration::from_millis(50);
const SETTLE_POLLS: u32 = 300;
/// Exit code of a demo that a signal ended before its last step.
const INTERRUPTED: u8 = 130;
const POLICIES: [&str; 3] = ["route-geo", "rate-throughput", "evict-lfu-size"];

/// Arguments of `littoral demo`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  littoral demo              stays up with a live page until Ctrl-C\n  \
                        littoral demo --once       ends by itself; exit code 0 when every step held")]
pub struct DemoArgs {
    /// End after the last step; exit code 0 only when every step held
    #[arg(long)]
    pub once: bool,
    /// Directory of the built plugins [default: $LITTORAL_PLUGINS, else plugins/ beside the binary's target directory]
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// NetCinema's page and title: index.html, manifest.mpd and its segments [default: assets/netcinema]
    #[arg(long, value_name = "DIR")]
    pub asset: Option<PathBuf>,
    /// Address of the live page
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub page: SocketAddr,
    /// Print everything as one JSON document at the end, instead of text as it happens
    #[arg(long)]
    pub json: bool,
    /// Keep the directory with configs, zones and logs
    #[arg(long)]
    pub keep: bool,
}

/// What every step works with; cheap to clone.
#[derive(Clone)]
struct Stage {
    board: Arc<Board>,
    web: Web,
    world: Arc<World>,
    cities: Arc<[City]>,
    material: Arc<Material>,
}

impl Stage {
    /// Shows the processes as they are now.
    fn refresh(&self) {
        let processes = self.world.processes();
        self.board.update(|show| show.processes = processes);
    }

    /// The data addresses of all edges.
    fn edge_addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.world.edges().iter().map(|edge| edge.http()).collect()
    }
}

/// Runs the demo.
///
/// # Errors
/// When it cannot be set up: material is missing, or a process does not start. A step that does not hold is no error
/// but exit code 1.
pub async fn main(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let material = material(&args)?;
    let dir = tempfile::Builder::new().prefix("littoral-demo-").tempdir().context("cannot make a directory")?;
    let board = Arc::new(Board::new(args.json));
    board.note(&format!("littoral demo · configs and logs in {}", dir.path().display()));
    let shown = tokio::select! {
        shown = show(&args, material, dir.path(), &board) => shown,
        // What `show` holds is dropped, and with it every process. Ending a demo that has shown everything is no failure.
        () = stop_signal() => Ok(match board.show().verdict {
            "held" => ExitCode::SUCCESS,
            "failed" => ExitCode::FAILURE,
            _ => ExitCode::from(INTERRUPTED),
        }),
    };
    if args.keep || shown.is_err() || board.show().verdict == "failed" {
        board.note(&format!("kept: {}", dir.keep().display()));
    }
    shown
}

async fn show(args: &DemoArgs, material: Material, dir: &Path, board: &Arc<Board>) -> anyhow::Result<ExitCode> {
    let world = Arc::new(World::start(dir, &material).await?);
    let cities = cities::all()?.into();
    let stage = Stage { board: board.clone(), web: Web::new()?, world, cities, material: Arc::new(material) };
    let url = page::serve(args.page, board.clone()).await?;
    introduce(&stage, &url);
    settled(&stage).await?;
    let failures = perform(&stage).await;
    stage.board.close(failures);
    if !args.once {
        stage.board.note(&format!("the demo goes on at {url} until Ctrl-C"));
        audience::go_on(&stage).await;
    }
    stage.world.end().await;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All steps in order; returns how many did not hold. The six of the story build on each other, the rest do not.
async fn perform(stage: &Stage) -> usize {
    let board = &stage.board;
    let told = story::tell(stage, &stage.cities[0]).await;
    if told.is_err() {
        return 1;
    }
    let results = [
        board
            .step(
                "A local resolver that knows only the root walks down to the edge",
                walk::tell(stage, &stage.cities[0]),
            )
            .await,
        board.step("Players in every city watch the feature", audience::watch_everywhere(stage)).await,
        board.step("A cluster is killed while players watch", outage::survive(stage)).await,
        board.step("The eviction policy is swapped under load", swap::swap(stage)).await,
        board.step("A title is warmed before its premiere", premiere::compare(stage)).await,
        board.step("A plugin that traps is loaded", trap::endure(stage)).await,
        board.step("Sentences come back in upper case from a plugin's own server", sentences::exchange(stage)).await,
        board.step("What the three policies decided", policies::tell(stage)).await,
    ];
    results.iter().filter(|result| result.is_err()).count()
}

fn introduce(stage: &Stage, url: &str) {
    stage.refresh();
    for process in stage.board.show().processes {
        let board::Process { name, role, pid, address, .. } = process;
        stage.board.note(&format!("  {name:<10} pid {pid:<7} {address:<18} {role}"));
    }
    stage.board.note(&format!(
        "  {:<10} {:<11} {:<18} the users' local resolver",
        "resolver",
        "",
        stage.world.resolver.address()
    ));
    stage.board.note(&format!("live page: {url}"));
}

/// A node serves before its plugins are compiled and before a busy machine let it answer every probe; the demo is about
/// both, so it waits.
async fn settled(stage: &Stage) -> anyhow::Result<()> {
    policies_loaded(stage).await?;
    let admin = stage.world.kingcdn.admin()?;
    for _ in 0..SETTLE_POLLS {
        let clusters = stage.web.admin(admin, "/v1/clusters").await?;
        let clusters = clusters.as_array().context("/v1/clusters gives no list")?;
        if clusters.iter().filter(|cluster| cluster["healthy"] == true).count() == world::SITES.len() {
            return Ok(());
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
    anyhow::bail!("not every cluster is healthy after {:?}", SETTLE_POLL * SETTLE_POLLS)
}

async fn policies_loaded(stage: &Stage) -> anyhow::Result<()> {
    let mut nodes = vec![(stage.world.kingcdn.admin()?, POLICIES[0])];
    for edge in stage.world.edges() {
        nodes.extend([(edge.admin()?, POLICIES[1]), (edge.admin()?, POLICIES[2])]);
    }
    for (admin, policy) in nodes {
        let mut loaded = Err(anyhow::anyhow!("not asked"));
        for _ in 0..SETTLE_POLLS {
            loaded = policies::plugin(&stage.web, admin, policy).await;
            if loaded.as_ref().is_ok_and(|plugin| plugin.generation > 0) {
                break;
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
        let plugin = loaded.with_context(|| format!("{policy} is not loaded at {admin}"))?;
        anyhow::ensure!(plugin.generation > 0, "{policy} is not loaded at {admin}: {}", plugin.last_fault);
    }
    Ok(())
}

fn material(args: &DemoArgs) -> anyhow::Result<Material> {
    let target = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()));
    let beside = |path: &str| target.as_ref().map(|target| target.join(path));
    let first_of = |candidates: [Option<PathBuf>; 2]| candidates.into_iter().flatten().find(|path| path.is_dir());
    let named = args.plugins.clone().or_else(|| std::env::var_os("LITTORAL_PLUGINS").map(PathBuf::from));
    let plugins = named.or_else(|| first_of([beside("plugins"), Some("target/plugins".into())]));
    let asset = args.asset.clone();
    let asset = asset.or_else(|| first_of([Some("assets/netcinema".into()), beside("../assets/netcinema")]));
    Ok(Material {
        plugins: plugins.context("no built plugins; run `make plugins` or name their directory with --plugins")?,
        asset: asset.context("no site to show; run from the repository or name one with --asset")?,
    })
}
