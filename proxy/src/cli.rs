//! The command line: what there is to say and which module does it. Exit codes: 0 done, 1 it did not work out, 2 wrong use
//! or a config that cannot be used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod plugin;

/// An edge CDN node programmed with WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "littoral", version, max_term_width = 100)]
pub struct Cli {
    /// What is logged to stderr: error, warn, info, debug, or a filter such as `littoral::request=debug`.
    #[arg(
        long,
        global = true,
        env = "LITTORAL_LOG",
        default_value = "warn",
        value_name = "FILTER",
        help_heading = "Logging"
    )]
    log: String,
    /// Logs as JSON lines.
    #[arg(long, global = true, help_heading = "Logging")]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until a signal ends it.
    ///
    /// When every listener is bound it prints one line: `ready http=… admin=… dns=…`. SIGHUP reloads the config, SIGUSR1
    /// opens the access log again, SIGUSR2 upgrades, SIGTERM and SIGINT end it.
    #[command(after_help = "Example: littoral run -c node.toml")]
    Run(ConfigFile),
    /// Check a config and all it names, and start nothing.
    #[command(after_help = "Example: littoral check -c node.toml")]
    Check(ConfigFile),
    /// Show a small CDN at work: an origin, two DNS servers and three edge clusters, as processes on loopback.
    #[command(after_help = "Example: littoral demo --once")]
    Demo(crate::demo::DemoArgs),
    /// Fetch a title into a running node's cache before anybody asks for it.
    #[command(after_help = "Example: littoral warm http://video.netcinema.example/title/manifest.mpd --rate 50Mbps")]
    Warm(crate::warm::WarmArgs),
    /// Play a DASH title without a screen, and tell how it went.
    #[command(
        after_help = "Example: littoral play http://video.netcinema.example:8080/title/manifest.mpd --dns 127.0.0.1:5300 \
                            --client 198.18.1.7"
    )]
    Play(crate::play::PlayArgs),
    /// Serve a directory as an origin.
    #[command(after_help = "Example: littoral origin --dir assets/netcinema --listen 127.0.0.1:9000")]
    Origin(crate::fileserver::OriginArgs),
    /// Remove objects from a running node's cache.
    #[command(after_help = "Example: littoral purge --prefix http://video.example/title/ --key news --soft")]
    Purge(crate::purge::PurgeArgs),
    /// Tell which other nodes a running node hears, how they are, and whose config differs.
    #[command(after_help = "Example: littoral nodes")]
    Nodes(crate::control::status::NodesArgs),
    /// Empty a cluster: a running node answers it no more, but to clients whom nobody else may serve.
    ///
    /// It holds over reloads and restarts until `littoral undrain`. Clients come for the ttl of their answers more: wait that long before the cluster is stopped.
    #[command(after_help = "Example: littoral drain ams1")]
    Drain(crate::drains::DrainArgs),
    /// Take back `littoral drain`.
    #[command(after_help = "Example: littoral undrain ams1")]
    Undrain(crate::drains::DrainArgs),
    /// Watch a running node on the terminal: requests, hit ratio, cache, origins, plugins, hot keys.
    #[command(after_help = "Example: littoral top --once")]
    Top(crate::top::TopArgs),
    /// Replace a running node's process by a new one of the same program, without losing a connection.
    ///
    /// The new process takes over the listening sockets; the old one finishes what it began. When the new one does not become
    /// ready, the old one goes on. SIGUSR2 does the same. What is cached in memory is not handed over.
    #[command(after_help = "Example: littoral upgrade")]
    Upgrade(Admin),
    /// Look at what a disk keeps, without a node.
    #[command(subcommand)]
    Cache(crate::cached::CacheCommand),
    /// Tell what an eviction policy would hit of a trace, in a tier of a given size.
    #[command(
        after_help = "Example: littoral replay access.log.zst --policy native,s3fifo,littoral --size 1%,5%,10% --plot"
    )]
    Replay(crate::replay::ReplayArgs),
    /// Ask a running node why a client gets the cluster it gets.
    #[command(after_help = "Example: littoral explain --client 198.51.100.7 --name a1105.kingcdn.example")]
    Explain(ExplainArgs),
    /// Tools for the author of a plugin.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Print the reference made from the code.
    Docs(DocsArgs),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The config file.
    #[arg(short = 'c', long, value_name = "FILE")]
    config: PathBuf,
}

/// Where the admin API of a node is.
#[derive(Debug, Clone, Args)]
pub struct Admin {
    /// Address of the node's admin API.
    #[arg(long, default_value = "127.0.0.1:9145", value_name = "ADDR")]
    pub admin: SocketAddr,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The client's address.
    #[arg(long, value_name = "IP")]
    client: std::net::IpAddr,
    /// The service's name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it asks for, for sites whose redirects go by what was pushed to clusters.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct DocsArgs {
    /// Which one.
    which: DocsOf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DocsOf {
    /// docs/config.md
    Config,
    /// docs/metrics.md
    Metrics,
    /// docs/plugins/reference.md
    Wit,
}

/// Why a command failed, in one line; its exit code follows from it.
#[derive(Debug)]
pub enum Failed {
    /// It did not work out: 1.
    Outcome(String),
    /// It was used wrongly, or its config cannot be used: 2.
    Use(String),
}

impl Failed {
    /// It did not work out.
    pub(crate) fn outcome(error: impl Into<anyhow::Error>) -> Self {
        Self::Outcome(format!("{:#}", error.into()))
    }

    /// It was used wrongly.
    pub(crate) fn wrong_use(error: impl Into<anyhow::Error>) -> Self {
        Self::Use(format!("{:#}", error.into()))
    }
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    let (code, problem) = match run(cli.command) {
        Ok(code) => return code,
        Err(Failed::Outcome(problem)) => (1, problem),
        Err(Failed::Use(problem)) => (2, problem),
    };
    eprintln!("littoral: {problem}");
    ExitCode::from(code)
}

fn start_log(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    // hickory-server logs two lines per query at info; what async-nats says at each attempt to connect, the control plane says once.
    let filter = format!("{},hickory_server=warn,hickory_net=warn,async_nats=off", cli.log);
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(filter));
    if cli.log_json { log.json().init() } else { log.init() }
}

fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Run(file) => crate::run::run(&file.config).map(|()| ExitCode::SUCCESS).map_err(Failed::Use),
        Command::Check(file) => {
            for warning in crate::run::check(&file.config).map_err(Failed::Use)? {
                println!("warning: {warning}");
            }
            println!("{}: ok", file.config.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => block_on(crate::demo::main(args)).map_err(Failed::outcome),
        Command::Warm(args) => block_on(crate::warm::main(args)),
        Command::Play(args) => block_on(crate::play::main(args)),
        Command::Origin(args) => block_on(crate::fileserver::main(args)).map_err(Failed::wrong_use),
        Command::Purge(args) => block_on(crate::purge::main(args)),
        Command::Nodes(args) => block_on(crate::control::status::main(args)),
        Command::Drain(args) => block_on(crate::drains::main(args, true)),
        Command::Undrain(args) => block_on(crate::drains::main(args, false)),
        Command::Top(args) => block_on(crate::top::main(args)),
        Command::Upgrade(admin) => block_on(async {
            println!("{}", call(admin.admin, reqwest::Method::POST, "/v1/upgrade", None).await?);
            Ok(ExitCode::SUCCESS)
        }),
        Command::Cache(command) => crate::cached::main(&command),
        Command::Replay(args) => crate::replay::main(&args),
        Command::Explain(args) => block_on(explain(args)),
        Command::Plugin(command) => plugin::main(command),
        Command::Docs(args) => {
            print!(
                "{}",
                match args.which {
                    DocsOf::Config => crate::config::reference::markdown(),
                    DocsOf::Metrics => crate::observe::metrics::markdown(),
                    DocsOf::Wit => littoral_plugin_host::author::reference().map_err(Failed::Outcome)?,
                }
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a command that waits for the network.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("invariant: a runtime can be made at start").block_on(work)
}

async fn explain(args: ExplainArgs) -> Result<ExitCode, Failed> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("client", &args.client.to_string()).append_pair("name", &args.name);
    if let Some(url) = &args.url {
        query.append_pair("url", url);
    }
    let path = format!("/v1/explain?{}", query.finish());
    println!("{}", call(args.admin.admin, reqwest::Method::GET, &path, None).await?);
    Ok(ExitCode::SUCCESS)
}

/// Calls the admin API, directly whatever proxy the environment names.
///
/// # Errors
/// The node is not there, or what it answered; an answer of 400 is wrong use.
pub async fn call(
    admin: SocketAddr,
    method: reqwest::Method,
    path: &str,
    body: Option<serde_json::Value>,
) -> Result<String, Failed> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(Failed::outcome)?;
    let mut request = client.request(method, format!("http://{admin}{path}"));
    if let Some(body) = body {
        request = request.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    let unreachable = |error| {
        Failed::Outcome(format!(
            "no node answers on {admin} ({error}); is it running, and is --admin its listen.admin?"
        ))
    };
    let response = request.send().await.map_err(unreachable)?;
    let (status, text) = (response.status(), response.text().await.unwrap_or_default());
    let problem = format!("the node answered {status}: {}", text.trim());
    match status {
        reqwest::StatusCode::BAD_REQUEST => Err(Failed::Use(problem)),
        status if status.is_success() => Ok(text),
        _ => Err(Failed::Outcome(problem)),
    }
}
