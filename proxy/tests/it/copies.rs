//! Zones between the node and programs of others: copies with a shared secret, hints of changes, and changes from outside.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use littoral_testkit::outsider::absent;
use littoral_testkit::{Node, PATIENCE};

use super::BINARY;

const SECRET: &str = "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4=";
const KEY: &str = "hmac-sha256:xfr:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4=";
/// Nobody looks for changes by himself while a test runs.
const ZONE: &str = "$ORIGIN copied.example.\n$TTL 60\n@ IN SOA ns h 1 3600 600 86400 30\n@ IN NS ns\nns IN A 192.0.2.1\nold IN TXT \"old\"\n";

/// A node with the zone and these keys of it.
async fn node(keys: &str) -> Node {
    let config = format!(
        "[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[[dns.key]]\nname = \"xfr\"\nsecret = \"{SECRET}\"\n\
         [[zone]]\nname = \"copied.example.\"\n{keys}\n"
    );
    Node::start(BINARY, &config, &[("c.zone", ZONE.as_bytes())]).await
}

/// What a program of others says; `None`, said aloud, where it is not installed.
async fn said(program: &'static str, server: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args([&format!("@{}", server.ip()), "-p", &server.port().to_string()]).args(arguments);
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            absent(program, if program == "kdig" { "knot-dnsutils" } else { "bind9-dnsutils" }, &error);
            None
        }
    }
}

/// What nsupdate says of a change, nothing when all went well.
async fn nsupdate(server: SocketAddr, key: bool, change: &str) -> Option<String> {
    let (ip, port) = (server.ip(), server.port());
    let key = if key { format!("key hmac-sha256:xfr {SECRET}\n") } else { String::new() };
    let input = format!("server {ip} {port}\nzone copied.example.\n{key}ttl 60\n{change}\nsend\n");
    let run = move || {
        let mut command = Command::new("nsupdate");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().unwrap().write_all(input.as_bytes())?;
        child.wait_with_output()
    };
    match tokio::task::spawn_blocking(run).await.unwrap() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            absent("nsupdate", "bind9-dnsutils", &error);
            None
        }
    }
}

/// Until a server has a TXT record of the zone, or has it no more.
async fn until_text(server: SocketAddr, name: &str, text: &str) {
    let name = format!("{name}.copied.example");
    let asking = async {
        loop {
            let Some(told) = said("dig", server, &["+norec", "+tries=2", "+short", &name, "TXT"]).await else { return };
            if told.trim().trim_matches('"') == text {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{name} is never {text:?} at {server}"));
}

#[tokio::test]
async fn a_zone_goes_to_others_with_the_secret_and_changes_from_outside_reach_its_copies_and_outlive_a_crash() {
    let journal = tempfile::tempdir().unwrap();
    let update = format!("update = {{ key = \"xfr\", journal = {:?} }}", journal.path().join("journal"));
    let transfer = |notify: &str| format!("transfer = {{ key = \"xfr\", notify = [{notify}] }}");
    let keys = |notify: &str| format!("file = \"c.zone\"\n{}\n{update}", transfer(notify));
    let mut primary = node(&keys("")).await;
    let at = primary.address("dns");
    let Some(whole) = said("kdig", at, &["-y", KEY, "copied.example", "AXFR"]).await else { return };
    for line in ["ns.copied.example.", "\"old\"", "5 records", "TSIG"] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
    assert!(!whole.contains(";; WARNING") && !whole.contains(";; ERROR"), "{whole}");
    for arguments in [&["copied.example", "AXFR"][..], &["-y", &KEY.replace("YSBz", "YSBy"), "copied.example", "AXFR"]]
    {
        let refused = said("kdig", at, arguments).await.unwrap();
        assert!(!refused.contains("\"old\"") && refused.contains(";; "), "{refused}");
    }
    let secondary = node(&format!("file = \"copy\"\nprimary = {{ address = \"{at}\", key = \"xfr\" }}")).await;
    let copy_at = secondary.address("dns");
    until_text(copy_at, "old", "old").await;
    // From now on it is told.
    let text = std::fs::read_to_string(primary.file("node.toml")).unwrap();
    let notifying = text.replace(&transfer(""), &transfer(&format!("\"{copy_at}\"")));
    std::fs::write(primary.file("node.toml"), notifying).unwrap();
    assert_eq!(primary.admin("POST", "/v1/reload", "").await.0, 200);
    let Some(refused) = nsupdate(at, false, "update add new.copied.example. TXT new").await else { return };
    assert!(refused.contains("REFUSED"), "{refused}");
    assert_eq!(
        nsupdate(at, true, "update add new.copied.example. TXT new\nupdate delete old.copied.example.").await.unwrap(),
        ""
    );
    until_text(at, "new", "new").await;
    until_text(copy_at, "new", "new").await;
    until_text(copy_at, "old", "").await;
    let changes = said("dig", at, &["-y", KEY, "copied.example", "IXFR=1"]).await.unwrap();
    assert!(changes.contains("\"new\"") && changes.contains("\"old\"") && changes.contains("XFR size"), "{changes}");
    assert!(primary.metrics().await["littoral_dns_updates_total{outcome=\"taken\"}"] == 1.0);
    assert!(secondary.metrics().await["littoral_dns_notifies_total"] >= 1.0);
    // A hint of another program is taken as one of ours, from the primary's address.
    let before = secondary.metrics().await["littoral_dns_notifies_total"];
    let hinted = said("kdig", copy_at, &["-y", KEY, "copied.example", "NOTIFY=7"]).await.unwrap();
    assert!(hinted.contains("NOERROR") && hinted.contains("opcode: NOTIFY"), "{hinted}");
    secondary.until("littoral_dns_notifies_total", before + 1.0).await;
    primary.signal("KILL");
    primary.ended().await;
    let again = node(&keys("")).await;
    until_text(again.address("dns"), "new", "new").await;
    until_text(again.address("dns"), "old", "").await;
}
