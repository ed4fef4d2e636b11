//! The resolver's sockets. What is kept is answered where the question arrives; what must be looked for gets a task of its own,
//! for as many as there is room.
//!
//! Invariant: clients that ask without end cost no more than the room for lookups and [`RESOLVER_CONNECTIONS_MAX`] connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Resolver;
use super::cache::Found;
use super::counters::Limit;
use super::question::{Asked, Read};
use crate::accept;
use crate::address::canonical;
use crate::counters::count;
use crate::limits::{RESOLVER_CONNECTIONS_MAX, TCP_IDLE_SECONDS, UDP_QUERY_BYTES_MAX};
use crate::server::{Bound, Listeners};

/// How long receiving rests when it fails.
const REST: Duration = Duration::from_millis(100);

/// What becomes of a question at once.
enum Begun {
    /// It has its reply.
    Done(Option<Vec<u8>>),
    /// It must be looked for, and has room.
    Wanted(Box<Asked>, OwnedSemaphorePermit),
}

impl Resolver {
    /// Serves until `shutdown` turns true. Within a runtime.
    ///
    /// # Errors
    /// When a socket is lost.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Listeners,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let problem = |error: std::io::Error| format!("a socket of the resolver is lost: {error}");
        let (mut serving, places) = (JoinSet::new(), Arc::new(Semaphore::new(RESOLVER_CONNECTIONS_MAX)));
        for Bound { udp, tcp } in listeners.into_bound() {
            for socket in udp {
                let socket = Arc::new(UdpSocket::from_std(socket).map_err(problem)?);
                serving.spawn(self.clone().serve_datagrams(socket));
            }
            let tcp = TcpListener::from_std(tcp).map_err(problem)?;
            serving.spawn(self.clone().serve_connections(tcp, places.clone()));
        }
        let _ = shutdown.wait_for(|stop| *stop).await;
        Ok(())
    }

    async fn serve_datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let (mut buffer, mut looking) = (vec![0; UDP_QUERY_BYTES_MAX], JoinSet::new());
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                Some(_) = looking.join_next() => continue,
            };
            let Ok((length, client)) = received else {
                tokio::time::sleep(REST).await;
                continue;
            };
            match self.begin(&buffer[..length], client.ip(), &self.counters.udp, true) {
                Begun::Done(reply) => send(&socket, reply, client).await,
                Begun::Wanted(asked, room) => {
                    let (resolver, socket) = (self.clone(), socket.clone());
                    looking.spawn(async move {
                        let reply = resolver.finish(&asked, client.ip(), true).await;
                        drop(room);
                        send(&socket, reply, client).await;
                    });
                }
            }
        }
    }

    async fn serve_connections(self: Arc<Self>, listener: TcpListener, places: Arc<Semaphore>) {
        let begin = |stream, client: SocketAddr| {
            if !self.allows(client.ip()) {
                count(&self.counters.refused);
                return None;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.counters.limited(Limit::Connections);
                return None;
            };
            let resolver = self.clone();
            Some(async move {
                let _broken = resolver.converse(stream, client.ip()).await;
                drop(place);
            })
        };
        accept::each(listener, begin).await;
    }

    /// Answers one message after the other; each has [`TCP_IDLE_SECONDS`] to come, and its reply to go.
    async fn converse(&self, mut stream: TcpStream, client: IpAddr) -> std::io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(TCP_IDLE_SECONDS);
        loop {
            let message = timeout(PATIENCE, async {
                let mut message = vec![0; usize::from(stream.read_u16().await?)];
                stream.read_exact(&mut message).await.map(|_| message)
            });
            let message = message.await??;
            let reply = match self.begin(&message, client, &self.counters.tcp, false) {
                Begun::Done(reply) => reply,
                Begun::Wanted(asked, _room) => self.finish(&asked, client, false).await,
            };
            let Some(reply) = reply else { return Ok(()) };
            let length = u16::try_from(reply.len()).map_err(std::io::Error::other)?;
            timeout(PATIENCE, stream.write_all(&[&length.to_be_bytes(), &reply[..]].concat())).await??;
        }
    }

    fn allows(&self, client: IpAddr) -> bool {
        let client = canonical(client);
        self.settings.allow.iter().any(|network| network.contains(&client))
    }

    /// Whatever needs no server.
    fn begin(&self, message: &[u8], client: IpAddr, transport: &AtomicU64, over_udp: bool) -> Begun {
        let asked = match Asked::read(message) {
            Read::Asked(asked) => asked,
            Read::Refused(_) if !self.allows(client) => return self.turn_away(None),
            Read::Refused(reply) => {
                count(transport);
                count(&self.counters.malformed);
                let code = reply.get(3).map_or(0, |byte| byte & 0xf);
                self.counters.rcode(code.into());
                return Begun::Done(Some(reply));
            }
            Read::Nothing => return Begun::Done(None),
        };
        if !self.allows(client) {
            return self.turn_away(Some(&asked));
        }
        count(transport);
        let subnet = self.told(asked.subnet_of(client, self.settings.believe_subnets));
        if let Some(found) = self.kept_for(&asked.key, subnet) {
            return Begun::Done(self.written(&asked, &found, over_udp));
        }
        match self.room.clone().try_acquire_owned() {
            Ok(room) => Begun::Wanted(asked, room),
            Err(_) => {
                self.counters.limited(Limit::Lookups);
                self.counters.rcode(ResponseCode::ServFail.into());
                Begun::Done(Some(asked.refused(ResponseCode::ServFail)))
            }
        }
    }

    /// REFUSED for a question of somebody who is not on the list; what is none gets nothing.
    fn turn_away(&self, asked: Option<&Asked>) -> Begun {
        count(&self.counters.refused);
        Begun::Done(asked.map(|asked| asked.refused(ResponseCode::Refused)))
    }

    /// Looks for it.
    async fn finish(&self, asked: &Asked, client: IpAddr, over_udp: bool) -> Option<Vec<u8>> {
        let subnet = self.told(asked.subnet_of(client, self.settings.believe_subnets));
        let (found, _) = self.look_up(&asked.key, subnet, false).await;
        self.written(asked, &found, over_udp)
    }

    fn written(&self, asked: &Asked, found: &Found, over_udp: bool) -> Option<Vec<u8>> {
        self.counters.rcode(found.code.into());
        let (reply, cut) = asked.reply(found, over_udp)?;
        if cut {
            count(&self.counters.truncated);
        }
        Some(reply)
    }
}

/// A reply that cannot be sent is lost like any datagram.
async fn send(socket: &UdpSocket, reply: Option<Vec<u8>>, client: SocketAddr) {
    if let Some(reply) = reply {
        let _lost = socket.send_to(&reply, client).await;
    }
}
