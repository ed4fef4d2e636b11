//! Changes of zones that came in datagrams: one thread makes them, one after the other, so that those that answer need wait neither
//! for the disk nor for a zone that is built anew.
//!
//! Invariant: changes of one client are made in the order in which they came.

use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::sys::socket::ControlMessageOwned;

use super::update::Pending;
use super::{Handler, udp};
use crate::limits::UPDATES_WAITING_MAX;

/// A change, and whom to tell how it went.
pub(super) struct Waiting {
    pub(super) change: Box<Pending>,
    pub(super) client: SocketAddr,
    /// The address of ours that it came to, where there are several.
    pub(super) to: Option<ControlMessageOwned>,
    pub(super) socket: Arc<UdpSocket>,
}

/// Where changes wait.
#[derive(Clone)]
pub(super) struct Late(SyncSender<Waiting>);

impl Late {
    /// Lets a change wait; where [`UPDATES_WAITING_MAX`] do already it comes back.
    pub(super) fn wait(&self, waiting: Waiting) -> Result<(), Waiting> {
        self.0.try_send(waiting).map_err(|(TrySendError::Full(waiting) | TrySendError::Disconnected(waiting))| waiting)
    }
}

/// A thread that makes changes until nobody has any more for it.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn start(handler: Handler) -> std::io::Result<Late> {
    let (sender, receiver) = sync_channel(UPDATES_WAITING_MAX);
    std::thread::Builder::new().name("dns-update".into()).spawn(move || make(&handler, &receiver))?;
    Ok(Late(sender))
}

fn make(handler: &Handler, receiver: &Receiver<Waiting>) {
    for Waiting { change, client, to, socket } in receiver {
        // One that panics is lost, and the next one is made.
        let made = catch_unwind(AssertUnwindSafe(|| handler.finished(&change)));
        let Ok(Some(response)) = made else { continue };
        if let Err(error) = udp::send_patiently(&socket, &response, client, to.as_ref()) {
            tracing::debug!(%client, %error, "the response to a change of a zone could not be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};
    use hickory_server::net::xfer::Protocol;
    use hickory_server::server::Request;

    use super::*;
    use crate::server::update::Target;
    use crate::{Director, GeoConfig, NativeGeo};

    #[test]
    fn a_change_too_many_to_wait_is_answered_that_it_failed_and_counted() {
        let apex: Name = "changed.example.".parse().unwrap();
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = socket.local_addr().unwrap();
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.add_query(Query::query(apex.clone(), RecordType::SOA));
        let waiting = || {
            let request = Request::from_bytes(message.to_vec().unwrap(), client, Protocol::Udp).unwrap();
            let target = Target { apex: (&apex).into(), journal: "journal".into() };
            Waiting { change: Box::new(Pending::new(request, None, target)), client, to: None, socket: socket.clone() }
        };
        let (sender, _receiver) = sync_channel(UPDATES_WAITING_MAX);
        let late = Late(sender);
        assert!((0..UPDATES_WAITING_MAX).all(|_| late.wait(waiting()).is_ok()));
        let refused = late.wait(waiting()).err().unwrap();
        let director = Director::new(GeoConfig::default(), Arc::new(NativeGeo::default())).unwrap().0;
        let handler = Handler::new(Arc::new(director));
        let response = Message::from_vec(&handler.postponed(&refused.change).unwrap()).unwrap();
        assert_eq!(
            (response.metadata.response_code, response.metadata.op_code),
            (ResponseCode::ServFail, OpCode::Update)
        );
        assert_eq!(handler.director.counters().updates_refused.load(Relaxed), 1);
    }
}
