//! The `littoral-bench` command: reads arguments, calls the library, prints one line for an error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use littoral_bench::{hits, origin, report};

/// Measures littoral beside other engines on this machine.
#[derive(Parser)]
#[command(name = "littoral-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare warm cached hits of littoral, nginx and Varnish
    #[command(
        after_help = "Example: littoral-bench hits --littoral target/dist/littoral --plugins target/plugins --rounds 7"
    )]
    Hits(hits::Options),
    /// Serve deterministic bodies: GET /o/BYTES/NUMBER; GET /count tells how often it was asked
    #[command(after_help = "Example: littoral-bench origin --bind 127.0.0.1:9000")]
    Origin {
        /// Address to listen on; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        bind: SocketAddr,
    },
    /// Render a results file as Markdown
    #[command(after_help = "Example: littoral-bench report bench/results/2026-11-21-abc1234.json --readme README.md")]
    Report {
        /// Results written by `hits`
        results: PathBuf,
        /// Put the table between the bench markers of this file too
        #[arg(long)]
        readme: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Hits(options) => hits::run(&options),
        Command::Origin { bind } => origin::run(bind),
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
