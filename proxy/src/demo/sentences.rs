//! The textbook's first server of one's own: sentences come back in upper case, here from a plugin that an edge runs beside its videos.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Stage;
use super::world::{SITES, UPPERCASE};

const CLUSTER: usize = 2;
const DEADLINE: Duration = Duration::from_secs(5);
const SENTENCES: [&str; 3] = ["input lowercase sentence", "tcp is a byte stream", "the server is a plugin"];
/// Clients at once, each with an instance of the plugin.
const CLIENTS: usize = 50;

/// Sends sentences to an edge over TCP and UDP, alone and with many others.
///
/// # Errors
/// When one does not come back as it should.
pub(super) async fn exchange(stage: &Stage) -> anyhow::Result<()> {
    let site = &SITES[CLUSTER];
    let edge = stage.world.edge(site.id);
    let address = edge.service()?;
    let mut client = BufReader::new(timeout(DEADLINE, TcpStream::connect(address)).await??);
    for sentence in SENTENCES {
        let heard = say(&mut client, sentence).await?;
        stage.board.say(&format!("{sentence:?} → {address} → {heard:?}"));
    }
    let datagrams = edge.datagram()?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(SENTENCES[0].as_bytes(), datagrams).await?;
    let mut heard = [0; 512];
    let (length, from) = timeout(DEADLINE, socket.recv_from(&mut heard)).await.context("no datagram comes back")??;
    ensure!(
        from == datagrams && heard[..length] == *SENTENCES[0].to_uppercase().as_bytes(),
        "another datagram came back"
    );
    stage.board.say(&format!("the same over UDP: {datagrams} → {:?}", String::from_utf8_lossy(&heard[..length])));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(BufReader::new(timeout(DEADLINE, TcpStream::connect(address)).await??));
    }
    for client in &mut clients {
        say(client, SENTENCES[0]).await?;
    }
    let plugins = stage.web.admin(edge.admin()?, "/v1/plugins").await?;
    let plugin = plugins.as_array().into_iter().flatten().find(|plugin| plugin["name"] == UPPERCASE);
    let plugin = plugin.with_context(|| format!("{} does not tell of {UPPERCASE}", site.id))?;
    let (open, memory) = (plugin["open"].as_u64().unwrap_or(0), plugin["memory_bound_bytes"].as_u64().unwrap_or(0));
    ensure!(open > CLIENTS as u64, "{open} connections are open, not {}", CLIENTS + 1);
    let faults: u64 = plugin["faults"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(faults == 0, "{UPPERCASE} failed {faults} times: {}", plugin["last_fault"]);
    stage.board.say(&format!(
        "{open} connections at {}, an instance of {UPPERCASE}.wasm for each, with at most {} MiB; 0 faults",
        site.id,
        memory >> 20
    ));
    Ok(())
}

async fn say(client: &mut BufReader<TcpStream>, sentence: &str) -> anyhow::Result<String> {
    let exchange = async {
        client.get_mut().write_all(format!("{sentence}\n").as_bytes()).await?;
        let mut line = String::new();
        client.read_line(&mut line).await?;
        std::io::Result::Ok(line.trim_end().to_owned())
    };
    let heard = timeout(DEADLINE, exchange).await.context("the service does not answer")??;
    ensure!(heard == sentence.to_uppercase(), "{sentence:?} came back as {heard:?}");
    Ok(heard)
}
