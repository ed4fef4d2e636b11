//! `littoral demo --once`: the whole CDN, and every step of it holds.

use std::process::Command;

#[test]
fn the_demo_runs_through_and_every_step_holds() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(super::BINARY).args(["demo", "--once"]).current_dir(root).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for step in [
        "alias into KingCDN",
        "example. NS? → 127.0.2.1:",
        "← referral: netcinema.example. 300 NS ns1.netcinema.example.; ns1.netcinema.example. 300 A 127.0.2.3",
        "out of the cache",
        "netcinema.example MX? ← netcinema.example. 300 IN MX 10 mail.netcinema.example.",
        "25.2.0.127.in-addr.arpa. PTR? → 127.0.2.3:",
        "A cluster is killed",
        "eviction policy is swapped",
        "warmed before its premiere",
        "plugin that traps",
        "\"input lowercase sentence\" → ",
        "\"INPUT LOWERCASE SENTENCE\"",
    ] {
        assert!(text.contains(step), "{step:?} is missing in\n{text}");
    }
}
