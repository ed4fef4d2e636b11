//! What the kernel knows: CPU time and memory of a process tree, started processes on a core, and which machine this is.
//!
//! CPU time is the scheduler's own sum per thread in nanoseconds (`/proc/PID/task/TID/schedstat`); where a thread ended
//! between two looks its time is gone from there, and utime+stime of `/proc/PID/stat` in ticks are taken instead.
//! Invariant: a [`Server`] that is dropped leaves no process behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Core of the server under test.
pub const SERVER_CORE: u32 = 0;
/// Core of the load generator and of the origin.
pub const GENERATOR_CORE: u32 = 1;
/// Length of one tick of utime and stime: USER_HZ is 100 on every Linux that Debian ships (proc(5)).
const TICK: Duration = Duration::from_millis(10);
/// A server that is not up or not down after this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// CPU time used so far by a process and all its descendants.
#[derive(Clone, Debug, Default)]
pub struct CpuTime {
    nanos_by_thread: BTreeMap<(u32, u32), u64>,
    ticks: u64,
}

impl CpuTime {
    /// Looks now.
    ///
    /// # Errors
    /// When the process does not exist.
    pub fn of_tree(root: u32) -> Result<Self> {
        let mut seen = Self::default();
        for pid in tree(root)? {
            let Some(stat) = file_of(pid, root, "stat")? else { continue };
            seen.ticks += ticks_of(&stat).context("unreadable /proc/PID/stat")?;
            for tid in threads(pid).unwrap_or_default() {
                // A thread that has ended since it was listed is one that had ended before.
                let Ok(schedstat) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")) else { continue };
                let nanos =
                    schedstat.split(' ').next().and_then(|word| word.parse().ok()).context("unreadable schedstat")?;
                seen.nanos_by_thread.insert((pid, tid), nanos);
            }
        }
        Ok(seen)
    }

    /// CPU time used between an earlier look and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let all_alive = earlier.nanos_by_thread.keys().all(|thread| self.nanos_by_thread.contains_key(thread));
        if all_alive {
            let sum = |look: &Self| look.nanos_by_thread.values().sum::<u64>();
            Duration::from_nanos(sum(self).saturating_sub(sum(earlier)))
        } else {
            TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX)
        }
    }
}

/// Resident memory of a process and its descendants, in bytes.
///
/// # Errors
/// When the process does not exist.
pub fn resident_bytes(root: u32) -> Result<u64> {
    let mut kib = 0;
    for pid in tree(root)? {
        let Some(status) = file_of(pid, root, "status")? else { continue };
        // One that has ended and waits to be reaped has no memory.
        let Some(line) = status.lines().find(|line| line.starts_with("VmRSS:")) else { continue };
        kib += line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).context("unreadable VmRSS")?;
    }
    Ok(kib * 1024)
}

/// Bytes of all files below a directory.
///
/// # Errors
/// When it cannot be read.
pub fn directory_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { directory_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// A file of a process of the tree; `None` if the process, a descendant, has ended since it was listed.
fn file_of(pid: u32, root: u32, name: &str) -> Result<Option<String>> {
    match fs::read_to_string(format!("/proc/{pid}/{name}")) {
        Ok(text) => Ok(Some(text)),
        Err(error) if pid == root => Err(error).with_context(|| format!("process {pid} is gone")),
        Err(_) => Ok(None),
    }
}

fn tree(root: u32) -> Result<Vec<u32>> {
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(&pid) = pids.get(next) {
        next += 1;
        for tid in if pid == root { threads(pid)? } else { threads(pid).unwrap_or_default() } {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
    }
    Ok(pids)
}

fn threads(pid: u32) -> Result<Vec<u32>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    Ok(tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// utime + stime: fields 14 and 15, counted after the command name, which may contain spaces and parentheses.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A started process that is ended when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    /// What its ready line said.
    pub ready: BTreeMap<String, SocketAddr>,
}

impl Server {
    /// Starts a command on one core. Its standard output is for [`Server::ready_line`], its standard error goes to a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(core: u32, command: &[&str], log: PathBuf) -> Result<Self> {
        // It is told to end when this program is killed, too.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", &core.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", command.join(" ")))?;
        Ok(Self { child, log, ready: BTreeMap::new() })
    }

    /// The process id; setpriv and taskset have replaced themselves by the command.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the line `ready name=address …` and gives the first address of each name.
    ///
    /// # Errors
    /// When the process ends without it.
    pub fn ready_line(&mut self) -> Result<&BTreeMap<String, SocketAddr>> {
        let stdout = self.child.stdout.take().context("the ready line was read already")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let words = line
            .trim()
            .strip_prefix("ready")
            .with_context(|| format!("no ready line, but {line:?}: {}", self.last_words()))?;
        let addresses = words.split_whitespace().map(|word| {
            let (name, addresses) = word.split_once('=').context("ready line without =")?;
            Ok((name.to_owned(), addresses.split(',').next().unwrap_or_default().parse()?))
        });
        self.ready = addresses.collect::<Result<_>>()?;
        Ok(&self.ready)
    }

    /// Waits until the process accepts connections there.
    ///
    /// # Errors
    /// When it ends before, or does not within 20 s.
    pub fn accepts(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.last_words());
            }
            if Instant::now() > deadline {
                bail!("the server does not listen on {address}");
            }
            pause();
        }
        Ok(())
    }
}

impl Server {
    /// Ends the process at once, as a crash would.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The last line of the server's standard error, which most often is the reason why it ended.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.trim_end().lines().next_back().unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended was waited for: its number may be another's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SIGTERM first: a killed nginx or varnishd master would leave its worker running. std has no other signal.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Raises the bound on open files of this process, and of what it starts, as far as it may.
pub fn raise_descriptors() {
    let bounds = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let highest = rustix::process::Rlimit { current: bounds.maximum, maximum: bounds.maximum };
    // Where that is refused, the case that needs many says what it lacked.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, highest);
}

/// Keeps this thread, the first of its process, on one core.
///
/// # Errors
/// When taskset is not there.
pub(crate) fn stay_on(core: u32) -> Result<()> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset").args(["-pc", &core.to_string(), &pid]).stdout(Stdio::null()).status();
    anyhow::ensure!(status.context("taskset cannot be run")?.success(), "taskset does not keep {pid} on core {core}");
    Ok(())
}

pub(crate) fn pause() {
    wait(Duration::from_millis(5));
}

/// Lets the others work.
#[expect(clippy::disallowed_methods, reason = "this program is one thread that only waits for others")]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// A loopback address that was free a moment ago, for servers that cannot take port 0.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Which machine and which tree was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Processor model.
    pub cpu: String,
    /// Cores the kernel gives us.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// One-minute load average before the first round; above 1 others were using the cores.
    pub load_before: f64,
    /// UTC date, `YYYY-MM-DD`.
    pub date: String,
    /// Short commit, with `-dirty` when the tree had changes; `unknown` outside a clone.
    pub commit: String,
}

impl Machine {
    /// Asks the kernel, `date` and `git`.
    ///
    /// # Errors
    /// When there are fewer than two cores: server and generator would share one.
    pub fn describe() -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        if cores < 2 {
            bail!("two cores are needed, one for the server and one for the generator; here is {cores}");
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpu: cpu.unwrap_or("unknown").to_owned(),
            cores,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            load_before: load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
            date: printed("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(|| "unknown".to_owned()),
            commit: printed("git", &["describe", "--always", "--dirty", "--exclude=*"])
                .unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

/// First line with something on it that a command prints, on either stream; `None` when it cannot be run.
#[must_use]
pub fn printed(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_command_name() {
        let stat = "42 (a b) c)) S 1 2 3 0 -1 4194304 413 0 2 0 17 25 0 0 20 0 1 0 439773";
        assert_eq!(ticks_of(stat), Some(42));
        assert_eq!(ticks_of("42 (short) S 1"), None);
    }

    #[test]
    fn thread_times_are_used_while_every_thread_lives_and_ticks_after() {
        let look = |threads: &[(u32, u64)], ticks| CpuTime {
            nanos_by_thread: threads.iter().map(|&(tid, nanos)| ((1, tid), nanos)).collect(),
            ticks,
        };
        let earlier = look(&[(1, 100), (2, 50)], 10);
        assert_eq!(look(&[(1, 150), (2, 60), (3, 5)], 11).since(&earlier), Duration::from_nanos(65));
        assert_eq!(look(&[(1, 150)], 13).since(&earlier), Duration::from_millis(30));
    }

    #[test]
    fn our_own_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(CpuTime::of_tree(pid).expect("we exist").nanos_by_thread.keys().any(|&(owner, _)| owner == pid));
        assert!(resident_bytes(pid).expect("we exist") > 100 << 10);
    }

    #[test]
    fn threads_and_children_that_end_meanwhile_are_no_failure() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stopped() {
                    scope.spawn(|| {});
                    Command::new("true").status().expect("a child");
                }
            });
            let looks: Vec<_> = (0..2000).map(|_| CpuTime::of_tree(std::process::id())).collect();
            let memory: Vec<_> = (0..200).map(|_| resident_bytes(std::process::id())).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            looks.into_iter().for_each(|look| assert!(!look.expect("we exist").nanos_by_thread.is_empty()));
            memory.into_iter().for_each(|bytes| assert!(bytes.expect("we exist") > 0));
        });
    }
}
