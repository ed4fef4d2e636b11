//! Connections for requests of plugins, made as a service dials: the addresses of a name are judged, and what was judged is connected to.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use littoral_plugin_host::Place;
use littoral_plugin_host::fetch::{FetchSpec, Refused};
use littoral_plugin_host::service;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::AskedBy;
use crate::services::dial::reached;

/// Connects for one grant.
#[derive(Clone)]
pub(super) struct Connector(Arc<Grant>);

struct Grant {
    node: AskedBy,
    spec: FetchSpec,
    tls: Option<Arc<ClientConfig>>,
    open: Arc<AtomicUsize>,
    most: usize,
}

impl Connector {
    /// For a grant, so many connections at a time.
    pub(super) fn new(node: AskedBy, spec: &FetchSpec, tls: Option<Arc<ClientConfig>>, most: usize) -> Self {
        Self(Arc::new(Grant { node, spec: spec.clone(), tls, open: Arc::default(), most }))
    }
}

impl Grant {
    async fn connect(&self, uri: Uri) -> Result<TokioIo<Link>, Refused> {
        let node = self.node.get().and_then(Weak::upgrade).ok_or(Refused::Unreachable)?;
        let place = Place::take(&self.open, self.most).ok_or(Refused::TooMany)?;
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (stream, _) = reached(&node, &host, port, self.spec.reaches(secure)).await.map_err(same)?;
        let stream: Box<dyn Stream> = match secure {
            false => Box::new(stream),
            true => {
                let name = ServerName::try_from(host).map_err(|_| Refused::Tls)?;
                let tls = TlsConnector::from(self.tls.clone().ok_or(Refused::Tls)?);
                Box::new(tls.connect(name, stream).await.map_err(|_| Refused::Tls)?)
            }
        };
        Ok(TokioIo::new(Link { stream, _place: place }))
    }
}

/// The same refusal in the words of requests.
fn same(refused: service::Refused) -> Refused {
    match refused {
        service::Refused::NotGranted => Refused::NotGranted,
        service::Refused::NotFound => Refused::NotFound,
        service::Refused::Unreachable => Refused::Unreachable,
        service::Refused::Timeout => Refused::Timeout,
        service::Refused::TooMany => Refused::TooMany,
        service::Refused::Tls => Refused::Tls,
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, Refused>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let grant = self.0.clone();
        Box::pin(async move { grant.connect(uri).await })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, which takes a place of its grant.
pub(super) struct Link {
    stream: Box<dyn Stream>,
    _place: Place,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
