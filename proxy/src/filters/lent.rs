//! A request, and perhaps its response, taken out of the framework for one call of a filter and put back after it.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use littoral_plugin_host::filter::{Change, Exchange};
use littoral_plugin_host::who;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::places::Places;
use crate::request::context::Context;

/// What is lent.
pub(super) struct Lent {
    pub(super) request: RequestHeader,
    pub(super) response: Option<ResponseHeader>,
    host: String,
    client: Option<IpAddr>,
    /// The client, also of what the node asks in its place.
    about: Option<IpAddr>,
    secure: bool,
    places: Option<Arc<Places>>,
}

impl Lent {
    /// Takes the heads out. They come back with [`Self::put_back`].
    pub(super) fn take(
        session: &mut Session,
        response: Option<&mut ResponseHeader>,
        ctx: &mut Context,
    ) -> Result<Self> {
        let stand_in = RequestHeader::build_no_case(Method::GET, b"/", Some(0))?;
        let address = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let secure = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let response = match response {
            Some(response) => {
                Some(std::mem::replace(response, ResponseHeader::build_no_case(StatusCode::OK, Some(0))?))
            }
            None => None,
        };
        Ok(Self {
            request: std::mem::replace(session.req_header_mut(), stand_in),
            response,
            host: std::mem::take(&mut ctx.host),
            client: address.filter(|_| session.subrequest_ctx.is_none()),
            about: address,
            secure,
            places: ctx.site.as_ref().and_then(|site| site.filters.places().cloned()),
        })
    }

    /// Puts the heads where they were.
    ///
    /// # Errors
    /// Never: what is lent comes back as it was.
    pub(super) fn put_back(
        lent: Box<dyn Exchange>,
        session: &mut Session,
        response: Option<&mut ResponseHeader>,
        ctx: &mut Context,
    ) -> Result<()> {
        let lent: Box<dyn Any> = lent;
        let lent = lent.downcast::<Self>();
        let lent = lent.map_err(|_| Error::explain(ErrorType::InternalError, "a filter gave something else back"))?;
        *session.req_header_mut() = lent.request;
        ctx.host = lent.host;
        if let (Some(place), Some(response)) = (response, lent.response) {
            *place = response;
        }
        Ok(())
    }
}

impl Exchange for Lent {
    fn method(&self) -> &str {
        self.request.method.as_str()
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn target(&self) -> &str {
        self.request.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    fn client(&self) -> Option<IpAddr> {
        self.client
    }

    fn who(&self) -> u64 {
        who(self.about, self.host(), self.target())
    }

    fn is_secure(&self) -> bool {
        self.secure
    }

    fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status.as_u16())
    }

    fn place(&self) -> (Option<[u8; 2]>, u32) {
        let found = self.places.as_ref().zip(self.client).map(|(places, client)| places.find(client));
        found.unwrap_or((None, 0))
    }

    fn field(&self, of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        let headers = match (&self.response, of_request) {
            (Some(response), false) => &response.headers,
            _ => &self.request.headers,
        };
        match index {
            0 => headers.get(name),
            _ => headers.get_all(name).iter().nth(index),
        }
        .map(HeaderValue::as_bytes)
    }
}

/// A head whose fields can be changed.
pub(super) trait Head {
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()>;
    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()>;
    fn remove(&mut self, name: &HeaderName);
}

impl Head for RequestHeader {
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(drop)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

impl Head for ResponseHeader {
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(drop)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

/// A field that the host has checked.
pub(super) fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue)> {
    let wrong = |_| Error::explain(ErrorType::InternalError, "a filter's field went unchecked");
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(http::Error::from(error)))?;
    Ok((name, HeaderValue::from_bytes(value).map_err(|error| wrong(http::Error::from(error)))?))
}

/// Makes changes in a head.
pub(super) fn change(head: &mut impl Head, changes: Vec<Change>) -> Result<()> {
    for change in changes {
        match change {
            Change::Set(name, value) => {
                let (name, value) = field(&name, &value)?;
                head.set(name, value)?;
            }
            Change::Add(name, value) => {
                let (name, value) = field(&name, &value)?;
                head.add(name, value)?;
            }
            Change::Remove(name) => head.remove(&field(&name, b"")?.0),
        }
    }
    Ok(())
}
