//! The textbook's uppercase server over TCP: messages of a service in Wasm beside those of the same server, native, on tokio.
//!
//! Both have one thread on the server's core and the same clients: each sends a line and waits for it. Invariant: every line that came
//! back is the one that was sent, in upper case, and a ratio compares two servers of one round.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::{Figure, Unit};
use crate::machine::{PATIENCE, SERVER_CORE, Server};

/// Clients, each with a connection.
const CLIENTS: usize = 32;
/// What each sends, and has back.
const SENTENCE: &[u8] = b"the quick brown fox jumps over the lazy dog, and sends it all\n";
/// Bytes of a line, as in the service.
const LINE_BYTES_MAX: u64 = 4096;
/// How long a message may take in Wasm, of what it takes natively: half as many messages a second.
const TIMES: f64 = 2.0;

/// Serves natively until the process is ended. Prints `ready service=ADDRESS` when it listens.
///
/// # Errors
/// When it cannot listen.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready service={}", listener.local_addr()?);
        // The same as in the node: accepted here, served on the runtime's thread.
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(uppercase(stream));
        }
    })
}

async fn uppercase(stream: tokio::net::TcpStream) -> Option<()> {
    let (mut reading, mut line) = (BufReader::new(stream), Vec::new());
    loop {
        line.clear();
        if (&mut reading).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let answer = String::from_utf8_lossy(&line).to_uppercase();
        reading.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

/// What a message costs in Wasm, of what it costs natively.
pub(super) fn measured(
    littoral: &Path,
    plugins: &Path,
    work: &Path,
    rounds: u32,
    time: Duration,
) -> Result<Vec<Figure>> {
    let own = std::env::current_exe()?;
    let mut native = Server::start(SERVER_CORE, &[&own.to_string_lossy(), "uppercase"], work.join("uppercase.stderr"))?;
    let config = work.join("uppercase.toml");
    std::fs::write(&config, config_text(plugins)?)?;
    let command = [&*littoral.to_string_lossy(), "run", "-c", &config.to_string_lossy(), "--log", "error"];
    let mut guest = Server::start(SERVER_CORE, &command, work.join("service.stderr"))?;
    let address = |server: &mut Server| server.ready_line()?.get("service").copied().context("no service listens");
    let mut servers = [Clients::of(address(&mut native)?)?, Clients::of(address(&mut guest)?)?];
    let mut each_us = [Vec::new(), Vec::new()];
    for round in 0..rounds as usize {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            each_us[at].push(servers[at].message_us(time)?);
        }
    }
    let [native_us, guest_us] = each_us;
    let ratios = guest_us.iter().zip(&native_us).map(|(guest, native)| guest / native).collect();
    Ok(vec![
        Figure::new("uppercase server, native on tokio: time of a message", Unit::Micros, None, native_us)?,
        Figure::new("uppercase service in Wasm: time of a message", Unit::Micros, None, guest_us)?,
        Figure::new("uppercase service in Wasm, of the native one", Unit::Times, Some(TIMES), ratios)?,
    ])
}

fn config_text(plugins: &Path) -> Result<String> {
    let file = std::path::absolute(plugins.join("service-uppercase.wasm"))?;
    ensure!(file.is_file(), "{} is missing; build it with make plugins", file.display());
    Ok(format!(
        "[limits]\nthreads = 1\n[[listen.service]]\nbind = \"127.0.0.1:0\"\nplugin = \"uppercase\"\n\
         [[plugin]]\nname = \"uppercase\"\nfile = {file:?}\n"
    ))
}

/// The clients of one server.
struct Clients(Vec<TcpStream>);

impl Clients {
    fn of(server: SocketAddr) -> Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        (0..CLIENTS).map(connect).collect::<Result<_>>().map(Self)
    }

    /// Microseconds for each message of all clients together, in a load of `time`.
    fn message_us(&mut self, time: Duration) -> Result<f64> {
        let expected = SENTENCE.to_ascii_uppercase();
        let mut heard = vec![0; expected.len()];
        let (begun, mut messages) = (Instant::now(), 0_u64);
        while begun.elapsed() < time {
            for client in &mut self.0 {
                client.write_all(SENTENCE)?;
            }
            for client in &mut self.0 {
                client.read_exact(&mut heard)?;
                ensure!(heard == expected, "a sentence came back as {:?}", String::from_utf8_lossy(&heard));
                messages += 1;
            }
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / messages as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_server_answers_as_the_service_does() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let heard = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
            tokio::spawn(uppercase(listener.accept().await?.0));
            client.write_all("hello\nblå".as_bytes()).await?;
            client.shutdown().await?;
            let mut heard = String::new();
            client.read_to_string(&mut heard).await?;
            anyhow::Ok(heard)
        });
        assert_eq!(heard.expect("an answer"), "HELLO\nBLÅ");
    }
}
