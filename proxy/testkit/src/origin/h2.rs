//! An origin that speaks HTTP/2 and nothing else, with TLS or by prior knowledge.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running origin; it answers every request with `h2`. What it sends under `/trailers` ends with the trailer `x-end: 1`, and may be
/// kept under `/trailers/kept`. Under `/wrong/` it does what the rest of the path says: `silent`, `reset-head`, `stalled`, `stalled-length`,
/// `reset`, `reset-length`, `short`, `long`, `farewell` (the connection ends with an error).
pub struct H2Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    uris: Vec<String>,
}

impl H2Origin {
    /// Starts one.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, seen) = (listener.local_addr().expect("its address"), Arc::new(Mutex::new(Seen::default())));
        let told = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, tls) = (told.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, seen).await,
                        Some(config) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                serve(stream, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Connections over which a request came, and what was asked for.
    ///
    /// # Panics
    /// When a connection task panicked.
    pub fn seen(&self) -> (usize, Vec<String>) {
        let seen = self.seen.lock().expect("no panic");
        (seen.connections, seen.uris.clone())
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Mutex<Seen>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    seen.lock().expect("no panic").connections += 1;
    let mut held = Held::default();
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.lock().expect("no panic").uris.push(request.uri().to_string());
        match request.uri().path() {
            "/wrong/farewell" => connection.abrupt_shutdown(h2::Reason::INTERNAL_ERROR),
            path if path.starts_with("/wrong/") => held.answer_wrong(path, respond),
            path => answer(path, respond),
        }
    }
}

fn answer(path: &str, mut respond: SendResponse<Bytes>) {
    let control = if path.ends_with("/kept") { "max-age=60" } else { "no-store" };
    let response = http::Response::builder().header("cache-control", control).body(()).expect("a response");
    if let Ok(mut body) = respond.send_response(response, false) {
        let trailers = path.starts_with("/trailers");
        let _ = body.send_data(Bytes::from_static(b"h2"), !trailers);
        if trailers {
            let fields = [(http::HeaderName::from_static("x-end"), http::HeaderValue::from_static("1"))];
            let _ = body.send_trailers(fields.into_iter().collect());
        }
    }
}

/// Streams on which nothing more is sent; dropped, they would be reset.
#[derive(Default)]
struct Held {
    heads: Vec<SendResponse<Bytes>>,
    bodies: Vec<SendStream<Bytes>>,
}

impl Held {
    /// An answer that would be kept, were it not for what is wrong with it: `half` of it comes.
    fn answer_wrong(&mut self, path: &str, mut respond: SendResponse<Bytes>) {
        match path {
            "/wrong/silent" => return self.heads.push(respond),
            "/wrong/reset-head" => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => {}
        }
        let response = http::Response::builder().header("cache-control", "max-age=60");
        let response = match path {
            "/wrong/short" | "/wrong/stalled-length" | "/wrong/reset-length" => response.header("content-length", 10),
            "/wrong/long" => response.header("content-length", 2),
            _ => response,
        };
        let Ok(mut body) = respond.send_response(response.body(()).expect("a response"), false) else { return };
        let _ = body.send_data(Bytes::from_static(b"half"), matches!(path, "/wrong/short" | "/wrong/long"));
        if path.starts_with("/wrong/reset") {
            body.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        self.bodies.push(body);
    }
}
