//! `littoral plugin`: the author's tools at the terminal. What they do is `littoral_plugin_host::author`'s; here it is printed.
//!
//! Exit codes: 0 done; 1 the plugin is not what it should be; 2 wrong use, or a file that cannot be used.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use littoral_plugin_host::author::{self, Finding, Inspection, Measured, Ran, Section};
use littoral_plugin_host::signature::PublicKey;

use super::Failed;

mod ls;
mod new;
mod replay;
mod rollout;
mod service;

/// Bytes of what `run` is asked on its standard input: more than it takes.
const QUESTION_BYTES_MAX: u64 = 2 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Write a new plugin's project: it builds and passes its tests at once, wherever it lies.
    ///
    /// The contract is written into it, and for Rust the SDK: what it takes is this program, a compiler and the public registries.
    #[command(after_help = "Example: littoral plugin new --world routing-policy --lang rust route-by-cost")]
    New(new::NewArgs),
    /// Build plugin crates for wasm32-unknown-unknown and wrap each as a component.
    #[command(after_help = "Example: littoral plugin build plugins/policy/route-geo --out target/plugins")]
    Build {
        /// Directories of plugin crates.
        #[arg(required = true, value_name = "DIR")]
        directories: Vec<PathBuf>,
        /// Where the components go.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Tell what a component exports, imports and can serve.
    #[command(after_help = "Example: littoral plugin inspect target/plugins/route-geo.wasm")]
    Inspect {
        /// The component.
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell everything for which a node would refuse a component, and what to do about it.
    ///
    /// What it imports and must not, what it does not export and must, what it needs too much of; then it is loaded as a node would.
    #[command(
        after_help = "Example: littoral plugin check target/plugins/rate-throughput.wasm --config '{\"safety\": 0.8}'"
    )]
    Check {
        /// The component.
        file: PathBuf,
        /// Its config as JSON.
        #[arg(long, default_value = "{}", value_name = "JSON")]
        config: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure what a call costs: nanoseconds, fuel, memory.
    ///
    /// It asks one question of each function, of the size a node asks, or those of --vectors. A filter is taken past a request and
    /// measured at each point where it is called, its body as a whole. A service is measured with the cases of --vectors: a connection
    /// from its start to its end, or a message.
    #[command(after_help = "Example: littoral plugin bench target/plugins/route-geo.wasm --vectors vectors.toml")]
    Bench {
        /// The component.
        file: PathBuf,
        /// Questions to measure with.
        #[arg(long, value_name = "FILE")]
        vectors: Option<PathBuf>,
        /// Its config as JSON.
        #[arg(long, default_value = "{}", value_name = "JSON")]
        config: String,
        /// Calls of each question.
        #[arg(long, default_value_t = 100_000, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        calls: u64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a component the questions of its author's vectors, in the host that a node uses.
    ///
    /// Without --vectors they are taken from beside the component: NAME.vectors.toml or NAME.vectors.json.
    #[command(after_help = "Example: littoral plugin test target/plugins/route-geo.wasm")]
    Test {
        /// The component.
        file: PathBuf,
        /// The vectors.
        #[arg(long, value_name = "FILE")]
        vectors: Option<PathBuf>,
        /// Its config as JSON, for cases that bring none.
        #[arg(long, default_value = "{}", value_name = "JSON")]
        config: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a policy what a node's policy was asked, and tell where and how often its answers differ.
    ///
    /// `[[plugin]] record` writes what is replayed. The component gets the config that was recorded, unless --config says otherwise.
    #[command(after_help = "Example: littoral plugin replay geo.jsonl target/plugins/route-geo.wasm")]
    Replay {
        /// The record.
        record: PathBuf,
        /// The component.
        file: PathBuf,
        /// Its config as JSON, in place of the recorded one.
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a policy once, and tell its answer, its fuel and its memory; or take a request past a filter, and tell what became of it; or
    /// have a service serve a client, and tell the conversation.
    ///
    /// What is asked is a case of vectors without a name and an expectation (docs/plugins/vectors.md).
    #[command(
        after_help = "Example: littoral plugin run route-geo.wasm 'cluster = [{ index = 0 }, { index = 1, load_permille = 500 }]\ndecide = { candidates = [0, 1] }'"
    )]
    Run {
        /// The component.
        file: PathBuf,
        /// What is told and asked, as TOML; `-` reads it from standard input.
        question: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List what a running node has loaded: state, calls, faults, and what each plugin was granted.
    #[command(after_help = "Example: littoral plugin ls --admin 127.0.0.1:9145")]
    Ls(ls::LsArgs),
    /// Have a running node ask a plugin's candidate about a share of the requests: by another one than before, or again.
    ///
    /// The config names the candidate (`[[plugin]] candidate`). A client stays with whom it was asked of; a larger share only adds clients.
    #[command(after_help = "Example: littoral plugin rollout geo 5")]
    Rollout(rollout::RolloutArgs),
    /// Have a running node ask a plugin's candidate alone from now on.
    #[command(after_help = "Example: littoral plugin promote geo")]
    Promote(rollout::OfArgs),
    /// Have a running node ask a plugin's candidate no more.
    #[command(after_help = "Example: littoral plugin abort geo")]
    Abort(rollout::OfArgs),
    /// Make a key to sign plugins with, and print the public one for `plugins.trusted_keys`.
    #[command(after_help = "Example: littoral plugin keygen release.key")]
    Keygen {
        /// Where the secret key goes; the public one goes to FILE.pub.
        file: PathBuf,
    },
    /// Sign components in place. A signature travels in the file; a second one of the same key takes its place.
    #[command(after_help = "Example: littoral plugin sign --key release.key target/plugins/route-geo.wasm")]
    Sign {
        /// The secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The components.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Tell whether a node that trusts these keys loads a component.
    #[command(after_help = "Example: littoral plugin verify --trusted $(cat release.key.pub) route-geo.wasm")]
    Verify {
        /// A public key; may be given several times.
        #[arg(long, required = true, value_name = "KEY")]
        trusted: Vec<PublicKey>,
        /// The component.
        file: PathBuf,
    },
    /// Compile a core module from standard input to standard output: what a node starts for each plugin it does not know.
    #[command(hide = true)]
    Compile,
}

/// Does what one of them says.
pub(super) fn main(command: PluginCommand) -> Result<ExitCode, Failed> {
    match command {
        PluginCommand::New(args) => return new::main(&args),
        PluginCommand::Build { directories, out } => {
            let built = author::build(&directories, &out).map_err(Failed::Outcome)?;
            built.iter().for_each(|file| println!("{}", file.display()));
        }
        PluginCommand::Inspect { file, json } => inspect(&author::inspect(&file).map_err(Failed::Use)?, json),
        PluginCommand::Check { file, config, json } => return check(&file, &config, json),
        PluginCommand::Bench { file, vectors, config, calls, json } => {
            let measured = author::bench(&file, vectors.as_deref(), &config, calls).map_err(Failed::Use)?;
            return Ok(bench(&measured, json));
        }
        PluginCommand::Test { file, vectors, config, json } => return test(&file, vectors, &config, json),
        PluginCommand::Replay { record, file, config, json } => {
            return replay::main(&record, &file, config.as_deref(), json);
        }
        PluginCommand::Run { file, question, json } => return run(&file, question, json),
        PluginCommand::Ls(args) => return super::block_on(ls::main(args)),
        PluginCommand::Rollout(args) => return super::block_on(rollout::roll_out(args)),
        PluginCommand::Promote(of) => return super::block_on(rollout::promote(of)),
        PluginCommand::Abort(of) => return super::block_on(rollout::abort(of)),
        PluginCommand::Keygen { file } => println!("{}", author::keygen(&file).map_err(Failed::Use)?),
        PluginCommand::Sign { key, files } => {
            let key = author::sign(&key, &files).map_err(Failed::Use)?;
            files.iter().for_each(|file| println!("{}: signed by {key}", file.display()));
        }
        PluginCommand::Verify { trusted, file } => {
            let vouched = author::verify(&file, trusted).map_err(Failed::Use)?;
            let key = vouched.map_err(|problem| Failed::Outcome(format!("{}: {problem}", file.display())))?;
            key.into_iter().for_each(|key| println!("{}: signed by {key}", file.display()));
        }
        PluginCommand::Compile => littoral_plugin_host::compile::serve().map_err(Failed::Outcome)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(found: &Inspection, json: bool) {
    if json {
        return println!("{}", serde_json::json!(found));
    }
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let Inspection { file, bytes, core_bytes, sha256, exports, imports, worlds, core, custom_sections } = found;
    println!("{}\n  {bytes} bytes, core module {core_bytes} bytes\n  sha256   {sha256}", file.display());
    println!("  worlds   {}", if worlds.is_empty() { "none of this contract".to_owned() } else { worlds.join(", ") });
    println!("  exports  {}\n  imports  {}", list(exports), list(imports));
    let most = core.memory_max_bytes.map_or_else(String::new, |most| format!(", {most} at most"));
    println!("  memory   {} bytes at start{most}", core.memory_min_bytes);
    println!("  code     {} functions, {} bytes; data {} bytes", core.functions, core.code_bytes, core.data_bytes);
    let told = if core.names { "there: backtraces name functions" } else { "none: backtraces have numbers" };
    println!("  names    {told}");
    let section = |Section { name, bytes, in_core }: &Section| {
        format!("{name} ({bytes} bytes{})", if *in_core { ", core module" } else { "" })
    };
    println!("  sections {}", list(&custom_sections.iter().map(section).collect::<Vec<_>>()));
    for (what, functions) in [("import", &core.imports), ("export", &core.exports)] {
        functions.iter().for_each(|function| println!("  {what}   {}: {}", function.name, function.signature));
    }
}

fn check(file: &Path, config: &str, json: bool) -> Result<ExitCode, Failed> {
    let found = author::check(file, config).map_err(Failed::Use)?;
    if json {
        println!("{}", serde_json::json!({ "file": file, "ok": found.is_empty(), "problems": found }));
    } else if found.is_empty() {
        println!("{}: ok", file.display());
    } else {
        println!("{}: {} for which a node refuses it", file.display(), counted(found.len(), "thing"));
        found.iter().for_each(|Finding { problem, fix }| println!("- {problem}\n  {fix}"));
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}

fn counted(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn bench(measured: &[Measured], json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(measured));
    } else {
        println!("{:<8} {:>9} {:>9} {:>8} {:>9}  question", "call", "p50 ns", "p99 ns", "fuel", "memory");
        for Measured { function, question, p50_ns, p99_ns, fuel, memory_bytes, fault, .. } in measured {
            let kib = memory_bytes >> 10;
            match fault {
                None => println!("{function:<8} {p50_ns:>9.1} {p99_ns:>9.1} {fuel:>8} {kib:>5} KiB  {question}"),
                Some(fault) => {
                    println!("{function:<8} {:>9} {:>9} {fuel:>8} {kib:>5} KiB  {question}: {fault}", "-", "-")
                }
            }
        }
    }
    ExitCode::from(u8::from(measured.iter().any(|one| one.fault.is_some())))
}

fn run(file: &Path, question: String, json: bool) -> Result<ExitCode, Failed> {
    let question = match question.as_str() {
        "-" => std::io::read_to_string(std::io::stdin().take(QUESTION_BYTES_MAX)).map_err(Failed::wrong_use)?,
        _ => question,
    };
    if littoral_plugin_host::is_service(file) {
        let conversation = author::run_service(file, &question).map_err(Failed::Use)?;
        return Ok(service::tell(&conversation, json));
    }
    if littoral_plugin_host::is_filter(file) {
        let seen = author::run_filter(file, &question).map_err(Failed::Use)?;
        match json {
            true => println!("{seen}"),
            false => println!("{seen:#}"),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ran = author::run(file, &question).map_err(Failed::Use)?;
    match json {
        true => println!("{}", serde_json::json!(ran)),
        false => {
            let Ran { function, words, fuel, fuel_limit, memory_bytes, .. } = &ran;
            println!("{function}: {words}\n  {fuel} of {fuel_limit} fuel, {} KiB of memory", memory_bytes >> 10);
        }
    }
    Ok(ExitCode::from(u8::from(ran.reply.is_none() && ran.go.is_none())))
}

fn test(file: &Path, vectors: Option<PathBuf>, config: &str, json: bool) -> Result<ExitCode, Failed> {
    let nowhere = || {
        let beside = file.with_extension("vectors.toml");
        Failed::Use(format!("{}: no such file; write it, or name the vectors with --vectors", beside.display()))
    };
    let vectors = vectors.or_else(|| author::vectors_of(file)).ok_or_else(nowhere)?;
    let verified = author::test(file, &vectors, config).map_err(Failed::Use)?;
    let failed = verified.iter().filter(|case| case.problem.is_some()).count();
    if json {
        let told = serde_json::json!({ "file": file, "vectors": vectors, "failed": failed, "cases": verified });
        println!("{told}");
    } else {
        for case in &verified {
            match &case.problem {
                None => match case.fuel {
                    Some(fuel) => println!("ok    {} ({fuel} fuel)", case.name),
                    None => println!("ok    {}", case.name),
                },
                Some(problem) => println!("FAIL  {}: {problem}", case.name),
            }
        }
        println!("{} of {} cases pass", verified.len() - failed, verified.len());
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}
