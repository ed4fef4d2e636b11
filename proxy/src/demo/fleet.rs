//! The demo's processes: started from this same binary, awaited until `ready`, killed when dropped.
//!
//! Each child's stderr goes to a log file of its own. What the children are for is [`super::world`]'s matter. Invariant:
//! no child outlives its [`Process`], whichever way the demo ends short of its own SIGKILL.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a child may take until its `ready` line.
const READY_WAIT: Duration = Duration::from_secs(15);
const GONE_POLL: Duration = Duration::from_millis(2);
const GONE_POLLS: usize = 500;
/// How much of a log is quoted when a child fails.
const QUOTE_LINES: usize = 5;

/// A running child.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) ready: Ready,
    child: Mutex<Child>,
}

/// The addresses of a `ready` line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) http: Vec<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) dns: Vec<SocketAddr>,
    pub(super) resolver: Vec<SocketAddr>,
    pub(super) service: Vec<SocketAddr>,
    pub(super) datagram: Vec<SocketAddr>,
}

impl Process {
    /// Starts `littoral ARGS…` and waits for its `ready` line.
    ///
    /// # Errors
    /// When it can not be started, ends early or says nothing in time; the end of its log is quoted.
    pub(super) async fn start(name: &str, args: &[&std::ffi::OsStr], logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let stderr = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("invariant: stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_WAIT, lines.next_line()).await;
        let ready = match line {
            Ok(Ok(Some(line))) => line.parse()?,
            Ok(_) => bail!("{name} ended before it was ready: {}", tail_of(&log)),
            Err(_) => bail!("{name} was not ready after {READY_WAIT:?}: {}", tail_of(&log)),
        };
        // The pipe is read on, so that a child that prints more never blocks.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let pid = child.id().context("a child that has already ended")?;
        Ok(Self { name: name.into(), pid, ready, child: Mutex::new(child) })
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses or the process is still there after a second.
    pub(super) async fn kill(&self) -> anyhow::Result<()> {
        // A child that has ended by itself needs no signal.
        let _already_gone = self.child.lock().start_kill();
        for _ in 0..GONE_POLLS {
            if !self.is_alive() {
                return Ok(());
            }
            tokio::time::sleep(GONE_POLL).await;
        }
        bail!("{} (pid {}) does not end", self.name, self.pid)
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.child.lock().try_wait(), Ok(None))
    }

    /// Its first data address.
    ///
    /// # Errors
    /// When it listens for no HTTP.
    pub(super) fn http(&self) -> anyhow::Result<SocketAddr> {
        self.ready.http.first().copied().with_context(|| format!("{} has no http listener", self.name))
    }

    /// Where a plugin serves connections.
    ///
    /// # Errors
    /// When none does.
    pub(super) fn service(&self) -> anyhow::Result<SocketAddr> {
        self.ready.service.first().copied().with_context(|| format!("{} has no service listener", self.name))
    }

    /// Where a plugin answers datagrams.
    ///
    /// # Errors
    /// When none does.
    pub(super) fn datagram(&self) -> anyhow::Result<SocketAddr> {
        self.ready.datagram.first().copied().with_context(|| format!("{} has no datagram listener", self.name))
    }

    /// Its admin address.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn admin(&self) -> anyhow::Result<SocketAddr> {
        self.ready.admin.with_context(|| format!("{} has no admin listener", self.name))
    }

    /// Where its resolver listens.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn resolver(&self) -> anyhow::Result<SocketAddr> {
        self.ready.resolver.first().copied().with_context(|| format!("{} has no resolver", self.name))
    }

    /// Its DNS address.
    ///
    /// # Errors
    /// When it serves no DNS.
    pub(super) fn dns(&self) -> anyhow::Result<SocketAddr> {
        self.ready.dns.first().copied().with_context(|| format!("{} has no dns listener", self.name))
    }
}

impl std::str::FromStr for Ready {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let fields = line.strip_prefix("ready").with_context(|| format!("`{line}` is no ready line"))?;
        let mut ready = Self::default();
        for field in fields.split_whitespace() {
            let (key, list) = field.split_once('=').with_context(|| format!("`{field}` in `{line}`"))?;
            let addresses: Result<Vec<SocketAddr>, _> = list.split(',').map(str::parse).collect();
            let addresses = addresses.with_context(|| format!("`{field}` in `{line}`"))?;
            match key {
                "http" => ready.http = addresses,
                "admin" => ready.admin = addresses.first().copied(),
                "dns" => ready.dns = addresses,
                "resolver" => ready.resolver = addresses,
                "service" => ready.service = addresses,
                "datagram" => ready.datagram = addresses,
                _ => {}
            }
        }
        Ok(ready)
    }
}

fn tail_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(QUOTE_LINES).collect();
    let quote: Vec<&str> = lines.into_iter().rev().collect();
    if quote.is_empty() { format!("nothing in {}", log.display()) } else { quote.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_gives_each_listener_and_anything_else_is_refused() {
        let ready: Ready = "ready http=127.0.1.1:80,127.0.1.1:81 admin=127.0.0.1:9 dns=127.0.0.1:53".parse().unwrap();
        assert_eq!(ready.http.len(), 2);
        assert_eq!(ready.admin, Some(([127, 0, 0, 1], 9).into()));
        assert_eq!(ready.dns, [([127, 0, 0, 1], 53).into()]);
        assert!("listening on 80".parse::<Ready>().is_err());
        assert!("ready http=nowhere".parse::<Ready>().is_err());
    }
}
