//! DNS inside of what somebody else encrypts: connections over TLS (RFC 7858); those over HTTPS are [`super::https`]'s.
//!
//! Responses to clients that pad their queries are padded to a multiple of 468 bytes (RFC 8467 §4.1), so that their length tells
//! less of what was asked. Invariant: a padded response says what the other says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::{Handler, octets, tcp};
use crate::counters::count;
use crate::wire::{HEADER_BYTES, TYPE_AND_CLASS_BYTES, behind_name, number};

/// The option (RFC 7830 §3).
const PADDING: u16 = 12;
/// What lengths are multiples of.
const BLOCK_BYTES: usize = 468;
const CODE_AND_LENGTH: usize = 4;
const OPT: u16 = 41;
/// Bytes of type, class, TTL and length of a record; where the length is.
const RECORD_HEAD: usize = 10;
const LENGTH_AT: usize = 8;

impl Handler {
    /// A place for a connection over TLS or HTTPS, to be held from before its handshake to its end; `None`, and counted: all are taken, and it is
    /// to be closed.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.encrypted.clone().try_acquire_owned().ok();
        if place.is_none() {
            count(&self.director.counters().tcp_refused);
        }
        place
    }

    /// Answers the messages of a connection over TLS, whose handshake is over, until its client ends it or is too slow.
    pub async fn converse_encrypted<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, client: SocketAddr) {
        if let Err(error) = tcp::converse(&mut stream, client, self, true).await {
            tracing::debug!(%client, %error, "an encrypted DNS connection broke");
        }
    }

    /// The response to a message that came encrypted; none to what is no query.
    pub(super) async fn respond_encrypted(&self, message: Vec<u8>, client: SocketAddr) -> Option<Vec<u8>> {
        count(&self.director.counters().encrypted);
        self.padded(message, client).await
    }

    /// The same, however it is counted.
    pub(super) async fn padded(&self, message: Vec<u8>, client: SocketAddr) -> Option<Vec<u8>> {
        let pads = octets::of_option(&message, PADDING).is_some();
        let mut response = self.awaited(message, client).await?;
        if pads {
            pad(&mut response);
        }
        Some(response)
    }

    /// Room for connections over TLS and HTTPS.
    pub(super) fn places() -> Arc<tokio::sync::Semaphore> {
        tcp::places()
    }
}

/// Pads a response whose last record is OPT; one that ends with a signature is left as it is.
fn pad(response: &mut Vec<u8>) {
    let Some(length_at) = length_of_last_opt(response) else { return };
    let missing = (BLOCK_BYTES - (response.len() + CODE_AND_LENGTH) % BLOCK_BYTES) % BLOCK_BYTES;
    let fits = u16::try_from(response.len() + CODE_AND_LENGTH + missing).is_ok();
    let options = number(response, length_at).map(usize::from).unwrap_or_default();
    if let Some(length) = u16::try_from(options + CODE_AND_LENGTH + missing).ok().filter(|_| fits) {
        response[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        response.extend([PADDING.to_be_bytes(), (missing as u16).to_be_bytes()].concat());
        response.resize(response.len() + missing, 0);
    }
}

fn length_of_last_opt(message: &[u8]) -> Option<usize> {
    let count = |at| number(message, at).map(usize::from);
    let mut at = HEADER_BYTES;
    for _ in 0..count(4)? {
        at = behind_name(message, at)? + TYPE_AND_CLASS_BYTES;
    }
    let mut last = None;
    for _ in 0..count(6)? + count(8)? + count(10)? {
        let head = behind_name(message, at)?;
        last = Some(head);
        at = head + RECORD_HEAD + count(head + LENGTH_AT)?;
    }
    let head = last.filter(|head| number(message, *head) == Some(OPT) && at == message.len())?;
    Some(head + LENGTH_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_padded_to_a_whole_number_of_blocks_behind_its_other_options() {
        let head = [0, 7, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        let question = [&b"\x01a\x00"[..], &[0, 1, 0, 1]].concat();
        for options in [0, 4, 421, 422, 423, 460] {
            let opt = [
                &[0, 0, 41, 4, 208, 0, 0, 0, 0][..],
                &(options as u16 + 4).to_be_bytes(),
                &[0, 3],
                &(options as u16).to_be_bytes(),
            ];
            let bare = [&head[..], &question, &opt.concat(), &vec![b'x'; options]].concat();
            let mut padded = bare.clone();
            pad(&mut padded);
            assert_eq!(padded.len() % BLOCK_BYTES, 0, "{options}");
            assert!(padded.len() - bare.len() < BLOCK_BYTES + CODE_AND_LENGTH);
            assert_eq!(octets::of_option(&padded, PADDING), Some(padded.len() - bare.len() - CODE_AND_LENGTH));
            assert_eq!(octets::of_option(&padded, 3), Some(options));
        }
        let mut without = [&[0, 7, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let before = without.clone();
        pad(&mut without);
        assert_eq!(without, before);
    }
}
