//! The `littoral-bench` command: reads arguments, calls the library, prints one line for an error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use littoral_bench::load::open;
use littoral_bench::{abr, compare, dns, origin, plugins, report, restart, select, soak, video};

/// Measures littoral beside other engines on this machine.
#[derive(Parser)]
#[command(name = "littoral-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare littoral with nginx, Varnish, Traffic Server and HAProxy
    #[command(
        after_help = "Example: littoral-bench run --littoral target/dist/littoral --plugins target/plugins --case hit-1k,mix"
    )]
    Run(compare::Options),
    /// Compare the DNS side with gdnsd and Knot: CPU time per query, by dnsperf
    #[command(after_help = "Example: littoral-bench dns --littoral target/dist/littoral --rounds 7")]
    Dns(dns::Options),
    /// Measure what plugins cost, and say which mark is met
    #[command(after_help = "Example: littoral-bench plugins --littoral target/release/littoral --part calls,filters")]
    Plugins(plugins::Options),
    /// Load nodes whose plugins misbehave: no error, and a 99th percentile as without them
    #[command(after_help = "Example: littoral-bench soak-plugins --only spin --seconds 5")]
    SoakPlugins(plugins::soak::Options),
    /// Load littoral for minutes with hits, misses and purges: no error, and memory that does not grow
    #[command(after_help = "Example: littoral-bench soak --minutes 10 --littoral target/dist/littoral")]
    Soak(soak::Options),
    /// Kill littoral with a disk full of objects and start it again: it serves them within a second for each 100,000
    #[command(after_help = "Example: littoral-bench restart --littoral target/dist/littoral --objects 1000000")]
    Restart(restart::Options),
    /// Ask for paths at a fixed rate and print the latency: an open loop
    #[command(after_help = "Example: littoral-bench load --peer 127.0.0.1:8080 --paths list --rate 5000 --seconds 10")]
    Load(open::Options),
    /// Play titles over network traces with a rate policy, and print how it went
    #[command(after_help = "Example: littoral-bench abr --movie bbb.json --policy rate-littoral 3Glogs/*.json")]
    Abr(abr::Options),
    /// Time reading and rewriting manifests, and reading CMCD, and say which mark is met
    #[command(after_help = "Example: littoral-bench video --rounds 7")]
    Video(video::Options),
    /// Let policies choose clusters in a generated world, and compare them with the optimum
    #[command(after_help = "Example: littoral-bench select --seed 101,102 --plugins target/plugins")]
    Select(select::Options),
    /// Put small objects into the index of a disk and print the memory they take
    #[command(after_help = "Example: littoral-bench index --objects 1000000")]
    Index {
        /// How many
        #[arg(long, default_value_t = 10_000_000)]
        objects: u64,
    },
    /// Serve deterministic bodies: GET /o/BYTES/NUMBER; GET /count tells how often it was asked
    #[command(after_help = "Example: littoral-bench origin --bind 127.0.0.1:9000")]
    Origin {
        /// Address to listen on; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        bind: SocketAddr,
    },
    /// Answer each line in upper case, natively: what a service in Wasm is compared with
    Uppercase,
    /// Render a results file as Markdown
    #[command(after_help = "Example: littoral-bench report bench/results/2026-11-21-abc1234.json --readme README.md")]
    Report {
        /// Results written by `run`
        results: PathBuf,
        /// Put the table between the bench markers of this file too
        #[arg(long)]
        readme: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Run(options) => compare::run(&options),
        Command::Dns(options) => dns::run(&options),
        Command::Plugins(options) => plugins::run(&options),
        Command::SoakPlugins(options) => plugins::soak::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Restart(options) => restart::run(&options),
        Command::Load(options) => open::run(&options),
        Command::Abr(options) => abr::run(&options),
        Command::Video(options) => video::run(&options),
        Command::Select(options) => select::run(&options),
        Command::Index { objects } => compare::index(objects),
        Command::Origin { bind } => origin::run(bind),
        Command::Uppercase => plugins::sentences::serve(),
        Command::Report { results, readme } => report::render(&results, readme.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("littoral-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
