//! How a node asks itself: for slices, the rest of an interrupted fill, manifests, and what is warmed or fetched ahead.
//!
//! By a listening socket of its own that has no place in the file system (unix(7), abstract): none of it depends on which listeners the config
//! has, what is spoken at them or whom they let in. Accepting there is [`crate::listen`]'s, and ends with the workers, not before. Invariant:
//! only what this very process asks comes in; the kernel says whose a connection is.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use reqwest::{Client, ClientBuilder};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;

use crate::listen::socket::{Bound, Share};
use crate::node::Node;

/// Connections the kernel holds: a unix socket refuses those beyond at once.
const BACKLOG: i32 = 4096;

/// The address of a node for itself.
#[derive(Debug, Clone)]
pub struct Itself(PathBuf);

impl Itself {
    /// Binds a socket if sites are served at all, with a share of it for each worker.
    ///
    /// # Errors
    /// One line.
    pub(crate) fn of(http: &[Bound], workers: usize) -> Result<(Option<Self>, Vec<Share>), String> {
        if !http.iter().any(|bound| bound.front.serves_sites()) {
            return Ok((None, Vec::new()));
        }
        let (itself, socket) = Self::bind()?;
        Ok((Some(itself), Bound::own(&socket, workers)?))
    }

    /// Binds a socket of a name that nobody can have before. All on the machine can read it (proc(5), net/unix): it is no secret that is used elsewhere.
    fn bind() -> Result<(Self, UnixListener), String> {
        let path = PathBuf::from(format!("\0littoral-{}-{}", std::process::id(), Node::secret()));
        let bound = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::unix(&path)?)?;
            socket.listen(BACKLOG)?;
            Ok(UnixListener::from(socket))
        });
        let listener = bound.map_err(|error| format!("cannot listen for what the node asks itself: {error}"))?;
        Ok((Self(path), listener))
    }

    /// A client that says what the node answered: it follows nothing.
    ///
    /// # Errors
    /// One line.
    pub(crate) fn asker(&self) -> Result<Client, String> {
        let client = self.client().redirect(reqwest::redirect::Policy::none()).build();
        client.map_err(|error| format!("the node cannot ask itself: {error}"))
    }

    /// A client that has no other place to go: whatever host an URL names, the node is asked.
    pub(crate) fn client(&self) -> ClientBuilder {
        Client::builder().no_proxy().unix_socket(self.0.as_path())
    }
}

/// The URL of a path and query of the node, for [`Itself::client`]; which of its hosts is meant says the `Host` of the request.
pub(crate) fn url(path_and_query: &str) -> String {
    format!("http://itself{path_and_query}")
}

/// Whether a connection was made by this process.
pub(crate) fn is_of_this_process(stream: &UnixStream) -> bool {
    let own = i32::try_from(std::process::id()).ok();
    stream.peer_cred().is_ok_and(|peer| peer.pid().is_some() && peer.pid() == own)
}
