//! Queries and their answers, as few bytes as it takes: what is asked here is known, and so is where an answer has its address.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(2);
/// Type A and class IN.
const A_IN: [u8; 4] = [0, 1, 0, 1];
const HEADER_BYTES: usize = 12;

/// A query for the IPv4 address of `name`, with the first 24 bits of `subnet` as client subnet (RFC 7871) when there is one.
pub(super) fn query(name: &str, subnet: Option<Ipv4Addr>) -> Vec<u8> {
    let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(subnet.is_some())];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(A_IN);
    if let Some(subnet) = subnet {
        // OPT with a payload of 1232 bytes: family 1, source 24, scope 0.
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
        message.extend(&subnet.octets()[..3]);
    }
    message
}

/// The option of cookies (RFC 7873), and what comes before the options of OPT.
const COOKIE: u16 = 10;
const OPT_HEAD: [u8; 9] = [0, 0, 41, 4, 208, 0, 0, 0, 0];
const COOKIE_BYTES: usize = 24;

/// Adds an OPT record with a cookie to a query that has none.
pub(super) fn add_cookie(query: &mut Vec<u8>, cookie: &[u8]) {
    query[11] = 1;
    query.extend(OPT_HEAD);
    query.extend((4 + cookie.len() as u16).to_be_bytes());
    query.extend(COOKIE.to_be_bytes());
    query.extend((cookie.len() as u16).to_be_bytes());
    query.extend(cookie);
}

/// The client's cookie and the server's at the end of a response, where there are both.
pub(super) fn cookie(response: &[u8]) -> Option<Vec<u8>> {
    let (rest, cookie) = response.split_last_chunk::<COOKIE_BYTES>()?;
    let head = [COOKIE.to_be_bytes(), (COOKIE_BYTES as u16).to_be_bytes()].concat();
    rest.ends_with(&head).then(|| cookie.to_vec())
}

/// The first address that a server answers.
///
/// # Errors
/// When there is no answer, or none that begins with an address.
pub(super) fn address(server: SocketAddr, query: &[u8]) -> Result<Ipv4Addr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(query)?;
    let mut response = [0; 1500];
    let length = socket.recv(&mut response).context("no answer")?;
    first_address(&response[..length])
}

fn first_address(response: &[u8]) -> Result<Ipv4Addr> {
    const NOT: &str = "an answer that is no address";
    ensure!(response.len() > HEADER_BYTES, NOT);
    let counts = &response[4..8];
    ensure!(response[3] & 15 == 0 && counts[1] == 1 && counts[3] > 0, "{NOT}: code {}", response[3] & 15);
    let name = response[HEADER_BYTES..].iter().position(|octet| *octet == 0).context(NOT)?;
    // Behind the question: a pointer to its name, type, class, TTL, length.
    let record = response.get(HEADER_BYTES + name + 1 + A_IN.len()..).context(NOT)?;
    ensure!(record.get(2..6) == Some(&A_IN) && record.get(10..12) == Some(&[0, 4]), NOT);
    let octets: [u8; 4] = record.get(12..16).context(NOT)?.try_into()?;
    Ok(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_where_one_of_ours_would_be_written() {
        let (mut message, both) = (query("a.example", None), [5; COOKIE_BYTES]);
        assert_eq!(cookie(&message), None);
        add_cookie(&mut message, &both);
        assert_eq!(cookie(&message), Some(both.to_vec()));
        assert_eq!(message.len(), 12 + 11 + 4 + 11 + 4 + COOKIE_BYTES);
    }

    #[test]
    fn an_address_is_read_behind_the_question_and_nothing_else_is_one() {
        let mut response = query("a.example", None);
        (response[2], response[7]) = (0x84, 1);
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 1]);
        assert_eq!(first_address(&response).expect("an address"), Ipv4Addr::new(192, 0, 2, 1));
        for cut in 0..response.len() {
            assert!(first_address(&response[..cut]).is_err(), "{cut}");
        }
        response[3] = 2;
        assert!(first_address(&response).is_err());
    }
}
