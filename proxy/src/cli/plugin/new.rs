//! `littoral plugin new`: a project of one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use littoral_plugin_host::author::{self, Language, World};

use super::Failed;

/// What it is told.
#[derive(Debug, Args)]
pub(in super::super) struct NewArgs {
    /// Its name, 1 to 64 of a-z, 0-9 and -.
    name: String,
    /// What it is for.
    #[arg(long, value_parser = PossibleValuesParser::new(World::ALL.map(World::as_str)))]
    world: String,
    /// What it is written in.
    #[arg(long, default_value = "rust", value_parser = PossibleValuesParser::new(Language::ALL.map(Language::as_str)))]
    lang: String,
    /// Where it goes; NAME if nothing is said.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the project and says what to do next.
pub(super) fn main(args: &NewArgs) -> Result<ExitCode, Failed> {
    let NewArgs { name, world, lang, dir } = args;
    // What is not among them clap has refused.
    let world = World::ALL.into_iter().find(|known| known.as_str() == world).unwrap_or(World::RoutingPolicy);
    let language = Language::ALL.into_iter().find(|known| known.as_str() == lang).unwrap_or(Language::Rust);
    let directory = dir.clone().unwrap_or_else(|| PathBuf::from(name));
    author::new(name, world, language, &directory).map_err(Failed::Use)?;
    println!(
        "{}: a {} in {}; README.md there says how to build and try it",
        directory.display(),
        world.as_str(),
        language.as_str()
    );
    Ok(ExitCode::SUCCESS)
}
