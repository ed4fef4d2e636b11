//! Debian's `unbound` in front, as a resolver that tells its clients' subnets: what it keeps and for whom is what our scopes say.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use littoral_testkit::outsider::absent;

use crate::dns::running;
use crate::edns::{opt, query};

const PATIENCE: Duration = Duration::from_secs(20);
/// How often a port is looked for that is still free when unbound takes it.
const PORT_TRIES: usize = 8;
const SUBNET: u16 = 8;
const A: u16 = 1;

/// A running unbound. Dropped, it is killed.
struct Unbound {
    child: Child,
    address: SocketAddr,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Unbound {
    /// One that asks `authority` for all that is below kingcdn.example; `None`, said aloud, where it is not installed.
    fn start(directory: &Path, authority: SocketAddr) -> Option<Self> {
        (0..PORT_TRIES)
            .find_map(|_| Self::try_start(directory, authority).transpose())
            .expect("unbound never gets a port")
            .inspect_err(|error| absent("unbound", "unbound", error))
            .ok()
    }

    /// The same on a port that is free now; `None` when it does not start.
    fn try_start(directory: &Path, authority: SocketAddr) -> std::io::Result<Option<Self>> {
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = directory.join("unbound.conf");
        let text = format!(
            "server:\n  interface: 127.0.0.1@{}\n  username: \"\"\n  chroot: \"\"\n  directory: {directory:?}\n  pidfile: \"\"\n  \
             use-syslog: no\n  logfile: \"\"\n  verbosity: 1\n  num-threads: 1\n  module-config: \"subnetcache iterator\"\n  \
             send-client-subnet: 127.0.0.0/8\n  client-subnet-always-forward: yes\n  do-not-query-localhost: no\n  \
             qname-minimisation: no\nremote-control:\n  control-enable: no\nstub-zone:\n  name: \"kingcdn.example.\"\n  \
             stub-addr: 127.0.0.1@{}\n",
            address.port(),
            authority.port()
        );
        std::fs::write(&config, text)?;
        // Debian has it where only root looks for programs.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(&config).env("PATH", path).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut running = Self { child: command.spawn()?, address };
        let mut said = BufReader::new(running.child.stderr.take().expect("its stderr"));
        let mut line = String::new();
        while said.read_line(&mut line)? > 0 {
            if line.contains("start of service") {
                // It must never wait for somebody to read what it says.
                std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
                return Ok(Some(running));
            }
            // For who reads why the test fails.
            print!("unbound: {line}");
            line.clear();
        }
        Ok(None)
    }

    /// The addresses that a client of `subnet`, a /24, is told of a name.
    fn ask(&self, name: &str, subnet: [u8; 3]) -> Vec<String> {
        let option = [&[0, 1, 24, 0][..], &subnet].concat();
        let mut question = query(name, A, 1, &[opt(1232, 0, &[(SUBNET, &option)])]);
        question[2] = 1;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&question, self.address).unwrap();
        let mut response = [0; 1500];
        let length = socket.recv(&mut response).expect("unbound answers");
        let response = Message::from_vec(&response[..length]).unwrap();
        assert_eq!(response.metadata.response_code, ResponseCode::NoError, "{name}");
        response.answers.iter().map(|record| record.data.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_keeps_an_answer_for_all_clients_of_its_scope_and_for_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let node = running().await;
    let Some(unbound) = Unbound::start(directory.path(), node.address) else { return };
    let counters = node.director.counters();
    // Clients of 10.1.0.0/16 get the one cluster, those of 10.2.0.0/16 the other; what a zone file says is for everybody.
    let (service, record) = ("a1105.kingcdn.example", "ns.kingcdn.example");
    for (name, subnet, address, asked) in [
        (service, [10, 1, 3], "203.0.113.1", 1),
        (service, [10, 1, 200], "203.0.113.1", 1),
        (service, [10, 2, 3], "203.0.113.2", 2),
        (service, [10, 2, 77], "203.0.113.2", 2),
        (service, [10, 1, 4], "203.0.113.1", 2),
        (record, [10, 1, 3], "192.0.2.54", 3),
        (record, [10, 2, 3], "192.0.2.54", 3),
    ] {
        assert_eq!(unbound.ask(name, subnet), [address], "{name} for {subnet:?}");
        assert_eq!(counters.ecs.load(Relaxed), asked, "queries that reached the node after {name} for {subnet:?}");
    }
}
