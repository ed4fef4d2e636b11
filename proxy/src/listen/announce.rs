//! Reads a PROXY header from a connection that has just begun. What a header may be is [`super::proxy_protocol`]'s.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::proxy_protocol::{Look, V2_BYTES_MAX, parse};

/// Whom the connection is made for, which is `source` itself where the header names nobody. `None`: no header came, not in
/// time, or not a good one; not a byte behind it was read.
pub(super) async fn client_of<S>(stream: &mut S, source: SocketAddr, patience: Duration) -> Option<SocketAddr>
where
    S: AsyncRead + Unpin,
{
    let reading = async {
        let mut read = Vec::with_capacity(128);
        loop {
            match parse(&read) {
                Look::Whole(client) => return Some(client.unwrap_or(source)),
                Look::More(more) if read.len() + more <= V2_BYTES_MAX => {
                    let had = read.len();
                    read.resize(had + more, 0);
                    stream.read_exact(&mut read[had..]).await.ok()?;
                }
                Look::More(_) | Look::Nonsense => return None,
            }
        }
    };
    timeout(patience, reading).await.ok().flatten()
}
